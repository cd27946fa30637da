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
    let slices = nals(unit).filter(|nal| nal[0] & 0x1f == h264_nal::SLICE);
    let number = |nal: &[u8]| {
        let mut bits = Bits::new(nal, 8);
        (0..3).try_for_each(|_| bits.exp_golomb().map(drop))?;
        bits.take(kind.frame_num_bits)
    };
    slices.map(|nal| number(nal).expect("a header")).collect()
}

/// Shows the encoder's next picture, which is to be changed in place.
fn handle(splicer: &mut Splicer, unit: &mut [u8]) {
    assert_eq!(splicer.handle_unit(unit).expect("plain"), None);
}

/// Bits as they are written, with blanks, and bars up to whole bytes, behind a start code and a header, and escaped as they must be.
fn nal(header: u8, bits: &str) -> Vec<u8> {
    let mut payload = BitWriter::default();
    bits.bytes().for_each(|bit| match bit {
        b' ' => {}
        b'|' => payload.put_bytes(&[]),
        _ => payload.put(u32::from(bit - b'0'), 1),
    });
    let mut unit = Vec::new();
    append_nal(&mut unit, header, &payload.into_bytes());
    unit
}

#[test]
fn repetition_is_one_slice_that_skips_all() {
    for (deblocking_control, bits) in
        [(true, "1 00110 1 0001 000 1 010 00000000000111000010001 1"), (false, "1 00110 1 0001 000 1 00000000000111000010001 1")]
    {
        let kind = Kind { deblocking_control, ..PLAIN };
        let mut splicer = Splicer::new();
        handle(&mut splicer, &mut idr(kind));
        assert_eq!(splicer.repeat(), Some(nal(0x41, bits)));
    }
}

#[test]
fn what_follows_a_repetition_is_numbered_behind_it_up_to_the_next_idr_picture() {
    let mut splicer = Splicer::new();
    let mut sent = Vec::new();
    // The encoder's numbers; a letter repeats, a zero begins anew.
    let mut made = 0;
    for step in "0 1 r 2 3 rr 4 0 1 2 r".chars().filter(|step| *step != ' ') {
        let unit = match step {
            'r' => splicer.repeat().expect("a picture was there"),
            '0' => {
                made = 0;
                let mut unit = idr(PLAIN);
                let before = unit.clone();
                handle(&mut splicer, &mut unit);
                assert_eq!(unit, before, "an IDR picture has the number 0");
                unit
            }
            _ => {
                made += 1;
                let mut unit = p(PLAIN, made);
                handle(&mut splicer, &mut unit);
                unit
            }
        };
        sent.push(numbers(PLAIN, &unit));
    }
    let pair = |number| vec![number; 2];
    let expected = [vec![], pair(1), vec![2], pair(3), pair(4), vec![5], vec![6], pair(7), vec![], pair(1), pair(2), vec![3]];
    assert_eq!(sent, expected);
}

/// A picture of the size of [`idr`]'s, and what a block of it is: 256, 64 and 64 samples.
fn picture_of(luma: u8, blue: u8, red: u8) -> (Vec<u8>, String) {
    let (luma_bytes, chroma_bytes) = (1_280 * 720, 1_280 * 720 / 4);
    let picture = [vec![luma; luma_bytes], vec![blue; chroma_bytes], vec![red; chroma_bytes]].concat();
    let block = [(luma, 256), (blue, 64), (red, 64)].map(|(sample, count)| format!("{sample:08b}").repeat(count)).concat();
    (picture, block)
}

#[test]
fn patch_holds_samples_and_has_the_encoder_s_last_picture_kept_for_its_next() {
    let kind = Kind { reference_frames: 2, ..PLAIN };
    let (bytes, samples) = picture_of(200, 100, 150);
    let picture = I420::packed(&bytes, 1_280, 720).expect("sized");
    let mut splicer = Splicer::new();
    handle(&mut splicer, &mut idr(kind));
    // The first macroblock, a P slice, the parameter set, the number, the references; then one that may be kept: the last, and that is
    // all. The quantizer, no deblocking. Ten blocks skipped, one of samples from the next byte on, 3589 skipped.
    let first = format!("1 00110 1 0001 00 1 00101 010 00100 1 1 1 1 010 0001011 000011111 | {samples} 00000000000111000000110 1");
    assert_eq!(splicer.patch(&picture, &[10]), Some(nal(0x41, &first)));
    // The second knows of it. The last block is the picture's.
    let second = format!("1 00110 1 0010 00 0 1 010 1 000011111 | {samples} 00000000000111000001111 000011111 | {samples} 1");
    assert_eq!(splicer.patch(&picture, &[0, 3_599]), Some(nal(0x41, &second)));
    // What follows refers to what is kept, and that is enough of it.
    let mut unit = p(kind, 1);
    let referred = splicer.handle_unit(&mut unit).expect("plain").expect("longer");
    let slice = |first: &str| nal(0x41, &format!("{first} 00110 1 0011 0 1 011 1 00100 1 00101 1 1 1 1010 0110 1"));
    assert_eq!(referred, [slice("1"), slice("000000000011100001001")].concat());
    // The next one is like any other; and a patch behind it lets the one before that go.
    let mut unit = p(kind, 2);
    handle(&mut splicer, &mut unit);
    assert_eq!(numbers(kind, &unit), [4; 2]);
    let third = splicer.patch(&picture, &[10]).expect("a patch");
    let expected =
        format!("1 00110 1 0101 00 1 010 010 00101 010 00100 1 1 1 1 010 0001011 000011111 | {samples} 00000000000111000000110 1");
    assert_eq!(third, nal(0x41, &expected));
}

