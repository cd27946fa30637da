//! Offers as callers send them (SDP, RFC 8866; JSEP, RFC 9429), checked before anything is made for them.

use std::fmt;

use str0m::Candidate;
use str0m::change::SdpOffer;
use str0m::media::MediaKind;

/// An offer that can be answered.
pub struct Offer {
    pub(super) sdp: SdpOffer,
    tracks: Vec<Track>,
    has_transport_feedback: bool,
    ice_names: Vec<String>,
}

/// A text that is no offer, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BadOffer(pub(super) String);

/// A media description, as far as it says who sends.
#[derive(Clone, Copy, Debug)]
struct Track {
    kind: Option<MediaKind>,
    sends: bool,
    receives: bool,
}

impl Offer {
    /// Parses `text`, within limits that no browser comes near.
    ///
    /// # Errors
    /// When it is too long, has too many lines or media descriptions, or is no offer of a WebRTC peer.
    pub fn parse(text: &str) -> Result<Self, BadOffer> {
        let bad = |message: &str| BadOffer(message.to_owned());
        if text.len() > MOST_BYTES {
            return Err(BadOffer(format!("an offer is at most {MOST_BYTES} bytes")));
        }
        if !text.starts_with("v=0") {
            return Err(bad("the sdp does not begin with v=0"));
        }
        if text.lines().count() > MOST_LINES {
            return Err(BadOffer(format!("an offer has at most {MOST_LINES} lines")));
        }
        let tracks = tracks(text);
        if tracks.is_empty() {
            return Err(bad("the offer has no media: offer audio, video or both"));
        }
        if tracks.len() > MOST_TRACKS {
            return Err(BadOffer(format!("an offer has at most {MOST_TRACKS} media descriptions")));
        }
        // Some clients write their lines' ends as they please; the grammar has CRLF (RFC 8866, 9).
        let mut lines = String::with_capacity(text.len() + MOST_LINES);
        for line in text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()) {
            lines.push_str(line);
            lines.push_str("\r\n");
        }
        let sdp = SdpOffer::from_sdp_string(&lines).map_err(|_| bad("the sdp cannot be understood"))?;
        let has_transport_feedback = lines.lines().any(|line| line.starts_with("a=extmap:") && line.contains(TRANSPORT_FEEDBACK));
        let ice_names = ice_names(&lines).map(str::to_owned).collect();
        Ok(Self { sdp, tracks, has_transport_feedback, ice_names })
    }

    /// Whether the caller can say when each packet arrived, so that we can estimate what the way to it carries.
    pub(super) fn has_transport_feedback(&self) -> bool {
        self.has_transport_feedback
    }

    /// The user names of the caller's ICE sessions: one, unless what it offers is not bundled.
    #[must_use]
    pub fn ice_names(&self) -> Vec<String> {
        self.ice_names.clone()
    }

    /// Whether the caller offers to send media of this kind.
    fn sends(&self, kind: MediaKind) -> bool {
        self.tracks.iter().any(|track| track.kind == Some(kind) && track.sends)
    }

    /// Whether the caller offers to receive media of this kind.
    fn receives(&self, kind: MediaKind) -> bool {
        self.tracks.iter().any(|track| track.kind == Some(kind) && track.receives)
    }

    /// Whether the caller sends pictures.
    #[must_use]
    pub fn sends_video(&self) -> bool {
        self.sends(MediaKind::Video)
    }

    /// Whether the caller sends sound.
    #[must_use]
    pub fn sends_audio(&self) -> bool {
        self.sends(MediaKind::Audio)
    }

    /// Whether the caller takes pictures.
    #[must_use]
    pub fn receives_video(&self) -> bool {
        self.receives(MediaKind::Video)
    }

    /// Whether the caller takes sound.
    #[must_use]
    pub fn receives_audio(&self) -> bool {
        self.receives(MediaKind::Audio)
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses and credentials are nobody's business.
        f.debug_struct("Offer").field("tracks", &self.tracks).finish_non_exhaustive()
    }
}

/// The ICE user names in an offer or a fragment.
pub fn ice_names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take(MOST_LINES).filter_map(|line| line.trim().strip_prefix("a=ice-ufrag:"))
}

/// The candidates in a trickled fragment (RFC 8840): as many as a peer may have, what is none of them left out.
pub(super) fn parse_candidates(fragment: &str) -> Vec<Candidate> {
    candidates(fragment).filter_map(|text| Candidate::from_sdp_string(text).ok()).collect()
}

/// The candidate lines of a trickled fragment, without their `a=`.
fn candidates(fragment: &str) -> impl Iterator<Item = &str> {
    let line = |line: &'_ str| line.trim().strip_prefix("a=").is_some_and(|text| text.starts_with("candidate:"));
    fragment.lines().take(MOST_LINES).filter(move |text| line(text)).map(|text| &text.trim()[2..]).take(MOST_CANDIDATES)
}

/// Reads which media there are and which way they go.
fn tracks(text: &str) -> Vec<Track> {
    let (mut session, mut tracks) = ((true, true), Vec::<Track>::new());
    for line in text.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            let kind = match media.split(' ').next() {
                Some("audio") => Some(MediaKind::Audio),
                Some("video") => Some(MediaKind::Video),
                Some(_) | None => None,
            };
            tracks.push(Track { kind, sends: session.0, receives: session.1 });
            continue;
        }
        let ways = match line {
            "a=sendrecv" => (true, true),
            "a=sendonly" => (true, false),
            "a=recvonly" => (false, true),
            "a=inactive" => (false, false),
            _ => continue,
        };
        match tracks.last_mut() {
            Some(track) => (track.sends, track.receives) = ways,
            None => session = ways,
        }
    }
    tracks
}

/// The extension that numbers all packets of a connection (draft-holmer-rmcat-transport-wide-cc-extensions-01), as URLs end.
const TRANSPORT_FEEDBACK: &str = "draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// A browser's offer of everything it has is some 10 kB.
const MOST_BYTES: usize = 128 << 10;
const MOST_LINES: usize = 2_000;
const MOST_TRACKS: usize = 16;
const MOST_CANDIDATES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_those_of_each_track() {
        let text = "v=0\r\na=recvonly\r\nm=audio 9 X 0\r\nm=video 9 X 0\r\na=sendonly\r\nm=application 9 X 0\r\na=sendrecv\r\n";
        let tracks = tracks(text);
        let ways: Vec<_> = tracks.iter().map(|track| (track.kind, track.sends, track.receives)).collect();
        let expected = [(Some(MediaKind::Audio), false, true), (Some(MediaKind::Video), true, false), (None, true, true)];
        assert_eq!(ways, expected);
    }

    #[test]
    fn candidates_of_a_fragment() {
        let fragment =
            "a=ice-ufrag:x\r\na=candidate:1 1 udp 2130706431 10.0.0.1 5000 typ host\r\na=candidate:nonsense\r\na=end-of-candidates\r\n";
        assert_eq!(candidates(fragment).count(), 2);
        assert_eq!(parse_candidates(fragment).len(), 1);
        assert!(parse_candidates(&"a=candidate:1 1 udp 1 10.0.0.1 5 typ host\n".repeat(5000)).len() <= MOST_CANDIDATES);
    }
}
