//! Bits from the highest of each byte on, as the headers of video codecs have them, read and written.

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

    /// The place of the next bit.
    pub(super) fn position(&self) -> usize {
        self.at
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

/// What was written, the last byte filled up with zeros.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    bits: usize,
}

impl BitWriter {
    /// Writes behind `bytes`.
    pub(super) fn behind(bytes: Vec<u8>) -> Self {
        Self { bits: bytes.len() * 8, bytes }
    }

    /// Writes the low `count` bits of `value`.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        for nth in (0..count).rev() {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("one was pushed at the latest");
            *last |= ((value >> nth & 1) as u8) << (7 - self.bits % 8);
            self.bits += 1;
        }
    }

    /// Writes an unsigned exp-Golomb code, of a number below 2^31.
    pub(super) fn put_exp_golomb(&mut self, value: u32) {
        let code = value + 1;
        let length = u32::BITS - code.leading_zeros();
        self.put(0, length - 1);
        self.put(code, length);
    }

    /// Writes one such code after another.
    pub(super) fn put_exp_golombs(&mut self, values: &[u32]) {
        values.iter().for_each(|&value| self.put_exp_golomb(value));
    }

    /// Writes whole bytes, behind zeros up to the next one.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bits = self.bytes.len() * 8;
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(codes in proptest::collection::vec((any::<bool>(), 0_u32..1 << 20), 0..50)) {
            let mut writer = BitWriter::behind(vec![0xff]);
            for &(plain, value) in &codes {
                if plain { writer.put(value, 20) } else { writer.put_exp_golomb(value) }
            }
            let bytes = writer.into_bytes();
            let mut bits = Bits::new(&bytes, 8);
            for &(plain, value) in &codes {
                prop_assert_eq!(if plain { bits.take(20) } else { bits.exp_golomb() }, Some(value));
            }
        }
    }

    #[test]
    fn codes_are_read_one_after_another_and_end_with_the_bytes() {
        // 1, 010, 011, 00100, then half a code: the numbers 0 to 3.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0000], 0);
        assert_eq!([(); 5].map(|()| bits.exp_golomb()), [Some(0), Some(1), Some(2), Some(3), None]);
        assert_eq!(Bits::new(&[0; 5], 0).exp_golomb(), None, "no number is that large");
        assert_eq!(Bits::new(&[0b0001_0000], 3).bit(), Some(1));
    }
}
