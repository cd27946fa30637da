use proptest::prelude::*;

use super::{Chroma, Planar, SampleRange, Scaler};
use crate::{I420, I420Mut, Plane};

/// Planes of a picture, each row followed by `padding` bytes but the last.
struct Samples {
    width: usize,
    height: usize,
    padding: usize,
    planes: [Vec<u8>; 3],
}

impl Samples {
    fn new((width, height): (usize, usize), padding: usize, sample: impl Fn(usize, usize, usize) -> u8) -> Self {
        let plane = |plane: usize| {
            let (width, height) = if plane == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) };
            let stride = width + padding;
            (0..stride * (height - 1) + width).map(|n| sample(plane, n % stride, n / stride)).collect()
        };
        Self { width, height, padding, planes: [plane(0), plane(1), plane(2)] }
    }

    /// What cannot be guessed from its neighbours, so that any weight that is off shows.
    fn noise(size: (usize, usize), padding: usize) -> Self {
        Self::new(size, padding, |plane, x, y| {
            let n = (x as u32).wrapping_mul(73_856_093) ^ (y as u32).wrapping_mul(19_349_663) ^ (plane as u32).wrapping_mul(83_492_791);
            (n.wrapping_mul(2_654_435_761) >> 24) as u8
        })
    }

    fn view(&self) -> I420<'_> {
        let plane = |plane: usize, width: usize| Plane { data: &self.planes[plane], stride: width + self.padding };
        let half = self.width.div_ceil(2);
        I420 { width: self.width, height: self.height, y: plane(0, self.width), u: plane(1, half), v: plane(2, half) }
    }
}

/// A canvas of guard bytes with a window in it.
struct Canvas {
    bytes: Vec<u8>,
    size: (usize, usize),
}

impl Canvas {
    fn scaled(scaler: &mut Scaler, source: &I420<'_>, range: SampleRange, size: (usize, usize)) -> Self {
        let mut canvas = Self { bytes: vec![GUARD; (size.0 + 8) * (size.1 + 8) * 3 / 2], size };
        let mut whole = I420Mut::packed(&mut canvas.bytes, size.0 as u32 + 8, size.1 as u32 + 8).expect("sized");
        scaler.scale(source, range, &mut whole.window(4, 4, size.0, size.1));
        canvas
    }

    fn plane(&self, plane: usize) -> (Plane<'_>, usize, usize) {
        let whole = I420::packed(&self.bytes, self.size.0 as u32 + 8, self.size.1 as u32 + 8).expect("sized");
        let (of, half) = ([whole.y, whole.u, whole.v][plane], if plane == 0 { 1 } else { 2 });
        (of, self.size.0 / half, self.size.1 / half)
    }

    fn row(&self, plane: usize, y: usize) -> &[u8] {
        let (of, width, _) = self.plane(plane);
        let border = if plane == 0 { 4 } else { 2 };
        &of.data[(y + border) * of.stride + border..][..width]
    }

    fn samples(&self, plane: usize) -> impl Iterator<Item = u8> {
        (0..self.plane(plane).2).flat_map(move |y| self.row(plane, y).iter().copied())
    }

    /// How many bytes outside the window are not as they were.
    fn trespasses(&self) -> usize {
        (0..3)
            .map(|plane| {
                let (of, width, height) = self.plane(plane);
                let border = if plane == 0 { 4 } else { 2 };
                let inside = |n: usize| {
                    let (x, y) = (n % of.stride, n / of.stride);
                    (border..border + width).contains(&x) && (border..border + height).contains(&y)
                };
                of.data.iter().enumerate().filter(|&(n, &sample)| !inside(n) && sample != GUARD).count()
            })
            .sum()
    }
}

