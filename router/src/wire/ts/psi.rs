//! Program specific information (ISO/IEC 13818-1, 2.4.4): sections, their checksum, PAT and PMT.

use super::cell::{Cell, Continuity, Order};

/// Gathers the sections of one PID.
#[derive(Debug, Default)]
pub(super) struct Sections {
    continuity: Continuity,
    buffer: Vec<u8>,
    collecting: bool,
}

impl Sections {
    /// Takes a transport packet and calls `each` with every section that it completes.
    pub(super) fn push(&mut self, cell: &Cell<'_>, mut each: impl FnMut(&[u8])) {
        match self.continuity.check(cell) {
            Order::Duplicate => return,
            Order::Gap | Order::Jump => self.collecting = false,
            Order::Next => {}
        }
        let Some(mut payload) = cell.payload else { return };
        if cell.starts {
            let Some((&pointer, rest)) = payload.split_first() else { return };
            let Some((tail, rest)) = rest.split_at_checked(usize::from(pointer)) else {
                self.collecting = false;
                return;
            };
            self.append(tail, &mut each);
            self.buffer.clear();
            self.collecting = true;
            payload = rest;
        }
        self.append(payload, &mut each);
    }

    fn append(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        if !self.collecting {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        let mut from = 0;
        while let [table_id, high, low, ..] = self.buffer[from..] {
            let bytes = 3 + (usize::from(high & 0x0f) << 8 | usize::from(low));
            if table_id == STUFFING_TABLE || bytes > SECTION_MAX_BYTES {
                self.collecting = false;
                return;
            }
            let Some(section) = self.buffer.get(from..from + bytes) else { break };
            each(section);
            from += bytes;
        }
        self.buffer.drain(..from);
    }
}

/// The part of a section that PAT and PMT share.
struct Table<'a> {
    /// `transport_stream_id` or `program_number`.
    id: u16,
    last_number: u8,
    body: &'a [u8],
}

impl<'a> Table<'a> {
    fn parse(section: &'a [u8], table_id: u8) -> Result<Option<Self>, Malformed> {
        if section.first() != Some(&table_id) {
            return Ok(None);
        }
        // The checksum over a section with its checksum is 0.
        if section.len() < 12 || section[1] & 0x80 == 0 || crc32(section) != 0 {
            return Err(Malformed);
        }
        let is_current = section[5] & 1 != 0;
        let body = &section[8..section.len() - 4];
        Ok(is_current.then_some(Self { id: u16::from_be_bytes([section[3], section[4]]), last_number: section[7], body }))
    }
}

/// A section that its checksum or its structure gives away.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// One section of the program association table.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Pat {
    /// Whether this section is the whole table.
    pub(super) is_whole: bool,
    /// Program numbers and the PIDs of their maps.
    pub(super) programs: Vec<(u16, u16)>,
}

impl Pat {
    /// Parses a section; nothing when it is another table or not in force yet.
    pub(super) fn parse(section: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(table) = Table::parse(section, 0x00)? else { return Ok(None) };
        let programs = table.body.chunks_exact(4).map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), pid(entry[2], entry[3])));
        // Program 0 is the network information table.
        Ok(Some(Self { is_whole: table.last_number == 0, programs: programs.filter(|&(number, _)| number != 0).collect() }))
    }
}

/// A program map.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Pmt<'a> {
    pub(super) program: u16,
    /// The program's own descriptors.
    pub(super) descriptors: &'a [u8],
    pub(super) streams: Vec<Entry<'a>>,
}

/// A stream of a program map.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) stream_type: u8,
    pub(super) pid: u16,
    pub(super) descriptors: &'a [u8],
}

impl<'a> Pmt<'a> {
    /// Parses a section; nothing when it is another table or not in force yet.
    pub(super) fn parse(section: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let Some(table) = Table::parse(section, 0x02)? else { return Ok(None) };
        let (program, mut rest) = split_descriptors(table.body.get(2..).ok_or(Malformed)?)?;
        let mut streams = Vec::new();
        while let &[stream_type, high, low, ref after @ ..] = rest {
            let (descriptors, next) = split_descriptors(after)?;
            streams.push(Entry { stream_type, pid: pid(high, low), descriptors });
            rest = next;
        }
        Ok(Some(Self { program: table.id, descriptors: program, streams }))
    }
}

