//! An RTMP player by a library that is not ours, which checks what it gets.

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::viewer::Count;
use crate::view::crowd::Pace;

/// Where a stream is played.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) address: String,
    pub(crate) app: String,
    pub(crate) name: String,
}

/// Plays what is at `place` and counts its pictures.
///
/// # Errors
/// When the server refuses or closes, when what comes cannot be understood, or does not begin with a key frame.
pub(crate) async fn play(place: Place, count: &Count, pace: Pace) -> Result<()> {
    let mut stream = TcpStream::connect(&place.address).await.context("connecting a player")?;
    stream.set_nodelay(true)?;
    let mut bytes = vec![0; pace.read_bytes()];
    let early = shake_hands(&mut stream, &mut bytes).await?;
    let mut config = ClientSessionConfig::new();
    config.tc_url = Some(format!("rtmp://{}/{}", place.address, place.app));
    let (mut session, results) = ClientSession::new(config)?;
    let mut player = Player { place, count, last_ms: None };
    player.handle(&mut session, &mut stream, results).await?;
    let connect = session.request_connection(player.place.app.clone())?;
    player.handle(&mut session, &mut stream, vec![connect]).await?;
    let results = session.handle_input(&early)?;
    player.handle(&mut session, &mut stream, results).await?;
    loop {
        let read = stream.read(&mut bytes).await?;
        ensure!(read > 0, "closed");
        let results = session.handle_input(&bytes[..read])?;
        player.handle(&mut session, &mut stream, results).await?;
        pace.rest().await;
    }
}

/// Gives what came behind the handshake.
async fn shake_hands(stream: &mut TcpStream, bytes: &mut [u8]) -> Result<Vec<u8>> {
    let mut handshake = Handshake::new(PeerType::Client);
    let greeting = handshake.generate_outbound_p0_and_p1().context("a greeting")?;
    stream.write_all(&greeting).await?;
    loop {
        let read = stream.read(bytes).await?;
        ensure!(read > 0, "closed in the handshake");
        match handshake.process_bytes(&bytes[..read]).context("the handshake")? {
            HandshakeProcessResult::InProgress { response_bytes } => stream.write_all(&response_bytes).await?,
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                stream.write_all(&response_bytes).await?;
                return Ok(remaining_bytes);
            }
        }
    }
}

struct Player<'a> {
    place: Place,
    count: &'a Count,
    /// The time of the last picture.
    last_ms: Option<u32>,
}

impl Player<'_> {
    async fn handle(&mut self, session: &mut ClientSession, stream: &mut TcpStream, results: Vec<ClientSessionResult>) -> Result<()> {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => stream.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(ClientSessionEvent::ConnectionRequestAccepted) => {
                    let ClientSessionResult::OutboundResponse(packet) = session.request_playback(self.place.name.clone())? else {
                        continue;
                    };
                    stream.write_all(&packet.bytes).await?;
                }
                ClientSessionResult::RaisedEvent(ClientSessionEvent::ConnectionRequestRejected { description }) => bail!(description),
                ClientSessionResult::RaisedEvent(ClientSessionEvent::VideoDataReceived { timestamp, data }) => {
                    self.take(timestamp.value, &data)?;
                }
                ClientSessionResult::RaisedEvent(_) | ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        Ok(())
    }

    /// Takes a video tag's body (E.4.3 of the FLV specification).
    fn take(&mut self, time_ms: u32, body: &[u8]) -> Result<()> {
        let [first, kind, ..] = *body else { bail!("a picture of {} bytes", body.len()) };
        if kind == SEQUENCE_HEADER {
            return Ok(());
        }
        let mut watch = self.count.watch.borrow_mut();
        match self.last_ms.replace(time_ms) {
            None => ensure!(first >> 4 == KEY_FRAME, "the first picture is no key frame"),
            // Every picture is later than the one before: there are no B-frames, and none comes twice.
            Some(last) => watch.breaks += u64::from(time_ms <= last),
        }
        watch.messages += 1;
        watch.bytes += body.len() as u64;
        watch.pictures.push((u64::from(time_ms) * 90, Instant::now()));
        Ok(())
    }
}

const SEQUENCE_HEADER: u8 = 0;
const KEY_FRAME: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_begin_with_a_key_frame_and_go_forward() {
        let count = Count::default();
        let place = Place { address: String::new(), app: String::new(), name: String::new() };
        let mut player = Player { place, count: &count, last_ms: None };
        assert!(player.take(0, &[0x17]).is_err());
        player.take(0, &[0x17, 0, 0, 0, 0]).unwrap();
        player.take(0, &[0x17, 1, 0, 0, 0]).unwrap();
        player.take(33, &[0x27, 1, 0, 0, 0]).unwrap();
        assert_eq!((count.watch.borrow().messages, count.watch.borrow().breaks), (2, 0));
        player.take(33, &[0x27, 1, 0, 0, 0]).unwrap();
        assert_eq!(count.watch.borrow().breaks, 1);
        player.last_ms = None;
        assert!(player.take(66, &[0x27, 1, 0, 0, 0]).is_err());
    }
}
