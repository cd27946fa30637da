//! From what a screen has to what an encoder takes.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod pair;

use std::ops::Range;

use crate::{Bgra, Error, I420Mut, Remedy, Result};
use pair::Pair;

/// Converts `rows` of `from` to the same rows of `to`, in ITU-R BT.601 limited range; a last odd column or row is left out.
///
/// BT.601 because the one picture feeds every encoder: VP8 means BT.601 by its specification and MPEG-1 has no way to say anything
/// else. H.264 can say what it carries, and must: without VUI colour fields players guess by size, Chromium BT.709 from 720 rows up.
///
/// Copies: 1 (the conversion is the pass).
///
/// # Errors
/// [`Remedy::Drop`] when `to` is not `from`'s size rounded down to even sides, or `rows` starts or ends at an odd row inside it.
pub fn bgra_to_i420(from: &Bgra<'_>, rows: Range<usize>, to: &mut I420Mut<'_>) -> Result<()> {
    let refuse = |detail: String| Err(Error::new(DOING, Remedy::Drop, detail));
    let (width, height) = (from.width & !1, from.height & !1);
    if (to.width, to.height) != (width, height) {
        return refuse(format!("{}x{} does not fit {}x{}", from.width, from.height, to.width, to.height));
    }
    let rows = rows.start..rows.end.min(height);
    if !rows.start.is_multiple_of(2) || !rows.end.is_multiple_of(2) {
        return refuse(format!("rows {rows:?} share chroma with their neighbours"));
    }
    if rows.is_empty() || width == 0 {
        return Ok(());
    }
    convert(from, rows, to);
    Ok(())
}

fn convert(from: &Bgra<'_>, rows: Range<usize>, to: &mut I420Mut<'_>) {
    #[cfg(target_arch = "x86_64")]
    if to.width >= avx2::COLUMNS && is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2, by the line above; that is all the function asks.
        return unsafe { convert_by_avx2(from, rows, to) };
    }
    each_pair(from, rows, to, |mut pair| pair.convert());
}

/// [`convert`], compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn convert_by_avx2(from: &Bgra<'_>, rows: Range<usize>, to: &mut I420Mut<'_>) {
    each_pair(from, rows, to, |mut pair| avx2::convert(&mut pair));
}

