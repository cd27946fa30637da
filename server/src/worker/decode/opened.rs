//! A decoder and what it was opened for.

use std::sync::Arc;

use crosspoint_ffi::av::{Threads, VideoDecoder};
use crosspoint_ffi::lend::Lender;
use crosspoint_ffi::{Codec, Parameters, Result};
use crosspoint_router::ingest::Step;

/// A decoder and what it was opened for.
pub(super) struct Opened {
    codec: Codec,
    parameters: Option<Arc<Parameters>>,
    by_frame: bool,
    pub(super) decoder: VideoDecoder,
}

impl Opened {
    /// Opens a decoder for the packet of `step` and those that follow it, whose pictures are made where `lender` says if they can be.
    pub(super) fn open(step: &Step, lender: &Lender) -> Result<Self> {
        let (codec, parameters) = (step.packet.codec, step.packet.parameters.clone());
        let threads = if step.by_frame { Threads::Frames } else { Threads::Slices };
        let decoder = VideoDecoder::open_in(lender, codec, parameters.as_deref(), threads)?;
        Ok(Self { codec, parameters, by_frame: step.by_frame, decoder })
    }

    /// Whether it is the one for the packet of `step`.
    pub(super) fn suits(&self, step: &Step) -> bool {
        let same = match (&self.parameters, &step.packet.parameters) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same && self.codec == step.packet.codec && self.by_frame == step.by_frame
    }
}
