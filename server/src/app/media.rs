//! The media threads and what they tell: what hangs on the life cycles of inputs and streams.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crosspoint_ffi::fd::Wake;
use crosspoint_ffi::lend::Lender;
use crosspoint_ffi::v4l2::Output;
use crosspoint_ffi::{VideoFormat, ring};
use crosspoint_router::control::{AudioDestination, InputStats, Refusal, RefusalKind};
use tokio::sync::{oneshot, watch};
use tracing::info;

use crate::Error;
use crate::broadcast::Broadcast;
use crate::config::{CameraChoice, Config, MicrophoneChoice};
use crate::devices::{V4l2Camera, Y4mCamera};
use crate::feed::Feed;
use crate::histogram::HistogramStats;
use crate::outlet::{Ears, Eyes, Outlet};
use crate::worker::Trouble;
use crate::worker::decode::{self, DecodeCounters};
use crate::worker::present::{self, Device, Present};
use crate::worker::screen::ScreenTuning;
use crate::worker::sound::{self, Sound};
use crate::ws::ingest::{AudioIngest, Rubbish, SoundOfVideo, VideoIngest};

/// Everything that media flows through.
pub(super) struct Media {
    outlet: Outlet,
    pub(super) feed: Rc<Feed>,
    decoded: Arc<DecodeCounters>,
    /// Nothing when the camera is off.
    present: Option<Present>,
    /// Nothing when the microphone is off.
    sound: Option<Rc<Sound>>,
    sound_trouble: Arc<Trouble>,
    /// Where the sound beside the picture of a socket goes.
    sound_of_video: SoundOfVideo,
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
        let (jobs, demand, queue) = decode::queue();
        let lender = Lender::default();
        let camera = camera(config, &lender).map_err(Error::Device)?;
        let present = camera.map(|camera| Present::start(camera, newest, Arc::clone(&wake), demand, Arc::clone(&video.trouble)));
        let present = present.transpose()?;
        decode::start(queue, shown, wake, Arc::clone(&decoded), Arc::clone(&video.trouble), lender).map_err(Error::Thread)?;
        let sound = if config.microphone == MicrophoneChoice::Pulse {
            Some(Rc::new(Sound::start(config.pulse_server.clone(), epoch, Arc::clone(&sound_trouble), Arc::clone(&audio.trouble))?))
        } else {
            None
        };
        let tuning = ScreenTuning { bitrates: config.bitrates(), preset: config.preset.into() };
        let broadcast = Broadcast::new(config.display.clone(), tuning, sound.clone(), epoch);
        let feed = Rc::new(Feed::new(jobs.clone(), config.canvas));
        let outlet = Outlet::new(jobs, Rc::clone(&feed));
        let sound_of_video = SoundOfVideo::default();
        Ok(Self { outlet, feed, decoded, present, sound, sound_trouble, sound_of_video, video, audio, broadcast })
    }

    /// Gives the camera another canvas, under the same name.
    pub(super) async fn change_canvas(&self, canvas: VideoFormat) -> Result<(), Refusal> {
        self.feed.change_canvas(canvas);
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
        self.feed.pause(paused);
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

    /// Another source of the picture begins: the old one's last picture stands for a moment.
    pub(super) async fn video_begins(&self) -> Eyes {
        Eyes { turn: self.outlet.begin().await, trouble: Arc::clone(&self.video.trouble) }
    }

    /// Where a new publisher's pictures go.
    pub(super) async fn video_ingest(&self) -> VideoIngest {
        VideoIngest::new(self.outlet.begin().await, self.sound_of_video.clone(), self.tick(), Arc::clone(&self.video))
    }

    /// The clock of the camera's reader.
    pub(super) fn tick(&self) -> watch::Receiver<Option<Instant>> {
        // Without a camera there is no reader whose tick could come.
        self.present.as_ref().map_or_else(|| watch::channel(None).1, |present| present.view().tick.subscribe())
    }

    /// Where the sound of another source than a socket goes; it takes the place of the present one.
    pub(super) fn ears(&self) -> Ears {
        Ears {
            outlet: self.sound.as_ref().map(|sound| sound.play()),
            view: self.sound.as_ref().map(|sound| Arc::clone(sound.view())),
            trouble: Arc::clone(&self.audio.trouble),
        }
    }

    /// Plays the sound beside the picture of a socket, or does not.
    pub(super) fn play_sound_of_video(&self, wanted: bool) {
        if wanted != self.sound_of_video.borrow().is_some() {
            self.sound_of_video.replace(wanted.then(|| self.ears()));
        }
    }

    /// The camera's source is gone: black.
    pub(super) async fn video_gone(&self) {
        self.outlet.gone().await;
    }

    /// Where a new publisher's sound goes.
    pub(super) fn audio_ingest(&self) -> AudioIngest {
        AudioIngest::new(self.sound.as_ref().map(|sound| sound.play()), Arc::clone(&self.audio))
    }

    /// The sound's source is not wanted any more: silence, at once.
    pub(super) fn silence(&self) {
        if let Some(sound) = &self.sound {
            sound.order(sound::Order::Silence);
        }
    }

    /// What is counted beside [`Media::stats`].
    pub(super) fn figures(&self) -> MediaFigures {
        let shown = self.present.as_ref().map(|present| present.view().stats().0).unwrap_or_default();
        let view = self.present.as_ref().map(|present| present.view());
        MediaFigures {
            latency: view.map(|view| view.latency.stats()).unwrap_or_default(),
            decode_time: self.decoded.time.stats(),
            draw_time: view.map(|view| view.draw_time.stats()).unwrap_or_default(),
            dropped: [
                ("source", self.video.dropped.load(Relaxed)),
                ("decode", self.decoded.late.load(Relaxed)),
                ("handover", self.decoded.displaced.load(Relaxed)),
                ("present", shown.dropped),
                ("pause", shown.withheld),
                ("draw", view.map_or(0, |view| view.undrawn.load(Relaxed))),
            ],
            decode_queued: self.outlet.queued(),
            overwritten: shown.overwritten,
        }
    }

    /// The counters since start-up.
    pub(super) fn stats(&self) -> InputStats {
        let (shown, fps, copied) = self.present.as_ref().map(|present| present.view().stats()).unwrap_or_default();
        let undrawn = self.present.as_ref().map_or(0, |present| present.view().undrawn.load(Relaxed));
        let sound = self.sound.as_ref().map(|sound| sound.view());
        let bad_sound = sound.map_or(0, |view| view.bad_packets.load(Relaxed));
        InputStats {
            camera_in_use: shown.in_use,
            microphone_in_use: sound.filter(|view| view.connected.load(Relaxed)).map(|view| view.microphone_in_use.load(Relaxed)),
            frames_in: self.decoded.packets.load(Relaxed),
            frames_decoded: self.decoded.pictures.load(Relaxed),
            frames_unwatched: self.decoded.unwatched.load(Relaxed),
            frames_out: shown.frames_out,
            frames_dropped: shown.dropped
                + shown.withheld
                + undrawn
                + self.decoded.displaced.load(Relaxed)
                + self.decoded.late.load(Relaxed)
                + self.video.dropped.load(Relaxed),
            possible_tears: shown.possible_tears,
            copies: copied.passes,
            copied_bytes: copied.bytes,
            decodes_by_frame: self.decoded.by_frame.load(Relaxed),
            bad_units: self.video.bad_units.load(Relaxed)
                + self.audio.bad_units.load(Relaxed)
                + self.decoded.bad_packets.load(Relaxed)
                + bad_sound,
            fps,
            latency_p50_ms: shown.latency_p50.map(millis),
            latency_p99_ms: shown.latency_p99.map(millis),
            feed_viewers: self.feed.viewers(),
            microphone_depth_ms: sound.and_then(|view| view.depth()).map(millis),
            microphone_latency_ms: sound.and_then(|view| view.path_latency()).map(millis),
            microphone_target_ms: sound.and_then(|view| view.target()).map(millis),
            microphone_correction_ppm: sound.map_or(0, |view| view.correction_ppm()),
            microphone_dropped_ms: sound.map_or(0.0, |view| millis(view.dropped())),
            microphone_lost_packets: sound.map_or(0, |view| view.lost_packets()),
            microphone_underruns: sound.map_or(0, |view| view.underruns.load(Relaxed)),
            ..InputStats::default()
        }
    }

    /// Whether there is to be sound, and the sound server is away.
    pub(super) fn is_sound_away(&self) -> bool {
        self.sound.as_ref().is_some_and(|sound| !sound.view().connected.load(Relaxed))
    }

    /// The newest trouble of the tracks that are in use.
    pub(super) fn trouble(&self, video: bool, audio: bool) -> Option<String> {
        let pictures = || self.video.trouble.told().filter(|_| video);
        let samples = || self.audio.trouble.told().filter(|_| audio);
        let server = || self.sound_trouble.told().filter(|_| audio);
        pictures().or_else(server).or_else(samples)
    }
}

