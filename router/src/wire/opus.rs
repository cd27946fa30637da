//! What the first bytes of an Opus packet say (RFC 6716, 3.1).

use crosspoint_ffi::MediaTime;

/// How long an Opus packet sounds.
pub(crate) fn duration(packet: &[u8]) -> MediaTime {
    let Some(&toc) = packet.first() else { return MediaTime::ZERO };
    let frame_us = match toc >> 3 {
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        config @ 12..16 => [10_000, 20_000][usize::from(config & 1)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(1, |count| i64::from(count & 0x3f)),
    };
    // No packet sounds longer than that.
    MediaTime::from_micros((frame_us * frames).min(120_000))
}
