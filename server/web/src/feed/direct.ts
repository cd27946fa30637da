// A source that is no socket: a file or a progressive stream by the browser's own player, HLS by hls.js.
import Hls from "hls.js/light";

import { type Events, silentVideo, Unplayable, watchFrames } from "./player";

/** How far behind the newest segment's end HLS may play, in target durations: what the server's list shows, and no less than it needs. */
const HLS_SYNC_SEGMENTS = 2;

/** Shows what is at `url`; gives the element and how to end it. */
export function show(url: string, events: Events): { element: HTMLVideoElement; close(): void } {
  const element = silentVideo();
  let over = false;
  watchFrames(element, () => events.shown(), () => over);
  const broken = () => {
    if (!over) events.broken();
  };
  if (new URL(url).pathname.toLowerCase().endsWith(".m3u8")) {
    if (!Hls.isSupported()) throw new Unplayable("This browser cannot play HLS.");
    // Its worker would be a script from nowhere, which the page's policy refuses.
    const hls = new Hls({ enableWorker: false, liveSyncDurationCount: HLS_SYNC_SEGMENTS });
    hls.on(Hls.Events.ERROR, (_, error) => {
      if (error.fatal) broken();
    });
    hls.loadSource(url);
    hls.attachMedia(element);
    return {
      element,
      close() {
        over = true;
        hls.destroy();
      },
    };
  }
  element.loop = true;
  element.addEventListener("error", broken);
  element.src = url;
  return {
    element,
    close() {
      over = true;
      element.removeAttribute("src");
      element.load();
    },
  };
}
