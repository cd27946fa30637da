// VP8, VP9, AV1 and H.264 in IVF, by WebCodecs.
import { type Events, type Player, Unplayable } from "./player";

const FILE_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 12;
/** What is no longer a live picture's size. */
const FRAME_MAX_BYTES = 64 << 20;

/** What a codec's pictures tell, by the four letters in the file header. */
interface Kind {
  name: string;
  isKey(frame: Uint8Array): boolean;
  /** The codec's full name, as a key frame makes it. */
  codec(frame: Uint8Array): string;
}

const KINDS: Record<string, Kind> = {
  VP80: { name: "VP8", isKey: (frame) => (at(frame, 0) & 1) === 0, codec: () => "vp8" },
  // Bitstream specification, 6.2: marker, profile, show_existing_frame, frame_type.
  VP90: { name: "VP9", isKey: (frame) => (at(frame, 0) & 0x0c) === 0, codec: (frame) => `vp09.0${vp9Profile(frame)}.40.${vp9Profile(frame) > 1 ? 10 : "08"}` },
  AV01: { name: "AV1", isKey: (frame) => sequenceHeader(frame) !== undefined, codec: (frame) => `av01.${sequenceHeader(frame) ?? 0}.08M.08` },
  H264: { name: "H.264", isKey: (frame) => nal(frame, 5) !== undefined, codec: (frame) => `avc1.${parameters(frame)}` },
};

export function open(events: Events): Player {
  if (typeof VideoDecoder === "undefined") {
    const why = isSecureContext ? "It has no WebCodecs." : "Open it at http://localhost or over https: browsers decode VP8, VP9 and AV1 for secure pages only.";
    throw new Unplayable(`This page cannot play the feed. ${why}`);
  }
  const element = document.createElement("canvas");
  const context = element.getContext("2d");
  let kind: Kind | undefined;
  let bytes = new Uint8Array();
  let decoder: VideoDecoder | undefined;
  let codec = "";
  let newest: VideoFrame | undefined;
  let drawing = 0;
  let over = false;

  const draw = () => {
    drawing = 0;
    if (!newest || !context) return;
    const { displayWidth, displayHeight } = newest;
    if (element.width !== displayWidth || element.height !== displayHeight) [element.width, element.height] = [displayWidth, displayHeight];
    context.drawImage(newest, 0, 0, displayWidth, displayHeight);
    newest.close();
    newest = undefined;
    events.shown();
  };
  const broken = () => {
    if (!over) events.broken();
  };
  const start = (name: string) => {
    decoder?.close();
    codec = name;
    decoder = new VideoDecoder({
      output(frame) {
        newest?.close();
        newest = frame;
        drawing ||= requestAnimationFrame(draw);
      },
      error: broken,
    });
    decoder.configure({ codec, optimizeForLatency: true });
  };
  const decode = (kind: Kind, frame: Uint8Array, timestamp: number) => {
    const isKey = kind.isKey(frame);
    if (isKey && codec !== kind.codec(frame)) start(kind.codec(frame));
    if (decoder?.state !== "configured") return;
    decoder.decode(new EncodedVideoChunk({ type: isKey ? "key" : "delta", timestamp, data: frame }));
  };

  return {
    element,
    push(chunk) {
      bytes = joined(bytes, chunk);
      const view = () => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (!kind) {
        if (bytes.length < FILE_HEADER_BYTES) return;
        const letters = String.fromCharCode(...bytes.subarray(8, 12));
        kind = KINDS[letters];
        if (!kind) return broken();
        bytes = bytes.subarray(view().getUint16(6, true));
      }
      while (bytes.length >= FRAME_HEADER_BYTES) {
        const size = view().getUint32(0, true);
        if (size > FRAME_MAX_BYTES) return broken();
        if (bytes.length < FRAME_HEADER_BYTES + size) return;
        const time = Number(view().getBigInt64(4, true));
        decode(kind, bytes.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + size), Math.round(time / 0.09));
        bytes = bytes.subarray(FRAME_HEADER_BYTES + size);
      }
    },
    close() {
      over = true;
      cancelAnimationFrame(drawing);
      newest?.close();
      if (decoder && decoder.state !== "closed") decoder.close();
    },
  };
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function vp9Profile(frame: Uint8Array): number {
  return (at(frame, 0) >> 5 & 1) | (at(frame, 0) >> 4 & 1) << 1;
}

/** The profile in the sequence header of a temporal unit (AV1 specification, 5.3 to 5.5), if it has one: only key frames do. */
function sequenceHeader(unit: Uint8Array): number | undefined {
  for (let start = 0; start < unit.length; ) {
    const type = at(unit, start) >> 3 & 0x0f;
    let head = start + (at(unit, start) & 4 ? 2 : 1);
    let size = unit.length - head;
    if (at(unit, start) & 2) {
      size = 0;
      for (let shift = 0; shift < 35; shift += 7) {
        const digit = at(unit, head++);
        size += (digit & 0x7f) * 2 ** shift;
        if (digit < 0x80) break;
      }
    }
    if (type === 1) return at(unit, head) >> 5;
    start = head + size;
  }
  return undefined;
}

/** Where the first NAL unit of this type begins in an Annex B byte stream. */
function nal(bytes: Uint8Array, type: number): number | undefined {
  for (let index = 0; index + 3 < bytes.length; index++) {
    const starts = at(bytes, index) === 0 && at(bytes, index + 1) === 0 && at(bytes, index + 2) === 1;
    if (starts && (at(bytes, index + 3) & 0x1f) === type) return index + 3;
  }
  return undefined;
}

/** Profile, constraints and level of an H.264 key frame's parameter set, in hexadecimal. */
function parameters(frame: Uint8Array): string {
  const start = nal(frame, 7);
  const bytes = start === undefined ? [0x42, 0xe0, 0x1f] : [...frame.subarray(start + 1, start + 4)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
