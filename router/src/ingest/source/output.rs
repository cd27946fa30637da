//! What a source is told about itself, and what it says.

use std::time::Instant;

use crosspoint_ffi::Packet;

/// A track of a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Track {
    /// The sound.
    Audio,
    /// The picture.
    Video,
}

/// How a source behaves, as far as time goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nature {
    /// It goes on without us, and what it gives comes in lumps: paced, and kept at its distance from the edge.
    Live,
    /// It goes on without us, and each packet comes as it is made: never held up, whatever it brought at first.
    Realtime,
    /// It waits for us: a pause stops it.
    Recorded,
    /// A publisher that may be either live or ahead of time, and is pushed back by not being read.
    Socket,
}

/// What to do next.
#[derive(Debug)]
pub enum SourceOutput {
    /// All is over: the last picture has had its time.
    Ended,
    /// No picture has come for so long that the last one stands for nothing any more: black, until the next.
    Gap,
    /// Decode this packet now. Its arrival is since when it could have been released; delay from there on is ours.
    Release(Track, Packet),
    /// Nothing now.
    Wait {
        /// Whether to give more packets. While not, a publisher is not read.
        hungry: bool,
        /// When to poll again if nothing is reported before.
        until: Option<Instant>,
    },
}

/// Counters since construction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SourceStats {
    /// Packets that came.
    pub packets: u64,
    /// Packets released.
    pub released: u64,
    /// Video packets that were dropped because what they refer to was lost.
    pub dropped_for_key: u64,
    /// Losses reported.
    pub losses: u64,
    /// Gaps told.
    pub gaps: u64,
}
