// The viewer page: plays one stream as close to live as the browser allows, over WebRTC or, of a socket stream, as MPEG-TS with H.264 and
// AAC; says in plain words how things stand, and comes back by itself.
import mpegts from "mpegts.js";
import { call, socketUrl } from "./access";
import { type Player, playRtc } from "./watch/rtc";

type State = "connecting" | "live" | "missing" | "ended" | "unreachable" | "unsupported";

const WORDS: Record<State, { badge: string; headline: string; detail: string }> = {
  connecting: { badge: "Connecting", headline: "Connecting…", detail: "" },
  live: { badge: "Live", headline: "", detail: "" },
  missing: { badge: "Off", headline: "There is no such stream", detail: "The picture starts by itself as soon as the stream does." },
  ended: { badge: "Ended", headline: "The stream has ended", detail: "The picture comes back by itself when it is started again." },
  unreachable: { badge: "Offline", headline: "The server cannot be reached", detail: "Trying again…" },
  unsupported: { badge: "Error", headline: "This browser cannot play the stream", detail: "It has no Media Source Extensions." },
};

/** How far behind the newest frame the picture may be, in seconds, before it is played faster; and beyond which it jumps. */
const BEHIND_S = { target: 0.15, chase: 0.35, jump: 0.75 };
/** How long nothing may arrive, in milliseconds, before the connection is taken for dead: an unchanged screen still sends one frame a second. */
const SILENCE_MS = 5_000;
const RETRY_MS = { first: 250, most: 3_000 };

const id = decodeURIComponent(location.pathname.split("/").pop() ?? "");
const video = element("video", HTMLVideoElement);
const sound = element("sound", HTMLButtonElement);

/** What plays, and whether it is to be kept up with and watched for silence, which a peer connection is by itself. */
let player: Player | undefined;
let isSocket = true;
let retryMs = RETRY_MS.first;
let wasLive = false;
let aliveAt = 0;

function element<T extends HTMLElement>(name: string, kind: new () => T): T {
  const found = document.getElementById(name);
  if (!(found instanceof kind)) throw new Error(`the page has no ${name}`);
  return found;
}

function show(state: State, detail?: string): void {
  const words = WORDS[state];
  document.body.dataset.state = state;
  element("state", HTMLElement).textContent = words.badge;
  element("headline", HTMLElement).textContent = words.headline;
  element("detail", HTMLElement).textContent = detail ?? words.detail;
  document.title = `${id} · ${words.badge}`;
}

/** Connects in the way that the stream was started for. */
async function connect(): Promise<void> {
  let mode = "socket";
  try {
    const response = await call("/stream/list", { signal: AbortSignal.timeout(3_000) });
    const streams = (await response.json()) as { id: string; mode: string }[];
    mode = streams.find((stream) => stream.id === id)?.mode ?? mode;
  } catch {
    // Whoever connects finds out why.
  }
  isSocket = mode !== "webrtc";
  if (isSocket) connectSocket();
  else await connectRtc();
}

async function connectRtc(): Promise<void> {
  // In its place until it is there: what is lost meanwhile is this.
  let opened: Player = { destroy: () => undefined };
  player = opened;
  const lost = (): void => lose(opened);
  try {
    opened = await playRtc(id, video, lost);
    player = opened;
    play();
  } catch {
    lost();
  }
}

function connectSocket(): void {
  const url = socketUrl(`/stream/socket/${encodeURIComponent(id)}`);
  const source = { type: "mpegts", isLive: true, url };
  const opened = mpegts.createPlayer(source, {
    enableStashBuffer: false,
    lazyLoad: false,
    autoCleanupSourceBuffer: true,
    autoCleanupMaxBackwardDuration: 10,
    autoCleanupMinBackwardDuration: 4,
    liveSync: true,
    liveSyncTargetLatency: BEHIND_S.target,
    liveSyncMaxLatency: BEHIND_S.chase,
    liveSyncPlaybackRate: 1.15,
  });
  player = opened;
  aliveAt = performance.now();
  opened.on(mpegts.Events.STATISTICS_INFO, (info: { decodedFrames?: number; speed?: number }) => {
    if (player === opened && (info.speed ?? 0) > 0) aliveAt = performance.now();
  });
  opened.on(mpegts.Events.ERROR, () => lose(opened));
  opened.on(mpegts.Events.LOADING_COMPLETE, () => lose(opened));
  opened.attachMediaElement(video);
  opened.load();
  play();
}

/** Ends a player that is of no more use, finds out why, and tries again. */
function lose(lost: Player): void {
  if (player !== lost) return;
  player = undefined;
  // Not from within its own event: it still has work to do after calling us.
  setTimeout(() => lost.destroy());
  void explain().then(() => {
    setTimeout(() => void connect(), retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MS.most);
  });
}

async function explain(): Promise<void> {
  try {
    const response = await call("/stream/list", { signal: AbortSignal.timeout(3_000) });
    const streams = (await response.json()) as { id: string; last_error: string | null }[];
    const stream = streams.find((stream) => stream.id === id);
    if (stream) show("connecting", stream.last_error ?? undefined);
    else show(wasLive ? "ended" : "missing");
    // Once told, the stream is a new one.
    if (stream) wasLive = false;
  } catch {
    show("unreachable");
  }
}

function play(): void {
  // Muted, it may always play; unmuted, only after a click, which the button was.
  video.play().catch(() => {
    video.muted = true;
    label();
    video.play().catch(() => undefined);
  });
}

function label(): void {
  sound.textContent = video.muted ? "Unmute" : "Mute";
  sound.setAttribute("aria-pressed", String(!video.muted));
}

/** Jumps when the picture is too far behind to catch up, or stands at a hole; mpegts.js only changes the speed. */
function keepUp(): void {
  const { buffered } = video;
  if (buffered.length === 0) return;
  const end = buffered.end(buffered.length - 1);
  const start = buffered.start(buffered.length - 1);
  if (end - video.currentTime > BEHIND_S.jump || video.currentTime < start) video.currentTime = Math.max(start, end - BEHIND_S.target);
  if (video.paused && document.visibilityState === "visible") play();
}

video.addEventListener("timeupdate", () => {
  if (!player || video.currentTime === 0) return;
  wasLive = true;
  retryMs = RETRY_MS.first;
  if (document.body.dataset.state !== "live") show("live");
});
sound.addEventListener("click", () => {
  video.muted = !video.muted;
  label();
  play();
});
element("full", HTMLButtonElement).addEventListener("click", () => {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void document.documentElement.requestFullscreen();
});
setInterval(() => {
  if (!player || !isSocket) return;
  keepUp();
  if (performance.now() - aliveAt > SILENCE_MS) lose(player);
}, 250);

element("name", HTMLElement).textContent = id;
label();
if (mpegts.getFeatureList().mseLivePlayback) {
  mpegts.LoggingControl.enableAll = false;
  show("connecting");
  void connect();
} else {
  show("unsupported");
}
