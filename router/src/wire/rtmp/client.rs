//! The session by which we publish to a server.

use bytes::{Bytes, BytesMut};

use super::amf0::Value;
use super::command::{Command, object};
use super::handshake::{Handshake, RANDOM_BYTES};
use super::server::{Acknowledgement, COMMAND_ID, CONTROL_ID, pong};
use super::{Error, Message, OUTPUT_MAX_BYTES, Reader, TargetUrl, chunk, kind};

/// The client's side of a connection that publishes to a [`TargetUrl`].
#[derive(Debug)]
pub struct Client {
    target: TargetUrl,
    handshake: Option<Handshake>,
    reader: Reader,
    out: BytesMut,
    chunk_bytes: usize,
    stage: Stage,
    event: Option<ClientEvent>,
    acknowledgement: Acknowledgement,
}

/// What is asked, each after the answer to the one before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Handshake,
    Connect,
    CreateStream,
    Publish(u32),
    Publishing,
}

/// What a session gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientOutput {
    /// Something for the session's owner.
    Event(ClientEvent),
    /// Bytes for the peer.
    Send(Bytes),
}

/// What a server grants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientEvent {
    /// Media may flow, on this message stream and in chunks of this size.
    Publish {
        /// The message stream.
        stream: u32,
        /// The chunk size.
        chunk_bytes: usize,
    },
}

impl Client {
    /// Makes a session and its first bytes.
    #[must_use]
    pub fn new(target: TargetUrl, random: &[u8; RANDOM_BYTES]) -> Self {
        let mut out = BytesMut::new();
        Self {
            target,
            handshake: Some(Handshake::client(random, &mut out)),
            reader: Reader::new(MESSAGE_MAX_BYTES),
            out,
            chunk_bytes: super::DEFAULT_CHUNK_BYTES,
            stage: Stage::Handshake,
            event: None,
            acknowledgement: Acknowledgement::default(),
        }
    }

