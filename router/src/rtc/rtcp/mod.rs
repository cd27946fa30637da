//! RTCP between us, who send, and a viewer (RFC 3550, section 6).
//!
//! ```text
//! datagram ─▶ parse ─▶ Feedback: reports, packets missing, key frames wanted, rates, arrivals, goodbye
//! SenderReports, name ─▶ write_reports ─▶ datagram
//! ```
//!
//! A datagram is a row of packets, each with its length in front: compound, or any of them alone (RFC 5506). They are read where they lie.
//! What is of a kind that says nothing to who sends, such as source descriptions, is skipped; after what is malformed
//! nothing can be told apart, so it ends the row. Who sent a packet is not looked at, as there is one viewer behind a transport, nor is
//! whether streams it speaks of are ours: that is for whom the feedback is given to.
//!
//! Copies: 0.

mod feedback;
mod report;
mod transport;

#[cfg(test)]
mod tests;

pub(super) use feedback::Missing;
pub(super) use report::{SenderReport, round_trip, write_goodbye, write_reports, write_time_back};
pub(super) use transport::{Arrivals, ReferenceClock};

use feedback::Part;

/// What a viewer says.
#[derive(Clone, Debug)]
pub(super) enum Feedback<'a> {
    /// What it can take (draft-alvestrand-rmcat-remb-03), as much as fits when that is more.
    Able { bps: u64 },
    /// When packets arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    Arrivals(Arrivals<'a>),
    /// It leaves (RFC 3550, 6.6), or one of its streams does.
    Goodbye,
    /// A key frame is wanted: because a picture was lost (RFC 4585, 6.3.1), or for reasons of its own (RFC 5104, 4.3.1), which it says again
    /// under the same number until it has one.
    Key { ssrc: u32, fir: Option<u8> },
    /// Packets of a stream are missing (RFC 4585, 6.2.1).
    Missing { ssrc: u32, numbers: Missing<'a> },
    /// How a stream arrives (RFC 3550, 6.4.1).
    Report {
        ssrc: u32,
        /// Which part was lost since the report before, 0 to 1.
        lost: f32,
        /// The middle 32 bits of the NTP time in the last report it had of us, 0 if it had none.
        last_report: u32,
        /// How long before it had that, in 1/65536 s.
        since: u32,
    },
    /// The middle 32 bits of its own NTP time, for us to give back, so that it knows how long that takes (RFC 3611, 4.4).
    Time { ssrc: u32, middle: u32 },
}

/// What the packets of a datagram say, in order. With more arrivals than [`MOST_TOLD`] it ends, too.
pub(super) fn parse(packet: &[u8]) -> impl Iterator<Item = Feedback<'_>> {
    let mut untold = MOST_TOLD;
    Packets { rest: packet }.map_while(|packet| Part::parse(&packet)).flatten().map_while(move |feedback| {
        if let Feedback::Arrivals(arrivals) = &feedback {
            untold = untold.checked_sub(arrivals.packets())?;
        }
        Some(feedback)
    })
}

/// One packet of the row (RFC 3550, 6.4.1).
struct Packet<'a> {
    /// How many of what it is made of, or which format of its kind it has.
    count: u8,
    kind: u8,
    /// Without header and padding.
    body: &'a [u8],
}

/// The packets of a datagram, up to what is none.
struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&[first, kind, words @ ..], rest) = self.rest.split_first_chunk::<4>()?;
        let (mut body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(words)) * 4)?;
        if first >> 6 != VERSION {
            return None;
        }
        if first & PADDED != 0 {
            // To be of whole words, by the RFC; browsers fill a word with it, byte by byte.
            let padding = usize::from(*body.last()?);
            body = body.get(..body.len().checked_sub(padding)?).filter(|_| padding > 0)?;
        }
        self.rest = rest;
        Some(Packet { count: first & MOST_COUNT, kind, body })
    }
}

/// How many packets a datagram may tell the arrival of: 24 bytes can tell that 8 191 did not, so that one datagram could cost tens of
/// milliseconds. At 300 packets a second this is a gap of 54 s, which no connection outlives.
const MOST_TOLD: u16 = 16_384;
/// The only version there is.
const VERSION: u8 = 2;
/// Whether the last byte of a packet says how many there are that mean nothing.
const PADDED: u8 = 0x20;
/// A count has five bits.
const MOST_COUNT: u8 = 0x1f;

/// Kinds of packets (RFC 3550, 12.1; RFC 4585, 6.1; RFC 3611, 2).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const EXTENDED_REPORT: u8 = 207;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
