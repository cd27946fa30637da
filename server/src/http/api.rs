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
    #[expect(dead_code, reason = "a file input has it, and asking for one is not malformed before there are any")]
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
    #[expect(dead_code, reason = "a file input has it, and asking for one is not malformed before there are any")]
    pub(super) repeat: Option<bool>,
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
    pub(super) format: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: u32,
}

/// The sound that is configured.
#[derive(Debug, Serialize)]
pub(super) struct AudioStatus {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) format: &'static str,
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
    pub(super) format: &'static str,
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
    pub(super) frames_out: u64,
    pub(super) frames_dropped: u64,
    pub(super) possible_tears: u64,
    pub(super) bad_units: u64,
    pub(super) fps: f32,
    pub(super) latency_ms: Latency,
    pub(super) video_publishers: u32,
    pub(super) audio_publishers: u32,
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

/// `StreamInfo` of a socket stream. `viewers`, `framerate` and `last_error` are ours.
#[derive(Debug, Serialize)]
pub(super) struct StreamInfo {
    pub(super) id: String,
    pub(super) mode: &'static str,
    pub(super) websocket_url: String,
    pub(super) is_streaming: bool,
    pub(super) started_at: String,
    pub(super) viewers: u32,
    pub(super) framerate: u32,
    pub(super) last_error: Option<String>,
}

/// `{}`
#[derive(Debug, Serialize)]
pub(super) struct Empty {}
