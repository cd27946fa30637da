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
    /// When `spec` names neither picture nor sound, or a canvas that no camera can have.
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
        self.session = Some(Session { paused: spec.start_paused, spec, started_at: now });
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

    /// Checks `spec` without touching anything, and says which canvas it asks for.
    ///
    /// # Errors
    /// As [`Inputs::configure`].
    pub fn check(&self, spec: &InputSpec) -> Result<VideoFormat, Refusal> {
        if spec.video.is_none() && spec.audio.is_none() {
            return Err(Refusal::new(RefusalKind::Bad, "nothing to configure: give video, audio or both"));
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
            None => Err(Refusal::new(
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
            None => Err(Refusal::new(
                RefusalKind::Conflict,
                "audio is not configured as socket: configure {\"audio\":{\"type\":\"socket\"}} first",
            )),
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn state(&self) -> InputState {
        match &self.session {
            None => InputState::Idle,
            Some(session) if session.paused => InputState::Paused,
            Some(_) => InputState::Running,
        }
    }

    /// What is configured; nothing when idle.
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::{AudioDestination, AudioInput};

    fn inputs() -> Inputs {
        Inputs::new(VideoFormat::new(1280, 720, 30).unwrap())
    }

    fn video(width: Option<u32>, height: Option<u32>, frame_rate: Option<u32>) -> Option<VideoInput> {
        Some(VideoInput { source: VideoSource::Socket, width, height, frame_rate })
    }

    fn audio(destination: AudioDestination) -> Option<AudioInput> {
        Some(AudioInput { source: AudioSource::Socket, destination })
    }

    fn spec(video: Option<VideoInput>, audio: Option<AudioInput>) -> InputSpec {
        InputSpec { video, audio, start_paused: false }
    }

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn refused_configure_leaves_the_session_as_it_was() {
        let mut inputs = inputs();
        inputs.configure(spec(video(Some(640), Some(360), None), None), START).unwrap();
        let before = inputs.status(InputStats::default());

        let later = START + Duration::from_secs(1);
        for bad in [
            spec(None, None),
            spec(video(Some(641), None, None), None),
            spec(video(None, None, Some(61)), audio(AudioDestination::Speaker)),
        ] {
            let refusal = inputs.configure(bad, later).unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::Bad);
            assert_eq!(inputs.status(InputStats::default()), before);
        }
    }

    #[test]
    fn absent_sides_come_from_the_present_canvas() {
        let cases = [
            (video(None, None, None), None),
            (video(Some(640), None, None), VideoFormat::new(640, 720, 30)),
            (video(Some(640), Some(360), Some(15)), VideoFormat::new(640, 360, 15)),
            (video(Some(1280), Some(720), Some(30)), None),
        ];
        for (video, canvas) in cases {
            let mut inputs = inputs();
            assert_eq!(inputs.configure(spec(video, None), START).unwrap().canvas, canvas);
        }
    }

    #[test]
    fn same_type_keeps_its_publisher() {
        let mut inputs = inputs();
        let first = inputs.configure(spec(video(None, None, None), None), START).unwrap();
        assert_eq!((first.video, first.audio), (TrackChange::Replaced, TrackChange::Kept));

        let resized = inputs.configure(spec(video(Some(640), None, None), audio(AudioDestination::Microphone)), START).unwrap();
        assert_eq!((resized.video, resized.audio), (TrackChange::Kept, TrackChange::Replaced));

        let without = inputs.configure(spec(None, audio(AudioDestination::Microphone)), START).unwrap();
        assert_eq!((without.video, without.audio), (TrackChange::Replaced, TrackChange::Kept));
    }

    #[test]
    fn other_destination_keeps_the_sounds_publisher() {
        let mut inputs = inputs();
        inputs.configure(spec(None, audio(AudioDestination::Microphone)), START).unwrap();
        let change = inputs.configure(spec(None, audio(AudioDestination::Speaker)), START).unwrap();
        assert_eq!(change.audio, TrackChange::Kept);
    }

    #[test]
    fn pause_and_resume_are_idempotent_and_need_a_session() {
        let mut inputs = inputs();
        assert_eq!(inputs.pause().unwrap_err().kind, RefusalKind::Bad);
        assert_eq!(inputs.resume().unwrap_err().kind, RefusalKind::Bad);

        inputs.configure(InputSpec { start_paused: true, ..spec(None, audio(AudioDestination::Speaker)) }, START).unwrap();
        assert_eq!(inputs.state(), InputState::Paused);
        assert_eq!((inputs.pause().unwrap(), inputs.state()), (false, InputState::Paused));
        assert_eq!((inputs.resume().unwrap(), inputs.state()), (true, InputState::Running));
        assert_eq!((inputs.resume().unwrap(), inputs.state()), (false, InputState::Running));
    }

    #[test]
    fn stop_always_works_and_closes_what_published() {
        let mut inputs = inputs();
        assert_eq!(inputs.stop().video, TrackChange::Kept);

        inputs.configure(spec(video(Some(640), Some(360), None), audio(AudioDestination::Speaker)), START).unwrap();
        inputs.set_last_error(Some("the publisher vanished".to_owned()));
        let change = inputs.stop();
        assert_eq!((change.video, change.audio), (TrackChange::Replaced, TrackChange::Replaced));
        let status = inputs.status(InputStats::default());
        assert_eq!((status.state, status.spec, status.started_at, status.last_error), (InputState::Idle, None, None, None));
        assert_eq!(Some(status.canvas), VideoFormat::new(640, 360, 30), "the camera goes on with its canvas");
    }

    #[test]
    fn publishers_need_their_track_configured() {
        let mut inputs = inputs();
        let answers = |inputs: &Inputs| (inputs.may_publish_video().is_ok(), inputs.may_publish_audio().is_ok());
        assert_eq!(answers(&inputs), (false, false));
        inputs.configure(spec(video(None, None, None), None), START).unwrap();
        assert_eq!(answers(&inputs), (true, false));
        inputs.configure(spec(None, audio(AudioDestination::Microphone)), START).unwrap();
        assert_eq!(answers(&inputs), (false, true));
        inputs.stop();
        assert_eq!(inputs.may_publish_video().unwrap_err().kind, RefusalKind::Conflict);
    }
}
