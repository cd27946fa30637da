//! The wire formats against FFmpeg, both ways. Without `ffmpeg` and its encoders these tests skip and say so.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::BytesMut;
use crosspoint_ffi::{Codec, Packet};
use crosspoint_router::wire::ts::{Demuxer, Event, Muxer, Stream};
use crosspoint_router::wire::{annexb, mp3};

const CELL_BYTES: usize = 188;

#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
fn origin() -> Instant {
    Instant::now()
}

/// Runs `ffmpeg` or `ffprobe` with `input` on its standard input; its output and what it complained about.
fn run(program: &str, args: &str, input: Vec<u8>) -> Option<(Vec<u8>, String)> {
    let spawned =
        Command::new(program).args(args.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: no {program}");
        return None;
    };
    let mut stdin = child.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        // It may stop reading early, once it knows enough.
        scope.spawn(move || stdin.write_all(&input));
        child.wait_with_output().expect("waited for")
    });
    Some((output.stdout, String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// A clip of two seconds as transport stream (or what `args` say).
fn clip(args: &str) -> Option<Vec<u8>> {
    let sources = "-v error -f lavfi -i testsrc2=s=320x240:r=30 -f lavfi -i sine=440:sample_rate=48000 -t 2";
    let (bytes, complaints) = run("ffmpeg", &format!("{sources} {args} pipe:1"), Vec::new())?;
    if bytes.is_empty() {
        eprintln!("skipped: {complaints}");
        return None;
    }
    Some(bytes)
}

const CLIPS: [(&str, Codec, Codec, &str); 6] = [
    ("mpeg1", Codec::Mpeg1Video, Codec::Mp2, "-c:v mpeg1video -b:v 1500k -c:a mp2 -f mpegts"),
    ("mpeg2", Codec::Mpeg2Video, Codec::Mp3, "-c:v mpeg2video -bf 2 -b:v 1500k -c:a libmp3lame -f mpegts"),
    ("h264", Codec::H264, Codec::Aac, "-c:v libx264 -preset veryfast -bf 2 -g 20 -c:a aac -f mpegts"),
    ("h264 low delay", Codec::H264, Codec::Aac, "-c:v libx264 -preset ultrafast -tune zerolatency -c:a aac -f mpegts"),
    ("hevc", Codec::Hevc, Codec::Aac, "-c:v libx265 -preset ultrafast -g 20 -x265-params log-level=none -c:a aac -f mpegts"),
    ("m2ts", Codec::H264, Codec::Aac, "-c:v libx264 -preset ultrafast -g 20 -c:a aac -f mpegts -mpegts_m2ts_mode 1"),
];

#[derive(Default)]
struct Found {
    video: Vec<Packet>,
    audio: Vec<Packet>,
    bad: usize,
}

fn drain(demuxer: &mut Demuxer, found: &mut Found) {
    while let Some(event) = demuxer.poll() {
        match event {
            Event::Bad(_) | Event::Gap(_) => found.bad += 1,
            Event::Packet { stream: Stream::Video, packet } => found.video.push(packet),
            Event::Packet { stream: Stream::Audio, packet } => found.audio.push(packet),
        }
    }
}

fn demux(bytes: &[u8], chunk: usize) -> Found {
    let (mut demuxer, mut found, now) = (Demuxer::new(), Found::default(), origin());
    for chunk in bytes.chunks(chunk) {
        demuxer.push(chunk, now);
        drain(&mut demuxer, &mut found);
    }
    demuxer.finish();
    drain(&mut demuxer, &mut found);
    found
}

/// What ffprobe says of each packet: `pts,dts,size,flags`.
fn probed(bytes: Vec<u8>, stream: &str) -> Option<Vec<(i64, i64, usize, bool)>> {
    let args = format!("-v error -select_streams {stream} -show_entries packet=pts,dts,size,flags -of csv=p=0 pipe:0");
    let (text, _) = run("ffprobe", &args, bytes)?;
    let number = |text: &str| text.parse().unwrap_or(-1);
    let rows = String::from_utf8(text).expect("text");
    Some(
        rows.lines()
            .map(|line| line.split(',').collect::<Vec<_>>())
            .filter(|row| row.len() >= 4)
            .map(|row| (number(row[0]), number(row[1]), number(row[2]) as usize, row[3].contains('K')))
            .collect(),
    )
}

#[test]
fn every_codec_comes_out_as_ffprobe_sees_it() {
    for (name, video, audio, args) in CLIPS {
        let Some(bytes) = clip(args) else { continue };
        let found = demux(&bytes, 1_000);
        assert_eq!((found.video.len(), found.bad), (60, 0), "{name}");
        assert!(found.video.iter().all(|packet| packet.codec == video) && found.audio.iter().all(|packet| packet.codec == audio), "{name}");
        let Some(rows) = probed(bytes, "v:0") else { continue };
        let ours: Vec<_> = found
            .video
            .iter()
            .map(|packet| {
                let ticks = |time: Option<crosspoint_ffi::MediaTime>| time.map_or(-1, |time| time.to_90khz());
                (ticks(packet.pts), ticks(packet.dts), packet.data.len(), packet.key)
            })
            .collect();
        // FFmpeg's HEVC parser counts the zero byte of a four-byte start code to the packet before.
        let slack = usize::from(video == Codec::Hevc);
        assert_eq!(ours.len(), rows.len(), "{name}");
        for (ours, row) in ours.iter().zip(&rows) {
            assert_eq!((ours.0, ours.1, ours.3), (row.0, row.1, row.3), "{name}");
            assert!(ours.2.abs_diff(row.2) <= slack, "{name}: {ours:?} {row:?}");
        }
    }
}

#[test]
fn pictures_come_out_with_their_own_last_cell() {
    for (name, _, _, args) in CLIPS.iter().filter(|row| row.0 != "m2ts") {
        let Some(bytes) = clip(args) else { continue };
        let cells: Vec<&[u8]> = bytes.chunks(CELL_BYTES).collect();
        let is_video = |cell: &[u8]| (cell[1] & 0x1f, cell[2]) == (1, 0);
        let mut demuxer = Demuxer::new();
        let (mut at_end, mut total) = (0, 0);
        // Four cells are needed to find the stream; then each is pushed alone.
        let now = origin();
        for (nth, cell) in cells.iter().enumerate() {
            demuxer.push(cell, now);
            let mut found = Found::default();
            drain(&mut demuxer, &mut found);
            let next = cells[nth + 1..].iter().find(|cell| is_video(cell));
            let is_last = is_video(cell) && next.is_none_or(|next| next[1] & 0x40 != 0);
            total += usize::from(is_last);
            at_end += usize::from(is_last && found.video.len() == 1);
        }
        eprintln!("{name}: {at_end} of {total} pictures came out with their own last transport packet");
        assert_eq!(total, 60, "{name}");
        assert!(at_end >= 57, "{name}: an exact fit is one in 184, not {} of {total}", total - at_end);
    }
}

#[test]
fn joins_and_chunks_anywhere() {
    let Some(bytes) = clip(CLIPS[2].3) else { return };
    let whole = demux(&bytes, bytes.len());
    for chunk in [1, 187, 188, 189, 1_316, 65_536] {
        let found = demux(&bytes, chunk);
        assert!(found.video.iter().zip(&whole.video).all(|(a, b)| a.data == b.data && a.pts == b.pts), "chunk {chunk}");
        assert_eq!((found.video.len(), found.audio.len()), (whole.video.len(), whole.audio.len()), "chunk {chunk}");
    }
    for start in (1..bytes.len() / 2).step_by(bytes.len() / 50 + 1) {
        let found = demux(&bytes[start..], 4_096);
        let skipped = whole.video.len() - found.video.len();
        assert!(found.video.len() > 10 && found.bad == 0, "start {start}");
        assert!(found.video.iter().zip(&whole.video[skipped..]).all(|(a, b)| a.data == b.data), "start {start}");
    }
}

#[test]
fn one_of_several_programs_is_kept() {
    let Some(bytes) = clip(
        "-map 1:a -map 0:v -map 1:a -map 0:v -c:v mpeg1video -b:v:0 300k -b:v:1 900k -c:a mp2 -program program_num=5:st=0 \
         -program program_num=7:st=1:st=2 -program program_num=9:st=3 -f mpegts",
    ) else {
        return;
    };
    let found = demux(&bytes, 700);
    let Some(rows) = probed(bytes, "v:0") else { return };
    assert_eq!((found.video.len(), found.bad), (60, 0));
    assert!(!found.audio.is_empty(), "the sound of the same program");
    assert!(found.video.iter().zip(&rows).all(|(packet, row)| packet.data.len() == row.2), "all of the first picture stream");
}

#[test]
fn ffmpeg_reads_what_is_muxed_without_a_word() {
    for (name, _, _, args) in [CLIPS[2], CLIPS[3]] {
        let Some(bytes) = clip(args) else { continue };
        let found = demux(&bytes, 4_096);
        let in_order = |mut packets: Vec<Packet>| {
            packets.sort_by_key(Packet::decode_time);
            packets
        };
        let audio = adts_frames(&found.audio);
        for (kind, packets) in [
            ("video", found.video.clone()),
            ("audio", audio.clone()),
            ("both", in_order(found.video.iter().chain(&audio).cloned().collect())),
        ] {
            let has = |codec| packets.iter().any(|packet| packet.codec == codec);
            let (mut muxer, mut out) = (Muxer::new(has(Codec::H264), has(Codec::Aac)), BytesMut::new());
            for packet in &packets {
                assert!(muxer.write(packet, &mut out), "{name} {kind}");
            }
            for (program, args) in [
                ("ffprobe", "-v warning -show_entries packet=pts -of csv pipe:0"),
                ("ffmpeg", "-v warning -xerror -i pipe:0 -f null -"),
                ("ffmpeg", "-v warning -i pipe:0 -c copy -f null -"),
            ] {
                let Some((_, complaints)) = run(program, args, out.to_vec()) else { continue };
                assert_eq!(complaints, "", "{name} {kind}: {program} {args}");
            }
            if has(Codec::H264) {
                let Some((md5, _)) = run("ffmpeg", "-v error -i pipe:0 -map 0:v -f md5 -", out.to_vec()) else { continue };
                let Some((expected, _)) = run("ffmpeg", "-v error -i pipe:0 -map 0:v -f md5 -", bytes.clone()) else { continue };
                assert_eq!(md5, expected, "{name} {kind}: the same pictures");
            }
        }
    }
}

/// ADTS frames one by one, as an encoder gives them; FFmpeg's muxer puts several into a PES packet.
fn adts_frames(packets: &[Packet]) -> Vec<Packet> {
    let mut frames = Vec::new();
    for packet in packets {
        let mut rest = &packet.data[..];
        let mut pts = packet.pts.expect("timed");
        while let [_, _, _, a, b, c, ..] = rest {
            let bytes = usize::from(a & 3) << 11 | usize::from(*b) << 3 | usize::from(c >> 5);
            let data = crosspoint_ffi::Payload::copy_from_slice(&rest[..bytes]);
            frames.push(Packet { data, pts: Some(pts), dts: Some(pts), ..packet.clone() });
            pts += crosspoint_ffi::MediaTime::from_ticks(1_024, 48_000);
            rest = &rest[bytes..];
        }
    }
    frames
}

#[test]
fn mp3_frames_are_those_of_ffprobe() {
    for (name, args) in [
        ("cbr", "-map 1:a -c:a libmp3lame -b:a 128k -f mp3"),
        ("vbr", "-map 1:a -c:a libmp3lame -q:a 4 -f mp3"),
        ("mono 22 kHz", "-map 1:a -ac 1 -ar 22050 -c:a libmp3lame -f mp3"),
        ("mono 8 kHz", "-map 1:a -ac 1 -ar 8000 -c:a libmp3lame -f mp3"),
        ("mp2", "-map 1:a -c:a mp2 -f mp2"),
    ] {
        let Some(bytes) = clip(&format!("-metadata title=tone {args}")) else { continue };
        let Some(rows) = probed(bytes.clone(), "a:0") else { continue };
        for chunk in [1, 500, 65_536] {
            let (mut parser, mut sizes, now) = (mp3::Parser::new(), Vec::new(), origin());
            for chunk in bytes.chunks(chunk) {
                parser.push(chunk, now);
                while let Some(event) = parser.poll() {
                    match event {
                        mp3::Event::Bad(reason) => panic!("{name}: {}", reason.name()),
                        mp3::Event::Frame(frame) => sizes.push(frame.packet.data.len()),
                    }
                }
            }
            assert_eq!(sizes, rows.iter().map(|row| row.2).collect::<Vec<_>>(), "{name} chunk {chunk}");
        }
    }
}

#[test]
fn byte_streams_are_cut_into_the_nals_that_make_them() {
    let Some(bytes) = clip("-map 0:v -c:v libx264 -preset veryfast -bf 2 -g 20 -f h264") else { return };
    let slices = annexb::nals(&bytes).filter(|nal| matches!(nal[0] & 0x1f, annexb::h264_nal::SLICE | annexb::h264_nal::IDR)).count();
    assert!(slices >= 60 && slices.is_multiple_of(60), "{slices} slices in 60 pictures");
    assert!(annexb::h264(&bytes).is_key() && annexb::h264(&bytes).sps);
}
