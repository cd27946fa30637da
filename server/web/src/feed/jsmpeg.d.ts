// The parts of JSMpeg that the page uses; the package brings no types.
declare module "@cycjimmy/jsmpeg-player" {
  export interface Renderer {
    enabled: boolean;
    resize(width: number, height: number): void;
    render(y: Uint8Array, cb: Uint8Array, cr: Uint8Array, clamped?: boolean): void;
    destroy(): void;
  }
  export interface RendererOptions {
    canvas: HTMLCanvasElement;
    preserveDrawingBuffer?: boolean;
  }
  export interface WasmModule {
    readonly instance: unknown;
    loadFromBuffer(buffer: ArrayBuffer, done: (module: WasmModule | null) => void): void;
  }
  export interface DecoderOptions {
    streaming: boolean;
    decodeFirstFrame: boolean;
    videoBufferSize: number;
    wasmModule: WasmModule;
  }
  export interface Decoder {
    connect(renderer: Pick<Renderer, "resize" | "render">): void;
    write(pts: number, buffers: Uint8Array[]): void;
    decode(): boolean;
    destroy(): void;
  }
  export interface Demuxer {
    connect(streamId: number, destination: { write(pts: number, buffers: Uint8Array[]): void }): void;
    write(chunk: Uint8Array): void;
  }
  const JSMpeg: {
    Demuxer: { TS: { new (): Demuxer; STREAM: { VIDEO_1: number } } };
    Decoder: { MPEG1VideoWASM: new (options: DecoderOptions) => Decoder };
    Renderer: {
      WebGL: { new (options: RendererOptions): Renderer; IsSupported(): boolean };
      Canvas2D: new (options: RendererOptions) => Renderer;
    };
    WASMModule: new () => WasmModule;
    Base64ToArrayBuffer(text: string): ArrayBuffer;
    WASM_BINARY_INLINED: string;
  };
  export default JSMpeg;
}
