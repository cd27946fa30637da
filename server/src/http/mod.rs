//! The HTTP front end: who may call, which call it is, and what it answers.

mod access;
mod answer;
mod api;
mod body;
mod events;
mod failure;
mod inputs;
mod metrics;
mod openapi;
mod pages;
mod query;
mod route;
mod rtc;
mod streams;
mod time;

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crosspoint_router::control::{InputStatus, StreamId};
use crosspoint_router::ingest::FeedFormat;
use fastwebsockets::upgrade;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Instrument as _;

pub(crate) use self::access::Scheme;
use self::access::{Access, Caller};
use self::answer::Answer;
use self::events::Listeners;
use self::failure::Failure;
use self::metrics::DoorStats;
use self::openapi::Description;
pub(crate) use self::query::token;
use self::route::{Miss, Route};
use self::streams::{RtmpPorts, Told};
use crate::app::App;
use crate::config::{Config, Limits};
use crate::net::{Place, Waiting};
use crate::runtime::{self, Io};
use crate::serve::Ready;
use crate::shutdown::Shutdown;
use crate::tokens::Tokens;
use crate::ws::{Purpose, Socket};

/// Where HTTP connections come in.
pub(crate) struct Door {
    app: App,
    limits: Limits,
    publishers: Rc<Cell<usize>>,
    waiting: Rc<Waiting>,
    access: Access,
    rtmp: RtmpPorts,
    listeners: Listeners,
    description: Description,
}

/// What a socket is opened for.
enum Attach {
    Feed,
    PublishAudio,
    PublishVideo,
    View(StreamId),
}

impl Door {
    /// Makes the door to `app`, which tells callers of the addresses that are listened on.
    pub(crate) fn new(app: App, config: &Config, tokens: Rc<Tokens>, waiting: Rc<Waiting>, ready: &Ready) -> Self {
        let port = ready.listen.port();
        // The main port serves players, too.
        let plain = ready.rtmp.map_or(port, |address| address.port());
        let rtmp = RtmpPorts { plain, secure: ready.rtmps.map(|address| address.port()) };
        Self {
            app,
            limits: config.limits.clone(),
            publishers: Rc::default(),
            waiting,
            access: Access::new(config, tokens, port),
            rtmp,
            listeners: Listeners::default(),
            description: Description::default(),
        }
    }

    /// Serves one connection until it ends or is upgraded. When the end is asked for, the call that is being answered is the last.
    pub(crate) async fn serve<S>(self: Rc<Self>, stream: S, scheme: Scheme, from: IpAddr, place: Place, mut shutdown: Shutdown)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (here, place) = (shutdown.clone(), Rc::new(place));
        let service = service_fn(move |request| {
            let (door, here, place) = (self.clone(), here.clone(), Rc::clone(&place));
            async move {
                place.renew();
                let response = door.answer(request, (scheme, from), &place, here).await;
                place.renew();
                Ok::<_, Infallible>(response)
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_headers(MAX_HEADERS).max_buf_size(HEAD_BYTES);
        // Who says no more may still listen.
        builder.half_close(true);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "HTTP connection lost");
        }
    }

