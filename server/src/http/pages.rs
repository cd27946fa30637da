//! The pages, as `build.rs` bundled them, and the headers that keep them to themselves.

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode, Uri};

use super::Answer;

/// A file that a page asks for.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

/// The file that `/assets/{name}` is.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// The viewer page; which stream it shows is in its address.
pub(super) fn watch() -> Response<Answer> {
    page(WATCH_HTML, HeaderValue::from_static(concat!(policy!(), "; script-src 'self'; connect-src 'self'; media-src blob:")))
}

/// The feed page; `query` is its address's, which the page reads, too.
///
/// The decoder of MPEG-1 is WebAssembly. Besides our own origin the page may reach that of `source`, and no other: an HLS playlist's
/// segments have to be at the playlist's.
pub(super) fn feed(query: Option<&str>) -> Response<Answer> {
    let source = query.and_then(source_origin).map(|origin| format!(" {origin}")).unwrap_or_default();
    let base = policy!();
    let policy = format!("{base}; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'{source}; media-src blob:{source}");
    page(FEED_HTML, HeaderValue::try_from(policy).expect("an origin has no characters that a header refuses"))
}

/// A file that a page asks for.
pub(super) fn asset(asset: &'static Asset) -> Response<Answer> {
    file(asset.kind, asset.content)
}

/// The origin of the `source` of a query, as a policy may name it; nothing when it is no http(s) or ws(s) URL.
fn source_origin(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("source="))?;
    let uri: Uri = percent_decoded(value)?.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https", "ws", "wss"].contains(scheme))?;
    let authority = uri.authority()?;
    // Policies have no form for IPv6 literals, and what is no plain host could say more than an origin.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    authority.as_str().bytes().all(is_plain).then(|| format!("{scheme}://{authority}"))
}

/// Undoes `%xx` and `+`.
fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' => b' ',
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

fn page(content: &'static [u8], policy: HeaderValue) -> Response<Answer> {
    let mut response = file("text/html; charset=utf-8", content);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

fn file(kind: &'static str, content: &'static [u8]) -> Response<Answer> {
    let mut response = Response::new(Answer::new(content));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The next version has the same addresses.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What no page may do: load anything that is not named, be framed, post forms. Scripts, sockets and media are each page's own.
macro_rules! policy {
    () => {
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    };
}
use policy;

const FEED_HTML: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/web/feed.html"));
const WATCH_HTML: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/web/watch.html"));
/// Everything else that was bundled, by name.
const ASSETS: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_origin_of_a_proper_source_is_let_in() {
        let cases = [
            ("source=http%3A%2F%2Fhost.example%3A8080%2Flive%2Fa.m3u8%3Fx%3D1", Some("http://host.example:8080")),
            ("fit=cover&source=https://cdn.example/a.mp4", Some("https://cdn.example")),
            ("source=ws://10.0.0.1:444/feed", Some("ws://10.0.0.1:444")),
            ("source=wss://h.example", Some("wss://h.example")),
            ("source=ftp://h.example/a", None),
            ("source=javascript:alert(1)", None),
            ("source=/stream/socket/x", None),
            ("source=http://user:secret@h.example/a", None),
            ("source=http://h.example;script-src%20*/", None),
            ("source=http://h.example%0d%0aset-cookie:x", None),
            ("source=http://*/a", None),
            ("source=http://[::1]:80/a", None),
            ("source=%zz", None),
            ("source=", None),
            ("fit=fill", None),
        ];
        for (query, expected) in cases {
            assert_eq!(source_origin(query).as_deref(), expected, "{query}");
            let policy = feed(Some(query)).headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text").to_owned();
            let connect = format!("connect-src 'self'{};", expected.map(|origin| format!(" {origin}")).unwrap_or_default());
            assert!(policy.contains(&connect), "{query}: {policy}");
        }
    }
}
