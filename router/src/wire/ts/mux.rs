//! H.264 and AAC into a transport stream.

use bytes::{BufMut, BytesMut};
use crosspoint_ffi::{Codec, MediaTime, Packet};

use super::pes::{WRAP, time_bytes};
use super::{CELL_BYTES, PAT_PID, SYNC_BYTE, psi, stream_type};
use crate::wire::annexb;

/// Multiplexes H.264 (Annex B) and AAC (ADTS) into one program.
///
/// What it writes can be joined at every key frame (PAT and PMT come first), and no player has to wait for the next picture to know that
/// one is over: its PES packet states its length where the field can hold it, and its last transport packet is always stuffed.
///
/// Times on the wire are the packet's plus 100 ms, and the clock reference is the decode time of the packet it travels with. So a
/// packet reaches a decoder ahead of its time, as the standard wants, though sound and picture of one instant reach us up to
/// the larger of their encoding delays apart; players that follow the clock buffer no more than that.
///
/// Copies: 1 (into transport packets).
#[derive(Debug)]
pub struct Muxer {
    video: bool,
    audio: bool,
    pat: Vec<u8>,
    pmt: Vec<u8>,
    counters: Counters,
    /// Whether a key frame was written.
    has_key: bool,
    /// When the tables were written last.
    tables_at: Option<MediaTime>,
    /// The last clock reference.
    clock: Option<MediaTime>,
}

#[derive(Debug, Default)]
struct Counters {
    pat: u8,
    pmt: u8,
    video: u8,
    audio: u8,
}

impl Muxer {
    /// Makes a muxer for a program with these streams.
    #[must_use]
    pub fn new(video: bool, audio: bool) -> Self {
        let mut map = Vec::new();
        map.extend((0xe000 | if audio { AUDIO_PID } else { VIDEO_PID }).to_be_bytes());
        map.extend([0xf0, 0]);
        for (_, kind, pid) in [(video, stream_type::H264, VIDEO_PID), (audio, stream_type::AAC_ADTS, AUDIO_PID)].iter().filter(|row| row.0)
        {
            map.push(*kind);
            map.extend((0xe000 | pid).to_be_bytes());
            map.extend([0xf0, 0]);
        }
        let [high, low] = (0xe000 | PMT_PID).to_be_bytes();
        Self {
            video,
            audio,
            pat: psi::section(0x00, 1, &[0, 1, high, low]),
            pmt: psi::section(0x02, 1, &map),
            counters: Counters::default(),
            has_key: false,
            tables_at: None,
            clock: None,
        }
    }

    /// Appends the transport packets of `packet` to `out`; or nothing, and says so with `false`, when it has no time or is of a
    /// codec or stream that the program does not have.
    ///
    /// Video starts at its first key frame; what comes before is refused likewise.
    #[must_use]
    pub fn write(&mut self, packet: &Packet, out: &mut BytesMut) -> bool {
        let (Some(pts), Some(dts)) = (packet.pts, packet.decode_time()) else { return false };
        match packet.codec {
            Codec::H264 if self.video && (packet.key || self.has_key) => self.write_video(packet, pts, dts, out),
            Codec::Aac if self.audio && packet.data.len() <= AUDIO_MAX_BYTES => self.write_audio(packet, pts, out),
            Codec::Aac | Codec::H264 | Codec::Hevc | Codec::Mpeg1Video | Codec::Mpeg2Video | Codec::Mp2 | Codec::Mp3 => return false,
        }
        true
    }

    fn write_video(&mut self, packet: &Packet, pts: MediaTime, dts: MediaTime, out: &mut BytesMut) {
        self.has_key = true;
        self.write_tables(dts, packet.key, out);
        let clock = if self.audio {
            self.write_late_clock(dts, out);
            None
        } else {
            Some(self.tick(dts))
        };
        let delimiter: &[u8] = if annexb::h264(&packet.data).aud { &[] } else { &DELIMITER };
        let mut unit = Unit::new(VIDEO_PID, VIDEO_ID, pts, dts, [delimiter, &packet.data]);
        unit.clock = clock;
        unit.random_access = packet.key;
        unit.write(&mut self.counters.video, out);
    }

