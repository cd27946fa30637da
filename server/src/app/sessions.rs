//! The WebRTC sessions that callers can come back to: by DELETE to end them, by PATCH to add candidates.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use crosspoint_router::control::{Refusal, RefusalKind, StreamId};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::mpsc;

use super::App;

/// A session's name, which nobody guesses: whoever knows it may end the session.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct SessionToken(String);

/// What a session is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SessionKind {
    /// `/whip/camera`
    Camera,
    /// `/whep/{id}`
    Stream(StreamId),
}

/// What a session is told.
#[derive(Debug)]
pub(super) enum Order {
    Candidates(String),
    End,
}

/// The sessions by their names.
#[derive(Default)]
pub(super) struct Sessions(RefCell<HashMap<SessionToken, (SessionKind, mpsc::Sender<Order>)>>);

impl SessionToken {
    fn draw() -> Result<Self, Refusal> {
        let mut bytes = [0; 16];
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(16) => Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())),
            Ok(_) | Err(_) => Err(Refusal::new(RefusalKind::Unavailable, "the system gives no random numbers")),
        }
    }

    /// What a path names; nothing when it can be no token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl App {
    /// The servers that WHIP and WHEP clients are told of, as values of `Link` headers.
    pub(crate) fn ice_links(&self, now: SystemTime) -> Vec<String> {
        let login = self.0.turn_secret.as_ref().map(|secret| secret.login(now));
        self.0.ice_servers.iter().map(|server| server.to_link(login.as_ref())).collect()
    }
}

impl Sessions {
    /// Names a session; gives what it will be told.
    pub(super) fn open(&self, kind: SessionKind) -> Result<(SessionToken, mpsc::Receiver<Order>), Refusal> {
        let token = SessionToken::draw()?;
        let (sender, orders) = mpsc::channel(ORDERS);
        self.0.borrow_mut().insert(token.clone(), (kind, sender));
        Ok((token, orders))
    }

    /// The session is over.
    pub(super) fn close(&self, token: &SessionToken) {
        self.0.borrow_mut().remove(token);
    }

    /// Tells a session something.
    ///
    /// # Errors
    /// When there is none of that kind and name.
    pub(super) fn tell(&self, kind: &SessionKind, token: &SessionToken, order: Order) -> Result<(), Refusal> {
        let sessions = self.0.borrow();
        let found = sessions.get(token).filter(|(of, _)| of == kind);
        let (_, sender) = found.ok_or_else(|| Refusal::new(RefusalKind::Missing, "there is no such session"))?;
        sender.try_send(order).map_err(|_| Refusal::new(RefusalKind::Unavailable, "the session is busy: try again"))
    }
}

/// What a session may leave unheard; more is answered with 503.
const ORDERS: usize = 16;
