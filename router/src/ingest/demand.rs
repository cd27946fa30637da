//! Whether a camera's pictures are wanted.

use std::time::{Duration, Instant};

/// Whether pictures are wanted: at once when a reader opens the camera, and until a moment after the last one closed it, so that a page that
/// loads anew, or a browser that only looks what the camera can do, starts and stops nothing.
///
/// Copies: 0 (it sees events only).
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    is_read: bool,
    /// When the last reader is forgotten.
    until: Option<Instant>,
}

impl Demand {
    /// How long after the last reader pictures are still wanted.
    pub const LINGER: Duration = Duration::from_secs(2);

    /// Makes a demand of nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes whether anybody reads, or may read, the camera.
    pub fn handle_use(&mut self, is_read: bool, now: Instant) {
        if self.is_read && !is_read {
            self.until = Some(now + Self::LINGER);
        }
        self.is_read = is_read;
    }

    /// Says whether pictures are wanted at `now`, and until when that answer stands if nothing is reported.
    pub fn poll(&mut self, now: Instant) -> (bool, Option<Instant>) {
        self.until = self.until.filter(|&until| !self.is_read && now < until);
        (self.is_read || self.until.is_some(), self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::{epoch, ms};
    use super::*;

    #[test]
    fn reader_is_wanted_at_once_and_for_a_moment_longer() {
        let (now, mut demand) = (epoch(), Demand::new());
        demand.handle_use(false, now);
        assert_eq!(demand.poll(now), (false, None), "nobody ever read");
        demand.handle_use(true, now);
        assert_eq!(demand.poll(now), (true, None));
        demand.handle_use(false, now);
        let end = now + Demand::LINGER;
        assert_eq!(demand.poll(now + ms(1_999.0)), (true, Some(end)));
        assert_eq!(demand.poll(end), (false, None));
    }

    #[test]
    fn page_that_loads_anew_interrupts_nothing() {
        let (now, mut demand) = (epoch(), Demand::new());
        demand.handle_use(true, now);
        demand.handle_use(false, now + ms(100.0));
        demand.handle_use(false, now + ms(1_000.0));
        assert_eq!(demand.poll(now + ms(1_500.0)), (true, Some(now + ms(2_100.0))));
        demand.handle_use(true, now + ms(2_000.0));
        assert_eq!(demand.poll(now + ms(60_000.0)), (true, None));
    }
}
