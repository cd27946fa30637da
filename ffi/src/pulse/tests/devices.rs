use super::daemon::{Daemon, soon};
use super::{FORMAT, drive, until_error};
use crate::Remedy;
use crate::pulse::{Latency, MICROPHONE_MONITOR, MICROPHONE_SINK, MICROPHONE_SOURCE, SPEAKER_MONITOR, SPEAKER_SINK};

#[test]
fn missing_devices_are_made_and_present_ones_adopted() {
    let Some(daemon) = Daemon::start(&["-L", "module-null-sink sink_name=audio_output"]) else { return };
    let mut connection = daemon.connect("first");
    let devices = connection.ensure_devices(soon()).expect("modules may be loaded");
    assert_eq!(devices.made, [MICROPHONE_SINK, MICROPHONE_SOURCE]);
    let question = connection.link().asker().suspends_idle();
    assert_eq!(connection.wait(question, soon()).expect("the server is up"), Ok(true), "it was told to");
    drop(connection);

    let mut connection = daemon.connect("second");
    let devices = connection.ensure_devices(soon()).expect("all is there");
    assert!(devices.made.is_empty(), "{devices:?}");
    assert!(!connection.devices_changed());
    let question = connection.link().asker().defaults();
    let defaults = connection.wait(question, soon()).expect("the server is up").expect("it knows");
    assert_eq!((defaults.sink.as_str(), defaults.source.as_str()), (SPEAKER_SINK, MICROPHONE_SOURCE));
}

#[test]
fn refusal_names_what_is_missing_and_how_to_make_it() {
    let Some(daemon) = Daemon::start(&["-L", "module-null-sink sink_name=audio_output", "--disallow-module-loading"]) else { return };
    let mut connection = daemon.connect("test");
    let error = connection.ensure_devices(soon()).expect_err("two are missing");
    assert_eq!(error.remedy(), Remedy::Report);
    let text = error.to_string();
    for part in [
        "sink audio_input is missing",
        "pactl load-module module-null-sink 'sink_name=audio_input ",
        "source microphone is missing",
        "pactl load-module module-remap-source 'source_name=microphone master=audio_input.monitor ",
    ] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    assert!(!text.contains("audio_output is missing"), "{text:?}");
    // What is there works.
    let playback = connection.playback(SPEAKER_SINK, FORMAT, Latency::LIVE).expect("connected");
    drive(&mut connection, |connection| playback.writable_bytes() > 0 && connection.speaker_in_use());
}

#[test]
fn users_of_microphone_and_speaker_are_counted() {
    let Some(daemon) = Daemon::start(&[]) else { return };
    let mut ours = daemon.connect("ours");
    ours.ensure_devices(soon()).expect("modules may be loaded");
    assert_eq!((ours.microphone_listeners(), ours.speaker_players()), (0, 0), "the remap module is no listener");

    let mut other = daemon.connect("other");
    let mut direct = other.record(MICROPHONE_SOURCE, FORMAT, 3_840).expect("connected");
    let monitor = other.record(MICROPHONE_MONITOR, FORMAT, 3_840).expect("connected");
    let speaker = other.playback(SPEAKER_SINK, FORMAT, Latency::LIVE).expect("connected");
    let _elsewhere = other.record(SPEAKER_MONITOR, FORMAT, 3_840).expect("connected");
    let mut together = |direct: u32, speaker: u32| {
        drive(&mut ours, |ours| {
            other.iterate(Some(std::time::Duration::ZERO)).expect("the server is up");
            (ours.microphone_listeners(), ours.speaker_players()) == (direct, speaker)
        });
    };
    together(2, 1);
    direct.cork(true).expect("connected");
    drop(speaker);
    together(1, 0);
    direct.cork(false).expect("connected");
    together(2, 0);
    drop((direct, monitor));
    together(0, 0);
    assert!(!ours.microphone_in_use() && !ours.speaker_in_use());

    // A connection that comes later knows at once.
    let _direct = other.record(MICROPHONE_SOURCE, FORMAT, 3_840).expect("connected");
    drive(&mut ours, |ours| {
        other.iterate(Some(std::time::Duration::ZERO)).expect("the server is up");
        ours.microphone_in_use()
    });
    let mut late = daemon.connect("late");
    late.ensure_devices(soon()).expect("all is there");
    assert_eq!(late.microphone_listeners(), 1);
}

#[test]
fn stolen_default_is_noticed_and_mended() {
    let Some(daemon) = Daemon::start(&[]) else { return };
    let mut ours = daemon.connect("ours");
    ours.ensure_devices(soon()).expect("modules may be loaded");
    let mut other = daemon.connect("other");
    let setting = other.link().asker().set_default_sink(MICROPHONE_SINK);
    other.wait(setting, soon()).expect("the server is up").expect("it may");
    drive(&mut ours, |ours| ours.devices_changed());
    ours.ensure_devices(soon()).expect("all is there");
    assert!(!ours.devices_changed());
    let question = other.link().asker().defaults();
    assert_eq!(other.wait(question, soon()).expect("the server is up").expect("it knows").sink, SPEAKER_SINK);
}

#[test]
fn removed_sink_ends_its_stream_and_is_made_again() {
    let Some(daemon) = Daemon::start(&[]) else { return };
    let mut watcher = daemon.connect("watcher");
    watcher.ensure_devices(soon()).expect("modules may be loaded");
    let mut player = daemon.connect("player");
    let playback = player.playback(MICROPHONE_SINK, FORMAT, Latency::LIVE).expect("connected");
    drive(&mut player, |_| playback.writable_bytes() > 0);
    daemon.unload("module-null-sink");
    drive(&mut watcher, |watcher| watcher.devices_changed());
    let error = until_error(&mut player);
    assert_eq!(error.remedy(), Remedy::Rebuild, "it is not moved to another sink: {error}");
    assert!(error.to_string().contains(MICROPHONE_SINK), "{error}");
    assert_eq!(watcher.ensure_devices(soon()).expect("modules may be loaded").made, [MICROPHONE_SINK, SPEAKER_SINK, MICROPHONE_SOURCE]);
    assert!(!watcher.devices_changed());
}
