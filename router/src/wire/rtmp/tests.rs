//! Sessions against each other and against peers that mean harm, messages through chunks.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::amf0::Value;
use super::command::Command;
use super::*;
use crate::wire::flv::{Kind, Tag};

const RANDOM: [u8; RANDOM_BYTES] = [0x5a; RANDOM_BYTES];

fn message(kind: u8, body: Vec<u8>) -> Message {
    Message { kind, time_ms: 0, stream: 0, body }
}

/// The chunks of a message as one run of bytes.
fn written(message: Message<Bytes>, id: u8, chunk_bytes: usize) -> Vec<u8> {
    message.chunks(id, chunk_bytes).flat_map(|(head, part)| [head.as_ref(), &part].concat()).collect()
}

fn read(reader: &mut Reader, bytes: &[u8]) -> Result<Vec<Message>, Error> {
    reader.push(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.poll()? {
        messages.push(message);
    }
    Ok(messages)
}

/// What a client sends that plays `name`, in `app`.
fn player(app: &str, name: &str, more: &[Command]) -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend([0; 2 * 1536]);
    let connect = Command::new("connect", 1.0, vec![command::object([("app", app.into())])]);
    let play = Command::new("play", 0.0, vec![Value::Null, name.into()]);
    for command in [&[connect, Command::new("createStream", 2.0, vec![Value::Null])], more, &[play]].concat() {
        bytes.extend(written(bytes_of(command.into_message(1)), 3, 128));
    }
    bytes
}

fn bytes_of(message: Message) -> Message<Bytes> {
    let Message { kind, time_ms, stream, body } = message;
    Message { kind, time_ms, stream, body: body.into() }
}

fn drain(server: &mut Server) -> (BytesMut, Vec<ServerEvent>) {
    let (mut bytes, mut events) = (BytesMut::new(), Vec::new());
    while let Some(output) = server.poll_output() {
        match output {
            ServerOutput::Event(event) => events.push(event),
            ServerOutput::Send(more) => bytes.extend_from_slice(&more),
        }
    }
    (bytes, events)
}

/// The commands in what a server sent behind its handshake.
fn commands(sent: &[u8]) -> Vec<Command> {
    let messages = read(&mut Reader::new(1 << 20), sent).unwrap();
    messages.iter().filter_map(|message| Command::of(message).unwrap()).collect()
}

const HANDSHAKE_BYTES: usize = 1 + 2 * 1536;

#[test]
fn player_is_asked_about_and_then_plays() {
    for chunk in [1, 7, 100_000] {
        let mut server = Server::new("live", &RANDOM);
        let tolerated = ["releaseStream", "FCSubscribe", "getStreamLength", "_checkbw"];
        let more = tolerated.map(|name| Command::new(name, 3.0, vec![Value::Null, "screen".into()]));
        for bytes in player("live", "screen?access_token=x", &more).chunks(chunk) {
            server.handle_input(bytes).unwrap();
        }
        let (_, events) = drain(&mut server);
        assert_eq!(events, [ServerEvent::Play { name: "screen".to_owned(), query: "access_token=x".to_owned() }]);
        assert_eq!(server.accept(), (1, 0xff_ffff));
        let (sent, _) = drain(&mut server);
        let mut reader = Reader::new(1 << 20);
        reader.push(&written(message(kind::SET_CHUNK_SIZE, 0xff_ffff_u32.to_be_bytes().into()).into_shared(), 2, 128));
        let names: Vec<_> = read(&mut reader, &sent).unwrap().iter().filter_map(|message| Command::of(message).unwrap()).collect();
        let codes: Vec<_> = names.iter().map(|command| command.field("code").and_then(Value::as_str)).collect();
        assert_eq!(codes, [Some("NetStream.Play.Reset"), Some("NetStream.Play.Start")]);
    }
}

