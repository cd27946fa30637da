//! An open demuxer and what it stands on.

use std::collections::VecDeque;
use std::ffi::{CStr, c_int};
use std::fs::File;
use std::ptr;
use std::time::{Duration, Instant};

use ffmpeg_sys_next as ff;

use super::super::codec::{MOST_PIXELS_TEXT, fits_memory, set_up};
use super::super::owned::{Owned, packet};
use super::file::FileIo;
use super::interrupt::{Interrupt, Watch};
use super::net::{self, Address, Text};
use super::track;
use crate::{Error, Remedy, Result};

/// Where media come from.
#[derive(Debug)]
pub(super) enum Source {
    File(File),
    Url(Address),
}

/// An open demuxer.
pub(super) struct Opened {
    /// Dropped first: it has the addresses of `file` and `watch`.
    pub(super) context: Owned<ff::AVFormatContext>,
    /// Held for `context`.
    _file: Option<FileIo>,
    pub(super) watch: Box<Watch>,
    text: Text,
    pub(super) is_live: bool,
    patience: Duration,
}

impl Opened {
    /// Opens a source and finds out what its tracks are; what was read for that comes along.
    pub(super) fn new(source: &Source, interrupt: &Interrupt) -> Result<(Self, VecDeque<Owned<ff::AVPacket>>)> {
        set_up();
        let watch = Box::new(Watch::new(interrupt));
        let text = Text::new(matches!(source, Source::File(_)));
        watch.begin_call(OPENING);
        // SAFETY: takes nothing and returns null or a new context.
        let context = unsafe { ff::avformat_alloc_context() };
        // SAFETY: `avformat_alloc_context` is undone by `avformat_close_input`; nobody else has the pointer.
        let mut context = unsafe { Owned::new(context) }?;
        context.interrupt_callback = watch.callback();
        context.max_streams = MOST_STREAMS;
        net::watch_opening(&mut context);
        let (url, file, is_realtime) = match source {
            Source::File(file) => {
                let file = file.try_clone().map_err(|error| Error::system("opening a file", Remedy::Report, error))?;
                let mut io = FileIo::new(file)?;
                context.pb = io.as_mut_ptr();
                context.flags |= ff::AVFMT_FLAG_CUSTOM_IO;
                (None, Some(io), false)
            }
            Source::Url(address) => {
                context.max_analyze_duration = LONGEST_ANALYSIS_US;
                (Some(address.url.as_c_str()), None, address.is_realtime)
            }
        };
        if !is_realtime {
            // Where a container leaves out times of pictures, reading ahead finds them.
            context.flags |= ff::AVFMT_FLAG_GENPTS;
        }
        let context = net::during(&watch, &text, || open(context, url, &watch))?;
        let mut opened = Self { context, _file: file, watch, text, is_live: false, patience: PATIENCE };
        let mut held = VecDeque::new();
        if is_realtime {
            // Analysing would read ahead what then comes late for ever; packets tell the decoders what they need.
            opened.await_tracks(&mut held)?;
        } else {
            opened.analyse()?;
        }
        opened.check_tracks()?;
        opened.is_live = is_realtime || opened.has_no_end();
        if track::format_name(&opened.context).starts_with("hls") {
            opened.patience = HLS_PATIENCE;
        }
        Ok((opened, held))
    }

    /// `av_read_frame`, watched.
    pub(super) fn read(&mut self, raw: &mut Owned<ff::AVPacket>) -> c_int {
        self.watch.begin_read(self.patience);
        self.read_within(raw)
    }

    pub(super) fn set_wanted(&mut self, stream: usize, wanted: bool) {
        if stream >= self.context.nb_streams as usize {
            return;
        }
        // SAFETY: the array has `nb_streams` pointers, of which this is one (checked above).
        let place = unsafe { self.context.streams.add(stream) };
        // SAFETY: as above.
        let stream = unsafe { *place };
        let discard = if wanted { ff::AVDiscard::AVDISCARD_DEFAULT } else { ff::AVDiscard::AVDISCARD_ALL };
        // SAFETY: a stream lives as long as its demuxer, and `&mut self` makes the access the only one; this field is the caller's to set.
        unsafe { (*stream).discard = discard };
    }

    /// What the connection or file said last, when that was an error.
    pub(super) fn io_error(&self) -> Option<c_int> {
        // SAFETY: null or the object that the demuxer reads, which lives as long as it does.
        let io = unsafe { self.context.pb.as_ref() }?;
        (io.error < 0 && io.error != ff::AVERROR_EOF).then_some(io.error)
    }

    fn read_within(&mut self, raw: &mut Owned<ff::AVPacket>) -> c_int {
        let context = &mut self.context;
        // SAFETY: the context is open and the packet empty; the call fills it or leaves it so.
        net::during(&self.watch, &self.text, || unsafe { ff::av_read_frame(context.as_mut_ptr(), raw.as_mut_ptr()) })
    }

