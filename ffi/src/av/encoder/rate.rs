//! How fine pictures may be for what a line takes, by the time that passes between them.

/// Rate control of a screen: constant quality, as long as the line takes it.
///
/// x264 by itself holds every picture for as long as the frame rate says. A screen stands still for seconds and then changes all at once,
/// so x264 would be out of bits when there are plenty. It gets its quantizer from here, and its buffer is credited with the time that
/// really passed; what a single picture may take at most is for x264 to keep to, row by row.
#[derive(Debug)]
pub(super) struct RateControl {
    /// The time that x264 reckons with for a picture.
    period_s: f64,
    peak: Bucket,
    mean: Bucket,
    /// What others make of it: a small part, so x264's buffer need not know.
    spare: Bucket,
    /// When the buckets were filled last.
    filled_s: Option<f64>,
    /// When x264 made a picture last.
    last_s: Option<f64>,
    cut: bool,
}

/// What the next picture is to be encoded with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// The quantizer.
    pub(super) quantizer: f32,
    /// The bits a second that x264's buffer is to be filled up with for the period of this picture.
    pub(super) fill_bps: f64,
}

/// Bits that may be spent at once, and come back with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    bits: f64,
    capacity: f64,
    per_s: f64,
}

impl RateControl {
    /// Makes one for pictures at `frame_rate` at most.
    pub(super) fn new(frame_rate: u32, bitrate_bps: u32, max_bitrate_bps: u32) -> Self {
        let full = Bucket { bits: f64::MAX, capacity: 0.0, per_s: 0.0 };
        let mut control = Self {
            period_s: 1.0 / f64::from(frame_rate.max(1)),
            peak: full,
            mean: full,
            spare: full,
            filled_s: None,
            last_s: None,
            cut: false,
        };
        control.set_bitrate(bitrate_bps, max_bitrate_bps);
        control
    }

    /// Changes the rates: on average, of a picture that keeps moving, and at most.
    pub(super) fn set_bitrate(&mut self, bitrate_bps: u32, max_bitrate_bps: u32) {
        self.peak.set_rate(f64::from(max_bitrate_bps), PEAK_S);
        self.mean.set_rate(f64::from(bitrate_bps), MEAN_S);
        self.spare.set_rate(f64::from(bitrate_bps) * SPARE, MEAN_S);
    }

    /// Says how to encode a picture of this time.
    pub(super) fn plan(&mut self, now_s: f64) -> Plan {
        let passed_s = since(&mut self.last_s, now_s);
        let (peak, mean) = self.fill(now_s);
        let level = peak.min(mean);
        let strain = (1.0 - level / EASY).clamp(0.0, 1.0);
        // In half steps: each change costs x264 a look at all of its settings.
        let quantizer = ((FINEST + strain * (ROUGHEST - FINEST)) * 2.0).round() / 2.0;
        // Pictures in a row are a period apart but for our jitter. With more than nine tenths of its buffer a picture x264 would take it for
        // one that holds a single picture, and spend all of it on each.
        let periods = if passed_s < 1.25 * self.period_s { 1.0 } else { passed_s / self.period_s };
        // What no quantizer holds at the average, x264's buffer does.
        let per_s = if mean > 0.0 { self.peak.per_s } else { self.mean.per_s };
        let fill_bps = (per_s * periods).min((0.9 * self.peak.capacity / self.period_s).max(per_s));
        Plan { quantizer: quantizer as f32, fill_bps }
    }

    /// Takes so many bits for a picture of this time that x264 does not make, if they are few enough.
    pub(super) fn afford(&mut self, now_s: f64, bits: usize) -> bool {
        self.fill(now_s);
        let is_affordable = bits as f64 <= self.spare.bits;
        if is_affordable {
            for bucket in [&mut self.spare, &mut self.peak, &mut self.mean] {
                bucket.bits -= bits as f64;
            }
        }
        is_affordable
    }

    /// Lets time pass up to `now_s`; answers how full what holds the peak is, and the average.
    fn fill(&mut self, now_s: f64) -> (f64, f64) {
        let passed_s = since(&mut self.filled_s, now_s);
        self.spare.fill(passed_s);
        (self.peak.fill(passed_s), self.mean.fill(passed_s))
    }

    /// Takes note of what the picture took.
    pub(super) fn spend(&mut self, bits: usize) {
        // Half of its buffer is what x264 plans with. Beyond that it makes rows rougher than it was told, and does not say so.
        self.cut = bits as f64 > CUT * self.peak.bits;
        self.peak.bits -= bits as f64;
        self.mean.bits -= bits as f64;
    }

    /// Whether the last picture took so much that x264 may have made it rougher than it was told.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }
}

impl Bucket {
    fn set_rate(&mut self, per_s: f64, capacity_s: f64) {
        (self.per_s, self.capacity) = (per_s, per_s * capacity_s);
        self.bits = self.bits.min(self.capacity);
    }

    /// Lets so much time pass; answers how full it is, 1 at most, and below 0 when too much was spent.
    fn fill(&mut self, passed_s: f64) -> f64 {
        self.bits = (self.bits + passed_s * self.per_s).min(self.capacity);
        self.bits / self.capacity.max(1.0)
    }
}

