//! ID3 tags, which may stand before and behind any stream of frames.

/// The length of the tag that `bytes` begin, version 2 in front of a file or version 1 behind it; nothing when they begin none.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"TAG") {
        return Some(ID3V1_BYTES);
    }
    let &[b'I', b'D', b'3', version, revision, flags, a, b, c, d] = bytes.first_chunk::<ID3V2_HEADER_BYTES>()? else { return None };
    // The length has 7 bits a byte: a set top bit, or a version of 255, is not a tag.
    if version == 0xff || revision == 0xff || (a | b | c | d) & 0x80 != 0 {
        return None;
    }
    let body = [a, b, c, d].into_iter().fold(0, |bytes, seven| bytes << 7 | usize::from(seven));
    let footer = if flags & 0x10 != 0 { ID3V2_HEADER_BYTES } else { 0 };
    Some(ID3V2_HEADER_BYTES + body + footer)
}

const ID3V1_BYTES: usize = 128;
const ID3V2_HEADER_BYTES: usize = 10;
