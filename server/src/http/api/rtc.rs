//! Offers of WebRTC and their answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a browser calls a description that asks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OfferType {
    Offer,
}

/// The offer of a publisher. `type` is what a browser writes of its own accord.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishOffer {
    /// offer, if it is there.
    #[serde(rename = "type")]
    pub(crate) _kind: Option<OfferType>,
    /// What the peer connection offers (RFC 8866).
    pub(crate) sdp: String,
}

/// The offer of a viewer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewOffer {
    /// offer, if it is there.
    #[serde(rename = "type")]
    pub(crate) _kind: Option<OfferType>,
    /// default, or the only webrtc stream there is, when absent or empty.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{0,64}$"))]
    pub(crate) id: Option<String>,
    /// What the peer connection offers (RFC 8866).
    pub(crate) sdp: String,
}

/// What a browser calls a description that answers.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnswerType {
    Answer,
}

/// What an offer is answered with, as a browser takes it.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "SdpAnswer")]
pub(crate) struct Sdp {
    #[serde(rename = "type")]
    pub(crate) kind: AnswerType,
    pub(crate) sdp: String,
}
