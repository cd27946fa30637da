// Reads the frame numbers that server/e2e/clip.py draws at the top and at the bottom of a picture.

// white, black, 16 bits of the number from the highest, 4 bits of checksum, black, white
const CELLS = 24;
// A code row is this part of the picture's height.
const ROW = 1 / 15;
// Below this difference of white and black there is no code, but a picture of something else.
const CONTRAST = 80;

const checksum = (number) => (number ^ (number >> 4) ^ (number >> 8) ^ (number >> 12) ^ 0b0110) & 0b1111;

// The mean luma of one cell, from its middle, where scaling and blocking do not reach.
function cellLevel(luma, stride, left, width, top, height, cell) {
  const x0 = Math.round(left + ((cell + 0.3) * width) / CELLS);
  const x1 = Math.max(Math.round(left + ((cell + 0.7) * width) / CELLS), x0 + 1);
  const y0 = Math.round(top + height * 0.35);
  const y1 = Math.max(Math.round(top + height * 0.65), y0 + 1);
  let sum = 0;
  for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) sum += luma[y * stride + x];
  return sum / ((y1 - y0) * (x1 - x0));
}

function readRow(luma, stride, left, width, top, height) {
  const level = (cell) => cellLevel(luma, stride, left, width, top, height, cell);
  const white = (level(0) + level(CELLS - 1)) / 2;
  const black = (level(1) + level(CELLS - 2)) / 2;
  if (white - black < CONTRAST) return null;
  let word = 0;
  for (let cell = 2; cell < CELLS - 2; cell++) word = (word << 1) | (level(cell) > (white + black) / 2 ? 1 : 0);
  const number = word >> 4;
  return checksum(number) === (word & 0b1111) ? number : null;
}

// The codes at the top and at the bottom of the clip inside a picture: `{top, bottom}`, each a number or null. The clip may have been
// letterboxed: `aspects` are the shapes (width / height) it is looked for in, the first that shows a code at either end is taken.
export function readCodes({ luma, stride, width, height }, aspects) {
  let codes = { top: null, bottom: null };
  for (const aspect of aspects) {
    const inner = Math.min(width, height * aspect);
    const tall = Math.min(height, width / aspect);
    const left = (width - inner) / 2;
    const top = (height - tall) / 2;
    const row = tall * ROW;
    codes = {
      top: readRow(luma, stride, left, inner, top, row),
      bottom: readRow(luma, stride, left, inner, top + tall - row, row),
    };
    if (codes.top !== null || codes.bottom !== null) break;
  }
  return codes;
}
