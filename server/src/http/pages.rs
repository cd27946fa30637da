//! The pages, as `build.rs` bundled them, and the headers that keep them to themselves.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode, Uri};

use super::{Answer, query};

/// A file that a page asks for.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Asset {
    name: &'static str,
    kind: &'static str,
    /// Its entity tag.
    tag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// The file that `/assets/{name}` is.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    // The pages are no files: each has a policy of its own.
    ASSETS.iter().find(|asset| asset.name == name && !name.ends_with(".html"))
}

/// The console, which works the API.
pub(super) fn console(asked: &HeaderMap) -> Response<Answer> {
    page("console.html", asked, HeaderValue::from_static(concat!(policy!(), "; script-src 'self'; connect-src 'self'")))
}

/// The viewer page; which stream it shows is in its address.
pub(super) fn watch(asked: &HeaderMap) -> Response<Answer> {
    page("watch.html", asked, HeaderValue::from_static(concat!(policy!(), "; script-src 'self'; connect-src 'self'; media-src blob:")))
}

/// The feed page; `query` is its address's, which the page reads, too.
///
/// The decoder of MPEG-1 is WebAssembly. Besides our own origin the page may reach that of `source`, and no other: an HLS playlist's
/// segments have to be at the playlist's.
pub(super) fn feed(query: Option<&str>, asked: &HeaderMap) -> Response<Answer> {
    let source = query.and_then(source_origin).map(|origin| format!(" {origin}")).unwrap_or_default();
    let base = policy!();
    let policy = format!("{base}; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'{source}; media-src blob:{source}");
    page("feed.html", asked, HeaderValue::try_from(policy).expect("an origin has no characters that a header refuses"))
}

/// A file that a page asks for.
pub(super) fn asset(asset: &'static Asset, asked: &HeaderMap) -> Response<Answer> {
    file(asset, asked)
}

/// The origin of the `source` of a query, as a policy may name it; nothing when it is no http(s) or ws(s) URL.
fn source_origin(query: &str) -> Option<String> {
    let uri: Uri = query::value(query, "source")?.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https", "ws", "wss"].contains(scheme))?;
    let authority = uri.authority()?;
    // Policies have no form for IPv6 literals, and what is no plain host could say more than an origin.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    authority.as_str().bytes().all(is_plain).then(|| format!("{scheme}://{authority}"))
}

fn page(name: &str, asked: &HeaderMap, policy: HeaderValue) -> Response<Answer> {
    let page = ASSETS.iter().find(|asset| asset.name == name).expect("the build bundles every page");
    let mut response = file(page, asked);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// A file as whoever asks has it already, takes it compressed, or plain.
fn file(asset: &'static Asset, asked: &HeaderMap) -> Response<Answer> {
    let mut response = Response::new(Answer::default());
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The next version has the same addresses.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, HeaderValue::from_static(asset.tag));
    if has(asked, &header::IF_NONE_MATCH, |tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == asset.tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    let content = if has(asked, &header::ACCEPT_ENCODING, takes_gzip) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        asset.gzip
    } else {
        asset.plain
    };
    *response.body_mut() = Answer::new(content);
    response
}

/// Whether a header that is a list has such an item.
fn has(headers: &HeaderMap, name: &HeaderName, is: impl Fn(&str) -> bool) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| is(item.trim()))
}

/// Whether an item of `Accept-Encoding` is gzip, and not one of no worth (RFC 9110, 12.5.3).
fn takes_gzip(item: &str) -> bool {
    let (coding, weight) = item.split_once(';').unwrap_or((item, "q=1"));
    let worthless = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight == 0.0));
    coding.trim().eq_ignore_ascii_case("gzip") && !worthless
}

/// What no page may do: load anything that is not named, be framed, post forms. Scripts, sockets and media are each page's own.
macro_rules! policy {
    () => {
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    };
}
use policy;

/// The pages and everything that was bundled for them, by name.
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
            let policy = feed(Some(query), &HeaderMap::new()).headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text").to_owned();
            let connect = format!("connect-src 'self'{};", expected.map(|origin| format!(" {origin}")).unwrap_or_default());
            assert!(policy.contains(&connect), "{query}: {policy}");
        }
    }

    #[test]
    fn files_are_sent_once_and_small() {
        let asset = find("watch.js").unwrap();
        let asked = |name: HeaderName, value: &str| HeaderMap::from_iter([(name, HeaderValue::try_from(value).unwrap())]);
        let sent = |asked: &HeaderMap| {
            let response = file(asset, asked);
            let encoding = response.headers().get(header::CONTENT_ENCODING).is_some();
            (response.status().as_u16(), encoding, hyper::body::Body::size_hint(response.body()).exact().unwrap() as usize)
        };
        assert_eq!(sent(&HeaderMap::new()), (200, false, asset.plain.len()));
        for (accepts, small) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("gzip; q=0.000, br", false), ("x-gzip", false)]
        {
            let length = if small { asset.gzip.len() } else { asset.plain.len() };
            assert_eq!(sent(&asked(header::ACCEPT_ENCODING, accepts)), (200, small, length), "{accepts}");
        }
        for (tag, status) in [(asset.tag, 304), ("*", 304), ("\"x\"", 200)] {
            assert_eq!(sent(&asked(header::IF_NONE_MATCH, tag)).0, status, "{tag}");
        }
        assert_eq!(sent(&asked(header::IF_NONE_MATCH, &format!("\"x\", W/{}", asset.tag))), (304, false, 0));
        assert!(asset.gzip.len() * 2 < asset.plain.len());
        assert_eq!(find("watch.html"), None);
    }
}
