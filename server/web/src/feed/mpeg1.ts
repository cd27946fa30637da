// MPEG-1 in a transport stream, by JSMpeg. Its own player shows one picture a screen refresh, however many have come; this one decodes all
// that is there and draws the newest.
import JSMpeg, { type Decoder, type Renderer, type WasmModule } from "@cycjimmy/jsmpeg-player";

import { type Events, type Player, Unplayable } from "./player";

/** Room for what one write brings: a key frame, many times over. */
const BUFFER_BYTES = 4 << 20;
const SEQUENCE_HEADER = [0, 0, 1, 0xb3];

/** The last planes that were decoded. */
type Planes = [y: Uint8Array, cb: Uint8Array, cr: Uint8Array];

export async function open(events: Events): Promise<Player> {
  const wasmModule = await load();
  const element = document.createElement("canvas");
  // Kept after it was shown, or whoever reads the page's picture later gets nothing.
  const options = { canvas: element, preserveDrawingBuffer: true };
  const renderer: Renderer = JSMpeg.Renderer.WebGL.IsSupported() ? new JSMpeg.Renderer.WebGL(options) : new JSMpeg.Renderer.Canvas2D(options);
  const demuxer = new JSMpeg.Demuxer.TS();
  let decoder: Decoder | undefined;
  let size = "";
  let newest: Planes | undefined;
  let drawing = 0;

  const draw = () => {
    drawing = 0;
    if (!newest) return;
    renderer.render(...newest);
    newest = undefined;
    events.shown();
  };
  demuxer.connect(JSMpeg.Demuxer.TS.STREAM.VIDEO_1, {
    write(pts, buffers) {
      const told = sizeIn(buffers);
      if (told && told !== size) {
        // JSMpeg reads the first sequence header only.
        decoder?.destroy();
        size = told;
        decoder = new JSMpeg.Decoder.MPEG1VideoWASM({ streaming: true, decodeFirstFrame: false, videoBufferSize: BUFFER_BYTES, wasmModule });
        decoder.connect({
          resize: (width, height) => renderer.resize(width, height),
          render: (...planes: Planes) => {
            newest = planes;
          },
        });
      }
      if (!decoder) return;
      decoder.write(pts, buffers);
      // One picture a packet; what a packet had more is decoded, too.
      while (decoder.decode());
      drawing ||= requestAnimationFrame(draw);
    },
  });
  return {
    element,
    push: (chunk) => demuxer.write(chunk),
    close() {
      cancelAnimationFrame(drawing);
      decoder?.destroy();
      renderer.destroy();
    },
  };
}

/** The decoder's code, compiled once. A module of its own for each player: its memory only grows. */
function load(): Promise<WasmModule> {
  return new Promise((resolve, reject) => {
    const wasm = new JSMpeg.WASMModule();
    wasm.loadFromBuffer(JSMpeg.Base64ToArrayBuffer(JSMpeg.WASM_BINARY_INLINED), (module) => {
      if (module) resolve(module);
      else reject(new Unplayable("This browser cannot run the decoder of MPEG-1."));
    });
  });
}

/** The three bytes of a sequence header that tell the size (ISO/IEC 11172-2, 2.4.2.3), if there is one at the start. */
function sizeIn(buffers: Uint8Array[]): string | undefined {
  const bytes = buffers.flatMap((buffer) => [...buffer.subarray(0, 7)]).slice(0, 7);
  return SEQUENCE_HEADER.every((value, at) => bytes[at] === value) ? bytes.slice(4).join() : undefined;
}
