//! The calls of the virtual inputs.

use std::path::Path;

use crosspoint_router::control::{AudioDestination, AudioInput, AudioSource, InputSpec, InputState, InputStatus, VideoInput, VideoSource};

use super::api::{
    AudioRequest, AudioStatus, ConfigureRequest, Ingest, IngestTrack, Latency, Stats, VideoRequest, VideoStatus, VirtualInputsStatus,
};
use super::failure::Failure;
use super::time::rfc3339;

/// What a configure asks for. Everything that is wrong is told before anything that is only not there yet.
pub(super) fn spec(request: Option<ConfigureRequest>) -> Result<InputSpec, Failure> {
    let request = request.ok_or_else(|| Failure::bad("the body is empty: give video, audio or both"))?;
    let video = request.video.as_ref().map(VideoKind::of).transpose()?;
    let audio = request.audio.as_ref().map(AudioKind::of).transpose()?;
    let destination = request.audio.as_ref().map_or(Ok(AudioDestination::default()), destination)?;
    let video = match (video, request.video) {
        (Some(VideoKind::Socket), Some(asked)) => {
            let VideoRequest { width, height, frame_rate, .. } = asked;
            Some(VideoInput { source: VideoSource::Socket, width, height, frame_rate })
        }
        (Some(VideoKind::Later(what)), _) => return Err(Failure::later(format!("video of the type {what}"))),
        (None, _) | (_, None) => None,
    };
    let audio = match audio {
        Some(AudioKind::Socket) => Some(AudioInput { source: AudioSource::Socket, destination }),
        Some(AudioKind::Later(what)) => return Err(Failure::later(format!("audio of the type {what}"))),
        None => None,
    };
    Ok(InputSpec { video, audio, start_paused: request.start_paused.unwrap_or(false) })
}

/// The status as the specification writes it; `authority` is what the caller reached us by.
pub(super) fn status(status: InputStatus, authority: &str, camera_file: Option<&Path>, camera_device: &Path) -> VirtualInputsStatus {
    let spec = status.spec.as_ref();
    let (video, audio) = (spec.and_then(|spec| spec.video.as_ref()), spec.and_then(|spec| spec.audio.as_ref()));
    let ingest = spec.map(|_| Ingest {
        video: video.map(|_| IngestTrack {
            protocol: "socket",
            format: "mpegts",
            destination: None,
            url: format!("ws://{authority}/input/devices/virtual/socket/video"),
        }),
        audio: audio.map(|audio| IngestTrack {
            protocol: "socket",
            format: "mp3",
            destination: Some(destination_name(audio.destination)),
            url: format!("ws://{authority}/input/devices/virtual/socket/audio"),
        }),
    });
    let canvas = status.canvas;
    let stats = status.stats;
    VirtualInputsStatus {
        state: match status.state {
            InputState::Idle => "idle",
            InputState::Paused => "paused",
            InputState::Running => "running",
        },
        mode: "virtual-file",
        video_device: camera_device.display().to_string(),
        audio_sink: "audio_input",
        microphone_source: "audio_input.monitor",
        video_file: camera_file.map(|path| path.display().to_string()),
        video: video.map(|_| VideoStatus {
            kind: "socket",
            format: "mpegts",
            width: canvas.width(),
            height: canvas.height(),
            frame_rate: canvas.frame_rate(),
        }),
        audio: audio.map(|audio| AudioStatus { kind: "socket", format: "mp3", destination: destination_name(audio.destination) }),
        started_at: status.started_at.map(rfc3339),
        last_error: status.last_error,
        ingest,
        stats: Stats {
            camera_in_use: stats.camera_in_use,
            microphone_in_use: stats.microphone_in_use,
            frames_in: stats.frames_in,
            frames_out: stats.frames_out,
            frames_dropped: stats.frames_dropped,
            possible_tears: stats.possible_tears,
            bad_units: stats.bad_units,
            fps: stats.fps,
            latency_ms: Latency { p50: stats.latency_p50_ms, p99: stats.latency_p99_ms },
            video_publishers: stats.video_publishers,
            audio_publishers: stats.audio_publishers,
        },
    }
}

/// A type of picture in its format.
enum VideoKind {
    Later(&'static str),
    Socket,
}

/// A type of sound in its format.
enum AudioKind {
    Later(&'static str),
    Socket,
}

impl VideoKind {
    fn of(request: &VideoRequest) -> Result<Self, Failure> {
        let format = request.format.as_deref().map(str::to_ascii_lowercase);
        match (track_type(request.kind.as_deref(), "video")?, format.as_deref()) {
            (TrackType::Socket, None | Some("mpegts")) => Ok(Self::Socket),
            (TrackType::Socket, Some(_)) => Err(Failure::bad("video.format of a socket is mpegts")),
            (TrackType::WebRtc, None | Some("ivf")) => Ok(Self::Later("webrtc")),
            (TrackType::WebRtc, Some(_)) => Err(Failure::bad("video.format of webrtc is ivf")),
            (TrackType::Pulled(name), _) => named_url(request.url.as_deref(), "video", name).map(Self::Later),
        }
    }
}

impl AudioKind {
    fn of(request: &AudioRequest) -> Result<Self, Failure> {
        let format = request.format.as_deref().map(str::to_ascii_lowercase);
        match (track_type(request.kind.as_deref(), "audio")?, format.as_deref()) {
            (TrackType::Socket, None | Some("mp3")) => Ok(Self::Socket),
            (TrackType::Socket, Some("mpegts")) => Ok(Self::Later("socket in the format mpegts")),
            (TrackType::Socket, Some(_)) => Err(Failure::bad("audio.format of a socket is mp3 or mpegts")),
            (TrackType::WebRtc, None | Some("opus" | "ogg")) => Ok(Self::Later("webrtc")),
            (TrackType::WebRtc, Some(_)) => Err(Failure::bad("audio.format of webrtc is opus")),
            (TrackType::Pulled(name), _) => named_url(request.url.as_deref(), "audio", name).map(Self::Later),
        }
    }
}

/// `VirtualInputType`
enum TrackType {
    /// `stream` or `file`, which we fetch ourselves.
    Pulled(&'static str),
    Socket,
    WebRtc,
}

fn track_type(kind: Option<&str>, track: &str) -> Result<TrackType, Failure> {
    match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("file") => Ok(TrackType::Pulled("file")),
        Some("socket") => Ok(TrackType::Socket),
        Some("stream") => Ok(TrackType::Pulled("stream")),
        Some("webrtc") => Ok(TrackType::WebRtc),
        Some(_) => Err(Failure::bad(format!("{track}.type is unknown: it is socket, webrtc, stream or file"))),
        None => Err(Failure::bad(format!("{track}.type is missing: it is socket, webrtc, stream or file"))),
    }
}

fn named_url(url: Option<&str>, track: &str, name: &'static str) -> Result<&'static str, Failure> {
    match url {
        Some(url) if !url.trim().is_empty() => Ok(name),
        Some(_) | None => Err(Failure::bad(format!("{track}.url is missing: the type {name} needs one"))),
    }
}

fn destination(request: &AudioRequest) -> Result<AudioDestination, Failure> {
    match request.destination.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("microphone") => Ok(AudioDestination::Microphone),
        Some("speaker") => Ok(AudioDestination::Speaker),
        Some(_) => Err(Failure::bad("audio.destination is microphone or speaker")),
    }
}

fn destination_name(destination: AudioDestination) -> &'static str {
    match destination {
        AudioDestination::Microphone => "microphone",
        AudioDestination::Speaker => "speaker",
    }
}

#[cfg(test)]
mod tests;
