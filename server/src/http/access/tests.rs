//! Who is let in, and who is told why not.

use std::net::Ipv4Addr;

use clap::Parser;

use super::*;
use crate::config::Cli;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

type Headers = &'static [(&'static str, &'static str)];

fn access(flags: &[&str]) -> Access {
    let ours = ["crosspoint", "--allow-host=app.example", "--allow-origin=https://app.example,http://10.0.0.1:3000"];
    let config = Cli::parse_from(ours.iter().chain(flags)).config;
    let tokens = Rc::new(Tokens::new(&config).unwrap());
    Access::new(&config, tokens, 10001)
}

fn request(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = uri.parse().unwrap();
    for &(name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
    }
    request
}

fn status(method: &str, is_page: bool, headers: &[(&'static str, &str)]) -> u16 {
    let call = if is_page { Route::Feed } else { Route::InputStatus };
    match access(&[]).check(&request(method, "/x", headers), Some(&call), Scheme::Http, HERE) {
        Ok(_) => 200,
        Err(failure) => failure.status.as_u16(),
    }
}

#[test]
fn hosts() {
    let cases = [
        ("localhost", 200),
        ("LocalHost:444", 200),
        ("127.0.0.1:10001", 200),
        ("[::1]:10001", 200),
        ("192.168.1.7", 200),
        ("app.example", 200),
        ("App.Example:8443", 200),
        ("", 200),
        ("evil.example", 421),
        ("localhost.evil.example:10001", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("evil.example@localhost", 421),
        ("local host", 421),
        ("localhost/..", 421),
        ("[::1", 421),
    ];
    for (host, expected) in cases {
        assert_eq!(status("GET", false, &[("host", host)]), expected, "{host}");
    }
    assert_eq!(status("GET", false, &[]), 200, "HTTP/1.0");
    assert_eq!(status("GET", false, &[("host", "localhost"), ("host", "evil.example")]), 400);
}

#[test]
fn absolute_targets_stand_above_the_host_header() {
    let request = request("GET", "http://evil.example/x", &[("host", "localhost")]);
    let refused = access(&[]).check(&request, None, Scheme::Http, HERE);
    assert_eq!(refused.unwrap_err().status, StatusCode::MISDIRECTED_REQUEST);
}

#[test]
fn origins() {
    let cases = [
        ("localhost:444", "http://localhost:444", 200),
        ("localhost", "http://localhost", 200),
        ("localhost:80", "http://localhost", 200),
        ("localhost:443", "https://localhost", 200),
        ("[::1]:444", "http://[::1]:444", 200),
        ("localhost:444", "https://app.example", 200),
        ("localhost:444", "http://10.0.0.1:3000", 200),
        ("localhost:444", "http://localhost:445", 403),
        ("localhost:444", "http://localhost", 403),
        ("localhost:444", "http://127.0.0.1:444", 403),
        ("localhost:444", "https://evil.example", 403),
        ("localhost:444", "http://app.example", 403),
        ("localhost:444", "null", 403),
        ("localhost:444", "", 403),
    ];
    for (host, origin, expected) in cases {
        assert_eq!(status("POST", false, &[("host", host), ("origin", origin)]), expected, "{origin} at {host}");
    }
}

#[test]
fn fetch_sites() {
    let cases: [(&str, bool, Headers, u16); 10] = [
        ("GET", false, &[("sec-fetch-site", "none")], 200),
        ("POST", false, &[("sec-fetch-site", "same-origin")], 200),
        ("GET", false, &[("sec-fetch-site", "same-site")], 403),
        ("GET", false, &[("sec-fetch-site", "cross-site")], 403),
        ("GET", true, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 200),
        ("GET", true, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], 403),
        ("GET", false, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),
        ("POST", true, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),
        ("POST", false, &[("sec-fetch-site", "cross-site"), ("origin", "https://app.example")], 200),
        ("POST", false, &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], 403),
    ];
    for (method, is_page, headers, expected) in cases {
        let headers = [&[("host", "localhost")], headers].concat();
        assert_eq!(status(method, is_page, &headers), expected, "{method} {headers:?}");
    }
}

#[test]
fn tokens_open_the_calls_of_their_scope() {
    const TOKENS: &str = "--token=everything,control:operator,publish:publisher,view:onlooker";
    let access = access(&[TOKENS]);
    let cases = [
        ("GET", "/livez", None, 200),
        ("GET", "/nowhere", None, 401),
        ("GET", "/nowhere", Some("onlooker"), 200),
        ("GET", "/openapi.json", Some("publisher"), 200),
        ("GET", "/metrics", Some("onlooker"), 403),
        ("GET", "/metrics", Some("operator"), 200),
        ("GET", "/stream/list", Some("onlooker"), 200),
        ("POST", "/stream/start", None, 401),
        ("POST", "/stream/start", Some("guess-work"), 401),
        ("POST", "/stream/start", Some("everything"), 200),
        ("POST", "/stream/start", Some("publisher"), 403),
        ("POST", "/whip/camera", Some("publisher"), 200),
        ("POST", "/whip/camera", Some("onlooker"), 403),
        ("POST", "/whip/camera", Some("operator"), 403),
        ("GET", "/stream/socket/live", Some("onlooker"), 200),
        ("GET", "/input/devices/virtual/socket/video", Some("onlooker"), 403),
        ("OPTIONS", "/stream/start", None, 200),
    ];
    for (method, path, token, expected) in cases {
        let bearer = token.map(|token| format!("bearer {token}"));
        let header = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let answer = |uri: &str, header: Option<(&'static str, &str)>| {
            let request = request(method, uri, &header.into_iter().collect::<Vec<_>>());
            let route = Route::find(request.method(), path).ok();
            access.check(&request, route.as_ref(), Scheme::Http, HERE).map_or_else(|failure| failure.status.as_u16(), |_| 200)
        };
        assert_eq!(answer(path, header), expected, "{method} {path} {token:?}");
        let Some(token) = token else { continue };
        let in_address = if method == "POST" { 401 } else { expected };
        assert_eq!(answer(&format!("{path}?access_token={token}"), None), in_address, "{method} {path}?{token}");
    }
}

#[test]
fn forwarded_hosts_are_believed_when_told_to() {
    let headers = [("host", "localhost:10001"), ("x-forwarded-host", "app.example"), ("x-forwarded-proto", "https")];
    let reached = |flags: &[&str], headers: &[(&'static str, &str)]| {
        let caller = access(flags).check(&request("GET", "/x", headers), None, Scheme::Http, HERE);
        caller.map(|caller| caller.ws("/y")).map_err(|failure| failure.status.as_u16())
    };
    assert_eq!(reached(&[], &headers).as_deref(), Ok("ws://localhost:10001/y"));
    assert_eq!(reached(&["--trust-forwarded"], &headers).as_deref(), Ok("wss://app.example/y"));
    let evil = [("host", "localhost"), ("x-forwarded-host", "evil.example")];
    assert_eq!(reached(&["--trust-forwarded"], &evil), Err(421));
    let rebound = [("host", "evil.example"), ("x-forwarded-host", "localhost")];
    assert_eq!(reached(&["--trust-forwarded"], &rebound), Err(421));
}

#[test]
fn forwarded_addresses_are_the_last_of_what_a_proxy_tells() {
    let from = |flags: &[&str], told: &[&'static str]| {
        let headers: Vec<_> = told.iter().map(|told| ("x-forwarded-for", *told)).chain([("host", "localhost")]).collect();
        access(flags).check(&request("GET", "/x", &headers), None, Scheme::Http, HERE).map(|caller| caller.from).unwrap()
    };
    let (trust, there): (&[&str], IpAddr) = (&["--trust-forwarded"], "10.0.0.9".parse().unwrap());
    assert_eq!(from(&[], &["10.0.0.9"]), HERE);
    assert_eq!(from(trust, &["10.0.0.9"]), there);
    assert_eq!(from(trust, &["10.0.0.1, 10.0.0.9"]), there, "what is before it the caller may have said");
    assert_eq!(from(trust, &["10.0.0.1", "10.0.0.2, 10.0.0.9"]), there);
    assert_eq!((from(trust, &[]), from(trust, &["unknown"])), (HERE, HERE));
}
