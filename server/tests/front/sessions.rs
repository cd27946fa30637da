//! WHIP (RFC 9725) and WHEP (draft 04) as their clients meet them, up to where media would flow.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

use crosspoint_server::runtime::Io;
use serde_json::json;

use super::client::{Answer, PATIENCE, ask, get, post};
use super::{Server, on_each_io};

/// The shortest offer of a peer whose sound goes `way`.
pub(crate) fn offer(way: &str) -> String {
    let print = ["11"; 32].join(":");
    let lines = [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        &format!("a=fingerprint:sha-256 {print}"),
        "a=setup:actpass",
        "a=mid:0",
        &format!("a={way}"),
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "",
    ];
    lines.join("\r\n")
}

const SDP: &str = "Content-Type: application/sdp";
const TRICKLE: &str = "Content-Type: application/trickle-ice-sdpfrag";
/// What a client trickles (RFC 8840): it names the ICE session that it is of.
const FRAGMENT: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n";

/// Begins a session; gives where it is and its ICE session's name.
fn begin(server: &Server, path: &str, way: &str) -> (String, String) {
    let answer = ask(server.address, "POST", path, &[SDP], &offer(way));
    assert_eq!((answer.status, answer.header("content-type")), (201, Some("application/sdp")), "{answer:?}");
    assert!(answer.body.starts_with("v=0\r\n") && answer.body.contains("a=candidate:"), "it answers at once, with all it has");
    assert_eq!(answer.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    let (location, etag) = (answer.header("location").unwrap().to_owned(), answer.header("etag").unwrap().to_owned());
    let token = location.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')).unwrap();
    assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "nobody guesses {token}");
    assert!(etag.starts_with('"') && etag.ends_with('"'), "a strong one: {etag}");
    (location, etag)
}

fn patch(server: &Server, location: &str, headers: &[&str], fragment: &str) -> Answer {
    ask(server.address, "PATCH", location, headers, fragment)
}

#[test]
fn sessions_are_begun_patched_and_ended() {
    on_each_io(&[], |server| {
        post(server.address, "/stream/start", r#"{"mode":"webrtc","id":"live"}"#);
        for (path, way, other) in [("/whip/camera", "sendonly", "recvonly"), ("/whep/live", "recvonly", "sendonly")] {
            let refused = [
                (SDP, offer(other), 400),
                (SDP, "v=0".to_owned(), 400),
                (SDP, String::new(), 400),
                ("Content-Type: application/json", offer(way), 415),
                ("X-None: 1", offer(way), 415),
            ];
            for (kind, body, status) in refused {
                let answer = ask(server.address, "POST", path, &[kind], &body);
                assert_eq!(answer.status, status, "{path} {kind}: {answer:?}");
                answer.message();
            }
            assert_eq!(ask(server.address, "POST", path, &[SDP, "Accept: text/html"], &offer(way)).status, 406);
            let answer = get(server.address, path);
            assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")), "{path}");

            let (location, etag) = begin(server, path, way);
            let matching = format!("If-Match: {etag}");
            assert_eq!(patch(server, &location, &[TRICKLE, &matching], FRAGMENT).status, 204);
            assert_eq!(patch(server, &location, &[TRICKLE], FRAGMENT).status, 204, "which session it is of it says itself");
            assert_eq!(patch(server, &location, &[TRICKLE, &matching], "a=end-of-candidates\r\n").status, 204);
            assert_eq!(patch(server, &location, &[TRICKLE, "If-Match: \"other\""], FRAGMENT).status, 412);
            assert_eq!(patch(server, &location, &[SDP, &matching], FRAGMENT).status, 415);
            // What begins another ICE session asks for a restart, with candidates or without.
            let restart = FRAGMENT.replace("abcd\r", "efgh\r");
            for headers in [&[TRICKLE, "If-Match: *"][..], &[TRICKLE][..]] {
                for fragment in [&restart, "a=ice-ufrag:efgh\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"] {
                    let answer = patch(server, &location, headers, fragment);
                    assert_eq!(answer.status, 422, "{headers:?} {answer:?}");
                    answer.message();
                }
            }
            assert_eq!(patch(server, &location, &[TRICKLE, "If-Match: *"], FRAGMENT).status, 204, "and the session goes on");

            let answer = get(server.address, &location);
            assert_eq!((answer.status, answer.header("allow")), (405, Some("DELETE, PATCH, OPTIONS")));
            let answer = ask(server.address, "OPTIONS", path, &[], "");
            assert_eq!((answer.status, answer.header("allow")), (204, Some("POST, OPTIONS")));
            let stranger = format!("{path}/{}", "0".repeat(32));
            for (method, headers) in [("DELETE", &[][..]), ("PATCH", &[TRICKLE][..])] {
                assert_eq!(ask(server.address, method, &stranger, headers, FRAGMENT).status, 404, "{method}");
            }
            assert_eq!(ask(server.address, "DELETE", &location, &[], "").status, 200);
            while ask(server.address, "DELETE", &location, &[], "").status != 404 {}
            assert_eq!(patch(server, &location, &[TRICKLE, &matching], FRAGMENT).status, 404);
        }
    });
}

#[test]
fn session_that_publishes_configures_its_tracks_and_takes_them_back() {
    let server = Server::start(Io::Epoll, &[]);
    let before = server.configure(r#"{"video":{"type":"socket","width":640,"height":360}}"#);
    let (location, _) = begin(&server, "/whip/camera", "sendonly");
    let status = server.status();
    assert_eq!((&status["video"]["type"], &status["audio"]["type"]), (&json!("socket"), &json!("webrtc")), "what it does not send stays");
    assert_eq!(ask(server.address, "DELETE", &location, &[], "").status, 200);
    server.wait_for("/ingest", &before["ingest"]);
    assert!(server.status().get("audio").is_none());
}

#[test]
fn answers_name_the_address_that_a_stun_server_sees() {
    let stun = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    stun.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let flag = format!("--stun-server=127.0.0.1:{}", stun.local_addr().expect("bound").port());
    let server = Server::start(Io::Epoll, &[&flag]);
    post(server.address, "/stream/start", r#"{"mode":"webrtc","id":"live"}"#);
    let mut question = [0; 64];
    let (length, from) = stun.recv_from(&mut question).expect("it asks");
    assert_eq!(question[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], "a binding request without attributes");
    // 198.51.100.7, port 4000 (RFC 8489, 14.2).
    let address = [0, 0x20, 0, 8, 0, 1, 0x0f ^ 0x21, 0xa0 ^ 0x12, 198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];
    let answer = [&[1, 1, 0, 12], &question[4..length], &address].concat();
    stun.send_to(&answer, from).expect("sent");
    let offered = || {
        let answer = ask(server.address, "POST", "/whep/live", &[SDP], &offer("recvonly"));
        let location = answer.header("location").expect("a session").to_owned();
        assert_eq!(ask(server.address, "DELETE", &location, &[], "").status, 200);
        answer.body
    };
    let deadline = Instant::now() + PATIENCE;
    let mut answer = offered();
    while !answer.contains(" 198.51.100.7 4000 typ host") {
        assert!(Instant::now() < deadline, "{answer}");
        answer = offered();
    }
    assert!(answer.contains(&format!(" {} {} typ host", from.ip(), from.port())), "the socket that asks is that of media: {answer}");
}
