//! The wire formats against FFmpeg, both ways. Without `ffmpeg` and its encoders these tests skip and say so.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::BytesMut;
use crosspoint_ffi::{Codec, CodecId, Packet};
use crosspoint_router::ingest::{FeedKind, Packer};
use crosspoint_router::wire::ts::{Demuxer, Event, Muxer, Stream};
use crosspoint_router::wire::{annexb, sound};

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

/// What FFmpeg's muxer marks by descriptors, by types of discs and broadcasters, or wraps.
const OTHERS: [(&str, Codec, Codec, &str); 12] = [
    ("mpeg4 ac3", Codec::OtherVideo(CodecId(12)), AC3, "-c:v mpeg4 -bf 2 -c:a ac3 -f mpegts"),
    ("dvb ac3", Codec::OtherVideo(CodecId(12)), AC3, "-c:v mpeg4 -c:a ac3 -f mpegts -mpegts_flags +system_b"),
    ("m2ts ac3", Codec::Mpeg2Video, AC3, "-c:v mpeg2video -ar 44100 -c:a ac3 -f mpegts -mpegts_m2ts_mode 1"),
    ("eac3", Codec::Mpeg2Video, EAC3, "-c:v mpeg2video -c:a eac3 -f mpegts"),
    ("dvb eac3", Codec::Mpeg2Video, EAC3, "-c:v mpeg2video -c:a eac3 -f mpegts -mpegts_flags +system_b"),
    ("latm", Codec::Mpeg2Video, Codec::OtherAudio(CodecId(86_065)), "-c:v mpeg2video -c:a aac -f mpegts -mpegts_flags +latm"),
    ("opus", Codec::Mpeg2Video, Codec::Opus, "-c:v mpeg2video -c:a libopus -f mpegts"),
    ("dts", Codec::Mpeg2Video, Codec::OtherAudio(CodecId(86_020)), "-c:v mpeg2video -c:a dca -strict -2 -f mpegts"),
    ("truehd", Codec::Mpeg2Video, Codec::OtherAudio(CodecId(86_060)), "-c:v mpeg2video -c:a truehd -strict -2 -f mpegts"),
    ("302m", Codec::Mpeg2Video, Codec::OtherAudio(CodecId(65_562)), "-c:v mpeg2video -ac 2 -c:a s302m -strict -2 -f mpegts"),
    ("m2ts pcm", Codec::Mpeg2Video, Codec::OtherAudio(CodecId(65_560)), "-c:v mpeg2video -c:a pcm_bluray -f mpegts -mpegts_m2ts_mode 1"),
    ("vc2", Codec::OtherVideo(CodecId(116)), AC3, "-c:v vc2 -b:v 20M -pix_fmt yuv420p -c:a ac3 -f mpegts"),
];
const AC3: Codec = Codec::OtherAudio(CodecId(86_019));
const EAC3: Codec = Codec::OtherAudio(CodecId(86_056));

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
fn what_only_ffmpeg_decodes_comes_out_as_ffprobe_sees_it() {
    for (name, video, audio, args) in OTHERS {
        let Some(bytes) = clip(args) else { continue };
        let found = demux(&bytes, 1_000);
        assert_eq!(found.bad, 0, "{name}");
        assert!(found.video.iter().all(|packet| packet.codec == video), "{name}");
        assert!(!found.audio.is_empty() && found.audio.iter().all(|packet| packet.codec == audio && packet.key), "{name}");
        if let Some(rows) = probed(bytes.clone(), "v:0") {
            // FFmpeg counts the mark at the end of a Dirac stream.
            assert!(found.video.len() == 60 && rows.len().abs_diff(60) <= 1, "{name}: {} pictures", found.video.len());
            let keys = |keys: Vec<bool>| keys.into_iter().take(60).filter(|key| *key).count();
            let (ours, theirs) = (found.video.iter().map(|packet| packet.key), rows.iter().map(|row| row.3));
            assert_eq!(keys(ours.collect()), keys(theirs.collect()), "{name}: key frames");
        }
        if let Some(rows) = probed(bytes, "a:0") {
            let size = |packets: &[Packet]| packets.iter().map(|packet| packet.data.len()).sum::<usize>();
            assert_eq!(size(&found.audio), rows.iter().map(|row| row.2).sum::<usize>(), "{name}: bytes of sound");
        }
    }
}

