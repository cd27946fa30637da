//! Request bodies: bounded, and parsed with an answer that says what would be right.

use std::fmt::Display;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, value};

use super::failure::Failure;

/// Reads a whole body.
///
/// Of one that is too long the rest is read and forgotten, for a connection closed over unread bytes is reset before the caller has
/// read the answer; there is an end to that, too.
pub(super) async fn read<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Vec<u8>, Failure> {
    let collect = async {
        let (mut whole, mut total) = (Vec::new(), 0_usize);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::bad("the body ended early"))?;
            let Ok(data) = frame.into_data() else { continue };
            total += data.len();
            if total <= MAX_BODY_BYTES {
                whole.extend_from_slice(&data);
            } else if total > MAX_FORGOTTEN_BYTES {
                break;
            }
        }
        if total > MAX_BODY_BYTES {
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "a body is at most 1 MiB"));
        }
        Ok(whole)
    };
    match tokio::time::timeout(PATIENCE, collect).await {
        Ok(read) => read,
        Err(_) => Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "the body did not come within 30 s")),
    }
}

/// Parses a body; an empty one is nothing.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<Option<T>, Failure> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let mut parser = serde_json::Deserializer::from_slice(body);
    let wrong = |error: &dyn Display| Failure::bad(format!("the body is not the json that was expected: {error}"));
    let parsed = serde_path_to_error::deserialize(&mut parser).map_err(|error| wrong(&error))?;
    parser.end().map_err(|error| wrong(&error))?;
    Ok(Some(parsed))
}

/// Reads a word without regard to its case.
pub(super) fn any_case<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    word(&String::deserialize(deserializer)?)
}

/// Reads a word without regard to its case, or nothing.
pub(super) fn maybe_any_case<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<String>::deserialize(deserializer)?.as_deref().map(word).transpose()
}

fn word<T: DeserializeOwned, E: Error>(text: &str) -> Result<T, E> {
    let lower = text.to_ascii_lowercase();
    T::deserialize(IntoDeserializer::<value::Error>::into_deserializer(lower)).map_err(E::custom)
}

/// The contract's limit.
const MAX_BODY_BYTES: usize = 1 << 20;
/// What is read of a body that is too long.
const MAX_FORGOTTEN_BYTES: usize = 16 << 20;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(30);
