//! The calls of the virtual inputs.

use crosspoint_router::control::{
    AudioDestination, AudioInput, AudioSource, BadLocation, InputSpec, InputState, InputStatus, Location, Pulled, VideoInput, VideoSource,
};

use super::access::Caller;
use super::api::{
    AudioIngest, AudioRequest, AudioStatus, CameraMode, ConfigureRequest, Destination, Ingest, InputEvent, InputType, Latency,
    PictureFormat, SoundFormat, State, Stats, VideoIngest, VideoRequest, VideoStatus, VirtualInputsStatus,
};
use super::failure::Failure;
use super::time::rfc3339;
use crate::config::CameraChoice;

/// What a configure asks for.
pub(super) fn spec(request: Option<ConfigureRequest>) -> Result<InputSpec, Failure> {
    let request = request.ok_or_else(|| Failure::bad("the body is empty: give video, audio or both"))?;
    let video = request.video.as_ref().map(video_source).transpose()?;
    let audio = request.audio.as_ref().map(audio_source).transpose()?;
    let destination = request.audio.as_ref().and_then(|audio| audio.destination).map(AudioDestination::from).unwrap_or_default();
    let video = video.zip(request.video).map(|(source, asked)| {
        let VideoRequest { width, height, frame_rate, .. } = asked;
        VideoInput { source, width, height, frame_rate }
    });
    let audio = audio.map(|source| AudioInput { source, destination });
    Ok(InputSpec { video, audio, start_paused: request.start_paused.unwrap_or(false) })
}

/// The status as the specification writes it.
pub(super) fn status(status: InputStatus, caller: &Caller, camera: &CameraChoice) -> VirtualInputsStatus {
    let spec = status.spec.as_ref();
    let (video, audio) = (spec.and_then(|spec| spec.video.as_ref()), spec.and_then(|spec| spec.audio.as_ref()));
    let socket = |track| caller.ws(&format!("/input/devices/virtual/socket/{track}"));
    let offer = || caller.http("/input/devices/virtual/webrtc/offer");
    let ingest = spec.map(|_| Ingest {
        video: video.map(|video| {
            let (protocol, format) = video_names(&video.source);
            let url = match &video.source {
                VideoSource::Pulled(pulled) => pulled.location.to_string(),
                VideoSource::Socket => socket("video"),
                VideoSource::Webrtc => offer(),
            };
            VideoIngest { protocol, format, url }
        }),
        audio: audio.map(|audio| {
            let (protocol, format) = audio_names(&audio.source);
            let url = match &audio.source {
                AudioSource::Pulled(pulled) => pulled.location.to_string(),
                AudioSource::Socket => socket("audio"),
                AudioSource::SocketOfVideo => socket("video"),
                AudioSource::Webrtc => offer(),
            };
            AudioIngest { protocol, format, destination: audio.destination.into(), url }
        }),
    });
    let canvas = status.canvas;
    let stats = status.stats;
    VirtualInputsStatus {
        state: status.state.into(),
        mode: match camera {
            CameraChoice::Auto | CameraChoice::File(_) | CameraChoice::Off => CameraMode::VirtualFile,
            CameraChoice::V4l2(_) => CameraMode::Device,
        },
        video_device: camera.device().display().to_string(),
        audio_sink: "audio_input",
        microphone_source: "audio_input.monitor",
        video_file: camera.file().map(|path| path.display().to_string()),
        video: video.map(|video| {
            let (kind, format) = video_names(&video.source);
            VideoStatus { kind, format, width: canvas.width(), height: canvas.height(), frame_rate: canvas.frame_rate() }
        }),
        audio: audio.map(|audio| {
            let (kind, format) = audio_names(&audio.source);
            AudioStatus { kind, format, destination: audio.destination.into() }
        }),
        started_at: status.started_at.map(rfc3339),
        last_error: status.last_error,
        ingest,
        stats: Stats {
            camera_in_use: stats.camera_in_use,
            microphone_in_use: stats.microphone_in_use,
            frames_in: stats.frames_in,
            frames_decoded: stats.frames_decoded,
            frames_unwatched: stats.frames_unwatched,
            frames_out: stats.frames_out,
            frames_dropped: stats.frames_dropped,
            decodes_by_frame: stats.decodes_by_frame,
            possible_tears: stats.possible_tears,
            copies: stats.copies,
            copied_bytes: stats.copied_bytes,
            copies_per_frame: stats.copies_per_frame(),
            bad_units: stats.bad_units,
            fps: stats.fps,
            latency_ms: Latency { p50: stats.latency_p50_ms, p99: stats.latency_p99_ms },
            microphone_depth_ms: stats.microphone_depth_ms,
            microphone_latency_ms: stats.microphone_latency_ms,
            microphone_target_ms: stats.microphone_target_ms,
            microphone_correction_ppm: stats.microphone_correction_ppm,
            microphone_dropped_ms: stats.microphone_dropped_ms,
            microphone_lost_packets: stats.microphone_lost_packets,
            microphone_underruns: stats.microphone_underruns,
            video_publishers: stats.video_publishers,
            audio_publishers: stats.audio_publishers,
            feed_viewers: stats.feed_viewers,
        },
    }
}

