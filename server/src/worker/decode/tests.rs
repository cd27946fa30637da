//! The thread, with a real decoder behind it.

use std::os::fd::AsFd as _;
use std::time::Duration;

use crosspoint_ffi::av::{H264Encoder, H264Settings, Preset};
use crosspoint_ffi::fd::wait_readable;
use crosspoint_ffi::ring::{self, Reader};
use crosspoint_ffi::{I420, MediaTime, Parameters, VideoFormat};

use super::*;

const SIDE: u32 = 64;
const DEADLINE: Duration = Duration::from_secs(20);

/// A decode thread, what goes in and what comes out. Picture `n` is a plane of one [`luma`].
struct Stage {
    jobs: mpsc::Sender<Job>,
    demand: CameraDemand,
    shown: Reader<Shown>,
    wake: Arc<Wake>,
    counters: Arc<DecodeCounters>,
    trouble: Arc<Trouble>,
    encoder: H264Encoder,
    sent: u8,
}

impl Stage {
    fn new() -> Self {
        let (shown, reader) = ring::newest();
        let (wake, counters) = (Arc::new(Wake::new().expect("an eventfd")), Arc::<DecodeCounters>::default());
        let ((jobs, demand, queue), trouble) = (queue(), Arc::<Trouble>::default());
        start(queue, shown, Arc::clone(&wake), Arc::clone(&counters), Arc::clone(&trouble), Lender::default()).expect("a thread");
        let format = VideoFormat::new(SIDE, SIDE, 30).expect("a format");
        let settings = H264Settings { format, bitrate_bps: 4_000_000, max_bitrate_bps: 4_000_000, preset: Preset::Ultrafast };
        let encoder = H264Encoder::new(settings).expect("libx264");
        Self { jobs, demand, shown: reader, wake, counters, trouble, encoder, sent: 0 }
    }

    fn packet(&mut self, key: bool) -> Packet {
        let samples = (SIDE * SIDE) as usize;
        let mut bytes = vec![luma(self.sent); samples];
        bytes.resize(samples * 3 / 2, 128);
        let picture = I420::packed(&bytes, SIDE, SIDE).expect("sized");
        let time = MediaTime::from_millis(33 * i64::from(self.sent));
        self.sent += 1;
        self.encoder.encode(&picture, time, Instant::now(), key).expect("encoded").expect("no delay")
    }

    /// Sends `count` pictures, the first of them a key frame if `key`, and waits until the thread has taken them.
    fn send(&mut self, count: u8, key: bool) {
        for n in 0..count {
            let packet = self.packet(key && n == 0);
            self.job(Job::Packet(packet));
        }
        self.settle();
    }

    fn settle(&self) {
        self.until(|stage| stage.counters.packets.load(Relaxed) == u64::from(stage.sent), "all packets taken");
    }

    fn job(&self, job: Job) {
        self.jobs.blocking_send(job).expect("the thread lives");
    }

    fn until(&self, condition: impl Fn(&Self) -> bool, what: &str) {
        let end = Instant::now() + DEADLINE;
        while !condition(self) {
            assert!(Instant::now() < end, "{what}");
            std::thread::yield_now();
        }
    }

    /// What is shown next.
    fn next(&mut self) -> Shown {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(shown) = self.shown.take() {
                return shown;
            }
            assert!(Instant::now() < end, "nothing is shown");
            wait_readable([self.wake.as_fd()], Some(Duration::from_secs(1))).expect("an eventfd");
            self.wake.lower();
        }
    }

    fn next_number(&mut self) -> u8 {
        match self.next() {
            Shown::Picture { picture, .. } => number(&picture),
            other @ (Shown::Black | Shown::Swap) => panic!("{other:?}"),
        }
    }

    fn pictures(&self) -> u64 {
        self.counters.pictures.load(Relaxed)
    }
}

/// The luma of a picture: far from that of the next, which an encoder would not show otherwise, and two from that of any.
fn luma(number: u8) -> u8 {
    16 + (u32::from(number) * 37 % 109 * 2) as u8
}

/// The number that a picture's luma says.
fn number(picture: &Picture) -> u8 {
    let row = picture.as_i420().expect("planar").y.row(SIDE as usize / 2, SIDE as usize).to_vec();
    let mean = row.iter().map(|&level| f32::from(level)).sum::<f32>() / SIDE as f32;
    (0..109).find(|&number| (f32::from(luma(number)) - mean).abs() < 1.0).expect("a picture of ours")
}

