//! The addresses that this machine has.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a peer elsewhere may reach us at, loopback and link-local ones left out; none where `/proc` does not tell.
pub(crate) fn local(with_v6: bool) -> Vec<IpAddr> {
    let v4 = std::fs::read_to_string("/proc/self/net/fib_trie").unwrap_or_default();
    let mut all: BTreeSet<IpAddr> = parse_v4(&v4).map(IpAddr::V4).collect();
    if with_v6 {
        let v6 = std::fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
        all.extend(parse_v6(&v6).map(IpAddr::V6));
    }
    all.into_iter().take(MOST).collect()
}

/// The addresses in the kernel's routing trie: each stands on a line of its own before one that calls it a local host.
fn parse_v4(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let lines = trie.lines().zip(trie.lines().skip(1));
    lines.filter_map(|(address, kind)| {
        let address = address.trim().strip_prefix("|-- ")?.parse::<Ipv4Addr>().ok()?;
        (kind.trim() == "/32 host LOCAL" && !address.is_loopback() && !address.is_link_local()).then_some(address)
    })
}

/// The addresses in the kernel's list of IPv6 interfaces.
fn parse_v6(list: &str) -> impl Iterator<Item = Ipv6Addr> {
    list.lines().filter_map(|line| {
        let bits = u128::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
        let address = Ipv6Addr::from_bits(bits);
        (!address.is_loopback() && !address.is_unicast_link_local()).then_some(address)
    })
}

/// More would only make an offerer try more pairs.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_kernels_lists() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(parse_v4(trie).collect::<Vec<_>>(), [Ipv4Addr::new(10, 0, 0, 7)]);
        let list = "00000000000000000000000000000001 01 80 10 80       lo\nfe800000000000000042acfffe110002 02 40 20 80     eth0\n20010db8000000000000000000000002 02 40 00 80     eth0\n";
        assert_eq!(parse_v6(list).collect::<Vec<_>>(), ["2001:db8::2".parse::<Ipv6Addr>().unwrap()]);
        assert_eq!(parse_v6("rubbish\n\n").count(), 0);
    }
}
