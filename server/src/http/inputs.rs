//! The calls of the virtual inputs.

use crosspoint_router::control::{
    AudioDestination, AudioInput, AudioSource, BadLocation, InputSpec, InputState, InputStatus, Location, Pulled, VideoInput, VideoSource,
};

use super::api::{
    AudioRequest, AudioStatus, ConfigureRequest, Ingest, IngestTrack, Latency, Stats, VideoRequest, VideoStatus, VirtualInputsStatus,
};
use super::failure::Failure;
use super::time::rfc3339;
use crate::config::CameraChoice;

/// What a configure asks for.
pub(super) fn spec(request: Option<ConfigureRequest>) -> Result<InputSpec, Failure> {
    let request = request.ok_or_else(|| Failure::bad("the body is empty: give video, audio or both"))?;
    let video = request.video.as_ref().map(video_source).transpose()?;
    let audio = request.audio.as_ref().map(audio_source).transpose()?;
    let destination = request.audio.as_ref().map_or(Ok(AudioDestination::default()), destination)?;
    let video = video.zip(request.video).map(|(source, asked)| {
        let VideoRequest { width, height, frame_rate, .. } = asked;
        VideoInput { source, width, height, frame_rate }
    });
    let audio = audio.map(|source| AudioInput { source, destination });
    Ok(InputSpec { video, audio, start_paused: request.start_paused.unwrap_or(false) })
}

/// The status as the specification writes it; `authority` is what the caller reached us by.
pub(super) fn status(status: InputStatus, authority: &str, camera: &CameraChoice) -> VirtualInputsStatus {
    let spec = status.spec.as_ref();
    let (video, audio) = (spec.and_then(|spec| spec.video.as_ref()), spec.and_then(|spec| spec.audio.as_ref()));
    let socket = |track| format!("ws://{authority}/input/devices/virtual/socket/{track}");
    let offer = || format!("http://{authority}/input/devices/virtual/webrtc/offer");
    let ingest = spec.map(|_| Ingest {
        video: video.map(|video| {
            let (protocol, format) = video_names(&video.source);
            let url = match &video.source {
                VideoSource::Pulled(pulled) => pulled.location.to_string(),
                VideoSource::Socket => socket("video"),
                VideoSource::Webrtc => offer(),
            };
            IngestTrack { protocol, format, destination: None, url }
        }),
        audio: audio.map(|audio| {
            let (protocol, format) = audio_names(&audio.source);
            let url = match &audio.source {
                AudioSource::Pulled(pulled) => pulled.location.to_string(),
                AudioSource::Socket => socket("audio"),
                AudioSource::SocketOfVideo => socket("video"),
                AudioSource::Webrtc => offer(),
            };
            IngestTrack { protocol, format, destination: Some(destination_name(audio.destination)), url }
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
        mode: match camera {
            CameraChoice::Auto | CameraChoice::File(_) | CameraChoice::Off => "virtual-file",
            CameraChoice::V4l2(_) => "device",
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
            AudioStatus { kind, format, destination: destination_name(audio.destination) }
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

fn video_source(request: &VideoRequest) -> Result<VideoSource, Failure> {
    let format = request.format.as_deref().map(str::to_ascii_lowercase);
    let pulled = |locate| pulled("video", request.url.as_deref(), request.repeat, locate).map(VideoSource::Pulled);
    match (track_type(request.kind.as_deref(), "video")?, format.as_deref()) {
        (TrackType::File, _) => pulled(Location::file),
        (TrackType::Socket, None | Some("mpegts")) => Ok(VideoSource::Socket),
        (TrackType::Socket, Some(_)) => Err(Failure::bad("video.format of a socket is mpegts")),
        (TrackType::Stream, _) => pulled(Location::stream),
        (TrackType::WebRtc, None | Some("ivf")) => Ok(VideoSource::Webrtc),
        (TrackType::WebRtc, Some(_)) => Err(Failure::bad("video.format of webrtc is ivf")),
    }
}

fn audio_source(request: &AudioRequest) -> Result<AudioSource, Failure> {
    let format = request.format.as_deref().map(str::to_ascii_lowercase);
    let pulled = |locate| pulled("audio", request.url.as_deref(), request.repeat, locate).map(AudioSource::Pulled);
    match (track_type(request.kind.as_deref(), "audio")?, format.as_deref()) {
        (TrackType::File, _) => pulled(Location::file),
        (TrackType::Socket, None | Some("mp3")) => Ok(AudioSource::Socket),
        (TrackType::Socket, Some("mpegts")) => Ok(AudioSource::SocketOfVideo),
        (TrackType::Socket, Some(_)) => Err(Failure::bad("audio.format of a socket is mp3 or mpegts")),
        (TrackType::Stream, _) => pulled(Location::stream),
        (TrackType::WebRtc, None | Some("opus" | "ogg")) => Ok(AudioSource::Webrtc),
        (TrackType::WebRtc, Some(_)) => Err(Failure::bad("audio.format of webrtc is opus")),
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

fn video_names(source: &VideoSource) -> (&'static str, Option<&'static str>) {
    match source {
        VideoSource::Pulled(pulled) => (pulled_name(pulled), None),
        VideoSource::Socket => ("socket", Some("mpegts")),
        VideoSource::Webrtc => ("webrtc", Some("ivf")),
    }
}

fn audio_names(source: &AudioSource) -> (&'static str, Option<&'static str>) {
    match source {
        AudioSource::Pulled(pulled) => (pulled_name(pulled), None),
        AudioSource::Socket => ("socket", Some("mp3")),
        AudioSource::SocketOfVideo => ("socket", Some("mpegts")),
        AudioSource::Webrtc => ("webrtc", Some("opus")),
    }
}

fn pulled_name(pulled: &Pulled) -> &'static str {
    match pulled.location {
        Location::File { .. } => "file",
        Location::Stream(_) => "stream",
    }
}

/// `VirtualInputType`
enum TrackType {
    File,
    Socket,
    Stream,
    WebRtc,
}

fn track_type(kind: Option<&str>, track: &str) -> Result<TrackType, Failure> {
    match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("file") => Ok(TrackType::File),
        Some("socket") => Ok(TrackType::Socket),
        Some("stream") => Ok(TrackType::Stream),
        Some("webrtc") => Ok(TrackType::WebRtc),
        Some(_) => Err(Failure::bad(format!("{track}.type is unknown: it is socket, webrtc, stream or file"))),
        None => Err(Failure::bad(format!("{track}.type is missing: it is socket, webrtc, stream or file"))),
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
