//! By what we are reached, and who else may call.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// An address that leads to us by some mapping, and the port if that is another one, too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advertised {
    ip: IpAddr,
    port: Option<u16>,
}

/// A host name in lower case without a port, or `*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostName(String);

/// A web origin in lower case: scheme, host and, unless it is the scheme's own, port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin(String);

impl Advertised {
    /// The address, of `port` unless it has one of its own.
    #[must_use]
    pub fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(port))
    }
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { ip: address.ip(), port: Some(address.port()) });
        }
        let ip = text.parse().map_err(|_| "an advertised address is like 192.0.2.1, 192.0.2.1:444 or [2001:db8::1]:444".to_owned())?;
        Ok(Self { ip, port: None })
    }
}

impl HostName {
    /// Whether this names `host`, which is in lower case.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        self.0 == "*" || self.0 == host
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if text == "*" || (!text.is_empty() && text.bytes().all(plain)) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err("a host is a name without scheme and port, or *".to_owned())
    }
}

impl Origin {
    /// The origin as browsers send it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim_end_matches('/').to_ascii_lowercase();
        let origin = match lower.split_once("://") {
            Some(("http", host)) => format!("http://{}", host.strip_suffix(":80").unwrap_or(host)),
            Some(("https", host)) => format!("https://{}", host.strip_suffix(":443").unwrap_or(host)),
            // A browser extension's pages have such origins, and some viewers are extensions.
            Some((scheme, host)) if scheme.ends_with("-extension") => format!("{scheme}://{host}"),
            Some(_) | None => return Err("an origin is http:// or https:// and a host, with a port if need be".to_owned()),
        };
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let strange = |byte: u8| matches!(byte, b'/' | b'?' | b'#' | b'@' | b'*') || !byte.is_ascii_graphic();
        if host.is_empty() || host.bytes().any(strange) {
            return Err("an origin has a host, and neither path nor wildcard".to_owned());
        }
        Ok(Self(origin))
    }
}
