//! What clients log in to a TURN server with.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// A secret that is shared with TURN servers: whoever has it can make logins for them, which are good for a day and need no account
/// (draft-uberti-behave-turn-rest-00).
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use crosspoint_router::rtc::TurnSecret;
///
/// let login = TurnSecret::new("north").login(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
/// assert_eq!(login.user, "1700086400:crosspoint");
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct TurnSecret(String);

/// A user name and a password.
#[derive(Clone, Eq, PartialEq)]
pub struct TurnLogin {
    /// When it ends to be good, in seconds since 1970, and whose it is.
    pub user: String,
    /// What proves that the user name is of somebody who has the secret.
    pub password: String,
}

impl TurnSecret {
    /// The secret as the server's configuration has it.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Makes a login that is good for a day from `now` on.
    #[must_use]
    pub fn login(&self, now: SystemTime) -> TurnLogin {
        let ends = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + GOOD_FOR;
        let user = format!("{}:{USER}", ends.as_secs());
        let password = self.password(&user);
        TurnLogin { user, password }
    }

    fn password(&self, user: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.0.as_bytes()).expect("any key will do for HMAC");
        mac.update(user.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnSecret")
    }
}

impl fmt::Debug for TurnLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What the draft recommends. Servers look at it whenever an allocation is made or refreshed: a session that lasts longer loses its way.
const GOOD_FOR: Duration = Duration::from_secs(86_400);
/// Servers may count by it; it is nobody's name.
const USER: &str = "crosspoint";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_those_that_servers_work_out() {
        // printf USER | openssl dgst -binary -sha1 -hmac SECRET | base64
        let cases = [("north", "1433895918:506834", "CBwVGEQBUADZJ/jVM73MwMdDJOQ="), ("", "", "+9sdGxiqbAgyS31ktx+3Y3BpDh0=")];
        for (secret, user, password) in cases {
            assert_eq!(TurnSecret::new(secret).password(user), password, "{secret}");
        }
    }

    #[test]
    fn logins_end_a_day_after_they_were_made() {
        let secret = TurnSecret::new("north");
        let login = |seconds| secret.login(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(login(0).user, "86400:crosspoint");
        assert_eq!(login(1_700_000_000).user, "1700086400:crosspoint");
        assert_ne!(login(0).password, login(1).password);
        assert_eq!(secret.login(SystemTime::UNIX_EPOCH - Duration::from_secs(5)).user, "86400:crosspoint", "a clock that was never set");
        assert!(!format!("{secret:?} {:?}", login(0)).contains("north") && !format!("{:?}", login(0)).contains(&login(0).password));
    }
}
