//! Which call a method and a path name.

use crosspoint_router::control::StreamId;
use hyper::Method;

/// A call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// A file that a page asks for.
    Asset(Asset),
    /// `POST /input/devices/virtual/configure`
    Configure,
    /// `GET /input/devices/virtual/status`
    InputStatus,
    /// A call of the contract that is not there yet.
    Later,
    /// `GET /stream/list`
    ListStreams,
    /// `GET /livez`
    Livez,
    /// `POST /input/devices/virtual/pause`
    Pause,
    /// `WS /input/devices/virtual/socket/audio`
    PublishAudio,
    /// `WS /input/devices/virtual/socket/video`
    PublishVideo,
    /// `GET /readyz`
    Readyz,
    /// `POST /input/devices/virtual/resume`
    Resume,
    /// `POST /stream/start`
    StartStream,
    /// `POST /input/devices/virtual/stop`
    StopInputs,
    /// `POST /stream/stop`
    StopStream,
    /// `WS /stream/socket/{id}`
    ViewStream(StreamId),
    /// `GET /watch/{id}`
    Watch(StreamId),
}

/// A file of the pages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asset {
    /// `/assets/watch.css`
    WatchCss,
    /// `/assets/watch.js`
    WatchJs,
}

/// Why a method and a path name no call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Miss {
    /// The path has other methods: the value of `Allow`.
    Method(&'static str),
    /// There is no such path.
    Path,
}

impl Route {
    /// Finds the call.
    pub(super) fn find(method: &Method, path: &str) -> Result<Self, Miss> {
        let (verb, route) = Self::at(path).ok_or(Miss::Path)?;
        let fits = match verb {
            Verb::Get => *method == Method::GET || *method == Method::HEAD,
            Verb::Post => *method == Method::POST,
        };
        if fits { Ok(route) } else { Err(Miss::Method(verb.allow())) }
    }

    /// Whether it is a page, which other sites may link to.
    pub(super) fn is_page(&self) -> bool {
        matches!(self, Self::Watch(_))
    }

    fn at(path: &str) -> Option<(Verb, Self)> {
        if let Some(call) = path.strip_prefix("/input/devices/virtual/") {
            return Some(match call {
                "configure" => (Verb::Post, Self::Configure),
                "pause" => (Verb::Post, Self::Pause),
                "resume" => (Verb::Post, Self::Resume),
                "stop" => (Verb::Post, Self::StopInputs),
                "status" => (Verb::Get, Self::InputStatus),
                "socket/audio" => (Verb::Get, Self::PublishAudio),
                "socket/video" => (Verb::Get, Self::PublishVideo),
                "webrtc/offer" => (Verb::Post, Self::Later),
                "feed" | "feed/socket" | "feed/socket/info" => (Verb::Get, Self::Later),
                _ => return None,
            });
        }
        if let Some(id) = path.strip_prefix("/stream/socket/") {
            return Some((Verb::Get, Self::ViewStream(id.parse().ok()?)));
        }
        if let Some(id) = path.strip_prefix("/watch/") {
            return Some((Verb::Get, Self::Watch(id.parse().ok()?)));
        }
        if let Some(id) = path.strip_prefix("/whep/") {
            return id.parse::<StreamId>().is_ok().then_some((Verb::Post, Self::Later));
        }
        Some(match path {
            "/stream/start" => (Verb::Post, Self::StartStream),
            "/stream/stop" => (Verb::Post, Self::StopStream),
            "/stream/list" => (Verb::Get, Self::ListStreams),
            "/stream/webrtc/offer" | "/whip/camera" => (Verb::Post, Self::Later),
            "/" | "/events" | "/metrics" | "/openapi.json" => (Verb::Get, Self::Later),
            "/livez" => (Verb::Get, Self::Livez),
            "/readyz" => (Verb::Get, Self::Readyz),
            "/assets/watch.css" => (Verb::Get, Self::Asset(Asset::WatchCss)),
            "/assets/watch.js" => (Verb::Get, Self::Asset(Asset::WatchJs)),
            _ => return None,
        })
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Get,
    Post,
}

impl Verb {
    fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD, OPTIONS",
            Self::Post => "POST, OPTIONS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_paths_find_their_call() {
        let live: StreamId = "live".parse().unwrap();
        let get = Err(Miss::Method("GET, HEAD, OPTIONS"));
        let post = Err(Miss::Method("POST, OPTIONS"));
        let cases = [
            ("POST", "/input/devices/virtual/configure", Ok(Route::Configure)),
            ("GET", "/input/devices/virtual/configure", post.clone()),
            ("HEAD", "/input/devices/virtual/configure", post.clone()),
            ("OPTIONS", "/input/devices/virtual/configure", post.clone()),
            ("POST", "/input/devices/virtual/pause", Ok(Route::Pause)),
            ("POST", "/input/devices/virtual/resume", Ok(Route::Resume)),
            ("POST", "/input/devices/virtual/stop", Ok(Route::StopInputs)),
            ("GET", "/input/devices/virtual/status", Ok(Route::InputStatus)),
            ("HEAD", "/input/devices/virtual/status", Ok(Route::InputStatus)),
            ("POST", "/input/devices/virtual/status", get.clone()),
            ("BREW", "/input/devices/virtual/status", get.clone()),
            ("GET", "/input/devices/virtual/socket/video", Ok(Route::PublishVideo)),
            ("GET", "/input/devices/virtual/socket/audio", Ok(Route::PublishAudio)),
            ("GET", "/input/devices/virtual/feed", Ok(Route::Later)),
            ("GET", "/input/devices/virtual/", Err(Miss::Path)),
            ("GET", "/input/devices/virtual/status/", Err(Miss::Path)),
            ("GET", "//input/devices/virtual/status", Err(Miss::Path)),
            ("POST", "/stream/start", Ok(Route::StartStream)),
            ("POST", "/stream/stop", Ok(Route::StopStream)),
            ("GET", "/stream/list", Ok(Route::ListStreams)),
            ("DELETE", "/stream/list", get.clone()),
            ("GET", "/stream/socket/live", Ok(Route::ViewStream(live.clone()))),
            ("POST", "/stream/socket/live", get),
            ("GET", "/stream/socket/", Err(Miss::Path)),
            ("GET", "/stream/socket/a%2Fb", Err(Miss::Path)),
            ("GET", "/watch/live", Ok(Route::Watch(live))),
            ("GET", "/watch/live/", Err(Miss::Path)),
            ("GET", "/watch/../etc", Err(Miss::Path)),
            ("POST", "/whep/live", Ok(Route::Later)),
            ("GET", "/livez", Ok(Route::Livez)),
            ("GET", "/readyz", Ok(Route::Readyz)),
            ("GET", "/assets/watch.js", Ok(Route::Asset(Asset::WatchJs))),
            ("GET", "/assets/watch.css", Ok(Route::Asset(Asset::WatchCss))),
            ("GET", "/nowhere", Err(Miss::Path)),
            ("GET", "*", Err(Miss::Path)),
            ("GET", "", Err(Miss::Path)),
        ];
        for (method, path, found) in cases {
            assert_eq!(Route::find(&method.parse().unwrap(), path), found, "{method} {path}");
        }
    }
}
