//! The one shape of every error.

use crosspoint_router::control::{Refusal, RefusalKind};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::api::Refused;
use super::{Answer, json};

/// Why a call is answered with an error.
#[derive(Debug)]
pub(super) struct Failure {
    /// The status.
    pub(super) status: StatusCode,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Failure {
    /// Makes an error; the message is in lower case and says what would be right.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None }
    }

    /// A request that can never be right.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Adds the header that the status calls for.
    pub(super) fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, HeaderValue::from_static(value))), ..self }
    }

    pub(super) fn into_response(self) -> Response<Answer> {
        let mut response = json(self.status, &Refused { message: &self.message });
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal.kind {
            RefusalKind::Bad => Self::new(StatusCode::BAD_REQUEST, refusal.message),
            RefusalKind::Conflict => Self::new(StatusCode::CONFLICT, refusal.message),
            RefusalKind::Missing => Self::new(StatusCode::NOT_FOUND, refusal.message),
            RefusalKind::NotImplemented => Self::new(StatusCode::NOT_IMPLEMENTED, refusal.message),
            RefusalKind::Unavailable => Self::new(StatusCode::SERVICE_UNAVAILABLE, refusal.message).with(header::RETRY_AFTER, "1"),
        }
    }
}
