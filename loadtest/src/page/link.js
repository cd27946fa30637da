// The way back to the load test: frames in batches, answers about this context's clock at once.

const BATCH_MS = 200;

export class Link {
  #socket;
  #frames = [];
  #waiting = [];

  constructor(from) {
    this.#socket = new WebSocket(`ws://${location.host}/socket/${from}`);
    this.#socket.onopen = () => {
      for (const message of this.#waiting.splice(0)) this.#socket.send(message);
    };
    this.#socket.onmessage = ({ data }) => {
      const now = performance.now();
      this.#socket.send(JSON.stringify({ clock: { question: JSON.parse(data).question, now } }));
    };
    setInterval(() => this.#flush(), BATCH_MS);
  }

  // `way` is where the frame was before, as in Rust's `Way`.
  frame(top, bottom, at, way = null) {
    this.#frames.push([top, bottom, at, way]);
  }

  fail(error) {
    this.send({ failed: String(error) });
  }

  send(message) {
    const text = JSON.stringify(message);
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
    else this.#waiting.push(text);
  }

  #flush() {
    if (this.#frames.length > 0) this.send({ frames: this.#frames.splice(0) });
  }
}
