//! Messages in chunks (5.3).

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DEFAULT_CHUNK_BYTES, Error, kind};

/// A message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message<B = Vec<u8>> {
    /// Its type.
    pub kind: u8,
    /// Its time in milliseconds, which wraps.
    pub time_ms: u32,
    /// The message stream that it belongs to; 0 for the connection's own.
    pub stream: u32,
    /// What is in it.
    pub body: B,
}

/// Puts messages together from a peer's chunks. Minds what the peer says about chunks itself (types 1 and 2) and gives the rest.
///
/// It holds no more than what it was told a message may have, for each of a few chunk streams, and only what really came.
///
/// Copies: 1 (messages come in pieces; a session's own are small).
#[derive(Debug)]
pub(super) struct Reader {
    /// What came and is no whole header yet.
    buffer: BytesMut,
    streams: BTreeMap<u32, Stream>,
    chunk_bytes: usize,
    message_max_bytes: usize,
    /// The chunk whose payload is coming.
    open: Option<Open>,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    kind: u8,
    stream: u32,
    time_ms: u32,
    /// What chunks without a time of their own add.
    delta_ms: u32,
    /// The 32 bits behind the header, where the field of 24 did not do.
    extended: Option<u32>,
    message_bytes: usize,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: u32,
    left: usize,
}

impl Reader {
    /// Makes a reader of messages of at most so many bytes.
    pub(super) fn new(message_max_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), streams: BTreeMap::new(), chunk_bytes: DEFAULT_CHUNK_BYTES, message_max_bytes, open: None }
    }

    /// Takes the peer's next bytes. Poll until nothing comes before the next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Gives the next message that is whole.
    ///
    /// # Errors
    /// When the peer's chunks make no sense, or are too many or too long. There is no way back in then.
    pub(super) fn poll(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if self.open.is_none() {
                self.open = self.header()?;
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            let id = open.id;
            let taken = open.left.min(self.buffer.len());
            open.left -= taken;
            let more = open.left > 0;
            let Some(stream) = self.streams.get_mut(&id) else { return Err(Error::Chunk) };
            stream.body.extend_from_slice(&self.buffer[..taken]);
            self.buffer.advance(taken);
            if more {
                return Ok(None);
            }
            self.open = None;
            if stream.body.len() < stream.message_bytes {
                continue;
            }
            let body = std::mem::take(&mut stream.body);
            let message = Message { kind: stream.kind, time_ms: stream.time_ms, stream: stream.stream, body };
            match message.kind {
                kind::SET_CHUNK_SIZE => self.set_chunk_size(&message.body)?,
                kind::ABORT => self.abort(&message.body)?,
                _ => return Ok(Some(message)),
            }
        }
    }

    /// Takes the next chunk's header off the buffer, if it is whole.
    fn header(&mut self) -> Result<Option<Open>, Error> {
        let Some((format, id, basic_bytes)) = basic_header(&self.buffer) else { return Ok(None) };
        let fields_bytes = [11, 7, 3, 0][usize::from(format)];
        let Some(fields) = self.buffer.get(basic_bytes..basic_bytes + fields_bytes) else { return Ok(None) };
        let known = self.streams.get(&id);
        if known.is_none() && format != 0 {
            return Err(Error::Chunk);
        }
        if known.is_none() && self.streams.len() >= STREAMS_MAX {
            return Err(Error::ManyStreams);
        }
        let mut stream = known.map(Stream::fields).unwrap_or_default();
        let inside = known.is_some_and(|known| !known.body.is_empty());
        let field = (format < 3).then(|| u32::from_be_bytes([0, fields[0], fields[1], fields[2]]));
        if format < 2 {
            stream.message_bytes = u32::from_be_bytes([0, fields[3], fields[4], fields[5]]) as usize;
            stream.kind = fields[6];
        }
        if format == 0 {
            stream.stream = u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]);
        }
        if inside && format != 3 {
            // A message begins where another has not ended.
            return Err(Error::Chunk);
        }
        if stream.message_bytes > self.message_max_bytes {
            return Err(Error::Long(stream.message_bytes));
        }
        let mut header_bytes = basic_bytes + fields_bytes;
        let extended =
            || self.buffer.get(header_bytes..header_bytes + 4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        match (field, stream.extended) {
            (Some(EXTENDED), _) => {
                let Some(time) = extended() else { return Ok(None) };
                stream.extended = Some(time);
                header_bytes += 4;
            }
            (Some(_), _) => stream.extended = None,
            // 5.3.1.3 wants it repeated on chunks without a header. Not all do, so it is told from payload by what it says.
            (None, Some(expected)) => {
                let Some(time) = extended() else { return Ok(None) };
                header_bytes += if time == expected { 4 } else { 0 };
            }
            (None, None) => {}
        }
        let stated = field.map(|field| if field == EXTENDED { stream.extended.unwrap_or(field) } else { field });
        match (format, stated) {
            // Without a field of its own, a message is as far from the last as that was; a first one's time stands for its distance (5.3.1.2.4).
            (0, Some(time)) => (stream.time_ms, stream.delta_ms) = (time, time),
            (_, Some(delta)) => (stream.time_ms, stream.delta_ms) = (stream.time_ms.wrapping_add(delta), delta),
            (_, None) if !inside => stream.time_ms = stream.time_ms.wrapping_add(stream.delta_ms),
            (_, None) => {}
        }
        self.buffer.advance(header_bytes);
        let slot = self.streams.entry(id).or_default();
        stream.body = std::mem::take(&mut slot.body);
        *slot = stream;
        let left = (slot.message_bytes - slot.body.len()).min(self.chunk_bytes);
        Ok(Some(Open { id, left }))
    }

    fn set_chunk_size(&mut self, body: &[u8]) -> Result<(), Error> {
        let size = number(body).ok_or(Error::Chunk)? & 0x7fff_ffff;
        if size == 0 {
            return Err(Error::Chunk);
        }
        self.chunk_bytes = size as usize;
        Ok(())
    }

    fn abort(&mut self, body: &[u8]) -> Result<(), Error> {
        let id = number(body).ok_or(Error::Chunk)?;
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.body.clear();
        }
        Ok(())
    }
}

