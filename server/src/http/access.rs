//! Who may call: what keeps the hostile pages that the sandboxed browser visits away from us.
//!
//! They can reach `localhost`, so two things are checked of every request. The `Host` it names must be one that only we are known by,
//! or a name of the attacker's that resolves to us (DNS rebinding) would make his page same-origin. And what a browser says about the
//! page that asks, `Origin` and `Sec-Fetch-Site`, must be our own page or nothing. Callers that are no browser say nothing and pass. Beyond
//! that, where the flags name tokens, every caller has to know one.

use std::net::IpAddr;
use std::rc::Rc;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Uri};

use super::failure::Failure;
use super::query;
use super::route::{Route, Scope};
use crate::config::{Config, Grant, HostName, Origin};
use crate::rtc::Reach;
use crate::tokens::Tokens;

/// The rules, as the flags extend them.
#[derive(Debug)]
pub(super) struct Access {
    hosts: Vec<HostName>,
    origins: Vec<Origin>,
    tokens: Rc<Tokens>,
    trusts_forwarded: bool,
    port: u16,
}

/// What a caller reached us by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scheme {
    /// In the clear.
    Http,
    /// Inside TLS, or so a proxy says that we believe.
    Https,
}

/// What a caller that may call is known by.
#[derive(Debug)]
pub(super) struct Caller {
    /// The host, and port if it was named, that the caller reached us by.
    pub(super) authority: String,
    /// And how.
    pub(super) scheme: Scheme,
    /// The address that it calls from.
    pub(super) from: IpAddr,
    /// The other origin it calls from, by leave of `--allow-origin`.
    pub(super) origin: Option<HeaderValue>,
}

impl Caller {
    /// The address of a path for this caller.
    pub(super) fn http(&self, path: &str) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}{path}", self.authority)
    }

    /// The same of a WebSocket.
    pub(super) fn ws(&self, path: &str) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "ws",
            Scheme::Https => "wss",
        };
        format!("{scheme}://{}{path}", self.authority)
    }

    /// How its offer of WebRTC reached us.
    pub(super) fn reach(&self) -> Reach<'_> {
        Reach { host: &self.authority, from: self.from }
    }

    /// The host without its port; an IPv6 address keeps its brackets.
    pub(super) fn host(&self) -> &str {
        let end = self.authority.rfind(':').filter(|colon| self.authority.rfind(']').is_none_or(|bracket| bracket < *colon));
        &self.authority[..end.unwrap_or(self.authority.len())]
    }
}

impl Access {
    pub(super) fn new(config: &Config, tokens: Rc<Tokens>, port: u16) -> Self {
        let (hosts, origins) = (config.allow_host.clone(), config.allow_origin.clone());
        Self { hosts, origins, tokens, trusts_forwarded: config.trust_forwarded, port }
    }

    /// Lets a caller in or says why not. `call` is what it calls, if that is there, `scheme` how it is connected to us, and `from` whence.
    pub(super) fn check<B>(&self, request: &Request<B>, call: Option<&Route>, scheme: Scheme, from: IpAddr) -> Result<Caller, Failure> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let (authority, scheme) = self.reached_by(uri, headers, scheme)?;
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
        let follows_link = call.is_some_and(Route::is_page)
            && (method == Method::GET || method == Method::HEAD)
            && single(headers, &SEC_FETCH_MODE)?.is_some_and(|mode| mode == "navigate");
        if from_elsewhere && other.is_none() && !follows_link {
            return Err(Failure::new(StatusCode::FORBIDDEN, "other sites may not call: name their origin with --allow-origin"));
        }
        // A preflight carries no token, and learns nothing.
        if method != Method::OPTIONS {
            self.check_token(request, call.map_or(Scope::Any, Route::scope))?;
        }
        Ok(Caller { authority, scheme, from: self.from(headers, from), origin: other })
    }

    /// Lets through who knows a token for calls of this scope, where tokens are asked for.
    fn check_token<B>(&self, request: &Request<B>, scope: Scope) -> Result<(), Failure> {
        if scope == Scope::Open || !self.tokens.are_asked_for() {
            return Ok(());
        }
        let stranger = |message| {
            let failure = Failure::new(StatusCode::UNAUTHORIZED, message);
            failure.with(header::WWW_AUTHENTICATE, "Bearer realm=\"crosspoint\"")
        };
        let missing = || stranger("a token is needed: authorization: bearer, or ?access_token= of a page or websocket");
        let grants = self.tokens.grants(&secret(request)?.ok_or_else(missing)?);
        if grants.is_empty() {
            return Err(stranger("this token is none of ours"));
        }
        let fits = |grant: &Grant| match (grant, scope) {
            (Grant::All, _) | (_, Scope::Any | Scope::Open) => true,
            (Grant::Control, scope) => scope == Scope::Control,
            (Grant::Publish, scope) => scope == Scope::Publish,
            (Grant::View, scope) => scope == Scope::View,
        };
        if grants.iter().any(fits) { Ok(()) } else { Err(Failure::new(StatusCode::FORBIDDEN, "this token is for other calls")) }
    }

    /// The host that the caller named and how it is connected, before a proxy that is believed.
    fn reached_by(&self, uri: &Uri, headers: &HeaderMap, scheme: Scheme) -> Result<(String, Scheme), Failure> {
        let direct = self.host(uri, headers)?;
        if !self.trusts_forwarded {
            return Ok((direct, scheme));
        }
        let scheme = match single(headers, &X_FORWARDED_PROTO)?.map(HeaderValue::as_bytes) {
            Some(b"https" | b"wss") => Scheme::Https,
            Some(b"http" | b"ws") => Scheme::Http,
            Some(_) | None => scheme,
        };
        let Some(forwarded) = single(headers, &X_FORWARDED_HOST)? else { return Ok((direct, scheme)) };
        let authority = Authority::try_from(forwarded.as_bytes()).map_err(|_| misdirected())?;
        Ok((self.known(&authority)?, scheme))
    }

    /// The address that a proxy that is believed was called from: the last one of its list, which is its own word.
    fn from(&self, headers: &HeaderMap, direct: IpAddr) -> IpAddr {
        let told = headers.get_all(&X_FORWARDED_FOR).iter().next_back().filter(|_| self.trusts_forwarded);
        let last = told.and_then(|list| list.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        last.unwrap_or(direct)
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
        self.known(&named)
    }

    /// A host in lower case, if we may be known by it.
    fn known(&self, named: &Authority) -> Result<String, Failure> {
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

/// The token that a request carries: in its header, or in the address where a browser gives no way to set one.
fn secret<B>(request: &Request<B>) -> Result<Option<String>, Failure> {
    if let Some(value) = single(request.headers(), &header::AUTHORIZATION)? {
        let words = value.to_str().ok().and_then(|value| value.split_once(' '));
        return Ok(words.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, secret)| secret.trim().to_owned()));
    }
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        return Ok(None);
    }
    Ok(request.uri().query().and_then(query::token))
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
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

#[cfg(test)]
mod tests;
