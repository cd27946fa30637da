//! The pages, as `build.rs` bundled them, and the headers that keep them to themselves.

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::Answer;
use super::route::Asset;

/// The viewer page; which stream it shows is in its address.
pub(super) fn watch() -> Response<Answer> {
    let mut response = file("text/html; charset=utf-8", WATCH_HTML);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// A file that a page asks for.
pub(super) fn asset(asset: Asset) -> Response<Answer> {
    match asset {
        Asset::WatchCss => file("text/css; charset=utf-8", WATCH_CSS),
        Asset::WatchJs => file("text/javascript; charset=utf-8", WATCH_JS),
    }
}

fn file(kind: &'static str, content: &'static [u8]) -> Response<Answer> {
    let mut response = Response::new(Answer::from(content));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The next version has the same addresses.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Our own files and sockets, the player's media source, and nothing else; nobody may frame the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src blob:; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const WATCH_HTML: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/web/watch.html"));
const WATCH_CSS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/web/watch.css"));
const WATCH_JS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/web/watch.js"));
