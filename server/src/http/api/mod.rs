//! The JSON of the API, to the letter of the specification: what callers send and what they are told. Its schemas, which `GET
//! /openapi.json` tells, are made from the same types.

use schemars::JsonSchema;
use serde::Serialize;

mod inputs;
mod rtc;
mod streams;

pub(super) use self::inputs::{
    AudioIngest, AudioRequest, AudioStatus, CameraMode, ConfigureRequest, Destination, FeedInfo, Ingest, InputEvent, InputType, Latency,
    PictureFormat, SoundFormat, State, Stats, VideoIngest, VideoRequest, VideoStatus, VirtualInputsStatus,
};
pub(super) use self::rtc::{AnswerType, PublishOffer, Sdp, ViewOffer};
pub(super) use self::streams::{Mode, PictureCodec, StartRequest, StopRequest, StreamGone, StreamInfo};

/// `{}`
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Empty {}

/// What every error says: what was wrong, and what would be right.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Error")]
pub(super) struct Refused<'a> {
    pub(super) message: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    /// The status's golden text is in `inputs::tests`, those of streams by mode in `streams::tests`.
    #[test]
    fn answers_are_written_like_this() {
        let info = FeedInfo { url: "ws://localhost:10001/input/devices/virtual/feed/socket".to_owned(), format: PictureFormat::Mpegts };
        assert_eq!(written(&info), r#"{"url":"ws://localhost:10001/input/devices/virtual/feed/socket","format":"mpegts"}"#);
        assert_eq!(written(&Sdp { kind: AnswerType::Answer, sdp: "v=0\r\n".to_owned() }), r#"{"type":"answer","sdp":"v=0\r\n"}"#);
        assert_eq!(written(&Refused { message: "no" }), r#"{"message":"no"}"#);
        assert_eq!(written(&Empty {}), "{}");
        assert_eq!(written(&StreamGone { id: "live" }), r#"{"id":"live"}"#);
        assert_eq!(written(&CameraMode::VirtualFile), r#""virtual-file""#);
        let stream = StreamInfo {
            id: "live".to_owned(),
            mode: Mode::Webrtc,
            ingest_url: Some(String::new()),
            playback_url: None,
            secure_playback_url: None,
            websocket_url: None,
            webrtc_offer_url: Some("/stream/webrtc/offer"),
            is_streaming: true,
            started_at: "2025-12-10T12:00:00Z".to_owned(),
            viewers: 0,
            framerate: 30,
            last_error: None,
            reconnects: None,
        };
        assert_eq!(
            written(&stream),
            r#"{"id":"live","mode":"webrtc","ingest_url":"","webrtc_offer_url":"/stream/webrtc/offer","is_streaming":true,"#.to_owned()
                + r#""started_at":"2025-12-10T12:00:00Z","viewers":0,"framerate":30,"last_error":null}"#
        );
    }
}
