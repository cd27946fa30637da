//! The calls of WebRTC: offers as JSON, and WHIP (RFC 9725) and WHEP (draft 04), which take them as they are.

use std::time::SystemTime;

use crosspoint_router::control::StreamId;
use crosspoint_router::rtc::{Offer, ice_names};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::api::{AnswerType, PublishOffer, Sdp, ViewOffer};
use super::failure::Failure;
use super::{Answer, body, json};
use crate::app::{App, SessionKind, SessionToken};
use crate::rtc::Reach;

/// `POST /input/devices/virtual/webrtc/offer`
pub(super) async fn publish(app: &App, reach: Reach<'_>, request: &mut Request<Incoming>) -> Result<Response<Answer>, Failure> {
    let asked: PublishOffer = offer_body(request).await?;
    let sdp = app.publish_rtc(parse(&asked.sdp)?, reach)?;
    Ok(json(StatusCode::OK, &Sdp { kind: AnswerType::Answer, sdp }))
}

/// `POST /stream/webrtc/offer`
pub(super) async fn view(app: &App, reach: Reach<'_>, request: &mut Request<Incoming>) -> Result<Response<Answer>, Failure> {
    let asked: ViewOffer = offer_body(request).await?;
    let id = asked.id.as_deref().filter(|id| !id.is_empty());
    let id = id.map(str::parse::<StreamId>).transpose().map_err(|error| Failure::bad(error.to_string()))?;
    let sdp = app.view_rtc(id, parse(&asked.sdp)?, reach)?;
    Ok(json(StatusCode::OK, &Sdp { kind: AnswerType::Answer, sdp }))
}

/// `POST /whip/camera`
pub(super) async fn whip(app: &App, reach: Reach<'_>, request: &mut Request<Incoming>) -> Result<Response<Answer>, Failure> {
    let offer = sdp_body(request).await?;
    let (token, sdp) = app.publish_whip(offer, reach).await?;
    Ok(created(app, &format!("/whip/camera/{token}"), &token, sdp))
}

/// `POST /whep/{id}`
pub(super) async fn whep(app: &App, id: &StreamId, reach: Reach<'_>, request: &mut Request<Incoming>) -> Result<Response<Answer>, Failure> {
    let offer = sdp_body(request).await?;
    let (token, sdp) = app.view_whep(id, offer, reach)?;
    Ok(created(app, &format!("/whep/{id}/{token}"), &token, sdp))
}

/// `DELETE` and `PATCH` of a session.
pub(super) async fn session(
    app: &App,
    kind: &SessionKind,
    token: &SessionToken,
    request: &mut Request<Incoming>,
) -> Result<Response<Answer>, Failure> {
    if *request.method() == Method::DELETE {
        app.end_session(kind, token)?;
        return Ok(Response::new(Answer::default()));
    }
    let known = app.ice_names(kind, token)?;
    expect_type(request.headers(), TRICKLE)?;
    let is_stale = |asked: &HeaderValue| asked != "*" && asked.as_bytes() != etag(token).as_bytes();
    if request.headers().get(header::IF_MATCH).is_some_and(is_stale) {
        return Err(Failure::new(StatusCode::PRECONDITION_FAILED, "this is not the session's ice session: its etag is another"));
    }
    let fragment = text(request).await?;
    // Another user name begins another ICE session (RFC 9725, 4.3.3).
    if ice_names(&fragment).any(|name| !known.iter().any(|known| known == name)) {
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "an ice restart is not supported: end the session and begin another"));
    }
    app.add_candidates(kind, token, fragment)?;
    let mut response = Response::new(Answer::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

async fn offer_body<T: DeserializeOwned>(request: &mut Request<Incoming>) -> Result<T, Failure> {
    let asked = body::parse(&body::read(request.body_mut()).await?)?;
    asked.ok_or_else(|| Failure::bad("the body is empty: give {\"sdp\":\"…\"}"))
}

fn parse(sdp: &str) -> Result<Offer, Failure> {
    Offer::parse(sdp).map_err(|error| Failure::bad(format!("sdp: {error}")))
}

async fn sdp_body(request: &mut Request<Incoming>) -> Result<Offer, Failure> {
    expect_type(request.headers(), SDP)?;
    let accepts = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').any(|kind| matches!(kind.split(';').next().map(str::trim), Some(SDP | "application/*" | "*/*")))
    };
    if request.headers().get(header::ACCEPT).is_some_and(|value| !accepts(value)) {
        return Err(Failure::new(StatusCode::NOT_ACCEPTABLE, "the answer is application/sdp"));
    }
    parse(&text(request).await?)
}

async fn text(request: &mut Request<Incoming>) -> Result<String, Failure> {
    String::from_utf8(body::read(request.body_mut()).await?).map_err(|_| Failure::bad("the body is not utf-8"))
}

fn expect_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(expected)) {
        return Ok(());
    }
    Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the content-type is {expected}")))
}

fn created(app: &App, location: &str, token: &SessionToken, sdp: String) -> Response<Answer> {
    let mut response = Response::new(Answer::new(sdp));
    *response.status_mut() = StatusCode::CREATED;
    let value = |text: &str| HeaderValue::try_from(text).expect("ids and tokens are plain");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::LOCATION, value(location));
    headers.insert(header::ETAG, value(&etag(token)));
    headers.insert("accept-patch", HeaderValue::from_static(TRICKLE));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("location, etag, accept-patch, link"));
    for link in app.ice_links(SystemTime::now()) {
        headers.append(header::LINK, HeaderValue::try_from(link).expect("checked when it was parsed"));
    }
    response
}

/// The name of a session's one ICE session.
fn etag(token: &SessionToken) -> String {
    format!("\"{token}\"")
}

const SDP: &str = "application/sdp";
const TRICKLE: &str = "application/trickle-ice-sdpfrag";
