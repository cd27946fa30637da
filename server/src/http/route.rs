//! Which call a method and a path name.

use crosspoint_router::control::StreamId;
use hyper::Method;

use super::openapi::Form;
use super::pages::{self, Asset};
use crate::app::{SessionKind, SessionToken};

/// A call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// A file that a page asks for.
    Asset(&'static Asset),
    /// `POST /input/devices/virtual/configure`
    Configure,
    /// `GET /openapi.json`, `/spec.json` and `/spec.yaml`
    Describe(Form),
    /// `GET /`
    Console,
    /// `GET /events`
    Events,
    /// `GET /input/devices/virtual/feed`
    Feed,
    /// `GET /input/devices/virtual/feed/socket/info`
    FeedInfo,
    /// `WS /input/devices/virtual/feed/socket`
    FeedSocket,
    /// `GET /input/devices/virtual/status`
    InputStatus,
    /// `GET /stream/list`
    ListStreams,
    /// `GET /livez`
    Livez,
    /// `GET /metrics`
    Metrics,
    /// `POST /input/devices/virtual/pause`
    Pause,
    /// `WS /input/devices/virtual/socket/audio`
    PublishAudio,
    /// `POST /input/devices/virtual/webrtc/offer`
    PublishRtc,
    /// `WS /input/devices/virtual/socket/video`
    PublishVideo,
    /// `GET /readyz`
    Readyz,
    /// `POST /input/devices/virtual/resume`
    Resume,
    /// `DELETE` and `PATCH` of `/whip/camera/{token}` and `/whep/{id}/{token}`
    Session(SessionKind, SessionToken),
    /// `POST /stream/start`
    StartStream,
    /// `POST /input/devices/virtual/stop`
    StopInputs,
    /// `POST /stream/stop`
    StopStream,
    /// `POST /stream/webrtc/offer`
    ViewRtc,
    /// `WS /stream/socket/{id}`
    ViewStream(StreamId),
    /// `GET /watch/{id}`
    Watch(StreamId),
    /// `POST /whep/{id}`
    Whep(StreamId),
    /// `POST /whip/camera`
    Whip,
}

/// Whose token opens a call, where there are tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    /// Anyone's.
    Any,
    /// That of who says what runs.
    Control,
    /// None is needed.
    Open,
    /// A publisher's.
    Publish,
    /// A viewer's.
    View,
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
            Verb::Session => *method == Method::DELETE || *method == Method::PATCH,
        };
        if fits { Ok(route) } else { Err(Miss::Method(verb.allow())) }
    }

    /// Whether it is a page, which other sites may link to.
    pub(super) fn is_page(&self) -> bool {
        matches!(self, Self::Console | Self::Feed | Self::Watch(_))
    }

    /// Whether it only tells how things are, which is told to the end.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self, Self::Livez | Self::Metrics | Self::Readyz)
    }

    /// Whose token opens it.
    pub(super) fn scope(&self) -> Scope {
        match self {
            // Pages load them without their address's token, and there is nothing of anyone's in them.
            Self::Asset(_) | Self::Livez | Self::Readyz => Scope::Open,
            // The pages of viewers ask for the latter two.
            Self::Describe(_) | Self::InputStatus | Self::ListStreams => Scope::Any,
            Self::Configure
            | Self::Console
            | Self::Events
            | Self::Metrics
            | Self::Pause
            | Self::Resume
            | Self::StartStream
            | Self::StopInputs
            | Self::StopStream => Scope::Control,
            Self::PublishAudio | Self::PublishRtc | Self::PublishVideo | Self::Session(SessionKind::Camera, _) | Self::Whip => {
                Scope::Publish
            }
            Self::Feed
            | Self::FeedInfo
            | Self::FeedSocket
            | Self::Session(SessionKind::Stream(_), _)
            | Self::ViewRtc
            | Self::ViewStream(_)
            | Self::Watch(_)
            | Self::Whep(_) => Scope::View,
        }
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
                "webrtc/offer" => (Verb::Post, Self::PublishRtc),
                "feed" => (Verb::Get, Self::Feed),
                "feed/socket" => (Verb::Get, Self::FeedSocket),
                "feed/socket/info" => (Verb::Get, Self::FeedInfo),
                _ => return None,
            });
        }
        if let Some(id) = path.strip_prefix("/stream/socket/") {
            return Some((Verb::Get, Self::ViewStream(id.parse().ok()?)));
        }
        if let Some(name) = path.strip_prefix("/assets/") {
            return Some((Verb::Get, Self::Asset(pages::find(name)?)));
        }
        if let Some(id) = path.strip_prefix("/watch/") {
            return Some((Verb::Get, Self::Watch(id.parse().ok()?)));
        }
        if let Some(id) = path.strip_prefix("/whep/") {
            return match id.split_once('/') {
                Some((id, token)) => {
                    let kind = SessionKind::Stream(id.parse().ok()?);
                    Some((Verb::Session, Self::Session(kind, SessionToken::parse(token)?)))
                }
                None => Some((Verb::Post, Self::Whep(id.parse().ok()?))),
            };
        }
        if let Some(token) = path.strip_prefix("/whip/camera/") {
            return Some((Verb::Session, Self::Session(SessionKind::Camera, SessionToken::parse(token)?)));
        }
        Some(match path {
            "/stream/start" => (Verb::Post, Self::StartStream),
            "/stream/stop" => (Verb::Post, Self::StopStream),
            "/stream/list" => (Verb::Get, Self::ListStreams),
            "/stream/webrtc/offer" => (Verb::Post, Self::ViewRtc),
            "/whip/camera" => (Verb::Post, Self::Whip),
            "/" => (Verb::Get, Self::Console),
            "/events" => (Verb::Get, Self::Events),
            "/livez" => (Verb::Get, Self::Livez),
            "/metrics" => (Verb::Get, Self::Metrics),
            "/openapi.json" | "/spec.json" => (Verb::Get, Self::Describe(Form::Json)),
            "/readyz" => (Verb::Get, Self::Readyz),
            "/spec.yaml" => (Verb::Get, Self::Describe(Form::Yaml)),
            _ => return None,
        })
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Get,
    Post,
    Session,
}

