// Requests to the public API. The token, if one is needed, is kept in memory only.

/** Path of this page; a proxy may add a prefix that the server does not know. */
const root = new URL(".", document.baseURI).pathname;

let token;

export const bearer = () => token;
export const setToken = (text) => (token = text || undefined);

/** Error answer: the problem document with its faults; status 0 if there was no answer. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? `the server answered with status ${status}`);
    this.status = status;
    this.faults = document.errors ?? [];
  }
}

async function call(method, path, body, headers = {}) {
  const all = { accept: "application/json", ...headers };
  if (token) {
    all.authorization = `Bearer ${token}`;
  }
  if (body !== undefined) {
    all["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(root + path, { method, headers: all, body: body && JSON.stringify(body) });
  } catch {
    throw new Problem(0, { detail: "the server cannot be reached" });
  }
  if (!answer.ok) {
    throw new Problem(answer.status, await answer.json().catch(() => ({})));
  }
  return answer;
}

/** Fetches a page of the list at `path`; `next` is the path of the next page, if there is one. */
async function page(path) {
  const answer = await call("GET", path);
  const next = /<([^>]*)>;\s*rel="next"/.exec(answer.headers.get("link") ?? "");
  // Only the query of the link is used, so that a path prefix does not matter.
  const query = next && (/\?.*$/.exec(next[1])?.[0] ?? "");
  return { lines: await answer.json(), next: next && path.replace(/\?.*$/, "") + query };
}

export const orders = page;

/** Places an order; requests with the same idempotency key place it only once. */
export const place = (order, key) => call("POST", "order", order, { "idempotency-key": key });

export const setStatus = (id, status) => call("PUT", `order/${id}/status`, { status });

/** Fetches the receipt of an operation; waits up to 10 s for its result. */
export async function receipt(id) {
  const answer = await call("GET", `operation/${id}`, undefined, { prefer: "wait=10" });
  return answer.json();
}

/** Fetches /metrics as a map from series, labels included, to values. */
export async function metrics() {
  const answer = await call("GET", "metrics", undefined, { accept: "text/plain" });
  const lines = (await answer.text()).matchAll(/^(bakehouse_[^ ]+) (\S+)$/gm);
  return new Map(Array.from(lines, ([, name, value]) => [name, Number(value)]));
}

export const parked = async () => (await call("GET", "parked?limit=100")).json();

export const retry = (id) => call("POST", `parked/${id}/retry`);

export const discard = (id, reason) => call("POST", `parked/${id}/discard`, { reason });

/** Fetches the first page of an order's history. */
export const history = (id) => page(`order/${id}/history`);

/** Fetches a later page of a history. */
export const moreHistory = page;