/// Calls `each` for every two of `rows`, which begin and end even, without a last odd column.
#[inline(always)]
fn each_pair(from: &Bgra<'_>, rows: Range<usize>, to: &mut I420Mut<'_>, each: impl Fn(Pair<'_>)) {
    let width = to.width;
    for y in rows.step_by(2) {
        let (upper, lower) = to.y.data[y * to.y.stride..].split_at_mut(to.y.stride);
        each(Pair {
            from: [from.pixels.row(y, width * 4), from.pixels.row(y + 1, width * 4)],
            luma: [&mut upper[..width], &mut lower[..width]],
            chroma: [to.u.row_mut(y / 2, width / 2), to.v.row_mut(y / 2, width / 2)],
        });
    }
}

const DOING: &str = "converting the screen";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plane;

    /// BT.601 limited range, as ITU-R BT.601-7, 2.5.1 and 2.5.3 have it.
    fn reference([blue, green, red]: [f64; 3]) -> [f64; 3] {
        let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
        [16.0 + luma * 219.0 / 255.0, 128.0 + (blue - luma) / 1.772 * 224.0 / 255.0, 128.0 + (red - luma) / 1.402 * 224.0 / 255.0]
    }

    fn solid(width: usize, height: usize, colour: [u8; 3]) -> Vec<u8> {
        [colour[0], colour[1], colour[2], 0].repeat(width * height)
    }

    #[test]
    fn colours_land_where_bt601_puts_them() {
        for colour in [[0; 3], [255; 3], [255, 0, 0], [0, 255, 0], [0, 0, 255], [12, 200, 97], [128; 3]] {
            let pixels = solid(64, 16, colour);
            let from = Bgra { width: 64, height: 16, pixels: Plane { data: &pixels, stride: 256 } };
            let mut bytes = [0; 64 * 16 * 3 / 2];
            let mut to = I420Mut::packed(&mut bytes, 64, 16).expect("sized");
            bgra_to_i420(&from, 0..16, &mut to).expect("fits");
            let expected = reference(colour.map(f64::from));
            for (plane, expected) in [(&*to.y.data, expected[0]), (&*to.u.data, expected[1]), (&*to.v.data, expected[2])] {
                assert!(plane.iter().all(|&sample| (f64::from(sample) - expected).abs() <= 1.5), "{colour:?}: {expected} {plane:?}");
            }
        }
    }

    #[test]
    fn bands_make_the_same_picture_as_the_whole() {
        // Odd sides and a padded stride: 853 × 481, the last column and row left out.
        let (width, height, stride) = (853, 481, 853 * 4 + 12);
        let pixels: Vec<u8> = (0..stride * height).map(|n| ((n * 2_654_435_761) >> 13) as u8).collect();
        let from = Bgra { width, height, pixels: Plane { data: &pixels, stride } };
        let (mut whole, mut banded) = (vec![0; 852 * 480 * 3 / 2], vec![0; 852 * 480 * 3 / 2]);
        bgra_to_i420(&from, 0..481, &mut I420Mut::packed(&mut whole, 852, 480).expect("sized")).expect("fits");
        for rows in [0..2, 2..100, 100..478, 478..481] {
            bgra_to_i420(&from, rows, &mut I420Mut::packed(&mut banded, 852, 480).expect("sized")).expect("fits");
        }
        assert!(whole == banded);
    }

    /// The same picture by [`Pair::convert`] alone.
    fn portable(from: &Bgra<'_>, rows: Range<usize>, to: &mut I420Mut<'_>) {
        each_pair(from, rows.start..rows.end.min(to.height), to, |mut pair| pair.convert());
    }

    fn noise(bytes: usize) -> Vec<u8> {
        (0..bytes as u64)
            .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0x94d0_49bb_1331_11eb) >> 56) as u8)
            .collect()
    }

    #[test]
    fn every_width_and_band_is_the_same_on_every_machine() {
        for width in (2..140).chain([639, 640, 1_366]) {
            let (height, stride) = (13, width * 4 + 20);
            let pixels = noise(stride * height);
            let from = Bgra { width, height, pixels: Plane { data: &pixels, stride } };
            let (w, h) = (width & !1, height & !1);
            for rows in [0..13, 2..4, 6..12, 10..13] {
                let (mut ours, mut theirs) = (vec![7; w * h * 3 / 2], vec![7; w * h * 3 / 2]);
                bgra_to_i420(&from, rows.clone(), &mut I420Mut::packed(&mut ours, w as u32, h as u32).expect("sized")).expect("fits");
                portable(&from, rows.clone(), &mut I420Mut::packed(&mut theirs, w as u32, h as u32).expect("sized"));
                assert!(ours == theirs, "{width} columns, rows {rows:?}");
            }
        }
    }

    #[test]
    fn no_colour_is_more_than_one_off() {
        let levels = [0, 1, 2, 63, 64, 127, 128, 129, 200, 253, 254, 255];
        for index in 0..levels.len().pow(3) {
            let colour = [index / 144, index / 12 % 12, index % 12].map(|at| levels[at]);
            let pixels = [colour[0], colour[1], colour[2], index as u8].repeat(32 * 2);
            let from = Bgra { width: 32, height: 2, pixels: Plane { data: &pixels, stride: 128 } };
            let mut bytes = [0; 32 * 3];
            let mut to = I420Mut::packed(&mut bytes, 32, 2).expect("sized");
            bgra_to_i420(&from, 0..2, &mut to).expect("fits");
            let expected = reference(colour.map(f64::from));
            for (plane, expected) in [(&*to.y.data, expected[0]), (&*to.u.data, expected[1]), (&*to.v.data, expected[2])] {
                assert!(plane.iter().all(|&sample| (f64::from(sample) - expected).abs() < 1.0), "{colour:?}: {expected} {plane:?}");
            }
        }
    }

    #[test]
    fn rows_outside_the_band_stay() {
        let pixels = solid(16, 16, [255; 3]);
        let from = Bgra { width: 16, height: 16, pixels: Plane { data: &pixels, stride: 64 } };
        let mut bytes = [7; 16 * 16 * 3 / 2];
        let mut to = I420Mut::packed(&mut bytes, 16, 16).expect("sized");
        bgra_to_i420(&from, 4..6, &mut to).expect("fits");
        let touched = |plane: &[u8], stride: usize| (0..plane.len() / stride).filter(|y| plane[y * stride] != 7).collect::<Vec<_>>();
        assert_eq!((touched(to.y.data, 16), touched(to.u.data, 8), touched(to.v.data, 8)), (vec![4, 5], vec![2], vec![2]));
    }

    #[test]
    fn a_last_row_without_padding_is_converted_too() {
        let pixels = solid(32, 16, [255; 3]);
        let from = Bgra { width: 24, height: 16, pixels: Plane { data: &pixels[..15 * 128 + 96], stride: 128 } };
        let mut bytes = vec![0; 32 * 16 * 3 / 2];
        let mut to = I420Mut::packed(&mut bytes, 32, 16).expect("sized");
        bgra_to_i420(&from, 0..16, &mut to.window(8, 0, 24, 16)).expect("fits");
        let lit = |plane: &[u8], value: u8| plane.iter().filter(|&&sample| sample == value).count();
        assert_eq!((lit(to.y.data, 235), lit(to.u.data, 128), lit(to.v.data, 128)), (24 * 16, 12 * 8, 12 * 8));
    }

    #[test]
    fn sizes_and_rows_that_do_not_fit_are_refused() {
        let pixels = solid(17, 17, [0; 3]);
        let from = Bgra { width: 17, height: 17, pixels: Plane { data: &pixels, stride: 68 } };
        let mut bytes = [0; 18 * 18 * 3 / 2];
        for (width, height, rows, fits) in [
            (16, 16, 0..17, true),
            (16, 16, 0..999, true),
            (18, 18, 0..16, false),
            (16, 16, 1..4, false),
            (16, 16, 0..3, false),
            (16, 14, 0..2, false),
        ] {
            let mut to = I420Mut::packed(&mut bytes, width, height).expect("sized");
            assert_eq!(bgra_to_i420(&from, rows.clone(), &mut to).is_ok(), fits, "{width}x{height} {rows:?}");
        }
    }
}
