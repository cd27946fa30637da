//! The picture that all encodings read, and what of it changed when.

use std::ops::Range;
use std::time::Instant;

use crosspoint_ffi::x11::bgra_to_i420;
use crosspoint_ffi::{Bgra, I420, I420Mut, Result};

use super::blocks::{self, Before};

/// The picture that is encoded, again and again.
///
/// It remembers of every block of 16 by 16 samples, a macroblock, when it changed last. Of a small part of the screen that was drawn on, that
/// is found out by looking: much is drawn anew as it was.
///
/// Copies: 0 (1 of the rows of a small part, to compare them with).
pub(super) struct Canvas {
    bytes: Vec<u8>,
    width: u32,
    height: u32,
    /// Changes with each change of the picture.
    version: u64,
    /// Changes when the picture has nothing to do with the one before.
    scene: u64,
    captured: Instant,
    /// The version that each block is of, row by row.
    blocks: Vec<u64>,
    /// What rows were like before.
    before: Vec<u8>,
}

/// The part of the picture, 1 in so many, that is looked at closely when it was drawn on. Of more than that something changed for sure.
const SMALL_PART: usize = 4;

impl Canvas {
    /// Makes a black one of even sides.
    pub(super) fn new((width, height): (u32, u32)) -> Self {
        let bytes = vec![0; width as usize * height as usize * 3 / 2];
        let blocks = vec![0; blocks::count(width as usize, height as usize)];
        let mut canvas = Self { bytes, width, height, version: 0, scene: 0, captured: Instant::now(), blocks, before: Vec::new() };
        canvas.picture_mut().fill_black();
        canvas
    }

    /// The picture; its sides are even.
    pub(super) fn picture(&self) -> I420<'_> {
        I420::packed(&self.bytes, self.width, self.height).expect("even and sized")
    }

    /// Another number for each picture.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Another number for each picture that is better not predicted from the one before.
    pub(super) fn scene(&self) -> u64 {
        self.scene
    }

    /// When the picture was looked at.
    pub(super) fn captured(&self) -> Instant {
        self.captured
    }

    /// The blocks that changed since it was of this version, by their number, row by row.
    pub(super) fn changed_since(&self, version: u64) -> impl Iterator<Item = u32> {
        (0..).zip(&self.blocks).filter(move |(_, changed)| **changed > version).map(|(block, _)| block)
    }

    /// Makes it of another size: another picture.
    pub(super) fn resize(&mut self, size: (u32, u32)) {
        if (self.width, self.height) != size {
            *self = Self { version: self.version, scene: self.scene, ..Self::new(size) };
            self.renew(self.captured);
        }
    }

    /// Makes it black: another picture.
    pub(super) fn blacken(&mut self, captured: Instant) {
        self.picture_mut().fill_black();
        self.renew(captured);
    }

    /// Says that the picture is all new.
    pub(super) fn renew(&mut self, captured: Instant) {
        self.scene += 1;
        self.version += 1;
        self.blocks.fill(self.version);
        self.captured = captured;
    }

    /// Takes these bands of rows from `screen`, which has its size, odd or not.
    ///
    /// # Errors
    /// When a band is not inside the picture.
    pub(super) fn draw(&mut self, screen: &Bgra<'_>, bands: &[Range<usize>], captured: Instant) -> Result<()> {
        let version = self.version + 1;
        let drawn_rows: usize = bands.iter().map(ExactSizeIterator::len).sum();
        let is_small = drawn_rows * SMALL_PART <= self.height as usize;
        let mut is_changed = false;
        for band in bands {
            // Of an odd screen the last row is left out.
            let rows = band.start..band.end.min(self.height as usize);
            if is_small {
                self.remember(&rows);
            }
            bgra_to_i420(screen, band.clone(), &mut self.picture_mut())?;
            is_changed |= self.mark(&rows, is_small, version);
        }
        if is_changed {
            (self.version, self.captured) = (version, captured);
        }
        Ok(())
    }

    /// Keeps what `rows` are like, even ones, for [`Canvas::mark`].
    fn remember(&mut self, rows: &Range<usize>) {
        let (width, mut before) = (self.width as usize, std::mem::take(&mut self.before));
        before.clear();
        let picture = self.picture();
        before.extend_from_slice(&picture.y.data[rows.start * width..rows.end * width]);
        for plane in [picture.u, picture.v] {
            before.extend_from_slice(&plane.data[rows.start / 2 * width / 2..rows.end / 2 * width / 2]);
        }
        self.before = before;
    }

    /// Marks the blocks of `rows` that changed; unless they are to be compared with what was remembered, all. Says whether there are any.
    fn mark(&mut self, rows: &Range<usize>, compares: bool, version: u64) -> bool {
        let mut marked = std::mem::take(&mut self.blocks);
        let mut is_changed = false;
        let mark = |block: usize| {
            marked[block] = version;
            is_changed = true;
        };
        if compares {
            Before { bytes: &self.before, rows: rows.clone() }.changed(self.picture()).for_each(mark);
        } else {
            blocks::in_rows(self.width as usize, rows).for_each(mark);
        }
        self.blocks = marked;
        is_changed
    }

    fn picture_mut(&mut self) -> I420Mut<'_> {
        I420Mut::packed(&mut self.bytes, self.width, self.height).expect("even and sized")
    }
}

