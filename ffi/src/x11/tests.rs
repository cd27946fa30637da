//! The room against real X servers, one private Xvfb a test.

#![expect(clippy::multiple_unsafe_ops_per_block, reason = "runs of Xlib requests that share one argument")]

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use x11::{xlib, xrandr};

use super::*;
use crate::{I420Mut, Remedy};

/// A private X server, killed when dropped.
struct Server {
    process: Child,
    name: String,
}

impl Server {
    /// Starts Xvfb with a screen of `geometry`, or says why the test is skipped.
    fn start(geometry: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", geometry, "-nolisten", "tcp", "-noreset"]).args(arguments);
        let process = match command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
            Ok(process) => process,
            Err(error) => {
                skip(&format!("Xvfb does not start: {error}"));
                return None;
            }
        };
        let mut server = Self { process, name: String::new() };
        let output = server.process.stdout.take().expect("piped");
        assert!(wait_readable(&output, Duration::from_secs(20)), "Xvfb says nothing");
        let mut number = String::new();
        BufReader::new(output).read_line(&mut number).expect("a pipe");
        if number.trim().is_empty() {
            skip(&format!("Xvfb refuses a screen of {geometry}"));
            return None;
        }
        server.name = format!(":{}", number.trim());
        Some(server)
    }

    fn open(&self) -> Display {
        Display::open(Some(&self.name)).expect("the server is up")
    }

    fn kill(&mut self) {
        self.process.kill().expect("not reaped yet");
        self.process.wait().expect("killed");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

fn wait_readable(fd: &impl AsFd, limit: Duration) -> bool {
    let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() };
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).expect("poll") > 0
}

/// Waits until `screen` knows of something new.
fn wait_stale(screen: &mut Screen) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !screen.is_stale() {
        assert!(wait_readable(&screen.fd(), deadline.saturating_duration_since(Instant::now())), "nothing comes from the server");
        screen.handle_events().expect("the server lives");
    }
}

/// Grabs until the screen has nothing new to tell.
fn settle(screen: &mut Screen) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        while screen.is_stale() {
            assert!(Instant::now() < deadline, "the screen does not come to rest");
            screen.grab().expect("a grab");
            // While input comes in the pointer is asked for at each grab; the server tells when it is over.
            if screen.is_stale() {
                wait_readable(&screen.fd(), Duration::from_millis(10));
                screen.handle_events().expect("the server lives");
            }
        }
        // Longer than the time after which the server calls the input over.
        if !wait_readable(&screen.fd(), Duration::from_millis(150)) {
            return;
        }
        screen.handle_events().expect("the server lives");
    }
}

/// Another client, which draws.
struct Painter(Display);

impl Painter {
    fn fill(&self, colour: u32, x: i32, y: i32, width: u32, height: u32) {
        let display = self.0.raw();
        // SAFETY: open and checked by every test's `sync`; children are painted over too.
        unsafe {
            let root = xlib::XDefaultRootWindow(display);
            let gc = xlib::XCreateGC(display, root, 0, std::ptr::null_mut());
            xlib::XSetSubwindowMode(display, gc, xlib::IncludeInferiors);
            xlib::XSetForeground(display, gc, u64::from(colour));
            xlib::XFillRectangle(display, root, gc, x, y, width, height);
            xlib::XFreeGC(display, gc);
        }
        self.0.sync("drawing").expect("drawn");
    }

    fn show_cursor(&self) {
        let display = self.0.raw();
        // SAFETY: as above; 68 is XC_left_ptr of X11/cursorfont.h.
        unsafe {
            let cursor = xlib::XCreateFontCursor(display, 68);
            xlib::XDefineCursor(display, xlib::XDefaultRootWindow(display), cursor);
        }
        self.0.sync("defining the cursor").expect("defined");
    }

