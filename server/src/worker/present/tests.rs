//! The thread and the decoder before it, on a twin of the device.

use std::path::Path;

use crosspoint_ffi::av::{H264Encoder, H264Settings, Preset};
use crosspoint_ffi::lend::Lender;
use crosspoint_ffi::v4l2::Output;
use crosspoint_ffi::v4l2::fake::Fake;
use crosspoint_ffi::{I420, MediaTime, Packet, ring};
use rustix::io::Errno;

use super::*;
use crate::devices::V4l2Camera;
use crate::worker::decode::{self, Job};

/// Less than a device that keeps another format is left alone for.
const DEADLINE: Duration = Duration::from_secs(9);

/// A device that is read, the threads that write it, and a source of pictures, of which number `n` is a plane of [`luma`].
struct Stage {
    fake: Fake,
    jobs: tokio::sync::mpsc::Sender<Job>,
    present: Present,
    trouble: Arc<Trouble>,
    encoder: H264Encoder,
    source: VideoFormat,
    sent: u8,
}

impl Stage {
    fn new(source: (u32, u32), canvas: (u32, u32)) -> Self {
        let [source, canvas] = [source, canvas].map(|(width, height)| VideoFormat::new(width, height, 30).expect("a format"));
        let (fake, lender, trouble) = (Fake::new(4), Lender::default(), Arc::<Trouble>::default());
        fake.state().usage = Some(1);
        let twin = fake.clone();
        let open = Box::new(move |_: &Path, wanted| Output::start(Box::new(twin.clone()), wanted));
        let camera = V4l2Camera::new(Path::new("a twin"), canvas, lender.clone(), open);
        let (shown, newest) = ring::newest();
        let wake = Arc::new(Wake::new().expect("an eventfd"));
        let (jobs, demand, queue) = decode::queue();
        let present =
            Present::start(Device::V4l2(Box::new(camera)), newest, Arc::clone(&wake), demand, Arc::clone(&trouble)).expect("a thread");
        decode::start(queue, shown, wake, Arc::default(), Arc::clone(&trouble), lender).expect("a thread");
        let settings = H264Settings { format: source, bitrate_bps: 4_000_000, max_bitrate_bps: 4_000_000, preset: Preset::Ultrafast };
        let encoder = H264Encoder::new(settings).expect("libx264");
        let stage = Self { fake, jobs, present, trouble, encoder, source, sent: 0 };
        stage.until(|stage| stage.present.view().stats().0.in_use == Some(true), "the device is open and read");
        stage
    }

    /// Sends a picture and waits until it is written.
    fn send(&mut self, key: bool) {
        let before = self.written();
        self.offer(key);
        self.until(|stage| stage.written() > before, "the picture is written");
    }

    fn offer(&mut self, key: bool) {
        let mut bytes = vec![luma(self.sent); (self.source.width() * self.source.height()) as usize];
        bytes.resize(self.source.i420_bytes(), 128);
        let picture = I420::packed(&bytes, self.source.width(), self.source.height()).expect("sized");
        let time = MediaTime::from_millis(33 * i64::from(self.sent));
        let packet: Packet = self.encoder.encode(&picture, time, Instant::now(), key).expect("encoded").expect("no delay");
        self.sent += 1;
        self.jobs.blocking_send(Job::Packet(packet)).expect("the thread lives");
    }

    fn written(&self) -> u64 {
        self.present.view().stats().0.frames_out
    }

    fn copied(&self) -> Copied {
        self.present.view().stats().2
    }

    /// The first samples of what was shown, each once while it stands.
    fn levels(&self) -> Vec<u8> {
        let mut levels: Vec<_> = self.fake.state().shown.iter().map(|(_, picture)| picture[0]).collect();
        levels.dedup();
        levels
    }

    fn until(&self, condition: impl Fn(&Self) -> bool, what: &str) {
        let end = Instant::now() + DEADLINE;
        while !condition(self) {
            assert!(Instant::now() < end, "{what}: {:?}", self.trouble.told());
            std::thread::yield_now();
        }
    }
}

/// The luma of a picture: far from that of the next, which an encoder would not show otherwise.
fn luma(number: u8) -> u8 {
    32 + (u32::from(number) * 37 % 109 * 2) as u8
}