/// The source samples that make target sample `at` and their weights, as the room's doc has it, in exact arithmetic.
fn weights(at: usize, (source, target): (usize, usize), samples: usize) -> Vec<(usize, f64)> {
    let ratio = source as f64 / target as f64;
    let last = samples - 1;
    if ratio <= 2.0 {
        let middle = ((at as f64 + 0.5) * ratio - 0.5).clamp(0.0, last as f64);
        let first = middle.floor() as usize;
        return vec![(first, 1.0 - middle.fract()), ((first + 1).min(last), middle.fract())];
    }
    let (start, end) = (at as f64 * ratio, (at as f64 + 1.0) * ratio);
    let share = |n: usize| (((n + 1) as f64).min(end) - (n as f64).max(start)).max(0.0) / ratio;
    (start as usize..samples.min(end.ceil() as usize)).map(|n| (n, share(n))).collect()
}

/// A plane scaled in exact arithmetic.
fn exact(source: &Samples, range: SampleRange, size: (usize, usize), plane: usize) -> Vec<f64> {
    let half = if plane == 0 { 1 } else { 2 };
    let (width, height) = (source.width.div_ceil(half), source.height.div_ceil(half));
    let level = |sample: f64| match (range, plane) {
        (SampleRange::Limited, _) => sample,
        (SampleRange::Full, 0) => 16.0 + sample * 219.0 / 255.0,
        (SampleRange::Full, _) => 128.0 + (sample - 128.0) * 224.0 / 255.0,
    };
    let across: Vec<_> = (0..size.0 / half).map(|x| weights(x, (source.width, size.0), width)).collect();
    let mut exact = Vec::new();
    for y in 0..size.1 / half {
        let down = weights(y, (source.height, size.1), height);
        let at = |x: usize| down.iter().map(|&(y, part)| part * f64::from(source.planes[plane][y * (width + source.padding) + x])).sum();
        let row: Vec<f64> = (0..width).map(at).collect();
        exact.extend(across.iter().map(|taps| level(taps.iter().map(|&(x, part)| part * row[x]).sum())));
    }
    exact
}

/// The largest error of all planes, and the mean square one.
fn errors(source: &Samples, range: SampleRange, canvas: &Canvas) -> (f64, f64) {
    let errors = (0..3).flat_map(|plane| {
        let expected = exact(source, range, canvas.size, plane);
        assert_eq!(expected.len(), canvas.samples(plane).count());
        expected.into_iter().zip(canvas.samples(plane)).map(|(expected, sample)| (expected - f64::from(sample)).abs()).collect::<Vec<_>>()
    });
    let (largest, squares, count) = errors.fold((0.0_f64, 0.0, 0), |(l, s, n), error| (l.max(error), s + error * error, n + 1));
    (largest, squares / f64::from(count))
}

/// What an error may come to: weights of 8 bits and rounding, half a sample each, across and down; and rounding to limited range.
fn most(range: SampleRange) -> f64 {
    if range == SampleRange::Full { 2.3 } else { 2.0 }
}

const GUARD: u8 = 170;

/// From and to, among them those that are seen most and those that are odd.
const GEOMETRIES: [((usize, usize), (usize, usize)); 14] = [
    ((1_920, 1_080), (1_280, 720)),
    ((1_280, 720), (960, 540)),
    ((640, 360), (1_280, 720)),
    ((853, 480), (1_278, 720)),
    ((1_080, 1_920), (404, 720)),
    ((64, 64), (720, 720)),
    ((720, 576), (960, 720)),
    ((1_279, 719), (1_280, 720)),
    ((2_560, 1_440), (1_280, 720)),
    ((1_366, 768), (320, 180)),
    ((1_280, 17), (1_280, 30)),
    ((17, 720), (30, 720)),
    ((1_281, 721), (2, 2)),
    ((1, 1), (34, 18)),
];

/// Chroma that grows from left to right and from top to bottom.
fn slope(width: usize, height: usize) -> Vec<u8> {
    let at = |at: usize, side: usize| (at as f64 + 0.5) / side as f64;
    (0..width * height).map(|n| (20.0 + 100.0 * at(n % width, width) + 100.0 * at(n / width, height)).round() as u8).collect()
}

