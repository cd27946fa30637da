use std::time::Duration;

use super::*;
use crate::control::{AudioDestination, AudioInput, Location, Pulled};

fn inputs() -> Inputs {
    Inputs::new(VideoFormat::new(1280, 720, 30).unwrap())
}

fn video(width: Option<u32>, height: Option<u32>, frame_rate: Option<u32>) -> Option<VideoInput> {
    Some(VideoInput { source: VideoSource::Socket, width, height, frame_rate })
}

fn audio(destination: AudioDestination) -> Option<AudioInput> {
    Some(AudioInput { source: AudioSource::Socket, destination })
}

fn spec(video: Option<VideoInput>, audio: Option<AudioInput>) -> InputSpec {
    InputSpec { video, audio, start_paused: false }
}

const START: SystemTime = SystemTime::UNIX_EPOCH;

#[test]
fn refused_configure_leaves_the_session_as_it_was() {
    let mut inputs = inputs();
    inputs.configure(spec(video(Some(640), Some(360), None), None), START).unwrap();
    let before = inputs.status(InputStats::default());

    let later = START + Duration::from_secs(1);
    for bad in
        [spec(None, None), spec(video(Some(641), None, None), None), spec(video(None, None, Some(61)), audio(AudioDestination::Speaker))]
    {
        let refusal = inputs.configure(bad, later).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Bad);
        assert_eq!(inputs.status(InputStats::default()), before);
    }
}

#[test]
fn absent_sides_come_from_the_present_canvas() {
    let cases = [
        (video(None, None, None), None),
        (video(Some(640), None, None), VideoFormat::new(640, 720, 30)),
        (video(Some(640), Some(360), Some(15)), VideoFormat::new(640, 360, 15)),
        (video(Some(1280), Some(720), Some(30)), None),
    ];
    for (video, canvas) in cases {
        let mut inputs = inputs();
        assert_eq!(inputs.configure(spec(video, None), START).unwrap().canvas, canvas);
    }
}

#[test]
fn same_type_keeps_its_publisher() {
    let mut inputs = inputs();
    let first = inputs.configure(spec(video(None, None, None), None), START).unwrap();
    assert_eq!((first.video, first.audio), (TrackChange::Replaced, TrackChange::Kept));

    let resized = inputs.configure(spec(video(Some(640), None, None), audio(AudioDestination::Microphone)), START).unwrap();
    assert_eq!((resized.video, resized.audio), (TrackChange::Kept, TrackChange::Replaced));

    let without = inputs.configure(spec(None, audio(AudioDestination::Microphone)), START).unwrap();
    assert_eq!((without.video, without.audio), (TrackChange::Replaced, TrackChange::Kept));
}

#[test]
fn other_destination_keeps_the_sounds_publisher() {
    let mut inputs = inputs();
    inputs.configure(spec(None, audio(AudioDestination::Microphone)), START).unwrap();
    let change = inputs.configure(spec(None, audio(AudioDestination::Speaker)), START).unwrap();
    assert_eq!(change.audio, TrackChange::Kept);
}

#[test]
fn pause_and_resume_are_idempotent_and_need_a_session() {
    let mut inputs = inputs();
    assert_eq!(inputs.pause().unwrap_err().kind, RefusalKind::Bad);
    assert_eq!(inputs.resume().unwrap_err().kind, RefusalKind::Bad);

    inputs.configure(InputSpec { start_paused: true, ..spec(None, audio(AudioDestination::Speaker)) }, START).unwrap();
    assert_eq!(inputs.state(), InputState::Paused);
    assert_eq!((inputs.pause().unwrap(), inputs.state()), (false, InputState::Paused));
    assert_eq!((inputs.resume().unwrap(), inputs.state()), (true, InputState::Running));
    assert_eq!((inputs.resume().unwrap(), inputs.state()), (false, InputState::Running));
}

#[test]
fn stop_always_works_and_closes_what_published() {
    let mut inputs = inputs();
    assert_eq!(inputs.stop().video, TrackChange::Kept);

    inputs.configure(spec(video(Some(640), Some(360), None), audio(AudioDestination::Speaker)), START).unwrap();
    inputs.set_last_error(Some("the publisher vanished".to_owned()));
    let change = inputs.stop();
    assert_eq!((change.video, change.audio), (TrackChange::Replaced, TrackChange::Replaced));
    let status = inputs.status(InputStats::default());
    assert_eq!((status.state, status.spec, status.started_at, status.last_error), (InputState::Idle, None, None, None));
    assert_eq!(Some(status.canvas), VideoFormat::new(640, 360, 30), "the camera goes on with its canvas");
}

#[test]
fn publishers_need_their_track_configured() {
    let mut inputs = inputs();
    let answers = |inputs: &Inputs| (inputs.may_publish_video().is_ok(), inputs.may_publish_audio().is_ok());
    assert_eq!(answers(&inputs), (false, false));
    inputs.configure(spec(video(None, None, None), None), START).unwrap();
    assert_eq!(answers(&inputs), (true, false));
    inputs.configure(spec(None, audio(AudioDestination::Microphone)), START).unwrap();
    assert_eq!(answers(&inputs), (false, true));
    inputs.stop();
    assert_eq!(inputs.may_publish_video().unwrap_err().kind, RefusalKind::Conflict);
}

fn pulled(url: &str, repeat: bool) -> Pulled {
    Pulled { location: Location::stream(url).unwrap(), repeat }
}

#[test]
fn pulled_source_is_kept_with_its_url_and_its_loop() {
    let picture = |pulled| Some(VideoInput { source: VideoSource::Pulled(pulled), width: None, height: None, frame_rate: None });
    let mut inputs = inputs();
    for (url, repeat, change) in [
        ("http://a/1", false, TrackChange::Replaced),
        ("http://a/1", false, TrackChange::Kept),
        ("http://a/1", true, TrackChange::Replaced),
        ("http://a/2", true, TrackChange::Replaced),
    ] {
        assert_eq!(inputs.configure(spec(picture(pulled(url, repeat)), None), START).unwrap().video, change, "{url} {repeat}");
    }
    assert_eq!(inputs.may_publish_video().unwrap_err().kind, RefusalKind::Conflict);
}

#[test]
fn what_ended_is_idle_until_it_is_configured_again() {
    let mut inputs = inputs();
    let sound = AudioInput { source: AudioSource::Pulled(pulled("http://a/1", false)), destination: AudioDestination::Microphone };
    inputs.configure(spec(None, Some(sound.clone())), START).unwrap();
    inputs.set_ended(true);
    assert_eq!(inputs.state(), InputState::Idle);
    assert!(inputs.pause().is_ok(), "it is still configured");
    assert_eq!(inputs.state(), InputState::Idle);
    inputs.configure(spec(None, Some(sound)), START).unwrap();
    assert_eq!(inputs.state(), InputState::Running);
}

#[test]
fn sound_of_the_pictures_socket_needs_one() {
    let mut inputs = inputs();
    let sound = Some(AudioInput { source: AudioSource::SocketOfVideo, destination: AudioDestination::Microphone });
    assert_eq!(inputs.configure(spec(None, sound.clone()), START).unwrap_err().kind, RefusalKind::Bad);
    inputs.configure(spec(video(None, None, None), sound), START).unwrap();
    assert!(inputs.may_publish_video().is_ok());
    assert_eq!(inputs.may_publish_audio().unwrap_err().kind, RefusalKind::Conflict);
}
