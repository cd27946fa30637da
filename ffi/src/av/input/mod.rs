//! Files and addresses to packets.
//!
//! An [`Input`] is libavformat with its doors closed: a file is read through the descriptor that its owner opened and may name nothing else;
//! an address is of a few network protocols, and so is whatever its media name in turn. Opening ends by a deadline, reading when no byte
//! comes, and both at once when somebody stops their [`Interrupt`]. Redirects, headers, playlists, streams and what probing reads are bounded.

mod adts;
mod file;
mod interrupt;
mod lane;
mod net;
mod opening;
mod order;
mod track;

use std::collections::VecDeque;
use std::fs::File;
use std::time::Duration;

use ffmpeg_sys_next as ff;

use self::lane::Lane;
use self::net::Address;
use self::opening::{Opened, Source};
use super::owned::{Owned, packet, would_block};
use crate::{Error, Packet, Remedy, Result};

pub use interrupt::Interrupt;
pub use track::Track;

/// Takes a file or an address apart into the packets of its tracks.
///
/// It blocks: it is driven on a thread of its own. H.264 and HEVC come as Annex B byte streams, AAC in ADTS frames where those can say what
/// it is.
///
/// Copies: 1 (from the file or socket into the packet; 1 more where a payload's form changes, see [`Packet`]).
pub struct Input {
    opened: Opened,
    source: Source,
    interrupt: Interrupt,
    tracks: Vec<Track>,
    /// By stream; nothing for what is no track.
    lanes: Vec<Option<Lane>>,
    /// What was asked for; nothing until somebody asked.
    selected: Option<Vec<usize>>,
    /// What reading found before somebody asked for it.
    held: VecDeque<Owned<ff::AVPacket>>,
    ready: VecDeque<(usize, Packet)>,
}

/// What [`Input::read`] found.
#[derive(Debug)]
pub enum Read {
    /// The media ended.
    End,
    /// A packet of a selected track.
    Packet {
        /// The track's index.
        track: usize,
        /// The packet; its arrival is now.
        packet: Packet,
    },
    /// The tracks changed: look at [`Input::tracks`] and select again.
    Tracks,
}

impl Input {
    /// Opens an address: `http`, `https`, `rtmp`, `rtmps`, `rtsp`, `rtsps`, `srt` or `udp`. HLS starts near the live edge.
    ///
    /// It returns after ten seconds, except that a name look-up can take longer.
    ///
    /// # Errors
    /// [`Remedy::Retry`] when it may work later (nobody answers, a server's error), [`Remedy::Report`] when it will not (no such
    /// protocol, not media, an answer that never ends), [`Remedy::Rebuild`] when it was stopped.
    pub fn open_url(url: &str, interrupt: &Interrupt) -> Result<Self> {
        Self::open(Source::Url(Address::new(url)?), interrupt)
    }

    /// Opens a regular file, from its start whatever its position. What it names in turn is not opened.
    ///
    /// # Errors
    /// [`Remedy::Report`] when it is not a regular file, not media, or too large a picture; [`Remedy::Rebuild`] when it was stopped.
    pub fn open_file(file: File, interrupt: &Interrupt) -> Result<Self> {
        Self::open(Source::File(file), interrupt)
    }

    fn open(source: Source, interrupt: &Interrupt) -> Result<Self> {
        let (opened, held) = Opened::new(&source, interrupt)?;
        let mut input = Self {
            opened,
            source,
            interrupt: interrupt.clone(),
            tracks: Vec::new(),
            lanes: Vec::new(),
            selected: None,
            held,
            ready: VecDeque::new(),
        };
        input.list_tracks()?;
        Ok(input)
    }

    /// Reads only these tracks (all, until it is first called); HLS fetches no variant that has none of them. It may be called at any time:
    /// packets of tracks that were not selected before begin where reading is.
    pub fn select(&mut self, tracks: &[usize]) {
        self.selected = Some(tracks.to_vec());
        self.discard();
        self.ready.retain(|(track, _)| tracks.contains(track));
    }

    /// Reads on. After any error but the first kind the input is of no more use.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when a packet is damaged, [`Remedy::Retry`] when the connection broke or nothing came for
    /// some ten seconds, [`Remedy::Report`] when the media are not, [`Remedy::Rebuild`] when it was stopped.
    pub fn read(&mut self) -> Result<Read> {
        let mut damaged = 0;
        loop {
            if let Some((track, packet)) = self.ready.pop_front() {
                return Ok(Read::Packet { track, packet });
            }
            let raw = match self.held.pop_front() {
                Some(raw) => raw,
                None => match self.read_raw()? {
                    Raw::Damaged if damaged < MOST_DAMAGED => {
                        damaged += 1;
                        continue;
                    }
                    Raw::Damaged => return Err(Error::new("reading", Remedy::Report, "it is damaged, or not media any more")),
                    Raw::End => return Ok(Read::End),
                    Raw::Packet(raw) => raw,
                },
            };
            if self.has_other_tracks() {
                self.held.push_front(raw);
                self.list_tracks()?;
                return Ok(Read::Tracks);
            }
            self.take(raw)?;
        }
    }

