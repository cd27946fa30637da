//! Whom ours is measured beside: servers that are fed with the packets that a viewer of ours got, and offer them to whoever asks.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::janus::Janus;
use super::webrtcbin::Webrtcbin;
use crate::process::Process;

/// A running one.
pub(crate) enum Other {
    Janus(Janus),
    Webrtcbin(Webrtcbin),
}

/// Which one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Janus,
    /// What it needs is in the peers' folder.
    Webrtcbin,
}

impl Other {
    /// Starts one, on `core` alone if one is named.
    ///
    /// # Errors
    /// When it is not installed, or does not answer in time.
    pub(super) async fn start(kind: Kind, peers: &Path, core: Option<&str>) -> Result<Self> {
        Ok(match kind {
            Kind::Janus => Self::Janus(Janus::start(core).await?),
            Kind::Webrtcbin => Self::Webrtcbin(Webrtcbin::start(peers, core).await?),
        })
    }

    /// Where it takes the stream.
    pub(super) fn media(&self) -> SocketAddr {
        match self {
            Self::Janus(janus) => janus.media,
            Self::Webrtcbin(webrtcbin) => webrtcbin.media,
        }
    }

    /// Asks for the stream: a viewer's name there, and what it is offered.
    pub(super) async fn watch(&self) -> Result<(String, String)> {
        match self {
            Self::Janus(janus) => janus.watch().await,
            Self::Webrtcbin(webrtcbin) => webrtcbin.watch().await,
        }
    }

    /// Answers what a viewer was offered.
    pub(super) async fn answer(&self, viewer: &str, sdp: &str) -> Result<()> {
        match self {
            Self::Janus(janus) => janus.answer(viewer, sdp).await,
            Self::Webrtcbin(webrtcbin) => webrtcbin.answer(viewer, sdp).await,
        }
    }

    pub(super) fn check(&mut self) -> Result<()> {
        match self {
            Self::Janus(janus) => janus.check(),
            Self::Webrtcbin(webrtcbin) => webrtcbin.check(),
        }
    }

    pub(super) fn process(&self) -> &Process {
        match self {
            Self::Janus(janus) => janus.process(),
            Self::Webrtcbin(webrtcbin) => webrtcbin.process(),
        }
    }
}

/// The start of an RTP packet (RFC 3550, 5.1) that is fed.
pub(super) fn header(marker: bool, number: u16, timestamp: u32) -> [u8; 12] {
    let ([n0, n1], [t0, t1, t2, t3], [s0, s1, s2, s3]) = (number.to_be_bytes(), timestamp.to_be_bytes(), SSRC);
    [0x80, u8::from(marker) << 7 | PAYLOAD_TYPE, n0, n1, t0, t1, t2, t3, s0, s1, s2, s3]
}

/// What the packets say that are fed.
pub(super) const PAYLOAD_TYPE: u8 = 96;
pub(super) const SSRC: [u8; 4] = *b"cros";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_starts_as_the_rfc_has_it() {
        assert_eq!(header(true, 0x0102, 0x0304_0506)[..8], [0x80, 0xe0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(header(false, 1, 1)[1], 96);
    }
}
