//! The keys of SRTP, out of the DTLS handshake that str0m runs (RFC 5764).
//!
//! str0m makes an SRTP context of the keying material that a handshake comes to, and would seal its own reports with it. But packets are
//! sealed here, with the same keys, and a key and an index that are used twice are a break, not a blemish: AES-GCM gives away the exclusive
//! or of both texts and the key of its authentication then, AES-CM the former. So there is one user of the keys. The DTLS of this provider
//! is str0m's own, but for the material, which it holds back: str0m never has an SRTP context, opens nothing, and can seal nothing.
//!
//! What str0m 0.25 does without one, in RTP mode: it connects, and says so ([`str0m::Event::Connected`]). It says nothing that has to do
//! with media, neither `MediaAdded` nor `KeyframeRequest`, and `Rtc::is_connected` stays false. What it would send as RTCP is written and
//! dropped, which is work for nothing: give it report intervals without end, or nearly. What `StreamTx::write_rtp` is given piles up.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

/// What both directions' keys are made of.
pub(super) struct Keys {
    /// The client's key, the server's, the client's salt, the server's (RFC 5764, section 4.2).
    pub(super) material: KeyingMaterial,
    pub(super) profile: SrtpProfile,
    /// Whether we were the client.
    pub(super) is_client: bool,
}

/// str0m's crypto, but for the keys of SRTP: those are to be had from [`take`]. It is made once in a process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || Arc::new(CryptoProvider { dtls_provider: &Holding, ..from_feature_flags() });
    Arc::clone(PROVIDER.get_or_init(make))
}

/// The keys that a handshake on this thread came to since this was asked last.
///
/// Ask after each `poll_output` of an `Rtc` that is not connected yet: they are of that one.
pub(super) fn take() -> Option<Keys> {
    HELD.take()
}

thread_local! {
    /// str0m hides its DTLS, which is why its keys are left here: it runs inside of a call, and its caller takes them right after.
    static HELD: Cell<Option<Keys>> = const { Cell::new(None) };
}

/// Makes the DTLS that holds keys back.
#[derive(Debug)]
struct Holding;

impl DtlsProvider for Holding {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let dtls = from_feature_flags().dtls_provider.new_dtls(cert, now, version, mtu)?;
        Ok(Box::new(Held { dtls, now }))
    }

    fn is_test(&self) -> bool {
        from_feature_flags().dtls_provider.is_test()
    }
}

/// A DTLS that holds its keys back.
#[derive(Debug)]
struct Held {
    dtls: Box<dyn DtlsInstance>,
    /// When it was last told the time.
    now: Instant,
}

impl DtlsInstance for Held {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.dtls.poll_output(buf);
        let DtlsOutput::KeyingMaterial(material, profile) = output else { return output };
        HELD.set(Some(Keys { material, profile, is_client: self.dtls.is_active() }));
        // In its place: poll again, at once. (The next output cannot be had here, as `buf` is lent to this one.)
        DtlsOutput::Timeout(self.now)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("profile", &self.profile).field("is_client", &self.is_client).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
