//! What a caller is told: snapshots of inputs and streams, and refusals.

use std::time::SystemTime;

use crosspoint_ffi::VideoFormat;

use super::{InputSpec, StreamId, StreamMode};
use crate::wire::rtmp::TargetUrl;

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
    /// What was configured; nothing before the first configure and after a stop.
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
    /// Frames that came, decoded or not.
    pub frames_in: u64,
    /// Frames decoded.
    pub frames_decoded: u64,
    /// Frames that were not decoded because nobody read the camera.
    pub frames_unwatched: u64,
    /// Frames written to the camera.
    pub frames_out: u64,
    /// Frames that a newer one replaced before they were written, or that were not decoded because decoding was behind.
    pub frames_dropped: u64,
    /// How often a source was so heavy that its frames are decoded several at a time, with more delay.
    pub decodes_by_frame: u64,
    /// Writes that a read fell into.
    pub possible_tears: u64,
    /// Passes over the samples of decoded frames on their way to the camera's reader.
    pub copies: u64,
    /// Bytes that they wrote.
    pub copied_bytes: u64,
    /// Packets and stretches of bytes that could not be understood.
    pub bad_units: u64,
    /// Frames written in the last second.
    pub fps: f32,
    /// Arrival of a frame's last byte to the end of its write, median, in milliseconds.
    pub latency_p50_ms: Option<f32>,
    /// The same, 99th percentile.
    pub latency_p99_ms: Option<f32>,
    /// The sound between its source and the sink's clock, in milliseconds; nothing while none plays.
    pub microphone_depth_ms: Option<f32>,
    /// From a packet's release until it is heard, in milliseconds; nothing while no sound plays.
    pub microphone_latency_ms: Option<f32>,
    /// What the depth is held at, in milliseconds.
    pub microphone_target_ms: Option<f32>,
    /// By how many parts in a million the sound is lengthened to hold it.
    pub microphone_correction_ppm: i32,
    /// Sound dropped to get back to live, in milliseconds.
    pub microphone_dropped_ms: f32,
    /// Sound packets dropped because the sound server was away.
    pub microphone_lost_packets: u64,
    /// How often the sound ran dry: a gap of the source's, or a packet too late.
    pub microphone_underruns: u64,
    /// Publishers attached to the video socket (0 or 1).
    pub video_publishers: u32,
    /// Publishers attached to the audio socket (0 or 1).
    pub audio_publishers: u32,
    /// Viewers attached to the feed.
    pub feed_viewers: u32,
}

impl InputStats {
    /// Copies for each frame written, once there was one: 0 where decoders work in the camera's own buffers.
    #[must_use]
    pub fn copies_per_frame(&self) -> Option<f32> {
        (self.frames_out > 0).then(|| self.copies as f32 / self.frames_out as f32)
    }
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
    /// Where it is pushed to.
    pub target: Option<TargetUrl>,
    /// How often the push began anew.
    pub reconnects: u64,
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
