//! Clips made by the ffmpeg command when a bench starts, as packets.

use std::process::{Command, Stdio};
use std::time::Instant;

use crosspoint_ffi::{Codec, MediaTime, Packet, Payload};

/// Encodes `source` (a lavfi graph) with `options` and gives the packets of a TS of it as a demuxer sees them.
pub fn packets(source: &str, codec: Codec, options: &str) -> Vec<Packet> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clip = folder.path().join("clip.ts");
    let clip = clip.to_str().expect("a plain path");
    run("ffmpeg", &format!("-f lavfi -i {source} {options} -f mpegts -y {clip}"));
    let table = run("ffprobe", &format!("-select_streams v -show_entries packet=pts,dts,size,flags -of csv=p=0 {clip}"));
    let bytes = run("ffmpeg", &format!("-i {clip} -map 0:v -c copy -copyts -f data -"));
    let mut rest = bytes.as_slice();
    let table = String::from_utf8(table).expect("a table");
    let packet = |line: &str| {
        let fields: Vec<_> = line.split(',').collect();
        let (data, after) = rest.split_at(fields[2].parse().expect("a size"));
        rest = after;
        let time = |field: &str| field.parse().ok().map(MediaTime::from_90khz);
        let key = fields[3].starts_with('K');
        Packet {
            codec,
            data: Payload::copy_from_slice(data),
            pts: time(fields[0]),
            dts: time(fields[1]),
            key,
            arrival: Instant::now(),
            parameters: None,
        }
    };
    table.lines().filter(|line| !line.is_empty()).map(packet).collect()
}

fn run(program: &str, arguments: &str) -> Vec<u8> {
    let output = Command::new(program)
        .args(["-v", "error"])
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg is installed");
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
