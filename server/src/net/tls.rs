//! TLS: the certificate that we show, and the check of those that we are shown.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::io::BufReader;
use tokio::net::TcpStream;

use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig, crypto};
use tokio_rustls::{TlsAcceptor, TlsConnector, server};

use crate::Error;
use crate::config::{Config, TlsChoice};
use crate::stamp::Stamp;

/// What is inside TLS, with what was read to tell what it is.
pub(crate) type Secure = BufReader<server::TlsStream<TcpStream>>;

/// The server's side of TLS.
pub(crate) struct Tls {
    folder: Option<PathBuf>,
    choice: TlsChoice,
    named: Option<Named>,
    own: OnceLock<TlsAcceptor>,
}

/// A certificate in files, which may become another's while we run.
struct Named {
    certificate: PathBuf,
    key: PathBuf,
    read: RefCell<([Stamp; 2], TlsAcceptor)>,
}

impl Tls {
    /// Reads the certificate that the flags name. Without one a certificate that we sign ourselves is read or made when it is first needed.
    ///
    /// # Errors
    /// When the flags name what is no certificate, or no key of it.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let named = match (&config.tls_cert, &config.tls_key) {
            (Some(certificate), Some(key)) => Some(Named::read(certificate.clone(), key.clone())?),
            (None, _) | (_, None) => None,
        };
        Ok(Self { folder: config.state_folder.clone(), choice: config.tls, named, own: OnceLock::new() })
    }

    /// What takes connections in.
    ///
    /// # Errors
    /// When no certificate can be made, or TLS is not to be spoken.
    pub(crate) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        if self.choice == TlsChoice::Off {
            return Err(io::Error::other("tls is off (--tls)"));
        }
        if let Some(named) = &self.named {
            return Ok(named.acceptor());
        }
        if let Some(acceptor) = self.own.get() {
            return Ok(acceptor.clone());
        }
        let acceptor = self.own()?;
        Ok(self.own.get_or_init(|| acceptor).clone())
    }

    /// The certificate of an earlier run, or a new one that is kept if there is a place to keep it: who has once trusted it by hand need
    /// not do it again.
    fn own(&self) -> io::Result<TlsAcceptor> {
        let path = self.folder.as_ref().map(|folder| folder.join(OWN_FILE));
        if let Some(kept) = path.as_ref().and_then(|path| fs::read(path).ok()).and_then(|pem| acceptor_of(&pem).ok()) {
            return Ok(kept);
        }
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let pem = made.signing_key.serialize_pem() + &made.cert.pem();
        if let Some(path) = path {
            match keep(&path, &pem) {
                Ok(()) => tracing::info!(path = %path.display(), "made a certificate for TLS"),
                Err(error) => tracing::info!(path = %path.display(), %error, "made a certificate for TLS; it cannot be kept"),
            }
        }
        acceptor_of(pem.as_bytes())
    }
}

impl Named {
    fn read(certificate: PathBuf, key: PathBuf) -> Result<Self, Error> {
        let stamp = [Stamp::of(&certificate), Stamp::of(&key)];
        let acceptor = named(&certificate, &key)?;
        Ok(Self { certificate, key, read: RefCell::new((stamp, acceptor)) })
    }

    /// By the files as they are now; where they are no pair, perhaps because only one is written yet, as they were.
    fn acceptor(&self) -> TlsAcceptor {
        let now = [Stamp::of(&self.certificate), Stamp::of(&self.key)];
        let (stamp, acceptor) = &mut *self.read.borrow_mut();
        if *stamp != now {
            *stamp = now;
            match named(&self.certificate, &self.key) {
                Ok(fresh) => {
                    tracing::info!("the certificate was read again");
                    *acceptor = fresh;
                }
                Err(error) => tracing::warn!(%error, "the certificate changed and cannot be used, going on with the old one"),
            }
        }
        acceptor.clone()
    }
}

