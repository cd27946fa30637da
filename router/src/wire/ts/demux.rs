//! Transport stream bytes in, PES payloads out.

use std::time::{Duration, Instant};

use super::cell::Cell;
use super::elementary::{Elementary, Out};
use super::kind::{Kind, is_hdmv};
use super::psi::{Pat, Pmt, Sections};
use super::sync::{Found, Sync};
use super::{CELL_BYTES, Event, NULL_PID, PAT_PID, Reason, Stream};

/// Demultiplexes one program of a transport stream.
///
/// It joins anywhere, finds lost sync again, and stays with the first program whose map arrives with a picture stream it supports (or, when
/// all maps are known and none has one, with sound). After each [`push`](Self::push) drain [`poll`](Self::poll); a chunk yields at most a few
/// events per transport packet. The bytes are only borrowed: the caller can forward them too.
///
/// A payload comes out with the transport packet that holds its last byte, where that can be known: by the stated length, or by
/// stuffing. A payload that fills its last packet and states no length comes out at the next start; or after a short silence,
/// ([`poll_deadline`](Self::poll_deadline)), from a publisher that was seen to pause between pictures only. How these
/// signs are watched is told in the `ending` module.
///
/// Copies: 1 (from transport packets into a padded payload), and 1 more for the transport packet that lies across two chunks.
#[derive(Debug, Default)]
pub struct Demuxer {
    sync: Sync,
    programs: Programs,
    /// Since when nothing came, as far as the caller would have taken it.
    silent_since: Option<Instant>,
}

impl Demuxer {
    /// Makes a demuxer that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the stream's next bytes, any number of them, which came at `now`.
    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        let at_boundary = self.sync.at_boundary();
        if self.silent_since.replace(now).is_some_and(|since| now.saturating_duration_since(since) >= IDLE) {
            self.programs.streams().for_each(|stream| stream.paused(at_boundary));
        }
        let programs = &mut self.programs;
        self.sync.push(bytes, |found| match found {
            Found::Cell(cell) => programs.handle(cell, now),
            Found::Lost => programs.lose(),
        });
    }

    /// Takes note that the next bytes are waited for since `now` only: who holds its publisher back until there is room hears no silence
    /// of it meanwhile.
    pub fn handle_waiting(&mut self, now: Instant) {
        if let Some(since) = &mut self.silent_since {
            *since = now;
        }
    }

    /// Ends the payload that a silence until `now` ends, if any.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_deadline().is_some_and(|deadline| deadline <= now) {
            self.programs.video_idle();
        }
    }

    /// Takes note that the stream is over: a picture whose end was not known yet comes out.
    ///
    /// For files. A publisher that vanished may have left half a picture, which is better dropped.
    pub fn finish(&mut self) {
        let Programs { video, audio, out, .. } = &mut self.programs;
        video.iter_mut().chain(audio).for_each(|stream| stream.finish(out));
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        self.programs.out.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called unless more bytes come.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        let waits = self.sync.at_boundary() && self.programs.video.as_ref().is_some_and(Elementary::can_end_idle);
        self.silent_since.filter(|_| waits).map(|since| since + IDLE)
    }
}

/// The programs of the stream and the one that is taken.
#[derive(Debug, Default)]
struct Programs {
    pat: Sections,
    listed: Vec<Program>,
    /// The number of the program that is taken.
    taken: Option<u16>,
    video: Option<Elementary>,
    audio: Option<Elementary>,
    out: Out,
}

#[derive(Debug)]
struct Program {
    number: u16,
    map_pid: u16,
    map: Sections,
    /// What the map named last.
    streams: Option<Streams>,
}

/// The first supported stream of each kind in a program map.
#[derive(Clone, Copy, Debug)]
struct Streams {
    video: Option<(Kind, u16)>,
    audio: Option<(Kind, u16)>,
}

impl Programs {
    fn handle(&mut self, bytes: &[u8; CELL_BYTES], now: Instant) {
        if Cell::is_damaged(bytes) {
            return self.out.bad(Reason::TransportError);
        }
        let Some(cell) = Cell::parse(bytes) else { return self.out.bad(Reason::Cell) };
        for stream in [&mut self.video, &mut self.audio].into_iter().flatten() {
            if stream.pid() == cell.pid {
                return stream.handle(&cell, now, &mut self.out);
            }
        }
        match cell.pid {
            NULL_PID => {}
            PAT_PID => self.handle_pat(&cell),
            _ => self.handle_map(&cell),
        }
    }

