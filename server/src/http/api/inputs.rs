//! What camera and microphone get.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::body::{any_case, maybe_any_case};

/// `VirtualInputType`
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "VirtualInputType")]
pub(crate) enum InputType {
    File,
    Socket,
    Stream,
    Webrtc,
}

/// What the picture of a socket or of WebRTC comes in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "VideoFormat")]
pub(crate) enum PictureFormat {
    Ivf,
    Mpegts,
}

/// What the sound of a socket or of WebRTC comes in; of a socket, mpegts is the sound of the video's.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "AudioFormat")]
pub(crate) enum SoundFormat {
    Mp3,
    Mpegts,
    Ogg,
    Opus,
}

/// `VirtualInputAudioDestination`
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "VirtualInputAudioDestination")]
pub(crate) enum Destination {
    Microphone,
    Speaker,
}

/// The body of a configure: the whole input. What it does not name is off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigureRequest {
    /// The picture.
    pub(crate) video: Option<VideoRequest>,
    /// The sound.
    pub(crate) audio: Option<AudioRequest>,
    /// Begin with black and silence.
    pub(crate) start_paused: Option<bool>,
}

/// The picture of a configure. `loop` is ours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VideoRequest {
    /// Where it comes from; in any case.
    #[serde(rename = "type", deserialize_with = "any_case")]
    pub(crate) kind: InputType,
    /// Of a stream its URL, of a file its path.
    pub(crate) url: Option<String>,
    /// Of a socket mpegts, of webrtc ivf.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(crate) format: Option<PictureFormat>,
    /// The camera's width, even; as it was when absent.
    #[schemars(range(min = 16, max = 3840), extend("multipleOf" = 2))]
    pub(crate) width: Option<u32>,
    /// The camera's height, even; as it was when absent.
    #[schemars(range(min = 16, max = 2160), extend("multipleOf" = 2))]
    pub(crate) height: Option<u32>,
    /// The camera's pictures a second; as it was when absent.
    #[schemars(range(min = 1, max = 60))]
    pub(crate) frame_rate: Option<u32>,
    /// Play a file again and again.
    #[serde(rename = "loop")]
    pub(crate) repeat: Option<bool>,
}

/// The sound of a configure. `loop` is ours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AudioRequest {
    /// Where it comes from; in any case.
    #[serde(rename = "type", deserialize_with = "any_case")]
    pub(crate) kind: InputType,
    /// Of a stream its URL, of a file its path.
    pub(crate) url: Option<String>,
    /// Of a socket mp3 or mpegts, of webrtc opus or ogg.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(crate) format: Option<SoundFormat>,
    /// Where it is heard: microphone when absent.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(crate) destination: Option<Destination>,
    /// Play a file again and again.
    #[serde(rename = "loop")]
    pub(crate) repeat: Option<bool>,
}

/// Where the feed is for scripts.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct FeedInfo {
    pub(crate) url: String,
    pub(crate) format: PictureFormat,
}

/// What the inputs do.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Idle,
    Paused,
    Running,
}

/// What the camera is.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CameraMode {
    Device,
    VirtualFile,
}

/// The inputs at this moment.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct VirtualInputsStatus {
    pub(crate) state: State,
    pub(crate) mode: CameraMode,
    pub(crate) video_device: String,
    pub(crate) audio_sink: &'static str,
    pub(crate) microphone_source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) video_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) video: Option<VideoStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audio: Option<AudioStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<String>,
    pub(crate) last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ingest: Option<Ingest>,
    pub(crate) stats: Stats,
}

/// The picture that is configured, with the canvas it is drawn on.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct VideoStatus {
    #[serde(rename = "type")]
    pub(crate) kind: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<PictureFormat>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frame_rate: u32,
}

/// The sound that is configured.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct AudioStatus {
    #[serde(rename = "type")]
    pub(crate) kind: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<SoundFormat>,
    pub(crate) destination: Destination,
}

/// Where publishers send to.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Ingest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) video: Option<VideoIngest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audio: Option<AudioIngest>,
}

/// Where the picture is sent to, or comes from.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct VideoIngest {
    pub(crate) protocol: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<PictureFormat>,
    pub(crate) url: String,
}

/// Where the sound is sent to, or comes from.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct AudioIngest {
    pub(crate) protocol: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<SoundFormat>,
    pub(crate) destination: Destination,
    pub(crate) url: String,
}

/// Counters since start-up; ours.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Stats {
    pub(crate) camera_in_use: Option<bool>,
    pub(crate) microphone_in_use: Option<bool>,
    pub(crate) frames_in: u64,
    pub(crate) frames_decoded: u64,
    pub(crate) frames_unwatched: u64,
    pub(crate) frames_out: u64,
    pub(crate) frames_dropped: u64,
    pub(crate) decodes_by_frame: u64,
    pub(crate) possible_tears: u64,
    pub(crate) copies: u64,
    pub(crate) copied_bytes: u64,
    pub(crate) copies_per_frame: Option<f32>,
    pub(crate) bad_units: u64,
    pub(crate) fps: f32,
    pub(crate) latency_ms: Latency,
    pub(crate) microphone_depth_ms: Option<f32>,
    pub(crate) microphone_latency_ms: Option<f32>,
    pub(crate) microphone_target_ms: Option<f32>,
    pub(crate) microphone_correction_ppm: i32,
    pub(crate) microphone_dropped_ms: f32,
    pub(crate) microphone_lost_packets: u64,
    pub(crate) microphone_underruns: u64,
    pub(crate) video_publishers: u32,
    pub(crate) audio_publishers: u32,
    pub(crate) feed_viewers: u32,
}

/// Arrival of a frame's last byte to the end of its write into the camera, in milliseconds.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: Option<f32>,
    pub(crate) p99: Option<f32>,
}

/// An event `input`: the inputs, as far as they seldom change.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct InputEvent {
    pub(crate) state: State,
    pub(crate) last_error: Option<String>,
    pub(crate) camera_in_use: Option<bool>,
    pub(crate) microphone_in_use: Option<bool>,
}
