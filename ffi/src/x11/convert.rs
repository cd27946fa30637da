//! From what a screen has to what an encoder takes.

use std::ops::Range;

use yuv::{BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

use crate::{Bgra, Error, I420Mut, Plane, Remedy, Result};

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
    let mut band = to.window(0, rows.start, width, rows.len());
    let source = Plane { data: &from.pixels.data[rows.start * from.pixels.stride..], stride: from.pixels.stride };
    let whole = |bytes: usize, stride: usize, rows: usize| bytes >= stride * rows;
    let padded = whole(source.data.len(), source.stride, rows.len())
        && whole(band.y.data.len(), band.y.stride, rows.len())
        && whole(band.u.data.len(), band.u.stride, rows.len() / 2)
        && whole(band.v.data.len(), band.v.stride, rows.len() / 2);
    if padded {
        return convert(source, &mut band, rows.len());
    }
    let upper = rows.len() - 2;
    if upper > 0 {
        convert(source, &mut band, upper)?;
    }
    convert_last_pair(Plane { data: &source.data[upper * source.stride..], ..source }, &mut band.window(0, upper, width, 2))
}

/// Converts the first `rows` rows, an even number, of `from` to those of `to`; both have them with their padding.
///
/// The `yuv` crate works on whole strides as far as the slices go, whatever the height: they are cut to the rows that are meant.
fn convert(from: Plane<'_>, to: &mut I420Mut<'_>, rows: usize) -> Result<()> {
    let mut planar = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(&mut to.y.data[..to.y.stride * rows]),
        y_stride: to.y.stride as u32,
        u_plane: BufferStoreMut::Borrowed(&mut to.u.data[..to.u.stride * rows / 2]),
        u_stride: to.u.stride as u32,
        v_plane: BufferStoreMut::Borrowed(&mut to.v.data[..to.v.stride * rows / 2]),
        v_stride: to.v.stride as u32,
        width: to.width as u32,
        height: rows as u32,
    };
    let (source, stride) = (&from.data[..from.stride * rows], from.stride as u32);
    let (range, matrix, mode) = (YuvRange::Limited, YuvStandardMatrix::Bt601, YuvConversionMode::Balanced);
    yuv::bgra_to_yuv420(&mut planar, source, stride, range, matrix, mode)
        .map_err(|error| Error::new(DOING, Remedy::Drop, error.to_string()))
}

/// Converts two rows that are not followed by padding, by way of rows that are.
fn convert_last_pair(from: Plane<'_>, to: &mut I420Mut<'_>) -> Result<()> {
    let width = to.width;
    let source = [from.row(0, width * 4), from.row(1, width * 4)].concat();
    let mut bytes = vec![0; width * 3];
    let mut pair = I420Mut::packed(&mut bytes, width as u32, 2).expect("even and sized");
    convert(Plane { data: &source, stride: width * 4 }, &mut pair, 2)?;
    for y in 0..2 {
        to.y.row_mut(y, width).copy_from_slice(pair.y.row_mut(y, width));
    }
    to.u.row_mut(0, width / 2).copy_from_slice(pair.u.data);
    to.v.row_mut(0, width / 2).copy_from_slice(pair.v.data);
    Ok(())
}

const DOING: &str = "converting the screen";

#[cfg(test)]
mod tests {
    use super::*;

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
