//! Publishers and viewers over WebSockets.

use std::time::Instant;

use serde_json::json;

use super::client::{self, Frame, WebSocket, frame, get, post};
use super::{AUDIO, BOTH, FEED, VIDEO, on_each_io};

#[test]
fn publishers_are_told_the_format_and_counted() {
    on_each_io(&[], |server| {
        assert_eq!(WebSocket::open(server.address, VIDEO, b"").err().unwrap().status, 409);
        server.configure(BOTH);
        for (path, format, counter) in [(VIDEO, "mpegts", "/stats/video_publishers"), (AUDIO, "mp3", "/stats/audio_publishers")] {
            // A publisher in a hurry sends its first chunk with the request.
            let mut publisher = WebSocket::open(server.address, path, &frame(0x82, &[0x47; 188])).unwrap();
            assert_eq!(publisher.read(), Frame::Text(format.to_owned()));
            server.wait_for(counter, &json!(1));
            for strange in [frame(0x82, &[]), frame(0x81, b"text"), frame(0x02, &[1]), frame(0x89, b"in a fragment"), frame(0x80, &[2])] {
                publisher.send(&strange);
            }
            publisher.send(&frame(0x82, &vec![7; 1 << 20]));
            assert_eq!(publisher.read(), Frame::Pong(b"in a fragment".to_vec()));
            publisher.send(&frame(0x88, &1000_u16.to_be_bytes()));
            assert_eq!(publisher.read(), Frame::Close(1000));
            server.wait_for(counter, &json!(0));
        }
    });
}

#[test]
fn later_publisher_takes_over_and_another_configure_closes() {
    on_each_io(&[], |server| {
        server.configure(BOTH);
        let open = |path| {
            let mut publisher = WebSocket::open(server.address, path, b"").unwrap();
            assert!(matches!(publisher.read(), Frame::Text(_)));
            publisher
        };
        let (mut first, mut sound) = (open(VIDEO), open(AUDIO));
        // Unread media must not turn the close frame into a reset.
        first.send(&frame(0x82, &vec![0; 64 << 10]));
        let mut second = open(VIDEO);
        assert_eq!(first.read(), Frame::Close(4409));
        assert_eq!(server.status()["stats"]["video_publishers"], 1);

        server.configure(r#"{"video":{"type":"socket","width":640},"audio":{"type":"socket","destination":"speaker"}}"#);
        second.send(&frame(0x89, b"still here"));
        assert_eq!(second.read(), Frame::Pong(b"still here".to_vec()));

        server.configure(r#"{"audio":{"type":"socket"}}"#);
        assert_eq!(second.read(), Frame::Close(4410));
        assert_eq!(post(server.address, "/input/devices/virtual/stop", "").status, 200);
        assert_eq!(sound.read(), Frame::Close(4410));
    });
}

#[test]
fn viewers_are_counted_and_told_of_the_end() {
    on_each_io(&[], |server| {
        let address = server.address;
        assert_eq!(WebSocket::open(address, "/stream/socket/live", b"").err().unwrap().status, 404);
        post(address, "/stream/start", r#"{"mode":"socket","id":"live"}"#);
        let viewers = |count: u32| {
            let deadline = Instant::now() + client::PATIENCE;
            while get(address, "/stream/list").json()[0]["viewers"] != count {
                assert!(Instant::now() < deadline, "{count} viewers do not come about");
                std::thread::yield_now();
            }
        };
        let (mut one, two) =
            (WebSocket::open(address, "/stream/socket/live", b"").unwrap(), WebSocket::open(address, "/stream/socket/live", b""));
        viewers(2);
        drop(two);
        viewers(1);
        post(address, "/stream/stop", r#"{"id":"live"}"#);
        assert_eq!(one.read_past_media(), Frame::Close(4410));
    });
}

#[test]
fn feed_viewers_are_told_the_format_and_counted() {
    on_each_io(&[], |server| {
        let socket = format!("{FEED}/socket");
        assert_eq!(WebSocket::open(server.address, &socket, b"").err().unwrap().status, 409);
        server.configure(r#"{"audio":{"type":"socket"}}"#);
        assert_eq!(get(server.address, &format!("{socket}/info")).status, 409, "sound is no picture");
        server.configure(BOTH);
        let info = get(server.address, &format!("{socket}/info"));
        assert_eq!(info.json(), json!({"url": format!("ws://localhost{socket}"), "format": "mpegts"}));
        let mut viewer = WebSocket::open(server.address, &socket, b"").unwrap();
        assert_eq!(viewer.read(), Frame::Text("mpegts".to_owned()));
        server.wait_for("/stats/feed_viewers", &json!(1));
        // It stays when nothing is configured any more: what is configured next is shown in it.
        post(server.address, "/input/devices/virtual/stop", "");
        viewer.send(&frame(0x89, b"still there"));
        assert_eq!(viewer.read(), Frame::Pong(b"still there".to_vec()));
        viewer.send(&frame(0x88, &1000_u16.to_be_bytes()));
        assert_eq!(viewer.read(), Frame::Close(1000));
        server.wait_for("/stats/feed_viewers", &json!(0));
    });
}

#[test]
fn broken_frames_cost_their_socket_only() {
    on_each_io(&[], |server| {
        server.configure(BOTH);
        let mut huge = vec![0x82, 0xff];
        huge.extend_from_slice(&u64::MAX.to_be_bytes());
        huge.extend_from_slice(&[0; 4]);
        let cases = [
            (frame(0x80, b"continues nothing"), Frame::Close(1002)),
            (frame(0xf2, b"reserved bits"), Frame::Close(1002)),
            (frame(0x83, b"no such opcode"), Frame::Close(1002)),
            (frame(0x81, &[0xff, 0xfe]), Frame::Close(1007)),
            (huge, Frame::Close(1009)),
            (frame(0x88, &[3]), Frame::Close(1002)),
        ];
        for (bytes, expected) in cases {
            let mut publisher = WebSocket::open(server.address, VIDEO, &bytes).unwrap();
            assert_eq!(publisher.read(), Frame::Text("mpegts".to_owned()));
            assert_eq!(publisher.read(), expected, "{bytes:02x?}");
            server.wait_for("/stats/video_publishers", &json!(0));
        }
        // Vanishing within a frame.
        drop(WebSocket::open(server.address, VIDEO, &frame(0x82, &[0; 1000])[..500]).unwrap());
        server.wait_for("/stats/video_publishers", &json!(0));
    });
}
