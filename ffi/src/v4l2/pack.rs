//! Planar pictures into the layouts that a device may insist on.

use super::sys;
use crate::I420;

/// How a device wants a picture's samples to lie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pixels {
    /// Luma, then chroma in pairs.
    Nv12,
    /// Planes: what decoders make.
    Yu12,
    /// Pairs of pixels with their chroma between.
    Yuyv,
}

impl Pixels {
    /// The layout that four letters name, if it is one that we write.
    pub(super) fn of(pixel_format: u32) -> Option<Self> {
        match pixel_format {
            sys::NV12 => Some(Self::Nv12),
            sys::YU12 => Some(Self::Yu12),
            sys::YUYV => Some(Self::Yuyv),
            _ => None,
        }
    }

    /// The bytes of a picture with so many luma samples.
    pub(super) fn bytes(self, luma: usize) -> usize {
        match self {
            Self::Nv12 | Self::Yu12 => luma * 3 / 2,
            Self::Yuyv => luma * 2,
        }
    }

    /// Writes `picture`, whose sides are even, packed.
    pub(super) fn pack(self, picture: &I420<'_>, out: &mut [u8]) {
        let (width, height) = (picture.width, picture.height);
        match self {
            Self::Yu12 => {
                let (luma, chroma) = out.split_at_mut(width * height);
                let (u, v) = chroma.split_at_mut(width * height / 4);
                rows(luma, width).enumerate().for_each(|(y, row)| row.copy_from_slice(picture.y.row(y, width)));
                rows(u, width / 2).take(height / 2).enumerate().for_each(|(y, row)| row.copy_from_slice(picture.u.row(y, width / 2)));
                rows(v, width / 2).take(height / 2).enumerate().for_each(|(y, row)| row.copy_from_slice(picture.v.row(y, width / 2)));
            }
            Self::Nv12 => {
                let (luma, chroma) = out.split_at_mut(width * height);
                rows(luma, width).enumerate().for_each(|(y, row)| row.copy_from_slice(picture.y.row(y, width)));
                for (y, row) in rows(chroma, width).take(height / 2).enumerate() {
                    let (u, v) = (picture.u.row(y, width / 2), picture.v.row(y, width / 2));
                    for ((pair, u), v) in row.chunks_exact_mut(2).zip(u).zip(v) {
                        (pair[0], pair[1]) = (*u, *v);
                    }
                }
            }
            Self::Yuyv => {
                for (y, row) in rows(out, width * 2).take(height).enumerate() {
                    let (luma, u, v) = (picture.y.row(y, width), picture.u.row(y / 2, width / 2), picture.v.row(y / 2, width / 2));
                    for (((four, luma), u), v) in row.chunks_exact_mut(4).zip(luma.chunks_exact(2)).zip(u).zip(v) {
                        four.copy_from_slice(&[luma[0], *u, luma[1], *v]);
                    }
                }
            }
        }
    }
}

fn rows(samples: &mut [u8], width: usize) -> std::slice::ChunksExactMut<'_, u8> {
    samples.chunks_exact_mut(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_as_the_device_wants_them() {
        // Four by two pixels.
        let planes = [1, 2, 3, 4, 5, 6, 7, 8, 50, 60, 70, 80];
        let picture = I420::packed(&planes, 4, 2).expect("sized");
        for (pixels, expected) in [
            (Pixels::Yu12, planes.to_vec()),
            (Pixels::Nv12, vec![1, 2, 3, 4, 5, 6, 7, 8, 50, 70, 60, 80]),
            (Pixels::Yuyv, vec![1, 50, 2, 70, 3, 60, 4, 80, 5, 50, 6, 70, 7, 60, 8, 80]),
        ] {
            let mut out = vec![0; pixels.bytes(8)];
            pixels.pack(&picture, &mut out);
            assert_eq!(out, expected, "{pixels:?}");
        }
    }
}
