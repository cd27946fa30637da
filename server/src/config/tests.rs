//! What flags mean, and which are refused.

use super::*;

fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["crosspoint"], args].concat()).and_then(Cli::checked)
}

#[test]
fn defaults_are_the_contracts() {
    let config = parse(&[]).unwrap().config;
    assert_eq!(config.listen.to_string(), "0.0.0.0:10001");
    assert_eq!(config.camera.file(), Some(Path::new("/dev/shm/crosspoint/HD Webcam.y4m")));
    assert_eq!(config.camera.device(), Path::new("/dev/video0"));
    assert_eq!(Some(config.canvas), VideoFormat::new(1280, 720, 30));
    assert_eq!((config.io, config.log.as_str(), config.log_format), (IoChoice::Auto, "info", LogFormat::Text));
    assert_eq!((config.microphone, config.ready_file), (MicrophoneChoice::Pulse, None));
}

#[test]
fn every_flag_has_its_environment_twin() {
    use clap::CommandFactory;
    for arg in Cli::command().get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
        let flag = arg.get_long().unwrap();
        let twin = format!("CROSSPOINT_{}", flag.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(twin.as_str()), "--{flag}");
    }
}

#[test]
fn addresses_to_listen_at_parse() {
    for (text, address) in [(":444", "0.0.0.0:444"), ("127.0.0.1:0", "127.0.0.1:0"), ("[::]:10001", "[::]:10001")] {
        assert_eq!(parse(&["--listen", text]).unwrap().config.listen.to_string(), address, "{text}");
    }
    for bad in [":", ":x", ":65536", "444", "localhost:444", ""] {
        assert!(parse_listen(bad).is_err(), "{bad}");
    }
}

#[test]
fn further_addresses_may_be_off_and_tell_whether_they_were_asked_for() {
    let config = parse(&["--rtmp-listen", "off", "--rtmps-listen", ":0"]).unwrap().config;
    let anywhere = "0.0.0.0:0".parse().map(ListenChoice::At).ok();
    assert_eq!((config.rtmp_listen, config.rtmps_listen), (Some(ListenChoice::Off), anywhere));
    assert_eq!(parse(&[]).unwrap().config.rtmp_listen, None);
    assert!(parse(&["--tls-cert", "a.pem"]).is_err(), "a certificate without its key");
}

#[test]
fn cameras_parse() {
    let cases = [
        ("auto", Some(CameraChoice::Auto)),
        ("off", Some(CameraChoice::Off)),
        ("file", Some(CameraChoice::File(DEFAULT_CAMERA_FILE.into()))),
        ("file:/tmp/a:b.y4m", Some(CameraChoice::File("/tmp/a:b.y4m".into()))),
        ("v4l2", Some(CameraChoice::V4l2("/dev/video0".into()))),
        ("v4l2:/dev/video7", Some(CameraChoice::V4l2("/dev/video7".into()))),
        ("file:/tmp/a.mjpeg", None),
        ("file:", None),
        ("off:/x", None),
        ("webcam", None),
    ];
    for (text, camera) in cases {
        assert_eq!(text.parse::<CameraChoice>().ok(), camera, "{text}");
    }
}

#[test]
fn canvases_parse() {
    assert_eq!(parse_canvas("640x360@15").ok(), VideoFormat::new(640, 360, 15));
    for bad in ["640x360", "640@15", "641x360@15", "640x360@0", "x@", "640x360@15.5", "-640x360@15"] {
        assert!(parse_canvas(bad).is_err(), "{bad}");
    }
}

#[test]
fn highest_bit_rate_is_the_average_or_above_it() {
    let cases = [
        (&["--bitrate", "2M"][..], Some((2_000_000, 2_000_000))),
        (&["--bitrate", "2M", "--max-bitrate", "2500k"][..], Some((2_000_000, 2_500_000))),
        (&["--max-bitrate", "3M"][..], Some((3_000_000, 3_000_000))),
        (&["--max-bitrate", "2999k"][..], None),
        (&["--max-bitrate", "10k"][..], None),
    ];
    for (args, rates) in cases {
        let config = parse(args).ok().map(|cli| cli.config);
        assert_eq!(config.map(|config| (config.bitrate, config.bitrates().most_bps)), rates, "{args:?}");
    }
}

#[test]
fn origins_parse_as_browsers_send_them() {
    let cases = [
        ("https://App.Example", Some("https://app.example")),
        ("https://app.example:443/", Some("https://app.example")),
        ("http://app.example:8080", Some("http://app.example:8080")),
        ("http://app.example:80", Some("http://app.example")),
        ("chrome-extension://abcdef", Some("chrome-extension://abcdef")),
        ("app.example", None),
        ("https://app.example/path", None),
        ("https://*.example", None),
        ("https://", None),
        ("ftp://app.example", None),
        ("*", None),
    ];
    for (text, origin) in cases {
        assert_eq!(text.parse::<Origin>().ok().as_ref().map(Origin::as_str), origin, "{text}");
    }
}

#[test]
fn hosts_are_names_without_ports() {
    for good in ["*", "app.example", "my_host"] {
        assert!(good.parse::<HostName>().is_ok(), "{good}");
    }
    for bad in ["", "app.example:80", "http://app.example", "*.example"] {
        assert!(bad.parse::<HostName>().is_err(), "{bad}");
    }
}

#[test]
fn desktop_fills_only_what_flags_left_open() {
    let desktop = |name: &str| Some(format!("from {name}"));
    let open = parse(&[]).unwrap().config.with_desktop(desktop);
    assert_eq!((open.display.as_deref(), open.pulse_server.as_deref()), (Some("from DISPLAY"), Some("from PULSE_SERVER")));
    let set = parse(&["--display", ":7", "--pulse-server="]).unwrap().config.with_desktop(desktop);
    assert_eq!((set.display.as_deref(), set.pulse_server), (Some(":7"), None));
}
