//! A viewer's own task.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::{Piece, Pieces};

/// A connection that can become the way to a viewer.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin {
    /// What the viewer says.
    type Read: AsyncRead + Unpin;
    /// What it is told.
    type Line: Line;

    /// Parts the two; `pieces` go to the viewer from now on.
    fn part(self, pieces: Box<dyn Pieces>) -> (Self::Read, Self::Line);
}

/// The way to one viewer.
pub(crate) trait Line {
    /// The next piece of what is published, if there is one.
    fn next(&mut self) -> Option<Piece>;

    /// Waits until nobody else writes; nobody else does until [`Line::idle`].
    async fn hold(&mut self);

    /// Takes a piece to write. The one before must be finished.
    fn begin(&mut self, piece: Piece);

    /// Writes what is left of the piece that was begun. Given up, it can be called again.
    async fn finish(&mut self) -> io::Result<()>;

    /// Lets nothing that was written wait for more.
    async fn flush(&mut self) -> io::Result<()>;

    /// Waits until there may be something to write.
    async fn idle(&mut self);

    /// Says that no more will come.
    async fn shutdown(&mut self);
}

/// What a viewer is told beside what is published.
pub(crate) trait Own {
    /// The next bytes, which go out between two pieces.
    fn poll_bytes(&self) -> Option<Bytes>;

    /// Waits until there may be some.
    async fn arrived(&self);

    /// Whether the viewer wants no more.
    fn is_over(&self) -> bool;
}

/// Why nothing more is written.
#[derive(Debug)]
pub(crate) enum Gone {
    /// The connection broke.
    Lost(io::Error),
    /// The viewer wants no more.
    Over,
    /// It reads nothing for too long.
    Stalled,
}

/// Writes to a viewer until it goes, or reads nothing for as long as `stall`.
///
/// One writer at a time owns the socket, and leaves it between whole pieces only.
pub(crate) async fn talk(line: &mut impl Line, own: &impl Own, stall: Duration) -> Gone {
    loop {
        if let Err(gone) = catch_up(line, own, stall).await {
            return gone;
        }
        tokio::select! {
            () = line.idle() => {}
            () = own.arrived() => {}
        }
    }
}

/// Ends a viewer in good order: finishes what was begun, tells it `last`, and that no more will come.
pub(crate) async fn farewell(line: &mut impl Line, last: impl Iterator<Item = Bytes>) {
    let words = async {
        line.hold().await;
        line.finish().await?;
        for bytes in last {
            line.begin(Piece::shared(bytes));
            line.finish().await?;
        }
        line.flush().await
    };
    let _: Result<io::Result<()>, _> = timeout(FAREWELL, words).await;
    let _ = timeout(FAREWELL, line.shutdown()).await;
}

/// Writes all there is.
async fn catch_up(line: &mut impl Line, own: &impl Own, stall: Duration) -> Result<(), Gone> {
    line.hold().await;
    loop {
        in_time(stall, line.finish()).await?;
        let words = own.poll_bytes().map(Piece::shared);
        if words.is_none() && own.is_over() {
            return Err(Gone::Over);
        }
        let Some(piece) = words.or_else(|| line.next()) else { break };
        line.begin(piece);
    }
    in_time(stall, line.flush()).await
}

async fn in_time(stall: Duration, writing: impl Future<Output = io::Result<()>>) -> Result<(), Gone> {
    timeout(stall, writing).await.map_err(|_| Gone::Stalled)?.map_err(Gone::Lost)
}

/// How long the last bytes may take.
const FAREWELL: Duration = Duration::from_secs(1);