#[test]
fn patch_takes_room_for_two_and_blocks_that_are_in_the_picture() {
    let kind = Kind { reference_frames: 2, ..PLAIN };
    let (bytes, _) = picture_of(16, 128, 128);
    let picture = I420::packed(&bytes, 1_280, 720).expect("sized");
    let small = I420::packed(&bytes, 1_280, 704).expect("sized");
    let patch = |kind: Kind, picture: &I420<'_>, blocks: &[u32]| {
        let mut splicer = Splicer::new();
        handle(&mut splicer, &mut idr(kind));
        splicer.patch(picture, blocks)
    };
    assert!(patch(kind, &picture, &[0, 1, 3_599]).is_some());
    for (kind, picture, blocks) in [
        (kind, &picture, &[][..]),
        (kind, &picture, &[3_600]),
        (kind, &picture, &[2, 1]),
        (kind, &picture, &[1, 1]),
        (kind, &small, &[1]),
        (PLAIN, &picture, &[1]),
        (Kind { deblocking_control: false, ..kind }, &picture, &[1]),
    ] {
        assert_eq!(patch(kind, picture, blocks), None, "{kind:?} {blocks:?}");
    }
    assert_eq!(Splicer::new().patch(&picture, &[1]), None, "there was no picture yet");
}

#[test]
fn picture_that_cannot_refer_to_what_is_kept_is_refused() {
    let kind = Kind { reference_frames: 2, ..PLAIN };
    let (bytes, _) = picture_of(16, 128, 128);
    let picture = I420::packed(&bytes, 1_280, 720).expect("sized");
    // One that orders its references, one that marks others, one that nobody refers to, one that is cut off.
    for (header, bits) in
        [(0x41, "1 00110 1 0001 0 1 0 1"), (0x41, "1 00110 1 0001 0 0 1 1"), (0x01, "1 00110 1 0001 0 0 0 1"), (0x41, "1 00110 1")]
    {
        let mut splicer = Splicer::new();
        handle(&mut splicer, &mut idr(kind));
        assert!(splicer.patch(&picture, &[7]).is_some());
        assert!(splicer.handle_unit(&mut nal(header, bits)).is_err(), "{bits}");
        assert_eq!(splicer.repeat(), None, "what follows it is lost");
        handle(&mut splicer, &mut idr(kind));
        assert!(splicer.repeat().is_some());
    }
}

#[test]
fn stream_that_is_not_plain_is_left_alone() {
    let kinds = [
        Kind { arithmetic: true, ..PLAIN },
        Kind { weighted: true, ..PLAIN },
        Kind { order_type: 0, ..PLAIN },
        Kind { reference_frames: 3, ..PLAIN },
        Kind { frame_num_bits: 7, ..PLAIN },
    ];
    for kind in kinds {
        let mut splicer = Splicer::new();
        handle(&mut splicer, &mut idr(PLAIN));
        assert!(splicer.repeat().is_some());
        handle(&mut splicer, &mut idr(kind));
        assert_eq!(splicer.repeat(), None, "{kind:?}");
        let mut unit = p(kind, 1);
        let before = unit.clone();
        handle(&mut splicer, &mut unit);
        assert_eq!(unit, before, "{kind:?}");
    }
}

proptest! {
    #[test]
    fn numbers_go_round(frame_num_bits in 4_u32..=LONGEST_NUMBER, steps in proptest::collection::vec(any::<bool>(), 1..200)) {
        let kind = Kind { frame_num_bits, ..PLAIN };
        let mut splicer = Splicer::new();
        handle(&mut splicer, &mut idr(kind));
        let (mut made, mask) = (0, (1 << frame_num_bits) - 1);
        for (nth, repeats) in (1_u32..).zip(steps) {
            let unit = if repeats {
                splicer.repeat().expect("a picture was there")
            } else {
                made += 1;
                let mut unit = p(kind, made & mask);
                let length = unit.len();
                handle(&mut splicer, &mut unit);
                prop_assert_eq!(unit.len(), length);
                unit
            };
            prop_assert!(numbers(kind, &unit).into_iter().all(|number| number == nth & mask));
        }
    }

    #[test]
    fn any_bytes_are_taken(mut bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0x65), Just(0x41), any::<u8>()], 0..100)) {
        let mut splicer = Splicer::new();
        handle(&mut splicer, &mut idr(PLAIN));
        let _ = splicer.handle_unit(&mut bytes);
        let _ = splicer.repeat();
    }
}
