//! The life cycle of the virtual inputs: what is configured, and whether it runs.

use std::time::SystemTime;

use crosspoint_ffi::VideoFormat;

use super::{AudioSource, InputSpec, InputState, InputStats, InputStatus, Refusal, RefusalKind, VideoInput, VideoSource};

/// The virtual inputs as one state machine.
///
/// A configure describes the whole input, so there is at most one at a time. What a call means for the media behind it is its answer:
/// the caller acts on the [`InputChange`], this type only remembers.
///
/// ```
/// use std::time::SystemTime;
///
/// use crosspoint_ffi::VideoFormat;
/// use crosspoint_router::control::{InputSpec, InputState, Inputs, VideoInput, VideoSource};
///
/// let mut inputs = Inputs::new(VideoFormat::new(1280, 720, 30).expect("even and in range"));
/// assert!(inputs.pause().is_err(), "nothing is configured");
///
/// let video = VideoInput { source: VideoSource::Socket, width: Some(640), height: Some(360), frame_rate: None };
/// let spec = InputSpec { video: Some(video), audio: None, start_paused: false };
/// let change = inputs.configure(spec, SystemTime::UNIX_EPOCH)?;
/// assert_eq!(change.canvas, VideoFormat::new(640, 360, 30));
/// assert_eq!(inputs.state(), InputState::Running);
/// # Ok::<(), crosspoint_router::control::Refusal>(())
/// ```
#[derive(Debug)]
pub struct Inputs {
    canvas: VideoFormat,
    session: Option<Session>,
    last_error: Option<String>,
}

/// What a configure or a stop means for the media that runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InputChange {
    /// The canvas to switch the camera to, when it is another one.
    pub canvas: Option<VideoFormat>,
    /// What becomes of the picture's publisher.
    pub video: TrackChange,
    /// What becomes of the sound's publisher.
    pub audio: TrackChange,
}

/// What becomes of one track's publisher.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TrackChange {
    /// The same type and format as before, or off as before: whoever publishes stays.
    Kept,
    /// Another source, or none: whoever publishes is closed.
    Replaced,
}

#[derive(Debug)]
struct Session {
    spec: InputSpec,
    paused: bool,
    /// Whether everything that it fetched has come to its end.
    ended: bool,
    started_at: SystemTime,
}

impl Inputs {
    /// Makes idle inputs whose camera shows `canvas`.
    #[must_use]
    pub fn new(canvas: VideoFormat) -> Self {
        Self { canvas, session: None, last_error: None }
    }

    /// Makes `spec` the whole input, or leaves everything as it was.
    ///
    /// # Errors
    /// When `spec` names neither picture nor sound, a canvas that no camera can have, or the sound of a picture's socket without one.
    pub fn configure(&mut self, spec: InputSpec, now: SystemTime) -> Result<InputChange, Refusal> {
        let canvas = self.check(&spec)?;
        let before = self.session.take().map(|session| session.spec);
        let change = InputChange {
            canvas: (canvas != self.canvas).then_some(canvas),
            video: TrackChange::between(video_source(before.as_ref()), video_source(Some(&spec))),
            audio: TrackChange::between(audio_source(before.as_ref()), audio_source(Some(&spec))),
        };
        self.canvas = canvas;
        self.last_error = None;
        self.session = Some(Session { paused: spec.start_paused, ended: false, spec, started_at: now });
        Ok(change)
    }

