//! A WebRTC viewer without a socket or a clock: datagrams and the time go in, datagrams and packets come out.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::tally::Tally;

/// The peer. What it gets it decrypts, and puts into an [`Account`].
pub(crate) struct Peer {
    pub(crate) rtc: Rtc,
    local: SocketAddr,
    now: Instant,
}

/// What a viewer got.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) is_connected: bool,
    pub(crate) tally: Tally,
    /// The bytes of payloads.
    pub(crate) bytes: u64,
    /// Pictures that were whole as far as they came in order: the time they are of (90 kHz), and when their last packet came.
    pub(crate) pictures: Vec<(u64, Instant)>,
}

/// What comes out.
pub(crate) enum Polled {
    /// Nothing before.
    Due(Instant),
    /// A packet that is in the account.
    Packet(Box<RtpPacket>),
    Send(Transmit),
}

impl Peer {
    pub(crate) fn new(local: SocketAddr, now: Instant) -> Result<Self> {
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp")?);
        Ok(Self { rtc, local, now })
    }

    /// Takes a datagram.
    pub(crate) fn take(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) -> Result<()> {
        self.now = now;
        // What a bad link made of it may be nothing that can be understood.
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, datagram) else { return Ok(()) };
        Ok(self.rtc.handle_input(Input::Receive(now, receive))?)
    }

    /// Lets what is due happen.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<()> {
        self.now = now;
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    /// What is there to do. It has to be asked until nothing is.
    pub(crate) fn poll(&mut self, account: &mut Account) -> Result<Polled> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(Polled::Due(at)),
                Output::Transmit(transmit) => return Ok(Polled::Send(transmit)),
                Output::Event(Event::Connected) => account.is_connected = true,
                Output::Event(Event::RtpPacket(packet)) => {
                    account.tally.take(*packet.seq_no);
                    account.bytes += packet.payload.len() as u64;
                    if packet.header.marker {
                        account.pictures.push((packet.time.numer(), self.now));
                    }
                    return Ok(Polled::Packet(Box::new(packet)));
                }
                Output::Event(_) => {}
            }
        }
    }
}