    /// Answers whatever comes; an error is an answer, too.
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        (scheme, from): (Scheme, IpAddr),
        place: &Place,
        here: Shutdown,
    ) -> Response<Answer> {
        let route = Route::find(request.method(), request.uri().path());
        let caller = match self.access.check(&request, route.as_ref().ok(), scheme, from) {
            Ok(caller) => caller,
            Err(failure) => return failure.into_response(),
        };
        let mut response = match route {
            Ok(route) => self.call(route, &caller, &mut request, here).await.unwrap_or_else(Failure::into_response),
            Err(Miss::Method(allow)) if request.method() == Method::OPTIONS => options(allow, &caller),
            Err(Miss::Method(allow)) => {
                let message = format!("this path takes {}", allow.trim_end_matches(", OPTIONS"));
                Failure::new(StatusCode::METHOD_NOT_ALLOWED, message).with(header::ALLOW, allow).into_response()
            }
            Err(Miss::Path) => Failure::new(StatusCode::NOT_FOUND, "there is nothing at this path").into_response(),
        };
        // What goes on has limits of its own.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS || matches!(response.body(), Answer::Flow(_)) {
            place.leave();
        }
        if let Some(origin) = caller.origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        response
    }

    async fn call(
        &self,
        route: Route,
        caller: &Caller,
        request: &mut Request<Incoming>,
        here: Shutdown,
    ) -> Result<Response<Answer>, Failure> {
        let app = &self.app;
        if app.is_ending() && !route.is_probe() {
            return Err(ending());
        }
        match route {
            Route::Asset(asset) => Ok(pages::asset(asset, request.headers())),
            Route::Configure => {
                let spec = inputs::spec(body::parse(&body::read(request.body_mut()).await?)?)?;
                Ok(self.status(app.configure(spec).await?, caller))
            }
            Route::Console => Ok(pages::console(request.headers())),
            Route::Describe(form) => {
                let mut page = Response::new(Answer::new(self.description.text(form).to_owned()));
                page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
                Ok(page)
            }
            Route::Events => {
                let (host, rtmp) = (caller.host().to_owned(), self.rtmp);
                self.listeners.listen(app.clone(), move |app| list(app, &host, rtmp), here)
            }
            Route::Feed => Ok(pages::feed(request.uri().query(), request.headers())),
            Route::FeedInfo => {
                let format = match app.may_watch_feed()? {
                    FeedFormat::Ivf => api::PictureFormat::Ivf,
                    FeedFormat::MpegTs => api::PictureFormat::Mpegts,
                };
                let url = caller.ws("/input/devices/virtual/feed/socket");
                Ok(json(StatusCode::OK, &api::FeedInfo { url, format }))
            }
            Route::FeedSocket => self.attach(Attach::Feed, request, here),
            Route::InputStatus => Ok(self.status(app.input_status(), caller)),
            Route::ListStreams => Ok(json(StatusCode::OK, &list(app, caller.host(), self.rtmp))),
            Route::Livez => Ok(json(StatusCode::OK, &api::Empty {})),
            Route::Metrics => {
                let mut page = Response::new(Answer::new(metrics::text(&app.figures(), &self.stats())));
                page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
                Ok(page)
            }
            Route::Pause => Ok(self.status(app.pause()?, caller)),
            Route::PublishAudio => self.attach(Attach::PublishAudio, request, here),
            Route::PublishRtc => rtc::publish(app, caller.reach(), request).await,
            Route::PublishVideo => self.attach(Attach::PublishVideo, request, here),
            Route::Readyz => {
                app.readiness()?;
                Ok(json(StatusCode::OK, &api::Empty {}))
            }
            Route::Resume => Ok(self.status(app.resume()?, caller)),
            Route::Session(kind, token) => rtc::session(app, &kind, &token, request).await,
            Route::StartStream => {
                let spec = streams::spec(body::parse(&body::read(request.body_mut()).await?)?)?;
                let info = streams::info(app.start_stream(spec)?, caller.host(), self.rtmp, Told::Starter);
                Ok(json(StatusCode::CREATED, &info))
            }
            Route::StopInputs => Ok(self.status(app.stop_inputs().await, caller)),
            Route::StopStream => {
                let id = streams::stop(body::parse(&body::read(request.body_mut()).await?)?)?;
                app.stop_stream(id)?;
                Ok(json(StatusCode::OK, &api::Empty {}))
            }
            Route::ViewStream(id) => self.attach(Attach::View(id), request, here),
            Route::ViewRtc => rtc::view(app, caller.reach(), request).await,
            Route::Watch(_) => Ok(pages::watch(request.headers())),
            Route::Whep(id) => rtc::whep(app, &id, caller.reach(), request).await,
            Route::Whip => rtc::whip(app, caller.reach(), request).await,
        }
    }

    /// Answers an upgrade, and hands the socket to the app once the answer is written.
    fn attach(&self, attach: Attach, request: &mut Request<Incoming>, here: Shutdown) -> Result<Response<Answer>, Failure> {
        check_upgrade(request)?;
        let purpose = match &attach {
            Attach::Feed => self.app.may_watch_feed().map(|_| Purpose::View),
            Attach::PublishAudio => self.app.may_publish_audio().map(|()| Purpose::Publish),
            Attach::PublishVideo => self.app.may_publish_video().map(|()| Purpose::Publish),
            Attach::View(id) => self.app.may_view(id).map(|()| Purpose::View),
        }?;
        let counted = match purpose {
            Purpose::Publish => Some(self.count_publisher()?),
            Purpose::View => None,
        };
        let (response, upgrade) = upgrade::upgrade(request).map_err(|error| Failure::bad(error.to_string().to_lowercase()))?;
        let (app, limits) = (self.app.clone(), self.limits.clone());
        let span = match &attach {
            Attach::Feed => tracing::info_span!("viewer", of = "feed"),
            Attach::PublishAudio => tracing::info_span!("publisher", track = "audio"),
            Attach::PublishVideo => tracing::info_span!("publisher", track = "video"),
            Attach::View(id) => tracing::info_span!("viewer", stream = %id),
        };
        let conversation = async move {
            // Held so that the end waits for this socket's close frame.
            let (_here, _counted) = (here, counted);
            let socket = match Socket::accept(upgrade, purpose, &limits).await {
                Ok(socket) => socket,
                Err(error) => return tracing::debug!(%error, "upgrading"),
            };
            tracing::debug!("joined");
            match attach {
                Attach::Feed => app.view_feed(socket).await,
                Attach::PublishAudio => app.publish_audio(socket).await,
                Attach::PublishVideo => app.publish_video(socket).await,
                Attach::View(id) => app.view_stream(id, socket).await,
            }
            tracing::debug!("left");
        };
        tokio::task::spawn_local(conversation.instrument(span));
        Ok(response.map(|_| Answer::default()))
    }

    fn stats(&self) -> DoorStats {
        DoorStats {
            waiting: self.waiting.counts(),
            listeners: self.listeners.count(),
            io: if runtime::has_ring() { Io::Uring } else { Io::Epoll }.as_str(),
        }
    }

    fn count_publisher(&self) -> Result<Counted, Failure> {
        if self.publishers.get() >= self.limits.max_publishers {
            let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "there are too many publishers already (--max-publishers)");
            return Err(failure.with(header::RETRY_AFTER, "1"));
        }
        self.publishers.set(self.publishers.get() + 1);
        Ok(Counted(Rc::clone(&self.publishers)))
    }

    fn status(&self, status: InputStatus, caller: &Caller) -> Response<Answer> {
        let status = inputs::status(status, caller, self.app.camera());
        json(StatusCode::OK, &status)
    }
}

