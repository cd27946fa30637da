//! The JSON of the API, to the letter of the specification: what callers send and what they are told.

use serde::{Deserialize, Serialize};

/// `POST /input/devices/virtual/configure`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigureRequest {
    pub(super) video: Option<VideoRequest>,
    pub(super) audio: Option<AudioRequest>,
    pub(super) start_paused: Option<bool>,
}

/// The picture of a configure. `loop` is ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VideoRequest {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) url: Option<String>,
    pub(super) format: Option<String>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) frame_rate: Option<u32>,
    #[serde(rename = "loop")]
    pub(super) repeat: Option<bool>,
}

/// The sound of a configure. `loop` is ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AudioRequest {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) url: Option<String>,
    pub(super) format: Option<String>,
    pub(super) destination: Option<String>,
    #[serde(rename = "loop")]
    pub(super) repeat: Option<bool>,
}

/// `GET /input/devices/virtual/feed/socket/info`
#[derive(Debug, Serialize)]
pub(super) struct FeedInfo {
    pub(super) url: String,
    pub(super) format: &'static str,
}

/// `VirtualInputsStatus`
#[derive(Debug, Serialize)]
pub(super) struct VirtualInputsStatus {
    pub(super) state: &'static str,
    pub(super) mode: &'static str,
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
#[derive(Debug, Serialize)]
pub(super) struct VideoStatus {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'static str>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: u32,
}

/// The sound that is configured.
#[derive(Debug, Serialize)]
pub(super) struct AudioStatus {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'static str>,
    pub(super) destination: &'static str,
}

/// Where publishers send to.
#[derive(Debug, Serialize)]
pub(super) struct Ingest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) video: Option<IngestTrack>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<IngestTrack>,
}

/// Where one track is sent to.
#[derive(Debug, Serialize)]
pub(super) struct IngestTrack {
    pub(super) protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<&'static str>,
    pub(super) url: String,
}

/// Counters since start-up; ours.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: Option<f32>,
    pub(super) p99: Option<f32>,
}

/// `POST /stream/start`. `video` and `codec` are ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartRequest {
    pub(super) id: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) target_url: Option<String>,
    pub(super) framerate: Option<u32>,
    pub(super) video: Option<bool>,
    pub(super) codec: Option<String>,
}

/// `POST /stream/stop`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StopRequest {
    pub(super) id: Option<String>,
}

/// `POST /stream/webrtc/offer`, and of the inputs, without an id. `type` is what a browser writes of its own accord.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfferRequest {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) id: Option<String>,
    pub(super) sdp: Option<String>,
}

/// What an offer is answered with, as a browser takes it.
#[derive(Debug, Serialize)]
pub(super) struct Sdp {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) sdp: String,
}

/// `StreamInfo`, with the URLs that its mode has. `viewers`, `framerate`, `last_error` and `reconnects` are ours.
#[derive(Debug, Serialize)]
pub(super) struct StreamInfo {
    pub(super) id: String,
    pub(super) mode: &'static str,
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

/// `{}`
#[derive(Debug, Serialize)]
pub(super) struct Empty {}