    /// The server's own cursor is in the middle of the screen from the start.
    fn hide_cursor(&self) {
        let display = self.0.raw();
        // SAFETY: as above; one bit, of no colour that counts as it is masked out.
        unsafe {
            let root = xlib::XDefaultRootWindow(display);
            let blank = xlib::XCreateBitmapFromData(display, root, c"".as_ptr(), 1, 1);
            let mut colour: xlib::XColor = std::mem::zeroed();
            let cursor = xlib::XCreatePixmapCursor(display, blank, blank, &raw mut colour, &raw mut colour, 0, 0);
            xlib::XDefineCursor(display, root, cursor);
        }
        self.0.sync("hiding the cursor").expect("hidden");
    }

    /// Gives the screen another size, as RandR does it: what shows it is switched off, or the screen could not become smaller.
    fn resize(&self, width: usize, height: usize) {
        let display = self.0.raw();
        // SAFETY: as above; the resources are read before they are freed.
        unsafe {
            let root = xlib::XDefaultRootWindow(display);
            let resources = xrandr::XRRGetScreenResources(display, root);
            assert!(!resources.is_null());
            for index in 0..(*resources).ncrtc.max(0) as usize {
                let crtc = *(*resources).crtcs.add(index);
                xrandr::XRRSetCrtcConfig(display, resources, crtc, xlib::CurrentTime, 0, 0, 0, 1, std::ptr::null_mut(), 0);
            }
            xrandr::XRRFreeScreenResources(resources);
            xrandr::XRRSetScreenSize(display, root, width as i32, height as i32, width as i32 / 4, height as i32 / 4);
        }
        self.0.sync("resizing").expect("resized");
    }

    fn warp(&self, x: i32, y: i32) {
        let display = self.0.raw();
        // SAFETY: as above.
        unsafe { xlib::XWarpPointer(display, 0, xlib::XDefaultRootWindow(display), 0, 0, 0, 0, x, y) };
        self.0.sync("moving the pointer").expect("moved");
    }
}

/// Blue, green, red of a pixel.
fn pixel(grab: &Grab<'_>, x: usize, y: usize) -> [u8; 3] {
    let row = grab.picture.pixels.row(y, grab.picture.width * 4);
    [row[x * 4], row[x * 4 + 1], row[x * 4 + 2]]
}

/// Where pixels are not black.
fn lit(grab: &Grab<'_>) -> Vec<(usize, usize)> {
    let (width, height) = (grab.picture.width, grab.picture.height);
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).filter(|&(x, y)| pixel(grab, x, y) != [0; 3]).collect()
}

/// How many pixels are `level` in every colour.
fn lit_count(grab: &Grab<'_>, level: u8) -> usize {
    let (width, height) = (grab.picture.width, grab.picture.height);
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).filter(|&(x, y)| pixel(grab, x, y) == [level; 3]).count()
}

fn start(geometry: &str, arguments: &[&str]) -> Option<(Server, Painter, Screen)> {
    let server = Server::start(geometry, arguments)?;
    let painter = Painter(server.open());
    painter.hide_cursor();
    let screen = Screen::new(server.open()).expect("a screen");
    Some((server, painter, screen))
}

#[test]
fn a_drawn_pattern_is_grabbed_pixel_by_pixel() {
    let Some((_server, painter, mut screen)) = start("1280x720x24", &[]) else { return };
    assert!(screen.notes().is_empty(), "{:?}", screen.notes());
    painter.fill(0x10_2030, 0, 0, 1280, 720);
    painter.fill(0xff_8001, 101, 33, 57, 91);
    painter.fill(0x00_00ff, 1279, 719, 1, 1);
    let grab = screen.grab().expect("a grab");
    assert_eq!((grab.picture.width, grab.picture.height, grab.rows), (1280, 720, std::slice::from_ref(&(0..720))));
    for y in 0..720 {
        for x in 0..1280 {
            let expected = match (x, y) {
                (101..158, 33..124) => [0x01, 0x80, 0xff],
                (1279, 719) => [0xff, 0, 0],
                _ => [0x30, 0x20, 0x10],
            };
            assert_eq!(pixel(&grab, x, y), expected, "{x},{y}");
        }
    }
}

