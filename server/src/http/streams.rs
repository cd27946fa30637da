//! The calls of the streams.

use crosspoint_router::control::{StreamId, StreamMode, StreamSpec, StreamStatus};

use super::api::{StartRequest, StopRequest, StreamInfo};
use super::failure::Failure;
use super::time::rfc3339;

/// What a start asks for. Everything that is wrong is told before anything that is only not there yet.
pub(super) fn spec(request: Option<StartRequest>) -> Result<StreamSpec, Failure> {
    let request = request.ok_or_else(|| Failure::bad("the body is empty: give at least {\"mode\":\"socket\"}"))?;
    let mode = request.mode.as_deref().map(str::to_ascii_lowercase);
    let mode = mode.as_deref().unwrap_or("internal");
    if !matches!(mode, "internal" | "remote" | "socket" | "webrtc") {
        return Err(Failure::bad("mode is unknown: it is internal, remote, webrtc or socket"));
    }
    let id = id(request.id)?.unwrap_or_default();
    let framerate = request.framerate.unwrap_or(DEFAULT_FRAMERATE);
    if !(1..=60).contains(&framerate) {
        return Err(Failure::bad(format!("framerate is 1 to 60, not {framerate}")));
    }
    let codec = request.codec.as_deref().map(str::to_ascii_lowercase);
    if !matches!(codec.as_deref(), None | Some("h264" | "mpeg1")) {
        return Err(Failure::bad("codec is h264 or mpeg1"));
    }
    if mode == "remote" && !request.target_url.as_deref().is_some_and(is_rtmp) {
        return Err(Failure::bad("target_url is missing: the mode remote needs rtmp:// or rtmps:// and where to"));
    }
    if mode != "socket" {
        return Err(Failure::later(format!("the mode {mode}")));
    }
    if codec.as_deref() == Some("mpeg1") {
        return Err(Failure::later("the codec mpeg1"));
    }
    Ok(StreamSpec { id, mode: StreamMode::Socket, framerate, video: request.video.unwrap_or(true) })
}

/// Which stream a stop means; nothing where it names none.
pub(super) fn stop(request: Option<StopRequest>) -> Result<Option<StreamId>, Failure> {
    id(request.and_then(|request| request.id))
}

/// A stream as the specification writes it.
pub(super) fn info(status: StreamStatus) -> StreamInfo {
    let StreamStatus { id, mode, framerate, is_streaming, viewers, started_at, last_error } = status;
    StreamInfo {
        websocket_url: format!("/stream/socket/{id}"),
        id: id.to_string(),
        mode: match mode {
            StreamMode::Socket => "socket",
        },
        is_streaming,
        started_at: rfc3339(started_at),
        viewers,
        framerate,
        last_error,
    }
}

/// Unless a start says otherwise.
const DEFAULT_FRAMERATE: u32 = 30;

/// An id that was given; an empty one was not.
fn id(text: Option<String>) -> Result<Option<StreamId>, Failure> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| text.parse::<StreamId>()).transpose().map_err(|error| Failure::bad(error.to_string()))
}

fn is_rtmp(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    ["rtmp://", "rtmps://"].iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parse;

    #[test]
    fn starts_are_told_apart() {
        let cases = [
            ("", 400),
            ("{}", 501),
            (r#"{"mode":"socket"}"#, 200),
            (r#"{"mode":"SOCKET","id":null,"video":false,"codec":"H264"}"#, 200),
            (r#"{"mode":"socket","framerate":60,"id":"a_B-9"}"#, 200),
            (r#"{"mode":"socket","framerate":0}"#, 400),
            (r#"{"mode":"socket","framerate":61}"#, 400),
            (r#"{"mode":"socket","framerate":"30"}"#, 400),
            (r#"{"mode":"socket","framerate":-1}"#, 400),
            (r#"{"mode":"socket","id":"a b"}"#, 400),
            (r#"{"mode":"socket","id":"../x"}"#, 400),
            (r#"{"mode":"socket","codec":"mpeg1"}"#, 501),
            (r#"{"mode":"socket","codec":"vp8"}"#, 400),
            (r#"{"mode":"socket","colour":true}"#, 400),
            (r#"{"mode":"webrtc"}"#, 501),
            (r#"{"mode":"internal"}"#, 501),
            (r#"{"mode":"remote"}"#, 400),
            (r#"{"mode":"remote","target_url":"http://example.com"}"#, 400),
            (r#"{"mode":"remote","target_url":"rtmp://example.com/app/key"}"#, 501),
            (r#"{"mode":"carrier pigeon"}"#, 400),
            (r#"{"mode":"#, 400),
            ("[]", 400),
            ("null", 400),
        ];
        for (body, expected) in cases {
            let status = parse(body.as_bytes()).and_then(spec).map_or_else(|failure| failure.status.as_u16(), |_| 200);
            assert_eq!(status, expected, "{body}");
        }
    }

    #[test]
    fn absent_fields_have_the_contracts_defaults() {
        let spec = spec(parse(br#"{"mode":"socket"}"#).unwrap()).unwrap();
        assert_eq!(spec, StreamSpec { id: StreamId::default(), mode: StreamMode::Socket, framerate: 30, video: true });
    }

    #[test]
    fn stops_name_a_stream_or_none() {
        for none in ["", " \n", "{}", r#"{"id":null}"#, r#"{"id":""}"#] {
            assert_eq!(stop(parse(none.as_bytes()).unwrap()).unwrap(), None, "{none}");
        }
        assert_eq!(stop(parse(br#"{"id":"live"}"#).unwrap()).unwrap(), "live".parse().ok());
        assert_eq!(stop(parse(br#"{"id":"no good"}"#).unwrap()).unwrap_err().status, 400);
    }
}
