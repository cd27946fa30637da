//! Where a source that we fetch ourselves is.

use std::fmt;
use std::path::{Path, PathBuf};

/// A source that we fetch ourselves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pulled {
    /// Where it is.
    pub location: Location,
    /// Whether it begins again when it ends.
    pub repeat: bool,
}

/// Where a source that we fetch ourselves is. Written out ([`fmt::Display`]) it has lost what may be secret: user, password and query.
#[derive(Clone, Eq, PartialEq)]
pub enum Location {
    /// A file on this machine.
    File {
        /// Its path.
        path: PathBuf,
        /// How the caller called it.
        url: String,
    },
    /// Something with a URL of one of [`STREAM_SCHEMES`].
    Stream(String),
}

/// A text that names no [`Location`], and what would.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct BadLocation(String);

/// What a `stream` may be fetched by.
pub const STREAM_SCHEMES: [&str; 8] = ["http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "srt", "udp"];

impl Location {
    /// Takes the URL of a `stream`.
    ///
    /// # Errors
    /// When it is no URL, or its protocol is not one of [`STREAM_SCHEMES`].
    pub fn stream(url: &str) -> Result<Self, BadLocation> {
        let url = url.trim();
        let expected = || BadLocation(format!("the url of a stream begins with {}://", STREAM_SCHEMES.join("://, ")));
        let (scheme, rest) = url.split_once("://").ok_or_else(expected)?;
        let scheme = scheme.to_ascii_lowercase();
        if !STREAM_SCHEMES.contains(&scheme.as_str()) {
            return Err(expected());
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.rsplit('@').next().is_none_or(str::is_empty) {
            return Err(BadLocation("the url of a stream names a host".to_owned()));
        }
        if url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return Err(BadLocation("the url of a stream has neither spaces nor control characters: write them as %20".to_owned()));
        }
        // A fragment is never sent, and FFmpeg would send it.
        let rest = rest.split('#').next().unwrap_or_default();
        Ok(Self::Stream(format!("{scheme}://{rest}")))
    }

    /// Takes the URL of a `file`: a path, or `file://` and a path with its odd characters as `%20`.
    ///
    /// # Errors
    /// When it is a URL of another kind, names another machine, or holds a byte that no path has.
    pub fn file(url: &str) -> Result<Self, BadLocation> {
        let trimmed = url.trim();
        let scheme = trimmed.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("file://"));
        let path = if scheme.is_some() {
            let rest = &trimmed[7..];
            let slash = rest.find('/').ok_or_else(|| BadLocation("the url of a file is file:// and an absolute path".to_owned()))?;
            if !rest[..slash].is_empty() && !rest[..slash].eq_ignore_ascii_case("localhost") {
                return Err(BadLocation("the url of a file names no other machine: write file:///path".to_owned()));
            }
            decoded(&rest[slash..])?
        } else if trimmed.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            return Err(BadLocation("the url of a file is a path or file:// and a path; for anything else the type is stream".to_owned()));
        } else {
            trimmed.to_owned()
        };
        if path.contains('\0') {
            return Err(BadLocation("the path of a file holds no zero byte".to_owned()));
        }
        Ok(Self::File { path: path.into(), url: trimmed.to_owned() })
    }

    /// A message about it in which its URL has lost what may be secret.
    #[must_use]
    pub fn cleaned(&self, message: &str) -> String {
        let (Self::File { url, .. } | Self::Stream(url)) = self;
        message.replace(url.as_str(), &self.to_string())
    }

    /// The path, if it is a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Stream(_) => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::File { url, .. } | Self::Stream(url)) = self;
        f.write_str(&without_secrets(url))
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { .. } => write!(f, "File({self})"),
            Self::Stream(_) => write!(f, "Stream({self})"),
        }
    }
}

/// The URL without user, password and query; a path as it is.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

fn decoded(path: &str) -> Result<String, BadLocation> {
    let odd = || BadLocation("the url of a file has a % that no two hexadecimal digits follow, or that makes no UTF-8".to_owned());
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(odd()) };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| odd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_a_protocol_that_is_fetched() {
        let cases = [
            ("http://example.com/a.m3u8", true),
            ("HTTPS://example.com", true),
            (" rtsp://cam:554/1 ", true),
            ("srt://10.0.0.1:9000?mode=caller", true),
            ("udp://239.0.0.1:1234", true),
            ("file:///etc/passwd", false),
            ("concat:http://a/b", false),
            ("http://", false),
            ("http:///a", false),
            ("http://user@/a", false),
            ("http://a/b c", false),
            ("http://a/b\r\nX: y", false),
            ("/a.mp4", false),
            ("data:text/plain,x", false),
            ("", false),
        ];
        for (url, good) in cases {
            assert_eq!(Location::stream(url).is_ok(), good, "{url}");
        }
    }

    #[test]
    fn files_are_paths_or_file_urls() {
        let cases = [
            ("/media/a b.mp4", Some("/media/a b.mp4")),
            ("/media/100%.mp4", Some("/media/100%.mp4")),
            ("clip.mp4", Some("clip.mp4")),
            ("file:///media/a%20b.mp4", Some("/media/a b.mp4")),
            ("FILE://localhost/a.mp4", Some("/a.mp4")),
            ("file:///caf%C3%A9.mp4", Some("/café.mp4")),
            ("file://example.com/a.mp4", None),
            ("file://a.mp4", None),
            ("file:///a%2", None),
            ("file:///a%00b", None),
            ("file:///%ff", None),
            ("http://example.com/a.mp4", None),
        ];
        for (url, path) in cases {
            assert_eq!(Location::file(url).ok().as_ref().and_then(Location::path), path.map(Path::new), "{url}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_written_out() {
        let cases = [
            ("http://user:pass@example.com:8080/a/b.m3u8?token=x", "http://example.com:8080/a/b.m3u8"),
            ("https://example.com?token=x", "https://example.com"),
            ("rtmp://a@b@host/app/key", "rtmp://host/app/key"),
        ];
        for (url, shown) in cases {
            let location = Location::stream(url).unwrap();
            assert_eq!(location.to_string(), shown);
            assert_eq!(format!("{location:?}"), format!("Stream({shown})"));
            assert_eq!(location.cleaned(&format!("opening {url}: refused")), format!("opening {shown}: refused"));
        }
        assert_eq!(Location::file("/a?b.mp4").unwrap().to_string(), "/a?b.mp4");
    }
}
