// What the page calls its server with: the token that its own address carries, if there is one.

const token = new URLSearchParams(location.search).get("access_token");

/** Calls a path of our server. */
export function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  return fetch(path, { ...init, headers });
}

/** The address of a WebSocket of our server, which takes no headers from a page. */
export function socketUrl(path: string): string {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const query = token === null ? "" : `?access_token=${encodeURIComponent(token)}`;
  return `${scheme}://${location.host}${path}${query}`;
}
