// Follows the feed at the given URL and prints each callback as a line of JSON, for tests that start,
// kill and restart the server. Closes the feed at the state or callback that `closeAt` names, and
// ends when standard input does. `socket` is a module with a `WebSocket` for older Node.js versions.

import { follow } from "../src/index.js";

const [url, options] = process.argv.slice(2);
const { closeAt, socket, ...rest } = JSON.parse(options ?? "{}");
if (socket !== undefined && globalThis.WebSocket === undefined) {
  rest.WebSocket = (await import(socket)).default;
}
const print = (kind) => (value) => {
  console.log(JSON.stringify({ kind, value }));
  if (closeAt !== undefined && (kind === closeAt || value.name === closeAt)) {
    feed.close();
  }
};
const feed = follow(url, {
  ...rest,
  onEvent: print("event"),
  onState: (state) => print("state")({ ...state, error: state.error?.code }),
  onGap: print("gap"),
});
process.stdin.resume();
process.stdin.on("end", () => feed.close());