/// What the media threads count for whoever collects figures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MediaFigures {
    /// From a frame's arrival to the end of its write into the camera.
    pub(crate) latency: HistogramStats,
    /// How long decoders took for a packet.
    pub(crate) decode_time: HistogramStats,
    /// How long drawing a frame took.
    pub(crate) draw_time: HistogramStats,
    /// Frames that were dropped, by where.
    pub(crate) dropped: [(&'static str, u64); 6],
    /// Frames that were written over a frame which nobody had read.
    pub(crate) overwritten: u64,
    /// Jobs that wait for the decode thread.
    pub(crate) decode_queued: usize,
}

/// The camera that is written, if one is.
fn camera(config: &Config, lender: &Lender) -> crosspoint_ffi::Result<Option<Device>> {
    if let CameraChoice::V4l2(path) = &config.camera {
        return Ok(Some(Device::V4l2(Box::new(V4l2Camera::new(path, config.canvas, lender.clone(), Box::new(Output::open))))));
    }
    let Some(path) = config.camera.file() else { return Ok(None) };
    let (file, canvas) = (Y4mCamera::open(path, config.canvas, lender)?, config.canvas);
    info!(path = %path.display(), width = canvas.width(), height = canvas.height(), rate = canvas.frame_rate(), "camera ready");
    Ok(Some(Device::Y4m(file, path.to_owned())))
}

fn millis(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}