#[test]
fn damage_names_the_rows_that_were_drawn_and_only_them() {
    let Some((_server, painter, mut screen)) = start("1280x720x24", &[]) else { return };
    settle(&mut screen);
    assert!(screen.grab().expect("a grab").rows.is_empty());
    painter.fill(0x00_ff00, 10, 301, 5, 3);
    painter.fill(0x00_ff00, 900, 20, 5, 2);
    wait_stale(&mut screen);
    let grab = screen.grab().expect("a grab");
    assert_eq!(grab.rows, [20..22, 300..304]);
    assert_eq!(lit(&grab).len(), 5 * 3 + 5 * 2);
    settle(&mut screen);
    assert!(!screen.is_stale() && screen.grab().expect("a grab").rows.is_empty());
}

#[test]
fn cursor_follows_the_pointer_and_leaves_no_trail() {
    let Some((_server, painter, mut screen)) = start("640x480x24", &[]) else { return };
    painter.fill(0, 0, 0, 640, 480);
    painter.show_cursor();
    painter.warp(320, 240);
    settle(&mut screen);
    let mut seen: Option<Vec<(usize, usize)>> = None;
    // Into each corner, where the cursor is cut, and back.
    for (x, y) in [(100, 100), (1, 1), (639, 200), (300, 479), (639, 479), (320, 240)] {
        painter.warp(x, y);
        wait_stale(&mut screen);
        settle(&mut screen);
        // Something under and beside the cursor changes and changes back, read in bands that cross it.
        painter.fill(0x33_3333, x - 8, y - 4, 16, 6);
        wait_stale(&mut screen);
        settle(&mut screen);
        painter.fill(0, x - 8, y - 4, 16, 6);
        wait_stale(&mut screen);
        settle(&mut screen);
        let grab = screen.grab().expect("a grab");
        let lit = lit(&grab);
        assert!(!lit.is_empty(), "no cursor at {x},{y}");
        let near = |(px, py): (usize, usize)| (px as i32 - x).abs() < 32 && (py as i32 - y).abs() < 32;
        assert!(lit.iter().all(|&place| near(place)), "a trail away from {x},{y}: {lit:?}");
        if (x, y) == (100, 100) {
            seen = Some(lit);
        } else if (x, y) == (320, 240) {
            let moved: Vec<_> = seen.iter().flatten().map(|&(px, py)| (px + 220, py + 140)).collect();
            assert_eq!(lit, moved, "the same cursor elsewhere");
        }
    }
}

#[test]
fn moving_the_pointer_changes_only_rows_of_the_cursor() {
    let Some((_server, painter, mut screen)) = start("640x480x24", &[]) else { return };
    painter.fill(0, 0, 0, 640, 480);
    painter.show_cursor();
    painter.warp(100, 100);
    settle(&mut screen);
    painter.warp(100, 400);
    wait_stale(&mut screen);
    let grab = screen.grab().expect("a grab");
    assert_eq!(grab.rows.len(), 2, "{:?}", grab.rows);
    assert!(grab.rows[0].start > 60 && grab.rows[0].end < 140 && grab.rows[1].start > 360 && grab.rows[1].end < 440, "{:?}", grab.rows);
}

#[test]
fn odd_screens_are_grabbed_whole_and_converted_even() {
    let Some((_server, painter, mut screen)) = start("853x481x24", &[]) else { return };
    assert_eq!(screen.size(), (853, 481));
    painter.fill(0xff_ffff, 0, 0, 853, 481);
    painter.fill(0, 852, 480, 1, 1);
    let grab = screen.grab().expect("a grab");
    assert_eq!(pixel(&grab, 852, 480), [0; 3]);
    assert_eq!(lit(&grab).len(), 853 * 481 - 1);
    let mut bytes = vec![0; 852 * 480 * 3 / 2];
    let mut picture = I420Mut::packed(&mut bytes, 852, 480).expect("sized");
    for rows in grab.rows {
        bgra_to_i420(&grab.picture, rows.clone(), &mut picture).expect("fits");
    }
    assert!(picture.y.data.iter().all(|&luma| luma == 235));
}

