//! The display and the speaker for viewers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::body::maybe_any_case;

/// Who a stream is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Internal,
    Remote,
    Socket,
    Webrtc,
}

/// What the picture of a socket stream is coded in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PictureCodec {
    H264,
    Mpeg1,
}

/// The body of a start. `video` and `codec` are ours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRequest {
    /// default when absent or empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{0,64}$"))]
    pub(crate) id: Option<String>,
    /// internal when absent; in any case.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(crate) mode: Option<Mode>,
    /// Where a remote stream is pushed to: rtmp:// or rtmps://.
    pub(crate) target_url: Option<String>,
    /// Pictures a second: 30 when absent.
    #[schemars(range(min = 1, max = 60))]
    pub(crate) framerate: Option<u32>,
    /// false for sound alone.
    pub(crate) video: Option<bool>,
    /// h264 when absent; mpeg1 of socket streams only.
    #[serde(default, deserialize_with = "maybe_any_case")]
    pub(crate) codec: Option<PictureCodec>,
}

/// The body of a stop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopRequest {
    /// default, or the only stream there is, when absent or empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{0,64}$"))]
    pub(crate) id: Option<String>,
}

/// `StreamInfo`, with the URLs that its mode has. `viewers`, `framerate`, `last_error` and `reconnects` are ours.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct StreamInfo {
    pub(crate) id: String,
    pub(crate) mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ingest_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) playback_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secure_playback_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) websocket_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webrtc_offer_url: Option<&'static str>,
    pub(crate) is_streaming: bool,
    pub(crate) started_at: String,
    pub(crate) viewers: u32,
    pub(crate) framerate: u32,
    pub(crate) last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reconnects: Option<u64>,
}

/// An event `gone`: a stream runs no more. An event `stream` is a `StreamInfo`.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct StreamGone<'a> {
    pub(crate) id: &'a str,
}