    /// Takes the peer's next bytes. Poll for output until there is none before the next.
    ///
    /// # Errors
    /// When the session is over because of them: [`Error::Refused`] when the server says so, without our key should it repeat that.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.acknowledgement.received(bytes.len());
        if let Some(handshake) = &mut self.handshake {
            let Some(rest) = handshake.handle_input(bytes, &mut self.out)? else { return Ok(()) };
            self.handshake = None;
            self.connect();
            self.reader.push(&rest);
        } else {
            self.reader.push(bytes);
        }
        while let Some(message) = self.reader.poll()? {
            self.handle_message(&message)?;
        }
        if let Some(acknowledgement) = self.acknowledgement.due() {
            self.send(CONTROL_ID, acknowledgement);
        }
        if self.out.len() > OUTPUT_MAX_BYTES { Err(Error::Unread) } else { Ok(()) }
    }

    /// The next thing to do; nothing when all is done.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        if !self.out.is_empty() {
            return Some(ClientOutput::Send(self.out.split().freeze()));
        }
        self.event.take().map(ClientOutput::Event)
    }

    /// Says that no more media comes.
    pub fn finish(&mut self) {
        let key = self.target.reveal_key().to_owned();
        if self.stage == Stage::Publishing {
            self.ask("FCUnpublish", 0.0, vec![Value::Null, key.as_str().into()], 0);
            self.ask("deleteStream", 0.0, vec![Value::Null, Value::Number(1.0)], 0);
        }
    }

    fn connect(&mut self) {
        self.send(CONTROL_ID, Message { kind: kind::SET_CHUNK_SIZE, time_ms: 0, stream: 0, body: CHUNK_BYTES.to_be_bytes().into() });
        self.chunk_bytes = CHUNK_BYTES as usize;
        let wishes = object([
            ("app", self.target.app().into()),
            ("type", "nonprivate".into()),
            // Platforms know encoders by this.
            ("flashVer", "FMLE/3.0 (compatible; Crosspoint)".into()),
            ("tcUrl", self.target.app_url().as_str().into()),
        ]);
        self.stage = Stage::Connect;
        self.ask("connect", CONNECT, vec![wishes], 0);
    }

    fn handle_message(&mut self, message: &Message) -> Result<(), Error> {
        if let Some(pong) = pong(message) {
            self.send(CONTROL_ID, pong);
            return Ok(());
        }
        if message.kind == kind::WINDOW {
            self.acknowledgement.set_window(&message.body);
            return Ok(());
        }
        let Some(command) = Command::of(message)? else { return Ok(()) };
        match command.name.as_str() {
            "_result" => self.handle_result(&command),
            // releaseStream and FCPublish are courtesies that half of the servers do not know.
            "_error" if [CONNECT, CREATE_STREAM].contains(&command.transaction) => {
                return Err(self.refused(&command, "the server refuses the connection"));
            }
            "onStatus" => return self.handle_status(&command),
            "close" => return Err(Error::Refused("the server closes the connection".to_owned())),
            _ => {}
        }
        Ok(())
    }

    fn handle_result(&mut self, command: &Command) {
        if self.stage == Stage::Connect && command.transaction == CONNECT {
            let key = || Value::from(self.target.reveal_key());
            let (released, published) = (key(), key());
            self.stage = Stage::CreateStream;
            self.ask("releaseStream", RELEASE, vec![Value::Null, released], 0);
            self.ask("FCPublish", FC_PUBLISH, vec![Value::Null, published], 0);
            self.ask("createStream", CREATE_STREAM, vec![Value::Null], 0);
        } else if self.stage == Stage::CreateStream && command.transaction == CREATE_STREAM {
            let stream = command.arguments.get(1).and_then(Value::as_number).unwrap_or(1.0) as u32;
            self.stage = Stage::Publish(stream);
            let key = Value::from(self.target.reveal_key());
            self.ask("publish", PUBLISH, vec![Value::Null, key, "live".into()], stream);
        }
    }

    fn handle_status(&mut self, command: &Command) -> Result<(), Error> {
        let text = |name| command.field(name).and_then(Value::as_str).unwrap_or_default();
        if text("level") == "error" || matches!(text("code"), "NetStream.Unpublish.Success" | "NetConnection.Connect.Closed") {
            return Err(self.refused(command, "the server ends the stream"));
        }
        if let (Stage::Publish(stream), "NetStream.Publish.Start") = (self.stage, text("code")) {
            self.stage = Stage::Publishing;
            self.event = Some(ClientEvent::Publish { stream, chunk_bytes: self.chunk_bytes });
        }
        Ok(())
    }

    /// The server's words, without our key.
    fn refused(&self, command: &Command, otherwise: &str) -> Error {
        let texts = ["code", "description"].map(|name| command.field(name).and_then(Value::as_str).unwrap_or_default());
        let said = texts.iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>().join(": ");
        let said = self.target.cleaned(&said).chars().filter(|letter| !letter.is_control()).take(WORDS_MAX).collect::<String>();
        Error::Refused(if said.is_empty() { otherwise.to_owned() } else { said })
    }

    fn ask(&mut self, name: &str, transaction: f64, arguments: Vec<Value>, stream: u32) {
        self.send(COMMAND_ID, Command::new(name, transaction, arguments).into_message(stream));
    }

    fn send(&mut self, id: u8, message: Message) {
        chunk::put(message, id, self.chunk_bytes, &mut self.out);
    }
}

// Transactions, in the order in which they are asked.
const CONNECT: f64 = 1.0;
const RELEASE: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const PUBLISH: f64 = 5.0;
/// FFmpeg's, which every platform has seen. Servers allocate by it, and refuse from a few MiB on.
const CHUNK_BYTES: u32 = 60_000;
/// A server has answers to give, and those are short.
const MESSAGE_MAX_BYTES: usize = 256 << 10;
/// The letters of a server's reason that are shown.
const WORDS_MAX: usize = 300;
