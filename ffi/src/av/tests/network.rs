//! Addresses.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Answer, Server};
use super::input::{decode, drain, make};
use crate::Remedy;
use crate::av::{Input, Interrupt, Read, Threads, VideoDecoder};

const BOTH: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=4 -f lavfi -i sine=duration=4:sample_rate=48000 \
                    -c:v libx264 -preset ultrafast -g 25 -c:a aac";

/// Serves a folder.
fn folder(folder: &tempfile::TempDir) -> Server {
    let root = folder.path().to_owned();
    Server::start(move |path| std::fs::read(root.join(path)).map_or(Answer::Status("404 Not Found"), Answer::Bytes))
}

fn open(url: &str) -> crate::Result<Input> {
    Input::open_url(url, &Interrupt::default())
}

#[test]
fn progressive_media_are_read_and_rewound() {
    let files = tempfile::tempdir().expect("a folder");
    make(files.path(), "a.mp4", BOTH);
    make(files.path(), "a.ts", BOTH);
    let server = folder(&files);
    for name in ["a.mp4", "a.ts"] {
        let mut input = open(&server.url(name)).expect(name);
        assert!(!input.is_live() && !input.is_realtime());
        let packets = drain(&mut input);
        assert_eq!(decode(&input, &packets, Threads::Slices).0, 100, "{name}");
        input.rewind().expect("seekable");
        assert_eq!(drain(&mut input).len(), packets.len(), "{name}");
    }
}

#[test]
fn answer_without_length_ends_with_its_connection() {
    let files = tempfile::tempdir().expect("a folder");
    let root = files.path().to_owned();
    let server = Server::start(move |path| std::fs::read(root.join(path)).map_or(Answer::Nothing, |bytes| Answer::Closing(None, bytes)));
    for (name, options) in [("a.mp4", "-movflags +faststart"), ("a.ts", ""), ("a.mkv", ""), ("a.flv", "-ar 44100")] {
        make(files.path(), name, &format!("{BOTH} {options}"));
        let mut input = open(&server.url(name)).expect(name);
        let packets = drain(&mut input);
        assert_eq!(decode(&input, &packets, Threads::Slices).0, 100, "{name}");
    }
}

#[test]
fn answer_that_is_shorter_than_it_says_is_no_end() {
    let files = tempfile::tempdir().expect("a folder");
    make(files.path(), "a.ts", BOTH);
    let bytes = std::fs::read(files.path().join("a.ts")).expect("made");
    let server = Server::start(move |_| Answer::Closing(Some(bytes.len() + 188), bytes.clone()));
    let mut input = open(&server.url("a.ts")).expect("a start");
    let error = loop {
        match input.read() {
            Ok(Read::Packet { .. } | Read::Tracks) => {}
            Ok(Read::End) => panic!("it is not all there"),
            Err(error) => break error,
        }
    };
    assert!(error.remedy() == Remedy::Retry && error.to_string().contains("in the middle of the answer"), "{error}");
}

#[test]
fn only_the_selected_variant_is_fetched() {
    let files = tempfile::tempdir().expect("a folder");
    for (name, size) in [("large", "320x240"), ("small", "160x120")] {
        make(
            files.path(),
            &format!("{name}.m3u8"),
            &format!(
                "-f lavfi -i testsrc2=size={size}:rate=25:duration=16 -c:v libx264 -preset ultrafast -g 50 -f hls -hls_time 2 -hls_list_size 0"
            ),
        );
    }
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\nlarge.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=200000\nsmall.m3u8\n";
    std::fs::write(files.path().join("all.m3u8"), master).expect("written");
    let server = folder(&files);
    let mut input = open(&server.url("all.m3u8")).expect("a playlist");
    assert!(!input.is_live());
    let variants: Vec<_> = input.tracks().iter().map(|track| (track.variant, track.bitrate_bps)).collect();
    assert_eq!(variants, [(Some(0), 800_000), (Some(1), 200_000)]);
    input.select(&[1]);
    let packets = drain(&mut input);
    assert!(packets.iter().all(|(track, _)| *track == 1));
    assert_eq!(decode(&input, &packets, Threads::Slices).0, 400);
    let paths = server.paths();
    assert!(paths.iter().any(|path| path == "small7.ts"), "{paths:?}");
    assert!(!paths.iter().any(|path| path == "large5.ts"), "{paths:?}");
}

