//! HTTP and WebSocket for the page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request, upgrade};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::interval;

use super::{Message, Scripts, Told, View};
use crate::clock::Clock;
use crate::socket::{Receiver, Sender, split};

/// Serves whoever connects, until it is aborted.
pub(super) async fn accept(listener: TcpListener, scripts: Scripts, told: Arc<Told>) {
    // An accept that fails leaves a browser without its page, which the wait for it reports.
    while let Ok((stream, _)) = listener.accept().await {
        // Answers about the clock are timed: they must not wait for more to send.
        let _ = stream.set_nodelay(true);
        let told = Arc::clone(&told);
        let service = service_fn(move |request| {
            let answer = answer(request, scripts, &told);
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}

fn answer(mut request: Request<Incoming>, scripts: Scripts, told: &Arc<Told>) -> Response<Full<Bytes>> {
    let view = match request.uri().path() {
        "/socket/worker" => View::Worker,
        "/socket/video" => View::Video,
        path => return file(path, scripts),
    };
    if !is_upgrade_request(&request) {
        return status(StatusCode::UPGRADE_REQUIRED);
    }
    match upgrade(&mut request) {
        Ok((response, upgraded)) => {
            tokio::spawn(listen(upgraded, view, Arc::clone(told)));
            response.map(|_| Full::default())
        }
        Err(_) => status(StatusCode::BAD_REQUEST),
    }
}

fn file(path: &str, scripts: Scripts) -> Response<Full<Bytes>> {
    let (kind, text) = if path == "/" {
        ("text/html; charset=utf-8", include_str!("index.html"))
    } else {
        let Some((_, text)) = SCRIPTS.iter().chain(scripts).find(|(name, _)| *name == path) else { return status(StatusCode::NOT_FOUND) };
        ("text/javascript", *text)
    };
    let response = Response::builder()
        .header(CONTENT_TYPE, kind)
        .header(CACHE_CONTROL, "no-store")
        // A page that is isolated from others gets a clock of 5 µs instead of 100.
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Cross-Origin-Embedder-Policy", "require-corp");
    response.body(Full::from(text)).unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Hears one script out, asking for its clock meanwhile.
async fn listen(upgraded: UpgradeFut, view: View, told: Arc<Told>) {
    let socket = match upgraded.await {
        Ok(socket) => socket,
        Err(error) => return told.take(view, Message::Failed(error.to_string()), told.clock.now_ms()),
    };
    let (sender, receiver) = split(socket);
    let heard = tokio::select! {
        heard = ask(&sender, told.clock) => heard,
        heard = hear(receiver, view, &told) => heard,
    };
    let Err(error) = heard;
    told.take(view, Message::Failed(format!("{error:#}")), told.clock.now_ms());
}

async fn ask(sender: &Sender, clock: Clock) -> Result<Infallible> {
    let mut ticks = interval(ASK_EVERY);
    loop {
        ticks.tick().await;
        sender.send_text(format!("{{\"question\":{}}}", clock.now_ms())).await?;
    }
}

async fn hear(mut receiver: Receiver, view: View, told: &Told) -> Result<Infallible> {
    loop {
        let text = receiver.next_text().await?;
        let arrived_ms = told.clock.now_ms();
        told.take(view, serde_json::from_str(&text)?, arrived_ms);
    }
}

const ASK_EVERY: Duration = Duration::from_millis(100);

/// What every page has.
const SCRIPTS: Scripts = &[("/code.js", include_str!("code.js")), ("/link.js", include_str!("link.js"))];
