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
pub(super) struct Sessions(RefCell<HashMap<SessionToken, Session>>);

struct Session {
    kind: SessionKind,
    /// The user names of its ICE session, as the other end has it.
    ice_names: Vec<String>,
    orders: mpsc::Sender<Order>,
}

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
    pub(super) fn open(&self, kind: SessionKind, ice_names: Vec<String>) -> Result<(SessionToken, mpsc::Receiver<Order>), Refusal> {
        let token = SessionToken::draw()?;
        let (orders, told) = mpsc::channel(ORDERS);
        self.0.borrow_mut().insert(token.clone(), Session { kind, ice_names, orders });
        Ok((token, told))
    }

    /// The user names of a session's ICE session.
    ///
    /// # Errors
    /// When there is none of that kind and name.
    pub(super) fn ice_names(&self, kind: &SessionKind, token: &SessionToken) -> Result<Vec<String>, Refusal> {
        let sessions = self.0.borrow();
        let session = sessions.get(token).filter(|session| session.kind == *kind).ok_or_else(missing)?;
        Ok(session.ice_names.clone())
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
        let session = sessions.get(token).filter(|session| session.kind == *kind).ok_or_else(missing)?;
        session.orders.try_send(order).map_err(|_| Refusal::new(RefusalKind::Unavailable, "the session is busy: try again"))
    }
}

fn missing() -> Refusal {
    Refusal::new(RefusalKind::Missing, "there is no such session")
}

/// What a session may leave unheard; more is answered with 503.
const ORDERS: usize = 16;
