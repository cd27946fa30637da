//! The sources that are fetched, from one configure to the next.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crosspoint_ffi::VideoFormat;
use crosspoint_router::control::{InputSpec, Location, Pulled, Refusal, RefusalKind};

use super::files;
use super::media::Media;
use crate::pull::{Pull, Slot, Slots};
use crate::worker::pull::{Origin, Wanted};

/// The sources that are fetched. What both tracks come from is fetched once.
pub(super) struct Pulls {
    media_root: PathBuf,
    slots: Slots,
    running: RefCell<Vec<Rc<Pull>>>,
}

/// What a configure means for the sources that are fetched; nothing has happened yet.
pub(super) struct Plan(Vec<(Wanted, Step)>);

enum Step {
    Keep(Rc<Pull>),
    Start(Pulled, Origin, Slot),
}

impl Pulls {
    pub(super) fn new(media_root: &Path) -> Self {
        Self { media_root: media_root.to_owned(), slots: Slots::new(), running: RefCell::default() }
    }

    /// Opens what `spec` names and finds places for its threads, touching nothing that runs. Waits for no network.
    ///
    /// # Errors
    /// When a file cannot be opened, or too many threads hang.
    pub(super) async fn plan(&self, spec: &InputSpec) -> Result<Plan, Refusal> {
        let mut steps = Vec::new();
        for (track, pulled, wanted) in wanted_sources(spec) {
            let origin = match &pulled.location {
                Location::File { path, .. } => Origin::File(self.open(track, path)?),
                Location::Stream(url) => Origin::Url(url.clone()),
            };
            let running = self.running.borrow();
            // One of which no track stays would be over, with nothing to do, before it had another.
            let goes_on = |pull: &&Rc<Pull>| pull.pulled() == pulled && pull.wanted().overlaps(wanted) && !pull.is_over();
            let kept = running.iter().find(goes_on);
            steps.push((wanted, kept.map_or(Err((pulled.clone(), origin)), |pull| Ok(Rc::clone(pull)))));
        }
        let starts = steps.iter().filter(|(_, step)| step.is_err()).count();
        let too_many = || {
            let message = format!("{} sources are being fetched or hang while they are let go: try again later", Slots::MOST);
            Refusal::new(RefusalKind::Unavailable, message)
        };
        let mut slots = self.slots.take(starts).await.ok_or_else(too_many)?.into_iter();
        let place = |(wanted, step): (Wanted, Result<Rc<Pull>, (Pulled, Origin)>)| match step {
            Ok(pull) => Some((wanted, Step::Keep(pull))),
            Err((pulled, origin)) => slots.next().map(|slot| (wanted, Step::Start(pulled, origin, slot))),
        };
        Ok(Plan(steps.into_iter().filter_map(place).collect()))
    }

    /// Lets go of what is not wanted any more. What goes on, goes on with the tracks that stay.
    pub(super) fn leave(&self, plan: &Plan) {
        let mut running = self.running.borrow_mut();
        running.retain(|pull| {
            let kept = plan.0.iter().find_map(|(wanted, step)| match step {
                Step::Keep(kept) if Rc::ptr_eq(kept, pull) => Some(wanted),
                Step::Keep(_) | Step::Start(..) => None,
            });
            let had = pull.wanted();
            if had.video && kept.is_some_and(|wanted| !wanted.video) {
                pull.show(None);
            }
            if had.audio && kept.is_some_and(|wanted| !wanted.audio) {
                pull.sound(None);
            }
            kept.is_some()
        });
    }

