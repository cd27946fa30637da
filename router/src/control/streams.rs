//! The life cycle of the streams: which there are, and who watches.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::{Refusal, RefusalKind, StreamId, StreamMode, StreamSpec, StreamStatus};

/// The streams, in the order in which they were started.
///
/// ```
/// use std::time::SystemTime;
///
/// use crosspoint_router::control::{StreamCodec, StreamId, StreamMode, StreamSpec, Streams};
///
/// let mut streams = Streams::new(true);
/// let spec = StreamSpec { id: StreamId::default(), mode: StreamMode::Socket, framerate: 30, video: Some(StreamCodec::H264), target: None };
/// streams.start(spec.clone(), SystemTime::UNIX_EPOCH)?;
/// assert!(streams.start(spec, SystemTime::UNIX_EPOCH).is_err(), "the id is in use");
/// streams.stop(None)?;
/// assert!(streams.list().is_empty());
/// # Ok::<(), crosspoint_router::control::Refusal>(())
/// ```
#[derive(Debug)]
pub struct Streams {
    has_display: bool,
    running: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    spec: StreamSpec,
    viewers: u32,
    started_at: SystemTime,
    last_error: Option<String>,
    reconnects: u64,
}

impl Streams {
    /// Makes an empty list. Without a display at all no stream can have a picture.
    #[must_use]
    pub fn new(has_display: bool) -> Self {
        Self { has_display, running: Vec::new() }
    }

    /// Starts a stream.
    ///
    /// # Errors
    /// When its id is in use, its rate is outside 1…60 or one too many beside those of other streams, or it needs a picture and there is
    /// no display.
    pub fn start(&mut self, spec: StreamSpec, now: SystemTime) -> Result<StreamStatus, Refusal> {
        if !(1..=60).contains(&spec.framerate) {
            return Err(Refusal::new(RefusalKind::Bad, format!("framerate is 1 to 60, not {}", spec.framerate)));
        }
        if (spec.mode == StreamMode::Remote) != spec.target.is_some() {
            return Err(Refusal::new(RefusalKind::Bad, "target_url goes with the mode remote, and the mode remote needs it"));
        }
        if self.find(&spec.id).is_some() {
            let message = format!("a stream with the id {} runs already: stop it first or choose another id", spec.id);
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        if spec.video.is_some() && !self.has_display {
            let message = "no display is configured: start crosspoint with --display or set DISPLAY, or ask for \"video\": false";
            return Err(Refusal::new(RefusalKind::Unavailable, message));
        }
        if spec.video.is_some() && self.rates_beside(spec.framerate) >= MOST_RATES {
            let message = format!("the screen is encoded at {MOST_RATES} frame rates already: ask for one of those, or stop a stream");
            return Err(Refusal::new(RefusalKind::Unavailable, message));
        }
        let stream = Stream { spec, viewers: 0, started_at: now, last_error: None, reconnects: 0 };
        let status = stream.status();
        self.running.push(stream);
        Ok(status)
    }

    /// Stops the stream with this id; without an id the one called `default`, or the only one there is.
    ///
    /// # Errors
    /// When there is no such stream, or which one is meant cannot be known.
    pub fn stop(&mut self, id: Option<&StreamId>) -> Result<StreamStatus, Refusal> {
        let index = match id {
            Some(id) => self.running.iter().position(|stream| stream.spec.id == *id).ok_or_else(|| missing(id))?,
            None => self.implied()?,
        };
        Ok(self.running.remove(index).status())
    }

    /// Lets a viewer in that watches streams of `mode`.
    ///
    /// # Errors
    /// When there is no such stream, or it is of another mode.
    pub fn may_view(&self, id: &StreamId, mode: StreamMode) -> Result<(), Refusal> {
        let has = self.find(id).ok_or_else(|| missing(id))?.spec.mode;
        if has == mode {
            return Ok(());
        }
        let message = format!("the stream {id} has the mode {}, not {}", has.name(), mode.name());
        Err(Refusal::new(RefusalKind::Conflict, message))
    }

    /// Which stream of `mode` a viewer means that names none: `default`, or the only one of the mode.
    ///
    /// # Errors
    /// When there is none, or which one is meant cannot be known.
    pub fn implied_of(&self, mode: StreamMode) -> Result<StreamId, Refusal> {
        let default = StreamId::default();
        if self.find(&default).is_some() {
            return Ok(default);
        }
        let mut ids = self.running.iter().filter(|stream| stream.spec.mode == mode).map(|stream| &stream.spec.id);
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id.clone()),
            (None, _) => Err(Refusal::new(RefusalKind::Missing, format!("no stream of the mode {} runs", mode.name()))),
            (Some(_), Some(_)) => Err(Refusal::new(
                RefusalKind::Missing,
                format!("no stream is called default and several of the mode {} run: give an id", mode.name()),
            )),
        }
    }

    /// Counts a viewer in; says whether there is such a stream.
    pub fn join(&mut self, id: &StreamId) -> bool {
        let stream = self.find_mut(id);
        stream.map(|stream| stream.viewers += 1).is_some()
    }

    /// Counts a viewer out. A stream that was stopped meanwhile is nothing to count.
    pub fn leave(&mut self, id: &StreamId) {
        if let Some(stream) = self.find_mut(id) {
            stream.viewers = stream.viewers.saturating_sub(1);
        }
    }

    /// Remembers a stream's newest trouble, or that it has gone away.
    pub fn set_last_error(&mut self, id: &StreamId, trouble: Option<String>) {
        if let Some(stream) = self.find_mut(id) {
            stream.last_error = trouble;
        }
    }

    /// Remembers how often a push began anew.
    pub fn set_reconnects(&mut self, id: &StreamId, reconnects: u64) {
        if let Some(stream) = self.find_mut(id) {
            stream.reconnects = reconnects;
        }
    }

    /// What a stream was started with.
    #[must_use]
    pub fn spec(&self, id: &StreamId) -> Option<&StreamSpec> {
        self.find(id).map(|stream| &stream.spec)
    }

    /// Every stream at this moment.
    #[must_use]
    pub fn list(&self) -> Vec<StreamStatus> {
        self.running.iter().map(Stream::status).collect()
    }

    /// How many frame rates other than this one the running streams have.
    fn rates_beside(&self, framerate: u32) -> usize {
        let pictures = self.running.iter().filter(|stream| stream.spec.video.is_some());
        let rates: BTreeSet<u32> = pictures.map(|stream| stream.spec.framerate).filter(|&rate| rate != framerate).collect();
        rates.len()
    }

    fn find(&self, id: &StreamId) -> Option<&Stream> {
        self.running.iter().find(|stream| stream.spec.id == *id)
    }

    fn find_mut(&mut self, id: &StreamId) -> Option<&mut Stream> {
        self.running.iter_mut().find(|stream| stream.spec.id == *id)
    }

    fn implied(&self) -> Result<usize, Refusal> {
        let default = StreamId::default();
        if let Some(index) = self.running.iter().position(|stream| stream.spec.id == default) {
            return Ok(index);
        }
        match self.running.len() {
            0 => Err(Refusal::new(RefusalKind::Missing, "no stream runs")),
            1 => Ok(0),
            _ => Err(Refusal::new(RefusalKind::Missing, "no stream is called default and several run: give an id")),
        }
    }
}

