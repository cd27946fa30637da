//! What we say, and what comes back of it.

use std::time::Duration;

use super::{EXTENDED_REPORT, GOODBYE, MOST_COUNT, RECEIVER_REPORT, SENDER_REPORT, SOURCE_DESCRIPTION, VERSION};

/// How much of a stream was sent, and when (RFC 3550, 6.4.1).
#[derive(Clone, Copy, Debug)]
pub(in crate::rtc) struct SenderReport {
    pub(in crate::rtc) ssrc: u32,
    /// Seconds since 1900, and 32 bits of fractions of them.
    pub(in crate::rtc) ntp: u64,
    /// The same time by the stream's own clock.
    pub(in crate::rtc) rtp_time: u32,
    pub(in crate::rtc) packets: u32,
    /// Of payload alone.
    pub(in crate::rtc) bytes: u32,
}

impl SenderReport {
    fn write(&self, out: &mut Vec<u8>) {
        write_header(out, 0, SENDER_REPORT, 6);
        out.extend(self.ssrc.to_be_bytes());
        out.extend(self.ntp.to_be_bytes());
        out.extend(self.rtp_time.to_be_bytes());
        out.extend(self.packets.to_be_bytes());
        out.extend(self.bytes.to_be_bytes());
    }
}

/// Appends a compound packet: a report for each stream, then its name, which is the same for all, by which a viewer knows that they are of
/// one clock (RFC 3550, 6.5.1). Of the name 255 bytes are written at most. Nothing without reports.
///
/// Each name is a packet of its own, which costs four bytes more than one for all would: aiortc (1.16) finds the second name in a packet
/// only if two zeros are before it, and of a compound packet with an error it takes nothing.
pub(in crate::rtc) fn write_reports(out: &mut Vec<u8>, reports: &[SenderReport], cname: &str) {
    for report in reports {
        report.write(out);
    }
    let end = (0..=cname.len().min(MOST_NAME_BYTES)).rev().find(|&end| cname.is_char_boundary(end)).unwrap_or(0);
    for report in reports {
        write_name(out, report.ssrc, &cname.as_bytes()[..end]);
    }
}

/// Appends the time that a viewer told back to it, `since` so many 1/65536 s after it came (RFC 3611, 4.5), as one who sends the stream `from`.
/// It goes behind reports.
pub(in crate::rtc) fn write_time_back(out: &mut Vec<u8>, from: u32, viewer: u32, middle: u32, since: u32) {
    write_header(out, 0, EXTENDED_REPORT, 5);
    out.extend(from.to_be_bytes());
    out.extend([TIME_BACK, 0, 0, 3]);
    out.extend([viewer, middle, since].iter().flat_map(|word| word.to_be_bytes()));
}

/// Appends that streams end, after a report of nothing, as a compound packet begins with one (RFC 3550, 6.1 and 6.6). There is no name,
/// which can be left out of a reduced one (RFC 5506). Nothing without streams.
pub(in crate::rtc) fn write_goodbye(out: &mut Vec<u8>, ssrcs: &[u32]) {
    let Some(first) = ssrcs.first() else { return };
    write_header(out, 0, RECEIVER_REPORT, 1);
    out.extend(first.to_be_bytes());
    for ssrcs in ssrcs.chunks(MOST_COUNT.into()) {
        write_header(out, ssrcs.len() as u8, GOODBYE, ssrcs.len() as u16);
        out.extend(ssrcs.iter().flat_map(|ssrc| ssrc.to_be_bytes()));
    }
}

/// The round trip that a report block tells, now that the middle 32 bits of our NTP time are such: since our last report, without how long
/// that lay with the viewer (RFC 3550, 6.4.1). Nothing if it had none, or if that cannot be.
pub(in crate::rtc) fn round_trip(now_middle: u32, last_report: u32, since: u32) -> Option<Duration> {
    let trip = now_middle.wrapping_sub(last_report).wrapping_sub(since);
    let trip = Duration::from_nanos((u64::from(trip) * NANOS_A_SECOND) >> 16);
    (last_report != 0 && trip <= MOST_TRIP).then_some(trip)
}

/// A name of 255 bytes at most.
fn write_name(out: &mut Vec<u8>, ssrc: u32, name: &[u8]) {
    // It ends with at least one zero, at the end of a word.
    let words = (2 + name.len()) / 4 + 1;
    write_header(out, 1, SOURCE_DESCRIPTION, 1 + words as u16);
    out.extend(ssrc.to_be_bytes());
    let end = out.len() + words * 4;
    out.extend([CNAME, name.len() as u8]);
    out.extend(name);
    out.resize(end, 0);
}

/// The length is in words, without the header's own (RFC 3550, 6.4.1).
fn write_header(out: &mut Vec<u8>, count: u8, kind: u8, words: u16) {
    let [high, low] = words.to_be_bytes();
    out.extend([VERSION << 6 | count, kind, high, low]);
}