#[test]
fn wrong_wishes_are_refused_in_words() {
    let publish = Command::new("publish", 5.0, vec![Value::Null, "screen".into(), "live".into()]);
    let cases = [
        (player("vod", "screen", &[]), "NetConnection.Connect.InvalidApp"),
        (player("live", "screen", &[publish]), "NetStream.Publish.BadName"),
    ];
    for (bytes, code) in cases {
        let mut server = Server::new("live", &RANDOM);
        server.handle_input(&bytes).unwrap();
        let (sent, events) = drain(&mut server);
        assert_eq!(events, [ServerEvent::End], "{code}");
        let told = commands(&sent[HANDSHAKE_BYTES..]);
        assert!(told.iter().any(|command| command.field("code").and_then(Value::as_str) == Some(code)), "{told:?}");
    }
    let mut server = Server::new("live", &RANDOM);
    server.handle_input(&player("live/", "gone", &[])).unwrap();
    drain(&mut server);
    server.refuse("no stream is called gone");
    let (_, events) = drain(&mut server);
    assert_eq!(events, [ServerEvent::End]);
}

#[test]
fn hostile_peers_are_refused_in_bounded_memory() {
    let after_handshake = |bytes: &[u8]| {
        let mut server = Server::new("live", &RANDOM);
        server.handle_input(&[&[3][..], &[0; 2 * 1536]].concat()).unwrap();
        drain(&mut server);
        server.handle_input(bytes)
    };
    let mut header = vec![3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0];
    assert_eq!(after_handshake(&header), Err(Error::Long(0xff_ffff)));
    header[4..7].copy_from_slice(&[0, 1, 0]);
    let many: Vec<u8> = (0..=u16::MAX).flat_map(|id| [&[1, id as u8, (id >> 8) as u8][..], &header[1..], &[0; 128]].concat()).collect();
    assert_eq!(after_handshake(&many), Err(Error::ManyStreams));
    assert_eq!(after_handshake(&[0xc3]), Err(Error::Chunk));
    assert_eq!(after_handshake(&written(message(kind::SET_CHUNK_SIZE, vec![0; 4]).into_shared(), 2, 128)), Err(Error::Chunk));
    assert_eq!(after_handshake(&written(message(kind::COMMAND, vec![0; 3]).into_shared(), 3, 128)), Err(Error::Command));
    let ping = written(message(kind::USER_CONTROL, vec![0, 6, 0, 0, 0, 1]).into_shared(), 2, 128);
    assert_eq!(after_handshake(&ping.repeat(10_000)), Err(Error::Unread));
    assert_eq!(Server::new("live", &RANDOM).handle_input(b"GET /"), Err(Error::Version));
}

#[test]
fn times_without_a_field_are_as_far_on_as_the_last() {
    let mut reader = Reader::new(1000);
    // Type 0 at 1000, type 2 with 20, type 3: 1000, 1020, 1040; then type 1 with an extended delta, repeated before its second chunk.
    let mut bytes = vec![4, 0, 3, 0xe8, 0, 0, 1, 8, 1, 0, 0, 0, 0xaf];
    bytes.extend([0x84, 0, 0, 20, 0xae, 0xc4, 0xad]);
    bytes.extend([0x44, 0xff, 0xff, 0xff, 0, 0, 130, 8, 1, 0, 0, 0]);
    bytes.extend([7; 128]);
    bytes.extend([0xc4, 1, 0, 0, 0, 7, 7]);
    let messages = read(&mut reader, &bytes).unwrap();
    let times: Vec<_> = messages.iter().map(|message| (message.time_ms, message.body.len())).collect();
    assert_eq!(times, [(1000, 1), (1020, 1), (1040, 1), (1040 + 0x0100_0000, 130)]);
}

#[test]
fn extended_time_is_not_missed_where_peers_leave_it_out() {
    for repeats in [true, false] {
        let mut bytes = vec![4, 0xff, 0xff, 0xff, 0, 0, 130, 8, 1, 0, 0, 0, 2, 0, 0, 0];
        bytes.extend([7; 128]);
        bytes.push(0xc4);
        bytes.extend(if repeats { &[2, 0, 0, 0][..] } else { &[] });
        bytes.extend([7; 2]);
        // Something follows, or the reader would wait for four bytes.
        bytes.extend([5, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0]);
        let messages = read(&mut Reader::new(1000), &bytes).unwrap();
        assert_eq!((messages.len(), messages[0].time_ms, &messages[0].body[..]), (2, 0x0200_0000, &[7; 130][..]), "{repeats}");
    }
}