    /// Goes black and silent; says whether it was live until now.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn pause(&mut self) -> Result<bool, Refusal> {
        self.set_paused(true)
    }

    /// Goes live; says whether it was paused until now.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn resume(&mut self) -> Result<bool, Refusal> {
        self.set_paused(false)
    }

    /// Forgets what was configured. The canvas stays: the camera that shows it does, too.
    pub fn stop(&mut self) -> InputChange {
        let before = self.session.take().map(|session| session.spec);
        self.last_error = None;
        InputChange {
            canvas: None,
            video: TrackChange::between(video_source(before.as_ref()), None),
            audio: TrackChange::between(audio_source(before.as_ref()), None),
        }
    }

    /// Remembers the newest trouble, or that it has gone away.
    pub fn set_last_error(&mut self, trouble: Option<String>) {
        self.last_error = trouble;
    }

    /// Remembers whether all that is configured has come to its end, or that it goes on after all.
    pub fn set_ended(&mut self, ended: bool) {
        if let Some(session) = &mut self.session {
            session.ended = ended;
        }
    }

    /// Checks `spec` without touching anything, and says which canvas it asks for.
    ///
    /// # Errors
    /// As [`Inputs::configure`].
    pub fn check(&self, spec: &InputSpec) -> Result<VideoFormat, Refusal> {
        if spec.video.is_none() && spec.audio.is_none() {
            return Err(Refusal::new(RefusalKind::Bad, "nothing to configure: give video, audio or both"));
        }
        let has_socket = spec.video.as_ref().is_some_and(|video| video.source == VideoSource::Socket);
        if spec.has_sound_of_video() && !has_socket {
            let message = "audio of a socket in the format mpegts is the sound of the video's: configure video as socket, too";
            return Err(Refusal::new(RefusalKind::Bad, message));
        }
        spec.video.as_ref().map_or(Ok(self.canvas), |video| canvas_of(video, self.canvas))
    }

    /// Lets a publisher of the picture in.
    ///
    /// # Errors
    /// When the picture is not configured as socket.
    pub fn may_publish_video(&self) -> Result<(), Refusal> {
        match video_source(self.spec()) {
            Some(VideoSource::Socket) => Ok(()),
            Some(VideoSource::Pulled(_) | VideoSource::Webrtc) | None => Err(Refusal::new(
                RefusalKind::Conflict,
                "video is not configured as socket: configure {\"video\":{\"type\":\"socket\"}} first",
            )),
        }
    }

    /// Lets a publisher of the sound in.
    ///
    /// # Errors
    /// When the sound is not configured as socket.
    pub fn may_publish_audio(&self) -> Result<(), Refusal> {
        match audio_source(self.spec()) {
            Some(AudioSource::Socket) => Ok(()),
            Some(AudioSource::SocketOfVideo) => Err(Refusal::new(
                RefusalKind::Conflict,
                "audio is configured in the format mpegts: send it with the picture, or configure {\"audio\":{\"type\":\"socket\"}}",
            )),
            Some(AudioSource::Pulled(_) | AudioSource::Webrtc) | None => Err(Refusal::new(
                RefusalKind::Conflict,
                "audio is not configured as socket: configure {\"audio\":{\"type\":\"socket\"}} first",
            )),
        }
    }

    /// Which of the tracks that a WebRTC peer offers, picture and sound, it may publish.
    ///
    /// # Errors
    /// When none of them is configured as webrtc.
    pub fn may_publish_webrtc(&self, video: bool, audio: bool) -> Result<(bool, bool), Refusal> {
        let configured = self.spec().map(InputSpec::webrtc_tracks).unwrap_or_default();
        match (configured, (configured.0 && video, configured.1 && audio)) {
            ((false, false), _) => Err(Refusal::new(
                RefusalKind::Conflict,
                "neither track is configured as webrtc: configure {\"video\":{\"type\":\"webrtc\"}}, audio or both first",
            )),
            (_, (false, false)) => Err(Refusal::new(
                RefusalKind::Conflict,
                "the offer sends nothing that is configured as webrtc: offer that track or configure it",
            )),
            (_, tracks) => Ok(tracks),
        }
    }

    /// Lets a viewer of the feed in.
    ///
    /// # Errors
    /// When there is no video input.
    pub fn may_watch_feed(&self) -> Result<(), Refusal> {
        match video_source(self.spec()) {
            Some(_) => Ok(()),
            None => Err(Refusal::new(RefusalKind::Conflict, "there is no video input to show: configure one first")),
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn state(&self) -> InputState {
        match &self.session {
            None => InputState::Idle,
            Some(session) if session.ended => InputState::Idle,
            Some(session) if session.paused => InputState::Paused,
            Some(_) => InputState::Running,
        }
    }

    /// What is configured; nothing before the first configure and after a stop.
    #[must_use]
    pub fn spec(&self) -> Option<&InputSpec> {
        self.session.as_ref().map(|session| &session.spec)
    }

    /// What the camera shows.
    #[must_use]
    pub fn canvas(&self) -> VideoFormat {
        self.canvas
    }

    /// The inputs at this moment, with the counters that the media side kept.
    #[must_use]
    pub fn status(&self, stats: InputStats) -> InputStatus {
        InputStatus {
            state: self.state(),
            spec: self.spec().cloned(),
            canvas: self.canvas,
            started_at: self.session.as_ref().map(|session| session.started_at),
            last_error: self.last_error.clone(),
            stats,
        }
    }

    fn set_paused(&mut self, paused: bool) -> Result<bool, Refusal> {
        let Some(session) = &mut self.session else {
            return Err(Refusal::new(RefusalKind::Bad, "nothing is configured: configure first"));
        };
        Ok(std::mem::replace(&mut session.paused, paused) != paused)
    }
}

impl TrackChange {
    fn between<T: PartialEq>(before: Option<&T>, after: Option<&T>) -> Self {
        if before == after { Self::Kept } else { Self::Replaced }
    }
}

fn video_source(spec: Option<&InputSpec>) -> Option<&VideoSource> {
    spec?.video.as_ref().map(|video| &video.source)
}

fn audio_source(spec: Option<&InputSpec>) -> Option<&AudioSource> {
    spec?.audio.as_ref().map(|audio| &audio.source)
}

fn canvas_of(video: &VideoInput, present: VideoFormat) -> Result<VideoFormat, Refusal> {
    let width = video.width.unwrap_or_else(|| present.width());
    let height = video.height.unwrap_or_else(|| present.height());
    let frame_rate = video.frame_rate.unwrap_or_else(|| present.frame_rate());
    VideoFormat::new(width, height, frame_rate).ok_or_else(|| {
        let asked = format!("video of {width}x{height} at {frame_rate} cannot be shown");
        Refusal::new(RefusalKind::Bad, format!("{asked}: width is even and 16 to 3840, height even and 16 to 2160, frame_rate 1 to 60"))
    })
}

#[cfg(test)]
mod tests;