/// One of those that are counted, until it is dropped.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The longest head that is read.
const HEAD_BYTES: usize = 64 << 10;
/// More are none that a browser or a proxy sends.
const MAX_HEADERS: usize = 100;
/// How long a request's head may take; an idle connection is closed after that, too.
const HEADERS: Duration = Duration::from_secs(60);

/// Every stream, as a caller who reaches us at `host` is told of it.
fn list(app: &App, host: &str, rtmp: RtmpPorts) -> Vec<api::StreamInfo> {
    app.streams().into_iter().map(|status| streams::info(status, host, rtmp, Told::Anyone)).collect()
}

/// What is said at the end to those who want more than to know how things are.
fn ending() -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the server ends: try again later").with(header::RETRY_AFTER, "5")
}

/// Refuses what is no WebSocket upgrade in a version that we speak.
fn check_upgrade(request: &Request<Incoming>) -> Result<(), Failure> {
    if *request.method() != Method::GET || !upgrade::is_upgrade_request(request) {
        let failure = Failure::new(StatusCode::UPGRADE_REQUIRED, "this path speaks websocket only: ask with an upgrade");
        return Err(failure.with(header::UPGRADE, "websocket"));
    }
    if request.headers().get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let failure = Failure::new(StatusCode::UPGRADE_REQUIRED, "sec-websocket-version must be 13");
        return Err(failure.with(header::SEC_WEBSOCKET_VERSION, "13"));
    }
    Ok(())
}

/// Answers OPTIONS; with another origin's leave it is a CORS preflight.
fn options(allow: &'static str, caller: &Caller) -> Response<Answer> {
    let mut response = Response::new(Answer::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    if caller.origin.is_some() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allow));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type, if-match"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Answer> {
    let text = serde_json::to_vec(body).expect("our own types have no maps with keys that are no strings");
    let mut response = Response::new(Answer::new(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
