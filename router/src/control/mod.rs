//! What runs: the life cycles of inputs and streams.

mod spec;
mod status;

pub use spec::{
    AudioDestination, AudioInput, AudioSource, BadStreamId, InputSpec, StreamId, StreamMode, StreamSpec, VideoInput, VideoSource,
};
pub use status::{InputState, InputStats, InputStatus, Refusal, RefusalKind, StreamStatus};