/// What of the status is an event when it changes.
pub(super) fn event(status: InputStatus) -> InputEvent {
    let InputStatus { state, last_error, stats, .. } = status;
    InputEvent { state: state.into(), last_error, camera_in_use: stats.camera_in_use, microphone_in_use: stats.microphone_in_use }
}

fn video_source(request: &VideoRequest) -> Result<VideoSource, Failure> {
    let pulled = |locate| pulled("video", request.url.as_deref(), request.repeat, locate).map(VideoSource::Pulled);
    match (request.kind, request.format) {
        (InputType::File, _) => pulled(Location::file),
        (InputType::Socket, None | Some(PictureFormat::Mpegts)) => Ok(VideoSource::Socket),
        (InputType::Socket, Some(PictureFormat::Ivf)) => Err(Failure::bad("video.format of a socket is mpegts")),
        (InputType::Stream, _) => pulled(Location::stream),
        (InputType::Webrtc, None | Some(PictureFormat::Ivf)) => Ok(VideoSource::Webrtc),
        (InputType::Webrtc, Some(PictureFormat::Mpegts)) => Err(Failure::bad("video.format of webrtc is ivf")),
    }
}

fn audio_source(request: &AudioRequest) -> Result<AudioSource, Failure> {
    let pulled = |locate| pulled("audio", request.url.as_deref(), request.repeat, locate).map(AudioSource::Pulled);
    match (request.kind, request.format) {
        (InputType::File, _) => pulled(Location::file),
        (InputType::Socket, None | Some(SoundFormat::Mp3)) => Ok(AudioSource::Socket),
        (InputType::Socket, Some(SoundFormat::Mpegts)) => Ok(AudioSource::SocketOfVideo),
        (InputType::Socket, Some(SoundFormat::Ogg | SoundFormat::Opus)) => Err(Failure::bad("audio.format of a socket is mp3 or mpegts")),
        (InputType::Stream, _) => pulled(Location::stream),
        (InputType::Webrtc, None | Some(SoundFormat::Ogg | SoundFormat::Opus)) => Ok(AudioSource::Webrtc),
        (InputType::Webrtc, Some(SoundFormat::Mp3 | SoundFormat::Mpegts)) => Err(Failure::bad("audio.format of webrtc is opus")),
    }
}

/// What a source that we fetch is called by.
fn pulled(
    track: &str,
    url: Option<&str>,
    repeat: Option<bool>,
    locate: fn(&str) -> Result<Location, BadLocation>,
) -> Result<Pulled, Failure> {
    let url = url.filter(|url| !url.trim().is_empty());
    let url = url.ok_or_else(|| Failure::bad(format!("{track}.url is missing: the types stream and file need one")))?;
    let location = locate(url).map_err(|error| Failure::bad(format!("{track}.url: {error}")))?;
    Ok(Pulled { location, repeat: repeat.unwrap_or(false) })
}

fn video_names(source: &VideoSource) -> (InputType, Option<PictureFormat>) {
    match source {
        VideoSource::Pulled(pulled) => (pulled_name(pulled), None),
        VideoSource::Socket => (InputType::Socket, Some(PictureFormat::Mpegts)),
        VideoSource::Webrtc => (InputType::Webrtc, Some(PictureFormat::Ivf)),
    }
}

fn audio_names(source: &AudioSource) -> (InputType, Option<SoundFormat>) {
    match source {
        AudioSource::Pulled(pulled) => (pulled_name(pulled), None),
        AudioSource::Socket => (InputType::Socket, Some(SoundFormat::Mp3)),
        AudioSource::SocketOfVideo => (InputType::Socket, Some(SoundFormat::Mpegts)),
        AudioSource::Webrtc => (InputType::Webrtc, Some(SoundFormat::Opus)),
    }
}

fn pulled_name(pulled: &Pulled) -> InputType {
    match pulled.location {
        Location::File { .. } => InputType::File,
        Location::Stream(_) => InputType::Stream,
    }
}

impl From<InputState> for State {
    fn from(state: InputState) -> Self {
        match state {
            InputState::Idle => Self::Idle,
            InputState::Paused => Self::Paused,
            InputState::Running => Self::Running,
        }
    }
}

impl From<Destination> for AudioDestination {
    fn from(destination: Destination) -> Self {
        match destination {
            Destination::Microphone => Self::Microphone,
            Destination::Speaker => Self::Speaker,
        }
    }
}

impl From<AudioDestination> for Destination {
    fn from(destination: AudioDestination) -> Self {
        match destination {
            AudioDestination::Microphone => Self::Microphone,
            AudioDestination::Speaker => Self::Speaker,
        }
    }
}

#[cfg(test)]
mod tests;
