//! Clips made by the ffmpeg command, as packets.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Codec, MediaTime, Packet, Payload};

/// Encodes `source` (a lavfi graph) with `options` and gives the packets of a TS of it as a demuxer sees them.
pub(super) fn packets(source: &str, codec: Codec, options: &str) -> Vec<Packet> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clip = folder.path().join("clip.ts");
    let clip = clip.to_str().expect("a plain path");
    let arguments = format!("-f lavfi -i {source} {options} -f mpegts -y {clip}");
    run("ffmpeg", &arguments);
    split(clip, codec)
}

/// Encodes `source` to VP8 and gives the packets, which a TS does not carry.
pub(super) fn ivf(source: &str, options: &str) -> Vec<Packet> {
    let bytes = run("ffmpeg", &format!("-f lavfi -i {source} {options} -f ivf -"));
    let mut rest = &bytes[32..];
    let mut packets = Vec::new();
    while let Some((head, after)) = rest.split_at_checked(12) {
        let length = u32::from_le_bytes(head[..4].try_into().expect("four bytes")) as usize;
        let (data, after) = after.split_at(length);
        let time = MediaTime::from_millis(40 * packets.len() as i64);
        packets.push(Packet {
            codec: Codec::Vp8,
            data: Payload::copy_from_slice(data),
            pts: Some(time),
            dts: Some(time),
            key: data[0] & 1 == 0,
            arrival: Instant::now(),
            parameters: None,
        });
        rest = after;
    }
    packets
}

pub(super) fn split(clip: &str, codec: Codec) -> Vec<Packet> {
    let kind = if codec.is_video() { "v" } else { "a" };
    let table = run("ffprobe", &format!("-select_streams {kind} -show_entries packet=pts,dts,size,flags -of csv=p=0 {clip}"));
    // The muxer called data writes packets one after the other, as they are.
    let bytes = run("ffmpeg", &format!("-i {clip} -map 0:{kind} -c copy -copyts -f data -"));
    let mut rest = bytes.as_slice();
    let arrival = Instant::now();
    let packets: Vec<_> = String::from_utf8(table)
        .expect("a table")
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            let (data, after) = rest.split_at(fields[2].parse().expect("a size"));
            rest = after;
            let time = |field: &str| field.parse().ok().map(MediaTime::from_90khz);
            Packet {
                codec,
                data: Payload::copy_from_slice(data),
                pts: time(fields[0]),
                dts: time(fields[1]),
                key: fields[3].starts_with('K'),
                arrival,
                parameters: None,
            }
        })
        .collect();
    assert!(rest.is_empty() && !packets.is_empty(), "table and bytes agree");
    packets
}

pub(super) fn run(program: &str, arguments: &str) -> Vec<u8> {
    let quiet = if program == "ffmpeg" { "-nostdin -hide_banner -v error" } else { "-v error" };
    let output = Command::new(program)
        .args(quiet.split_whitespace())
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg is installed");
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
