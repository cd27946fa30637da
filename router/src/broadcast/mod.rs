//! Out of the sandbox: from the screen and the speaker to viewers.
//!
//! One [`Hub`] a stream and packing keeps a short shared history of [`Unit`]s; every viewer is a [`Cursor`] into it. A viewer that is slow
//! costs the others nothing: it lags, is told so, and goes on at a key frame. [`Rates`] says what an encoder makes of viewers of which some
//! can take less than others; [`Freshness`] what is too old to be shown live.

mod fresh;
mod gop;
mod hub;
mod rate;

pub use fresh::Freshness;
pub use hub::{Cursor, Hub, HubCommand, HubStats, Limits, Media, Next, Unit};
pub use rate::{Bitrates, Rates, Rendition, Share};