#[test]
fn discontinuities_pass_through() {
    let files = tempfile::tempdir().expect("a folder");
    for (name, size) in [("a.ts", "320x240"), ("b.ts", "160x120")] {
        make(
            files.path(),
            name,
            &format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=2 -c:v libx264 -preset ultrafast -tune zerolatency"),
        );
    }
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\nb.ts\n#EXT-X-ENDLIST\n";
    std::fs::write(files.path().join("a.m3u8"), list).expect("written");
    let server = folder(&files);
    let mut input = open(&server.url("a.m3u8")).expect("a playlist");
    let packets = drain(&mut input);
    assert_eq!(packets.len(), 100);
    let back = packets.windows(2).filter(|pair| pair[1].1.pts < pair[0].1.pts).count();
    assert_eq!(back, 1, "times jump once");
    let mut decoder = VideoDecoder::open(packets[0].1.codec, packets[0].1.parameters.as_deref(), Threads::Slices).expect("a decoder");
    let mut widths = Vec::new();
    for (_, packet) in &packets {
        decoder.send(packet).expect("a good packet");
        while let Some(picture) = decoder.receive().expect("a good packet") {
            widths.push(picture.width());
        }
    }
    assert_eq!(widths, [[320; 50], [160; 50]].concat());
}

#[test]
fn fragmented_mp4_in_a_playlist_is_annex_b_too() {
    let files = tempfile::tempdir().expect("a folder");
    make(files.path(), "a.m3u8", &format!("{BOTH} -f hls -hls_time 1 -hls_list_size 0 -hls_segment_type fmp4"));
    let server = folder(&files);
    let mut input = open(&server.url("a.m3u8")).expect("a playlist");
    let packets = drain(&mut input);
    for (_, packet) in packets.iter().filter(|(_, packet)| packet.codec.is_video()) {
        assert!(packet.data.starts_with(&[0, 0, 0, 1]) || packet.data.starts_with(&[0, 0, 1]), "a start code");
    }
    assert_eq!(decode(&input, &packets, Threads::Slices).0, 100);
}

#[test]
fn live_playlist_begins_near_its_edge() {
    let files = tempfile::tempdir().expect("a folder");
    make(files.path(), "a.m3u8", &format!("{BOTH} -f hls -hls_time 1 -hls_list_size 0 -hls_flags omit_endlist"));
    let server = folder(&files);
    let interrupt = Interrupt::default();
    let mut input = Input::open_url(&server.url("a.m3u8"), &interrupt).expect("a playlist");
    assert!(input.is_live());
    assert_eq!(input.rewind().expect_err("live").remedy(), Remedy::Report);
    assert!(matches!(input.read(), Ok(Read::Packet { .. })));
    let paths = server.paths();
    assert!(paths.iter().any(|path| path == "a2.ts") && !paths.iter().any(|path| path == "a1.ts"), "{paths:?}");
}