#[test]
fn clocks_of_peers_pass_both_limits() {
    for start_ms in [0x00ff_ffff_u32, u32::MAX] {
        // The stream's own clock wraps at the same time, elsewhere.
        for stream_ms in [0, u32::MAX - 30, 0x00ff_fff0] {
            let mut chunker = Chunker::for_player(1, 0xff_ffff).starting_at(start_ms);
            let mut reader = Reader::new(1000);
            read(&mut reader, &written(message(kind::SET_CHUNK_SIZE, 0xff_ffff_u32.to_be_bytes().into()).into_shared(), 2, 128)).unwrap();
            for frame in 0..4_u32 {
                let tag =
                    Tag { kind: Kind::Video, time_ms: stream_ms.wrapping_add(frame * 33), body: Bytes::from_static(&[0x27, 1, 0, 0, 0]) };
                let bytes: Vec<u8> = chunker.handle_tag(tag).unwrap().flat_map(|(head, part)| [head.as_ref(), &part].concat()).collect();
                let time_ms = start_ms.wrapping_add(frame * 33);
                assert_eq!(bytes.len(), if time_ms >= 0xff_ffff { 16 + 5 } else { 12 + 5 });
                let messages = read(&mut reader, &bytes).unwrap();
                assert_eq!(messages.iter().map(|message| message.time_ms).collect::<Vec<_>>(), [time_ms]);
            }
        }
    }
}

#[test]
fn peers_start_at_zero_and_get_headers_once() {
    let tag = |kind, time_ms, body: &'static [u8]| Tag { kind, time_ms, body: Bytes::from_static(body) };
    let mut chunker = Chunker::for_player(1, 0xff_ffff);
    let mut given = Vec::new();
    for tag in [
        tag(Kind::Script, 90_000, b"meta"),
        tag(Kind::Video, 90_000, &[0x17, 0, 0, 0, 0, 1]),
        tag(Kind::Audio, 90_000, &[0xaf, 0, 0x11, 0x90]),
        tag(Kind::Video, 90_000, &[0x17, 1, 0, 0, 0, 9]),
        tag(Kind::Audio, 89_990, &[0xaf, 1, 1]),
        tag(Kind::Audio, 90_011, &[0xaf, 1, 2]),
        tag(Kind::Script, 90_033, b"meta"),
        tag(Kind::Video, 90_033, &[0x17, 0, 0, 0, 0, 2]),
        tag(Kind::Video, 90_033, &[0x17, 1, 0, 0, 0, 9]),
    ] {
        let bytes =
            chunker.handle_tag(tag).map(|chunks| chunks.flat_map(|(head, part)| [head.as_ref(), &part].concat()).collect::<Vec<_>>());
        given.extend(bytes.map(|bytes| (u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]), bytes[7], bytes[13])));
    }
    // "meta" is 'e', the second letter.
    assert_eq!(given, [(0, 18, b'e'), (0, 9, 0), (0, 8, 0), (0, 9, 1), (11, 8, 1), (33, 9, 0), (33, 9, 1)]);
}

#[test]
fn client_and_server_go_through_the_commands() {
    let target = TargetUrl::parse("rtmp://host/live/s3cr3t?token=abcdef").unwrap();
    let mut client = Client::new(target, &RANDOM);
    let mut server = Server::new("live", &RANDOM);
    let mut error = None;
    for _ in 0..10 {
        while let Some(output) = client.poll_output() {
            match output {
                ClientOutput::Send(bytes) => server.handle_input(&bytes).unwrap(),
                ClientOutput::Event(event) => panic!("{event:?}"),
            }
        }
        let (bytes, _) = drain(&mut server);
        if let Err(refused) = client.handle_input(&bytes) {
            error = Some(refused);
            break;
        }
    }
    let Some(Error::Refused(words)) = error else { panic!("{error:?}") };
    assert!(words.starts_with("NetStream.Publish.BadName"), "{words}");
    assert!(!format!("{client:?}").contains("s3cr3t"));
}

