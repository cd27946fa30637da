//! Into the sandbox: from a publisher's bytes to the camera and the microphone.
//!
//! A [`MediaSource`] holds what a publisher, a file or a stream gave and releases it by media time ([`Pacer`]); a [`Backlog`] says what of
//! it is decoded when, by whether anybody reads the camera ([`Demand`]); what was decoded goes to a [`Presenter`], which writes the camera
//! around its reader's clock ([`ReaderClock`]), and sound to a sink, at a [`Depth`] that is held. A [`Mirror`] gives the same packets to the
//! feed's viewers. Joining them with decoders, a camera and a sink is the server's work.

mod backlog;
mod demand;
mod depth;
mod edge;
mod latency;
mod mirror;
mod pace;
mod present;
mod reader;
mod source;
mod timeline;

pub use backlog::{Backlog, BacklogOutput, BacklogStats, Step};
pub use demand::Demand;
pub use depth::{Depth, Held, Lump, Refill};
pub use latency::Latency;
pub use mirror::{FeedFormat, FeedKind, KEPT_MAX_BYTES, KEPT_MAX_PACKETS, Mirror, Packer};
pub use pace::{Due, Pacer};
pub use present::{PresentOutput, PresentStats, Presenter, ReaderEvent};
pub use reader::ReaderClock;
pub use source::{MediaSource, Nature, SourceOutput, SourceStats, Track};

#[cfg(test)]
mod clock {
    //! Where virtual time starts.

    use std::time::{Duration, Instant};

    pub(super) fn epoch() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere; nothing looks at where")]
        Instant::now()
    }

    pub(super) fn ms(millis: f64) -> Duration {
        Duration::from_nanos((millis * 1e6) as u64)
    }

    /// A small deterministic generator (the constants of Knuth's MMIX).
    pub(super) struct Random(pub(super) u64);

    impl Random {
        /// A number in 0…1.
        pub(super) fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f64 / (1_u64 << 24) as f64
        }
    }
}