impl Stream {
    fn status(&self) -> StreamStatus {
        StreamStatus {
            id: self.spec.id.clone(),
            mode: self.spec.mode,
            framerate: self.spec.framerate,
            is_streaming: self.last_error.is_none(),
            viewers: self.viewers,
            started_at: self.started_at,
            last_error: self.last_error.clone(),
            target: self.spec.target.clone(),
            reconnects: self.reconnects,
        }
    }
}

fn missing(id: &StreamId) -> Refusal {
    Refusal::new(RefusalKind::Missing, format!("no stream with the id {id} runs"))
}

/// Each frame rate is a capture schedule and an encoder of its own.
const MOST_RATES: usize = 3;

#[cfg(test)]
mod tests {
    use super::super::StreamCodec;
    use super::*;
    use crate::wire::rtmp::TargetUrl;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn spec(id: &str) -> StreamSpec {
        StreamSpec { id: id.parse().unwrap(), mode: StreamMode::Socket, framerate: 30, video: Some(StreamCodec::H264), target: None }
    }

    fn ids(streams: &Streams) -> Vec<String> {
        streams.list().iter().map(|stream| stream.id.to_string()).collect()
    }

    #[test]
    fn refused_starts_leave_the_list_as_it_was() {
        let mut streams = Streams::new(true);
        streams.start(spec("one"), NOW).unwrap();
        let cases = [
            (spec("one"), RefusalKind::Conflict),
            (StreamSpec { framerate: 0, ..spec("two") }, RefusalKind::Bad),
            (StreamSpec { framerate: 61, ..spec("two") }, RefusalKind::Bad),
        ];
        for (spec, kind) in cases {
            assert_eq!(streams.start(spec, NOW).unwrap_err().kind, kind);
            assert_eq!(ids(&streams), ["one"]);
        }
    }

