//! The UDP socket that all WebRTC peers share.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};

use crosspoint_ffi::udp::{MOST_SEGMENTS, MOST_SEGMENTS_BYTES, send_segments};
use rustix::net::sockopt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The socket; addresses come out and go in as peers know them, whatever the socket's own family.
///
/// What goes to one peer in a row goes in one call, as far as the kernel does that (`UDP_SEGMENT`): [`Udp::queue`] gathers it and
/// [`Udp::flush`] sends it. Sending never waits; what the socket does not take is dropped and counted.
///
/// Nobody waits until it takes more, so that is not watched for: it would wake the thread after each datagram that a receiver has read.
///
/// Copies: 0.
pub(crate) struct Udp {
    socket: AsyncFd<UdpSocket>,
    is_v6: bool,
    /// Whether the kernel takes several at once.
    segments: Cell<bool>,
    dropped: Cell<u64>,
    run: RefCell<Run>,
}

/// Datagrams of one size, but for the last, which may be shorter, to one destination.
#[derive(Default)]
struct Run {
    destination: Option<SocketAddr>,
    /// The datagrams, one behind the other.
    pieces: Vec<Vec<u8>>,
    bytes: usize,
    segment_bytes: usize,
}

impl Udp {
    /// Binds it.
    ///
    /// # Errors
    /// When the address cannot be had.
    #[expect(deprecated, reason = "the call that takes its place is unsafe, for owners whose descriptor may change; a socket's does not")]
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        // A burst of one picture for each of many viewers; what the kernel does not allow it cuts down.
        let _ = sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES);
        let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self { socket, is_v6: address.is_ipv6(), segments: Cell::new(true), dropped: Cell::new(0), run: RefCell::default() })
    }

    /// Where it is bound.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// Waits until there may be a datagram.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await.map(drop)
    }

    /// Takes the next datagram, if there is one.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, source) = self.socket.try_io(Interest::READABLE, |socket| socket.recv_from(buffer))?;
        Ok((length, SocketAddr::new(source.ip().to_canonical(), source.port())))
    }

    /// Sends datagrams with those before them, by the next [`Udp::flush`] at the latest. They are all `segment_bytes` long, but for the last,
    /// which may be shorter.
    pub(crate) fn queue(&self, destination: SocketAddr, datagrams: Vec<u8>, segment_bytes: usize) {
        let mut run = self.run.borrow_mut();
        if !run.fits(destination, datagrams.len(), segment_bytes) {
            self.send(&mut run);
        }
        if run.pieces.is_empty() {
            (run.destination, run.segment_bytes) = (Some(destination), segment_bytes);
        }
        run.bytes += datagrams.len();
        run.pieces.push(datagrams);
    }

    /// How many datagrams the socket did not take.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Sends what is queued.
    pub(crate) fn flush(&self) {
        self.send(&mut self.run.borrow_mut());
    }

    fn send(&self, run: &mut Run) {
        let Run { destination, pieces, bytes, segment_bytes } = std::mem::take(run);
        let Some(destination) = destination.map(|destination| self.outward(destination)) else { return };
        debug_assert_eq!(bytes, pieces.iter().map(Vec::len).sum::<usize>());
        if bytes > segment_bytes && self.segments.get() {
            match self.send_at_once(destination, &pieces, segment_bytes) {
                // A full socket loses what any link may lose.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    let refused = error.kind() == io::ErrorKind::InvalidInput || error.kind() == io::ErrorKind::Unsupported;
                    if refused {
                        tracing::info!(%error, "this kernel sends datagrams one by one");
                        self.segments.set(false);
                    }
                }
                Ok(()) => return,
                Err(_) => return self.dropped.set(self.dropped.get() + bytes.div_ceil(segment_bytes) as u64),
            }
        }
        for datagram in pieces.iter().flat_map(|piece| piece.chunks(segment_bytes)) {
            if let Err(error) = self.socket.get_ref().send_to(datagram, destination) {
                // An address of an offer that cannot be reached from here is no news.
                tracing::trace!(%error, "sending a datagram");
                self.dropped.set(self.dropped.get() + 1);
            }
        }
    }

    fn send_at_once(&self, destination: SocketAddr, pieces: &[Vec<u8>], segment_bytes: usize) -> io::Result<()> {
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let segment_bytes = u16::try_from(segment_bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        send_segments(self.socket.get_ref(), destination, &slices, segment_bytes)
    }

    /// The address in the socket's own family.
    fn outward(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(ip) if self.is_v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => address,
        }
    }
}

impl Run {
    fn fits(&self, destination: SocketAddr, bytes: usize, segment_bytes: usize) -> bool {
        if self.pieces.is_empty() {
            return true;
        }
        let is_alike = segment_bytes == self.segment_bytes || bytes <= segment_bytes && bytes <= self.segment_bytes;
        let together = self.bytes + bytes;
        self.destination == Some(destination)
            && is_alike
            && self.bytes.is_multiple_of(self.segment_bytes)
            && together.div_ceil(self.segment_bytes) <= MOST_SEGMENTS
            && together <= MOST_SEGMENTS_BYTES
    }
}

/// A picture of 20 kB for 200 viewers.
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// A key frame of every publisher there may be.
const RECEIVE_BUFFER_BYTES: usize = 2 << 20;
