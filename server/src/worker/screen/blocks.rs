//! The blocks that a picture is compared by.

use std::ops::Range;

use crosspoint_ffi::{I420, Plane};

/// The samples of a block's side: of a macroblock's.
const SIDE: usize = 16;

/// How many blocks a picture of these sides has; the last of a row and the last rows may be narrower.
pub(super) fn count(width: usize, height: usize) -> usize {
    width.div_ceil(SIDE) * height.div_ceil(SIDE)
}

/// The blocks that have part in these rows of a picture: by their number, row by row.
pub(super) fn in_rows(width: usize, rows: &Range<usize>) -> Range<usize> {
    let columns = width.div_ceil(SIDE);
    rows.start / SIDE * columns..rows.end.div_ceil(SIDE) * columns
}

/// Rows of a picture as they were, to compare them with.
#[derive(Clone, Debug)]
pub(super) struct Before<'a> {
    /// Packed I420 of these rows alone: the planes one after the other.
    pub(super) bytes: &'a [u8],
    /// Which ones: even.
    pub(super) rows: Range<usize>,
}

impl<'a> Before<'a> {
    /// The blocks that differ in these rows from `picture`, which is packed and has the same width: by their number, rising.
    pub(super) fn changed(self, picture: I420<'a>) -> impl Iterator<Item = usize> + 'a {
        let columns = picture.width.div_ceil(SIDE);
        in_rows(picture.width, &self.rows).filter(move |block| {
            let (row, column) = (block / columns * SIDE, block % columns * SIDE);
            let rows = self.rows.start.max(row)..self.rows.end.min(row + SIDE);
            self.differs(&picture, &rows, column..picture.width.min(column + SIDE))
        })
    }

    /// Whether `picture` is another in this part of the rows.
    fn differs(&self, picture: &I420<'_>, rows: &Range<usize>, columns: Range<usize>) -> bool {
        let luma_bytes = self.rows.len() * picture.width;
        let (luma, chroma) = self.bytes.split_at(luma_bytes);
        let (blue, red) = chroma.split_at(luma_bytes / 4);
        let half = |range: &Range<usize>| range.start / 2..range.end / 2;
        let (half_rows, half_columns) = (half(rows), half(&columns));
        differ(picture.y, luma, self.rows.start, rows, &columns)
            || differ(picture.u, blue, self.rows.start / 2, &half_rows, &half_columns)
            || differ(picture.v, red, self.rows.start / 2, &half_rows, &half_columns)
    }
}

/// Whether a packed plane differs from what it was from row `first` on, in this part.
fn differ(plane: Plane<'_>, before: &[u8], first: usize, rows: &Range<usize>, columns: &Range<usize>) -> bool {
    rows.clone().any(|row| {
        let old = &before[(row - first) * plane.stride..][columns.clone()];
        plane.data[row * plane.stride..][columns.clone()] != *old
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_of_any_plane_changes_its_block() {
        const WIDTH: usize = 36;
        const HEIGHT: usize = 34;
        let before = vec![100; WIDTH * HEIGHT * 3 / 2];
        for (plane, scale) in [(0, 1), (WIDTH * HEIGHT, 2), (WIDTH * HEIGHT * 5 / 4, 2)] {
            for (x, y, block) in [(0, 0, 0), (15, 15, 0), (16, 0, 1), (35, 17, 5), (0, 33, 6), (35, 33, 8)] {
                let mut after = before.clone();
                after[plane + y / scale * (WIDTH / scale) + x / scale] += 1;
                let picture = I420::packed(&after, WIDTH as u32, HEIGHT as u32).expect("sized");
                let changed: Vec<_> = Before { bytes: &before, rows: 0..HEIGHT }.changed(picture).collect();
                assert_eq!(changed, [block], "plane from {plane}, {x}, {y}");
            }
        }
    }
}
