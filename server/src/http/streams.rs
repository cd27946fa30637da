//! The calls of the streams.

use crosspoint_router::control::{StreamCodec, StreamId, StreamMode, StreamSpec, StreamStatus};
use crosspoint_router::wire::rtmp::TargetUrl;

use super::api::{Mode, PictureCodec, StartRequest, StopRequest, StreamInfo};
use super::failure::Failure;
use super::time::rfc3339;

/// What a start asks for.
pub(super) fn spec(request: Option<StartRequest>) -> Result<StreamSpec, Failure> {
    let request = request.ok_or_else(|| Failure::bad("the body is empty: give at least {\"mode\":\"socket\"}"))?;
    let id = id(request.id)?.unwrap_or_default();
    let framerate = request.framerate.unwrap_or(DEFAULT_FRAMERATE);
    if !(1..=60).contains(&framerate) {
        return Err(Failure::bad(format!("framerate is 1 to 60, not {framerate}")));
    }
    let codec = match request.codec {
        None | Some(PictureCodec::H264) => StreamCodec::H264,
        Some(PictureCodec::Mpeg1) => StreamCodec::Mpeg1,
    };
    let (mode, target) = match request.mode.unwrap_or(Mode::Internal) {
        Mode::Internal => (StreamMode::Internal, None),
        Mode::Remote => (StreamMode::Remote, Some(target(request.target_url.as_deref())?)),
        Mode::Socket => (StreamMode::Socket, None),
        Mode::Webrtc => (StreamMode::Webrtc, None),
    };
    if codec == StreamCodec::Mpeg1 && mode != StreamMode::Socket {
        return Err(Failure::bad(format!("the codec mpeg1 is for the mode socket, not {}", mode.name())));
    }
    let video = request.video.unwrap_or(true).then_some(codec);
    Ok(StreamSpec { id, mode, framerate, video, target })
}

/// Which stream a stop means; nothing where it names none.
pub(super) fn stop(request: Option<StopRequest>) -> Result<Option<StreamId>, Failure> {
    id(request.and_then(|request| request.id))
}

/// Where players find streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct RtmpPorts {
    /// The port of RTMP.
    pub(super) plain: u16,
    /// The port of RTMP inside TLS, if there is one.
    pub(super) secure: Option<u16>,
}

/// Who is told about a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// Whoever asks what there is: keys are left out.
    Anyone,
    /// The one who started it just now.
    Starter,
}