#[test]
fn other_depths_become_bgra() {
    // The same colour as each depth says it, and what comes back.
    for (depth, colour, expected) in [(16, 0xf8_1f_u32, [255, 0, 255]), (30, 1023 << 20 | 512 << 10, [0, 128, 255])] {
        let Some((_server, painter, mut screen)) = start(&format!("641x480x{depth}"), &[]) else { continue };
        painter.fill(0, 0, 0, 641, 480);
        painter.fill(colour, 11, 21, 5, 7);
        let grab = screen.grab().expect("a grab");
        assert_eq!(pixel(&grab, 11, 21), expected, "depth {depth}");
        assert_eq!(lit(&grab).len(), 35, "depth {depth}");
    }
}

#[test]
fn without_extensions_everything_is_read_through_the_socket_and_said_so() {
    let Some((_server, painter, mut screen)) = start("640x480x24", &["-extension", "MIT-SHM", "-extension", "DAMAGE"]) else { return };
    assert_eq!(screen.notes().len(), 2, "{:?}", screen.notes());
    for colour in [0x12_3456, 0x65_4321] {
        painter.fill(colour, 0, 0, 640, 480);
        assert!(screen.is_stale());
        let grab = screen.grab().expect("a grab");
        assert_eq!(grab.rows, std::slice::from_ref(&(0..480)));
        assert_eq!(pixel(&grab, 639, 479), [colour as u8, (colour >> 8) as u8, (colour >> 16) as u8]);
    }
    // What did not change is found out by looking.
    assert!(screen.is_stale() && screen.grab().expect("a grab").rows.is_empty());
    painter.fill(0xff_ffff, 7, 101, 3, 2);
    let grab = screen.grab().expect("a grab");
    assert_eq!((grab.rows, lit_count(&grab, 255)), (std::slice::from_ref(&(100..104)), 6));
    painter.show_cursor();
    painter.warp(320, 240);
    // The server's word of the pointer comes when it comes.
    assert!(wait_readable(&screen.fd(), Duration::from_secs(10)), "nothing comes from the server");
    screen.handle_events().expect("the server lives");
    let grab = screen.grab().expect("a grab");
    assert!(grab.rows.len() == 1 && grab.rows[0].start > 200 && grab.rows[0].end < 280, "{:?}", grab.rows);
}

#[test]
fn a_resized_screen_gives_pictures_of_its_new_size() {
    let Some((_server, painter, mut screen)) = start("1280x720x24", &[]) else { return };
    painter.show_cursor();
    painter.warp(30, 30);
    settle(&mut screen);
    for (width, height) in [(800, 602), (602, 700), (1_280, 720)] {
        painter.resize(width, height);
        wait_stale(&mut screen);
        settle(&mut screen);
        assert_eq!(screen.size(), (width, height));
        painter.fill(0xff_ffff, 0, 0, 1280, 720);
        wait_stale(&mut screen);
        let grab = screen.grab().expect("a grab");
        assert_eq!((grab.picture.width, grab.picture.height), (width, height));
        assert_eq!(pixel(&grab, width - 1, height - 1), [255; 3]);
        painter.fill(0, 0, 0, 1280, 720);
    }
}

