//! What runs: the life cycles of inputs and streams.

mod inputs;
mod spec;
mod status;
mod streams;

pub use inputs::{InputChange, Inputs, TrackChange};
pub use spec::{
    AudioDestination, AudioInput, AudioSource, BadStreamId, InputSpec, StreamId, StreamMode, StreamSpec, VideoInput, VideoSource,
};
pub use status::{InputState, InputStats, InputStatus, Refusal, RefusalKind, StreamStatus};
pub use streams::Streams;
