// Compile-time tests of the types; nothing runs here.

import { type FeedEvent, FeedError, follow, type State } from "bakehouse-feed";

const feed = follow("https://orders.example/order-events", {
  since: 0,
  epoch: "e",
  filter: { customer: "c-1", types: ["order.created", "order.parked"] },
  token: async () => "t",
  onEvent(event: FeedEvent) {
    if (event.type === "order.rejected") {
      const reason: string = event.reason;
      console.log(reason);
      // @ts-expect-error A rejection has no order.
      console.log(event.order);
    } else if (event.type === "order.created") {
      const total: string = event.order.total;
      console.log(total, event.left);
    }
  },
  onState(state: State) {
    if (state.name === "closed" && state.error instanceof FeedError) {
      console.log(state.error.code);
    }
  },
  WebSocket,
});
feed.close();
const position: number | undefined = feed.position;
console.log(position);

// @ts-expect-error There is no such event type.
follow("https://orders.example/order-events", { filter: { types: ["order.vanished"] } });
// @ts-expect-error The position is read-only.
feed.position = 7;
