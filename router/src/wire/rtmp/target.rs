//! Where a stream is pushed to, and how its key stays secret.

use std::fmt;

/// An `rtmp://` or `rtmps://` URL whose last path segment is a stream key. Written out ([`fmt::Display`], [`fmt::Debug`]) it has lost the key
/// and any query; [`TargetUrl::reveal`] is for whoever gave it, and for the server that it names.
#[derive(Clone, Eq, PartialEq)]
pub struct TargetUrl {
    url: String,
    secure: bool,
    host: String,
    port: u16,
    app: String,
    key: String,
}

/// A text that is no [`TargetUrl`], and what would be one. It says nothing of the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BadTarget(&'static str);

impl TargetUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// When it is of another protocol, lacks host, app or key, or brings a user.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        let url = text.trim();
        let (scheme, rest) = url.split_once("://").ok_or(SCHEME)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(SCHEME),
        };
        if url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return Err(BadTarget("target_url has neither spaces nor control characters"));
        }
        let (rest, query) = rest.find('?').map_or((rest, ""), |at| rest.split_at(at));
        let (authority, path) = rest.split_once('/').ok_or(PATH)?;
        if authority.contains('@') {
            return Err(BadTarget("target_url names a user: servers that ask for one (authmod) are not supported, only stream keys"));
        }
        let (host, port) = host_and_port(authority).ok_or(BadTarget("target_url names a host, and a port of 1 to 65535 if any"))?;
        let (app, name) = path.trim_matches('/').rsplit_once('/').ok_or(PATH)?;
        let (app, key) = (app.trim_end_matches('/').to_owned(), format!("{name}{query}"));
        if app.is_empty() || name.is_empty() {
            return Err(PATH);
        }
        let port = port.unwrap_or(if secure { 443 } else { 1935 });
        Ok(Self { url: url.to_owned(), secure, host, port, app, key })
    }

    /// The whole URL, key included.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.url
    }

    /// The stream key with its query.
    #[must_use]
    pub fn reveal_key(&self) -> &str {
        &self.key
    }

    /// Whether it is `rtmps://`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: 1935 for `rtmp://` and 443 for `rtmps://` unless it names one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The application on the server.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The URL of the application, as servers are told it.
    #[must_use]
    pub fn app_url(&self) -> String {
        let scheme = if self.secure { "rtmps" } else { "rtmp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.secure { 443 } else { 1935 };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{host}{port}/{}", self.app)
    }

    /// Somebody else's words about it, without the key should they repeat it.
    #[must_use]
    pub fn cleaned(&self, message: &str) -> String {
        let (name, query) = self.key.split_once('?').unwrap_or((&self.key, ""));
        let secrets = [self.url.as_str(), &self.key, query, name].into_iter().chain(query.split(['&', '=']));
        // Short pieces are no secrets, and taking them out would leave nothing to read. The name is the key, however short.
        let secret = |text: &&str| text.len() >= 6 || (*text == name && text.len() > 1);
        secrets.filter(secret).fold(message.to_owned(), |message, secret| message.replace(secret, "…"))
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.app_url())
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetUrl({self})")
    }
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let port = if port.is_empty() { None } else { Some(port.parse().ok().filter(|&port: &u16| port > 0)?) };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

const SCHEME: BadTarget = BadTarget("target_url begins with rtmp:// or rtmps://");
const PATH: BadTarget = BadTarget("target_url names an app and a stream key: rtmp://host/app/key");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("rtmp://live.example.com/app/stream-key", "live.example.com", 1935, "app", "stream-key", "rtmp://live.example.com/app/…"),
            ("RTMPS://h:8443/a/b/c?x=1&y=/2", "h", 8443, "a/b", "c?x=1&y=/2", "rtmps://h:8443/a/b/…"),
            ("rtmps://[::1]/a/k", "::1", 443, "a", "k", "rtmps://[::1]/a/…"),
            ("rtmp://[::1]:1936/a//k/", "::1", 1936, "a", "k", "rtmp://[::1]:1936/a/…"),
        ];
        for (url, host, port, app, key, shown) in cases {
            let target = TargetUrl::parse(url).unwrap();
            assert_eq!((target.host(), target.port(), target.app(), target.reveal_key()), (host, port, app, key), "{url}");
            assert_eq!((target.to_string(), format!("{target:?}")), (shown.to_owned(), format!("TargetUrl({shown})")), "{url}");
            assert_eq!(target.reveal(), url);
        }
    }

    #[test]
    fn what_cannot_be_pushed_to_is_refused_without_repeating_it() {
        for bad in [
            "",
            "rtmp://",
            "rtmp://host",
            "rtmp://host/secretkey",
            "rtmp://host/app/",
            "rtmp:///app/secretkey",
            "rtmp://host:0/app/secretkey",
            "rtmp://host:x/app/secretkey",
            "rtmp://user:password@host/app/secretkey",
            "http://host/app/secretkey",
            "rtmp://host/app/secret key",
        ] {
            let error = TargetUrl::parse(bad).unwrap_err().to_string();
            assert!(error.contains("target_url") && !error.contains("secret") && !error.contains("password"), "{bad}: {error}");
        }
    }

    #[test]
    fn keys_are_taken_out_of_other_peoples_words() {
        let target = TargetUrl::parse("rtmp://h/app/live_s3cret?token=abcdef&t=1").unwrap();
        for words in
            ["no live_s3cret here", "no live_s3cret?token=abcdef&t=1 here", "token abcdef", "rtmp://h/app/live_s3cret?token=abcdef&t=1: no"]
        {
            let cleaned = target.cleaned(words);
            assert!(cleaned.contains('…') && !cleaned.contains("s3cret") && !cleaned.contains("abcdef"), "{cleaned}");
        }
        assert_eq!(target.cleaned("the server is full"), "the server is full");
    }
}
