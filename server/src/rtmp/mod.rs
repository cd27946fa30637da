//! RTMP: players that come to us, and servers that we push to. The sessions are `router`'s; here are their sockets.

mod back_off;
mod flow;
mod listen;
mod push;

use bytes::Bytes;
use crosspoint_router::wire::rtmp::{Client, ClientOutput, Error, Server, ServerEvent, ServerOutput};
use rustix::rand::{GetRandomFlags, getrandom};

pub(crate) use listen::play;
pub(crate) use push::Push;

/// A session once media flows: what the peer says, and what it is told.
trait Session {
    /// Takes the peer's next bytes.
    fn handle_input(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// The bytes to write, until there are none; what the session wants otherwise is acted on by [`Session::is_over`].
    fn poll_bytes(&mut self) -> Option<Bytes>;

    /// Whether the peer wants no more.
    fn is_over(&self) -> bool;

    /// Says goodbye.
    fn finish(&mut self);
}

/// A player's session.
struct Player {
    session: Server,
    over: bool,
}

impl Session for Player {
    fn handle_input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.session.handle_input(bytes)
    }

    fn poll_bytes(&mut self) -> Option<Bytes> {
        loop {
            match self.session.poll_output()? {
                ServerOutput::Send(bytes) => return Some(bytes),
                ServerOutput::Event(ServerEvent::End) => self.over = true,
                // It plays already.
                ServerOutput::Event(ServerEvent::Play { .. }) => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn finish(&mut self) {
        self.session.finish();
    }
}

impl Session for Client {
    fn handle_input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.handle_input(bytes)
    }

    fn poll_bytes(&mut self) -> Option<Bytes> {
        loop {
            match self.poll_output()? {
                ClientOutput::Send(bytes) => return Some(bytes),
                // It publishes already.
                ClientOutput::Event(_) => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        // A server that wants no more says so by an error.
        false
    }

    fn finish(&mut self) {
        self.finish();
    }
}

/// Random bytes for a handshake, of which none is a secret.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // A kernel without them leaves zeros, and peers do not mind.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    bytes
}