#[test]
fn chroma_of_every_sampling_lands_in_the_same_place() {
    let (width, height) = (320, 180);
    let luma = vec![90; width * height];
    for (target_width, target_height) in [(320, 180), (640, 360), (128, 72), (200, 180)] {
        let draw = |chroma: Chroma, portable: bool| {
            let (wide, high) = match chroma {
                Chroma::Full => (width, height),
                Chroma::Half => (width / 2, height),
                Chroma::Quarter => (width / 2, height / 2),
            };
            let samples = slope(wide, high);
            let plane = Plane { data: &samples, stride: wide };
            let source = Planar { width, height, chroma, y: Plane { data: &luma, stride: width }, u: plane, v: plane };
            let mut bytes = vec![0; target_width * target_height * 3 / 2];
            let mut scaler = if portable { Scaler::portable() } else { Scaler::new() };
            let mut target = I420Mut::packed(&mut bytes, target_width as u32, target_height as u32).expect("sized");
            scaler.scale_planar(&source, SampleRange::Limited, &mut target);
            bytes
        };
        let expected = slope(target_width / 2, target_height / 2);
        for chroma in [Chroma::Full, Chroma::Half, Chroma::Quarter] {
            let drawn = draw(chroma, false);
            assert_eq!(drawn, draw(chroma, true), "{chroma:?}: the same on every machine");
            let (luma, rest) = drawn.split_at(target_width * target_height);
            assert!(luma.iter().all(|&sample| sample == 90));
            for plane in rest.chunks(expected.len()) {
                let worst = plane.iter().zip(&expected).map(|(drawn, expected)| drawn.abs_diff(*expected)).max();
                assert!(worst <= Some(2), "{chroma:?} at {target_width}x{target_height}: {worst:?}");
            }
        }
    }
}

