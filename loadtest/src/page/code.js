// Reads the number of a frame from its pixels, and draws it; what it means and how it is drawn is in loadtest/src/code.rs.

const CELLS = 32;
// Of 219 steps between dark and light: what compression leaves of a cell is far above, what it makes of a flat one far below.
const LEAST_CONTRAST = 24;

export function stripRows(height) {
  return Math.floor(height / 40) * 4;
}

// The number in the strip of `rows` rows that starts with `luma`, or null.
export function readCode(luma, stride, width, rows) {
  let word = 0n;
  for (let cell = 0; cell < CELLS; cell++) {
    const start = Math.floor((cell * width) / CELLS);
    const end = Math.floor(((cell + 1) * width) / CELLS);
    // The middle of each half: the edges blur.
    const margin = Math.floor((end - start) / 4);
    const [left, right] = [start + margin, end - margin];
    const upper = mean(luma, stride, left, right, Math.floor(rows / 8), Math.ceil((rows * 3) / 8));
    const lower = mean(luma, stride, left, right, Math.floor((rows * 5) / 8), Math.ceil((rows * 7) / 8));
    if (Math.abs(upper - lower) < LEAST_CONTRAST) return null;
    word = (word << 1n) | (upper > lower ? 1n : 0n);
  }
  const number = Number(word >> 8n);
  return crc8(number) === Number(word & 0xffn) ? number : null;
}

// Draws `number` into both strips of a canvas.
export function drawCode(context, width, height, number) {
  const rows = stripRows(height);
  const word = (BigInt(number) << 8n) | BigInt(crc8(number));
  for (const top of [0, height - rows]) {
    for (let cell = 0; cell < CELLS; cell++) {
      const start = Math.floor((cell * width) / CELLS);
      const end = Math.floor(((cell + 1) * width) / CELLS);
      const one = (word >> BigInt(CELLS - 1 - cell)) & 1n;
      for (const [half, light] of [[0, one], [1, 1n - one]]) {
        context.fillStyle = light ? 'white' : 'black';
        context.fillRect(start, top + (half * rows) / 2, end - start, rows / 2);
      }
    }
  }
}

// The numbers in the top and the bottom strip of a VideoFrame, and closes it.
export async function readFrame(frame) {
  try {
    if (!/^(I4|NV12)/.test(frame.format ?? '')) throw new Error(`pictures are ${frame.format}, and numbers are read from luma`);
    const rows = stripRows(frame.visibleRect.height);
    return [await readStrip(frame, 0, rows), await readStrip(frame, frame.visibleRect.height - rows, rows)];
  } finally {
    frame.close();
  }
}

async function readStrip(frame, top, rows) {
  const { x, y, width } = frame.visibleRect;
  const options = { rect: { x, y: y + top, width, height: rows } };
  const bytes = new Uint8Array(frame.allocationSize(options));
  const [luma] = await frame.copyTo(bytes, options);
  return readCode(bytes.subarray(luma.offset), luma.stride, width, rows);
}

function mean(luma, stride, left, right, top, bottom) {
  let sum = 0;
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) sum += luma[row * stride + column];
  }
  return sum / ((right - left) * (bottom - top));
}

function crc8(number) {
  let crc = 0xff;
  for (const shift of [16, 8, 0]) {
    crc ^= (number >> shift) & 0xff;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : crc << 1;
  }
  return crc;
}
