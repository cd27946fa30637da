//! Pictures and sound into a transport stream.

use bytes::{BufMut, BytesMut};
use crosspoint_ffi::{Codec, MediaTime, Packet};

use super::pes::{WRAP, time_bytes};
use super::{CELL_BYTES, PAT_PID, SYNC_BYTE, psi, stream_type};
use crate::wire::annexb;

/// Multiplexes one picture stream (MPEG-1, MPEG-2, or H.264 and HEVC as Annex B) and one of sound (AAC as ADTS, MP2, MP3) into one program.
///
/// What it writes can be joined at every key frame (PAT and PMT come first; the parameter sets of H.264 and HEVC are the caller's to
/// have in it), and no player has to wait for the next picture to know that
/// one is over: its PES packet states its length where the field can hold it, and its last transport packet is always stuffed.
///
/// Times on the wire are the packet's plus 100 ms, and the clock reference is the decode time of the packet it travels with. So a
/// packet reaches a decoder ahead of its time, as the standard wants, though sound and picture of one instant reach us up to
/// the larger of their encoding delays apart; players that follow the clock buffer no more than that.
///
/// Copies: 1 (into transport packets).
#[derive(Debug)]
pub struct Muxer {
    program: Program,
    /// How often the program changed.
    version: u8,
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

/// The codecs of a program's streams, each of which has a stream type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Program {
    video: Option<Codec>,
    audio: Option<Codec>,
}

#[derive(Debug, Default)]
struct Counters {
    pat: u8,
    pmt: u8,
    video: u8,
    audio: u8,
}

impl Muxer {
    /// Makes a muxer for a program of H.264, AAC or both.
    #[must_use]
    pub fn new(video: bool, audio: bool) -> Self {
        Self::of(Program { video: video.then_some(Codec::H264), audio: audio.then_some(Codec::Aac) })
    }

    /// Makes a muxer for a program of these codecs; nothing when one of them has no stream type, or is not of its kind.
    #[must_use]
    pub fn for_codecs(video: Option<Codec>, audio: Option<Codec>) -> Option<Self> {
        Program::new(video, audio).map(Self::of)
    }

    /// Changes the program to these codecs, which the next packet's tables tell; false when it has them already or they cannot be told.
    ///
    /// Continuity counters and times run on. Video resumes at a key frame.
    pub fn change(&mut self, video: Option<Codec>, audio: Option<Codec>) -> bool {
        let Some(program) = Program::new(video, audio).filter(|program| *program != self.program) else { return false };
        self.version = (self.version + 1) % 32;
        self.program = program;
        self.pmt = program.map(self.version);
        (self.has_key, self.tables_at) = (false, None);
        true
    }

    /// Appends the transport packets of `packet` to `out`; or nothing, and says so with `false`, when it has no time or is of a
    /// codec or stream that the program does not have.
    ///
    /// Video starts at its first key frame; what comes before is refused likewise.
    #[must_use]
    pub fn write(&mut self, packet: &Packet, out: &mut BytesMut) -> bool {
        let (Some(pts), Some(dts)) = (packet.pts, packet.decode_time()) else { return false };
        let codec = Some(packet.codec);
        if codec == self.program.video && (packet.key || self.has_key) {
            self.write_video(packet, pts, dts, out);
        } else if codec == self.program.audio && packet.data.len() <= AUDIO_MAX_BYTES {
            self.write_audio(packet, pts, out);
        } else {
            return false;
        }
        true
    }

    /// What goes before the next packet's transport packets for a receiver that lost some before them: one packet of each PID that says
    /// that its counter does not go on from the last (2.4.3.4, `discontinuity_indicator`).
    #[must_use]
    pub fn discontinuity(&self) -> Vec<u8> {
        let tracks = [(VIDEO_PID, self.counters.video, self.program.video), (AUDIO_PID, self.counters.audio, self.program.audio)];
        let tracks = tracks.into_iter().filter(|(.., codec)| codec.is_some()).map(|(pid, counter, _)| (pid, counter));
        let mut cells = BytesMut::with_capacity(4 * CELL_BYTES);
        for (pid, counter) in [(PAT_PID, self.counters.pat), (PMT_PID, self.counters.pmt)].into_iter().chain(tracks) {
            // Without a payload the counter stands still: it is that of the packet before the next.
            put_header(&mut cells, pid, false, 0x20, counter.wrapping_sub(1));
            cells.put_slice(&[183, 0x80]);
            cells.put_bytes(0xff, 182);
        }
        cells.into()
    }

