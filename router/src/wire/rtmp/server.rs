//! The session of a player.

use bytes::{Bytes, BytesMut};

use super::amf0::Value;
use super::command::{Command, info, object};
use super::handshake::{Handshake, RANDOM_BYTES};
use super::{Error, Message, OUTPUT_MAX_BYTES, Reader, WINDOW_BYTES, chunk, kind, user};

/// The server's side of a player's connection.
///
/// It serves one application. A player that plays is told by [`ServerEvent::Play`]; answer by [`Server::accept`] or [`Server::refuse`].
/// Publishing is refused in words.
#[derive(Debug)]
pub struct Server {
    app: &'static str,
    handshake: Option<Handshake>,
    reader: Reader,
    out: BytesMut,
    chunk_bytes: usize,
    event: Option<ServerEvent>,
    /// The message stream that plays.
    playing: Option<u32>,
    connected: bool,
    acknowledgement: Acknowledgement,
}

/// What a session gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ServerOutput {
    /// Something for the session's owner.
    Event(ServerEvent),
    /// Bytes for the peer.
    Send(Bytes),
}

/// What a player wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ServerEvent {
    /// The session is over, by the player's wish or because it was refused: write what there is and close.
    End,
    /// The player asks for the stream of this name. What its URL said behind a `?` is apart.
    Play {
        /// The name.
        name: String,
        /// The query.
        query: String,
    },
}

impl Server {
    /// Makes a session that serves the application `app`.
    #[must_use]
    pub fn new(app: &'static str, random: &[u8; RANDOM_BYTES]) -> Self {
        Self {
            app,
            handshake: Some(Handshake::server(random)),
            reader: Reader::new(MESSAGE_MAX_BYTES),
            out: BytesMut::new(),
            chunk_bytes: super::DEFAULT_CHUNK_BYTES,
            event: None,
            playing: None,
            connected: false,
            acknowledgement: Acknowledgement::default(),
        }
    }

    /// Takes the peer's next bytes. Poll for output until there is none before the next.
    ///
    /// # Errors
    /// When the session is over because of them.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.acknowledgement.received(bytes.len());
        if let Some(handshake) = &mut self.handshake {
            let Some(rest) = handshake.handle_input(bytes, &mut self.out)? else { return Ok(()) };
            self.handshake = None;
            self.reader.push(&rest);
        } else {
            self.reader.push(bytes);
        }
        while let Some(message) = self.reader.poll()? {
            self.handle_message(message)?;
        }
        if let Some(acknowledgement) = self.acknowledgement.due() {
            self.send(CONTROL_ID, acknowledgement);
        }
        if self.out.len() > OUTPUT_MAX_BYTES { Err(Error::Unread) } else { Ok(()) }
    }

    /// The next thing to do; nothing when all is done.
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        if !self.out.is_empty() {
            return Some(ServerOutput::Send(self.out.split().freeze()));
        }
        self.event.take().map(ServerOutput::Event)
    }

    /// Begins to play. The message stream and the chunk size that the media is to use is the answer.
    #[must_use]
    pub fn accept(&mut self) -> (u32, usize) {
        let stream = self.playing.unwrap_or(STREAM);
        self.send_user(user::STREAM_BEGIN, stream);
        self.send_command(stream, Command::status("status", "NetStream.Play.Reset", "from now on"));
        self.send_command(stream, Command::status("status", "NetStream.Play.Start", "the stream as it is now"));
        // Flash lets scripts touch the picture only where the server says so; others ignore it.
        let mut body = Vec::new();
        [Value::from("|RtmpSampleAccess"), Value::Boolean(true), Value::Boolean(true)].iter().for_each(|value| value.put(&mut body));
        self.send(COMMAND_ID, Message { kind: 18, time_ms: 0, stream, body });
        (stream, self.chunk_bytes)
    }

    /// Turns the player down: there is no such stream.
    pub fn refuse(&mut self, why: &str) {
        let stream = self.playing.take().unwrap_or(STREAM);
        self.send_command(stream, Command::status("error", "NetStream.Play.StreamNotFound", why));
        self.event = Some(ServerEvent::End);
    }

    /// Tells the player that what it plays is over.
    pub fn finish(&mut self) {
        if let Some(stream) = self.playing.take() {
            self.send_user(user::STREAM_EOF, stream);
            self.send_command(stream, Command::status("status", "NetStream.Play.UnpublishNotify", "the stream was stopped"));
            self.send_command(stream, Command::status("status", "NetStream.Play.Stop", "the stream was stopped"));
        }
        self.event = Some(ServerEvent::End);
    }

    fn handle_message(&mut self, message: Message) -> Result<(), Error> {
        if let Some(pong) = pong(&message) {
            self.send(CONTROL_ID, pong);
            return Ok(());
        }
        if message.kind == kind::WINDOW {
            self.acknowledgement.set_window(&message.body);
            return Ok(());
        }
        // Whatever else a player says changes nothing: acknowledgements, buffer lengths, its own bandwidth.
        if let Some(command) = Command::of(&message)? {
            self.handle_command(&command, message.stream);
        }
        Ok(())
    }

    fn handle_command(&mut self, command: &Command, stream: u32) {
        match command.name.as_str() {
            "connect" => self.connect(command),
            _ if !self.connected => self.event = Some(ServerEvent::End),
            "createStream" => self.answer(command.transaction, Value::from(STREAM)),
            "play" => self.play(command, stream),
            "publish" | "FCPublish" => {
                let why = "publishing is not served here: this server plays its own streams";
                self.send_command(stream, Command::status("error", "NetStream.Publish.BadName", why));
                self.event = Some(ServerEvent::End);
            }
            "FCSubscribe" => {
                let status = info("status", "NetStream.Play.Start", "subscribed");
                self.send_command(0, Command::new("onFCSubscribe", 0.0, vec![Value::Null, status]));
            }
            // A live stream has no length.
            "getStreamLength" => self.answer(command.transaction, Value::Number(0.0)),
            "closeStream" | "deleteStream" => {
                self.playing = None;
                self.event = Some(ServerEvent::End);
            }
            // Pausing, seeking and switching tracks off are wishes that live players get by without; an answer to those who wait for one.
            _ if command.transaction > 0.0 => self.answer(command.transaction, Value::Undefined),
            _ => {}
        }
    }

    fn connect(&mut self, command: &Command) {
        let app = command.field("app").and_then(Value::as_str).unwrap_or_default();
        let app = app.split('?').next().unwrap_or_default().trim_matches('/');
        if app != self.app {
            let why = format!("there is no application of this name: it is {}", self.app);
            let error = vec![Value::Null, info("error", "NetConnection.Connect.InvalidApp", &why)];
            self.send_command(0, Command::new("_error", command.transaction, error));
            self.event = Some(ServerEvent::End);
            return;
        }
        self.connected = true;
        let number =
            |kind, number: u32, more: &[u8]| Message { kind, time_ms: 0, stream: 0, body: [&number.to_be_bytes()[..], more].concat() };
        self.send(CONTROL_ID, number(kind::WINDOW, WINDOW_BYTES, &[]));
        // 2: dynamic.
        self.send(CONTROL_ID, number(kind::PEER_BANDWIDTH, WINDOW_BYTES, &[2]));
        self.send(CONTROL_ID, number(kind::SET_CHUNK_SIZE, CHUNK_BYTES, &[]));
        self.chunk_bytes = CHUNK_BYTES as usize;
        let server = object([("fmsVer", "FMS/3,0,1,123".into()), ("capabilities", Value::Number(31.0))]);
        let Value::Object(mut status) = info("status", "NetConnection.Connect.Success", "connected") else { return };
        // AMF0 is what is spoken, whatever was offered.
        status.push(("objectEncoding".to_owned(), Value::Number(0.0)));
        self.send_command(0, Command::new("_result", command.transaction, vec![server, Value::Object(status)]));
    }

    fn play(&mut self, command: &Command, stream: u32) {
        if self.playing.is_some() || self.event.is_some() {
            // One stream a connection; a second play of the same is a player's impatience.
            return;
        }
        self.playing = Some(stream);
        let asked = command.text(1).unwrap_or_default();
        let (name, query) = asked.split_once('?').unwrap_or((asked, ""));
        // Flash's way to name a container, which is not ours to choose.
        let name = name.rsplit_once(':').map_or(name, |(_, name)| name).trim_matches('/');
        self.event = Some(ServerEvent::Play { name: name.to_owned(), query: query.to_owned() });
    }

    fn answer(&mut self, transaction: f64, value: Value) {
        self.send_command(0, Command::new("_result", transaction, vec![Value::Null, value]));
    }

    fn send_command(&mut self, stream: u32, command: Command) {
        self.send(COMMAND_ID, command.into_message(stream));
    }

    fn send_user(&mut self, event: u16, number: u32) {
        self.send(CONTROL_ID, user_message(event, &number.to_be_bytes()));
    }

    fn send(&mut self, id: u8, message: Message) {
        chunk::put(message, id, self.chunk_bytes, &mut self.out);
    }
}

