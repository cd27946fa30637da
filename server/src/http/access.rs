//! Who may call: what keeps the hostile pages that the sandboxed browser visits away from us.
//!
//! They can reach `localhost`, so two things are checked of every request. The `Host` it names must be one that only we are known by,
//! or a name of the attacker's that resolves to us (DNS rebinding) would make his page same-origin. And what a browser says about the
//! page that asks, `Origin` and `Sec-Fetch-Site`, must be our own page or nothing. Callers that are no browser say nothing and pass.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode, Uri};

use super::failure::Failure;
use crate::config::{Config, HostName, Origin};

/// The rules, as the flags extend them.
#[derive(Debug)]
pub(super) struct Access {
    hosts: Vec<HostName>,
    origins: Vec<Origin>,
    port: u16,
}

/// What a caller that may call is known by.
#[derive(Debug)]
pub(super) struct Caller {
    /// The host, and port if it was named, that the caller reached us by.
    pub(super) authority: String,
    /// The other origin it calls from, by leave of `--allow-origin`.
    pub(super) origin: Option<HeaderValue>,
}

impl Caller {
    /// The host without its port; an IPv6 address keeps its brackets.
    pub(super) fn host(&self) -> &str {
        let end = self.authority.rfind(':').filter(|colon| self.authority.rfind(']').is_none_or(|bracket| bracket < *colon));
        &self.authority[..end.unwrap_or(self.authority.len())]
    }
}

impl Access {
    pub(super) fn new(config: &Config, port: u16) -> Self {
        Self { hosts: config.allow_host.clone(), origins: config.allow_origin.clone(), port }
    }

    /// Lets a caller in or says why not. `is_page` tells whether the call is a page that other sites may link to.
    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap, is_page: bool) -> Result<Caller, Failure> {
        let authority = self.host(uri, headers)?;
        let other = match single(headers, &header::ORIGIN)? {
            None => None,
            Some(origin) if is_own(origin, &authority) => None,
            Some(origin) if self.allows(origin) => Some(origin.clone()),
            Some(_) => {
                let message = "pages of another origin may not call: name theirs with --allow-origin";
                return Err(Failure::new(StatusCode::FORBIDDEN, message));
            }
        };
        let site = single(headers, &SEC_FETCH_SITE)?;
        let from_elsewhere = site.is_some_and(|site| site != "none" && site != "same-origin");
        // Following a link reads nothing and changes nothing; a page refuses to be framed by itself.
        let follows_link = is_page
            && (method == Method::GET || method == Method::HEAD)
            && single(headers, &SEC_FETCH_MODE)?.is_some_and(|mode| mode == "navigate");
        if from_elsewhere && other.is_none() && !follows_link {
            return Err(Failure::new(StatusCode::FORBIDDEN, "other sites may not call: name their origin with --allow-origin"));
        }
        Ok(Caller { authority, origin: other })
    }

    /// The host that the caller names, if it is one we may be known by.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<String, Failure> {
        let named = match (uri.authority(), single(headers, &header::HOST)?) {
            // RFC 9112, 3.2.2: the target's own authority stands above the header.
            (Some(authority), _) => authority.clone(),
            (None, Some(host)) if !host.is_empty() => Authority::try_from(host.as_bytes()).map_err(|_| misdirected())?,
            // HTTP/1.0 has no `Host`, and no browser speaks it.
            (None, _) => return Ok(format!("localhost:{}", self.port)),
        };
        if named.as_str().contains('@') {
            return Err(misdirected());
        }
        let host = named.host().to_ascii_lowercase();
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        let known = host == "localhost" || literal.parse::<IpAddr>().is_ok() || self.hosts.iter().any(|allowed| allowed.matches(&host));
        if known { Ok(named.as_str().to_ascii_lowercase()) } else { Err(misdirected()) }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| origin == allowed.as_str())
    }
}

/// Whether `origin` is a page of ours, at the host and port that the request itself names.
fn is_own(origin: &HeaderValue, authority: &str) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    match origin.split_once("://") {
        Some(("http", host)) => host == authority.strip_suffix(":80").unwrap_or(authority),
        Some(("https", host)) => host == authority.strip_suffix(":443").unwrap_or(authority),
        Some(_) | None => false,
    }
}

