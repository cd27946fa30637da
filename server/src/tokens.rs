//! The tokens that are in force: those of the flags and those of a file, which may change while we run.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::config::{Config, Grant, Token, tokens_in};
use crate::stamp::Stamp;

/// What callers must know, if they must.
#[derive(Debug)]
pub(crate) struct Tokens {
    fixed: Vec<Token>,
    file: Option<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    read: RefCell<(Stamp, Vec<Token>)>,
}

impl Tokens {
    /// Takes what the flags say.
    ///
    /// # Errors
    /// When the file cannot be read or is none of tokens.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let file = config.token_file.as_ref().map(|path| {
            let stamp = Stamp::of(path);
            let tokens = read(path).map_err(|cause| Error::TokenFile { path: path.clone(), cause })?;
            Ok::<_, Error>(File { path: path.clone(), read: RefCell::new((stamp, tokens)) })
        });
        Ok(Self { fixed: config.token.clone(), file: file.transpose()? })
    }

    /// Whether callers must know any.
    pub(crate) fn are_asked_for(&self) -> bool {
        !self.fixed.is_empty() || self.file.is_some()
    }

    /// What `secret` is good for.
    pub(crate) fn grants(&self, secret: &str) -> Vec<Grant> {
        let Some(file) = &self.file else { return Token::grants(&self.fixed, secret) };
        let now = Stamp::of(&file.path);
        let (stamp, tokens) = &mut *file.read.borrow_mut();
        if *stamp != now {
            *stamp = now;
            match read(&file.path) {
                Ok(fresh) => *tokens = fresh,
                Err(error) => tracing::warn!(error, "the token file changed and cannot be used, going on with the old tokens"),
            }
        }
        Token::grants(self.fixed.iter().chain(tokens.iter()), secret)
    }
}

fn read(path: &Path) -> Result<Vec<Token>, String> {
    fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| tokens_in(&text))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Cli;

    #[test]
    fn file_is_read_again_and_a_bad_one_keeps_the_old_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let replace = |text: &str| {
            let fresh = path.with_extension("part");
            fs::write(&fresh, text).unwrap();
            fs::rename(fresh, &path).unwrap();
        };
        replace("view:the-first-one\n");
        let flags = ["crosspoint", "--token=control:fixed-one", "--token-file", path.to_str().unwrap()];
        let tokens = Tokens::new(&Cli::parse_from(flags).config).unwrap();
        assert!(tokens.are_asked_for());
        assert_eq!((tokens.grants("the-first-one"), tokens.grants("fixed-one")), (vec![Grant::View], vec![Grant::Control]));
        replace("publish:the-second-one\n");
        assert_eq!((tokens.grants("the-first-one"), tokens.grants("the-second-one")), (Vec::new(), vec![Grant::Publish]));
        for bad in ["", "x\n"] {
            replace(bad);
            assert_eq!(tokens.grants("the-second-one"), [Grant::Publish], "{bad:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(tokens.grants("the-second-one"), [Grant::Publish]);
        assert!(Tokens::new(&Cli::parse_from(flags).config).unwrap_err().to_string().contains("--token-file"));
    }
}
