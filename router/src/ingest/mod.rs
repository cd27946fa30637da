//! Into the sandbox: from a publisher's bytes to the camera and the microphone.
//!
//! A [`SocketSource`] holds what one chunk gave and releases it by media time ([`Pacer`]); what was decoded goes to a [`Presenter`],
//! which writes the camera around its reader's clock ([`ReaderClock`]). Joining them with a decoder and a camera is the server's work.

mod latency;
mod pace;
mod present;
mod reader;
mod source;

pub use latency::Latency;
pub use pace::{Due, Pacer};
pub use present::{PresentOutput, PresentStats, Presenter, ReaderEvent};
pub use reader::ReaderClock;
pub use source::{SocketSource, SourceOutput, SourceStats};

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
