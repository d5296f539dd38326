/** Order document; `/openapi.json` of the server describes it. */
export interface Order {
  id: string;
  number: number;
  status: "placed" | "paid" | "shipped" | "delivered" | "cancelled";
  position: number;
  version: number;
  created_at: string;
  updated_at: string;
  customer: { id: string | null; name: string | null; email: string | null; phone?: string } | null;
  currency: string;
  products: { sku: string | null; name: string; quantity: number; price: string; total: string }[];
  items_count: number;
  total: string;
  reference: string | null;
  timeline: { position: number; type: string; at: string }[];
  attachments?: { id: string; name: string; media_type: string; size: number; sha256: string }[];
}

interface Common {
  /** Position in the log. */
  position: number;
  order_id: string;
  operation_id: string;
  /** Time at which the operation was stored, as RFC 3339. */
  at: string;
}

/** Change of an order, with the order as of this event. */
export interface Change extends Common {
  type: "order.created" | "order.updated" | "order.status" | "order.deleted";
  order: Order;
  /** Set if the order no longer matches the filter; this is its last event. */
  left?: true;
  /** Parked operations that this event resolved, if any. */
  settled?: Settled[];
}

/** Result of an operation that was parked before. */
export interface Settled {
  /** Position of the operation in the log. */
  position: number;
  operation_id: string;
  status: "executed" | "rejected";
  reason?: string;
  /** Machine-readable code of the rejection, if it has one. */
  code?: string;
}

/** An operation was parked until an operator retries or discards it. */
export interface Parking extends Common {
  type: "order.parked";
  reason: string;
}

/** Parked operations were resolved without a change of the order. */
export interface Settlement extends Common {
  type: "order.retried" | "order.discarded";
  settled: Settled[];
}

/** An operation was rejected. */
export interface Rejection extends Common {
  type: "order.rejected";
  reason: string;
  /** Machine-readable code of the rejection, if it has one, such as `version-conflict`. */
  code?: string;
}

export type FeedEvent = Change | Rejection | Parking | Settlement;

/** Filter for events; an event must satisfy all members that are set. */
export interface Filter {
  order?: string;
  customer?: string;
  types?: FeedEvent["type"][];
}

/** State of the feed. */
export type State =
  | { name: "connecting" }
  | { name: "catching-up"; head: number }
  | { name: "live" }
  | { name: "waiting"; retryAt: number; reason: string }
  | { name: "closed"; error?: FeedError };

/** Events that are missing, or may be. */
export interface Gap {
  /** Last position before the gap. */
  after: number;
  /** First position after the gap, if known. */
  next?: number;
  reason: string;
}

/** Error after which the feed does not reconnect. */
export class FeedError extends Error {
  /** Close code of the websocket: 4400 or above. */
  code: number;
}

/** Part of the `WebSocket` interface that the client uses. */
export interface FeedSocket {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(): void;
}

export type WebSocketConstructor = new (url: string) => FeedSocket;

export interface Options {
  /** Position after which to start; 0 starts at the beginning. Default: the current position. */
  since?: number;
  /** Log that `since` belongs to, if known. */
  epoch?: string;
  filter?: Filter;
  /** Bearer token, or a function that returns one; it is called for each connection. */
  token?: string | (() => string | Promise<string>);
  onEvent?: (event: FeedEvent) => void;
  onState?: (state: State) => void;
  /** Called when events are missing or may be. Default: `console.warn`. */
  onGap?: (gap: Gap) => void;
  /** Implementation of `WebSocket` if there is no global one, such as that of the package `ws`. */
  WebSocket?: WebSocketConstructor;
}

export interface Feed {
  /** Last position that was received or skipped by the filter. */
  readonly position: number | undefined;
  /** Log that `position` belongs to. */
  readonly epoch: string | undefined;
  readonly state: State;
  /** Closes the feed. */
  close(): void;
}

/**
 * Follows the feed at a URL (`https:` or `wss:`) until it is closed.
 *
 * @throws {TypeError} if there is no global `WebSocket` and `options` has none.
 */
export function follow(url: string | URL, options?: Options): Feed;