    fn write_audio(&mut self, packet: &Packet, pts: MediaTime, out: &mut BytesMut) {
        self.write_tables(pts, false, out);
        let mut unit = Unit::new(AUDIO_PID, AUDIO_ID, pts, pts, [&[], &packet.data]);
        unit.clock = Some(self.tick(pts));
        unit.random_access = true;
        unit.write(&mut self.counters.audio, out);
    }

    /// Writes PAT and PMT when `now` is a key frame or they are due.
    fn write_tables(&mut self, now: MediaTime, key: bool, out: &mut BytesMut) {
        let due = self.tables_at.is_none_or(|last| (now - last).abs() >= TABLES_EVERY);
        if key || due {
            self.tables_at = Some(now);
            write_section(PAT_PID, &mut self.counters.pat, &self.pat, out);
            write_section(PMT_PID, &mut self.counters.pmt, &self.pmt, out);
        }
    }

    /// Writes a clock reference of its own on the sound's PID when there was no sound for too long (2.7.2: at least every 100 ms).
    fn write_late_clock(&mut self, now: MediaTime, out: &mut BytesMut) {
        if self.clock.is_some_and(|last| (now - last).abs() < CLOCK_EVERY) {
            return;
        }
        let clock = self.tick(now);
        out.reserve(CELL_BYTES);
        // The counter stands still: the packet has no payload.
        put_header(out, AUDIO_PID, false, 0x20, self.counters.audio.wrapping_sub(1));
        out.put_u8(183);
        clock.put(out, 0);
        out.put_bytes(0xff, 183 - 7);
    }

    /// The clock reference for a packet decoded at `dts`. It does not run backwards between sound and picture, whose times are not in
    /// order; a leap is a new timeline and says so.
    fn tick(&mut self, dts: MediaTime) -> Clock {
        let last = self.clock.unwrap_or(dts);
        let leaps = (dts - last).abs() > CLOCK_LEAP;
        let base = if leaps { dts } else { dts.max(last) };
        self.clock = Some(base);
        Clock { base, leaps }
    }
}

/// A clock reference (PCR) and whether it breaks with the last.
struct Clock {
    base: MediaTime,
    leaps: bool,
}

impl Clock {
    /// Writes the flags of an adaptation field and the reference.
    fn put(&self, out: &mut BytesMut, flags: u8) {
        let base = self.base.to_90khz().rem_euclid(WRAP) as u64;
        out.put_u8(flags | 0x10 | if self.leaps { 0x80 } else { 0 });
        out.put_u32((base >> 1) as u32);
        // The lowest bit of the base, six reserved bits, and nine of the extension: 90 kHz is fine enough for us.
        out.put_u16((base as u16 & 1) << 15 | 0x7e00);
    }
}

/// A PES packet to be written.
struct Unit<'a> {
    pid: u16,
    header: [u8; HEADER_MAX_BYTES],
    header_bytes: usize,
    /// The payload in two pieces.
    pieces: [&'a [u8]; 2],
    clock: Option<Clock>,
    random_access: bool,
}