#[test]
fn sound_that_straddles_payloads_is_whole_again() {
    for (name, _, audio, args) in OTHERS.into_iter().filter(|row| ["mpeg4 ac3", "eac3", "latm", "truehd"].contains(&row.0)) {
        let Some(bytes) = clip(args) else { continue };
        let whole = demux(&bytes, 4_096);
        let found = demux(&straddled(&bytes), 4_096);
        assert_eq!(found.bad, 0, "{name}");
        let joined = |packets: &[Packet]| packets.iter().flat_map(|packet| packet.data.to_vec()).collect::<Vec<_>>();
        assert!(joined(&found.audio) == joined(&whole.audio), "{name}: no byte is lost or added");
        assert!(found.audio.iter().all(|packet| packet.codec == audio), "{name}");
        assert!(found.audio.windows(2).all(|pair| pair[0].pts < pair[1].pts), "{name}: times go on");
    }
}

/// Moves the end of each sound payload into the next, as muxers do that do not look for frames.
fn straddled(bytes: &[u8]) -> Vec<u8> {
    let is_sound = |cell: &[u8]| (cell[1] & 0x1f, cell[2]) == (1, 1);
    let payload = |cell: &[u8]| if cell[3] & 0x20 != 0 { 5 + usize::from(cell[4]) } else { 4 };
    // Every PES packet of the sound: its header, and its payload.
    let mut packets: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for cell in bytes.chunks(CELL_BYTES).filter(|cell| is_sound(cell)) {
        let body = &cell[payload(cell)..];
        if cell[1] & 0x40 != 0 {
            let (header, body) = body.split_at(9 + usize::from(body[8]));
            packets.push((header.to_vec(), body.to_vec()));
        } else if let Some((_, gathered)) = packets.last_mut() {
            gathered.extend(body);
        }
    }
    for at in 1..packets.len() {
        let (before, after) = packets.split_at_mut(at);
        let (before, after) = (&mut before[at - 1].1, &mut after[0].1);
        let moved = before.split_off(before.len() - 37.min(before.len() / 2));
        after.splice(..0, moved);
    }
    let mut counter = 0;
    let mut packets = packets.into_iter();
    let mut out = Vec::new();
    for cell in bytes.chunks(CELL_BYTES).filter(|cell| !is_sound(cell) || cell[1] & 0x40 != 0) {
        if !is_sound(cell) {
            out.extend(cell);
            continue;
        }
        let (mut header, body) = packets.next().expect("as many as there are starts");
        let stated = header.len() - 6 + body.len();
        header[4..6].copy_from_slice(&(stated as u16).to_be_bytes());
        for (nth, piece) in [header, body].concat().chunks(CELL_BYTES - 4).enumerate() {
            let stuffing = CELL_BYTES - 4 - piece.len();
            let mut made = vec![0x47, if nth == 0 { 0x41 } else { 0x01 }, 0x01, counter | if stuffing > 0 { 0x30 } else { 0x10 }];
            if stuffing > 0 {
                made.push(stuffing as u8 - 1);
                made.extend([0].into_iter().chain(std::iter::repeat(0xff)).take(stuffing - 1));
            }
            made.extend(piece);
            out.extend(made);
            counter = (counter + 1) & 15;
        }
    }
    out
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

#[test]
fn ffmpeg_reads_the_same_pictures_and_sound_of_every_codec_that_is_mirrored() {
    for (name, video, audio, args) in CLIPS.into_iter().filter(|row| row.0 != "m2ts") {
        let Some(bytes) = clip(args) else { continue };
        let found = demux(&bytes, 4_096);
        let sounds = if audio == Codec::Aac { adts_frames(&found.audio) } else { found.audio };
        let mut packets: Vec<_> = found.video.iter().chain(&sounds).cloned().collect();
        packets.sort_by_key(Packet::decode_time);
        let start = packets.iter().position(|packet| packet.key && packet.codec == video).expect("a key frame");
        let mut packer = Packer::new(FeedKind::of(video)).expect("a form");
        let mut out = BytesMut::new();
        for packet in &packets[start..] {
            assert!(packer.pack(packet, Some(audio), &mut out), "{name}");
        }
        for args in ["-v warning -xerror -i pipe:0 -f null -", "-v warning -i pipe:0 -c copy -f null -"] {
            let Some((_, complaints)) = run("ffmpeg", args, out.to_vec()) else { continue };
            assert_eq!(complaints, "", "{name}: {args}");
        }
        let decoded = |bytes: Vec<u8>| run("ffmpeg", "-v error -i pipe:0 -map 0:v -f md5 -", bytes).map(|(md5, _)| md5);
        assert_eq!(decoded(out.to_vec()), decoded(bytes), "{name}: the same pictures");
        let Some((streams, _)) = run("ffprobe", "-v error -show_entries stream=codec_name -of csv=p=0 pipe:0", out.to_vec()) else {
            continue;
        };
        // Once by itself, and once in its program.
        assert_eq!(String::from_utf8_lossy(&streams).lines().filter(|line| !line.is_empty()).count(), 4, "{name}");
    }
}

#[test]
fn ffmpeg_reads_the_same_pictures_of_every_codec_in_ivf() {
    for (name, codec, args) in [
        ("vp8", Codec::Vp8, "-map 0:v -c:v libvpx -deadline realtime -cpu-used 8 -f ivf"),
        ("vp9", Codec::Vp9, "-map 0:v -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -f ivf"),
        ("av1", Codec::Av1, "-map 0:v -c:v libaom-av1 -usage realtime -cpu-used 8 -f ivf"),
    ] {
        let Some(bytes) = clip(args) else { continue };
        let mut packer = Packer::new(FeedKind::of(codec)).expect("a form");
        let mut out = BytesMut::new();
        let mut rest = &bytes[32..];
        while let [a, b, c, d, ..] = *rest {
            let size = u32::from_le_bytes([a, b, c, d]) as usize;
            let pts = i64::from_le_bytes(rest[4..12].try_into().expect("eight bytes"));
            let time = Some(crosspoint_ffi::MediaTime::from_ticks(pts, 30));
            let data = crosspoint_ffi::Payload::copy_from_slice(&rest[12..12 + size]);
            let packet = Packet { codec, data, pts: time, dts: time, key: pts == 0, arrival: origin(), parameters: None };
            assert!(packer.pack(&packet, None, &mut out), "{name}");
            rest = &rest[12 + size..];
        }
        let ours = [&packer.header().expect("IVF has one")[..], &out].concat();
        // The size as the key frame states it; AV1's is the container's to tell.
        if codec != Codec::Av1 {
            assert_eq!(ours[8..16], bytes[8..16], "{name}: letters and size");
        }
        let decoded = |bytes: Vec<u8>| run("ffmpeg", "-v error -i pipe:0 -map 0:v -f md5 -", bytes);
        assert_eq!(decoded(ours), decoded(bytes), "{name}: the same pictures, and no complaint");
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
            let (mut parser, mut sizes, now) = (sound::Parser::new(), Vec::new(), origin());
            for chunk in bytes.chunks(chunk) {
                parser.push(chunk, now);
                while let Some(event) = parser.poll() {
                    match event {
                        sound::Event::Bad(reason) => panic!("{name}: {}", reason.name()),
                        sound::Event::Frame(frame) => sizes.push(frame.packet.data.len()),
                    }
                }
            }
            assert_eq!(sizes, rows.iter().map(|row| row.2).collect::<Vec<_>>(), "{name} chunk {chunk}");
        }
    }
}