#[cfg(test)]
mod tests {
    use crosspoint_ffi::Plane;

    use super::*;

    const WIDTH: usize = 70;
    const HEIGHT: usize = 50;

    /// A canvas and the screen that it shows, all of one grey.
    fn shown() -> (Canvas, Vec<u8>) {
        let mut canvas = Canvas::new((WIDTH as u32, HEIGHT as u32));
        let screen = vec![100; WIDTH * HEIGHT * 4];
        take(&mut canvas, &screen, 0..HEIGHT);
        (canvas, screen)
    }

    /// Draws these rows, and answers the blocks that changed.
    fn take(canvas: &mut Canvas, screen: &[u8], rows: Range<usize>) -> Vec<u32> {
        let before = canvas.version();
        let pixels = Plane { data: screen, stride: WIDTH * 4 };
        canvas.draw(&Bgra { width: WIDTH, height: HEIGHT, pixels }, &[rows], Instant::now()).expect("inside");
        let changed: Vec<_> = canvas.changed_since(before).collect();
        assert_eq!(changed.is_empty(), canvas.version() == before);
        changed
    }

    fn paint(screen: &mut [u8], column: usize, row: usize) {
        screen[(row * WIDTH + column) * 4..][..4].fill(250);
    }

    #[test]
    fn small_part_that_was_drawn_on_is_told_by_what_differs_in_it() {
        // Of 5 by 4 blocks; the last ones are 6 wide and 2 high.
        for (column, row, block) in [(0, 0, 0), (15, 15, 0), (16, 15, 1), (69, 17, 9), (40, 48, 17), (69, 49, 19)] {
            let (mut canvas, mut screen) = shown();
            paint(&mut screen, column, row);
            let start = row & !1;
            assert_eq!(take(&mut canvas, &screen, start..start + 2), [block], "{column}, {row}");
            assert_eq!(take(&mut canvas, &screen, start..start + 2), [0; 0], "the same again");
        }
    }

    #[test]
    fn changes_of_several_pictures_add_up_and_each_is_told_from_when_it_was() {
        let (mut canvas, mut screen) = shown();
        let first = canvas.version();
        paint(&mut screen, 0, 0);
        take(&mut canvas, &screen, 0..2);
        let second = canvas.version();
        paint(&mut screen, 30, 30);
        paint(&mut screen, 31, 32);
        take(&mut canvas, &screen, 30..34);
        assert_eq!(canvas.changed_since(first).collect::<Vec<_>>(), [0, 6, 11]);
        assert_eq!(canvas.changed_since(second).collect::<Vec<_>>(), [6, 11]);
        assert_eq!(canvas.changed_since(canvas.version()).count(), 0);
    }

    #[test]
    fn large_part_is_all_taken_for_changed_and_another_picture_altogether() {
        let (mut canvas, screen) = shown();
        let (version, scene) = (canvas.version(), canvas.scene());
        assert_eq!(take(&mut canvas, &screen, 16..48), (5..15).collect::<Vec<_>>());
        assert_eq!(canvas.scene(), scene);
        canvas.blacken(Instant::now());
        assert_eq!((canvas.changed_since(version).count(), canvas.scene()), (20, scene + 1));
        let version = canvas.version();
        canvas.resize((32, 32));
        assert_eq!((canvas.changed_since(version).count(), canvas.scene()), (4, scene + 2));
    }
}
