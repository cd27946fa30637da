use std::collections::VecDeque;
use std::sync::Arc;

use super::clip::packets;
use crate::av::{Picture, Threads, VideoDecoder};
use crate::lend::{Lender, Pool};
use crate::map::Region;
use crate::{Codec, Packet, VideoFormat};

/// Bytes of a slot behind the picture, which a decoder must leave alone.
const TAIL: usize = 4_096;
const MARK: u8 = 0xa5;

fn source(width: u32, height: u32) -> String {
    format!("testsrc2=size={width}x{height}:rate=25:duration=1,noise=alls=20")
}

fn pool(slots: usize, width: u32, height: u32) -> Arc<Pool> {
    let format = VideoFormat::new(width, height, 25).expect("a format");
    let region = Region::new(slots, format.i420_bytes() + TAIL).expect("memory");
    for slot in 0..slots {
        // SAFETY: the slot has `TAIL` bytes behind its picture, and nobody else uses them.
        unsafe { region.slot(slot).as_ptr().wrapping_add(format.i420_bytes()).write_bytes(MARK, TAIL) };
    }
    Arc::new(Pool::new(region, format))
}

fn lender(pool: &Arc<Pool>) -> Lender {
    let lender = Lender::default();
    lender.offer(Some(Arc::clone(pool)));
    lender
}

fn samples(picture: &Picture) -> Vec<u8> {
    let view = picture.as_i420().expect("planar");
    let planes = [(view.y, view.width, view.height), (view.u, view.width / 2, view.height / 2), (view.v, view.width / 2, view.height / 2)];
    planes.iter().flat_map(|(plane, width, height)| (0..*height).flat_map(|y| plane.row(y, *width).to_vec())).collect()
}

/// Decodes as the server does: the picture is published when it comes, and the one before it is kept a little longer. Says how many
/// pictures were in a slot, and what the pictures were.
fn decode(mut decoder: VideoDecoder, packets: &[Packet], pool: &Arc<Pool>) -> (usize, Vec<Vec<u8>>) {
    let (mut in_place, mut seen, mut kept) = (0, Vec::new(), VecDeque::new());
    for packet in packets {
        decoder.send(packet).expect("a good packet");
        while let Some(picture) = decoder.receive().expect("a good packet") {
            match picture.slot_in(pool) {
                Some(slot) => {
                    in_place += 1;
                    pool.publish(slot);
                }
                None => pool.publish(pool.take().expect("one is left for a copy").index()),
            }
            seen.push(samples(&picture));
            kept.push_back(picture);
            if kept.len() > 1 {
                kept.pop_front();
            }
        }
    }
    (in_place, seen)
}

#[test]
fn pictures_made_in_slots_are_those_of_ffmpegs_own_memory() {
    for (codec, options, slots, most_copied) in [
        (Codec::Mpeg1Video, "-c:v mpeg1video -bf 0 -b:v 3000k", 4, 0),
        (Codec::H264, "-c:v libx264 -preset ultrafast -tune zerolatency", 4, 0),
        (Codec::H264, "-c:v libx264 -preset veryfast -bf 0 -refs 2 -x264-params slices=4:keyint=20", 4, 0),
        (Codec::H264, "-c:v libx264 -preset medium -bf 0 -refs 5 -x264-params weightp=2", 16, 0),
        (Codec::H264, "-c:v libx264 -preset medium -bf 0 -refs 3", 4, 20),
        (Codec::Vp8, "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 2M", 8, 0),
    ] {
        let muxed =
            if codec == Codec::Vp8 { super::clip::ivf(&source(640, 480), options) } else { packets(&source(640, 480), codec, options) };
        let (pool, spare) = (pool(slots, 640, 480), pool(slots, 640, 480));
        let lent = VideoDecoder::open_in(&lender(&pool), codec, None, Threads::Slices).expect("a decoder");
        let (in_place, pictures) = decode(lent, &muxed, &pool);
        let (none, plain) = decode(VideoDecoder::new(codec).expect("a decoder"), &muxed, &spare);
        assert_eq!((pictures.len(), none), (muxed.len(), 0), "{options}");
        assert!(pictures == plain, "{options}: pictures differ");
        assert!(muxed.len() - in_place <= most_copied, "{options}: {in_place} of {} in place", muxed.len());
        for slot in 0..slots {
            // SAFETY: the slot has `TAIL` bytes behind its picture and a spare page behind these; the decoder is gone.
            let behind = unsafe { std::slice::from_raw_parts(pool.place(slot).wrapping_add(640 * 480 * 3 / 2), 2 * TAIL) };
            assert!(behind[..TAIL].iter().all(|&byte| byte == MARK), "{options}: written behind slot {slot}");
            assert!(behind[TAIL..].iter().all(|&byte| byte == 0), "{options}: written far behind slot {slot}");
        }
    }
}