#[test]
fn sound_of_every_container_is_cut_to_its_length() {
    for (name, codec, args) in [
        ("aac", Codec::Aac, "-c:a aac -f adts"),
        ("aac 8 kHz", Codec::Aac, "-ar 8000 -ac 1 -c:a aac -f adts"),
        ("aac 5.1", Codec::Aac, "-ac 6 -c:a aac -f adts"),
        ("opus", Codec::Opus, "-c:a libopus -f ogg"),
        ("opus 60 ms", Codec::Opus, "-c:a libopus -frame_duration 60 -f ogg"),
        ("opus 5.1", Codec::Opus, "-ac 6 -c:a libopus -page_duration 20000 -f ogg"),
        ("vorbis", Codec::OtherAudio(CodecId(86_021)), "-c:a libvorbis -f ogg"),
        ("flac", Codec::OtherAudio(CodecId(86_028)), "-c:a flac -f ogg"),
        ("s16", Codec::OtherAudio(CodecId(65_536)), "-c:a pcm_s16le -f wav"),
        ("u8", Codec::OtherAudio(CodecId(65_541)), "-ar 11025 -ac 1 -c:a pcm_u8 -f wav"),
        ("s24", Codec::OtherAudio(CodecId(65_548)), "-ar 96000 -ac 6 -c:a pcm_s24le -f wav"),
        ("f32", Codec::OtherAudio(CodecId(65_557)), "-c:a pcm_f32le -f wav"),
    ] {
        let Some(bytes) = clip(&format!("-map 1:a -metadata title=tone {args}")) else { continue };
        for chunk in [1, 500, 65_536] {
            let (mut parser, mut seconds, now) = (sound::Parser::new(), 0.0, origin());
            for chunk in bytes.chunks(chunk) {
                parser.push(chunk, now);
                while let Some(event) = parser.poll() {
                    match event {
                        sound::Event::Bad(reason) => panic!("{name}: {}", reason.name()),
                        sound::Event::Frame(frame) => {
                            assert_eq!(frame.packet.codec, codec, "{name}");
                            seconds += frame.duration.as_secs_f64();
                        }
                    }
                }
            }
            // FFmpeg ends a FLAC with an empty packet, which the last page's others share their length with.
            assert!((1.9..2.3).contains(&seconds), "{name}, chunk {chunk}: {seconds} s of 2");
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
