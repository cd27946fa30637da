// H.264 and HEVC in a transport stream, by mpegts.js through Media Source Extensions.
import mpegts from "mpegts.js";

import { type Events, type Player, silentVideo, Unplayable, watchFrames } from "./player";
import { STREAM_TYPE } from "./program";

/** How far behind the newest picture it may be, in seconds, before it is played faster; and beyond which it jumps. */
const BEHIND_S = { target: 0.06, chase: 0.12, jump: 0.5 };
const KEEP_UP_MS = 100;

const TYPES: Record<number, { name: string; type: string }> = {
  [STREAM_TYPE.h264]: { name: "H.264", type: 'video/mp4; codecs="avc1.42e01f"' },
  [STREAM_TYPE.hevc]: { name: "HEVC", type: 'video/mp4; codecs="hvc1.1.6.L93.B0"' },
};

export function open(streamType: number, events: Events): Player {
  const { name, type } = TYPES[streamType] ?? { name: "this", type: "" };
  if (!mpegts.getFeatureList().mseLivePlayback || !MediaSource.isTypeSupported(type)) {
    throw new Unplayable(`This browser cannot play ${name} video.`);
  }
  mpegts.LoggingControl.enableAll = false;
  let over = false;
  let received = 0;
  let take: ((chunk: ArrayBuffer) => void) | undefined;
  const early: ArrayBuffer[] = [];

  /** Hands over what is pushed, in place of a connection. */
  class Pushed extends mpegts.BaseLoader {
    constructor() {
      super("pushed");
    }
    override open(): void {
      this._status = 2;
      take = (chunk) => {
        const start = received;
        received += chunk.byteLength;
        this.onDataArrival(chunk, start, received);
      };
      early.splice(0).forEach(take);
    }
    override abort(): void {
      take = undefined;
    }
  }

  const element = silentVideo();
  const player = mpegts.createPlayer({ type: "mpegts", isLive: true, hasAudio: false, url: "feed" }, {
    customLoader: Pushed as unknown as mpegts.CustomLoaderConstructor,
    enableStashBuffer: false,
    lazyLoad: false,
    autoCleanupSourceBuffer: true,
    autoCleanupMaxBackwardDuration: 10,
    autoCleanupMinBackwardDuration: 4,
    liveSync: true,
    liveSyncTargetLatency: BEHIND_S.target,
    liveSyncMaxLatency: BEHIND_S.chase,
    liveSyncPlaybackRate: 1.2,
  });
  player.on(mpegts.Events.ERROR, () => {
    if (!over) events.broken();
  });
  player.attachMediaElement(element);
  player.load();
  const play = () => void Promise.resolve(player.play()).catch(() => undefined);
  play();
  watchFrames(element, () => events.shown(), () => over);
  const timer = setInterval(() => {
    keepUp(element);
    if (element.paused) play();
  }, KEEP_UP_MS);
  return {
    element,
    push(chunk) {
      const bytes = chunk.slice().buffer;
      if (take) take(bytes);
      else early.push(bytes);
    },
    close() {
      over = true;
      clearInterval(timer);
      player.destroy();
    },
  };
}

/** Jumps when the picture is too far behind to catch up, or stands at a hole; mpegts.js only changes the speed. */
function keepUp(video: HTMLVideoElement): void {
  const { buffered } = video;
  if (buffered.length === 0) return;
  const end = buffered.end(buffered.length - 1);
  const start = buffered.start(buffered.length - 1);
  if (end - video.currentTime > BEHIND_S.jump || video.currentTime < start) video.currentTime = Math.max(start, end - BEHIND_S.target);
}
