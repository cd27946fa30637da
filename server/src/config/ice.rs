//! The servers that help peers to reach each other.

use std::fmt;
use std::str::FromStr;

use crosspoint_router::rtc::{TurnLogin, TurnSecret};
use hyper::http::uri::Authority;

/// A STUN or TURN server, of which clients are told in a `Link` header (draft-ietf-wish-whep-04, 4.4).
#[derive(Clone, Eq, PartialEq)]
pub struct IceServer {
    url: String,
    access: Access,
}

/// A STUN server that we ask ourselves, by its name and port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StunServer {
    /// A name, or an address without brackets.
    pub host: String,
    /// Its UDP port.
    pub port: u16,
}

#[derive(Clone, Eq, PartialEq)]
enum Access {
    /// With a user name and a password of its own.
    Fixed(TurnLogin),
    /// With logins that are made for each client.
    Made,
    /// Without any.
    Open,
}

impl IceServer {
    /// Whether logins for it have to be made.
    #[must_use]
    pub fn needs_secret(&self) -> bool {
        self.access == Access::Made
    }

    /// The value of the header; `made` is the client's login where it needs one.
    #[must_use]
    pub fn to_link(&self, made: Option<&TurnLogin>) -> String {
        let url = &self.url;
        let login = match &self.access {
            Access::Fixed(login) => Some(login),
            Access::Made => made,
            Access::Open => None,
        };
        let login = login.map_or_else(String::new, |TurnLogin { user, password }| {
            format!("; username=\"{user}\"; credential=\"{password}\"; credential-type=\"password\"")
        });
        format!("<{url}>; rel=\"ice-server\"{login}")
    }
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // There may be a password in it.
        f.write_str("IceServer")
    }
}

impl FromStr for IceServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || Err("an ice server is like stun:stun.example:3478 or 'turn:turn.example?transport=udp USER PASSWORD'".to_owned());
        // What could end a quoted string or a header has no place in one.
        let plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>'));
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if !words.iter().all(|word| plain(word)) {
            return wrong();
        }
        let Some((scheme, rest)) = words.first().and_then(|url| url.split_once(':')) else { return wrong() };
        if rest.is_empty() {
            return wrong();
        }
        let (url, access) = match (scheme, &words[..]) {
            ("stun" | "stuns", [url]) => (url, Access::Open),
            ("turn" | "turns", [url]) => (url, Access::Made),
            ("turn" | "turns", [url, user, password]) => {
                (url, Access::Fixed(TurnLogin { user: (*user).to_owned(), password: (*password).to_owned() }))
            }
            _ => return wrong(),
        };
        Ok(Self { url: (*url).to_owned(), access })
    }
}

impl FromStr for StunServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "a stun server is like stun.example, stun.example:3478 or [2001:db8::1]:3478";
        let authority: Authority = text.parse().map_err(|_| wrong)?;
        let (host, port) = (authority.host(), authority.port_u16());
        // A port that is none is left out of the authority's, and a user has no place here.
        let written = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if host.is_empty() || written != text {
            return Err(wrong.to_owned());
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(STUN_PORT) })
    }
}

impl fmt::Display for StunServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// RFC 8489, 14.
const STUN_PORT: u16 = 3478;

pub(super) fn parse_turn_secret(text: &str) -> Result<TurnSecret, String> {
    if text.is_empty() { Err("a secret is not empty".to_owned()) } else { Ok(TurnSecret::new(text)) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Cli;
    use super::*;

    #[test]
    fn servers_become_links() {
        let cases = [
            ("stun:stun.example:3478", Some("<stun:stun.example:3478>; rel=\"ice-server\"")),
            (
                "turn:turn.example?transport=udp me secret",
                Some(
                    "<turn:turn.example?transport=udp>; rel=\"ice-server\"; username=\"me\"; credential=\"secret\"; credential-type=\"password\"",
                ),
            ),
            (
                "turns:turn.example",
                Some("<turns:turn.example>; rel=\"ice-server\"; username=\"9:x\"; credential=\"aGk=\"; credential-type=\"password\""),
            ),
            ("turn:turn.example me", None),
            ("turn:", None),
            ("stun:", None),
            ("stun:stun.example me secret", None),
            ("http://stun.example", None),
            ("stun:a>b", None),
            ("turn:turn.example me se\"cret", None),
            ("", None),
        ];
        let made = TurnLogin { user: "9:x".to_owned(), password: "aGk=".to_owned() };
        for (text, link) in cases {
            assert_eq!(text.parse::<IceServer>().ok().map(|server| server.to_link(Some(&made))).as_deref(), link, "{text}");
        }
        assert!(!format!("{:?}", "turn:turn.example me secret".parse::<IceServer>()).contains("secret"));
    }

    #[test]
    fn stun_server_has_a_port_of_its_own_or_the_usual_one() {
        let parsed = |text: &str| text.parse::<StunServer>().ok().map(|server| (server.host.clone(), server.port, server.to_string()));
        let server = |host: &str, port, text: &str| Some((host.to_owned(), port, text.to_owned()));
        assert_eq!(parsed("stun.example"), server("stun.example", 3478, "stun.example:3478"));
        assert_eq!(parsed("192.0.2.1:99"), server("192.0.2.1", 99, "192.0.2.1:99"));
        assert_eq!(parsed("[2001:db8::1]"), server("2001:db8::1", 3478, "[2001:db8::1]:3478"));
        for wrong in ["", ":3478", "stun.example:", "stun.example:99999", "me@stun.example", "stun:stun.example:3478", "a b"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn turn_server_without_a_password_needs_a_secret() {
        let checked = |flags: &[&str]| Cli::try_parse_from([&["crosspoint"], flags].concat()).and_then(Cli::checked);
        let error = checked(&["--ice-server", "turn:turn.example"]).unwrap_err().to_string();
        assert!(error.contains("--turn-secret"), "{error}");
        let cli = checked(&["--ice-server", "turn:turn.example", "--turn-secret", "north"]).unwrap();
        assert!(cli.config.turn_secret.is_some() && !format!("{cli:?}").contains("north"));
        assert!(checked(&["--turn-secret", ""]).is_err());
    }
}
