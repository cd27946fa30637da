//! A frame's number, drawn into its pixels.
//!
//! The number is written twice, in a strip at the top and one at the bottom, so that a picture that was overwritten while it was read
//! shows: its strips disagree. A strip is 32 cells wide: 24 bits of the number and 8 of its CRC, most significant first. Each cell is
//! drawn light over dark for 1 and dark over light for 0, so that a reader compares a cell only with itself and needs no threshold. The
//! readers are `page/code.js` and [`read`]; the tests hold both against [`draw`], and the reader here against what that script draws.

use crosspoint_ffi::I420Mut;

/// A rectangle of a drawn number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cell {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) light: bool,
}

/// Draws `number` into both strips of `picture`. Only the lower 24 bits count.
pub(crate) fn draw(picture: &mut I420Mut<'_>, number: u32) {
    let (width, height) = (picture.width, picture.height);
    let rows = strip_rows(height);
    for top in [0, height - rows] {
        picture.window(0, top, width, rows).fill_black();
    }
    for cell in cells(width, height, number) {
        for row in cell.y..cell.y + cell.height {
            picture.y.row_mut(row, width)[cell.x..cell.x + cell.width].fill(if cell.light { LIGHT } else { DARK });
        }
    }
}

/// What `number` looks like in a picture of this size: rectangles that fill both strips.
pub(crate) fn cells(width: usize, height: usize, number: u32) -> impl Iterator<Item = Cell> {
    let word = number << 8 | u32::from(crc8(number));
    let (rows, half) = (strip_rows(height), strip_rows(height) / 2);
    let places = [0, height - rows].into_iter().flat_map(|top| (0..CELLS).map(move |cell| (top, cell)));
    places.flat_map(move |(top, cell)| {
        let one = word >> (CELLS - 1 - cell) & 1 == 1;
        let (x, end) = (cell * width / CELLS, (cell + 1) * width / CELLS);
        [(top, one), (top + half, !one)].map(|(y, light)| Cell { x, y, width: end - x, height: half, light })
    })
}

/// The numbers in the top and the bottom strip of a picture, of packed `luma`; nothing where none can be read.
pub(crate) fn read(luma: &[u8], width: usize) -> [Option<u32>; 2] {
    let rows = strip_rows(luma.len() / width);
    [luma.get(..rows * width), luma.len().checked_sub(rows * width).and_then(|start| luma.get(start..))]
        .map(|strip| strip.filter(|strip| !strip.is_empty()).and_then(|strip| read_strip(strip, width, rows)))
}

fn read_strip(luma: &[u8], width: usize, rows: usize) -> Option<u32> {
    let mut word = 0_u32;
    for cell in 0..CELLS {
        let (x, end) = (cell * width / CELLS, (cell + 1) * width / CELLS);
        // The middle of each half: the edges blur.
        let margin = (end - x) / 4;
        let mean = |top: usize, bottom: usize| {
            let sum: u32 =
                (top..bottom).flat_map(|row| &luma[row * width + x + margin..row * width + end - margin]).map(|&y| u32::from(y)).sum();
            f64::from(sum) / ((end - x - 2 * margin) * (bottom - top)) as f64
        };
        let difference = mean(rows / 8, (rows * 3).div_ceil(8)) - mean(rows * 5 / 8, (rows * 7).div_ceil(8));
        if difference.abs() < LEAST_CONTRAST {
            return None;
        }
        word = word << 1 | u32::from(difference > 0.0);
    }
    let number = word >> 8;
    (crc8(number) == word as u8).then_some(number)
}

/// The rows of a strip in a picture of `height` rows: a tenth, in multiples of four so that chroma rows and both halves are whole.
pub(crate) fn strip_rows(height: usize) -> usize {
    height / 40 * 4
}

/// CRC-8 (polynomial 0x07, all bits of the start value set) of the lower 24 bits: black does not pass for frame 0.
fn crc8(number: u32) -> u8 {
    number.to_be_bytes()[1..]
        .iter()
        .fold(0xff, |crc, &byte| (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 }))
}

/// The cells of a strip.
const CELLS: usize = 32;
/// The ends of the limited range (ITU-R BT.601).
const LIGHT: u8 = 235;
const DARK: u8 = 16;

/// Of 219 steps between dark and light: what compression leaves of a cell is far above, what it makes of a flat one far below.
const LEAST_CONTRAST: f64 = 24.0;

