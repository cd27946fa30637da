//! Two rows of BGRA to two of luma and one of each chroma: what every way of converting must compute.
//!
//! ITU-R BT.601 in limited range, in weights of 256ths: within half a level of exact for any colour, before the one rounding. Chroma is of
//! the mean of two columns of the mean of two rows; both means round up, which the chroma weights, whose sum is zero, take out again.

/// Blue, green, red of a luma sample: 219/255 of the weights of BT.601-7, 2.5.1.
pub(super) const LUMA: [i32; 3] = [25, 129, 66];
/// … of a blue difference sample, and …
pub(super) const BLUE: [i32; 3] = [112, -74, -38];
/// … of a red difference sample: 224/255 of those of 2.5.3.
pub(super) const RED: [i32; 3] = [-18, -94, 112];

/// Two rows of a picture, and what they become: all of `width` columns, which are even.
pub(super) struct Pair<'a> {
    /// Upper and lower row, 4 bytes a pixel.
    pub(super) from: [&'a [u8]; 2],
    /// The same two rows of luma.
    pub(super) luma: [&'a mut [u8]; 2],
    /// Half as many of blue and of red difference.
    pub(super) chroma: [&'a mut [u8]; 2],
}

impl Pair<'_> {
    /// Converts it on any machine.
    pub(super) fn convert(&mut self) {
        for (from, luma) in self.from.iter().zip(&mut self.luma) {
            for (pixel, luma) in from.as_chunks::<4>().0.iter().zip(luma.iter_mut()) {
                *luma = (weigh(*pixel, LUMA) + 16) as u8;
            }
        }
        let [upper, lower] = self.from.map(|from| from.as_chunks::<8>().0);
        let [blue, red] = &mut self.chroma;
        let chroma = blue.iter_mut().zip(red.iter_mut());
        for ((upper, lower), (blue, red)) in upper.iter().zip(lower).zip(chroma) {
            let column = |at: usize| [at, at + 1, at + 2, at + 3].map(|at| mean(upper[at], lower[at]));
            let (left, right) = (column(0), column(4));
            let mean = [0, 1, 2, 3].map(|at| mean(left[at], right[at]));
            (*blue, *red) = ((weigh(mean, BLUE) + 128) as u8, (weigh(mean, RED) + 128) as u8);
        }
    }
}

fn mean(one: u8, other: u8) -> u8 {
    (u16::from(one) + u16::from(other)).div_ceil(2) as u8
}

fn weigh(pixel: [u8; 4], weights: [i32; 3]) -> i32 {
    let sum: i32 = pixel.iter().zip(weights).map(|(&sample, weight)| i32::from(sample) * weight).sum();
    (sum + 128) >> 8
}
