//! The JSON of the API, to the letter of the specification: what callers send and what they are told. Its schemas, which `GET
//! /openapi.json` tells, are made from the same types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{any_case, maybe_any_case};

/// `VirtualInputType`
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "VirtualInputType")]
pub(super) enum InputType {
    File,
    Socket,
    Stream,
    Webrtc,
}

/// What the picture of a socket or of WebRTC comes in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "VideoFormat")]
pub(super) enum PictureFormat {
    Ivf,
    Mpegts,
}

/// What the sound of a socket or of WebRTC comes in; of a socket, mpegts is the sound of the video's.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "AudioFormat")]
pub(super) enum SoundFormat {
    Mp3,
    Mpegts,
    Ogg,
    Opus,
}

/// `VirtualInputAudioDestination`
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "VirtualInputAudioDestination")]
pub(super) enum Destination {
    Microphone,
    Speaker,
}

/// The body of a configure: the whole input. What it does not name is off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigureRequest {
    /// The picture.
    pub(super) video: Option<VideoRequest>,
    /// The sound.
    pub(super) audio: Option<AudioRequest>,
    /// Begin with black and silence.
    pub(super) start_paused: Option<bool>,
}

/// The picture of a configure. `loop` is ours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VideoRequest {
    /// Where it comes from; in any case.
    #[serde(rename = "type", deserialize_with = "any_case")]
    pub(super) kind: InputType,
    /// Of a stream its URL, of a file its path.
    pub(super) url: Option<String>,
    /// Of a socket mpegts, of webrtc ivf.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(super) format: Option<PictureFormat>,
    /// The camera's width, even; as it was when absent.
    #[schemars(range(min = 16, max = 3840), extend("multipleOf" = 2))]
    pub(super) width: Option<u32>,
    /// The camera's height, even; as it was when absent.
    #[schemars(range(min = 16, max = 2160), extend("multipleOf" = 2))]
    pub(super) height: Option<u32>,
    /// The camera's pictures a second; as it was when absent.
    #[schemars(range(min = 1, max = 60))]
    pub(super) frame_rate: Option<u32>,
    /// Play a file again and again.
    #[serde(rename = "loop")]
    pub(super) repeat: Option<bool>,
}

/// The sound of a configure. `loop` is ours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AudioRequest {
    /// Where it comes from; in any case.
    #[serde(rename = "type", deserialize_with = "any_case")]
    pub(super) kind: InputType,
    /// Of a stream its URL, of a file its path.
    pub(super) url: Option<String>,
    /// Of a socket mp3 or mpegts, of webrtc opus or ogg.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(super) format: Option<SoundFormat>,
    /// Where it is heard: microphone when absent.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(super) destination: Option<Destination>,
    /// Play a file again and again.
    #[serde(rename = "loop")]
    pub(super) repeat: Option<bool>,
}

/// Where the feed is for scripts.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct FeedInfo {
    pub(super) url: String,
    pub(super) format: PictureFormat,
}

/// What the inputs do.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Idle,
    Paused,
    Running,
}

/// What the camera is.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CameraMode {
    Device,
    VirtualFile,
}

/// The inputs at this moment.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct VirtualInputsStatus {
    pub(super) state: State,
    pub(super) mode: CameraMode,
    pub(super) video_device: String,
    pub(super) audio_sink: &'static str,
    pub(super) microphone_source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) video_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) video: Option<VideoStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<AudioStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<String>,
    pub(super) last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ingest: Option<Ingest>,
    pub(super) stats: Stats,
}

/// The picture that is configured, with the canvas it is drawn on.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct VideoStatus {
    #[serde(rename = "type")]
    pub(super) kind: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<PictureFormat>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: u32,
}

/// The sound that is configured.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct AudioStatus {
    #[serde(rename = "type")]
    pub(super) kind: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<SoundFormat>,
    pub(super) destination: Destination,
}

/// Where publishers send to.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Ingest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) video: Option<VideoIngest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<AudioIngest>,
}

/// Where the picture is sent to, or comes from.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct VideoIngest {
    pub(super) protocol: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<PictureFormat>,
    pub(super) url: String,
}

/// Where the sound is sent to, or comes from.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct AudioIngest {
    pub(super) protocol: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<SoundFormat>,
    pub(super) destination: Destination,
    pub(super) url: String,
}

