//! ICE over TCP: one peer's datagrams in a connection to the main port.

use std::io;
use std::time::Duration;

use crosspoint_router::rtc::{Deframer, Protocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rtc::Rtc;
use crate::shutdown::Shutdown;

/// Serves a connection whose first message must be for one of our peers.
pub(super) async fn serve(mut stream: TcpStream, rtc: &Rtc, mut shutdown: Shutdown) -> io::Result<()> {
    let source = stream.peer_addr()?;
    let source = std::net::SocketAddr::new(source.ip().to_canonical(), source.port());
    let (read, mut write) = stream.split();
    let (mut outgoing, connection) = rtc.attach(source);
    let listen = async {
        let mut read = read;
        let (mut deframer, mut buffer, mut known) = (Deframer::default(), vec![0; BUFFER_BYTES], false);
        loop {
            // A peer that is there is heard from every few seconds: a stranger gets less patience.
            let patience = if known { PATIENCE } else { FIRST_FRAME };
            let Ok(length) = timeout(patience, read.read(&mut buffer)).await else { return Ok(()) };
            let length = length?;
            if length == 0 {
                return Ok(());
            }
            deframer.push(&buffer[..length]);
            while let Some(frame) = deframer.poll().map_err(io::Error::other)? {
                let is_ours = rtc.take(Protocol::Tcp, source, &frame);
                if !is_ours && !known {
                    // Browsers dial a dead session again and again.
                    return Ok(());
                }
                known = true;
            }
        }
    };
    let talk = async {
        while let Some(frame) = outgoing.recv().await {
            write.write_all(&frame).await?;
        }
        Ok(())
    };
    let end = tokio::select! {
        end = listen => end,
        end = talk => end,
        () = shutdown.requested() => Ok(()),
    };
    drop(connection);
    end
}

/// What is read at a time: a dozen datagrams.
const BUFFER_BYTES: usize = 16 << 10;
/// How long a connection may take to send what tells whose it is.
const FIRST_FRAME: Duration = Duration::from_secs(5);
/// How long a peer may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