    fn of(program: Program) -> Self {
        let [high, low] = (0xe000 | PMT_PID).to_be_bytes();
        Self {
            program,
            version: 0,
            pat: psi::section(0x00, 1, 0, &[0, 1, high, low]),
            pmt: program.map(0),
            counters: Counters::default(),
            has_key: false,
            tables_at: None,
            clock: None,
        }
    }

    fn write_video(&mut self, packet: &Packet, pts: MediaTime, dts: MediaTime, out: &mut BytesMut) {
        self.has_key = true;
        self.write_tables(dts, packet.key, out);
        let clock = if self.program.audio.is_some() {
            self.write_late_clock(dts, out);
            None
        } else {
            Some(self.tick(dts))
        };
        let delimiter: &[u8] = match packet.codec {
            Codec::H264 if !annexb::h264(&packet.data).aud => &H264_DELIMITER,
            Codec::Hevc if !annexb::hevc(&packet.data).aud => &HEVC_DELIMITER,
            Codec::Aac
            | Codec::Av1
            | Codec::H264
            | Codec::Hevc
            | Codec::Mpeg1Video
            | Codec::Mpeg2Video
            | Codec::Mp2
            | Codec::Mp3
            | Codec::Opus
            | Codec::OtherAudio(_)
            | Codec::OtherVideo(_)
            | Codec::Vp8
            | Codec::Vp9 => &[],
        };
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

impl Program {
    /// A program of codecs that have stream types.
    fn new(video: Option<Codec>, audio: Option<Codec>) -> Option<Self> {
        let fits = |codec: Option<Codec>, is_video: bool| codec.is_none_or(|codec| codec.is_video() == is_video && kind(codec).is_some());
        (fits(video, true) && fits(audio, false)).then_some(Self { video, audio })
    }

    /// The program map that tells it.
    fn map(self, version: u8) -> Vec<u8> {
        let mut map = Vec::new();
        map.extend((0xe000 | if self.audio.is_some() { AUDIO_PID } else { VIDEO_PID }).to_be_bytes());
        map.extend([0xf0, 0]);
        for (codec, pid) in [(self.video, VIDEO_PID), (self.audio, AUDIO_PID)] {
            let Some(kind) = codec.and_then(kind) else { continue };
            map.push(kind);
            map.extend((0xe000 | pid).to_be_bytes());
            map.extend([0xf0, 0]);
        }
        psi::section(0x02, 1, version, &map)
    }
}

/// The stream type of a codec, if it has one that players know. MP2 and MP3 share theirs, of whatever sampling rate: that is how FFmpeg
/// writes them.
fn kind(codec: Codec) -> Option<u8> {
    match codec {
        Codec::Aac => Some(stream_type::AAC_ADTS),
        Codec::H264 => Some(stream_type::H264),
        Codec::Hevc => Some(stream_type::HEVC),
        Codec::Mpeg1Video => Some(stream_type::MPEG1_VIDEO),
        Codec::Mpeg2Video => Some(stream_type::MPEG2_VIDEO),
        Codec::Mp2 | Codec::Mp3 => Some(stream_type::MPEG1_AUDIO),
        Codec::Av1 | Codec::Opus | Codec::OtherAudio(_) | Codec::OtherVideo(_) | Codec::Vp8 | Codec::Vp9 => None,
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
const H264_DELIMITER: [u8; 6] = [0, 0, 0, 1, 0x09, 0xf0];
/// The same of HEVC (H.265, 7.3.2.5; demanded by 2.17.1).
const HEVC_DELIMITER: [u8; 7] = [0, 0, 0, 1, 0x46, 0x01, 0x50];
/// How far times on the wire are ahead of the clock. Sound and picture of one instant are written up to one AAC frame (21 ms) and the
/// difference of their delays (an encoded picture 5 to 30 ms, the monitor of a sink up to 40 ms) apart.
const LEAD: MediaTime = MediaTime::from_millis(100);
/// A joiner without pictures finds the tables within this.
const TABLES_EVERY: MediaTime = MediaTime::from_millis(500);
const CLOCK_EVERY: MediaTime = MediaTime::from_millis(100);
/// A difference in time that is no longer one between sound and picture.
const CLOCK_LEAP: MediaTime = MediaTime::from_millis(1_000);
