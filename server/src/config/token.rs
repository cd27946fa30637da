//! Secrets that open calls.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// What a token is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grant {
    /// Every call.
    All,
    /// The calls that say what runs, and tell it.
    Control,
    /// The calls that bring media.
    Publish,
    /// The calls that show media.
    View,
}

/// A secret and what it is good for. Only its digest is kept.
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    grant: Grant,
    digest: [u8; 32],
}

impl Token {
    /// What a secret is good for by these tokens: the comparison takes as long whatever it is.
    pub fn grants<'a>(tokens: impl IntoIterator<Item = &'a Self>, secret: &str) -> Vec<Grant> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let compared: Vec<(Choice, Grant)> = tokens.into_iter().map(|token| (token.digest.ct_eq(&digest), token.grant)).collect();
        compared.into_iter().filter(|(same, _)| bool::from(*same)).map(|(_, grant)| grant).collect()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.grant)
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (grant, secret) = match text.split_once(':') {
            Some(("all", secret)) => (Grant::All, secret),
            Some(("control", secret)) => (Grant::Control, secret),
            Some(("publish", secret)) => (Grant::Publish, secret),
            Some(("view", secret)) => (Grant::View, secret),
            Some(_) => return Err("a token is SECRET, or SCOPE:SECRET where the scope is all, control, publish or view".to_owned()),
            None => (Grant::All, text),
        };
        // What a header and an address carry as it is (RFC 6750, b64token, and RFC 3986, unreserved).
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if secret.len() < MIN_BYTES || !secret.bytes().all(plain) {
            return Err(format!("a token's secret is {MIN_BYTES} or more letters, digits or -._~+/="));
        }
        Ok(Self { grant, digest: Sha256::digest(secret).into() })
    }
}

/// Reads the tokens of a file: one a line; empty lines and those that begin with `#` are none.
///
/// # Errors
/// When a line is no token, or there is none: a file that was emptied must not open the door.
pub fn tokens_in(text: &str) -> Result<Vec<Token>, String> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let tokens = lines.map(|(number, line)| line.parse().map_err(|error| format!("line {}: {error}", number + 1)));
    let tokens: Vec<Token> = tokens.collect::<Result<_, _>>()?;
    if tokens.is_empty() { Err("there is no token in it".to_owned()) } else { Ok(tokens) }
}

/// Fewer can be guessed.
const MIN_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_grant_their_scope_and_hide_their_secret() {
        let tokens =
            tokens_in("# ours\n\nopensesame\n  view:just-looking\npublish:camera-one\ncontrol:operator\nview:opensesame\n").unwrap();
        let cases = [
            ("opensesame", &[Grant::All, Grant::View][..]),
            ("just-looking", &[Grant::View]),
            ("camera-one", &[Grant::Publish]),
            ("operator", &[Grant::Control]),
            ("Opensesame", &[]),
            ("opensesam", &[]),
            ("view:just-looking", &[]),
            ("", &[]),
        ];
        for (secret, grants) in cases {
            assert_eq!(Token::grants(&tokens, secret), grants, "{secret}");
        }
        assert!(!format!("{tokens:?}").contains("sesame"));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for bad in ["", "short", "view:", "view:short", "watch:long-enough", "with space", "with\"quote", "umläut-secret"] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
        assert!(tokens_in("# none\n").unwrap_err().contains("no token"));
        assert!(tokens_in("opensesame\nx").unwrap_err().contains("line 2"));
    }
}