/// What connects to servers whose certificates the machine's authorities vouch for, or those in `SSL_CERT_FILE`. Reads files.
///
/// # Errors
/// When there are no authorities.
pub(crate) fn connector() -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        let message = format!("there are no certificate authorities here{why}: install ca-certificates or set SSL_CERT_FILE");
        return Err(io::Error::other(message));
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

/// What takes connections in by a certificate and its key in two files. The error names the file that is wrong.
fn named(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |cause| Error::Certificate { path, cause }
    };
    let chain = fs::read(certificate).and_then(|pem| chain_in(&pem)).map_err(at(certificate))?;
    let secret = fs::read(key).and_then(|pem| key_in(&pem)).map_err(at(key))?;
    acceptor(chain, secret).map_err(|cause| {
        if matches!(cause, rustls::Error::InconsistentKeys(_)) {
            return at(key)(io::Error::other(format!("this is not the key of {}", certificate.display())));
        }
        at(certificate)(io::Error::other(cause))
    })
}

/// The same by both in one file.
fn acceptor_of(pem: &[u8]) -> io::Result<TlsAcceptor> {
    acceptor(chain_in(pem)?, key_in(pem)?).map_err(io::Error::other)
}

fn chain_in(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(io::Error::other)?;
    if chain.is_empty() { Err(io::Error::other("there is no certificate in it")) } else { Ok(chain) }
}

fn key_in(pem: &[u8]) -> io::Result<PrivateKeyDer<'static>> {
    let none = |error: &pem::Error| matches!(error, pem::Error::NoItemsFound);
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| if none(&error) { io::Error::other("there is no private key in it") } else { io::Error::other(error) })
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?)))
}

/// Writes beside `path` and renames, readable by nobody else.
fn keep(path: &Path, pem: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(pem.as_bytes())?;
    fs::rename(part, path)
}

/// Certificate and key that we made ourselves.
const OWN_FILE: &str = "tls.pem";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn tls(folder: Option<PathBuf>) -> Tls {
        Tls { folder, choice: TlsChoice::SelfSigned, named: None, own: OnceLock::new() }
    }

    #[test]
    fn own_certificate_is_kept_for_the_next_run() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("state/crosspoint");
        tls(Some(folder.clone())).acceptor().unwrap();
        let kept = fs::read(folder.join(OWN_FILE)).unwrap();
        assert_eq!(fs::metadata(folder.join(OWN_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        tls(Some(folder.clone())).acceptor().unwrap();
        assert_eq!(fs::read(folder.join(OWN_FILE)).unwrap(), kept);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");

        fs::write(folder.join(OWN_FILE), "rubbish").unwrap();
        tls(Some(folder.clone())).acceptor().unwrap();
        assert_ne!(fs::read(folder.join(OWN_FILE)).unwrap(), b"rubbish");
    }

    #[test]
    fn certificate_that_cannot_be_kept_serves_all_the_same() {
        assert!(tls(None).acceptor().is_ok());
        assert!(tls(Some("/proc/crosspoint".into())).acceptor().is_ok());
    }

    #[test]
    fn certificate_that_changes_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let replace = |path: &Path, text: String| {
            let fresh = path.with_extension("part");
            fs::write(&fresh, text).unwrap();
            fs::rename(fresh, path).unwrap();
        };
        let first = pair();
        replace(&certificate, first.cert.pem());
        replace(&key, first.signing_key.serialize_pem());
        let named = Named::read(certificate.clone(), key.clone()).unwrap();
        let config = |named: &Named| Arc::as_ptr(named.acceptor().config());
        let before = config(&named);
        assert_eq!(config(&named), before, "nothing changed");

        let second = pair();
        replace(&certificate, second.cert.pem());
        assert_eq!(config(&named), before, "half of a pair is not used");
        replace(&key, second.signing_key.serialize_pem());
        assert_ne!(config(&named), before);
    }
}
