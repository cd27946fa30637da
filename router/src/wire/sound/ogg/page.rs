//! One page of an Ogg stream.

use crate::wire::sound::Cut;

/// A page whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    header: &'a [u8; HEADER_BYTES],
    lacing: &'a [u8],
    body: &'a [u8],
}

impl<'a> Page<'a> {
    /// Parses the page that `bytes` begin; else what that means.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Cut> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Cut::More(HEADER_BYTES))?;
        if !super::begins(header) {
            return Err(Cut::Lost);
        }
        let segments = usize::from(header[26]);
        let (lacing, rest) = rest.split_at_checked(segments).ok_or(Cut::More(HEADER_BYTES + segments))?;
        let body_bytes: usize = lacing.iter().copied().map(usize::from).sum();
        let body = rest.get(..body_bytes).ok_or(Cut::More(HEADER_BYTES + segments + body_bytes))?;
        let page = Self { header, lacing, body };
        // The checksum counts as zeros in itself.
        let parts: [&[u8]; 4] = [&header[..22], &[0; 4], &header[26..], lacing];
        let checksum = parts.into_iter().chain([body]).fold(0, checksum);
        if checksum == page.number(22) { Ok(page) } else { Err(Cut::Lost) }
    }

    /// The bytes of the page.
    pub(super) fn bytes(&self) -> usize {
        HEADER_BYTES + self.lacing.len() + self.body.len()
    }

    pub(super) fn continues_packet(&self) -> bool {
        self.header[5] & 1 != 0
    }

    pub(super) fn begins_stream(&self) -> bool {
        self.header[5] & 2 != 0
    }

    /// The position of the last packet that ends on the page, in samples; nothing when none does.
    pub(super) fn granule(&self) -> Option<u64> {
        let granule = u64::from(self.number(6)) | u64::from(self.number(10)) << 32;
        (granule != u64::MAX).then_some(granule)
    }

    pub(super) fn serial(&self) -> u32 {
        self.number(14)
    }

    pub(super) fn sequence(&self) -> u32 {
        self.number(18)
    }

    /// The packets, or parts of them, and whether they end here.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&'a [u8], bool)> + use<'a> {
        let (mut lacing, mut body) = (self.lacing, self.body);
        std::iter::from_fn(move || {
            if lacing.is_empty() {
                return None;
            }
            // A packet's last segment is the first that is not full.
            let end = lacing.iter().position(|&bytes| bytes < 255);
            let (segments, rest) = lacing.split_at(end.map_or(lacing.len(), |end| end + 1));
            let (piece, later) = body.split_at(segments.iter().copied().map(usize::from).sum());
            (lacing, body) = (rest, later);
            Some((piece, end.is_some()))
        })
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.header[at], self.header[at + 1], self.header[at + 2], self.header[at + 3]])
    }
}

/// CRC-32 with the polynomial 04c11db7, neither reflected nor inverted (RFC 3533, 6).
pub(super) fn checksum(checksum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(checksum, |checksum, &byte| checksum << 8 ^ TABLE[usize::from((checksum >> 24) as u8 ^ byte)])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = value << 1 ^ if value >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

const HEADER_BYTES: usize = 27;
