//! The media threads and what they tell: what hangs on the life cycles of inputs and streams.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crosspoint_ffi::fd::Wake;
use crosspoint_ffi::{VideoFormat, ring};
use crosspoint_router::control::{AudioDestination, InputStats, Refusal, RefusalKind};
use tokio::sync::{mpsc, oneshot, watch};

use crate::Error;
use crate::broadcast::Broadcast;
use crate::config::{Config, MicrophoneChoice};
use crate::worker::Trouble;
use crate::worker::decode::{self, DecodeCounters, Job};
use crate::worker::present::{self, Present};
use crate::worker::sound::{self, Sound};
use crate::ws::ingest::{AUDIO_QUEUE, AudioIngest, Rubbish, VideoIngest};

/// Everything that media flows through.
pub(super) struct Media {
    jobs: mpsc::Sender<Job>,
    decoded: Arc<DecodeCounters>,
    /// Nothing when the camera is off.
    present: Option<Present>,
    /// Nothing when the microphone is off.
    sound: Option<Rc<Sound>>,
    sound_trouble: Arc<Trouble>,
    video: Arc<Rubbish>,
    audio: Arc<Rubbish>,
    pub(super) broadcast: Broadcast,
}

impl Media {
    /// Opens the devices and starts the threads that are always there. They sleep until there is something to do.
    pub(super) fn start(config: &Config) -> Result<Self, Error> {
        let epoch = Instant::now();
        let (video, audio, sound_trouble) = (Arc::<Rubbish>::default(), Arc::<Rubbish>::default(), Arc::<Trouble>::default());
        let decoded = Arc::new(DecodeCounters::default());
        let (shown, newest) = ring::newest();
        let wake = Arc::new(Wake::new().map_err(Error::Device)?);
        let present = match config.camera.file() {
            Some(path) => Some(Present::start(path.to_owned(), config.canvas, newest, Arc::clone(&wake), Arc::clone(&video.trouble))?),
            None => None,
        };
        let jobs = decode::start(shown, wake, Arc::clone(&decoded), Arc::clone(&video.trouble)).map_err(Error::Thread)?;
        let sound = if config.microphone == MicrophoneChoice::Pulse {
            Some(Rc::new(Sound::start(config.pulse_server.clone(), epoch, Arc::clone(&sound_trouble), Arc::clone(&audio.trouble))?))
        } else {
            None
        };
        let broadcast = Broadcast::new(config.display.clone(), sound.clone(), epoch);
        Ok(Self { jobs, decoded, present, sound, sound_trouble, video, audio, broadcast })
    }

    /// Gives the camera another canvas, under the same name.
    pub(super) async fn change_canvas(&self, canvas: VideoFormat) -> Result<(), Refusal> {
        let Some(present) = &self.present else { return Ok(()) };
        let (answer, answered) = oneshot::channel();
        present.order(present::Order::Canvas(canvas, answer));
        match answered.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Refusal::new(RefusalKind::Unavailable, error.to_string())),
            Err(_) => Err(Refusal::new(RefusalKind::Unavailable, "the camera is being closed")),
        }
    }

    /// Black and silence, or what comes.
    pub(super) fn pause(&self, paused: bool) {
        if let Some(present) = &self.present {
            present.order(if paused { present::Order::Pause } else { present::Order::Resume });
        }
        if let Some(sound) = &self.sound {
            sound.order(sound::Order::Pause(paused));
        }
    }

    /// Sends the sound of publishers, the present one's too, to another sink.
    pub(super) fn direct(&self, destination: AudioDestination) {
        if let Some(sound) = &self.sound {
            sound.order(sound::Order::Direct(destination));
        }
    }

    /// Another input begins: what went wrong before is not its fault.
    pub(super) fn forget_troubles(&self) {
        self.video.trouble.clear();
        self.audio.trouble.clear();
    }

    /// Where a new publisher's pictures go.
    pub(super) async fn video_ingest(&self) -> VideoIngest {
        // The decode thread lives as long as this.
        let _ = self.jobs.send(Job::Reset).await;
        // Without a camera there is no reader whose tick could come.
        let tick = self.present.as_ref().map_or_else(|| watch::channel(None).1, |present| present.view().tick.subscribe());
        VideoIngest::new(self.jobs.clone(), tick, Arc::clone(&self.video))
    }

    /// The camera's source is gone: black.
    pub(super) async fn video_gone(&self) {
        let _ = self.jobs.send(Job::Gone).await;
    }

    /// Where a new publisher's sound goes.
    pub(super) fn audio_ingest(&self) -> AudioIngest {
        let (packets, played) = mpsc::channel(AUDIO_QUEUE);
        let wake = self.sound.as_ref().map(|sound| {
            sound.order(sound::Order::Play(played));
            Arc::clone(sound.wake())
        });
        AudioIngest::new(packets, wake, Arc::clone(&self.audio))
    }

    /// The sound's source is not wanted any more: silence, at once.
    pub(super) fn silence(&self) {
        if let Some(sound) = &self.sound {
            sound.order(sound::Order::Silence);
        }
    }

    /// The counters since start-up.
    pub(super) fn stats(&self) -> InputStats {
        let (shown, fps) = self.present.as_ref().map(|present| present.view().stats()).unwrap_or_default();
        let undrawn = self.present.as_ref().map_or(0, |present| present.view().undrawn.load(Relaxed));
        let sound = self.sound.as_ref().map(|sound| sound.view());
        let bad_sound = sound.map_or(0, |view| view.bad_packets.load(Relaxed));
        InputStats {
            camera_in_use: shown.in_use,
            microphone_in_use: sound.filter(|view| view.connected.load(Relaxed)).map(|view| view.microphone_in_use.load(Relaxed)),
            frames_in: self.decoded.pictures.load(Relaxed),
            frames_out: shown.frames_out,
            frames_dropped: shown.dropped
                + shown.withheld
                + undrawn
                + self.decoded.displaced.load(Relaxed)
                + self.video.dropped.load(Relaxed),
            possible_tears: shown.possible_tears,
            bad_units: self.video.bad_units.load(Relaxed)
                + self.audio.bad_units.load(Relaxed)
                + self.decoded.bad_packets.load(Relaxed)
                + bad_sound,
            fps,
            latency_p50_ms: shown.latency_p50.map(millis),
            latency_p99_ms: shown.latency_p99.map(millis),
            ..InputStats::default()
        }
    }

    /// The newest trouble of the tracks that are in use.
    pub(super) fn trouble(&self, video: bool, audio: bool) -> Option<String> {
        let pictures = || self.video.trouble.told().filter(|_| video);
        let samples = || self.audio.trouble.told().filter(|_| audio);
        let server = || self.sound_trouble.told().filter(|_| audio);
        pictures().or_else(server).or_else(samples)
    }
}

fn millis(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}
