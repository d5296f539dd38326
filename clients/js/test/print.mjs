// Follows the feed at the address given and prints what it is told, a JSON line
// each: for tests that start, kill and restart the server behind it. Closes it when it
// is told of what `closeAt` names: a state, or "gap". Ends when its input does. `socket` is
// the module that has `WebSocket` where Node.js has none.

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