/// Bytes that a peer wants acknowledged now and then.
#[derive(Debug, Default)]
pub(super) struct Acknowledgement {
    window: Option<u32>,
    received: u32,
    told: u32,
}

impl Acknowledgement {
    pub(super) fn received(&mut self, bytes: usize) {
        self.received = self.received.wrapping_add(bytes as u32);
    }

    pub(super) fn set_window(&mut self, body: &[u8]) {
        self.window = chunk::number(body).filter(|&window| window > 0);
    }

    /// The message that is due once a window has come.
    pub(super) fn due(&mut self) -> Option<Message> {
        let window = self.window?;
        if self.received.wrapping_sub(self.told) < window {
            return None;
        }
        self.told = self.received;
        Some(Message { kind: kind::ACKNOWLEDGEMENT, time_ms: 0, stream: 0, body: self.received.to_be_bytes().into() })
    }
}

/// The answer to a ping.
pub(super) fn pong(message: &Message) -> Option<Message> {
    let (event, rest) = message.body.split_first_chunk()?;
    let pings = message.kind == kind::USER_CONTROL && u16::from_be_bytes(*event) == user::PING;
    pings.then(|| user_message(user::PONG, rest.get(..4).unwrap_or_default()))
}

fn user_message(event: u16, rest: &[u8]) -> Message {
    Message { kind: kind::USER_CONTROL, time_ms: 0, stream: 0, body: [&event.to_be_bytes(), rest].concat() }
}

// Chunk streams: 2 is for control (5.3.1.1), 3 what everybody uses for commands.
pub(super) const CONTROL_ID: u8 = 2;
pub(super) const COMMAND_ID: u8 = 3;
/// The one message stream that a player gets.
const STREAM: u32 = 1;
/// Larger than any message, whose length has 24 bits: one chunk a message.
const CHUNK_BYTES: u32 = 0xff_ffff;
/// A player has commands to say, and those are short.
const MESSAGE_MAX_BYTES: usize = 64 << 10;
