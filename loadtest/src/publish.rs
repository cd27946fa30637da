//! Sends a clip in real time.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use tokio::time::{Instant, sleep_until};

use crate::clip::Clip;
use crate::clock::Clock;
use crate::socket::Sender;

/// When a frame was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// When it was to leave, its jitter included.
    pub(crate) due_ms: f64,
    /// When the kernel had its last byte.
    pub(crate) at_ms: f64,
}

/// Sends every frame of `clip` at its time, up to `jitter` late; says when each was sent.
///
/// A frame that waits (for the router to read, or for a processor) does not move the ones after it: they leave when they are due.
///
/// # Errors
/// When the connection breaks.
pub(crate) async fn publish(sender: &Sender, clip: Clip, jitter: Duration, clock: Clock) -> Result<Vec<Sent>> {
    send(clip, jitter, clock, async |frame| sender.send_binary(frame).await).await
}

/// The same by any other way: `to` returns when the kernel has the last byte of a frame.
///
/// # Errors
/// When `to` fails.
pub(crate) async fn send(clip: Clip, jitter: Duration, clock: Clock, to: impl AsyncFnMut(BytesMut) -> Result<()>) -> Result<Vec<Sent>> {
    send_from(Instant::now() + LEAD, clip, jitter, clock, to).await
}

/// The same, with the first frame due at `start`.
///
/// # Errors
/// When `to` fails.
pub(crate) async fn send_from(
    start: Instant,
    clip: Clip,
    jitter: Duration,
    clock: Clock,
    mut to: impl AsyncFnMut(BytesMut) -> Result<()>,
) -> Result<Vec<Sent>> {
    let mut dice = Dice::new(1);
    let mut sent = Vec::with_capacity(clip.frames.len());
    let start_ms = clock.now_ms() + start.saturating_duration_since(Instant::now()).as_secs_f64() * 1e3;
    for (number, frame) in clip.frames.into_iter().enumerate() {
        let due = clip.period * u32::try_from(number).context("counting frames")? + jitter.mul_f64(dice.roll());
        sleep_until(start + due).await;
        to(frame).await?;
        sent.push(Sent { due_ms: start_ms + due.as_secs_f64() * 1e3, at_ms: clock.now_ms() });
    }
    Ok(sent)
}

/// Even numbers from 0 to 1, the same in every run (xorshift32).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u32);

impl Dice {
    /// Thrown from `seed` on.
    pub(crate) fn new(seed: u32) -> Self {
        // It never leaves 0, and small seeds fall alike at first.
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9) | 1);
        (0..8).for_each(|_| _ = dice.roll());
        dice
    }

    pub(crate) fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        f64::from(self.0) / f64::from(u32::MAX)
    }
}

/// The first frame is as punctual as the others.
const LEAD: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_are_even() {
        let mut dice = Dice::new(1);
        let rolls: Vec<f64> = (0..1_000).map(|_| dice.roll()).collect();
        assert!(rolls.iter().all(|roll| (0.0..=1.0).contains(roll)));
        let mean = rolls.iter().sum::<f64>() / 1e3;
        assert!((0.47..0.53).contains(&mean), "{mean}");
    }
}