impl<'a> Unit<'a> {
    fn new(pid: u16, id: u8, pts: MediaTime, dts: MediaTime, pieces: [&'a [u8]; 2]) -> Self {
        let ticks = |time: MediaTime| (time + LEAD).to_90khz().rem_euclid(WRAP) as u64;
        let mut header = [0xff; HEADER_MAX_BYTES];
        header[..7].copy_from_slice(&[0, 0, 1, id, 0, 0, 0x84]);
        let reordered = pts != dts;
        let field_bytes = if reordered { 10 } else { 5 };
        header[7] = if reordered { 0xc0 } else { 0x80 };
        header[8] = field_bytes;
        header[9..14].copy_from_slice(&time_bytes(if reordered { 3 } else { 2 }, ticks(pts)));
        if reordered {
            header[14..19].copy_from_slice(&time_bytes(1, ticks(dts)));
        }
        Self { pid, header, header_bytes: 9 + usize::from(field_bytes), pieces, clock: None, random_access: false }
    }

    fn write(mut self, counter: &mut u8, out: &mut BytesMut) {
        let payload_bytes = self.pieces[0].len() + self.pieces[1].len();
        let field_bytes = match (&self.clock, self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        };
        // One stuffing byte in the header (it is there already) keeps the last packet from being filled exactly, which would leave
        // demuxers that look for stuffing waiting.
        let total = (self.header_bytes + payload_bytes + field_bytes).saturating_sub(ROOM_BYTES);
        if total.is_multiple_of(ROOM_BYTES) && self.header_bytes + payload_bytes + field_bytes >= ROOM_BYTES {
            self.header_bytes += 1;
            self.header[8] += 1;
        }
        // 0 is allowed for video only, which is also the only thing so large.
        let stated = u16::try_from(self.header_bytes - 6 + payload_bytes).unwrap_or(0);
        self.header[4..6].copy_from_slice(&stated.to_be_bytes());

        let header = self.header;
        let [mut first, mut second, mut third] = [&header[..self.header_bytes], self.pieces[0], self.pieces[1]];
        let mut left = self.header_bytes + payload_bytes;
        out.reserve((left + field_bytes).div_ceil(ROOM_BYTES) * CELL_BYTES);
        let mut starts = true;
        while left > 0 {
            let needed = if starts { field_bytes } else { 0 };
            let payload = left.min(ROOM_BYTES - needed);
            let field = ROOM_BYTES - payload;
            put_header(out, self.pid, starts, if field > 0 { 0x30 } else { 0x10 }, *counter);
            *counter = counter.wrapping_add(1);
            self.put_field(out, starts, field, needed);
            let mut room = payload;
            for piece in [&mut first, &mut second, &mut third] {
                let (now, later) = piece.split_at(piece.len().min(room));
                out.put_slice(now);
                *piece = later;
                room -= now.len();
            }
            left -= payload;
            starts = false;
        }
    }

    /// Writes an adaptation field of `bytes` bytes, of which it has a use for `needed`.
    fn put_field(&self, out: &mut BytesMut, starts: bool, bytes: usize, needed: usize) {
        if bytes == 0 {
            return;
        }
        out.put_u8((bytes - 1) as u8);
        let random = if starts && self.random_access { 0x40 } else { 0 };
        match &self.clock {
            Some(clock) if starts => clock.put(out, random),
            Some(_) | None if bytes > 1 => out.put_u8(random),
            Some(_) | None => {}
        }
        out.put_bytes(0xff, bytes.saturating_sub(needed.max(2)));
    }
}

fn put_header(out: &mut BytesMut, pid: u16, starts: bool, control: u8, counter: u8) {
    let [high, low] = pid.to_be_bytes();
    out.put_slice(&[SYNC_BYTE, high | if starts { 0x40 } else { 0 }, low, control | counter & 0x0f]);
}

/// Writes a section that fits one transport packet.
fn write_section(pid: u16, counter: &mut u8, section: &[u8], out: &mut BytesMut) {
    out.reserve(CELL_BYTES);
    put_header(out, pid, true, 0x10, *counter);
    *counter = counter.wrapping_add(1);
    out.put_u8(0);
    out.put_slice(section);
    out.put_bytes(0xff, ROOM_BYTES - 1 - section.len());
}

// FFmpeg's numbers, which players have seen most.
const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;
const VIDEO_ID: u8 = 0xe0;
const AUDIO_ID: u8 = 0xc0;
/// The bytes of a transport packet behind its header.
const ROOM_BYTES: usize = CELL_BYTES - 4;
/// Nine fixed bytes, two times, one byte of stuffing.
const HEADER_MAX_BYTES: usize = 9 + 10 + 1;
/// The longest ADTS payload whose PES packet can state its length.
const AUDIO_MAX_BYTES: usize = u16::MAX as usize - HEADER_MAX_BYTES;
/// An access unit delimiter of any picture type (H.264, 7.3.2.4), which the standard demands in transport streams (2.14.1).
const DELIMITER: [u8; 6] = [0, 0, 0, 1, 0x09, 0xf0];
/// How far times on the wire are ahead of the clock. Sound and picture of one instant are written up to one AAC frame (21 ms) and the
/// difference of their delays (an encoded picture 5 to 30 ms, the monitor of a sink up to 40 ms) apart.
const LEAD: MediaTime = MediaTime::from_millis(100);
/// A joiner without pictures finds the tables within this.
const TABLES_EVERY: MediaTime = MediaTime::from_millis(500);
const CLOCK_EVERY: MediaTime = MediaTime::from_millis(100);
/// A difference in time that is no longer one between sound and picture.
const CLOCK_LEAP: MediaTime = MediaTime::from_millis(1_000);
