//! The life cycle of the streams: which there are, and who watches.

use std::time::SystemTime;

use super::{Refusal, RefusalKind, StreamId, StreamMode, StreamSpec, StreamStatus};

/// The streams, in the order in which they were started.
///
/// ```
/// use std::time::SystemTime;
///
/// use crosspoint_router::control::{StreamId, StreamMode, StreamSpec, Streams};
///
/// let mut streams = Streams::new(true);
/// let spec = StreamSpec { id: StreamId::default(), mode: StreamMode::Socket, framerate: 30, video: true };
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
    /// When its id is in use, its rate is outside 1…60, or it needs a picture and there is no display.
    pub fn start(&mut self, spec: StreamSpec, now: SystemTime) -> Result<StreamStatus, Refusal> {
        if !(1..=60).contains(&spec.framerate) {
            return Err(Refusal::new(RefusalKind::Bad, format!("framerate is 1 to 60, not {}", spec.framerate)));
        }
        if self.find(&spec.id).is_some() {
            let message = format!("a stream with the id {} runs already: stop it first or choose another id", spec.id);
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        if spec.video && !self.has_display {
            let message = "no display is configured: start crosspoint with --display or set DISPLAY, or ask for \"video\": false";
            return Err(Refusal::new(RefusalKind::Unavailable, message));
        }
        let stream = Stream { spec, viewers: 0, started_at: now, last_error: None };
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

    /// Lets a viewer of the WebSocket in.
    ///
    /// # Errors
    /// When there is no such stream, or it is not for the WebSocket.
    pub fn may_view(&self, id: &StreamId) -> Result<(), Refusal> {
        match self.find(id).ok_or_else(|| missing(id))?.spec.mode {
            StreamMode::Socket => Ok(()),
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
        }
    }
}

fn missing(id: &StreamId) -> Refusal {
    Refusal::new(RefusalKind::Missing, format!("no stream with the id {id} runs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn spec(id: &str) -> StreamSpec {
        StreamSpec { id: id.parse().unwrap(), mode: StreamMode::Socket, framerate: 30, video: true }
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
    fn picture_needs_a_display_and_sound_does_not() {
        let mut streams = Streams::new(false);
        assert_eq!(streams.start(spec("seen"), NOW).unwrap_err().kind, RefusalKind::Unavailable);
        streams.start(StreamSpec { video: false, ..spec("heard") }, NOW).unwrap();
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
        assert_eq!(streams.may_view(&id).unwrap_err().kind, RefusalKind::Missing);
        streams.start(spec("default"), NOW).unwrap();
        assert!(streams.may_view(&id).is_ok());
    }
}
