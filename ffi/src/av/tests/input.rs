//! Files.

use std::fs::File;
use std::path::Path;

use super::clip::run;
use crate::av::{AudioDecoder, Input, Interrupt, Read, Threads, VideoDecoder};
use crate::{Codec, MediaTime, Packet};

const PICTURES: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=2";
const BOTH: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=2 -f lavfi -i sine=duration=2:sample_rate=48000";
const SOUND: &str = "-f lavfi -i sine=duration=2:sample_rate=48000";

pub(super) fn make(folder: &Path, name: &str, options: &str) -> String {
    let path = folder.join(name);
    let path = path.to_str().expect("a plain path");
    run("ffmpeg", &format!("{options} -y {path}"));
    path.to_owned()
}

fn open(path: &str) -> crate::Result<Input> {
    Input::open_file(File::open(path).expect("a file"), &Interrupt::default())
}

pub(super) fn drain(input: &mut Input) -> Vec<(usize, Packet)> {
    let mut packets = Vec::new();
    loop {
        match input.read().expect("good media") {
            Read::End => return packets,
            Read::Packet { track, packet } => packets.push((track, packet)),
            Read::Tracks => {}
        }
    }
}

/// Index and time of every packet, as ffprobe has them. Without a time: nothing.
fn probe(path: &str) -> Vec<(usize, Option<MediaTime>)> {
    let table = run("ffprobe", &format!("-show_entries packet=stream_index,pts_time -of csv=p=0 {path}"));
    let time = |text: &str| text.parse::<f64>().ok().map(|seconds| MediaTime::from_micros((seconds * 1e6).round() as i64));
    let line = |line: &str| {
        let (index, rest) = line.split_once(',')?;
        Some((index.parse().ok()?, time(rest.split(',').next()?)))
    };
    String::from_utf8(table).expect("a table").lines().filter_map(line).collect()
}

fn assert_same(packets: &[(usize, Packet)], probed: &[(usize, Option<MediaTime>)], what: &str) {
    assert_eq!(packets.len(), probed.len(), "{what}: packets");
    for ((track, packet), (index, pts)) in packets.iter().zip(probed) {
        assert_eq!(track, index, "{what}");
        if let Some(pts) = pts {
            let apart = packet.pts.map(|own| (own - *pts).abs().as_nanos());
            assert!(apart.is_some_and(|apart| apart < 2_000), "{what}: {:?} for {pts:?}", packet.pts);
        }
    }
}

/// Decodes everything, and gives the pictures and the samples' length.
pub(super) fn decode(input: &Input, packets: &[(usize, Packet)], threads: Threads) -> (usize, MediaTime) {
    let (mut pictures, mut sound) = (0, MediaTime::ZERO);
    for track in input.tracks() {
        let own: Vec<_> = packets.iter().filter(|(index, _)| *index == track.index).map(|(_, packet)| packet).collect();
        let Some(first) = own.first() else { continue };
        if track.codec.is_video() {
            let mut decoder = VideoDecoder::open(track.codec, first.parameters.as_deref(), threads).expect("a decoder");
            let mut last = None;
            let mut receive = |decoder: &mut VideoDecoder| {
                while let Some(picture) = decoder.receive().expect("a good packet") {
                    assert!(picture.pts() > last || last.is_none(), "display order of {:?}", track.codec);
                    last = picture.pts();
                    pictures += 1;
                }
            };
            for packet in own {
                decoder.send(packet).expect("a good packet");
                receive(&mut decoder);
            }
            decoder.flush();
            receive(&mut decoder);
        } else {
            let mut decoder = AudioDecoder::open(track.codec, first.parameters.as_deref()).expect("a decoder");
            for packet in own {
                decoder.send(packet).expect("a good packet");
                while let Some(samples) = decoder.receive().expect("a good packet") {
                    sound += samples.duration();
                }
            }
        }
    }
    (pictures, sound)
}