    /// Reads until the tracks are there; of FLV, which announces them one by one, until both kinds are or a moment has passed.
    fn await_tracks(&mut self, held: &mut VecDeque<Owned<ff::AVPacket>>) -> Result<()> {
        let is_flv = track::format_name(&self.context).contains("flv");
        let mut first: Option<Instant> = None;
        loop {
            let tracks = track::list(&self.context);
            let has = |is_video: bool| tracks.iter().any(|track| track.codec.is_video() == is_video);
            let has_time = first.is_none_or(|first| first.elapsed() < SECOND_TRACK);
            if !tracks.is_empty() && (!is_flv || has(true) && has(false) || !has_time) {
                return Ok(());
            }
            let mut raw = packet()?;
            match self.read_within(&mut raw) {
                0.. => {
                    first.get_or_insert_with(Instant::now);
                    held.push_back(raw);
                }
                ff::AVERROR_INVALIDDATA if self.watch.fault().is_none() && held.len() < MOST_HELD => {}
                code => return Err(self.watch.explain("opening", code)),
            }
            if held.len() >= MOST_HELD {
                return Ok(());
            }
        }
    }

    fn analyse(&mut self) -> Result<()> {
        // Analysing decodes; what it decodes is bounded like all else.
        let mut options: Vec<*mut ff::AVDictionary> = vec![ptr::null_mut(); self.context.nb_streams as usize];
        for options in &mut options {
            set(options, c"max_pixels", MOST_PIXELS_TEXT);
            set(options, c"threads", c"1");
        }
        let context = &mut self.context;
        let list = options.as_mut_ptr();
        // SAFETY: the context is open; the array has a dictionary for every stream that there is now, which is how many the call looks at.
        let code = net::during(&self.watch, &self.text, || unsafe { ff::avformat_find_stream_info(context.as_mut_ptr(), list) });
        for options in &mut options {
            // SAFETY: null or a dictionary that nobody else has; the call nulls the pointer.
            unsafe { ff::av_dict_free(options) };
        }
        if code < 0 || self.watch.fault().is_some() {
            return Err(self.watch.explain("opening", code));
        }
        Ok(())
    }

    fn check_tracks(&self) -> Result<()> {
        let tracks = track::list(&self.context);
        if tracks.is_empty() {
            return Err(Error::new("opening", Remedy::Report, "it has neither pictures nor sound"));
        }
        let still = tracks.iter().find(|track| track.is_still);
        if let Some(size) = still.map(|track| track.parameters.size).filter(|&size| size == (0, 0) || !fits_memory(size)) {
            let text = match size {
                (0, 0) => "the picture is damaged, or too large".to_owned(),
                (width, height) => format!("the picture is too large: {width}x{height}"),
            };
            return Err(Error::new("opening", Remedy::Report, format!("{text} (at most 8192x8192)")));
        }
        Ok(())
    }

    fn has_no_end(&self) -> bool {
        if self.context.duration > 0 {
            return false;
        }
        // SAFETY: null or the object that the demuxer reads; asking for a size moves nothing.
        let size = if self.context.pb.is_null() { -1 } else { unsafe { ff::avio_size(self.context.pb) } };
        // The size of a playlist is not that of what it lists.
        size <= 0 || track::format_name(&self.context).starts_with("hls")
    }
}

fn open(context: Owned<ff::AVFormatContext>, url: Option<&CStr>, watch: &Watch) -> Result<Owned<ff::AVFormatContext>> {
    let mut options = ptr::null_mut();
    for (name, value) in net::OPTIONS {
        set(&mut options, name, value);
    }
    if url.is_none() {
        // A file names nothing that is opened; even SDP, which opens without asking `io_open`, finds no protocol.
        set(&mut options, c"protocol_whitelist", c"");
    }
    let mut raw = context.into_raw();
    // What a playlist in a file names is made absolute by the file's name, so it has one, without an ending that says what is in it.
    let url = url.unwrap_or(c"media");
    // SAFETY: the context is ours alone and set up; on failure the call frees it and nulls the pointer. The url is terminated.
    let code = unsafe { ff::avformat_open_input(&raw mut raw, url.as_ptr(), ptr::null(), &raw mut options) };
    // SAFETY: null or the dictionary of what nobody took; nobody else has it. The call nulls the pointer.
    unsafe { ff::av_dict_free(&raw mut options) };
    // SAFETY: null, or the context that we gave and that came back open; nobody else has the pointer.
    let context = unsafe { Owned::new(raw) };
    if code < 0 || watch.fault().is_some() {
        return Err(watch.explain("opening", code));
    }
    context
}

fn set(options: &mut *mut ff::AVDictionary, name: &CStr, value: &CStr) {
    // SAFETY: null or a dictionary of ours, which the call makes or extends; both texts are terminated and copied. Out of memory it is as
    // it was, and opening fails for the same reason.
    unsafe { ff::av_dict_set(options, name.as_ptr(), value.as_ptr(), 0) };
}

/// From the first byte sent to the tracks known.
const OPENING: Duration = Duration::from_secs(10);

/// Without a byte.
const PATIENCE: Duration = Duration::from_secs(10);

/// A segment may last ten seconds, and its playlist is asked for again when it is over.
const HLS_PATIENCE: Duration = Duration::from_secs(30);

/// Of an answer that comes as it is made, what is analysed comes late for ever.
const LONGEST_ANALYSIS_US: i64 = 1_000_000;

/// Sound and pictures of one publisher begin within some frames of each other.
const SECOND_TRACK: Duration = Duration::from_millis(200);

const MOST_HELD: usize = 256;

/// HLS with every variant that is opened has fewer.
const MOST_STREAMS: c_int = 512;
