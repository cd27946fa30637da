// The console: what camera, microphone and streams do now, and buttons for what is done by hand.
import { call, withToken } from "./access";

interface Track {
  type: string;
  format?: string;
  width?: number;
  height?: number;
  frame_rate?: number;
  destination?: string;
}

interface Status {
  state: "idle" | "paused" | "running";
  video_device: string;
  video_file?: string;
  video?: Track;
  audio?: Track;
  last_error?: string | null;
  ingest?: Record<string, { url: string } | undefined>;
  stats: {
    camera_in_use: boolean | null;
    microphone_in_use: boolean | null;
    fps: number;
    frames_dropped: number;
    latency_ms: { p50: number | null; p99: number | null };
    feed_viewers: number;
  };
}

interface Stream {
  id: string;
  mode: string;
  ingest_url?: string;
  playback_url?: string;
  websocket_url?: string;
  viewers: number;
  last_error: string | null;
}

/** How often to look besides what events tell: figures change all the time. */
const LOOK_MS = 2_000;

function element<T extends HTMLElement>(name: string, kind: new () => T): T {
  const found = document.getElementById(name);
  if (!(found instanceof kind)) throw new Error(`the page has no ${name}`);
  return found;
}

const mode = element("mode", HTMLSelectElement);
const verbs = { pause: element("pause", HTMLButtonElement), resume: element("resume", HTMLButtonElement), stop: element("stop", HTMLButtonElement) };

/** What the server says to a call; throws what it refuses with. */
async function ask(path: string, init: RequestInit = {}): Promise<unknown> {
  const response = await call(path, { ...init, signal: AbortSignal.timeout(5_000) });
  const said: unknown = await response.json();
  if (response.ok) return said;
  throw new Error((said as { message?: string }).message ?? `the server answers ${response.status}`);
}

function post(path: string, body?: unknown): Promise<unknown> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return ask(path, { method: "POST", ...json });
}

/** Fills a list of terms; what there is nothing to say of is left out. */
function fill(list: HTMLElement, rows: [string, string | undefined][]): void {
  list.replaceChildren(
    ...rows.flatMap(([term, words]) => {
      if (words === undefined) return [];
      const [name, value] = [document.createElement("dt"), document.createElement("dd")];
      [name.textContent, value.textContent] = [term, words];
      return [name, value];
    }),
  );
}

function complain(place: HTMLElement, words: string | null | undefined): void {
  place.textContent = words ?? "";
  place.hidden = !words;
}

function track(track: Track | undefined): string {
  if (!track) return "off";
  const size = track.width === undefined ? "" : `, ${track.width}×${track.height} at ${track.frame_rate}`;
  const destination = track.destination === undefined ? "" : ` into the ${track.destination}`;
  return `${[track.type, track.format].filter(Boolean).join(" ")}${size}${destination}`;
}

function used(inUse: boolean | null): string {
  return inUse === null ? "not known" : inUse ? "in use" : "nobody reads it";
}

function showInputs(status: Status): void {
  const { stats } = status;
  const state = element("state", HTMLElement);
  state.textContent = status.state;
  if (state.parentElement) state.parentElement.dataset.state = status.state;
  complain(element("input-error", HTMLElement), status.last_error);
  const latency = stats.latency_ms.p50 === null ? undefined : `${stats.latency_ms.p50.toFixed(1)} ms, 99 of 100 in ${stats.latency_ms.p99?.toFixed(1)} ms`;
  fill(element("facts", HTMLElement), [
    ["Picture", track(status.video)],
    ["Sound", track(status.audio)],
    ["Camera", `${status.video_file ?? status.video_device}, ${used(stats.camera_in_use)}`],
    ["Microphone", used(stats.microphone_in_use)],
    ["Frames", `${stats.fps.toFixed(0)} a second, ${stats.frames_dropped} dropped`],
    ["Arrival to camera", latency],
    ["Feed", `${stats.feed_viewers} viewers`],
  ]);
  const places = Object.entries(status.ingest ?? {}).map(([name, place]): [string, string | undefined] => [name, place?.url]);
  fill(element("ingest", HTMLElement), places.length > 0 ? places : [["WHIP", `${location.origin}/whip/camera`]]);
  verbs.pause.disabled = status.state !== "running";
  verbs.resume.disabled = status.state !== "paused";
  verbs.stop.disabled = !status.video && !status.audio;
}

function row(stream: Stream): HTMLLIElement {
  const item = document.createElement("li");
  const [words, note] = [document.createElement("div"), document.createElement("small")];
  words.textContent = stream.id;
  const url = stream.ingest_url ?? stream.playback_url ?? stream.websocket_url;
  note.textContent = [stream.mode, `${stream.viewers} viewers`, url].filter(Boolean).join(" · ");
  words.append(note);
  const watch = document.createElement("a");
  [watch.textContent, watch.href] = ["Watch", withToken(`/watch/${encodeURIComponent(stream.id)}`)];
  const stop = document.createElement("button");
  [stop.textContent, stop.type] = ["Stop", "button"];
  stop.addEventListener("click", () => void act(() => post("/stream/stop", { id: stream.id }), element("start-error", HTMLElement)));
  item.append(words, watch, stop);
  if (stream.last_error) {
    const error = document.createElement("p");
    [error.className, error.textContent] = ["error", stream.last_error];
    item.append(error);
  }
  return item;
}

let known = "";

function showStreams(streams: Stream[]): void {
  // As it is, a list keeps the focus that somebody gave one of its buttons.
  const said = JSON.stringify(streams);
  if (said === known) return;
  known = said;
  element("streams", HTMLElement).replaceChildren(...streams.map(row));
  element("no-streams", HTMLElement).hidden = streams.length > 0;
}

async function look(): Promise<void> {
  const reach = element("reach", HTMLElement);
  try {
    const [status, streams] = await Promise.all([ask("/input/devices/virtual/status"), ask("/stream/list")]);
    showInputs(status as Status);
    showStreams(streams as Stream[]);
    reach.textContent = "";
  } catch (error) {
    reach.textContent = error instanceof TypeError ? "The server cannot be reached; trying again…" : String((error as Error).message);
  }
}

/** Does something, says what it was refused with, and looks at what came of it. */
async function act(deed: () => Promise<unknown>, complaint: HTMLElement): Promise<void> {
  try {
    await deed();
    complain(complaint, undefined);
  } catch (error) {
    complain(complaint, (error as Error).message);
    return;
  }
  await look();
}

for (const [verb, button] of Object.entries(verbs)) {
  button.addEventListener("click", () => void act(() => post(`/input/devices/virtual/${verb}`), element("input-error", HTMLElement)));
}

mode.addEventListener("change", () => {
  element("remote", HTMLElement).hidden = mode.value !== "remote";
});

element("start", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const [id, url] = [element("id", HTMLInputElement).value, element("url", HTMLInputElement).value];
  const wanted = { mode: mode.value, ...(id && { id }), ...(mode.value === "remote" && { target_url: url }) };
  void act(() => post("/stream/start", wanted), element("start-error", HTMLElement));
});

for (const name of ["feed", "api", "metrics"]) {
  const link = element(name, HTMLAnchorElement);
  link.href = withToken(link.pathname);
}

const events = new EventSource(withToken("/events"));
for (const kind of ["input", "stream", "gone"]) events.addEventListener(kind, () => void look());
setInterval(() => void look(), LOOK_MS);
void look();
