//! Bits from the highest of each byte on, as the headers of video codecs have them.

/// What is left to read; nothing comes behind the end.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// Reads `bytes` from this bit on.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn bit(&mut self) -> Option<u32> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    /// An unsigned number of so many bits, at most 32.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    /// An unsigned exp-Golomb code (H.264 and H.265, 9.1 and 9.2) of at most 31 leading zeros. Emulation prevention is the caller's.
    pub(super) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        Some((1_u32 << zeros) - 1 + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_one_after_another_and_end_with_the_bytes() {
        // 1, 010, 011, 00100, then half a code: the numbers 0 to 3.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0000], 0);
        assert_eq!([(); 5].map(|()| bits.exp_golomb()), [Some(0), Some(1), Some(2), Some(3), None]);
        assert_eq!(Bits::new(&[0; 5], 0).exp_golomb(), None, "no number is that large");
        assert_eq!(Bits::new(&[0b0001_0000], 3).bit(), Some(1));
    }
}