#[test]
fn what_does_not_fit_a_slot_is_decoded_elsewhere() {
    for (codec, size, slot, options, threads) in [
        (Codec::H264, (640, 360), (640, 360), "-c:v libx264 -preset ultrafast -tune zerolatency", Threads::Slices),
        (Codec::H264, (864, 480), (864, 480), "-c:v libx264 -preset ultrafast -tune zerolatency", Threads::Slices),
        (Codec::H264, (640, 480), (1280, 720), "-c:v libx264 -preset ultrafast -tune zerolatency", Threads::Slices),
        (Codec::H264, (640, 480), (640, 480), "-pix_fmt yuv444p -c:v libx264 -preset ultrafast -tune zerolatency", Threads::Slices),
        (Codec::H264, (640, 480), (640, 480), "-pix_fmt yuvj420p -c:v libx264 -preset ultrafast -tune zerolatency", Threads::Slices),
        (Codec::H264, (640, 480), (640, 480), "-c:v libx264 -preset ultrafast -tune zerolatency", Threads::Frames),
        (Codec::Mpeg2Video, (640, 480), (640, 480), "-c:v mpeg2video -bf 0", Threads::Slices),
    ] {
        let packets = packets(&source(size.0, size.1), codec, options);
        let pool = pool(4, slot.0, slot.1);
        let mut decoder = VideoDecoder::open_in(&lender(&pool), codec, None, threads).expect("a decoder");
        let mut pictures = 0;
        for packet in &packets {
            decoder.send(packet).expect("a good packet");
            while let Some(picture) = decoder.receive().expect("a good packet") {
                pictures += 1;
                assert_eq!(picture.slot_in(&pool), None, "{size:?} {options}");
            }
        }
        assert!(pictures > 15 && !decoder.is_lent(), "{size:?} {options}");
    }
}

#[test]
fn stream_outlives_the_pool_it_began_in() {
    for (codec, options) in
        [(Codec::Mpeg1Video, "-c:v mpeg1video -bf 0"), (Codec::H264, "-c:v libx264 -preset ultrafast -tune zerolatency")]
    {
        let packets = packets(&source(640, 480), codec, options);
        let pool = pool(4, 640, 480);
        let lender = lender(&pool);
        let mut decoder = VideoDecoder::open_in(&lender, codec, None, Threads::Slices).expect("a decoder");
        let mut last = None;
        for (number, packet) in packets.iter().enumerate() {
            if number == 10 {
                assert!(decoder.is_lent());
                lender.offer(None);
            }
            decoder.send(packet).expect("strides that stay the same");
            while let Some(picture) = decoder.receive().expect("a good packet") {
                last = Some(picture);
            }
        }
        let (last, expected) = (last.expect("pictures"), {
            let mut plain = VideoDecoder::new(codec).expect("a decoder");
            let mut last = None;
            for packet in &packets {
                plain.send(packet).expect("a good packet");
                last = plain.receive().expect("a good packet").or(last);
            }
            last.expect("pictures")
        });
        assert!(samples(&last) == samples(&expected) && last.slot_in(&pool).is_none(), "{options}");
        drop(decoder);
        let mut leases = Vec::new();
        leases.extend(std::iter::from_fn(|| pool.lend()));
        assert_eq!(leases.len(), 3, "every slot came back");
    }
}