#[test]
fn a_dead_server_is_an_error_and_a_new_one_serves() {
    let Some((mut server, painter, mut screen)) = start("640x480x24", &[]) else { return };
    settle(&mut screen);
    server.kill();
    assert!(wait_readable(&screen.fd(), Duration::from_secs(10)), "the socket tells");
    for _ in 0..3 {
        assert_eq!(screen.handle_events().expect_err("gone").remedy(), Remedy::Rebuild);
        assert_eq!(screen.grab().expect_err("gone").remedy(), Remedy::Rebuild);
    }
    // A client that was about to ask, not to read, learns it as well.
    assert_eq!(painter.0.sync("asking").expect_err("gone").remedy(), Remedy::Rebuild);
    assert_eq!(Display::open(Some(&server.name)).expect_err("gone").remedy(), Remedy::Retry);
    drop((painter, screen));
    let Some((_server, painter, mut screen)) = start("640x480x24", &[]) else { return };
    painter.fill(0xff_ffff, 0, 0, 640, 480);
    assert_eq!(lit(&screen.grab().expect("a grab")).len(), 640 * 480);
}

#[test]
fn a_server_that_dies_during_a_grab_is_an_error() {
    let Some((mut server, painter, mut screen)) = start("640x480x24", &[]) else { return };
    settle(&mut screen);
    painter.fill(0xff_ffff, 0, 0, 640, 480);
    wait_stale(&mut screen);
    server.kill();
    assert_eq!(screen.grab().expect_err("gone").remedy(), Remedy::Rebuild);
}

#[test]
fn a_server_that_dies_while_we_open_is_an_error() {
    // A listener that takes the connection and hangs up on whatever comes: XOpenDisplay breaks inside its handshake, then after it.
    for answer in [Vec::new(), setup_reply()] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        // Display n of a host is its TCP port 6000 + n.
        let number = listener.local_addr().expect("bound").port() - 6000;
        let server = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut client, _) = listener.accept().expect("a client");
            let mut request = [0; 12];
            client.read_exact(&mut request).expect("a greeting");
            client.write_all(&answer).expect("taken");
        });
        let outcome = Display::open(Some(&format!("127.0.0.1:{number}")));
        assert_eq!(outcome.expect_err("hung up").remedy(), Remedy::Retry);
        server.join().expect("no panic");
    }
}

/// The smallest acceptance of a connection (X11 protocol, 8: connection setup): one screen of one visual.
fn setup_reply() -> Vec<u8> {
    let mut body = Vec::new();
    let words = |body: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|value| body.extend_from_slice(&value.to_le_bytes()));
    words(&mut body, &[0, 0x20_0000, 0x1f_ffff, 0]); // release, resource base and mask, motion buffer
    body.extend_from_slice(&[0, 0, 0xff, 0xff, 1, 1, 0, 0, 32, 32, 8, 255, 0, 0, 0, 0]); // no vendor, 1 screen, 1 format, LSB first
    body.extend_from_slice(&[24, 32, 32, 0, 0, 0, 0, 0]); // format: depth, bits a pixel, scanline pad
    words(&mut body, &[1, 2, 0xff_ffff, 0, 0]); // screen: root, colormap, white, black, masks
    body.extend_from_slice(&[0x80, 2, 0xe0, 1, 0, 1, 0, 1, 1, 0, 1, 0]); // 640 × 480 pixels, millimetres, maps
    words(&mut body, &[3]); // visual
    body.extend_from_slice(&[0, 0, 24, 1]); // backing store, save unders, depth, 1 depth
    body.extend_from_slice(&[24, 0, 1, 0, 0, 0, 0, 0]); // depth 24 with 1 visual
    words(&mut body, &[3]);
    body.extend_from_slice(&[4, 8, 0, 1]); // true colour, 8 bits, 256 entries
    words(&mut body, &[0xff_0000, 0xff00, 0xff, 0]);
    let length = (body.len() / 4) as u16;
    let mut reply = vec![1, 0, 11, 0, 0, 0];
    reply.extend_from_slice(&length.to_le_bytes());
    reply.extend_from_slice(&body);
    reply
}
