//! The output on a twin of the device.

use std::sync::Arc;

use rustix::io::Errno;

use super::super::fake::Fake;
use super::*;

fn format() -> VideoFormat {
    VideoFormat::new(128, 64, 30).expect("a format")
}

fn start(fake: &Fake) -> Result<Output> {
    Output::start(Box::new(fake.clone()), format())
}

fn pix(width: u32, height: u32, pixel_format: u32) -> PixFormat {
    PixFormat { width, height, pixel_format, ..PixFormat::default() }
}

/// Draws a picture of one luma level.
fn draw(output: &mut Output, level: u8) -> Result<()> {
    output.draw(|canvas| {
        canvas.fill_black();
        canvas.y.data.fill(level);
        Ok(())
    })
}

/// The first luma sample of each picture that was shown.
fn levels(fake: &Fake) -> Vec<u8> {
    fake.state().shown.iter().map(|(_, picture)| picture[0]).collect()
}

#[test]
fn device_is_black_from_the_start_and_shows_what_is_drawn() {
    let fake = Fake::new(8);
    let mut output = start(&fake).expect("a device");
    assert_eq!((output.buffers(), output.format()), ((4, true), format()), "no more buffers than Chromium asks for");
    draw(&mut output, 99).expect("drawn");
    output.repeat().expect("shown");
    assert_eq!(levels(&fake), [16, 99, 99]);
    let sizes: Vec<_> = fake.state().shown.iter().map(|(_, picture)| picture.len()).collect();
    assert_eq!(sizes, [format().i420_bytes(); 3], "a page of padding is not part of the picture");
    assert_eq!(output.copied(), Copied::default(), "what is drawn in place is counted by who draws it");
    assert!(fake.state().is_streaming);
    drop(output);
    assert!(!fake.state().is_streaming);
    start(&fake).expect("the lock went with the output");
}

#[test]
fn picture_made_in_a_lent_slot_is_shown_as_it_lies() {
    let fake = Fake::new(4);
    let mut output = start(&fake).expect("a device");
    let mut lease = output.pool().expect("planar").lend().expect("a slot");
    lease.as_mut_slice()[..format().i420_bytes()].fill(77);
    output.publish(lease.index()).expect("shown");
    assert_eq!((levels(&fake), output.copied()), (vec![16, 77], Copied::default()));
}

#[test]
fn memory_outlives_the_device_while_a_decoder_holds_it() {
    let fake = Fake::new(4);
    let output = start(&fake).expect("a device");
    let mut lease = output.pool().expect("planar").lend().expect("a slot");
    drop(output);
    lease.as_mut_slice().fill(1);
    start(&fake).expect("it can be opened again all the same");
}

#[test]
fn every_refusal_is_told_in_words() {
    for (call, errno, words) in [
        ("QUERYCAP", Errno::NOTTY, "no video device"),
        ("QUERYCAP", Errno::NODEV, "gone"),
        ("S_FMT", Errno::BUSY, "busy"),
        ("S_FMT", Errno::PERM, "not allowed"),
        ("REQBUFS", Errno::BUSY, "busy"),
        ("REQBUFS", Errno::NOMEM, "no memory"),
        ("QUERYBUF", Errno::NODEV, "gone"),
        ("mmap", Errno::NOMEM, "no memory"),
        ("STREAMON", Errno::IO, "put/output error"),
        ("QBUF", Errno::NODEV, "gone"),
    ] {
        let fake = Fake::new(4);
        fake.fail(call, Some(errno));
        let error = start(&fake).expect_err("refused").to_string();
        assert!(error.contains(words), "{call} {errno}: {error}");
        fake.fail(call, None);
        start(&fake).expect("it passes with its cause");
    }
    let missing = Output::open(Path::new("/dev/no-such-camera"), format()).expect_err("missing").to_string();
    assert!(missing.contains("no such device"), "{missing}");
    let plain = Output::open(Path::new("/dev/null"), format()).expect_err("no camera").to_string();
    assert!(plain.contains("no video device"), "{plain}");
}

#[test]
fn what_is_not_needed_may_be_refused() {
    for call in ["S_PARM", "SUBSCRIBE_EVENT"] {
        let fake = Fake::new(4);
        fake.fail(call, Some(Errno::NOTTY));
        let mut output = start(&fake).expect("a device");
        draw(&mut output, 50).expect("drawn");
        assert_eq!(levels(&fake), [16, 50], "{call}");
    }
}

#[test]
fn other_writers_and_other_devices_are_refused_in_words() {
    let fake = Fake::new(4);
    let _first = start(&fake).expect("a device");
    // Another opening of the same file, as another process has it.
    let again = File::options().read(true).write(true).open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fake.file())));
    assert!(flock(again.expect("opened"), FlockOperation::NonBlockingLockExclusive).is_err(), "the node is locked");
    let busy = Fake::new(4);
    busy.state().able = sys::CAP_CAPTURE;
    let error = start(&busy).expect_err("written").to_string();
    assert!(error.contains("another program is writing it"), "{error}");
    busy.state().able = 0;
    let error = start(&busy).expect_err("what a writer left that never streamed").to_string();
    assert!(error.contains("being brought back") && busy.state().is_streaming, "{error}");
    busy.state().able = sys::CAP_CAPTURE;
    busy.state().driver = b"uvcvideo\0";
    let error = start(&busy).expect_err("a camera").to_string();
    assert!(error.contains("its driver, uvcvideo, takes no pictures"), "{error}");
    for (call, errno) in [("QBUF", Errno::NODEV), ("QUERYBUF", Errno::NODEV)] {
        let fake = Fake::new(4);
        let mut output = start(&fake).expect("a device");
        fake.fail(call, Some(errno));
        let result = output.heal().and_then(|_| draw(&mut output, 50));
        assert_eq!(result.expect_err("gone").remedy(), Remedy::Rebuild, "{call}");
    }
}

