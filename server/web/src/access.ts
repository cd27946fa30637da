// What the page calls its server with: the token that its own address carries, if there is one.

const token = new URLSearchParams(location.search).get("access_token");

/** Calls a path of our server. */
export function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  return fetch(path, { ...init, headers });
}

/** A path of our server as a link or an event source, which take no headers. */
export function withToken(path: string): string {
  return token === null ? path : `${path}?access_token=${encodeURIComponent(token)}`;
}

/** The address of a WebSocket of our server, which takes no headers from a page. */
export function socketUrl(path: string): string {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.host}${withToken(path)}`;
}
