//! How the X server packs a pixel, and the way from there to BGRA.

use x11::xlib;

use crate::{Error, Remedy, Result};

/// The packing of a pixel in 16 or 32 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// Blue, green, red, unused, a byte each: ours already.
    Bgrx,
    /// Anything else, little-endian.
    Masked {
        /// Bytes a pixel: 2 or 4.
        bytes: usize,
        /// Blue, green, red.
        channels: [Channel; 3],
    },
}

/// Where a colour's bits are in a pixel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Channel {
    shift: u32,
    max: u32,
    /// 255 over `max`, in 2⁻²⁴: a division for each sample would take ten times as long.
    scale: u32,
}

impl Layout {
    /// The layout of `image`.
    ///
    /// # Errors
    /// When it is not a little-endian true-colour layout of 16 or 32 bits.
    pub(super) fn new(image: &xlib::XImage) -> Result<Self> {
        let refuse = |detail: String| Err(Error::new("reading the screen's pixel layout", Remedy::Report, detail));
        if image.byte_order != xlib::LSBFirst {
            return refuse("the X server is big-endian".to_owned());
        }
        let masks = [image.blue_mask as u32, image.green_mask as u32, image.red_mask as u32];
        let bytes = match image.bits_per_pixel {
            16 => 2,
            32 => 4,
            bits => return refuse(format!("{bits} bits a pixel; depths 16, 24, 30 and 32 are understood")),
        };
        if masks.contains(&0) {
            return refuse("not a true-colour screen".to_owned());
        }
        if bytes == 4 && masks == [0xff, 0xff00, 0xff_0000] {
            return Ok(Self::Bgrx);
        }
        Ok(Self::Masked { bytes, channels: masks.map(Channel::new) })
    }

    /// Writes the pixels of the row `from` to `to` as BGRA; as many as fit both.
    pub(super) fn unpack(self, from: &[u8], to: &mut [u8]) {
        match self {
            Self::Bgrx => {
                let length = from.len().min(to.len());
                to[..length].copy_from_slice(&from[..length]);
            }
            Self::Masked { bytes: 2, channels } => {
                let pixels = from.as_chunks().0.iter().map(|&pixel| u32::from(u16::from_le_bytes(pixel)));
                unpack_each(pixels, channels, to);
            }
            Self::Masked { bytes: _, channels } => {
                let pixels = from.as_chunks().0.iter().map(|&pixel| u32::from_le_bytes(pixel));
                unpack_each(pixels, channels, to);
            }
        }
    }
}

fn unpack_each(from: impl Iterator<Item = u32>, [blue, green, red]: [Channel; 3], to: &mut [u8]) {
    for (pixel, to) in from.zip(to.as_chunks_mut::<4>().0) {
        *to = [blue.sample(pixel), green.sample(pixel), red.sample(pixel), 255];
    }
}

impl Channel {
    fn new(mask: u32) -> Self {
        let shift = mask.trailing_zeros();
        let max = mask >> shift;
        Self { shift, max, scale: ((255 << 24) + max / 2) / max }
    }

    /// The colour's value in `pixel`, scaled to 0…255 and rounded.
    fn sample(self, pixel: u32) -> u8 {
        // Below 2³² for every `max` below 2²⁴, which channels of three are.
        (((pixel >> self.shift & self.max) * self.scale + (1 << 23)) >> 24) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_rounded_like_a_division() {
        for bits in 1..=14 {
            let channel = Channel::new(((1 << bits) - 1) << 3);
            for value in 0..=channel.max {
                assert_eq!(
                    u32::from(channel.sample(value << 3 | 5)),
                    (value * 255 + channel.max / 2) / channel.max,
                    "{value} of {bits} bits"
                );
            }
        }
    }

    #[test]
    fn deep_and_shallow_pixels_become_eight_bits_a_colour() {
        let rgb565 = Layout::Masked { bytes: 2, channels: [0x1f, 0x7e0, 0xf800].map(Channel::new) };
        let rgb30 = Layout::Masked { bytes: 4, channels: [0x3ff, 0xf_fc00, 0x3ff0_0000].map(Channel::new) };
        for (layout, pixel, expected) in [
            (rgb565, vec![0xff, 0xff], [255, 255, 255, 255]),
            (rgb565, vec![0x00, 0xf8], [0, 0, 255, 255]),
            (rgb565, vec![0x10, 0x04], [132, 130, 0, 255]),
            (rgb30, (512_u32 << 20 | 1023 << 10 | 1).to_le_bytes().to_vec(), [0, 255, 128, 255]),
            (Layout::Bgrx, vec![1, 2, 3, 4], [1, 2, 3, 4]),
        ] {
            let mut bgra = [0; 4];
            layout.unpack(&pixel, &mut bgra);
            assert_eq!(bgra, expected, "{layout:?} {pixel:?}");
        }
    }
}