impl Verb {
    fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD, OPTIONS",
            Self::Post => "POST, OPTIONS",
            Self::Session => "DELETE, PATCH, OPTIONS",
        }
    }
}

#[cfg(test)]
impl Route {
    /// The variants' names.
    pub(super) const NAMES: [&str; 27] = [
        "Asset",
        "Configure",
        "Console",
        "Describe",
        "Events",
        "Feed",
        "FeedInfo",
        "FeedSocket",
        "InputStatus",
        "ListStreams",
        "Livez",
        "Metrics",
        "Pause",
        "PublishAudio",
        "PublishRtc",
        "PublishVideo",
        "Readyz",
        "Resume",
        "Session",
        "StartStream",
        "StopInputs",
        "StopStream",
        "ViewRtc",
        "ViewStream",
        "Watch",
        "Whep",
        "Whip",
    ];

    /// The variant's name; a new one is missed here by the compiler, and above by the description's test.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Asset(_) => "Asset",
            Self::Configure => "Configure",
            Self::Console => "Console",
            Self::Describe(_) => "Describe",
            Self::Events => "Events",
            Self::Feed => "Feed",
            Self::FeedInfo => "FeedInfo",
            Self::FeedSocket => "FeedSocket",
            Self::InputStatus => "InputStatus",
            Self::ListStreams => "ListStreams",
            Self::Livez => "Livez",
            Self::Metrics => "Metrics",
            Self::Pause => "Pause",
            Self::PublishAudio => "PublishAudio",
            Self::PublishRtc => "PublishRtc",
            Self::PublishVideo => "PublishVideo",
            Self::Readyz => "Readyz",
            Self::Resume => "Resume",
            Self::Session(..) => "Session",
            Self::StartStream => "StartStream",
            Self::StopInputs => "StopInputs",
            Self::StopStream => "StopStream",
            Self::ViewRtc => "ViewRtc",
            Self::ViewStream(_) => "ViewStream",
            Self::Watch(_) => "Watch",
            Self::Whep(_) => "Whep",
            Self::Whip => "Whip",
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
        let whep = "/whep/live/0123456789abcdef0123456789abcdef";
        let token = SessionToken::parse("0123456789abcdef0123456789abcdef").unwrap();
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
            ("GET", "/input/devices/virtual/feed", Ok(Route::Feed)),
            ("POST", "/input/devices/virtual/feed", get.clone()),
            ("GET", "/input/devices/virtual/feed/socket", Ok(Route::FeedSocket)),
            ("GET", "/input/devices/virtual/feed/socket/info", Ok(Route::FeedInfo)),
            ("GET", "/assets/none.js", Err(Miss::Path)),
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
            ("GET", "/watch/live", Ok(Route::Watch(live.clone()))),
            ("GET", "/watch/live/", Err(Miss::Path)),
            ("GET", "/watch/../etc", Err(Miss::Path)),
            ("POST", "/whep/live", Ok(Route::Whep(live.clone()))),
            ("GET", "/whep/live", Err(Miss::Method("POST, OPTIONS"))),
            ("PATCH", whep, Ok(Route::Session(SessionKind::Stream(live), token.clone()))),
            ("POST", whep, Err(Miss::Method("DELETE, PATCH, OPTIONS"))),
            ("POST", "/whip/camera", Ok(Route::Whip)),
            ("DELETE", "/whip/camera/0123456789abcdef0123456789abcdef", Ok(Route::Session(SessionKind::Camera, token))),
            ("DELETE", "/whip/camera/guess", Err(Miss::Path)),
            ("POST", "/stream/webrtc/offer", Ok(Route::ViewRtc)),
            ("POST", "/input/devices/virtual/webrtc/offer", Ok(Route::PublishRtc)),
            ("GET", "/livez", Ok(Route::Livez)),
            ("GET", "/metrics", Ok(Route::Metrics)),
            ("GET", "/readyz", Ok(Route::Readyz)),
            ("GET", "/assets/watch.js", Ok(Route::Asset(pages::find("watch.js").unwrap()))),
            ("GET", "/assets/feed.css", Ok(Route::Asset(pages::find("feed.css").unwrap()))),
            ("GET", "/openapi.json", Ok(Route::Describe(Form::Json))),
            ("GET", "/spec.json", Ok(Route::Describe(Form::Json))),
            ("GET", "/spec.yaml", Ok(Route::Describe(Form::Yaml))),
            ("GET", "/events", Ok(Route::Events)),
            ("GET", "/nowhere", Err(Miss::Path)),
            ("GET", "*", Err(Miss::Path)),
            ("GET", "", Err(Miss::Path)),
        ];
        for (method, path, found) in cases {
            assert_eq!(Route::find(&method.parse().unwrap(), path), found, "{method} {path}");
        }
    }
}