#[test]
fn picture_that_fits_is_never_copied_and_others_are_once() {
    for (source, canvas, copies) in
        [((128, 64), (128, 64), 0), ((64, 32), (128, 64), 1), ((96, 64), (96, 64), 1), ((128, 48), (128, 40), 1)]
    {
        let mut stage = Stage::new(source, canvas);
        for number in 0..20 {
            stage.send(number == 0);
        }
        let bytes = if source == (128, 48) { 106 * 40 * 3 / 2 } else { u64::from(canvas.0 * canvas.1 * 3 / 2) };
        assert_eq!((stage.written(), stage.copied()), (20, Copied { passes: 20 * copies, bytes: 20 * copies * bytes }), "{source:?}");
        if copies == 0 {
            let expected: Vec<_> = std::iter::once(16).chain((0..20).map(luma)).collect();
            let levels = stage.levels();
            assert_eq!(levels.len(), expected.len(), "{levels:?}");
            assert!(levels.iter().zip(&expected).all(|(seen, sent)| seen.abs_diff(*sent) <= 2), "{levels:?} {expected:?}");
        }
    }
}

#[test]
fn picture_is_shown_again_while_nothing_comes_and_black_on_pause() {
    let mut stage = Stage::new((128, 64), (128, 64));
    let is_repeated = |stage: &Stage| {
        let start = stage.fake.state().shown.len();
        stage.until(|stage| stage.fake.state().shown.len() > start + 3, "frames keep coming");
        stage.levels().last().copied()
    };
    assert_eq!(is_repeated(&stage), Some(16), "black before anything came");
    stage.send(true);
    assert!(is_repeated(&stage).is_some_and(|level| level.abs_diff(luma(0)) <= 2));
    assert_eq!((stage.written(), stage.copied()), (1, Copied::default()), "what is shown again is no new frame");
    stage.present.order(Order::Pause);
    stage.until(|stage| stage.levels().last() == Some(&16), "black");
    assert_eq!(is_repeated(&stage), Some(16));
    stage.fake.state().usage = Some(0);
    stage.until(|stage| stage.present.view().stats().0.in_use == Some(false), "the reader is gone");
    // Nobody sees that nothing happens but by another thing that does: a canvas is heard of, and by then no frame was due.
    let before = stage.fake.state().shown.len();
    let (answer, answered) = oneshot::channel();
    stage.present.order(Order::Canvas(VideoFormat::new(128, 64, 30).expect("a format"), answer));
    answered.blocking_recv().expect("answered").expect("the same canvas");
    assert_eq!(stage.fake.state().shown.len(), before);
}

#[test]
fn device_that_is_gone_is_told_and_taken_again_with_its_buffers() {
    let mut stage = Stage::new((128, 64), (128, 64));
    stage.send(true);
    stage.send(false);
    stage.fake.fail("QBUF", Some(Errno::NODEV));
    stage.until(|stage| stage.trouble.told().is_some_and(|told| told.contains("the device is gone")), "the trouble is told");
    stage.fake.fail("QBUF", None);
    stage.until(|stage| stage.trouble.told().is_none(), "it is taken again");
    stage.send(true);
    stage.send(false);
    assert_eq!(stage.copied(), Copied::default(), "the new decoder has the new buffers");
}

#[test]
fn other_canvas_waits_for_the_reader_and_frees_the_buffers_first() {
    let mut stage = Stage::new((128, 64), (128, 64));
    stage.send(true);
    let (answer, answered) = oneshot::channel();
    stage.present.order(Order::Canvas(VideoFormat::new(256, 64, 30).expect("a format"), answer));
    answered.blocking_recv().expect("answered").expect("a canvas");
    stage.send(false);
    assert_eq!(stage.fake.state().shown.last().map(|(_, picture)| picture.len()), Some(128 * 64 * 3 / 2), "a reader holds the format");
    stage.fake.state().usage = Some(0);
    stage.until(|stage| stage.fake.state().shown.last().is_some_and(|(_, picture)| picture.len() == 256 * 64 * 3 / 2), "the new format");
}
