//! The text of an answer.

/// Puts all tracks of an answer into one media stream.
///
/// `str0m` gives each track a stream of its own; a page that takes `e.streams[0]` of its last `track` event, as the specification's
/// does, would then have pictures or sound, not both (RFC 8830, 2).
pub(super) fn in_one_stream(sdp: &str) -> String {
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.split_inclusive('\n') {
        if line.starts_with("a=msid-semantic:") {
            out.push_str("a=msid-semantic: WMS ");
            out.push_str(STREAM);
            out.push_str("\r\n");
        } else if let Some(track) = track_of(line, "a=msid:") {
            out.push_str("a=msid:");
            out.push_str(STREAM);
            out.push(' ');
            out.push_str(track);
        } else if let Some((ssrc, track)) = line.split_once(" msid:").filter(|(ssrc, _)| ssrc.starts_with("a=ssrc:"))
            && let Some((_, track)) = track.split_once(' ')
        {
            out.push_str(ssrc);
            out.push_str(" msid:");
            out.push_str(STREAM);
            out.push(' ');
            out.push_str(track);
        } else {
            out.push_str(line);
        }
    }
    out
}

/// Whether no media at all was accepted.
pub(super) fn is_empty(sdp: &str) -> bool {
    !sdp.lines().any(is_accepted)
}

/// Moves the candidates, which `str0m` writes below the first media description, to the first that is accepted: below one that is not,
/// nobody reads them.
pub(super) fn with_candidates_read(sdp: &str) -> String {
    let (candidates, rest): (Vec<&str>, Vec<&str>) = sdp.split_inclusive('\n').partition(|line| line.starts_with("a=candidate:"));
    let mut out = String::with_capacity(sdp.len());
    let (mut candidates, mut here) = (Some(candidates), false);
    for line in rest {
        out.push_str(line);
        here |= is_accepted(line);
        // The connection comes before all attributes (RFC 8866, 5).
        if here && line.starts_with("c=") {
            candidates.take().into_iter().flatten().for_each(|candidate| out.push_str(candidate));
        }
    }
    out
}

/// Whether a line begins a media description that was not rejected (port 0; RFC 3264, 6).
fn is_accepted(line: &str) -> bool {
    line.strip_prefix("m=").and_then(|media| media.split(' ').nth(1)).is_some_and(|port| port != "0")
}

/// What follows the stream's name on a line that begins with `attribute`.
fn track_of<'a>(line: &'a str, attribute: &str) -> Option<&'a str> {
    line.strip_prefix(attribute)?.split_once(' ').map(|(_, track)| track)
}

/// What the stream is called.
const STREAM: &str = "crosspoint";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_names_a_stream_names_ours() {
        let sdp = "v=0\r\na=msid-semantic: WMS abc def\r\nm=audio 9 X 111\r\na=msid:abc t1\r\na=ssrc:1 cname:x\r\na=ssrc:1 msid:abc t1\r\nm=video 9 X 96\r\na=msid:def t2\r\na=ssrc:2 msid:def t2\r\n";
        let expected = "v=0\r\na=msid-semantic: WMS crosspoint\r\nm=audio 9 X 111\r\na=msid:crosspoint t1\r\na=ssrc:1 cname:x\r\na=ssrc:1 msid:crosspoint t1\r\nm=video 9 X 96\r\na=msid:crosspoint t2\r\na=ssrc:2 msid:crosspoint t2\r\n";
        assert_eq!(in_one_stream(sdp), expected);
    }
}
