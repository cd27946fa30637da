//! Players.

use std::time::Duration;

use crosspoint_router::control::{Refusal, RefusalKind, StreamMode};
use crosspoint_router::wire::rtmp::{Chunker, Error, Server, ServerEvent, ServerOutput};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::flow::{self, GOODBYE, READ_BYTES, flow};
use super::{Player, random};
use crate::app::{App, Transport};
use crate::config::Grant;
use crate::fanout::Connection;
use crate::http;
use crate::net::Place;
use crate::shutdown::Shutdown;
use crate::tokens::Tokens;

/// Serves one connection: shows the stream that the player asks for until either ends. It has a place among the undecided until then.
pub(crate) async fn play(mut stream: impl Connection, app: &App, tokens: &Tokens, place: Place, mut shutdown: Shutdown) {
    let mut session = Server::new(APP, &random());
    let asked = tokio::select! {
        asked = timeout(SETUP, ask(&mut stream, &mut session)) => asked,
        () = shutdown.requested() => return,
    };
    drop(place);
    let (name, query) = match asked {
        Ok(Ok(Some(asked))) => asked,
        Ok(Ok(None)) => return hang_up(stream).await,
        Ok(Err(error)) => return tracing::debug!(%error, "player lost before it played"),
        Err(_) => return tracing::debug!("player did not say in time what it wants"),
    };
    let watched = check_token(tokens, &query).and_then(|()| name.parse().map_err(|_| no_stream(&name)));
    let watched = watched.and_then(|id| app.watch(&id, StreamMode::Internal, Transport::Rtmp));
    let (watch, mut viewing) = match watched {
        Ok(watched) => watched,
        Err(refusal) => {
            session.refuse(&refusal.message);
            let told = timeout(GOODBYE, tell(&mut stream, &mut session)).await;
            tracing::debug!(refusal = refusal.message, told = matches!(told, Ok(Ok(_))), "player refused");
            return hang_up(stream).await;
        }
    };
    let (message_stream, chunk_bytes) = session.accept();
    let chunker = Chunker::for_player(message_stream, chunk_bytes);
    let ended = async {
        tokio::select! {
            _ = viewing.over() => {}
            () = shutdown.requested() => {}
        }
    };
    let span = tracing::info_span!("viewer", stream = name);
    let end = flow(stream, Player { session, over: false }, watch, chunker, app.stall(), ended).instrument(span).await;
    tracing::debug!(%end, "player gone");
}

/// Lets through who knows a token of viewers, where tokens are asked for; a player has no place for it but the stream's name.
fn check_token(tokens: &Tokens, query: &str) -> Result<(), Refusal> {
    if !tokens.are_asked_for() {
        return Ok(());
    }
    let secret = http::token(query).unwrap_or_default();
    if tokens.grants(&secret).iter().any(|grant| matches!(grant, Grant::All | Grant::View)) {
        return Ok(());
    }
    Err(Refusal::new(RefusalKind::Missing, "a token of viewers is needed: put ?access_token= behind the stream's name"))
}

fn no_stream(name: &str) -> Refusal {
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
    Refusal::new(RefusalKind::Missing, format!("no stream can be called {name}"))
}

/// What keeps a player from being told what to play.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Session(#[from] Error),
}

/// Talks until the player has named a stream; nothing when it leaves, or was refused.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, session: &mut Server) -> Result<Option<(String, String)>, Lost> {
    let mut bytes = [0; READ_BYTES];
    loop {
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Ok(None);
        }
        let good = session.handle_input(&bytes[..count]);
        let event = tell(stream, session).await?;
        good?;
        match event {
            Some(ServerEvent::Play { name, query }) => return Ok(Some((name, query))),
            Some(ServerEvent::End) => return Ok(None),
            None => {}
        }
    }
}

/// Writes what the session has to say, and gives what it wants.
async fn tell<S: AsyncWrite + Unpin>(stream: &mut S, session: &mut Server) -> std::io::Result<Option<ServerEvent>> {
    let mut event = None;
    while let Some(output) = session.poll_output() {
        match output {
            ServerOutput::Event(wanted) => event = Some(wanted),
            ServerOutput::Send(bytes) => stream.write_all(&bytes).await?,
        }
    }
    stream.flush().await?;
    Ok(event)
}

async fn hang_up(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = timeout(GOODBYE, flow::close(&mut stream)).await;
}

/// The application of every URL that we give out.
const APP: &str = "live";
/// How long a player may take to say what it wants.
const SETUP: Duration = Duration::from_secs(10);