#[test]
fn server_that_grants_publishing_gets_what_publishers_say() {
    let target = TargetUrl::parse("rtmp://host/app/s3cr3t").unwrap();
    let mut client = Client::new(target, &RANDOM);
    client.handle_input(&[&[3][..], &[0; 2 * 1536]].concat()).unwrap();
    let answer = |client: &mut Client, command: Command| client.handle_input(&written(command.into_message(0).into_shared(), 3, 128));
    answer(&mut client, Command::new("_result", 1.0, vec![Value::Null, Value::Null])).unwrap();
    answer(&mut client, Command::new("_error", 2.0, vec![Value::Null, "who?".into()])).unwrap();
    answer(&mut client, Command::new("_result", 4.0, vec![Value::Null, Value::Number(7.0)])).unwrap();
    answer(&mut client, Command::status("status", "NetStream.Publish.Start", "s3cr3t is on")).unwrap();
    let mut sent = BytesMut::new();
    let mut events = Vec::new();
    while let Some(output) = client.poll_output() {
        match output {
            ClientOutput::Send(bytes) => sent.extend_from_slice(&bytes),
            ClientOutput::Event(event) => events.push(event),
        }
    }
    assert_eq!(events, [ClientEvent::Publish { stream: 7, chunk_bytes: 60_000 }]);
    let names: Vec<_> = commands(&sent[HANDSHAKE_BYTES..]).into_iter().map(|command| command.name).collect();
    assert_eq!(names, ["connect", "releaseStream", "FCPublish", "createStream", "publish"]);
    let error = answer(&mut client, Command::status("error", "NetStream.Publish.Denied", "bad key s3cr3t")).unwrap_err();
    assert_eq!(error.to_string(), "NetStream.Publish.Denied: bad key …");
}

#[test]
fn sessions_survive_what_is_cut_or_turned_over() {
    let good = player("live", "screen", &[Command::new("releaseStream", 3.0, vec![Value::Null, "screen".into()])]);
    for at in (0..good.len()).filter(|at| *at < 16 || *at > 2 * 1536 - 4) {
        let mut server = Server::new("live", &RANDOM);
        let _ = server.handle_input(&good[..at]);
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let mut server = Server::new("live", &RANDOM);
            let _ = server.handle_input(&bytes);
            drain(&mut server);
            let mut client = Client::new(TargetUrl::parse("rtmp://host/app/key").unwrap(), &RANDOM);
            let _ = client.handle_input(&bytes);
        }
    }
}

impl Message {
    fn into_shared(self) -> Message<Bytes> {
        bytes_of(self)
    }
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(
        messages in vec((3_u8..8, any::<u32>(), any::<u32>(), vec(any::<u8>(), 1..700)), 1..6),
        chunk_bytes in 1_u32..300,
        cut in 1_usize..200,
    ) {
        let mut bytes = written(message(kind::SET_CHUNK_SIZE, chunk_bytes.to_be_bytes().into()).into_shared(), 2, 128);
        for (id, time_ms, stream, body) in &messages {
            let message = Message { kind: 9, time_ms: *time_ms, stream: *stream, body: Bytes::from(body.clone()) };
            bytes.extend(written(message, *id, chunk_bytes as usize));
        }
        let mut reader = Reader::new(1000);
        let mut found = Vec::new();
        for bytes in bytes.chunks(cut) {
            found.extend(read(&mut reader, bytes).unwrap());
        }
        prop_assert_eq!(found.len(), messages.len());
        for (found, (_, time_ms, stream, body)) in found.iter().zip(&messages) {
            prop_assert_eq!((found.time_ms, found.stream, &found.body), (*time_ms, *stream, body));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(prop_oneof![0_u8..8, any::<u8>()], 0..600)) {
        let _ = read(&mut Reader::new(1000), &bytes);
        let mut server = Server::new("live", &RANDOM);
        let _ = server.handle_input(&[&[3][..], &[0; 2 * 1536], &bytes].concat());
    }
}
