mod daemon;
mod devices;
mod sound;

use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use daemon::{Daemon, soon};

use super::{Connection, Latency, SPEAKER_MONITOR, SPEAKER_SINK};
use crate::{AudioFormat, Error, Remedy};

const FORMAT: AudioFormat = AudioFormat::STEREO_48K;

/// Drives `connection` until `done`.
fn drive(connection: &mut Connection, mut done: impl FnMut(&Connection) -> bool) {
    let deadline = soon();
    while !done(connection) {
        assert!(Instant::now() < deadline, "still not so: {connection:?}");
        connection.iterate(Some(Duration::from_millis(20))).expect("the server is up");
    }
}

/// Drives `connection` until it breaks.
fn until_error(connection: &mut Connection) -> Error {
    let deadline = soon();
    loop {
        assert!(Instant::now() < deadline, "nothing broke: {connection:?}");
        if let Err(error) = connection.iterate(Some(Duration::from_millis(20))) {
            return error;
        }
    }
}

#[test]
fn absent_server_is_worth_a_retry_and_nonsense_is_reported() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let nobody = format!("unix:{}", dir.path().join("nobody").display());
    let error = Connection::connect(Some(&nobody), "test", soon()).expect_err("nobody listens");
    assert_eq!(error.remedy(), Remedy::Retry, "{error}");
    let error = Connection::connect(Some(""), "test", soon()).expect_err("no server string");
    assert_eq!(error.remedy(), Remedy::Report, "{error}");
}

#[test]
fn silent_server_is_given_up_at_the_deadline() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("native");
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let deadline = Instant::now() + Duration::from_millis(50);
    let error = Connection::connect(Some(&format!("unix:{}", path.display())), "test", deadline).expect_err("it never answers");
    assert_eq!(error.remedy(), Remedy::Retry, "{error}");
    assert!(Instant::now() >= deadline);
}

#[test]
fn killed_server_asks_to_rebuild_and_a_new_connection_works() {
    let Some(mut daemon) = Daemon::start(&[]) else { return };
    let mut connection = daemon.connect("test");
    connection.ensure_devices(soon()).expect("modules may be loaded");
    let mut playback = connection.playback(SPEAKER_SINK, FORMAT, Latency::LIVE).expect("connected");
    let mut record = connection.record(SPEAKER_MONITOR, FORMAT, 3_840).expect("connected");
    drive(&mut connection, |_| playback.writable_bytes() > 0);
    daemon.restart();
    let error = until_error(&mut connection);
    assert_eq!(error.remedy(), Remedy::Rebuild, "{error}");
    assert_eq!(connection.iterate(None).map_err(|error| error.remedy()), Err(Remedy::Rebuild), "it stays broken");
    assert_eq!(playback.writable_bytes(), 0);
    assert_eq!(playback.write_with(64, |lent| lent.len()).map_err(|error| error.remedy()), Err(Remedy::Rebuild));
    assert_eq!(record.read_with(|_, _| {}).map_err(|error| error.remedy()), Err(Remedy::Rebuild));
    drop((playback, record, connection));

    let mut connection = daemon.connect("test");
    assert_eq!(connection.ensure_devices(soon()).expect("modules may be loaded").made.len(), 3);
}

#[test]
fn streams_outlive_their_connection_safely() {
    let Some(daemon) = Daemon::start(&["-L", "module-null-sink sink_name=audio_output"]) else { return };
    let mut connection = daemon.connect("test");
    let mut playback = connection.playback(SPEAKER_SINK, FORMAT, Latency::LIVE).expect("connected");
    drive(&mut connection, |_| playback.writable_bytes() > 0);
    let fresh = connection.playback(SPEAKER_SINK, FORMAT, Latency::LIVE).expect("connected");
    drop(connection);
    assert_eq!(playback.writable_bytes(), 0);
    assert!(playback.write_with(64, |lent| lent.len()).is_err());
    assert!(playback.cork(true).is_err());
    assert_eq!((fresh.writable_bytes(), fresh.latency()), (0, None));
}

#[test]
fn stream_without_its_device_asks_to_rebuild() {
    let Some(daemon) = Daemon::start(&["-L", "module-null-sink sink_name=audio_output"]) else { return };
    let mut connection = daemon.connect("test");
    let _playback = connection.playback("elsewhere", FORMAT, Latency::LIVE).expect("the server is asked later");
    let error = until_error(&mut connection);
    assert_eq!(error.remedy(), Remedy::Rebuild);
    assert!(error.to_string().contains("elsewhere"), "{error}");
    let mut connection = daemon.connect("test");
    let impossible = AudioFormat { rate: 0, channels: 2 };
    let error = connection.playback(SPEAKER_SINK, impossible, Latency::LIVE).expect_err("no rate");
    assert_eq!(error.remedy(), Remedy::Report, "{error}");
}

#[test]
fn iterate_returns_for_a_waker_a_watched_descriptor_and_its_timeout() {
    let Some(daemon) = Daemon::start(&[]) else { return };
    let mut connection = daemon.connect("test");
    let ours = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("an eventfd");
    connection.watch(ours.as_fd()).expect("descriptors are left");
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(30) {
        connection.iterate(Some(Duration::from_millis(30))).expect("the server is up");
    }

    let waker = connection.waker();
    let (go, wait) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        wait.recv().expect("told to go");
        waker.wake();
        waker
    });
    go.send(()).expect("it waits");
    // Would wait for ever if nothing woke it.
    connection.iterate(None).expect("the server is up");
    let waker = thread.join().expect("no panic");

    rustix::io::write(&ours, &1_u64.to_ne_bytes()).expect("room");
    connection.iterate(None).expect("the server is up");
    connection.iterate(None).expect("still readable");
    rustix::io::read(&ours, &mut [0; 8]).expect("readable");
    drop(connection);
    waker.wake();
}
