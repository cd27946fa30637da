//! Pages and their policies.

use crosspoint_server::runtime::Io;

use super::client::{ask, get};
use super::{FEED, Server};

#[test]
fn watch_page_keeps_to_itself() {
    let server = Server::start(Io::Epoll, &[]);
    let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"];
    let page = ask(server.address, "GET", "/watch/live", &link, "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.body.contains("style=") && !page.body.contains("<style") && !page.body.contains("onclick"));
    let assets: Vec<_> = page.body.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 2);
    for asset in assets {
        let answer = get(server.address, asset);
        assert_eq!((answer.status, answer.header("x-content-type-options")), (200, Some("nosniff")), "{asset}");
        assert!(!answer.body.is_empty());
    }
}

#[test]
fn feed_page_reaches_its_source_and_nothing_else() {
    let server = Server::start(Io::Epoll, &[]);
    let policy = |query: &str| {
        let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"];
        let page = ask(server.address, "GET", &format!("{FEED}{query}"), &link, "");
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{query}");
        assert!(page.body.contains("<title>Virtual Input Feed</title>") && page.body.contains("Loading virtual feed..."));
        assert!(!page.body.contains("style=") && !page.body.contains("<style"));
        for asset in page.body.split('"').filter(|text| text.starts_with("/assets/")) {
            assert_eq!(get(server.address, asset).status, 200, "{asset}");
        }
        page.header("content-security-policy").unwrap().to_owned()
    };
    let plain = policy("");
    assert!(plain.contains("default-src 'none'") && plain.contains("frame-ancestors 'none'") && !plain.contains("'unsafe"), "{plain}");
    assert_eq!(policy("?fit=nonsense"), plain);
    assert_eq!(policy("?source=ftp://h.example/a"), plain);
    let with_source = policy("?fit=contain&source=https%3A%2F%2Fh.example%3A8443%2Flive.m3u8");
    assert!(with_source.contains("connect-src 'self' https://h.example:8443;"), "{with_source}");
    assert!(with_source.ends_with("media-src blob: https://h.example:8443"), "{with_source}");
}