/// A stream as the specification writes it, for a caller who reaches us at `host`.
pub(super) fn info(status: StreamStatus, host: &str, ports: RtmpPorts, told: Told) -> StreamInfo {
    let StreamStatus { id, mode, framerate, is_streaming, viewers, started_at, last_error, target, reconnects } = status;
    let play = |scheme, port| format!("{scheme}://{host}:{port}/live/{id}");
    let target = target.map(|target| if told == Told::Starter { target.reveal().to_owned() } else { target.to_string() });
    let plays = mode == StreamMode::Internal;
    StreamInfo {
        ingest_url: match mode {
            StreamMode::Internal => Some(play("rtmp", ports.plain)),
            StreamMode::Remote => target,
            StreamMode::Socket => None,
            StreamMode::Webrtc => Some(String::new()),
        },
        playback_url: plays.then(|| play("rtmp", ports.plain)),
        secure_playback_url: ports.secure.filter(|_| plays).map(|port| play("rtmps", port)),
        websocket_url: (mode == StreamMode::Socket).then(|| format!("/stream/socket/{id}")),
        reconnects: (mode == StreamMode::Remote).then_some(reconnects),
        webrtc_offer_url: (mode == StreamMode::Webrtc).then_some("/stream/webrtc/offer"),
        id: id.to_string(),
        mode: match mode {
            StreamMode::Internal => Mode::Internal,
            StreamMode::Remote => Mode::Remote,
            StreamMode::Socket => Mode::Socket,
            StreamMode::Webrtc => Mode::Webrtc,
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

fn target(url: Option<&str>) -> Result<TargetUrl, Failure> {
    let missing = || Failure::bad("target_url is missing: the mode remote needs rtmp:// or rtmps:// and where to");
    TargetUrl::parse(url.filter(|url| !url.is_empty()).ok_or_else(missing)?).map_err(|error| Failure::bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parse;

    #[test]
    fn starts_are_told_apart() {
        let cases = [
            ("", 400),
            ("{}", 200),
            (r#"{"mode":"socket"}"#, 200),
            (r#"{"mode":"SOCKET","id":null,"video":false,"codec":"H264"}"#, 200),
            (r#"{"mode":"socket","framerate":60,"id":"a_B-9"}"#, 200),
            (r#"{"mode":"socket","framerate":0}"#, 400),
            (r#"{"mode":"socket","framerate":61}"#, 400),
            (r#"{"mode":"socket","framerate":"30"}"#, 400),
            (r#"{"mode":"socket","framerate":-1}"#, 400),
            (r#"{"mode":"socket","id":"a b"}"#, 400),
            (r#"{"mode":"socket","id":"../x"}"#, 400),
            (r#"{"mode":"socket","codec":"mpeg1"}"#, 200),
            (r#"{"mode":"internal","codec":"mpeg1"}"#, 400),
            (r#"{"mode":"socket","codec":"vp8"}"#, 400),
            (r#"{"mode":"socket","colour":true}"#, 400),
            (r#"{"mode":"webrtc"}"#, 200),
            (r#"{"mode":"webrtc","codec":"mpeg1"}"#, 400),
            (r#"{"mode":"internal"}"#, 200),
            (r#"{"mode":"remote"}"#, 400),
            (r#"{"mode":"remote","target_url":"http://example.com"}"#, 400),
            (r#"{"mode":"remote","target_url":"rtmp://example.com/app/key"}"#, 200),
            (r#"{"mode":"remote","target_url":"rtmp://example.com/app"}"#, 400),
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
        assert_eq!(
            spec,
            StreamSpec { id: StreamId::default(), mode: StreamMode::Socket, framerate: 30, video: Some(StreamCodec::H264), target: None }
        );
    }

    #[test]
    fn urls_are_those_of_the_mode_and_keys_are_for_who_gave_them() {
        let ports = RtmpPorts { plain: 1935, secure: Some(1936) };
        let shown = |body: &str, told| {
            let StreamSpec { id, mode, framerate, target, .. } = spec(parse(body.as_bytes()).unwrap()).unwrap();
            let started_at = std::time::SystemTime::UNIX_EPOCH;
            let rest = (true, 0, started_at, None, 3);
            let (is_streaming, viewers, started_at, last_error, reconnects) = rest;
            let status = StreamStatus { id, mode, framerate, is_streaming, viewers, started_at, last_error, target, reconnects };
            serde_json::to_value(info(status, "[::1]", ports, told)).unwrap()
        };
        let internal = shown("{}", Told::Anyone);
        assert_eq!(
            (&internal["ingest_url"], &internal["playback_url"]),
            (&"rtmp://[::1]:1935/live/default".into(), &internal["ingest_url"])
        );
        assert_eq!(internal["secure_playback_url"], "rtmps://[::1]:1936/live/default");
        assert!(internal.get("websocket_url").is_none() && internal.get("reconnects").is_none());
        let remote = r#"{"mode":"remote","target_url":"rtmps://live.example.com/app/s3cr3t?t=1"}"#;
        assert_eq!(shown(remote, Told::Starter)["ingest_url"], "rtmps://live.example.com/app/s3cr3t?t=1");
        let listed = shown(remote, Told::Anyone);
        assert_eq!((&listed["ingest_url"], &listed["reconnects"]), (&"rtmps://live.example.com/app/…".into(), &3.into()));
        assert!(listed.get("playback_url").is_none());
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