/// The descriptors whose length comes first, and what follows them.
fn split_descriptors(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let [high, low, rest @ ..] = bytes else { return Err(Malformed) };
    rest.split_at_checked(usize::from(high & 0x0f) << 8 | usize::from(*low)).ok_or(Malformed)
}

/// Tags and bodies of descriptors (2.6.1), as far as they are whole.
pub(super) fn descriptors(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[tag, length], rest) = bytes.split_first_chunk()?;
        let (body, rest) = rest.split_at_checked(usize::from(length))?;
        bytes = rest;
        Some((tag, body))
    })
}

fn pid(high: u8, low: u8) -> u16 {
    u16::from(high & 0x1f) << 8 | u16::from(low)
}

/// Writes a section of `table_id` around `body`, checksum included, for tables of one section. `version` tells changes, and is below 32.
pub(super) fn section(table_id: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = 5 + body.len() + 4;
    let mut section = vec![table_id, 0xb0 | (length >> 8) as u8 & 0x0f, length as u8];
    section.extend(id.to_be_bytes());
    // The version, in force; section 0 of 0.
    section.extend([0xc1 | version << 1, 0, 0]);
    section.extend(body);
    section.extend(crc32(&section).to_be_bytes());
    section
}

/// The checksum of annex A: CRC-32/MPEG-2.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| crc << 8 ^ CRC[usize::from((crc >> 24) as u8 ^ byte)])
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

/// What fills the rest of a packet after its last section.
const STUFFING_TABLE: u8 = 0xff;
/// The largest PAT or PMT section (2.4.4.5, 2.4.4.9: `section_length` at most 1021).
const SECTION_MAX_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_that_of_the_catalogue() {
        assert_eq!(crc32(b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn tables_come_back_as_written() {
        let pat = section(0x00, 1, 0, &[0, 0, 0xe0, 0x10, 0, 1, 0xf0, 0x00, 0, 2, 0xe1, 0x23]);
        assert_eq!(Pat::parse(&pat), Ok(Some(Pat { is_whole: true, programs: vec![(1, 0x1000), (2, 0x123)] })));
        let entry = |stream_type, pid, descriptors| Entry { stream_type, pid, descriptors };
        let pmt = section(0x02, 7, 0, &[0xe1, 0, 0xf0, 2, 9, 0, 0x1b, 0xe1, 0, 0xf0, 1, 1, 0x0f, 0xe1, 1, 0xf0, 0]);
        assert_eq!(
            Pmt::parse(&pmt),
            Ok(Some(Pmt { program: 7, descriptors: &[9, 0], streams: vec![entry(0x1b, 0x100, &[1]), entry(0x0f, 0x101, &[])] }))
        );
        assert_eq!(Pmt::parse(&pat), Ok(None), "another table");
    }

    #[test]
    fn any_flipped_bit_or_missing_byte_is_noticed() {
        let pmt = section(0x02, 7, 0, &[0xe1, 0, 0xf0, 2, 9, 0, 0x1b, 0xe1, 0, 0xf0, 1, 0]);
        for bit in 8..pmt.len() * 8 {
            let mut flipped = pmt.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Pmt::parse(&flipped), Err(Malformed), "bit {bit}");
        }
        for bytes in 1..pmt.len() {
            assert_eq!(Pmt::parse(&pmt[..bytes]), Err(Malformed), "{bytes} bytes");
        }
    }

    #[test]
    fn descriptors_past_the_section_are_malformed() {
        for body in [&[0xe1, 0, 0xf0, 9][..], &[0xe1], &[0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xff, 0xff]] {
            assert_eq!(Pmt::parse(&section(0x02, 1, 0, body)), Err(Malformed), "{body:?}");
        }
    }
}
