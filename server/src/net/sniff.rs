//! Which protocol a connection speaks, by its first byte.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::net::TcpStream;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    /// HTTP/1, WebSocket included: a method, in upper case.
    Http,
    /// ICE over TCP (RFC 4571): a big-endian length, and its first message is short.
    IceTcp,
    /// RTMP: version 3.
    Rtmp,
    /// TLS: a handshake record.
    Tls,
    /// None of ours.
    Unknown,
}

impl Protocol {
    /// Tells by the first byte.
    pub(super) fn of(first: u8) -> Self {
        match first {
            b'A'..=b'Z' => Self::Http,
            0x00 | 0x01 => Self::IceTcp,
            0x03 => Self::Rtmp,
            0x16 => Self::Tls,
            _ => Self::Unknown,
        }
    }
}

/// Waits for the first byte and leaves it where it is; nothing when the peer closes without one.
pub(super) async fn sniff(stream: &TcpStream) -> io::Result<Option<Protocol>> {
    let mut first = [0];
    let read = stream.peek(&mut first).await?;
    Ok((read == 1).then(|| Protocol::of(first[0])))
}

/// The same inside TLS.
pub(super) async fn sniff_inside(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Protocol>> {
    Ok(stream.fill_buf().await?.first().copied().map(Protocol::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_byte_tells_the_protocol() {
        let cases = [
            (b'G', Protocol::Http),
            (b'A', Protocol::Http),
            (b'Z', Protocol::Http),
            (0x16, Protocol::Tls),
            (0x03, Protocol::Rtmp),
            (0x00, Protocol::IceTcp),
            (0x01, Protocol::IceTcp),
            (b'g', Protocol::Unknown),
            (0x02, Protocol::Unknown),
            (0x80, Protocol::Unknown),
            (0xff, Protocol::Unknown),
        ];
        for (byte, protocol) in cases {
            assert_eq!(Protocol::of(byte), protocol, "{byte:#04x}");
        }
    }
}