    /// Starts what is new, and sends the tracks that are new to where they go.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) async fn enter(&self, plan: Plan, media: &Media, canvas: VideoFormat, paused: bool) -> Result<(), Refusal> {
        for (wanted, step) in plan.0 {
            let had = match &step {
                Step::Keep(pull) => pull.wanted(),
                Step::Start(..) => Wanted { video: false, audio: false },
            };
            let eyes = if wanted.video && !had.video { Some(media.video_begins().await) } else { None };
            let ears = (wanted.audio && !had.audio).then(|| media.ears());
            match step {
                Step::Keep(pull) => {
                    if eyes.is_some() {
                        pull.show(eyes);
                    }
                    if ears.is_some() {
                        pull.sound(ears);
                    }
                    pull.pause(paused);
                }
                Step::Start(pulled, origin, slot) => {
                    let size = (canvas.width(), canvas.height());
                    let pull = Pull::start(pulled, origin, slot, size, media.tick(), (eyes, ears), paused);
                    let no_thread = |error| Refusal::new(RefusalKind::Unavailable, format!("starting a thread: {error}"));
                    self.running.borrow_mut().push(Rc::new(pull.map_err(no_thread)?));
                }
            }
        }
        Ok(())
    }

    /// Whether there are some, at work or over.
    pub(super) fn any(&self) -> bool {
        !self.running.borrow().is_empty()
    }

    /// Lets go of everything.
    pub(super) fn clear(&self) {
        self.running.take();
    }

    /// Holds what can be held, or lets it go on.
    pub(super) fn pause(&self, paused: bool) {
        self.running.borrow().iter().for_each(|pull| pull.pause(paused));
    }

    /// Whether all of `spec` was fetched and has come to its end.
    pub(super) fn are_over(&self, spec: &InputSpec) -> bool {
        let fetched = spec.video.is_some() == spec.pulled_video().is_some() && spec.audio.is_some() == spec.pulled_audio().is_some();
        let running = self.running.borrow();
        fetched && !running.is_empty() && running.iter().all(|pull| pull.is_over())
    }

    fn open(&self, track: &str, path: &Path) -> Result<std::fs::File, Refusal> {
        files::open(path, &self.media_root)
            .map_err(|reason| Refusal::new(RefusalKind::Bad, format!("{track}.url: {} cannot be opened: {reason}", path.display())))
    }
}

/// What `spec` wants fetched, each source once.
fn wanted_sources(spec: &InputSpec) -> Vec<(&'static str, &Pulled, Wanted)> {
    match (spec.pulled_video(), spec.pulled_audio()) {
        (Some(video), Some(audio)) if video == audio => vec![("video", video, Wanted { video: true, audio: true })],
        (video, audio) => {
            let video = video.map(|pulled| ("video", pulled, Wanted { video: true, audio: false }));
            let audio = audio.map(|pulled| ("audio", pulled, Wanted { video: false, audio: true }));
            video.into_iter().chain(audio).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use crosspoint_router::control::{AudioDestination, AudioInput, AudioSource, VideoInput, VideoSource};

    use super::*;
    use crate::runtime::Io;

    fn pulled(url: &str) -> Pulled {
        Pulled { location: Location::stream(url).or_else(|_| Location::file(url)).unwrap(), repeat: false }
    }

    fn spec(video: &str, audio: &str) -> InputSpec {
        let video = VideoInput { source: VideoSource::Pulled(pulled(video)), width: None, height: None, frame_rate: None };
        let audio = AudioInput { source: AudioSource::Pulled(pulled(audio)), destination: AudioDestination::Microphone };
        InputSpec { video: Some(video), audio: Some(audio), start_paused: false }
    }

    #[test]
    fn what_both_tracks_come_from_is_fetched_once() {
        Io::Epoll
            .block_on(async {
                let pulls = Pulls::new(Path::new("/"));
                let threads = async |video, audio| pulls.plan(&spec(video, audio)).await.unwrap().0.len();
                assert_eq!(threads("http://a/1", "http://a/1").await, 1);
                assert_eq!(threads("http://a/1", "http://a/2").await, 2);
            })
            .unwrap();
    }

    #[test]
    fn more_than_eight_threads_that_hang_are_refused_for_now() {
        Io::Epoll
            .block_on(async {
                let pulls = Pulls::new(Path::new("/"));
                let hanging = pulls.slots.take(Slots::MOST - 1).await.unwrap();
                assert!(pulls.plan(&spec("http://a/1", "http://a/1")).await.is_ok(), "there is one place left");
                let refused = pulls.plan(&spec("http://a/1", "http://a/2")).await.err().map(|refusal| refusal.kind);
                assert_eq!(refused, Some(RefusalKind::Unavailable));
                drop(hanging);
                assert!(pulls.plan(&spec("http://a/1", "http://a/2")).await.is_ok());
            })
            .unwrap();
    }

    #[test]
    fn file_that_cannot_be_opened_is_refused_by_the_track_that_names_it() {
        Io::Epoll
            .block_on(async {
                let pulls = Pulls::new(Path::new("/"));
                let refused = pulls.plan(&spec("http://a/1", "/no/such/file.mp3")).await.err().unwrap();
                assert_eq!(refused.kind, RefusalKind::Bad);
                assert!(refused.message.contains("audio.url") && refused.message.contains("no such file"), "{}", refused.message);
            })
            .unwrap();
    }
}