#[test]
fn every_container_gives_the_packets_that_ffprobe_counts_and_they_decode() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, options, pictures, has_sound) in [
        ("h264.mp4", format!("{BOTH} -c:v libx264 -bf 2 -preset veryfast -c:a aac"), 50, true),
        ("h264.flv", format!("{BOTH} -c:v libx264 -bf 2 -preset veryfast -c:a aac -ar 44100"), 50, true),
        ("h264.ts", format!("{BOTH} -c:v libx264 -bf 2 -preset veryfast -c:a mp2"), 50, true),
        ("hevc.mkv", format!("{BOTH} -c:v libx265 -preset ultrafast -x265-params log-level=none -c:a flac"), 50, true),
        ("hevc.mp4", format!("{BOTH} -c:v libx265 -preset ultrafast -x265-params log-level=none -tag:v hvc1 -c:a ac3"), 50, true),
        ("vp8.webm", format!("{BOTH} -c:v libvpx -deadline realtime -c:a libvorbis"), 50, true),
        ("vp9.webm", format!("{BOTH} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"), 50, true),
        ("av1.webm", format!("{PICTURES} -c:v libsvtav1 -preset 12"), 50, false),
        ("av1.mp4", format!("{PICTURES} -c:v libsvtav1 -preset 12"), 50, false),
        ("prores.mov", format!("{PICTURES} -c:v prores_ks"), 50, false),
        ("mjpeg.avi", format!("{BOTH} -c:v mjpeg -c:a pcm_s16le"), 50, true),
        ("ffv1.mkv", format!("{PICTURES} -c:v ffv1"), 50, false),
        ("mpeg4.mp4", format!("{PICTURES} -c:v mpeg4 -bf 2"), 50, false),
        ("mpeg2.mpg", format!("{BOTH} -c:v mpeg2video -bf 2 -c:a mp2"), 50, true),
        ("raw.y4m", format!("{PICTURES} -pix_fmt yuv420p"), 50, false),
        ("short.gif", PICTURES.to_owned(), 50, false),
        ("pcm.wav", format!("{SOUND} -c:a pcm_s24le -ac 6"), 0, true),
        ("layer.mp3", SOUND.to_owned(), 0, true),
        ("vorbis.ogg", format!("{SOUND} -c:a libvorbis"), 0, true),
        ("opus.ogg", format!("{SOUND} -c:a libopus"), 0, true),
        ("adts.aac", format!("{SOUND} -c:a aac"), 0, true),
        ("free.flac", SOUND.to_owned(), 0, true),
    ] {
        let path = make(folder.path(), name, &options);
        let mut input = open(&path).expect(name);
        assert!(!input.is_live() && !input.is_realtime(), "{name}");
        let packets = drain(&mut input);
        assert_same(&packets, &probe(&path), name);
        assert!(packets[0].1.key, "{name}: the first is a key frame");
        let (decoded, sound) = decode(&input, &packets, Threads::Slices);
        assert_eq!(decoded, pictures, "{name}: pictures");
        let expected = if has_sound { 1.9..2.2 } else { -1.0..0.1 };
        assert!(expected.contains(&sound.as_secs_f64()), "{name}: {sound:?} of sound");
        assert_eq!(decode(&input, &packets, Threads::Frames).0, pictures, "{name}: pictures by frame threads");

        input.rewind().expect(name);
        let again = drain(&mut input);
        let times =
            |packets: &[(usize, Packet)]| packets.iter().map(|(track, packet)| (*track, packet.pts, packet.data.len())).collect::<Vec<_>>();
        assert_eq!(times(&again), times(&packets), "{name}: again from the start");
    }
}

#[test]
fn mp4_becomes_annex_b_and_adts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = make(folder.path(), "a.mp4", &format!("{BOTH} -c:v libx264 -preset ultrafast -c:a aac"));
    let mut input = open(&path).expect("media");
    for (track, packet) in drain(&mut input) {
        assert_eq!(packet.codec, input.tracks()[track].codec);
        if packet.codec == Codec::H264 {
            assert!(packet.data.starts_with(&[0, 0, 0, 1]) || packet.data.starts_with(&[0, 0, 1]), "a start code");
            let header = &packet.parameters.as_ref().expect("parameters").extradata;
            assert!(header.starts_with(&[0, 0, 0, 1]), "the sets as a byte stream");
        } else {
            assert_eq!(packet.data[..2], [0xff, 0xf1]);
            assert!(packet.parameters.is_none(), "it says what it is");
            let length = usize::from(packet.data[3] & 3) << 11 | usize::from(packet.data[4]) << 3 | usize::from(packet.data[5] >> 5);
            assert_eq!(length, packet.data.len());
        }
    }
}

