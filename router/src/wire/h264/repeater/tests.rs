use proptest::prelude::*;

use super::*;

/// What [`Stream::of`] is to be like.
#[derive(Clone, Copy, Debug)]
struct Kind {
    frame_num_bits: u32,
    order_type: u32,
    reference_frames: u32,
    arithmetic: bool,
    weighted: bool,
    deblocking_control: bool,
}

const PLAIN: Kind =
    Kind { frame_num_bits: 4, order_type: 2, reference_frames: 1, arithmetic: false, weighted: false, deblocking_control: true };

fn unit(header: u8, write: impl FnOnce(&mut BitWriter)) -> Vec<u8> {
    let mut bits = BitWriter::behind(vec![0, 0, 0, 1, header]);
    write(&mut bits);
    bits.put(1, 1);
    bits.into_bytes()
}

/// An IDR picture of 80 by 45 macroblocks with its parameter sets.
fn idr(kind: Kind) -> Vec<u8> {
    let mut bytes = unit(0x67, |sps| {
        sps.put(66 << 16 | 0xc0 << 8 | 31, 24);
        sps.put_exp_golomb(0);
        sps.put_exp_golomb(kind.frame_num_bits - 4);
        sps.put_exp_golomb(kind.order_type);
        if kind.order_type == 0 {
            sps.put_exp_golomb(2);
        }
        sps.put_exp_golomb(kind.reference_frames);
        sps.put(0, 1);
        sps.put_exp_golomb(79);
        sps.put_exp_golomb(44);
        // Frames only, 8x8 inference, no cropping, no usability information.
        sps.put(0b1100, 4);
    });
    bytes.extend(unit(0x68, |pps| {
        pps.put_exp_golomb(0);
        pps.put_exp_golomb(0);
        pps.put(u32::from(kind.arithmetic), 1);
        pps.put(0, 1);
        (0..3).for_each(|_| pps.put_exp_golomb(0));
        pps.put(u32::from(kind.weighted), 1);
        pps.put(0, 2);
        (0..3).for_each(|_| pps.put_exp_golomb(0));
        pps.put(u32::from(kind.deblocking_control), 1);
        pps.put(0, 2);
    }));
    bytes.extend(unit(0x65, |slice| {
        slice.put_exp_golomb(0);
        slice.put_exp_golomb(7);
        slice.put_exp_golomb(0);
        slice.put(0, kind.frame_num_bits);
        slice.put_exp_golomb(1);
    }));
    bytes
}

/// A P picture of two slices, with this number.
fn p(kind: Kind, frame_num: u32) -> Vec<u8> {
    let slice = |first| {
        unit(0x41, |slice| {
            slice.put_exp_golomb(first);
            slice.put_exp_golomb(5);
            slice.put_exp_golomb(0);
            slice.put(frame_num, kind.frame_num_bits);
            slice.put(0b0001_1010_0110, 12);
        })
    };
    [slice(0), slice(1_800)].concat()
}

/// The numbers in a picture's slices.
fn numbers(kind: Kind, unit: &[u8]) -> Vec<u32> {
    let slices = crate::wire::annexb::nals(unit).filter(|nal| nal[0] & 0x1f == h264_nal::SLICE);
    let number = |nal: &[u8]| {
        let mut bits = Bits::new(nal, 8);
        (0..3).try_for_each(|_| bits.exp_golomb().map(drop))?;
        bits.take(kind.frame_num_bits)
    };
    slices.map(|nal| number(nal).expect("a header")).collect()
}

#[test]
fn repetition_is_one_slice_that_skips_all() {
    for (deblocking_control, bits) in
        [(true, "1 00110 1 0001 000 1 010 00000000000111000010001 1"), (false, "1 00110 1 0001 000 1 00000000000111000010001 1")]
    {
        let kind = Kind { deblocking_control, ..PLAIN };
        let mut repeater = Repeater::new();
        repeater.handle_unit(&mut idr(kind));
        let mut expected = BitWriter::behind(vec![0, 0, 0, 1, 0x41]);
        bits.bytes().filter(|&bit| bit != b' ').for_each(|bit| expected.put(u32::from(bit - b'0'), 1));
        assert_eq!(repeater.repeat(), Some(expected.into_bytes()));
    }
}

#[test]
fn what_follows_a_repetition_is_numbered_behind_it_up_to_the_next_idr_picture() {
    let mut repeater = Repeater::new();
    let mut sent = Vec::new();
    // The encoder's numbers; a letter repeats, a zero begins anew.
    let mut made = 0;
    for step in "0 1 r 2 3 rr 4 0 1 2 r".chars().filter(|step| *step != ' ') {
        let unit = match step {
            'r' => repeater.repeat().expect("a picture was there"),
            '0' => {
                made = 0;
                let mut unit = idr(PLAIN);
                let before = unit.clone();
                repeater.handle_unit(&mut unit);
                assert_eq!(unit, before, "an IDR picture has the number 0");
                unit
            }
            _ => {
                made += 1;
                let mut unit = p(PLAIN, made);
                repeater.handle_unit(&mut unit);
                unit
            }
        };
        sent.push(numbers(PLAIN, &unit));
    }
    let pair = |number| vec![number; 2];
    let expected = [vec![], pair(1), vec![2], pair(3), pair(4), vec![5], vec![6], pair(7), vec![], pair(1), pair(2), vec![3]];
    assert_eq!(sent, expected);
}

#[test]
fn stream_that_is_not_plain_is_left_alone() {
    let kinds = [
        Kind { arithmetic: true, ..PLAIN },
        Kind { weighted: true, ..PLAIN },
        Kind { order_type: 0, ..PLAIN },
        Kind { reference_frames: 2, ..PLAIN },
        Kind { frame_num_bits: 7, ..PLAIN },
    ];
    for kind in kinds {
        let mut repeater = Repeater::new();
        repeater.handle_unit(&mut idr(PLAIN));
        assert!(repeater.repeat().is_some());
        repeater.handle_unit(&mut idr(kind));
        assert_eq!(repeater.repeat(), None, "{kind:?}");
        let mut unit = p(kind, 1);
        let before = unit.clone();
        repeater.handle_unit(&mut unit);
        assert_eq!(unit, before, "{kind:?}");
    }
}

proptest! {
    #[test]
    fn numbers_go_round(frame_num_bits in 4_u32..=LONGEST_NUMBER, steps in proptest::collection::vec(any::<bool>(), 1..200)) {
        let kind = Kind { frame_num_bits, ..PLAIN };
        let mut repeater = Repeater::new();
        repeater.handle_unit(&mut idr(kind));
        let (mut made, mask) = (0, (1 << frame_num_bits) - 1);
        for (nth, repeats) in (1_u32..).zip(steps) {
            let unit = if repeats {
                repeater.repeat().expect("a picture was there")
            } else {
                made += 1;
                let mut unit = p(kind, made & mask);
                let length = unit.len();
                repeater.handle_unit(&mut unit);
                prop_assert_eq!(unit.len(), length);
                unit
            };
            prop_assert!(numbers(kind, &unit).into_iter().all(|number| number == nth & mask));
        }
    }

    #[test]
    fn any_bytes_are_taken(mut bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0x65), Just(0x41), any::<u8>()], 0..100)) {
        let mut repeater = Repeater::new();
        repeater.handle_unit(&mut idr(PLAIN));
        repeater.handle_unit(&mut bytes);
        let _ = repeater.repeat();
    }
}
