// Calls of the public API. The token, if one is needed, is kept by this page alone.

/** The path of this page, which may be behind a prefix that the server does not know. */
const root = new URL(".", document.baseURI).pathname;

let token;

export const bearer = () => token;
export const useToken = (text) => (token = text || undefined);

/** An answer that is no success: the problem document, with its faults. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? `answered ${status}`);
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

/** A page of the list at `path`, and the address of the next one, if there is one. */
async function page(path) {
  const answer = await call("GET", path);
  const next = /<([^>]*)>;\s*rel="next"/.exec(answer.headers.get("link") ?? "");
  // Whatever stands before the query: the same list.
  const query = next && (/\?.*$/.exec(next[1])?.[0] ?? "");
  return { lines: await answer.json(), next: next && path.replace(/\?.*$/, "") + query };
}

export const orders = page;

/** Places an order; sending it again under the same key is sending it once. */
export const place = (order, key) => call("POST", "order", order, { "idempotency-key": key });

export const setStatus = (id, status) => call("PUT", `order/${id}/status`, { status });

/** What became of an operation, as soon as that is known. */
export async function receipt(id) {
  const answer = await call("GET", `operation/${id}`, undefined, { prefer: "wait=10" });
  return answer.json();
}

/** The latest figures of /metrics by their names, labels included. */
export async function metrics() {
  const answer = await call("GET", "metrics", undefined, { accept: "text/plain" });
  const lines = (await answer.text()).matchAll(/^(bakehouse_[^ ]+) (\S+)$/gm);
  return new Map(Array.from(lines, ([, name, value]) => [name, Number(value)]));
}

export const parked = async () => (await call("GET", "parked?limit=100")).json();

export const retry = (id) => call("POST", `parked/${id}/retry`);

export const discard = (id, reason) => call("POST", `parked/${id}/discard`, { reason });

/** The first page of an order's history. */
export const history = (id) => page(`order/${id}/history`);

/** A later page. */
export const moreHistory = page;
