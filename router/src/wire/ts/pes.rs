//! The header of a PES packet (ISO/IEC 13818-1, 2.4.3.6) and its 33-bit times.

use crosspoint_ffi::MediaTime;

use super::Reason;

/// What the header of a PES packet says.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Header {
    /// Raw 33-bit times in 90 kHz ticks.
    pub(super) pts: Option<u64>,
    pub(super) dts: Option<u64>,
    /// The payload's stated length, if it is stated.
    pub(super) payload_bytes: Option<usize>,
}

/// What the bytes so far of a PES packet are.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Parse {
    /// Not a header that can be read.
    Bad(Reason),
    /// The header and how many bytes it is long.
    Header(Header, usize),
    /// This many bytes, counted from the start, are needed to go on.
    Need(usize),
}

impl Header {
    /// Parses the start of a PES packet.
    pub(super) fn parse(bytes: &[u8]) -> Parse {
        let Some(&[zero, nought, one, id, length_high, length_low, flags, fields, field_bytes]) = bytes.first_chunk() else {
            return Parse::Need(FIXED_BYTES);
        };
        if [zero, nought, one] != [0, 0, 1] || !has_fields(id) || flags & 0xc0 != 0x80 {
            return Parse::Bad(Reason::Pes);
        }
        if flags & 0x30 != 0 {
            return Parse::Bad(Reason::Scrambled);
        }
        let header_bytes = FIXED_BYTES + usize::from(field_bytes);
        let Some(fields_bytes) = bytes.get(FIXED_BYTES..header_bytes) else { return Parse::Need(header_bytes) };
        let payload_bytes = match usize::from(u16::from_be_bytes([length_high, length_low])) {
            0 => None,
            stated => match (stated + 6).checked_sub(header_bytes) {
                None => return Parse::Bad(Reason::Pes),
                payload_bytes => payload_bytes,
            },
        };
        let pts = if fields & 0x80 != 0 { time(fields_bytes) } else { None };
        let dts = if fields & 0xc0 == 0xc0 { fields_bytes.get(5..).and_then(time) } else { None };
        Parse::Header(Self { pts, dts, payload_bytes }, header_bytes)
    }
}

/// Stream ids whose packets have the optional header fields (table 2-22).
fn has_fields(id: u8) -> bool {
    id >= 0xbd && !matches!(id, 0xbe | 0xbf | 0xf0..=0xf2 | 0xf8 | 0xff)
}

/// A time of five bytes, or nothing when its marker bits are wrong.
fn time(bytes: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = bytes.first_chunk()?;
    if a & c & e & 1 == 0 {
        return None;
    }
    Some(u64::from(a >> 1 & 7) << 30 | u64::from(b) << 22 | u64::from(c >> 1) << 15 | u64::from(d) << 7 | u64::from(e >> 1))
}

/// The five bytes of a time, with `prefix` in the upper half of the first.
pub(super) fn time_bytes(prefix: u8, ticks: u64) -> [u8; 5] {
    let (high, middle, low) = (ticks >> 30 & 7, ticks >> 15 & 0x7fff, ticks & 0x7fff);
    [prefix << 4 | (high as u8) << 1 | 1, (middle >> 7) as u8, (middle << 1) as u8 | 1, (low >> 7) as u8, (low << 1) as u8 | 1]
}

/// Carries 33-bit times over their wrap, which comes every 26.5 hours.
///
/// One for a whole program, so that its streams stay on one timeline. A time is taken as the nearest to the last one: a jump of less
/// than half a wrap, either way, is passed on as it is.
#[derive(Debug, Default)]
pub(super) struct Unwrap {
    last: Option<i64>,
}

impl Unwrap {
    pub(super) fn unwrap(&mut self, raw: u64) -> MediaTime {
        let raw = raw as i64;
        let ticks = match self.last {
            None => raw,
            Some(last) => last + ((raw - last + WRAP / 2).rem_euclid(WRAP) - WRAP / 2),
        };
        self.last = Some(ticks);
        MediaTime::from_90khz(ticks)
    }
}

/// Where 33-bit times start over.
pub(super) const WRAP: i64 = 1 << 33;
const FIXED_BYTES: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_written() {
        for ticks in [0, 1, 0x7fff, 0x8000, 0x3fff_ffff, 0x4000_0000, 0x1_ffff_ffff] {
            assert_eq!(time(&time_bytes(2, ticks)), Some(ticks));
        }
        assert_eq!(time(&[0x21, 0, 1, 0]), None, "four bytes");
        assert_eq!(time(&[0x21, 0, 0, 0, 1]), None, "no marker bit");
    }

    #[test]
    fn times_go_on_over_the_wrap_and_back() {
        let wrap = WRAP as u64;
        let mut unwrap = Unwrap::default();
        let table = [(wrap - 1, WRAP - 1), (2, WRAP + 2), (wrap - 3, WRAP - 3), (0, WRAP), (90_000, WRAP + 90_000), (0, WRAP)];
        for (raw, ticks) in table {
            assert_eq!(unwrap.unwrap(raw), MediaTime::from_90khz(ticks), "{raw}");
        }
    }

    #[test]
    fn headers_are_told_from_garbage() {
        let fields = time_bytes(2, 90_000);
        let packet = |id: u8, length: u16, flags: u8| {
            let [high, low] = length.to_be_bytes();
            let mut bytes = vec![0, 0, 1, id, high, low, flags, 0x80, 5];
            bytes.extend(fields);
            bytes
        };
        let header = |payload_bytes| Parse::Header(Header { pts: Some(90_000), dts: None, payload_bytes }, 14);
        let table = [
            (packet(0xe0, 0, 0x80), header(None)),
            (packet(0xc0, 108, 0x84), header(Some(100))),
            (packet(0xc0, 7, 0x80), Parse::Bad(Reason::Pes)),
            (packet(0xe0, 0, 0x90), Parse::Bad(Reason::Scrambled)),
            (packet(0xe0, 0, 0x00), Parse::Bad(Reason::Pes)),
            (packet(0xbe, 0, 0x80), Parse::Bad(Reason::Pes)),
            (packet(0xe0, 0, 0x80)[..8].to_vec(), Parse::Need(9)),
            (packet(0xe0, 0, 0x80)[..13].to_vec(), Parse::Need(14)),
        ];
        for (row, (bytes, expected)) in table.into_iter().enumerate() {
            assert_eq!(Header::parse(&bytes), expected, "row {row}");
        }
    }
}
