//! What runs: the life cycles of inputs and streams.

mod inputs;
mod location;
mod spec;
mod status;
mod streams;

pub use inputs::{InputChange, Inputs, TrackChange};
pub use location::{BadLocation, Location, Pulled, STREAM_SCHEMES};
pub use spec::{
    AudioDestination, AudioInput, AudioSource, BadStreamId, InputSpec, StreamCodec, StreamId, StreamMode, StreamSpec, VideoInput,
    VideoSource,
};
pub use status::{InputState, InputStats, InputStatus, Refusal, RefusalKind, StreamStatus};
pub use streams::Streams;
