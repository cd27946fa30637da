use std::time::Instant;

use super::clip::packets;
use crate::av::{Painter, Picture, VideoDecoder};
use crate::{Codec, I420, I420Mut, Packet};

fn first_picture(source: &str, codec: Codec, options: &str) -> Picture {
    let packets: Vec<Packet> = packets(source, codec, options);
    let mut decoder = VideoDecoder::new(codec).expect("a decoder");
    decoder.send(&packets[0]).expect("a good packet");
    decoder.flush();
    decoder.receive().expect("a good packet").expect("a picture")
}

fn plain(colour: &str, size: &str, pixel_format: &str) -> Picture {
    let source = format!("color={colour}:size={size}:rate=25:duration=1");
    first_picture(&source, Codec::H264, &format!("-pix_fmt {pixel_format} -c:v libx264 -preset ultrafast -qp 4"))
}

fn canvas(width: u32, height: u32, fill: u8) -> Vec<u8> {
    vec![fill; (width * height * 3 / 2) as usize]
}

#[test]
fn picture_of_the_canvas_size_is_copied() {
    let picture = first_picture("testsrc2=size=320x240:rate=25:duration=1", Codec::Mpeg1Video, "-c:v mpeg1video");
    let mut bytes = canvas(320, 240, 7);
    let mut view = I420Mut::packed(&mut bytes, 320, 240).expect("sized");
    Painter::new().draw(&picture, &mut view).expect("drawn");
    let (drawn, source) = (view.as_i420(), picture.as_i420().expect("planar"));
    for row in 0..240 {
        assert_eq!(drawn.y.row(row, 320), source.y.row(row, 320));
    }
    for row in 0..120 {
        assert_eq!(drawn.u.row(row, 160), source.u.row(row, 160));
        assert_eq!(drawn.v.row(row, 160), source.v.row(row, 160));
    }
}

#[test]
fn every_pixel_format_is_drawn_in_limited_range_with_black_around_it() {
    for pixel_format in ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le"] {
        let picture = plain("white", "160x160", pixel_format);
        let mut bytes = canvas(320, 240, 7);
        let mut view = I420Mut::packed(&mut bytes, 320, 240).expect("sized");
        Painter::new().draw(&picture, &mut view).expect("drawn");
        let view = view.as_i420();
        for row in 0..240 {
            let luma = view.y.row(row, 320);
            assert!(luma[..40].iter().chain(&luma[280..]).all(|&sample| sample == 16), "{pixel_format}: border of row {row}");
            assert!(luma[40..280].iter().all(|&sample| sample.abs_diff(235) <= 2), "{pixel_format}: {:?}", &luma[38..60]);
        }
        for row in 0..120 {
            for chroma in [view.u.row(row, 160), view.v.row(row, 160)] {
                assert!(chroma.iter().all(|&sample| sample.abs_diff(128) <= 2), "{pixel_format}: chroma of row {row}");
            }
        }
    }
}

#[test]
fn border_is_painted_when_it_moved_and_when_told() {
    let picture = plain("white", "160x160", "yuv420p");
    let mut painter = Painter::new();
    let mut bytes = canvas(320, 240, 7);
    let corner = |painter: &mut Painter, bytes: &mut Vec<u8>, picture: &Picture| {
        painter.draw(picture, &mut I420Mut::packed(bytes, 320, 240).expect("sized")).expect("drawn");
        bytes[0]
    };
    assert_eq!(corner(&mut painter, &mut bytes, &picture), 16);
    bytes[0] = 99;
    assert_eq!(corner(&mut painter, &mut bytes, &picture), 99, "nothing moved");
    painter.invalidate();
    assert_eq!(corner(&mut painter, &mut bytes, &picture), 16, "told");
    bytes[0] = 99;
    assert_eq!(corner(&mut painter, &mut bytes, &plain("white", "120x160", "yuv420p")), 16, "the window moved");
}

#[test]
fn picture_of_any_size_fills_its_window_and_nothing_else() {
    for size in ["16x16", "64x48", "174x98", "322x242", "640x480", "1280x720"] {
        let picture = plain("gray", size, "yuv420p");
        for (width, height) in [(16, 16), (70, 50), (320, 240), (1_280, 720)] {
            let mut bytes = canvas(width, height, 200);
            let mut view = I420Mut::packed(&mut bytes, width, height).expect("sized");
            Painter::new().draw(&picture, &mut view).expect("drawn");
            assert!(bytes.iter().all(|&sample| sample != 200), "{size} on {width}x{height}: every sample is written");
            let middle = bytes[(height / 2 * width + width / 2) as usize];
            assert!(middle.abs_diff(126) <= 3, "{size} on {width}x{height}: {middle}");
        }
    }
}

#[test]
fn fine_stripes_turn_grey_when_scaled_down() {
    // One row black, one white: every way of picking rows would show stripes or a flat black or white.
    let source = "nullsrc=size=640x480:rate=25:duration=1,geq=lum='255*mod(Y,2)':cb=128:cr=128";
    let picture = first_picture(source, Codec::H264, "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -qp 4");
    let mut bytes = canvas(160, 120, 0);
    Painter::new().draw(&picture, &mut I420Mut::packed(&mut bytes, 160, 120).expect("sized")).expect("drawn");
    let luma = I420::packed(&bytes, 160, 120).expect("sized").y;
    let (lowest, highest) = (8..112).flat_map(|row| &luma.row(row, 160)[8..152]).fold((255, 0), |(l, h), &s| (s.min(l), s.max(h)));
    assert!(lowest > 90 && highest < 160, "{lowest}…{highest}");
    assert!(picture.arrival() <= Instant::now());
}
