// The feed page: the newest picture of the virtual input, or of `source`, over the whole window; words in its place when nothing comes.
import { call, socketUrl } from "./access";
import { type Events, type Player, Unplayable } from "./feed/player";
import { Program, STREAM_TYPE } from "./feed/program";

const LOADING = "Loading virtual feed...";
/** How long nothing may come before the page says so. */
const SILENCE_MS = 1_000;
/** How long nothing may come before the page looks whether it was paused, which is black at once. */
const DOUBT_MS = 250;
const LOOK_MS = 50;
const RETRY_MS = { first: 250, most: 3_000 };
/** How the server closes a socket whose stream goes on in another format. */
const FORMAT_CHANGED = 4411;
const FITS = ["contain", "cover", "fill"];

const query = new URLSearchParams(location.search);
const stage = element("stage");
const notice = element("notice");

let retryMs = RETRY_MS.first;
/** When the last chunk came; pictures, for a source that is no socket. */
let aliveAt = -Infinity;
let doubted = false;
/** Whether it was found to be a pause: what a player still has is not shown. */
let dark = false;
/** Why what comes cannot be shown, if so. */
let trouble: string | undefined;
/** Why nothing will ever come. */
let refusal: string | undefined;
/** What is on the stage, oldest first: a picture stays until the next player's first one. */
const shown: { element: HTMLElement; close(): void }[] = [];

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

/** Puts a player on the stage, unseen until it has a picture. */
function enter(player: { element: HTMLElement; close(): void }): void {
  player.element.classList.add("stale");
  stage.append(player.element);
  shown.push(player);
}

function leave(player: { element: HTMLElement; close(): void }): void {
  const place = shown.indexOf(player);
  if (place < 0) return;
  shown.splice(place, 1);
  player.element.remove();
  // Not from within its own event: it still has work to do after calling us.
  setTimeout(() => player.close());
}

/** A player has a new picture: what was there before it goes. */
function present(player: { element: HTMLElement; close(): void }): void {
  while (shown[0] && shown[0] !== player && shown.includes(player)) leave(shown[0]);
  player.element.classList.remove("stale");
}

function blank(): void {
  for (const player of shown) player.element.classList.add("stale");
}

/** Says what there is to say, or nothing. */
function tell(): void {
  const words = refusal ?? (performance.now() - aliveAt > SILENCE_MS ? LOADING : trouble);
  if (words && notice.hidden) blank();
  notice.hidden = !words;
  if (words && notice.textContent !== words) notice.textContent = words;
}

/** What went wrong, in words for the page. */
function inWords(error: unknown): string {
  return error instanceof Unplayable ? error.message : "This page could not load its player.";
}

/** One connection to a socket and the player of what comes. */
class Feed {
  readonly #socket: WebSocket;
  readonly #program = new Program();
  #player: Player | undefined;
  #opening = false;
  #early: Uint8Array[] = [];
  /** Whether no player of ours can play it. */
  #refused = false;
  #over = false;

  constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      // The text says the format, which the first bytes say as well: sources that are no feed send no text.
      if (typeof data !== "string") this.#take(new Uint8Array(data));
    };
    this.#socket.onclose = ({ code }) => this.#lose(code === FORMAT_CHANGED ? 0 : retryMs);
  }

  #take(chunk: Uint8Array): void {
    aliveAt = performance.now();
    doubted = dark = false;
    this.#program.read(chunk);
    if (this.#player) {
      this.#player.push(chunk);
    } else if (!this.#refused) {
      this.#early.push(chunk);
      if (!this.#opening) void this.#open(chunk);
    }
    tell();
  }

  async #open(chunk: Uint8Array): Promise<void> {
    const isIvf = String.fromCharCode(...(this.#early[0] ?? chunk).subarray(0, 4)) === "DKIF";
    const { video } = this.#program;
    // Some packet will bring the tables.
    if (!isIvf && video === undefined) return void this.#early.splice(0);
    this.#opening = true;
    const events: Events = {
      shown: () => {
        if (this.#over || !this.#player) return;
        retryMs = RETRY_MS.first;
        // A picture that comes late is no sign of life.
        if (notice.hidden && !dark) present(this.#player);
      },
      broken: () => this.#lose(retryMs),
    };
    try {
      const player = await this.#choose(isIvf, video ?? 0, events);
      if (this.#over) return player.close();
      trouble = undefined;
      this.#player = player;
      enter(player);
      for (const early of this.#early.splice(0)) player.push(early);
    } catch (error) {
      // The connection stays: the server closes it when the stream becomes another.
      this.#refused = true;
      this.#early = [];
      trouble = inWords(error);
      tell();
    }
  }

  async #choose(isIvf: boolean, video: number, events: Events): Promise<Player> {
    if (isIvf) return (await import("./feed/ivf")).open(events);
    switch (video) {
      case STREAM_TYPE.mpeg1:
        return (await import("./feed/mpeg1")).open(events);
      case STREAM_TYPE.mpeg2:
        throw new Unplayable("Browsers cannot play MPEG-2 video.");
      default:
        return (await import("./feed/mse")).open(video, events);
    }
  }

  #lose(afterMs: number): void {
    if (this.#over) return;
    this.#over = true;
    trouble = undefined;
    this.#socket.close();
    // The picture stays a while: what comes next may be a source that took over.
    if (this.#player && !shown.includes(this.#player)) this.#player.close();
    again(afterMs);
  }
}

/** Begins anew after a while, and after a longer one the next time. */
function again(afterMs: number): void {
  setTimeout(begin, afterMs);
  if (afterMs > 0) retryMs = Math.min(retryMs * 2, RETRY_MS.most);
}

/** Shows a source that is no socket; its pictures are its signs of life. */
async function showDirectly(url: string): Promise<void> {
  try {
    const { show } = await import("./feed/direct");
    const player = show(url, {
      shown: () => {
        retryMs = RETRY_MS.first;
        aliveAt = performance.now();
        present(player);
        tell();
      },
      broken: () => {
        leave(player);
        again(retryMs);
      },
    });
    enter(player);
  } catch (error) {
    refusal = inWords(error);
  }
}

function begin(): void {
  const source = query.get("source");
  if (source === null) {
    new Feed(socketUrl("/input/devices/virtual/feed/socket"));
    return;
  }
  const { protocol } = URL.canParse(source) ? new URL(source) : { protocol: "" };
  if (protocol === "ws:" || protocol === "wss:") new Feed(source);
  else if (protocol === "http:" || protocol === "https:") void showDirectly(source);
  else refusal = "The source of this page has to be an http, https, ws or wss URL.";
}

/** Goes black when the silence is a pause: its pictures end at once, and only the server knows. */
async function doubt(): Promise<void> {
  doubted = true;
  try {
    const response = await call("/input/devices/virtual/status", { signal: AbortSignal.timeout(SILENCE_MS) });
    const status = (await response.json()) as { state: string };
    dark = status.state !== "running" && performance.now() - aliveAt > DOUBT_MS;
    if (dark) blank();
  } catch {
    // The overlay will say that nothing comes.
  }
}

const fit = query.get("fit");
if (fit !== null && FITS.includes(fit)) document.body.dataset.fit = fit;
setInterval(() => {
  tell();
  const silence = performance.now() - aliveAt;
  if (!doubted && query.get("source") === null && silence > DOUBT_MS && silence < SILENCE_MS) void doubt();
}, LOOK_MS);
begin();