/// The block of an extended report that gives times back.
const TIME_BACK: u8 = 5;
/// The item of a source description that is a name (RFC 3550, 6.5.1).
const CNAME: u8 = 1;
/// Its length is in a byte.
const MOST_NAME_BYTES: usize = 255;
const NANOS_A_SECOND: u64 = 1_000_000_000;
/// What takes longer was sent by a clock that is not ours. What takes less than nothing is, without a sign, 18 hours or nearly.
const MOST_TRIP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::{Feedback, Packets, parse};
    use super::*;

    fn report(ssrc: u32) -> SenderReport {
        SenderReport { ssrc, ntp: 0x0102_0304_0506_0708, rtp_time: 0x1112_1314, packets: 0x2122_2324, bytes: 0x3132_3334 }
    }

    /// Kind, count and length of each packet, which are all there is.
    fn packets(bytes: &[u8]) -> Vec<(u8, u8, usize)> {
        let packets: Vec<_> = Packets { rest: bytes }.map(|packet| (packet.kind, packet.count, packet.body.len())).collect();
        assert_eq!(packets.iter().map(|(.., length)| 4 + length).sum::<usize>(), bytes.len());
        packets
    }

    #[test]
    fn time_that_was_told_is_given_back() {
        let mut out = Vec::new();
        write_time_back(&mut out, 1, 2, 0x0304_0506, 0x1_0000);
        assert_eq!(out, [0x80, 207, 0, 5, 0, 0, 0, 1, 5, 0, 0, 3, 0, 0, 0, 2, 3, 4, 5, 6, 0, 1, 0, 0]);
    }

    #[test]
    fn reports_of_two_streams_share_a_compound_packet_and_a_name() {
        let mut out = vec![9];
        write_reports(&mut out, &[report(0xaabb_ccdd), report(2)], "ab");
        let expected = [
            9, 0x80, 200, 0, 6, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24, 0x31, 0x32,
            0x33, 0x34, 0x80, 200, 0, 6, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24, 0x31, 0x32,
            0x33, 0x34, 0x81, 202, 0, 3, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2, b'a', b'b', 0, 0, 0, 0, 0x81, 202, 0, 3, 0, 0, 0, 2, 1, 2, b'a',
            b'b', 0, 0, 0, 0,
        ];
        assert_eq!(out, expected);
        assert_eq!(parse(&out[1..]).count(), 0, "which says nothing to who sends");
    }

    #[test]
    fn name_ends_with_a_zero_at_the_end_of_a_word() {
        for (name, bytes) in [("", 8), ("a", 8), ("ab", 12), ("abc", 12), ("abcde", 12), ("abcdef", 16)] {
            let mut out = vec![];
            write_reports(&mut out, &[report(1)], name);
            assert_eq!(packets(&out), [(200, 0, 24), (202, 1, bytes)], "{name}");
            let (_, text) = out.split_at(28 + 4 + 4 + 2);
            assert!(text.starts_with(name.as_bytes()) && text[name.len()..].iter().all(|&byte| byte == 0) && text.len() > name.len());
        }
    }

    #[test]
    fn long_name_is_cut_between_characters() {
        for (name, length) in [("a".repeat(255), 255), ("a".repeat(256), 255), ("é".repeat(200), 254)] {
            let mut out = vec![];
            write_reports(&mut out, &[report(1)], &name);
            assert_eq!(usize::from(out[37]), length);
            assert!(std::str::from_utf8(&out[38..38 + length]).is_ok());
            packets(&out);
        }
    }

    #[test]
    fn many_streams_that_end_take_more_packets() {
        let mut out = vec![];
        write_goodbye(&mut out, &[7; 40]);
        assert_eq!(packets(&out), [(201, 0, 4), (203, 31, 124), (203, 9, 36)]);
    }

    #[test]
    fn goodbye_is_understood() {
        let mut out = vec![];
        write_goodbye(&mut out, &[0x0102_0304, 5]);
        assert_eq!(out, [0x80, 201, 0, 1, 1, 2, 3, 4, 0x82, 203, 0, 2, 1, 2, 3, 4, 0, 0, 0, 5]);
        assert!(matches!(parse(&out).collect::<Vec<_>>()[..], [Feedback::Goodbye]));
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        let mut out = vec![];
        write_reports(&mut out, &[], "name");
        write_goodbye(&mut out, &[]);
        assert!(out.is_empty());
    }

    #[test]
    fn round_trip_is_what_is_left_of_the_time_since() {
        // The example of RFC 3550, figure 2.
        assert_eq!(round_trip(0xb710_8000, 0xb705_2000, 0x0005_4000), Some(Duration::from_millis(6_125)));
        assert_eq!(round_trip(0x0000_8000, 0xffff_c000, 0x0000_4000), Some(Duration::from_millis(500)), "across the end");
        assert_eq!(round_trip(65_536, 1, 65_535), Some(Duration::ZERO));
        assert_eq!(round_trip(65_537, 1, 65_535), Some(Duration::from_nanos(15_258)));
        assert_eq!(round_trip(61 << 16, 1 << 16, 0), Some(Duration::from_secs(60)));
    }

    #[test]
    fn round_trip_that_cannot_be_is_none() {
        assert_eq!(round_trip(5 << 16, 0, 0), None, "no report");
        assert_eq!(round_trip(65_535, 1, 65_535), None, "less than nothing");
        assert_eq!(round_trip(62 << 16, 1 << 16, 0), None);
        assert_eq!(round_trip(0x8000_0001, 1, 0), None);
    }
}
