//! Many datagrams in one call: `sendmsg(2)` with `UDP_SEGMENT` (udp(7), Linux 4.18).

use std::ffi::c_void;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// The most datagrams that the kernel takes at once (`UDP_MAX_SEGMENTS`, 64 before Linux 6.9).
pub const MOST_SEGMENTS: usize = 64;

/// The most bytes of all of them: what one UDP datagram over IPv4 could hold.
pub const MOST_SEGMENTS_BYTES: usize = 65_507;

/// Sends `pieces`, one behind the other, to `destination` in one call, without waiting: as datagrams that are all `segment_bytes` long, but for
/// the last, which may be shorter. A piece may hold several of them.
///
/// Copies: 0 in this process.
///
/// # Errors
/// As `sendmsg(2)`: `WouldBlock` when the socket is full, `InvalidInput` where the kernel or the device does not do this. Either all were
/// sent or none.
pub fn send_segments(socket: impl AsFd, destination: SocketAddr, pieces: &[IoSlice<'_>], segment_bytes: u16) -> io::Result<()> {
    let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
    if segment_bytes == 0 || bytes.div_ceil(segment_bytes.into()) > MOST_SEGMENTS || bytes > MOST_SEGMENTS_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut address = Address::from(destination);
    let (name, name_bytes) = address.as_raw();
    let mut control = Control::segment_of(segment_bytes);
    let message = libc::msghdr {
        msg_name: name,
        msg_namelen: name_bytes,
        // `IoSlice` is an `iovec` on Unix (std promises it), and sending only reads it.
        msg_iov: pieces.as_ptr().cast::<libc::iovec>().cast_mut(),
        msg_iovlen: pieces.len(),
        msg_control: (&raw mut control).cast::<c_void>(),
        msg_controllen: size_of::<Control>(),
        msg_flags: 0,
    };
    // SAFETY: sendmsg(2) reads the message header, and through it `address`, the control bytes and as many `iovec`s as `msg_iovlen` says,
    // which is the slice's length; all four are borrowed or owned by this call, which outlives the system call.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A socket address as the kernel takes it.
enum Address {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl Address {
    fn as_raw(&mut self) -> (*mut c_void, libc::socklen_t) {
        // Both are a few dozen bytes.
        match self {
            Self::V4(address) => (ptr::from_mut(address).cast(), size_of::<libc::sockaddr_in>() as libc::socklen_t),
            Self::V6(address) => (ptr::from_mut(address).cast(), size_of::<libc::sockaddr_in6>() as libc::socklen_t),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(address) => Self::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            }),
        }
    }
}

/// One control message, laid out as cmsg(3) says: the header, the data at the next multiple of a word, and room up to the next one.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    segment_bytes: u16,
    padding: [u8; size_of::<usize>() - size_of::<u16>()],
}

// `CMSG_DATA` is where the data stands, and `CMSG_SPACE(2)` the whole, on every Linux whose header is a multiple of a word.
const _: () = assert!(size_of::<libc::cmsghdr>().is_multiple_of(size_of::<usize>()));
const _: () = assert!(size_of::<Control>() == size_of::<libc::cmsghdr>() + size_of::<usize>());

impl Control {
    fn segment_of(bytes: u16) -> Self {
        let header = libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<u16>(),
            cmsg_level: libc::SOL_UDP,
            cmsg_type: libc::UDP_SEGMENT,
        };
        Self { header, segment_bytes: bytes, padding: [0; _] }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    fn sent_and_received(bind: &str) -> Option<Vec<Vec<u8>>> {
        let (sender, receiver) = (UdpSocket::bind(bind).ok()?, UdpSocket::bind(bind).ok()?);
        receiver.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
        let datagrams: Vec<Vec<u8>> = (0..5_u8).map(|n| vec![n; if n == 4 { 100 } else { 1200 }]).collect();
        let slices: Vec<IoSlice<'_>> = datagrams.iter().map(|datagram| IoSlice::new(datagram)).collect();
        let destination = receiver.local_addr().expect("bound");
        match send_segments(&sender, destination, &slices, 1200) {
            Ok(()) => {}
            // A sandbox's kernel may not have it.
            Err(error) if error.raw_os_error() != Some(libc::EFAULT) => {
                eprintln!("no UDP_SEGMENT here: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        }
        let mut buffer = [0; 2000];
        let received: Vec<_> =
            datagrams.iter().map(|_| receiver.recv(&mut buffer).map(|n| buffer[..n].to_vec()).expect("a datagram")).collect();
        assert_eq!(received, datagrams, "each as it was");
        Some(received)
    }

    #[test]
    fn datagrams_arrive_one_by_one() {
        sent_and_received("127.0.0.1:0");
        sent_and_received("[::1]:0");
    }

    #[test]
    fn more_than_the_kernel_takes_is_refused_before_it_is_asked() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (byte, many) = ([0; 1], [0; 60_000]);
        let to = socket.local_addr().expect("bound");
        assert!(send_segments(&socket, to, &[IoSlice::new(&byte); 65], 1).is_err());
        assert!(send_segments(&socket, to, &[IoSlice::new(&many), IoSlice::new(&many)], 60_000).is_err());
    }
}
