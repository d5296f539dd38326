// Follows the feed at the address given and prints what it is told, a JSON line
// each: for tests that start, kill and restart the server behind it. Ends when
// its input does.

import { follow } from "../src/index.js";

const [url, options] = process.argv.slice(2);
const print = (kind) => (value) => console.log(JSON.stringify({ kind, value }));
const feed = follow(url, {
  ...JSON.parse(options ?? "{}"),
  onEvent: print("event"),
  onState: (state) => print("state")({ ...state, error: state.error?.code }),
  onGap: print("gap"),
});
process.stdin.resume();
process.stdin.on("end", () => feed.close());