    /// Begins again at the start, by opening it again: every packet comes as it did the first time. Tracks and what is selected stay.
    ///
    /// # Errors
    /// [`Remedy::Report`] when it is live; else as opening has them.
    pub fn rewind(&mut self) -> Result<()> {
        if self.opened.is_live {
            return Err(Error::new("rewinding", Remedy::Report, "it is live"));
        }
        // Seeking to the start is no way back: it loses what lies before the first key frame's own time, of TS and MP4 alike.
        let (opened, held) = Opened::new(&self.source, &self.interrupt)?;
        (self.opened, self.held) = (opened, held);
        self.ready.clear();
        for lane in &mut self.lanes {
            lane.take_if(|lane| !lane.restart());
        }
        self.list_tracks()
    }

    /// The tracks known so far.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Whether it has no end to wait for and no start to go back to: a realtime protocol, live HLS, an endless answer.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.opened.is_live
    }

    /// Whether packets come as they are made (`rtmp`, `rtsp`, `srt`, `udp`), and not as fast as they are read.
    #[must_use]
    pub fn is_realtime(&self) -> bool {
        match &self.source {
            Source::File(_) => false,
            Source::Url(address) => address.is_realtime,
        }
    }

    fn read_raw(&mut self) -> Result<Raw> {
        let mut raw = packet()?;
        let code = self.opened.read(&mut raw);
        match code {
            0.. => Ok(Raw::Packet(raw)),
            _ if self.opened.watch.fault().is_some() => Err(self.opened.watch.explain("reading", code)),
            ff::AVERROR_EOF => match self.opened.io_error() {
                // A demuxer takes a connection that broke for the end.
                Some(error) => Err(self.opened.watch.explain("reading", error)),
                None => Ok(Raw::End),
            },
            ff::AVERROR_INVALIDDATA => Ok(Raw::Damaged),
            code if would_block(code) => Ok(Raw::Damaged),
            code => Err(self.opened.watch.explain("reading", code)),
        }
    }

    fn take(&mut self, raw: Owned<ff::AVPacket>) -> Result<()> {
        let Ok(index) = usize::try_from(raw.stream_index) else { return Ok(()) };
        let is_selected = self.selected.as_ref().is_none_or(|selected| selected.contains(&index));
        let Some(Some(lane)) = self.lanes.get_mut(index).filter(|_| is_selected) else { return Ok(()) };
        let Some(stream) = track::streams(&self.opened.context).nth(index) else { return Ok(()) };
        let mut packets = VecDeque::new();
        let taken = lane.take(raw, stream, &mut packets);
        self.ready.extend(packets.into_iter().map(|packet| (index, packet)));
        taken
    }

    /// Whether a stream came that was not there, or one has become another.
    fn has_other_tracks(&self) -> bool {
        let streams = track::streams(&self.opened.context);
        streams.len() != self.lanes.len()
            || streams.zip(&self.lanes).any(|(stream, lane)| match (track::codec(track::codec_parameters(stream)), lane) {
                (Some(codec), Some(lane)) => codec != lane.codec,
                // A cover beside a recording is listed as no track.
                (Some(_), None) => stream.disposition & ff::AV_DISPOSITION_ATTACHED_PIC == 0,
                (None, Some(_)) => true,
                (None, None) => false,
            })
    }

    fn list_tracks(&mut self) -> Result<()> {
        self.tracks = track::list(&self.opened.context);
        let mut lanes = Vec::new();
        for (index, stream) in track::streams(&self.opened.context).enumerate() {
            let track = self.tracks.iter_mut().find(|track| track.index == index);
            let old = self.lanes.get_mut(index).and_then(Option::take);
            lanes.push(match (track, old) {
                (None, _) => None,
                (Some(track), Some(lane)) if lane.codec == track.codec => {
                    track.parameters = lane.parameters.clone();
                    Some(lane)
                }
                (Some(track), _) => {
                    let lane = Lane::new(stream, track)?;
                    track.parameters = lane.parameters.clone();
                    Some(lane)
                }
            });
        }
        self.lanes = lanes;
        self.discard();
        Ok(())
    }

    /// Tells libavformat what nobody reads.
    fn discard(&mut self) {
        for (index, lane) in self.lanes.iter().enumerate() {
            let is_selected = self.selected.as_ref().is_none_or(|selected| selected.contains(&index));
            self.opened.set_wanted(index, lane.is_some() && is_selected);
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // RTSP and RTMP say goodbye.
        self.opened.watch.begin_call(GOODBYE);
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({}, {} tracks)", track::format_name(&self.opened.context), self.tracks.len())
    }
}

// SAFETY: a demuxer, its filters and packets are bound to no thread, and `&mut self` orders the calls; what they hold of ours (the watch, the
// file) moves with them at its own address.
unsafe impl Send for Input {}

enum Raw {
    Damaged,
    End,
    Packet(Owned<ff::AVPacket>),
}

/// So many unreadable pieces in a row are no accident.
const MOST_DAMAGED: usize = 256;

const GOODBYE: Duration = Duration::from_millis(200);