    #[test]
    fn what_is_pushed_has_a_target_and_nothing_else_has() {
        let mut streams = Streams::new(true);
        let target = TargetUrl::parse("rtmp://host/app/key").ok();
        for (mode, target, good) in [
            (StreamMode::Remote, target.clone(), true),
            (StreamMode::Remote, None, false),
            (StreamMode::Internal, target, false),
            (StreamMode::Internal, None, true),
        ] {
            let id = format!("{}-{good}", mode.name());
            assert_eq!(streams.start(StreamSpec { mode, target, ..spec(&id) }, NOW).is_ok(), good, "{id}");
        }
        streams.set_reconnects(&"remote-true".parse().unwrap(), 3);
        assert_eq!(streams.list().iter().map(|stream| stream.reconnects).collect::<Vec<_>>(), [3, 0]);
    }

    #[test]
    fn picture_needs_a_display_and_sound_does_not() {
        let mut streams = Streams::new(false);
        assert_eq!(streams.start(spec("seen"), NOW).unwrap_err().kind, RefusalKind::Unavailable);
        streams.start(StreamSpec { video: None, ..spec("heard") }, NOW).unwrap();
        assert_eq!(ids(&streams), ["heard"]);
    }

    #[test]
    fn stop_without_id_means_default_or_the_only_one() {
        let mut streams = Streams::new(true);
        assert_eq!(streams.stop(None).unwrap_err().kind, RefusalKind::Missing);

        streams.start(spec("only"), NOW).unwrap();
        assert_eq!(streams.stop(None).unwrap().id.as_str(), "only");

        for id in ["a", "default", "b"] {
            streams.start(spec(id), NOW).unwrap();
        }
        assert_eq!(streams.stop(None).unwrap().id.as_str(), "default");
        assert_eq!(streams.stop(None).unwrap_err().kind, RefusalKind::Missing, "two run and neither is default");
        assert_eq!(ids(&streams), ["a", "b"]);

        let gone: StreamId = "gone".parse().unwrap();
        assert_eq!(streams.stop(Some(&gone)).unwrap_err().kind, RefusalKind::Missing);
    }

    #[test]
    fn viewers_are_counted_per_stream() {
        let mut streams = Streams::new(true);
        let (one, gone) = ("one".parse().unwrap(), "gone".parse().unwrap());
        streams.start(spec("one"), NOW).unwrap();
        assert!(streams.join(&one) && streams.join(&one));
        assert!(!streams.join(&gone));
        streams.leave(&one);
        streams.leave(&gone);
        assert_eq!(streams.list()[0].viewers, 1);
    }

    #[test]
    fn trouble_shows_until_it_has_gone_away() {
        let mut streams = Streams::new(true);
        let id = StreamId::default();
        streams.start(spec("default"), NOW).unwrap();
        streams.set_last_error(&id, Some("the display is gone".to_owned()));
        assert_eq!((streams.list()[0].is_streaming, streams.list()[0].last_error.as_deref()), (false, Some("the display is gone")));
        streams.set_last_error(&id, None);
        assert_eq!((streams.list()[0].is_streaming, streams.list()[0].last_error.as_deref()), (true, None));
    }

    #[test]
    fn viewers_are_let_in_where_there_is_a_stream() {
        let mut streams = Streams::new(true);
        let id = StreamId::default();
        assert_eq!(streams.may_view(&id, StreamMode::Socket).unwrap_err().kind, RefusalKind::Missing);
        streams.start(spec("default"), NOW).unwrap();
        assert!(streams.may_view(&id, StreamMode::Socket).is_ok());
        assert_eq!(streams.may_view(&id, StreamMode::Webrtc).unwrap_err().kind, RefusalKind::Conflict);
    }

    #[test]
    fn three_frame_rates_are_encoded_and_a_fourth_is_refused() {
        let mut streams = Streams::new(true);
        let at = |framerate, id| StreamSpec { framerate, ..spec(id) };
        for (framerate, id) in [(15, "a"), (30, "b"), (60, "c"), (30, "d")] {
            streams.start(at(framerate, id), NOW).unwrap();
        }
        assert_eq!(streams.start(at(25, "e"), NOW).unwrap_err().kind, RefusalKind::Unavailable);
        streams.start(StreamSpec { video: None, ..at(25, "heard") }, NOW).unwrap();
        streams.start(at(60, "e"), NOW).unwrap();
        streams.stop(Some(&"a".parse().unwrap())).unwrap();
        streams.start(at(25, "f"), NOW).unwrap();
    }
}
