//! What a caller asks for, after validation: types that cannot be wrong.

use std::fmt;
use std::str::FromStr;

use super::Pulled;
use crate::wire::rtmp::TargetUrl;

/// A whole input as one configure describes it; what it does not name is off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InputSpec {
    /// The camera's source.
    pub video: Option<VideoInput>,
    /// The sound's source.
    pub audio: Option<AudioInput>,
    /// Whether it starts paused.
    pub start_paused: bool,
}

/// Where the camera's picture comes from, and the canvas it is drawn on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VideoInput {
    /// The source.
    pub source: VideoSource,
    /// The canvas width in pixels, or the present canvas's.
    pub width: Option<u32>,
    /// The canvas height in pixels, or the present canvas's.
    pub height: Option<u32>,
    /// The canvas rate in frames a second, or the present canvas's.
    pub frame_rate: Option<u32>,
}

/// A source of pictures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum VideoSource {
    /// A file or a stream that we fetch.
    Pulled(Pulled),
    /// MPEG-TS chunks on a WebSocket.
    Socket,
    /// A WebRTC peer.
    Webrtc,
}

/// Where the sound comes from and where it goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AudioInput {
    /// The source.
    pub source: AudioSource,
    /// The sink.
    pub destination: AudioDestination,
}

/// A source of sound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AudioSource {
    /// A file or a stream that we fetch.
    Pulled(Pulled),
    /// MP3 chunks on a WebSocket.
    Socket,
    /// The sound in the MPEG-TS of the picture's WebSocket.
    SocketOfVideo,
    /// A WebRTC peer.
    Webrtc,
}

impl InputSpec {
    /// What is fetched for the picture.
    #[must_use]
    pub fn pulled_video(&self) -> Option<&Pulled> {
        match &self.video.as_ref()?.source {
            VideoSource::Pulled(pulled) => Some(pulled),
            VideoSource::Socket | VideoSource::Webrtc => None,
        }
    }

    /// What is fetched for the sound.
    #[must_use]
    pub fn pulled_audio(&self) -> Option<&Pulled> {
        match &self.audio.as_ref()?.source {
            AudioSource::Pulled(pulled) => Some(pulled),
            AudioSource::Socket | AudioSource::SocketOfVideo | AudioSource::Webrtc => None,
        }
    }

    /// Whether a WebRTC peer brings the picture, and whether one brings the sound.
    #[must_use]
    pub fn webrtc_tracks(&self) -> (bool, bool) {
        let video = self.video.as_ref().is_some_and(|video| video.source == VideoSource::Webrtc);
        (video, self.audio.as_ref().is_some_and(|audio| audio.source == AudioSource::Webrtc))
    }

    /// Whether the picture's socket brings the sound, too.
    #[must_use]
    pub fn has_sound_of_video(&self) -> bool {
        self.audio.as_ref().is_some_and(|audio| audio.source == AudioSource::SocketOfVideo)
    }
}

/// The sink that an input's sound plays into.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AudioDestination {
    /// The sink `audio_input`, whose monitor is the browser's microphone.
    #[default]
    Microphone,
    /// The sink `audio_output`, the default sink.
    Speaker,
}

/// A stream's name: 1 to 64 of `A`–`Z`, `a`–`z`, `0`–`9`, `_`, `-`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId(String);

/// A text that is no [`StreamId`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("id must be 1 to 64 of A-Z, a-z, 0-9, _ and -")]
pub struct BadStreamId;

impl StreamId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for StreamId {
    /// The id of a stream that was given none: `default`.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for StreamId {
    type Err = BadStreamId;

    fn from_str(text: &str) -> Result<Self, BadStreamId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.to_owned())).ok_or(BadStreamId)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a stream start asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamSpec {
    /// Its name.
    pub id: StreamId,
    /// How viewers get it.
    pub mode: StreamMode,
    /// The frames a second of its picture, 1…60.
    pub framerate: u32,
    /// What its picture is compressed with; nothing when it is sound alone.
    pub video: Option<StreamCodec>,
    /// Where it is pushed to; that is, [`StreamMode::Remote`] has one and no other mode.
    pub target: Option<TargetUrl>,
}

/// How viewers get a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamMode {
    /// RTMP players of our own server.
    Internal,
    /// An RTMP server that it is pushed to.
    Remote,
    /// MPEG-TS on a WebSocket.
    Socket,
    /// WebRTC peers.
    Webrtc,
}

impl StreamMode {
    /// The mode as the API writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Remote => "remote",
            Self::Socket => "socket",
            Self::Webrtc => "webrtc",
        }
    }
}

/// What a stream's picture is compressed with.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum StreamCodec {
    /// H.264 of constrained baseline profile; sound is AAC, or Opus in WebRTC.
    #[default]
    H264,
    /// MPEG-1 video, for players like JSMpeg; sound is MP2.
    Mpeg1,
}