/// The least sides that leave a cell enough pixels to survive compression.
pub(crate) const MIN_WIDTH: u32 = 320;
pub(crate) const MIN_HEIGHT: u32 = 180;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    const WIDTH: usize = 640;
    const HEIGHT: usize = 360;

    /// What both readers make of pictures, which must be the same.
    fn read_back(pictures: &[Vec<u8>]) -> Vec<[Option<u32>; 2]> {
        let ours: Vec<_> = pictures.iter().map(|picture| read(&picture[..WIDTH * HEIGHT], WIDTH)).collect();
        assert_eq!(ours, read_by_page(pictures));
        ours
    }

    /// What the page's reader makes of packed I420 pictures: the number in the top strip and the one in the bottom strip of each.
    fn read_by_page(pictures: &[Vec<u8>]) -> Vec<[Option<u32>; 2]> {
        let script = format!(
            "import fs from 'node:fs'; import {{ readCode, stripRows }} from 'file://{}';
             const [width, height] = [{WIDTH}, {HEIGHT}], rows = stripRows(height), bytes = width * height * 3 / 2;
             const all = fs.readFileSync(0), read = [];
             for (let start = 0; start < all.length; start += bytes) {{
               const luma = all.subarray(start, start + width * height);
               read.push([readCode(luma, width, width, rows), readCode(luma.subarray((height - rows) * width), width, width, rows)]);
             }}
             console.log(JSON.stringify(read));",
            code_js()
        );
        serde_json::from_slice(&run_script(&script, &pictures.concat())).expect("the reader's answer")
    }

    /// What a script says.
    fn run_script(script: &str, input: &[u8]) -> Vec<u8> {
        let mut node = Command::new("node")
            .args(["--input-type=module", "--no-warnings", "-e", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node, which also builds the web pages");
        node.stdin.take().unwrap().write_all(input).unwrap();
        node.wait_with_output().unwrap().stdout
    }

    /// The page's own part.
    fn code_js() -> String {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/code.js").display().to_string()
    }

    fn grey() -> Vec<u8> {
        vec![126; WIDTH * HEIGHT * 3 / 2]
    }

    fn drawn(number: u32) -> Vec<u8> {
        let mut bytes = grey();
        draw(&mut I420Mut::packed(&mut bytes, WIDTH as u32, HEIGHT as u32).unwrap(), number);
        bytes
    }

    #[test]
    fn what_a_page_draws_is_read() {
        let numbers = [0, 1, 599, 0xff_ffff];
        // A canvas of luma alone.
        let script = format!(
            "import {{ drawCode }} from 'file://{}';
             for (const number of {numbers:?}) {{
               const luma = new Uint8Array({WIDTH} * {HEIGHT}).fill(126);
               const fillRect = (x, y, width, height) => {{
                 for (let row = y; row < y + height; row++) {{
                   luma.fill(context.fillStyle === 'white' ? 235 : 16, row * {WIDTH} + x, row * {WIDTH} + x + width);
                 }}
               }};
               const context = {{ fillRect }};
               drawCode(context, {WIDTH}, {HEIGHT}, number);
               process.stdout.write(luma);
             }}",
            code_js()
        );
        let drawn = run_script(&script, &[]);
        let read: Vec<_> = drawn.chunks(WIDTH * HEIGHT).map(|luma| read(luma, WIDTH)).collect();
        assert_eq!(read, numbers.map(|number| [Some(number); 2]));
    }

    #[test]
    fn page_reads_what_is_drawn() {
        let numbers = [0, 1, 2, 599, 0x55_5555, 0xaa_aaaa, 0xff_ffff];
        let expected: Vec<_> = numbers.map(|number| [Some(number); 2]).into();
        assert_eq!(read_back(&numbers.map(drawn)), expected);
    }

    #[test]
    fn page_reads_through_noise_and_low_contrast() {
        let mut seed = 1_u32;
        let rough = |number| {
            let mut bytes = drawn(number);
            for sample in &mut bytes {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // A third of the contrast, brighter, and noise as strong as what is left of it.
                *sample = 90 + *sample / 3 + (seed >> 26) as u8;
            }
            bytes
        };
        assert_eq!(read_back(&[1_234, 77].map(rough)), [[Some(1_234); 2], [Some(77); 2]]);
    }

    #[test]
    fn page_reads_nothing_where_nothing_is_drawn() {
        let black: Vec<u8> = [vec![16; WIDTH * HEIGHT], vec![128; WIDTH * HEIGHT / 2]].concat();
        let mut flipped = drawn(1_000);
        // One cell of the top strip turned upside down: no number has this CRC.
        for row in 0..strip_rows(HEIGHT) {
            let cell = &mut flipped[row * WIDTH + 200..row * WIDTH + 220];
            cell.iter_mut().for_each(|sample| *sample = LIGHT + DARK - *sample);
        }
        assert_eq!(read_back(&[grey(), black, flipped]), [[None; 2], [None; 2], [None, Some(1_000)]]);
    }

    #[test]
    fn torn_picture_has_two_numbers() {
        let (mut torn, newer) = (drawn(41), drawn(42));
        torn[..WIDTH * HEIGHT / 2].copy_from_slice(&newer[..WIDTH * HEIGHT / 2]);
        assert_eq!(read_back(&[torn]), [[Some(42), Some(41)]]);
    }
}