#[test]
fn format_that_a_reader_keeps_is_drawn_into() {
    let fake = Fake::new(4);
    fake.state().kept = Some(pix(64, 32, sys::YU12));
    let mut output = start(&fake).expect("a device");
    assert_eq!((output.format().width(), output.format().height()), (64, 32));
    draw(&mut output, 50).expect("drawn");
    assert_eq!(fake.state().shown[1].1.len(), 64 * 32 * 3 / 2);
    for (width, pixel_format) in [(64, u32::from_le_bytes(*b"MJPG")), (63, sys::YU12), (0, sys::YU12)] {
        let fake = Fake::new(4);
        fake.state().kept = Some(pix(width, 32, pixel_format));
        let error = start(&fake).expect_err("not written").to_string();
        assert!(error.contains(&format!("it keeps {width}x32")), "{error}");
    }
}

#[test]
fn layout_that_a_device_insists_on_is_packed_with_one_pass_more() {
    for (pixel_format, bytes) in [(sys::NV12, 128 * 64 * 3 / 2), (sys::YUYV, 128 * 64 * 2)] {
        let fake = Fake::new(4);
        fake.state().kept = Some(pix(128, 64, pixel_format));
        let mut output = start(&fake).expect("a device");
        assert!(output.pool().is_none(), "no decoder makes such pictures");
        draw(&mut output, 50).expect("drawn");
        let shown = &fake.state().shown[1].1;
        assert_eq!((shown.len(), shown[0]), (bytes, 50));
        assert_eq!(output.copied(), Copied { passes: 1, bytes: bytes as u64 });
    }
}

#[test]
fn device_that_refuses_mapping_is_written() {
    for (call, errno) in [("REQBUFS", Errno::INVAL), ("REQBUFS", Errno::NOTTY), ("mmap", Errno::INVAL)] {
        let fake = Fake::new(4);
        fake.fail(call, Some(errno));
        let mut output = start(&fake).expect("a device");
        draw(&mut output, 50).expect("written");
        output.repeat().expect("written");
        assert!(!output.heal().expect("nothing to look at") && !output.buffers().1);
        assert_eq!(levels(&fake), [16, 50, 50]);
        let bytes = format().i420_bytes() as u64;
        assert_eq!(output.copied(), Copied { passes: 1, bytes }, "the kernel's copies are counted");
        fake.fail("write", Some(Errno::NODEV));
        assert_eq!(draw(&mut output, 51).expect_err("gone").remedy(), Remedy::Rebuild);
    }
}

#[test]
fn ring_that_a_reader_shrinks_is_used_as_it_is_and_readers_go_on() {
    let fake = Fake::new(8);
    let mut output = start(&fake).expect("a device");
    let pool = Arc::clone(output.pool().expect("planar"));
    let held = pool.lend().expect("a slot");
    let far = pool.lend().expect("a slot");
    assert_eq!((held.index(), far.index()), (0, 1));
    assert!(!output.heal().expect("all is well"));
    fake.ask_as_reader(4);
    assert!(output.heal().expect("a device") && pool.usable() == 4, "only the marks were gone");
    fake.ask_as_reader(2);
    assert!(output.heal().expect("a device"));
    assert!(fake.state().mapped[..4].iter().all(|&mapped| mapped), "readers may take every buffer");
    assert!(!output.heal().expect("healed"));
    assert_eq!((pool.usable(), pool.lend().is_none()), (2, true));
    drop((held, far));
    for level in 100..104 {
        draw(&mut output, level).expect("drawn");
    }
    assert_eq!(levels(&fake)[1..], [100, 101, 102, 103], "no wrong picture is shown");
    let later = start_over(output, &fake);
    assert_eq!(later.buffers(), (2, true), "what comes later finds the ring as it is");
}

fn start_over(output: Output, fake: &Fake) -> Output {
    drop(output);
    start(fake).expect("a device")
}

#[test]
fn usage_is_told_where_the_module_tells_it() {
    let fake = Fake::new(4);
    assert!(!start(&fake).expect("a device").has_usage());
    fake.state().usage = Some(0);
    let output = start(&fake).expect("a device");
    assert!(output.has_usage());
    assert_eq!((output.usage(), output.usage()), (Ok(Some(false)), Ok(None)));
    fake.state().usage = Some(1);
    assert_eq!((output.usage(), output.usage()), (Ok(Some(true)), Ok(None)));
    fake.fail("DQEVENT", Some(Errno::NODEV));
    assert_eq!(output.usage().expect_err("gone").remedy(), Remedy::Rebuild);
}
