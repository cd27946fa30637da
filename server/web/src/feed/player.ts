// What a player of the feed is: an element that shows the newest picture of what is pushed into it.

export interface Player {
  /** Where it draws. */
  readonly element: HTMLElement;
  /** Takes the next bytes of the stream. */
  push(chunk: Uint8Array): void;
  close(): void;
}

export interface Events {
  /** A new picture is on the element. */
  shown(): void;
  /** It cannot go on; the stream has to be begun anew. */
  broken(): void;
}

/** What this browser cannot do, in words for the page. */
export class Unplayable extends Error {}

/** Calls `shown` for every picture that `video` presents, until `isOver` says so. */
export function watchFrames(video: HTMLVideoElement, shown: () => void, isOver: () => boolean): void {
  const next = () => {
    if (isOver()) return;
    shown();
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
}

/** A video element as a feed wants it: silent, so that it may play without a click. */
export function silentVideo(): HTMLVideoElement {
  const video = document.createElement("video");
  video.muted = true;
  video.autoplay = true;
  video.playsInline = true;
  video.disablePictureInPicture = true;
  return video;
}
