//! One transport packet (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5), and whether its counter follows the last.

use super::CELL_BYTES;

/// A parsed transport packet.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) pid: u16,
    /// `payload_unit_start_indicator`.
    pub(super) starts: bool,
    pub(super) counter: u8,
    pub(super) scrambled: bool,
    /// `discontinuity_indicator`.
    pub(super) discontinuity: bool,
    /// Whether the adaptation field is longer than what it says needs, in a packet that has a payload: nothing more was there to send.
    pub(super) stuffed: bool,
    pub(super) payload: Option<&'a [u8]>,
    bytes: &'a [u8; CELL_BYTES],
}

impl<'a> Cell<'a> {
    /// Parses a packet that starts with a sync byte, or nothing when it contradicts itself.
    pub(super) fn parse(bytes: &'a [u8; CELL_BYTES]) -> Option<Self> {
        let [_, one, two, three, rest @ ..] = bytes;
        let mut cell = Self {
            pid: u16::from(one & 0x1f) << 8 | u16::from(*two),
            starts: one & 0x40 != 0,
            counter: three & 0x0f,
            scrambled: three & 0xc0 != 0,
            discontinuity: false,
            stuffed: false,
            payload: None,
            bytes,
        };
        let (has_field, has_payload) = (three & 0x20 != 0, three & 0x10 != 0);
        if !has_field {
            // `00` is reserved: "decoders shall discard".
            cell.payload = has_payload.then_some(&rest[..]);
            return has_payload.then_some(cell);
        }
        let (&field_bytes, rest) = rest.split_first()?;
        let (field, payload) = rest.split_at_checked(usize::from(field_bytes))?;
        cell.discontinuity = field.first().is_some_and(|flags| flags & 0x80 != 0);
        if has_payload {
            cell.stuffed = is_stuffed(field);
            cell.payload = Some(payload);
        }
        Some(cell)
    }

    /// `transport_error_indicator`, told without parsing the rest.
    pub(super) fn is_damaged(bytes: &[u8; CELL_BYTES]) -> bool {
        bytes[1] & 0x80 != 0
    }

    /// Enough of the packet to tell a repeated one from another with the same counter.
    fn print(&self) -> [u8; 16] {
        let mut print = [0; 16];
        print[..4].copy_from_slice(&self.bytes[..4]);
        print[4..].copy_from_slice(&self.bytes[CELL_BYTES - 12..]);
        print
    }
}

/// Whether an adaptation field is there, wholly or in part, to fill the packet.
fn is_stuffed(field: &[u8]) -> bool {
    let Some(&flags) = field.first() else { return true };
    // A lone flags byte with nothing set says nothing: it is how two bytes are filled.
    if flags == 0 {
        return true;
    }
    let mut needed = 1;
    for (flag, bytes) in [(0x10, 6), (0x08, 6), (0x04, 1)] {
        if flags & flag != 0 {
            needed += bytes;
        }
    }
    // Private data and the extension each begin with their length.
    for flag in [0x02, 0x01] {
        if flags & flag != 0 {
            let Some(&bytes) = field.get(needed) else { return false };
            needed += 1 + usize::from(bytes);
        }
    }
    needed < field.len()
}

/// How a packet follows the one before it on its PID.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// It is the last one again.
    Duplicate,
    /// Packets are missing.
    Gap,
    /// It does not follow, as announced by the discontinuity indicator.
    Jump,
    /// It is the next.
    Next,
}

/// Watches the continuity counter of one PID (2.4.3.3).
#[derive(Debug, Default)]
pub(super) struct Continuity {
    last: Option<(u8, [u8; 16])>,
    announced: bool,
}

impl Continuity {
    pub(super) fn check(&mut self, cell: &Cell<'_>) -> Order {
        self.announced |= cell.discontinuity;
        // The counter stands still in packets without a payload.
        if cell.payload.is_none() {
            return Order::Next;
        }
        let print = cell.print();
        let Some((last, last_print)) = self.last.replace((cell.counter, print)) else {
            self.announced = false;
            return Order::Next;
        };
        let announced = std::mem::take(&mut self.announced);
        if cell.counter == (last + 1) & 0x0f {
            Order::Next
        } else if cell.counter == last && print == last_print {
            Order::Duplicate
        } else if announced {
            Order::Jump
        } else {
            Order::Gap
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(counter: u8, field: Option<&[u8]>, fill: u8) -> [u8; CELL_BYTES] {
        let mut bytes = [fill; CELL_BYTES];
        bytes[..4].copy_from_slice(&[0x47, 0x41, 0x00, if field.is_some() { 0x30 } else { 0x10 } | counter]);
        if let Some(field) = field {
            bytes[4] = field.len() as u8;
            bytes[5..5 + field.len()].copy_from_slice(field);
        }
        bytes
    }

    #[test]
    fn stuffing_is_what_the_flags_do_not_need() {
        let table: [(&str, Option<&[u8]>, bool); 10] = [
            ("no field", None, false),
            ("one byte", Some(&[]), true),
            ("two bytes", Some(&[0]), true),
            ("many bytes", Some(&[0, 0xff, 0xff]), true),
            ("random access only", Some(&[0x40]), false),
            ("random access and stuffing", Some(&[0x40, 0xff]), true),
            ("pcr only", Some(&[0x10, 0, 0, 0, 0, 0, 0]), false),
            ("pcr and stuffing", Some(&[0x50, 0, 0, 0, 0, 0, 0, 0xff]), true),
            ("private data", Some(&[0x02, 3, 1, 2, 3]), false),
            ("private data past the field", Some(&[0x02, 30, 1, 2, 3]), false),
        ];
        for (name, field, stuffed) in table {
            let bytes = cell(0, field, 0);
            let parsed = Cell::parse(&bytes).expect("well-formed");
            assert_eq!((parsed.stuffed, parsed.pid, parsed.starts), (stuffed, 0x100, true), "{name}");
            let header = field.map_or(4, |field| 5 + field.len());
            assert_eq!(parsed.payload.map(<[u8]>::len), Some(CELL_BYTES - header), "{name}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let mut bytes = cell(0, Some(&[]), 0);
        bytes[4] = 184;
        assert!(Cell::parse(&bytes).is_none(), "field past the packet");
        bytes[3] &= 0x0f;
        assert!(Cell::parse(&bytes).is_none(), "reserved adaptation field control");
    }

    #[test]
    fn counters_tell_next_from_gap_jump_and_duplicate() {
        let table: [(u8, Option<&[u8]>, u8, Order); 8] = [
            (14, None, 0, Order::Next),
            (15, None, 0, Order::Next),
            (0, None, 0, Order::Next),
            (0, None, 0, Order::Duplicate),
            (0, None, 1, Order::Gap),
            (2, None, 0, Order::Gap),
            (9, Some(&[0x80]), 0, Order::Jump),
            (10, None, 0, Order::Next),
        ];
        let mut continuity = Continuity::default();
        for (row, (counter, field, fill, order)) in table.into_iter().enumerate() {
            let bytes = cell(counter, field, fill);
            assert_eq!(continuity.check(&Cell::parse(&bytes).expect("well-formed")), order, "row {row}");
        }
    }
}