    /// Sync was lost: bytes are missing from whatever was being gathered.
    fn lose(&mut self) {
        let Self { video, audio, out, .. } = self;
        out.bad(Reason::SyncLost);
        video.iter_mut().chain(audio).for_each(|stream| stream.lose(out));
    }

    fn video_idle(&mut self) {
        if let Some(video) = &mut self.video {
            video.end_idle(&mut self.out);
        }
    }

    fn streams(&mut self) -> impl Iterator<Item = &mut Elementary> {
        self.video.iter_mut().chain(&mut self.audio)
    }

    fn handle_pat(&mut self, cell: &Cell<'_>) {
        let Self { pat, listed, taken, out, .. } = self;
        pat.push(cell, |section| match Pat::parse(section) {
            Err(_) => out.bad(Reason::Section),
            Ok(None) => {}
            Ok(Some(pat)) => {
                if pat.is_whole {
                    listed.retain(|program| pat.programs.contains(&(program.number, program.map_pid)));
                }
                for (number, map_pid) in pat.programs {
                    if listed.len() < PROGRAMS_MAX && !listed.iter().any(|program| program.number == number) {
                        listed.push(Program { number, map_pid, map: Sections::default(), streams: None });
                    }
                }
                // A program that is gone, or whose map moved, is left; the next map chooses anew.
                if taken.is_some_and(|taken| !listed.iter().any(|program| program.number == taken)) {
                    *taken = None;
                }
            }
        });
    }

    fn handle_map(&mut self, cell: &Cell<'_>) {
        let mut changed = false;
        for program in self.listed.iter_mut().filter(|program| program.map_pid == cell.pid) {
            if self.taken.is_some_and(|taken| taken != program.number) {
                continue;
            }
            let (number, streams, out) = (program.number, &mut program.streams, &mut self.out);
            program.map.push(cell, |section| match Pmt::parse(section) {
                Err(_) => out.bad(Reason::Section),
                // Two programs may share a PID for their maps.
                Ok(Some(pmt)) if pmt.program == number => {
                    let is_hdmv = is_hdmv(pmt.descriptors);
                    let taken = || pmt.streams.iter().filter_map(|entry| Some((Kind::of(entry, is_hdmv)?, entry.pid)));
                    let first = |wanted| taken().find(|(kind, _)| kind.stream() == wanted);
                    *streams = Some(Streams { video: first(Stream::Video), audio: first(Stream::Audio) });
                    changed = true;
                }
                Ok(_) => {}
            });
        }
        if changed {
            self.choose();
        }
    }

    /// Takes a program if none is taken, and the streams that its map names.
    fn choose(&mut self) {
        let known = || self.listed.iter().filter_map(|program| Some((program.number, program.streams?)));
        let chosen = match self.taken {
            Some(taken) => known().find(|&(number, _)| number == taken),
            None => known().find(|(_, streams)| streams.video.is_some()).or_else(|| {
                let all_known = self.listed.iter().all(|program| program.streams.is_some());
                known().find(|(_, streams)| all_known && streams.audio.is_some())
            }),
        };
        let Some((number, streams)) = chosen else { return };
        self.taken = Some(number);
        retune(&mut self.video, Stream::Video, streams.video, &mut self.out);
        retune(&mut self.audio, Stream::Audio, streams.audio, &mut self.out);
    }
}

/// Makes `stream` the one that the map names; the same one goes on undisturbed.
fn retune(stream: &mut Option<Elementary>, which: Stream, named: Option<(Kind, u16)>, out: &mut Out) {
    let same = match (&stream, named) {
        (Some(stream), Some((kind, pid))) => stream.is(kind, pid),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if same {
        return;
    }
    if let Some(mut old) = stream.take() {
        old.finish(out);
        out.events.push_back(Event::Gap(which));
    }
    *stream = named.map(|(kind, pid)| Elementary::new(which, kind, pid));
}

/// A silence this long after a picture that fills its last packet ends it: longer than a picture's packets are apart on
/// any local path, and much less than the frame time it saves.
const IDLE: Duration = Duration::from_millis(5);
/// The programs one PAT section can list; more are not looked at.
const PROGRAMS_MAX: usize = 253;
