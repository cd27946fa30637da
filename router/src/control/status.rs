//! What a caller is told: snapshots of inputs and streams, and refusals.

use std::time::SystemTime;

use crosspoint_ffi::VideoFormat;

use super::{InputSpec, StreamId, StreamMode};

/// Whether an input runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum InputState {
    /// Nothing is configured, or it was stopped, or its file ended.
    #[default]
    Idle,
    /// Black and silent; sources are consumed and dropped.
    Paused,
    /// Live.
    Running,
}

/// The virtual inputs at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct InputStatus {
    /// Whether it runs.
    pub state: InputState,
    /// What was configured; nothing when idle.
    pub spec: Option<InputSpec>,
    /// What the camera shows.
    pub canvas: VideoFormat,
    /// When the present configure took effect.
    pub started_at: Option<SystemTime>,
    /// The newest trouble that has not gone away.
    pub last_error: Option<String>,
    /// Counters since start-up.
    pub stats: InputStats,
}

/// Counters of the input flow since start-up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InputStats {
    /// Whether a page has the camera open; nothing when the kernel cannot tell.
    pub camera_in_use: Option<bool>,
    /// Whether someone records the microphone; nothing when the sound server cannot tell.
    pub microphone_in_use: Option<bool>,
    /// Frames decoded.
    pub frames_in: u64,
    /// Frames written to the camera.
    pub frames_out: u64,
    /// Frames that a newer one replaced before they were written.
    pub frames_dropped: u64,
    /// Writes that a read fell into.
    pub possible_tears: u64,
    /// Packets and stretches of bytes that could not be understood.
    pub bad_units: u64,
    /// Frames written in the last second.
    pub fps: f32,
    /// Arrival of a frame's last byte to the end of its write, median, in milliseconds.
    pub latency_p50_ms: Option<f32>,
    /// The same, 99th percentile.
    pub latency_p99_ms: Option<f32>,
    /// Publishers attached to the video socket (0 or 1).
    pub video_publishers: u32,
    /// Publishers attached to the audio socket (0 or 1).
    pub audio_publishers: u32,
}

/// One stream at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamStatus {
    /// Its name.
    pub id: StreamId,
    /// How viewers get it.
    pub mode: StreamMode,
    /// The frames a second it was started with.
    pub framerate: u32,
    /// Whether it can be watched right now.
    pub is_streaming: bool,
    /// Viewers attached.
    pub viewers: u32,
    /// When it was started.
    pub started_at: SystemTime,
    /// The newest trouble that has not gone away.
    pub last_error: Option<String>,
}

/// Why a call was refused, in words for the caller.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What the caller did wrong, as HTTP has names for it.
    pub kind: RefusalKind,
    /// What was wrong and what would be right, in lower case.
    pub message: String,
}

impl Refusal {
    /// Makes a refusal from its kind and its words.
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The kinds of [`Refusal`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusalKind {
    /// The request can never be right: 400.
    Bad,
    /// It clashes with what runs: 409.
    Conflict,
    /// There is no such thing: 404.
    Missing,
    /// It is not there yet: 501.
    NotImplemented,
    /// Not now: 503.
    Unavailable,
}