#[test]
fn samples_are_near_exact_arithmetic() {
    for (from, to) in GEOMETRIES {
        for range in [SampleRange::Limited, SampleRange::Full] {
            let source = Samples::noise(from, 5);
            let canvas = Canvas::scaled(&mut Scaler::new(), &source.view(), range, to);
            let (largest, square) = errors(&source, range, &canvas);
            assert!(largest <= most(range), "{from:?} to {to:?}, {range:?}: off by {largest}");
            // 50 dB.
            assert!(square <= 255.0 * 255.0 / 1e5, "{from:?} to {to:?}, {range:?}: mean square error {square}");
            assert_eq!(canvas.trespasses(), 0, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn every_machine_makes_the_same_samples() {
    for (from, to) in GEOMETRIES {
        for range in [SampleRange::Limited, SampleRange::Full] {
            let source = Samples::noise(from, 0);
            let fast = Canvas::scaled(&mut Scaler::new(), &source.view(), range, to);
            let portable = Canvas::scaled(&mut Scaler::portable(), &source.view(), range, to);
            assert!(fast.bytes == portable.bytes, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn flat_colour_stays_flat() {
    for (from, to) in [((96, 50), (64, 34)), ((50, 37), (98, 60)), ((130, 70), (30, 20)), ((44, 44), (44, 44))] {
        let mut scaler = Scaler::new();
        for value in 0..=255 {
            let source = Samples::new(from, 3, |plane, _, _| if plane == 0 { value } else { 255 - value });
            let canvas = Canvas::scaled(&mut scaler, &source.view(), SampleRange::Limited, to);
            assert!(canvas.samples(0).all(|sample| sample == value), "{from:?} to {to:?}: luma {value}");
            assert!(canvas.samples(1).chain(canvas.samples(2)).all(|sample| sample == 255 - value), "{from:?} to {to:?}: chroma {value}");
        }
    }
}

#[test]
fn gradients_stay_monotone_and_reach_the_edges() {
    for (from, to) in [((256, 256), (170, 172)), ((128, 128), (720, 354)), ((256, 250), (60, 62)), ((255, 201), (256, 202))] {
        let step = |at: usize, side: usize| (at * 255 / (side - 1)) as u8;
        let across = Samples::new(from, 0, |plane, x, _| if plane == 0 { step(x, from.0) } else { 128 });
        let down = Samples::new(from, 0, |plane, _, y| if plane == 0 { step(y, from.1) } else { 128 });
        let across = Canvas::scaled(&mut Scaler::new(), &across.view(), SampleRange::Limited, to);
        let down = Canvas::scaled(&mut Scaler::new(), &down.view(), SampleRange::Limited, to);
        let row = across.row(0, to.1 / 2);
        let column: Vec<u8> = (0..to.1).map(|y| down.row(0, y)[to.0 / 2]).collect();
        for line in [row, column.as_slice()] {
            assert!(line.is_sorted(), "{from:?} to {to:?}: {line:?}");
            assert!(line[0] <= 3 && line[line.len() - 1] >= 252, "{from:?} to {to:?}: {line:?}");
        }
    }
}

#[test]
fn checkers_scaled_down_turn_grey() {
    let source = Samples::new((640, 480), 0, |_, x, y| if (x + y) % 2 == 0 { 235 } else { 16 });
    for to in [(320, 240), (160, 120), (128, 96), (80, 60)] {
        let canvas = Canvas::scaled(&mut Scaler::new(), &source.view(), SampleRange::Limited, to);
        // Five samples under one leave one of 25 over; a fraction of one never more than that.
        assert!(canvas.samples(0).all(|sample| sample.abs_diff(126) <= 5), "{to:?}: {:?}", canvas.row(0, 9));
    }
}

#[test]
fn same_size_is_a_copy_and_limited_when_it_was_full() {
    let source = Samples::noise((66, 34), 7);
    let copy = Canvas::scaled(&mut Scaler::new(), &source.view(), SampleRange::Limited, (66, 34));
    assert!((0..34).all(|y| copy.row(0, y) == source.view().y.row(y, 66)));
    assert!((0..17).all(|y| copy.row(2, y) == source.view().v.row(y, 33)));
    let source = Samples::new((66, 34), 7, |plane, x, _| [[0, 255], [0, 128], [128, 255]][plane][x % 2]);
    let limited = Canvas::scaled(&mut Scaler::new(), &source.view(), SampleRange::Full, (66, 34));
    assert_eq!(
        [limited.row(0, 33), limited.row(1, 16), limited.row(2, 16)].map(|row| [row[0], row[1]]),
        [[16, 235], [16, 128], [128, 240]]
    );
}

#[test]
fn one_scaler_takes_geometries_in_turn() {
    let mut scaler = Scaler::new();
    for (from, to) in GEOMETRIES.into_iter().skip(3).step_by(2).cycle().take(11) {
        let source = Samples::noise(from, 0);
        let again = Canvas::scaled(&mut scaler, &source.view(), SampleRange::Limited, to);
        assert!(again.bytes == Canvas::scaled(&mut Scaler::new(), &source.view(), SampleRange::Limited, to).bytes, "{from:?} to {to:?}");
    }
}

#[test]
fn nothing_is_made_of_nothing() {
    let source = Samples::noise((16, 16), 0);
    let empty = I420 { width: 0, ..source.view() };
    let canvas = Canvas::scaled(&mut Scaler::new(), &empty, SampleRange::Limited, (16, 16));
    assert!(canvas.bytes.iter().all(|&sample| sample == GUARD));
}

proptest! {
    #[test]
    fn any_size_to_any_size(
        from in (1_usize..200, 1_usize..200), half in (1_usize..100, 1_usize..100), padding in 0_usize..40, full in any::<bool>(),
    ) {
        let (to, range) = ((half.0 * 2, half.1 * 2), if full { SampleRange::Full } else { SampleRange::Limited });
        let source = Samples::noise(from, padding);
        let canvas = Canvas::scaled(&mut Scaler::new(), &source.view(), range, to);
        prop_assert_eq!(canvas.trespasses(), 0);
        prop_assert!(canvas.bytes == Canvas::scaled(&mut Scaler::portable(), &source.view(), range, to).bytes);
        let (largest, _) = errors(&source, range, &canvas);
        prop_assert!(largest <= most(range), "off by {}", largest);
    }
}