/// Counters since start-up; ours.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Stats {
    pub(super) camera_in_use: Option<bool>,
    pub(super) microphone_in_use: Option<bool>,
    pub(super) frames_in: u64,
    pub(super) frames_decoded: u64,
    pub(super) frames_unwatched: u64,
    pub(super) frames_out: u64,
    pub(super) frames_dropped: u64,
    pub(super) decodes_by_frame: u64,
    pub(super) possible_tears: u64,
    pub(super) copies: u64,
    pub(super) copied_bytes: u64,
    pub(super) copies_per_frame: Option<f32>,
    pub(super) bad_units: u64,
    pub(super) fps: f32,
    pub(super) latency_ms: Latency,
    pub(super) microphone_depth_ms: Option<f32>,
    pub(super) microphone_latency_ms: Option<f32>,
    pub(super) microphone_target_ms: Option<f32>,
    pub(super) microphone_correction_ppm: i32,
    pub(super) microphone_dropped_ms: f32,
    pub(super) microphone_lost_packets: u64,
    pub(super) microphone_underruns: u64,
    pub(super) video_publishers: u32,
    pub(super) audio_publishers: u32,
    pub(super) feed_viewers: u32,
}

/// Arrival of a frame's last byte to the end of its write into the camera, in milliseconds.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Latency {
    pub(super) p50: Option<f32>,
    pub(super) p99: Option<f32>,
}

/// Who a stream is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Internal,
    Remote,
    Socket,
    Webrtc,
}

/// What the picture of a socket stream is coded in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum PictureCodec {
    H264,
    Mpeg1,
}

/// The body of a start. `video` and `codec` are ours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartRequest {
    /// default when absent or empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{0,64}$"))]
    pub(super) id: Option<String>,
    /// internal when absent; in any case.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(super) mode: Option<Mode>,
    /// Where a remote stream is pushed to: rtmp:// or rtmps://.
    pub(super) target_url: Option<String>,
    /// Pictures a second: 30 when absent.
    #[schemars(range(min = 1, max = 60))]
    pub(super) framerate: Option<u32>,
    /// false for sound alone.
    pub(super) video: Option<bool>,
    /// h264 when absent; mpeg1 of socket streams only.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(super) codec: Option<PictureCodec>,
}

/// The body of a stop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopRequest {
    /// default, or the only stream there is, when absent or empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{0,64}$"))]
    pub(super) id: Option<String>,
}

/// What a browser calls a description that asks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum OfferType {
    Offer,
}

/// The offer of a publisher. `type` is what a browser writes of its own accord.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishOffer {
    /// offer, if it is there.
    #[serde(rename = "type")]
    pub(super) _kind: Option<OfferType>,
    /// What the peer connection offers (RFC 8866).
    pub(super) sdp: String,
}

/// The offer of a viewer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ViewOffer {
    /// offer, if it is there.
    #[serde(rename = "type")]
    pub(super) _kind: Option<OfferType>,
    /// default, or the only webrtc stream there is, when absent or empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{0,64}$"))]
    pub(super) id: Option<String>,
    /// What the peer connection offers (RFC 8866).
    pub(super) sdp: String,
}

/// What a browser calls a description that answers.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AnswerType {
    Answer,
}

/// What an offer is answered with, as a browser takes it.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "SdpAnswer")]
pub(super) struct Sdp {
    #[serde(rename = "type")]
    pub(super) kind: AnswerType,
    pub(super) sdp: String,
}

/// `StreamInfo`, with the URLs that its mode has. `viewers`, `framerate`, `last_error` and `reconnects` are ours.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct StreamInfo {
    pub(super) id: String,
    pub(super) mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ingest_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) playback_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secure_playback_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) websocket_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) webrtc_offer_url: Option<&'static str>,
    pub(super) is_streaming: bool,
    pub(super) started_at: String,
    pub(super) viewers: u32,
    pub(super) framerate: u32,
    pub(super) last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reconnects: Option<u64>,
}

/// An event `input`: the inputs, as far as they seldom change.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct InputEvent {
    pub(super) state: State,
    pub(super) last_error: Option<String>,
    pub(super) camera_in_use: Option<bool>,
    pub(super) microphone_in_use: Option<bool>,
}

/// An event `gone`: a stream runs no more. An event `stream` is a `StreamInfo`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct StreamGone<'a> {
    pub(super) id: &'a str,
}

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