/// The one value of a header that must not be there twice: two readers of it could take different ones.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Failure> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Failure::new(StatusCode::BAD_REQUEST, format!("more than one {name} header")));
    }
    Ok(first)
}

fn misdirected() -> Failure {
    Failure::new(
        StatusCode::MISDIRECTED_REQUEST,
        "this host is not one of ours: use an ip address or localhost, or name it with --allow-host",
    )
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    type Headers = &'static [(&'static str, &'static str)];

    fn access() -> Access {
        let cli = Cli::parse_from(["crosspoint", "--allow-host=app.example", "--allow-origin=https://app.example,http://10.0.0.1:3000"]);
        Access::new(&cli.config, 10001)
    }

    fn status(method: &str, is_page: bool, headers: &[(&'static str, &'static str)]) -> u16 {
        let headers = headers.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        match access().check(&method.parse().unwrap(), &Uri::from_static("/x"), &map, is_page) {
            Ok(_) => 200,
            Err(failure) => failure.status.as_u16(),
        }
    }

    #[test]
    fn hosts() {
        let cases = [
            ("localhost", 200),
            ("LocalHost:444", 200),
            ("127.0.0.1:10001", 200),
            ("[::1]:10001", 200),
            ("192.168.1.7", 200),
            ("app.example", 200),
            ("App.Example:8443", 200),
            ("", 200),
            ("evil.example", 421),
            ("localhost.evil.example:10001", 421),
            ("127.0.0.1.evil.example", 421),
            ("localhost@evil.example", 421),
            ("evil.example@localhost", 421),
            ("local host", 421),
            ("localhost/..", 421),
            ("[::1", 421),
        ];
        for (host, expected) in cases {
            assert_eq!(status("GET", false, &[("host", host)]), expected, "{host}");
        }
        assert_eq!(status("GET", false, &[]), 200, "HTTP/1.0");
        assert_eq!(status("GET", false, &[("host", "localhost"), ("host", "evil.example")]), 400);
    }

    #[test]
    fn absolute_targets_stand_above_the_host_header() {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        let refused = access().check(&Method::GET, &Uri::from_static("http://evil.example/x"), &headers, false);
        assert_eq!(refused.unwrap_err().status, StatusCode::MISDIRECTED_REQUEST);
    }

    #[test]
    fn origins() {
        let cases = [
            ("localhost:444", "http://localhost:444", 200),
            ("localhost", "http://localhost", 200),
            ("localhost:80", "http://localhost", 200),
            ("localhost:443", "https://localhost", 200),
            ("[::1]:444", "http://[::1]:444", 200),
            ("localhost:444", "https://app.example", 200),
            ("localhost:444", "http://10.0.0.1:3000", 200),
            ("localhost:444", "http://localhost:445", 403),
            ("localhost:444", "http://localhost", 403),
            ("localhost:444", "http://127.0.0.1:444", 403),
            ("localhost:444", "https://evil.example", 403),
            ("localhost:444", "http://app.example", 403),
            ("localhost:444", "null", 403),
            ("localhost:444", "", 403),
        ];
        for (host, origin, expected) in cases {
            assert_eq!(status("POST", false, &[("host", host), ("origin", origin)]), expected, "{origin} at {host}");
        }
    }

    #[test]
    fn fetch_sites() {
        let cases: [(&str, bool, Headers, u16); 10] = [
            ("GET", false, &[("sec-fetch-site", "none")], 200),
            ("POST", false, &[("sec-fetch-site", "same-origin")], 200),
            ("GET", false, &[("sec-fetch-site", "same-site")], 403),
            ("GET", false, &[("sec-fetch-site", "cross-site")], 403),
            ("GET", true, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 200),
            ("GET", true, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], 403),
            ("GET", false, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),
            ("POST", true, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),
            ("POST", false, &[("sec-fetch-site", "cross-site"), ("origin", "https://app.example")], 200),
            ("POST", false, &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], 403),
        ];
        for (method, is_page, headers, expected) in cases {
            let headers = [&[("host", "localhost")], headers].concat();
            assert_eq!(status(method, is_page, &headers), expected, "{method} {headers:?}");
        }
    }
}
