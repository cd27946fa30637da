//! What the loudspeaker plays, and what a viewer hears of it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::io::ioctl_fionread;
use serde::Serialize;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

use crate::client::Endpoint;
use crate::clock::Clock;
use crate::distribution::{Distribution, Summary};
use crate::fanout::rtc::peer::{Account, Peer, Polled};
use crate::process::Process;
use crate::publish::Sent;
use crate::scratch;
use crate::sight::Sight;
use crate::tone::{self, Ear};
use crate::wait::until;

/// Plays the numbers' pulses, as an application does: pacat, which is fed in real time.
pub(super) struct Player {
    process: Process,
    log: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Sent>>>,
    _folder: TempDir,
}

impl Player {
    /// Starts one on the sound server at `server`.
    ///
    /// # Errors
    /// When pacat is not installed.
    pub(super) fn start(server: &str, clock: Clock) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let (home, log, pipe) = (folder.path().display(), folder.path().join("player"), folder.path().join("pipe"));
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).context("making a pipe")?;
        // Opened for both, it waits for nobody; a player that does not read must not hold us up.
        let nonblocking = OFlags::NONBLOCK.bits().try_into().context("a flag")?;
        let mut feed = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(&pipe)?;
        let words = [format!("HOME={home}"), format!("XDG_RUNTIME_DIR={home}"), "pacat".into(), format!("--server={server}")];
        let format = ["--raw", "--format=s16le", "--rate=48000", "--channels=2", "--device=audio_output", "--verbose", PLAYER_BUFFER];
        let words = ["env".into()].into_iter().chain(words.map(Into::into)).chain(format.map(Into::into)).chain([pipe.into()]);
        let process = Process::launch("the player", words.collect(), None, &log)?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = thread::Builder::new().name("player".to_owned()).spawn(move || {
            let (start, start_ms) = (Instant::now(), clock.now_ms());
            let (mut played, mut pcm) = (Vec::new(), Vec::new());
            for nth in (0..).take_while(|_| !end.load(Ordering::Relaxed)) {
                let due = PIECE * nth;
                thread::sleep((start + due).saturating_duration_since(Instant::now()));
                let (number, part) = (nth / PIECES, (nth % PIECES) as usize);
                if part == 0 {
                    pcm = tone::pcm(number);
                    played.push(Sent { due_ms: start_ms + due.as_secs_f64() * 1e3, at_ms: clock.now_ms() });
                }
                let bytes = pcm.len() / PIECES as usize;
                let piece = &pcm[part * bytes..][..bytes];
                // A player that began late, or lost its turn, would stay behind: it catches up by silence that is left out.
                let is_behind = ioctl_fionread(&feed).is_ok_and(|unread| unread > 0);
                if !(is_behind && piece.iter().all(|byte| *byte == 0)) {
                    // What is not taken is not heard, and counted as that.
                    let _ = feed.write(piece);
                }
            }
            played
        })?;
        Ok(Self { process, log, ended, thread: Some(thread), _folder: folder })
    }

    /// Fails when it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        self.process.check(&self.log)
    }

    /// Ends it; gives when each pulse was played, and how long what is played waits in the sound server and its device, by the player's word.
    pub(super) fn finish(mut self) -> Result<(Vec<Sent>, Distribution)> {
        self.check()?;
        self.ended.store(true, Ordering::Relaxed);
        let played = self.thread.take().and_then(|thread| thread.join().ok()).context("the player's thread")?;
        Ok((played, waits(&fs::read_to_string(&self.log)?)))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// The times that pacat tells, in milliseconds: `Time: 1.250 sec; Latency: 40000 usec.`
fn waits(said: &str) -> Distribution {
    let waits = said.split("Latency: ").skip(1).filter_map(|rest| rest.split_once(" usec")?.0.parse::<f64>().ok());
    waits.map(|us| us / 1e3).collect()
}

/// A viewer of a stream's sound alone, which decodes what it gets as it comes.
pub(super) struct Listener {
    ear: Arc<Mutex<Ear>>,
    task: tokio::task::JoinHandle<()>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Listener {
    /// Asks for the sound by WHEP at `path`, and waits until there is some.
    ///
    /// # Errors
    /// When it is refused, or nothing is heard in time.
    pub(super) async fn join(server: &Endpoint, path: &str, clock: Clock) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let mut peer = Peer::new(socket.local_addr()?, Instant::now())?;
        let mut api = peer.rtc.sdp_api();
        api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        let (offer, pending) = api.apply().context("an offer")?;
        let answer = server.post_sdp(path, offer.to_sdp_string()).await?;
        peer.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
        let (ear, trouble) = (Arc::new(Mutex::new(Ear::open()?)), Arc::<Mutex<Option<String>>>::default());
        let (hearing, telling) = (Arc::clone(&ear), Arc::clone(&trouble));
        let task = tokio::spawn(async move {
            if let Err(error) = listen(peer, socket, &hearing, clock).await {
                lock(&telling).replace(format!("{error:#}"));
            }
        });
        let listener = Self { ear, task, trouble };
        until("the loudspeaker is heard", || {
            listener.check()?;
            Ok(listener.ear().hears().then_some(()))
        })
        .await?;
        Ok(listener)
    }

    /// Fails when it has ended.
    pub(super) fn check(&self) -> Result<()> {
        lock(&self.trouble).take().map_or(Ok(()), |trouble| Err(anyhow::anyhow!("the listener: {trouble}")))
    }

    /// What it hears.
    pub(super) fn ear(&self) -> MutexGuard<'_, Ear> {
        lock(&self.ear)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(mut peer: Peer, socket: UdpSocket, ear: &Mutex<Ear>, clock: Clock) -> Result<()> {
    let (mut buffer, mut account) = (vec![0; DATAGRAM_BYTES], Account::default());
    loop {
        let due = loop {
            match peer.poll(&mut account)? {
                Polled::Due(at) => break at,
                // What a full socket loses any link may lose.
                Polled::Send(transmit) => drop(socket.try_send_to(&transmit.contents, transmit.destination)),
                Polled::Packet(packet) => lock(ear).take(&packet.payload, packet.time.numer(), clock.now_ms())?,
            }
        };
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let (length, source) = received?;
                peer.take(source, &buffer[..length], Instant::now())?;
            }
            () = sleep_until(due.into()) => peer.tick(Instant::now())?,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was heard of what was played. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Heard {
    /// Pulses that count, and those of them that were heard.
    pub(super) played: usize,
    pub(super) heard: usize,
    pub(super) percent: f64,
    /// Written to the player to decoded by the viewer, of those that were heard.
    pub(super) played_to_heard: Option<Summary>,
    /// Of that, what waits in the sound server and its device, by the player's word.
    pub(super) waits: Option<Summary>,
    /// From when each was due, heard or not.
    pub(super) due_to_heard: Option<Summary>,
    #[serde(skip)]
    pub(super) ages: Distribution,
}

impl Heard {
    /// Follows each pulse of `played` that was due while pictures counted, from `start_ms` on, to what `ear` heard of it. Of the last second
    /// nothing counts: it may be on its way.
    pub(super) fn of(mut played: Vec<Sent>, waits: &Distribution, ear: &Ear, start_ms: f64, end_ms: f64) -> Self {
        let sightings = ear.heard(&played);
        played.retain(|sent| sent.due_ms + ON_ITS_WAY_MS <= end_ms);
        let warm_up = played.partition_point(|sent| sent.due_ms < start_ms);
        let sight = Sight::of(&sightings, played.len(), warm_up);
        let ages = sight.ages_ms(&played, warm_up, end_ms);
        let whole = |(number, sent): (usize, &Sent)| Some(sight.first(number)?.at_ms - sent.at_ms);
        let played_to_heard = played.iter().enumerate().skip(warm_up).filter_map(whole).collect::<Distribution>().summary();
        let (waits, due_to_heard) = (waits.summary(), ages.summary());
        let (played, heard, percent) = (sight.seen.sent, sight.seen.seen, sight.seen.percent);
        Self { played, heard, percent, played_to_heard, waits, due_to_heard, ages }
    }
}

/// Small enough for a chat, large enough for a machine that does other things.
const PLAYER_BUFFER: &str = "--latency-msec=30";
/// What is fed at once; a pipe takes it whole or not at all.
const PIECE: Duration = Duration::from_millis(10);
const PIECES: u32 = (tone::PERIOD.as_millis() / PIECE.as_millis()) as u32;
const ON_ITS_WAY_MS: f64 = 1_000.0;
const DATAGRAM_BYTES: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_what_pacat_tells() {
        let said =
            "Opening a playback stream.\rTime: 0.050 sec; Latency: 41500 usec.  \rTime: 0.1 sec; Latency: 40000 usec.  \rLatency: cut";
        let waits = waits(said);
        assert_eq!(waits.summary().map(|waits| (waits.count, waits.mean, waits.max)), Some((2, 40.75, 41.5)));
    }

    #[test]
    fn pulses_that_are_never_heard_count_as_old() {
        // Numbers 0 to 29, of which 5 is the first that counts and 25 the last; 12 to 14 are lost on the way.
        let played: Vec<Sent> =
            (0..30).map(|number| f64::from(number) * 200.0).map(|at_ms| Sent { due_ms: at_ms, at_ms: at_ms + 1.0 }).collect();
        let mut ear = Ear::open().unwrap();
        for (nth, packet) in tone::opus(tone::PERIOD * 30).unwrap().iter().enumerate().filter(|(nth, _)| !(120..150).contains(nth)) {
            ear.take(packet, nth as u64 * 960, nth as f64 * 20.0 + 70.0).unwrap();
        }
        let heard = Heard::of(played, &Distribution::default(), &ear, 1_000.0, 6_000.0);
        assert_eq!((heard.played, heard.heard), (21, 18));
        let (whole, all) = (heard.played_to_heard.unwrap(), heard.due_to_heard.unwrap());
        assert!((whole.p99 - 69.0).abs() < 10.0, "{whole:?}");
        // The first of those lost is as old as the next that was heard, three periods later.
        assert!((all.max - whole.max - 601.0).abs() < 10.0, "{all:?}");
        assert_eq!(all.count, 21);
    }
}
