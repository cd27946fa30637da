use std::net::Ipv4Addr;
use std::time::{Duration, UNIX_EPOCH};

use crosspoint_ffi::VideoFormat;
use crosspoint_router::control::InputStats;
use serde_json::{Value, json};

use super::*;
use crate::http::access::Scheme;
use crate::http::body::parse;

fn outcome(body: &str) -> u16 {
    parse(body.as_bytes()).and_then(spec).map_or_else(|failure| failure.status.as_u16(), |_| 200)
}

#[test]
fn configures_are_told_apart() {
    let cases = [
        ("", 400),
        ("null", 400),
        (r#"{"video":"#, 400),
        (r#"{"video":{"type":"socket"}}"#, 200),
        (r#"{"video":{"type":"Socket","format":"MPEGTS","width":640,"height":360,"frame_rate":30}}"#, 200),
        (r#"{"video":null,"audio":{"type":"socket","format":"mp3","destination":"SPEAKER"},"start_paused":true}"#, 200),
        (r#"{"video":{}}"#, 400),
        (r#"{"video":{"type":"camera"}}"#, 400),
        (r#"{"video":{"type":"socket","format":"ivf"}}"#, 400),
        (r#"{"video":{"type":"socket","colour":1}}"#, 400),
        (r#"{"video":{"type":"socket","width":-2}}"#, 400),
        (r#"{"video":{"type":"socket","width":640.5}}"#, 400),
        (r#"{"videos":{"type":"socket"}}"#, 400),
        (r#"{"audio":{"type":"socket","format":"wav"}}"#, 400),
        (r#"{"audio":{"type":"socket","destination":"headphones"}}"#, 400),
        (r#"{"audio":{"type":"socket","format":"mpegts"}}"#, 200),
        (r#"{"video":{"type":"stream"}}"#, 400),
        (r#"{"video":{"type":"file","url":" "}}"#, 400),
        (r#"{"video":{"type":"file","url":"/a.mp4","loop":true}}"#, 200),
        (r#"{"video":{"type":"file","url":"http://example.com/a.mp4"}}"#, 400),
        (r#"{"video":{"type":"stream","url":"file:///etc/passwd"}}"#, 400),
        (r#"{"video":{"type":"stream","url":"concat:/etc/passwd|x"}}"#, 400),
        (r#"{"audio":{"type":"file","url":"file://elsewhere/a.mp3"}}"#, 400),
        (r#"{"video":{"type":"stream","url":"http://example.com/a.m3u8"}}"#, 200),
        (r#"{"video":{"type":"webrtc"},"audio":{"type":"webrtc","format":"ogg"}}"#, 200),
        (r#"{"video":{"type":"webrtc","format":"mp4"}}"#, 400),
        (r#"{"video":{"type":"webrtc"},"audio":{"type":"tape"}}"#, 400),
    ];
    for (body, expected) in cases {
        assert_eq!(outcome(body), expected, "{body}");
    }
}

fn caller() -> Caller {
    Caller { authority: "localhost:10001".to_owned(), scheme: Scheme::Http, from: Ipv4Addr::LOCALHOST.into(), origin: None }
}

fn written(status: InputStatus) -> String {
    let camera = CameraChoice::File("/dev/shm/crosspoint/HD Webcam.y4m".into());
    serde_json::to_string(&super::status(status, &caller(), &camera)).unwrap()
}

/// The value as text, and its keys in the order in which they were written.
fn keys(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}', '"']) {
        let (mark, after) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = after;
        match mark {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {
                let end = after.find('"').unwrap();
                rest = &after[end + 1..];
                if depth == 1 && rest.starts_with(':') {
                    keys.push(after[..end].to_owned());
                }
            }
        }
    }
    keys
}

fn canvas() -> VideoFormat {
    VideoFormat::new(1280, 720, 30).unwrap()
}

#[test]
fn running_status_is_the_specifications() {
    let video = VideoInput { source: VideoSource::Socket, width: None, height: None, frame_rate: None };
    let audio = AudioInput { source: AudioSource::Socket, destination: AudioDestination::Microphone };
    let text = written(InputStatus {
        state: InputState::Running,
        spec: Some(InputSpec { video: Some(video), audio: Some(audio), start_paused: false }),
        canvas: canvas(),
        started_at: Some(UNIX_EPOCH + Duration::from_secs(1_765_368_000)),
        last_error: None,
        stats: InputStats {
            camera_in_use: Some(true),
            fps: 29.5,
            latency_p50_ms: Some(1.5),
            microphone_depth_ms: Some(40.5),
            video_publishers: 1,
            ..InputStats::default()
        },
    });
    let order = [
        "state",
        "mode",
        "video_device",
        "audio_sink",
        "microphone_source",
        "video_file",
        "video",
        "audio",
        "started_at",
        "last_error",
        "ingest",
        "stats",
    ];
    assert_eq!(keys(&text), order);
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "state": "running",
            "mode": "virtual-file",
            "video_device": "/dev/video0",
            "audio_sink": "audio_input",
            "microphone_source": "audio_input.monitor",
            "video_file": "/dev/shm/crosspoint/HD Webcam.y4m",
            "video": {"type": "socket", "format": "mpegts", "width": 1280, "height": 720, "frame_rate": 30},
            "audio": {"type": "socket", "format": "mp3", "destination": "microphone"},
            "started_at": "2025-12-10T12:00:00Z",
            "last_error": null,
            "ingest": {
                "video": {"protocol": "socket", "format": "mpegts", "url": "ws://localhost:10001/input/devices/virtual/socket/video"},
                "audio": {
                    "protocol": "socket", "format": "mp3", "destination": "microphone",
                    "url": "ws://localhost:10001/input/devices/virtual/socket/audio"
                }
            },
            "stats": {
                "camera_in_use": true, "microphone_in_use": null, "frames_in": 0, "frames_decoded": 0, "frames_unwatched": 0, "frames_out": 0, "frames_dropped": 0, "decodes_by_frame": 0,
                "possible_tears": 0, "copies": 0, "copied_bytes": 0, "copies_per_frame": null, "bad_units": 0, "fps": 29.5, "latency_ms": {"p50": 1.5, "p99": null},
                "microphone_depth_ms": 40.5, "microphone_latency_ms": null, "microphone_target_ms": null, "microphone_correction_ppm": 0,
                "microphone_dropped_ms": 0.0, "microphone_lost_packets": 0, "microphone_underruns": 0,
                "video_publishers": 1, "audio_publishers": 0, "feed_viewers": 0
            }
        })
    );
}

#[test]
fn idle_status_leaves_out_what_has_no_value() {
    let text = written(InputStatus {
        state: InputState::Idle,
        spec: None,
        canvas: canvas(),
        started_at: None,
        last_error: None,
        stats: InputStats::default(),
    });
    let order = ["state", "mode", "video_device", "audio_sink", "microphone_source", "video_file", "last_error", "stats"];
    assert_eq!(keys(&text), order);
    assert!(text.starts_with(r#"{"state":"idle","mode":"virtual-file""#) && text.contains(r#""last_error":null"#), "{text}");
}

#[test]
fn pulled_sources_are_told_by_their_url_without_its_secrets() {
    let body =
        r#"{"video":{"type":"stream","url":"https://me:pw@example.com/a.m3u8?key=1"},"audio":{"type":"file","url":"/media/a b.mp3"}}"#;
    let spec = parse(body.as_bytes()).and_then(spec).unwrap();
    let state = InputState::Running;
    let stats = InputStats::default();
    let text = written(InputStatus { state, spec: Some(spec), canvas: canvas(), started_at: None, last_error: None, stats });
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["video"], json!({"type": "stream", "width": 1280, "height": 720, "frame_rate": 30}));
    assert_eq!(value["audio"], json!({"type": "file", "destination": "microphone"}));
    let (video, audio) = (&value["ingest"]["video"], &value["ingest"]["audio"]);
    assert_eq!(video, &json!({"protocol": "stream", "url": "https://example.com/a.m3u8"}));
    assert_eq!(audio, &json!({"protocol": "file", "destination": "microphone", "url": "/media/a b.mp3"}));
}
