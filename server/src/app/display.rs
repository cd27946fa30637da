//! Whether a display is there, without becoming its client.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Whether the X server behind a name takes connections. One on another machine is taken at its word: asking would be waiting.
pub(super) fn answers(name: &str) -> bool {
    let Some(number) = local_number(name) else { return true };
    let path = format!("/tmp/.X11-unix/X{number}");
    // As Xlib does: the abstract name first, which needs no file.
    [SocketAddrUnix::new_abstract_name(path.as_bytes()), SocketAddrUnix::new(&path)].into_iter().any(|address| {
        // A server that hangs has a full queue, and is not waited for.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        address.and_then(|address| connect(&socket?, &address)).is_ok()
    })
}

/// The display's number, if it is on this machine.
fn local_number(name: &str) -> Option<u32> {
    let (host, rest) = name.rsplit_once(':')?;
    if !matches!(host, "" | "unix") {
        return None;
    }
    rest.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    use super::*;

    #[test]
    fn display_that_is_away_is_told_from_one_that_is_there() {
        let numbers = [(":0", Some(0)), (":12.1", Some(12)), ("unix:3", Some(3)), ("far:0", None), ("127.0.0.1:0", None), ("0", None)];
        for (name, number) in numbers {
            assert_eq!(local_number(name), number, "{name}");
        }
        let number = 100_000 + std::process::id();
        let name = format!(":{number}");
        assert!(!answers(&name) && answers("far.example:0"));
        let address = SocketAddr::from_abstract_name(format!("/tmp/.X11-unix/X{number}")).unwrap();
        let _server = UnixListener::bind_addr(&address).unwrap();
        assert!(answers(&name));
    }
}
