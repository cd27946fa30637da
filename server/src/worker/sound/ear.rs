//! A listener's end of what is heard from the speaker.
//!
//! While nothing plays into the speaker the sound thread sleeps: it has told its listeners what silence looks like in their codec, and they
//! make it themselves, on the thread that sends it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crosspoint_ffi::fd::Wake;
use crosspoint_ffi::{MediaTime, Packet};
use tokio::sync::mpsc;

use super::silence::Silence;
use crate::timer::sleep_until;

/// What the sound thread tells a listener.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The next packet of sound.
    Packet(Packet),
    /// From now on it is silent.
    Silence(Silence),
    /// The silence ends at this time.
    Sound(MediaTime),
}

/// What is heard from the speaker in one codec; dropped, nothing more is sent here.
#[derive(Debug)]
pub(crate) struct Ear {
    heard: mpsc::Receiver<Heard>,
    wake: Arc<Wake>,
    /// What the times of packets count from.
    epoch: Instant,
    /// At every how many beats it gives silence.
    beats: u32,
    silence: Option<Silence>,
    /// When the silence before the next sound ends: sound from before it would be heard twice.
    silent_until: MediaTime,
    ready: VecDeque<Packet>,
}

/// What waits for a listener. Full, the sound thread drops.
const QUEUE: usize = 64;
/// By how much sound may begin before the silence ends: half a packet.
const OVERLAP: MediaTime = MediaTime::from_millis(10);

impl Ear {
    /// Makes an ear that gives silence at every so many `beats`, and the sound thread's end of it. `wake` is raised when it is gone.
    pub(super) fn new(epoch: Instant, beats: u32, wake: Arc<Wake>) -> (mpsc::Sender<Heard>, Self) {
        let (tell, heard) = mpsc::channel(QUEUE);
        (tell, Self { heard, wake, epoch, beats, silence: None, silent_until: MediaTime::ZERO, ready: VecDeque::new() })
    }

    /// The next packet. Dropped before it is there, this loses nothing.
    pub(crate) async fn next(&mut self) -> Packet {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return packet;
            }
            let due = self.silence.as_ref().and_then(|silence| silence.due(self.beats).to_duration());
            let due = sleep_until(due.map(|due| self.epoch + due));
            tokio::select! {
                biased;
                heard = self.heard.recv() => match heard {
                    Some(heard) => self.take(heard),
                    // The sound thread ends only with the process.
                    None => std::future::pending().await,
                },
                () = due => self.give_silence(self.now()),
            }
        }
    }

    /// The next packet, if it is there.
    pub(crate) fn next_now(&mut self) -> Option<Packet> {
        while self.ready.is_empty() {
            let heard = self.heard.try_recv().ok()?;
            self.take(heard);
        }
        self.ready.pop_front()
    }

    fn take(&mut self, heard: Heard) {
        match heard {
            Heard::Packet(packet) => {
                let time = packet.pts.unwrap_or(self.silent_until);
                self.give_silence(time);
                self.silence = None;
                if time + OVERLAP >= self.silent_until {
                    self.ready.push_back(packet);
                }
            }
            Heard::Silence(mut silence) => {
                self.give_silence(silence.next_time());
                silence.skip(self.silent_until + OVERLAP);
                self.silence = Some(silence);
            }
            Heard::Sound(time) => {
                self.give_silence(time);
                self.silence = None;
            }
        }
    }

    fn give_silence(&mut self, until: MediaTime) {
        let now = self.now();
        if let Some(silence) = &mut self.silence {
            silence.give(until, now, |packet| self.ready.push_back(packet));
            self.silent_until = self.silent_until.max(silence.next_time());
        }
    }

    fn now(&self) -> MediaTime {
        MediaTime::from(self.epoch.elapsed())
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.heard.close();
        self.wake.raise();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crosspoint_ffi::{Codec, Payload};

    use super::*;
    use crate::runtime::Io;

    fn at(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    fn packet(pts: Option<i64>) -> Packet {
        let arrival = Instant::now();
        let pts = pts.map(at);
        Packet { codec: Codec::Aac, data: Payload::default(), pts, dts: pts, key: true, arrival, parameters: None }
    }

    fn silence(from: i64) -> Heard {
        Heard::Silence(Silence::new(packet(None), at(20), 1, at(from)))
    }

    fn sound(pts: i64) -> Heard {
        Heard::Packet(packet(Some(pts)))
    }

    /// What an ear gives at once of what it is told.
    fn given(told: impl IntoIterator<Item = Heard>) -> Vec<i64> {
        let wake = Arc::new(Wake::new().expect("an eventfd"));
        // Time has not begun, so nothing is too old.
        let (tell, mut ear) = Ear::new(Instant::now() + Duration::from_secs(3_600), 1, wake);
        told.into_iter().for_each(|heard| tell.try_send(heard).expect("room"));
        std::iter::from_fn(|| ear.next_now()).map(|packet| packet.pts.expect("a time").as_nanos() / 1_000_000).collect()
    }

    #[test]
    fn silence_lies_between_sound_and_sound() {
        let told = [sound(0), silence(20), Heard::Sound(at(100)), sound(100), sound(120)];
        assert_eq!(given(told), [0, 20, 40, 60, 80, 100, 120]);
        assert_eq!(given([sound(0), silence(20), sound(85), sound(105)]), [0, 20, 40, 60, 85, 105], "without the word of its end");
    }

    #[test]
    fn no_time_is_heard_twice() {
        let told = [silence(0), Heard::Sound(at(60)), sound(40), sound(60)];
        assert_eq!(given(told), [0, 20, 40, 60], "what was recorded before the end");
        let told = [silence(0), Heard::Sound(at(60)), sound(55), sound(75)];
        assert_eq!(given(told), [0, 20, 40, 55, 75], "of another clock");
        let told = [silence(0), Heard::Sound(at(60)), silence(20), Heard::Sound(at(100))];
        assert_eq!(given(told), [0, 20, 40, 60, 80], "silence that begins anew");
    }

    #[test]
    fn silence_comes_by_itself() {
        let wake = Arc::new(Wake::new().expect("an eventfd"));
        let (tell, mut ear) = Ear::new(Instant::now(), 1, wake);
        tell.try_send(silence(0)).expect("room");
        let listening = Io::Epoll.block_on(async {
            for n in 0..12 {
                let waits = ear.ready.is_empty();
                let packet = ear.next().await;
                assert_eq!(packet.pts, Some(at(n * 20)));
                // A beat is 106.7 ms. Who was woken late gives what has passed since, too.
                let over = (n + 1) * 20;
                let due = if waits { (1..).map(|beat| beat * 320 / 3).find(|beat| *beat >= over) } else { Some(over) };
                assert!(ear.now() >= at(due.expect("a beat")), "packet {n} came before its time");
            }
        });
        listening.expect("an epoll instance");
    }
}
