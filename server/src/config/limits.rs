//! How much there may be of what others bring, and how long they may take.

use std::time::Duration;

use clap::Args;

/// The limits. Over one, a call is answered 503 with `Retry-After`, and a socket is closed with a reason.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Viewers of streams and of the feed together.
    #[arg(long, env = "CROSSPOINT_MAX_VIEWERS", value_name = "NUMBER", default_value = "1000")]
    pub max_viewers: usize,
    /// Sockets of publishers at one time, those that are being closed included.
    #[arg(long, env = "CROSSPOINT_MAX_PUBLISHERS", value_name = "NUMBER", default_value = "64")]
    pub max_publishers: usize,
    /// WebRTC peers, publishers and viewers together.
    #[arg(long, env = "CROSSPOINT_MAX_PEERS", value_name = "NUMBER", default_value = "1000")]
    pub max_peers: usize,
    /// Those of them that were answered and are not connected yet: a second's worth of handshakes.
    #[arg(long, env = "CROSSPOINT_MAX_CONNECTING", value_name = "NUMBER", default_value = "64")]
    pub max_connecting: usize,
    /// The same of one address; behind a port mapping all callers may have the same [default: that of --max-connecting].
    #[arg(long, env = "CROSSPOINT_MAX_CONNECTING_PER_HOST", value_name = "NUMBER")]
    pub max_connecting_per_host: Option<usize>,
    /// The longest WebSocket message; k and M are 1024 and 1024 × 1024 bytes.
    #[arg(long = "max-message", env = "CROSSPOINT_MAX_MESSAGE", value_name = "BYTES", default_value = "16M", value_parser = parse_bytes)]
    pub max_message_bytes: usize,
    /// Connections that have not said yet what they want, or are between two calls: beyond it the one that is silent for longest goes.
    #[arg(long, env = "CROSSPOINT_MAX_WAITING", value_name = "NUMBER", default_value = "1024", value_parser = parse_waiting)]
    pub max_waiting: usize,
    /// How long a connection may take to say its first byte: seconds, or like 500ms.
    #[arg(long, env = "CROSSPOINT_FIRST_BYTE", value_name = "TIME", default_value = "10", value_parser = parse_time)]
    pub first_byte: Duration,
    /// How long a viewer may read nothing, and a publisher stop within a message.
    #[arg(long, env = "CROSSPOINT_STALL", value_name = "TIME", default_value = "10", value_parser = parse_time)]
    pub stall: Duration,
    /// How long the peer of a WebSocket may say nothing before it is pinged: less than proxies usually grant. Of three pings it has to
    /// answer one.
    #[arg(long, env = "CROSSPOINT_KEEP_ALIVE", value_name = "TIME", default_value = "20", value_parser = parse_time)]
    pub keep_alive: Duration,
    /// How long everyone may take to end when the server does.
    #[arg(long, env = "CROSSPOINT_DRAIN", value_name = "TIME", default_value = "5", value_parser = parse_time)]
    pub drain: Duration,
}

/// Seconds, or a number with `s` or `ms` behind it.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (digits, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1.0),
        (None, Some(digits)) => (digits, 1e3),
        (None, None) => (text, 1e3),
    };
    let milliseconds = digits.parse::<f64>().map_or(f64::NAN, |number| number * unit_ms);
    if (1.0..=86_400_000.0).contains(&milliseconds) {
        return Ok(Duration::from_secs_f64(milliseconds / 1e3));
    }
    Err("a time is seconds like 5 or 0.5, or like 500ms: at least 1ms and at most a day".to_owned())
}

fn parse_bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match (text.strip_suffix(['k', 'K']), text.strip_suffix(['m', 'M'])) {
        (Some(digits), _) => (digits, 1 << 10),
        (None, Some(digits)) => (digits, 1 << 20),
        (None, None) => (text, 1),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    // A single frame of a gigabyte would be gathered before it is handed on.
    bytes.filter(|bytes| (1 << 10..=256 << 20).contains(bytes)).ok_or_else(|| "a message is at most 1k to 256M bytes long".to_owned())
}

fn parse_waiting(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "at least one has to be let in".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_parse() {
        let times = [("5", 5_000), ("500ms", 500), ("2s", 2_000), ("0.5", 500), ("1ms", 1)];
        for (text, milliseconds) in times {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "0", "-1", "5m", "ms", "1e9", "NaN", "inf"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        let sizes = [("16M", 16 << 20), ("64k", 64 << 10), ("2048", 2048)];
        for (text, bytes) in sizes {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "1G", "-1", "1T", "257M"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert!(parse_waiting("0").is_err() && parse_waiting("1").is_ok());
    }
}