impl Stream {
    /// Everything but the body.
    fn fields(&self) -> Self {
        Self { body: Vec::new(), ..*self }
    }
}

/// Format, chunk stream and length of a basic header (5.3.1.1).
fn basic_header(bytes: &[u8]) -> Option<(u8, u32, usize)> {
    let first = *bytes.first()?;
    let byte = |at: usize| bytes.get(at).map(|&byte| u32::from(byte));
    Some(match first & 0x3f {
        0 => (first >> 6, byte(1)? + 64, 2),
        1 => (first >> 6, byte(1)? + byte(2)? * 256 + 64, 3),
        id => (first >> 6, id.into(), 1),
    })
}

/// The 32 bits that a message begins with.
pub(super) fn number(body: &[u8]) -> Option<u32> {
    body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

impl Message<Bytes> {
    /// The chunks of a media message: each a header, and its part of the body.
    ///
    /// The first always has a whole header, of type 0, so that what is lost in between (a viewer that skips to a key frame) does not
    /// matter to it.
    ///
    /// Copies: 0.
    #[must_use]
    pub fn chunks(self, id: u8, chunk_bytes: usize) -> Chunks {
        Chunks { id, first: true, chunk_bytes, message: self }
    }
}

/// Iterator of [`Message::chunks`].
#[derive(Clone, Debug)]
pub struct Chunks {
    id: u8,
    first: bool,
    chunk_bytes: usize,
    message: Message<Bytes>,
}

/// A chunk's header: 12 bytes for the first of a message, 1 for the rest, and 4 more where the time needs them.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; 16],
    length: usize,
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Iterator for Chunks {
    type Item = (Head, Bytes);

    fn next(&mut self) -> Option<(Head, Bytes)> {
        if !self.first && self.message.body.is_empty() {
            return None;
        }
        let head = if self.first { self.first_head() } else { self.next_head() };
        self.first = false;
        let part = self.message.body.split_to(self.message.body.len().min(self.chunk_bytes));
        Some((head, part))
    }
}

impl Chunks {
    fn first_head(&self) -> Head {
        let mut bytes = [0; 16];
        let mut rest = &mut bytes[..];
        rest.put_u8(self.id);
        rest.put_uint(self.message.time_ms.min(EXTENDED).into(), 3);
        rest.put_uint(self.message.body.len() as u64, 3);
        rest.put_u8(self.message.kind);
        rest.put_u32_le(self.message.stream);
        self.with_extended_time(bytes, 12)
    }

    fn next_head(&self) -> Head {
        let mut bytes = [0; 16];
        bytes[0] = 0xc0 | self.id;
        self.with_extended_time(bytes, 1)
    }

    fn with_extended_time(&self, mut bytes: [u8; 16], length: usize) -> Head {
        if self.message.time_ms < EXTENDED {
            return Head { bytes, length };
        }
        bytes[length..length + 4].copy_from_slice(&self.message.time_ms.to_be_bytes());
        Head { bytes, length: length + 4 }
    }
}

/// Appends a message of the session's own.
pub(super) fn put(message: Message, id: u8, chunk_bytes: usize, out: &mut BytesMut) {
    let Message { kind, time_ms, stream, body } = message;
    for (head, part) in (Message { kind, time_ms, stream, body: Bytes::from(body) }).chunks(id, chunk_bytes) {
        out.put_slice(head.as_ref());
        out.put_slice(&part);
    }
}

/// What the field of 24 bits says where the time is in 32 behind the header.
const EXTENDED: u32 = 0xff_ffff;
/// Players and servers use four to eight.
const STREAMS_MAX: usize = 16;