#[test]
fn unread_camera_is_not_decoded_and_live_when_somebody_looks() {
    let mut stage = Stage::new();
    stage.send(30, true);
    stage.send(29, true);
    let probed = stage.pictures();
    assert!(probed <= 10, "only what tells the cost is decoded: {probed}");
    assert!(stage.shown.take().is_none());
    stage.demand.set(true);
    assert_eq!(stage.next_number(), 58, "of the burst only the newest is shown");
    assert!(stage.pictures() >= probed + 29 && stage.shown.take().is_none());
    stage.send(1, false);
    assert_eq!(stage.next_number(), 59);
    stage.demand.set(false);
    stage.until(|stage| stage.jobs.capacity() == QUEUE, "the demand is taken");
    let before = stage.pictures();
    stage.send(20, false);
    assert_eq!(stage.pictures(), before);
    assert_eq!(stage.counters.unwatched.load(Relaxed), 20, "what the second key frame made worthless");
}

#[test]
fn still_picture_is_shown_to_each_reader() {
    let mut stage = Stage::new();
    stage.send(1, true);
    for _ in 0..3 {
        let came = Instant::now();
        stage.demand.set(true);
        let Shown::Picture { picture, since } = stage.next() else { panic!("black") };
        assert_eq!(number(&picture), 0);
        assert!(since >= came, "its delay counts from the moment somebody looked");
        stage.demand.set(false);
    }
}

#[test]
fn gap_is_black_for_everybody_until_the_next_picture() {
    let mut stage = Stage::new();
    stage.send(20, true);
    stage.job(Job::Gap);
    assert!(matches!(stage.next(), Shown::Black));
    stage.demand.set(true);
    stage.until(|stage| stage.pictures() == 20, "the burst is decoded");
    stage.send(1, false);
    assert_eq!(stage.next_number(), 20, "the first that is shown is the one after the gap, though it refers to those before it");
}

#[test]
fn other_source_swaps_and_a_lost_one_is_black() {
    let mut stage = Stage::new();
    stage.demand.set(true);
    stage.send(1, true);
    assert_eq!(stage.next_number(), 0);
    stage.job(Job::Reset);
    assert!(matches!(stage.next(), Shown::Swap));
    stage.demand.set(false);
    stage.demand.set(true);
    stage.send(1, true);
    assert_eq!(stage.next_number(), 1, "nothing of the old source is shown to who comes now");
    stage.job(Job::Gone);
    assert!(matches!(stage.next(), Shown::Black));
}

#[test]
fn tap_gets_pictures_of_a_camera_that_nobody_reads() {
    let mut stage = Stage::new();
    stage.send(30, true);
    let (pictures, mut tapped) = ring::newest();
    let wake = Arc::new(Wake::new().expect("an eventfd"));
    stage.job(Job::Watch(Some(Tap { pictures, wake: Arc::clone(&wake) })));
    let mut next = || {
        wait_readable([wake.as_fd()], Some(DEADLINE)).expect("an eventfd");
        wake.lower();
        number(&tapped.take().expect("a picture"))
    };
    assert_eq!(next(), 29);
    stage.send(1, false);
    assert_eq!(next(), 30);
    assert!(stage.shown.take().is_none(), "the camera stays as it is");
    stage.job(Job::Watch(None));
    stage.send(1, true);
    let before = stage.pictures();
    stage.send(10, false);
    assert_eq!(stage.pictures(), before, "without a tap nothing is decoded any more");
}

#[test]
fn damaged_packets_cost_pictures_and_new_parameters_a_decoder() {
    let mut stage = Stage::new();
    stage.demand.set(true);
    stage.send(1, true);
    assert_eq!(stage.next_number(), 0);
    let broken = stage.packet(false);
    stage.job(Job::Packet(Packet { data: Default::default(), ..broken }));
    stage.settle();
    assert_eq!(stage.counters.bad_packets.load(Relaxed), 1);
    assert!(stage.trouble.told().is_some());
    stage.send(1, true);
    assert_eq!(stage.next_number(), 2);
    let whole = stage.packet(true);
    stage.job(Job::Packet(Packet { parameters: Some(Arc::new(Parameters::default())), ..whole }));
    assert_eq!(stage.next_number(), 3);
}

#[test]
fn trouble_of_a_source_goes_with_it_and_another_s_stays() {
    let mut stage = Stage::new();
    stage.demand.set(true);
    let break_one = |stage: &mut Stage| {
        let broken = stage.packet(false);
        stage.job(Job::Packet(Packet { data: Default::default(), ..broken }));
        stage.until(|stage| stage.trouble.told().is_some(), "the trouble is told");
    };
    break_one(&mut stage);
    stage.job(Job::Reset);
    stage.until(|stage| stage.trouble.told().is_none(), "the trouble is taken back");
    break_one(&mut stage);
    stage.trouble.note("the next source cannot be reached");
    stage.job(Job::Reset);
    stage.send(1, true);
    assert_eq!(stage.next_number(), 2);
    assert_eq!(stage.trouble.told().as_deref(), Some("the next source cannot be reached"));
}