/// What passed since `then`, which becomes `now_s`.
fn since(then: &mut Option<f64>, now_s: f64) -> f64 {
    then.replace(now_s).map_or(0.0, |then_s| (now_s - then_s).max(0.0))
}

/// The quantizer of a picture that the line has room for: text at it is like the original's.
pub(super) const FINEST: f64 = 22.0;
/// That of one for which nothing is left.
const ROUGHEST: f64 = 51.0;
/// The part of the buffer that a picture may take without being cut.
const CUT: f64 = 0.4;
/// How full is full enough for the finest.
const EASY: f64 = 0.75;
/// What the largest picture may take of the highest rate, in time: a key frame fits at fair quality, and waits no longer than this in a socket.
pub(super) const PEAK_S: f64 = 0.3;
/// Over what time the average is held.
const MEAN_S: f64 = 1.0;
/// The part of the average that pictures of others may take.
const SPARE: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 3_000_000;

    /// Pictures `every_s` for some seconds, each of as many bits as `cost` says of its quantizer; answers the bits of each second.
    fn run(control: &mut RateControl, from_s: f64, every_s: f64, seconds: usize, cost: impl Fn(f32) -> f64) -> Vec<f64> {
        let mut bits = vec![0.0; seconds];
        for number in 0..(seconds as f64 / every_s).round() as usize {
            let at_s = number as f64 * every_s;
            let spent = cost(control.plan(from_s + at_s).quantizer);
            control.spend(spent as usize);
            bits[at_s as usize] += spent;
        }
        bits
    }

    /// What 12 % less for each step of the quantizer makes of a picture of so many bits at the finest.
    fn motion(finest_bits: f64) -> impl Fn(f32) -> f64 {
        move |quantizer| finest_bits * 0.88_f64.powf(f64::from(quantizer) - FINEST)
    }

    #[test]
    fn motion_settles_at_the_average_whatever_it_costs() {
        for finest_bits in [150_000.0, 400_000.0, 1_000_000.0] {
            for max in [RATE, 2 * RATE] {
                let mut control = RateControl::new(30, RATE, max);
                let seconds = run(&mut control, 0.0, 1.0 / 30.0, 12, motion(finest_bits));
                let settled = &seconds[6..];
                assert!(settled.iter().all(|bits| (bits / f64::from(RATE) - 1.0).abs() < 0.05), "{finest_bits}, {max}: {seconds:?}");
                assert!(
                    seconds.iter().all(|bits| *bits < f64::from(max) * (1.0 + PEAK_S) + finest_bits),
                    "{finest_bits}, {max}: {seconds:?}"
                );
            }
        }
    }

    #[test]
    fn cheap_motion_is_as_fine_as_can_be() {
        let mut control = RateControl::new(30, RATE, RATE);
        run(&mut control, 0.0, 1.0 / 30.0, 3, motion(60_000.0));
        assert_eq!(f64::from(control.plan(3.0).quantizer), FINEST);
    }

    #[test]
    fn time_that_passes_is_credited_and_no_more() {
        let mut control = RateControl::new(30, RATE, RATE);
        let rate = f64::from(RATE);
        assert_eq!(control.plan(10.0).fill_bps, rate, "the first");
        assert_eq!(control.plan(10.036).fill_bps, rate, "with jitter");
        assert!((control.plan(10.136).fill_bps - 3.0 * rate).abs() < 1.0, "three periods later");
        assert!((control.plan(20.0).fill_bps - 0.9 * 0.3 * rate * 30.0).abs() < 1.0, "the buffer is full");
        assert_eq!(control.plan(19.0).fill_bps, rate, "a time that falls");
        let mut slow = RateControl::new(1, RATE, RATE);
        assert_eq!([slow.plan(0.0), slow.plan(1.0)].map(|plan| plan.fill_bps), [rate; 2], "a period that fills it");
    }

    #[test]
    fn others_have_a_part_of_the_average_and_take_it_from_the_rest() {
        let mut control = RateControl::new(30, RATE, RATE);
        control.plan(0.0);
        let taken = (0..300).filter(|nth| control.afford(f64::from(*nth) / 30.0, 30_000)).count();
        // A quarter of the rate for 10 s and what was saved up for a second before.
        let expected = (0.25 * f64::from(RATE) * 11.0 / 30_000.0) as usize;
        assert!(taken.abs_diff(expected) <= 1, "{taken} {expected}");
        let fine = control.plan(10.0).quantizer;
        assert!((0..8).all(|_| control.afford(11.0, 80_000)), "what a second brought");
        assert!(!control.afford(11.0, 150_000));
        let rough = control.plan(11.0).quantizer;
        assert!(f64::from(fine) == FINEST && rough > fine, "{fine} {rough}");
    }

    #[test]
    fn rest_makes_up_for_a_burst_and_a_lower_rate_counts_at_once() {
        let mut control = RateControl::new(30, RATE, RATE);
        control.plan(0.0);
        control.spend(1_200_000);
        let strained = control.plan(0.04).quantizer;
        assert!(f64::from(strained) > ROUGHEST - 1.0, "{strained}");
        assert_eq!(f64::from(control.plan(1.0).quantizer), FINEST);
        control.set_bitrate(RATE / 10, RATE / 10);
        control.spend(60_000);
        assert!(f64::from(control.plan(1.03).quantizer) > FINEST + 6.0);
    }
}
