/** What an order looks like; see `/openapi.json` of the server. */
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
  /** Its place in the log. */
  position: number;
  order_id: string;
  operation_id: string;
  /** When it was stored, RFC 3339. */
  at: string;
}

/** Something happened to an order, which is as it was then. */
export interface Change extends Common {
  type: "order.created" | "order.updated" | "order.status" | "order.deleted";
  order: Order;
  /** The filter no longer matches the order: this is the last that is heard of it. */
  left?: true;
  /** What had been parked before, if that was what changed it. */
  settled?: Settled[];
}

/** What became of an operation that had been parked. */
export interface Settled {
  /** Its own place in the log. */
  position: number;
  operation_id: string;
  status: "executed" | "rejected";
  reason?: string;
  /** What kind of refusal it was, where kinds are told apart. */
  code?: string;
}

/** An operation was set aside, until an operator settles it. */
export interface Parking extends Common {
  type: "order.parked";
  reason: string;
}

/** What had been parked was settled, without any change of the order. */
export interface Settlement extends Common {
  type: "order.retried" | "order.discarded";
  settled: Settled[];
}

/** An operation was refused. */
export interface Rejection extends Common {
  type: "order.rejected";
  reason: string;
  /** What kind of refusal it was, where kinds are told apart: `version-conflict`. */
  code?: string;
}

export type FeedEvent = Change | Rejection | Parking | Settlement;

/** Which events. All of the wishes are to be met. */
export interface Filter {
  order?: string;
  customer?: string;
  types?: FeedEvent["type"][];
}

/** How the feed is. */
export type State =
  | { name: "connecting" }
  | { name: "catching-up"; head: number }
  | { name: "live" }
  | { name: "waiting"; retryAt: number; reason: string }
  | { name: "closed"; error?: FeedError };

/** Events that are not coming, or may not be. */
export interface Gap {
  /** The last position that was seen. */
  after: number;
  /** The next one that is coming, if that is known. */
  next?: number;
  reason: string;
}

/** Why it is over for good. */
export class FeedError extends Error {
  /** Of the websocket's close frame: 4400 and above. */
  code: number;
}

/** What is used of a `WebSocket`. */
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
  /** Everything after this position; from now on where there is none. 0: from the beginning. */
  since?: number;
  /** The log that the position is of, if that is known. */
  epoch?: string;
  filter?: Filter;
  /** A bearer token, or a way to one; asked for anew each time it connects. */
  token?: string | (() => string | Promise<string>);
  onEvent?: (event: FeedEvent) => void;
  onState?: (state: State) => void;
  /** Events are missing, or may be. Without it they are at least in `console.warn`. */
  onGap?: (gap: Gap) => void;
  /** For where there is no `WebSocket`: that of the package `ws`, before Node.js 22. */
  WebSocket?: WebSocketConstructor;
}

export interface Feed {
  /** The last position that was seen, or passed by the filter. */
  readonly position: number | undefined;
  /** The log that it is of. */
  readonly epoch: string | undefined;
  readonly state: State;
  /** Ends it. */
  close(): void;
}

/**
 * Follows the feed at a URL (`https:` or `wss:`), until it is closed.
 *
 * @throws {TypeError} where there is no `WebSocket` and none is given.
 */
export function follow(url: string | URL, options?: Options): Feed;
