//! The bytes that keep start codes from appearing inside a NAL unit (emulation prevention, ITU-T H.264, 7.4.1.1).

/// The payload of a NAL unit, without those bytes.
pub(super) fn unescaped(nal: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
}

/// Appends a NAL unit of this header and payload, behind a start code.
pub(super) fn append_nal(unit: &mut Vec<u8>, header: u8, payload: &[u8]) {
    unit.reserve(payload.len() + 8);
    unit.extend([0, 0, 0, 1, header]);
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn payload_comes_back_and_holds_no_start_code(payload in proptest::collection::vec(prop_oneof![4 => Just(0_u8), 3 => 1_u8..5, 1 => any::<u8>()], 0..60)) {
            let mut unit = Vec::new();
            append_nal(&mut unit, 0x41, &payload);
            prop_assert_eq!(&unit[..5], [0, 0, 0, 1, 0x41]);
            prop_assert!(!unit[5..].windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3), "{:?}", unit);
            prop_assert_eq!(unescaped(&unit[5..]), payload);
        }
    }
}
