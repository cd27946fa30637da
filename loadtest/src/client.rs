//! HTTP and WebSocket calls to a router.

use std::future::Future;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use fastwebsockets::handshake;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::socket::{Receiver, Sender, split};

/// Where a router listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    /// The endpoint at `address`, a host and a port.
    pub(crate) fn at(address: impl ToString) -> Self {
        Self(address.to_string())
    }

    /// The endpoint of a URL like `http://localhost:10001`.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        ensure!(uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/"), "{url} is not like http://localhost:10001");
        let host = uri.host().with_context(|| format!("{url} has no host"))?;
        Ok(Self(format!("{host}:{}", uri.port_u16().unwrap_or(80))))
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> &str {
        &self.0
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0)
    }

    /// GETs JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// GETs text.
    pub(crate) async fn text(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(Method::GET, path, None).await?).into_owned())
    }

    /// POSTs JSON, or nothing.
    pub(crate) async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        self.call(Method::POST, path, body).await
    }

    /// POSTs an offer as WHIP does; gives the answer.
    pub(crate) async fn post_sdp(&self, path: &str, sdp: String) -> Result<String> {
        let answer = self.send(Method::POST, path, "application/sdp", Bytes::from(sdp)).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = format!("{method} http://{}{path}: the answer is not JSON", self.0);
        serde_json::from_slice(&self.bytes(method, path, body).await?).context(what)
    }

    async fn bytes(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        self.send(method, path, "application/json", body).await
    }

    async fn send(&self, method: Method, path: &str, kind: &'static str, body: Bytes) -> Result<Bytes> {
        let what = format!("{method} http://{}{path}", self.0);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connect().await?)).await.with_context(|| what.clone())?;
        // It ends with the sender; its errors are the sender's too.
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(HOST, &self.0).header(CONTENT_TYPE, kind).body(Full::new(body))?;
        let response = sender.send_request(request).await.with_context(|| what.clone())?;
        let status = response.status();
        let bytes = response.into_body().collect().await.with_context(|| what.clone())?.to_bytes();
        if !status.is_success() {
            bail!("{what}: {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }

    /// Opens a WebSocket.
    pub(crate) async fn open(&self, path: &str) -> Result<(Sender, Receiver)> {
        let what = format!("WebSocket http://{}{path}", self.0);
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(HOST, &self.0)
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "upgrade")
            .header("Sec-WebSocket-Key", handshake::generate_key())
            .header("Sec-WebSocket-Version", "13")
            .body(Full::new(Bytes::new()))?;
        let (socket, response) = handshake::client(&Spawn, request, self.connect().await?).await.with_context(|| what.clone())?;
        ensure!(response.status() == StatusCode::SWITCHING_PROTOCOLS, "{what}: {}", response.status());
        Ok(split(socket))
    }

    async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.0).await.with_context(|| format!("connecting to {}", self.0))?;
        // What is sent is sent now, or its time would be wrong.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

struct Spawn;

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_parse() {
        let cases = [
            ("http://localhost:10001", Some("localhost:10001")),
            ("http://127.0.0.1:444/", Some("127.0.0.1:444")),
            ("http://router", Some("router:80")),
            ("http://[::1]:10001", Some("[::1]:10001")),
            ("https://localhost:10001", None),
            ("http://localhost:10001/input", None),
            ("localhost:10001", None),
            ("", None),
        ];
        for (url, endpoint) in cases {
            assert_eq!(Endpoint::parse(url).ok(), endpoint.map(Endpoint::at), "{url}");
        }
    }
}