#[test]
fn servers_that_misbehave_are_left_with_a_reason() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-mpegurl\r\nConnection: close\r\n\r\n#EXTM3U\n#EXT-X-TARGETDURATION:2\n";
    let server = Server::start(move |path| match path {
        "missing" => Answer::Status("404 Not Found"),
        "secret" => Answer::Status("403 Forbidden"),
        "broken" => Answer::Status("503 Service Unavailable"),
        "round" => Answer::Redirect("/round".to_owned()),
        "file" => Answer::Redirect("file:///etc/passwd".to_owned()),
        "header" => Answer::Endless("HTTP/1.1 200 OK\r\n", b"Set-Cookie: a=b\r\n"),
        "icy" => Answer::Endless("HTTP/1.1 200 OK\r\nX: ", b"endless"),
        "list.m3u8" => Answer::Endless(head, b"#EXTINF:2,\na.ts\n"),
        "variants.m3u8" => Answer::Endless(head, b"#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8\n"),
        "passwd.m3u8" => playlist("file:///etc/passwd"),
        "data.m3u8" => playlist("data:text/plain,abc"),
        "concat.m3u8" => playlist("concat:/etc/passwd"),
        "subfile.m3u8" => playlist("subfile,,start,0,end,9,,:/etc/passwd"),
        "crypto.m3u8" => playlist("crypto+file:///etc/passwd"),
        "text" => Answer::Bytes(b"nothing of that kind. ".repeat(500)),
        _ => Answer::Status("404 Not Found"),
    });
    for (path, expected, remedy) in [
        ("missing", "http 404", Some(Remedy::Retry)),
        ("secret", "http 403", Some(Remedy::Retry)),
        ("broken", "http 5xx", Some(Remedy::Retry)),
        ("round", "redirects", None),
        ("file", "not be opened", Some(Remedy::Report)),
        ("header", "header", Some(Remedy::Report)),
        ("icy", "header", Some(Remedy::Report)),
        ("list.m3u8", "playlist", Some(Remedy::Report)),
        ("variants.m3u8", "playlist", Some(Remedy::Report)),
        ("passwd.m3u8", "not be opened", Some(Remedy::Report)),
        ("data.m3u8", "", None),
        ("concat.m3u8", "", None),
        ("subfile.m3u8", "", None),
        ("crypto.m3u8", "", None),
        ("text", "not media", Some(Remedy::Report)),
    ] {
        let error = open(&server.url(path)).expect_err(path);
        assert!(error.to_string().contains(expected), "{path}: {error}");
        assert!(remedy.is_none_or(|remedy| remedy == error.remedy()), "{path}: {error:?}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let error = open(&format!("http://{closed}/")).expect_err("nobody listens");
    assert!(error.to_string().contains("refused"), "{error}");
}

fn playlist(names: &str) -> Answer {
    Answer::Bytes(format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{names}\n#EXT-X-ENDLIST\n").into_bytes())
}

#[test]
fn server_that_never_answers_is_left_when_told() {
    let (asked, told) = std::sync::mpsc::channel();
    let asked = Mutex::new(asked);
    let server = Server::start(move |_| {
        let _ = asked.lock().expect("no panic").send(());
        Answer::Nothing
    });
    let interrupt = Interrupt::default();
    let (url, own) = (server.url("x"), interrupt.clone());
    let opening = thread::spawn(move || Input::open_url(&url, &own).map(drop));
    told.recv_timeout(Duration::from_secs(10)).expect("a request");
    let stopped = Instant::now();
    interrupt.stop();
    let error = opening.join().expect("no panic").expect_err("stopped");
    assert_eq!((error.remedy(), error.to_string().contains("stopped")), (Remedy::Rebuild, true));
    // Opening gives up by itself after ten seconds; that it did not wait for that is the point.
    assert!(stopped.elapsed() < Duration::from_secs(5));
}

/// An ffmpeg that sends or serves; it ends with the test.
struct Sender(Child);

impl Sender {
    fn start(arguments: &str) -> Self {
        let child = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-v", "error"])
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .spawn()
            .expect("ffmpeg is installed");
        Self(child)
    }

    fn is_gone(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn realtime_protocols_give_both_tracks_from_a_key_frame_on() {
    let endless = "-re -f lavfi -i testsrc2=size=320x240:rate=25 -re -f lavfi -i sine=sample_rate=48000 \
                   -c:v libx264 -preset ultrafast -tune zerolatency -g 10 -c:a aac";
    let port = || std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    for (sent, read) in [
        ("-f mpegts udp://127.0.0.1:PORT?pkt_size=1316", "udp://127.0.0.1:PORT"),
        ("-f flv -listen 1 rtmp://127.0.0.1:PORT/live/x", "rtmp://127.0.0.1:PORT/live/x"),
        ("-f mpegts srt://127.0.0.1:PORT?mode=listener", "srt://127.0.0.1:PORT"),
    ] {
        let port = port().to_string();
        let arguments = format!("{endless} {}", sent.replace("PORT", &port));
        let mut sender = Sender::start(&arguments);
        let (url, deadline) = (read.replace("PORT", &port), Instant::now() + Duration::from_secs(30));
        // Until it listens.
        let mut input = loop {
            match open(&url) {
                Ok(input) => break input,
                Err(error) => assert!(error.remedy() == Remedy::Retry && Instant::now() < deadline, "{read}: {error}"),
            }
            // It serves one listener, who may have found it too slow on a busy machine.
            if sender.is_gone() {
                sender = Sender::start(&arguments);
            }
        };
        assert!(input.is_live() && input.is_realtime(), "{read}");
        let mut packets = Vec::new();
        while Instant::now() < deadline && packets.len() < 60 {
            if let Read::Packet { track, packet } = input.read().expect(read) {
                packets.push((track, packet));
            }
        }
        assert_eq!(input.tracks().len(), 2, "{read}: {:?}", input.tracks());
        let first = packets.iter().position(|(_, packet)| packet.codec.is_video() && packet.key).expect("a key frame");
        let (pictures, sound) = decode(&input, &packets[first..], Threads::Slices);
        assert!(pictures > 10 && sound.as_secs_f64() > 0.3, "{read}: {pictures} pictures, {sound:?} of sound");
    }
}