#[test]
fn only_selected_tracks_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = make(folder.path(), "a.mkv", &format!("{BOTH} -c:v libx264 -preset ultrafast -c:a aac"));
    let mut input = open(&path).expect("media");
    let sound = input.tracks().iter().find(|track| !track.codec.is_video()).expect("sound").index;
    input.select(&[sound]);
    let packets = drain(&mut input);
    assert!(packets.len() > 80 && packets.iter().all(|(track, _)| *track == sound));
    input.rewind().expect("a file");
    input.select(&[1 - sound]);
    assert!(drain(&mut input).iter().all(|(track, _)| *track == 1 - sound));
}

#[test]
fn stills_are_one_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a.png", "a.jpg", "a.bmp", "a.webp", "a.gif"] {
        let path = make(folder.path(), name, "-f lavfi -i testsrc2=size=320x240 -frames:v 1");
        let mut input = open(&path).expect(name);
        assert!(input.tracks()[0].is_still, "{name}");
        assert_eq!(input.tracks()[0].parameters.size, (320, 240), "{name}");
        let packets = drain(&mut input);
        assert_eq!(decode(&input, &packets, Threads::Slices).0, 1, "{name}");
    }
}

#[test]
fn covers_are_no_tracks_beside_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let cover = make(folder.path(), "cover.png", "-f lavfi -i testsrc2=size=320x240 -frames:v 1");
    let options = format!("{SOUND} -i {cover} -map 0 -map 1 -c:v copy -disposition:v attached_pic");
    let mut input = open(&make(folder.path(), "a.mp3", &options)).expect("media");
    assert_eq!(input.tracks().iter().map(|track| track.codec).collect::<Vec<_>>(), [Codec::Mp3]);
    assert!(drain(&mut input).iter().all(|(_, packet)| packet.codec == Codec::Mp3));
}

/// A PNG whose header says that it is so wide and high.
fn png(side: u32) -> Vec<u8> {
    let header = [&b"IHDR"[..], &side.to_be_bytes(), &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let crc = header.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    let data = [&b"\0\0\x10\0IDAT"[..], &[0; 4_100]].concat();
    [&b"\x89PNG\r\n\x1a\n\0\0\0\x0d"[..], &header, &(!crc).to_be_bytes(), &data, b"\0\0\0\0IEND\xae\x42\x60\x82"].concat()
}

#[test]
fn what_is_not_media_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("a plain path").to_owned()
    };
    // Libraries refuse the first by themselves; the second is a gigabyte, decoded.
    let (absurd, large) = (png(100_000), png(20_000));
    for (path, expected) in [
        (write("empty.mp4", b""), "it"),
        (write("text.mp4", &b"nothing of that kind. ".repeat(500)), "not media"),
        (write("absurd.png", &absurd), "too large"),
        (write("large.png", &large), "too large"),
        (write("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"), "may not be opened"),
        (
            write("net.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
            "may not be opened",
        ),
        (write("list.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n"), ""),
        (
            write(
                "a.sdp",
                b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
            ),
            "",
        ),
    ] {
        let error = open(&path).expect_err(&path).to_string();
        assert!(error.contains(expected), "{path}: {error}");
    }
    let folder = File::open(folder.path()).expect("a folder");
    assert!(Input::open_file(folder, &Interrupt::default()).expect_err("a folder").to_string().contains("regular"));
}

#[test]
fn reordered_pictures_are_decoded_evenly_from_the_first() {
    let files = tempfile::tempdir().expect("a folder");
    let clip = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=3";
    for (name, codec) in [
        ("a.mkv", "-c:v libx264 -bf 2 -g 25"),
        ("b.mkv", "-c:v libx265 -x265-params log-level=error:bframes=2:keyint=25"),
        ("c.mp4", "-c:v libx264 -bf 2 -g 25"),
        ("d.avi", "-c:v mpeg4 -bf 2 -g 25"),
        ("e.ts", "-c:v libx264 -bf 2 -g 25"),
    ] {
        let mut input = open(&make(files.path(), name, &format!("{clip} {codec}"))).expect(name);
        let packets = drain(&mut input);
        assert_eq!(packets.len(), 75, "{name}");
        let times: Vec<_> = packets.iter().map(|(_, packet)| packet.decode_time().expect("a time")).collect();
        for (index, pair) in times.windows(2).enumerate() {
            let step = pair[1] - pair[0];
            let (least, most) = (MediaTime::from_millis(20), MediaTime::from_millis(60));
            assert!(least <= step && step <= most, "{name}: {step:?} behind packet {index}");
        }
        assert!(packets.iter().all(|(_, packet)| packet.pts >= packet.dts || packet.pts.is_none()), "{name}: late");
    }
}
