//! AMF0 (Action Message Format, 2007): the values that RTMP commands and metadata are made of.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A boolean.
    Boolean(bool),
    /// A date: milliseconds since 1970.
    Date(f64),
    /// Named values that say how many they are.
    EcmaArray(Vec<(String, Self)>),
    /// Nothing.
    Null,
    /// A number.
    Number(f64),
    /// Named values.
    Object(Vec<(String, Self)>),
    /// Values in order.
    StrictArray(Vec<Self>),
    /// A text.
    String(String),
    /// Not even nothing; also what we have no use for: references, and markers of what cannot be sent.
    Undefined,
}

impl Value {
    /// Takes the next value off `bytes`; nothing when there is none, or none that can be read.
    #[must_use]
    pub fn take(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes, 0)
    }

    /// Appends it to `out`.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Boolean(value) => out.extend([marker::BOOLEAN, u8::from(*value)]),
            Self::Date(time) => {
                out.push(marker::DATE);
                out.extend(time.to_be_bytes());
                // The zone is reserved (2.13).
                out.extend([0; 2]);
            }
            Self::EcmaArray(pairs) => {
                out.push(marker::ECMA_ARRAY);
                out.extend((pairs.len() as u32).to_be_bytes());
                put_pairs(pairs, out);
            }
            Self::Null => out.push(marker::NULL),
            Self::Number(number) => {
                out.push(marker::NUMBER);
                out.extend(number.to_be_bytes());
            }
            Self::Object(pairs) => {
                out.push(marker::OBJECT);
                put_pairs(pairs, out);
            }
            Self::StrictArray(values) => {
                out.push(marker::STRICT_ARRAY);
                out.extend((values.len() as u32).to_be_bytes());
                values.iter().for_each(|value| value.put(out));
            }
            Self::String(text) => put_string(text, out),
            Self::Undefined => out.push(marker::UNDEFINED),
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// What an object or an array holds under a name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        let (Self::Object(pairs) | Self::EcmaArray(pairs)) = self else { return None };
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(f64::from(number))
    }
}

fn take(bytes: &mut &[u8], depth: u32) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let [kind] = cut(bytes)?;
    Some(match kind {
        marker::NUMBER => Value::Number(f64::from_be_bytes(cut(bytes)?)),
        marker::BOOLEAN => Value::Boolean(cut::<1>(bytes)? != [0]),
        marker::STRING => Value::String(take_text(bytes)?),
        marker::OBJECT => Value::Object(take_pairs(bytes, depth)?),
        marker::NULL => Value::Null,
        marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
        marker::REFERENCE => {
            cut::<2>(bytes)?;
            Value::Undefined
        }
        marker::ECMA_ARRAY => {
            // The count is a hint (2.10); the end is marked.
            cut::<4>(bytes)?;
            Value::EcmaArray(take_pairs(bytes, depth)?)
        }
        marker::STRICT_ARRAY => {
            let count = u32::from_be_bytes(cut(bytes)?);
            // Every value takes a byte, so what a count promises cannot outgrow what is there.
            Value::StrictArray((0..count).map(|_| take(bytes, depth + 1)).collect::<Option<_>>()?)
        }
        marker::DATE => {
            let time = f64::from_be_bytes(cut(bytes)?);
            cut::<2>(bytes)?;
            Value::Date(time)
        }
        marker::LONG_STRING | marker::XML => {
            let length = u32::from_be_bytes(cut(bytes)?) as usize;
            Value::String(text(bytes, length)?)
        }
        marker::TYPED_OBJECT => {
            take_text(bytes)?;
            Value::Object(take_pairs(bytes, depth)?)
        }
        _ => return None,
    })
}

fn take_pairs(bytes: &mut &[u8], depth: u32) -> Option<Vec<(String, Value)>> {
    let mut pairs = Vec::new();
    loop {
        if let Some(rest) = bytes.strip_prefix(&END) {
            *bytes = rest;
            return Some(pairs);
        }
        let name = take_text(bytes)?;
        pairs.push((name, take(bytes, depth + 1)?));
    }
}

fn put_pairs(pairs: &[(String, Value)], out: &mut Vec<u8>) {
    // A name without letters before an end marker is the end; no name of ours is empty, nor longer than its length can say.
    for (name, value) in pairs.iter().filter(|(name, _)| !name.is_empty() && name.len() <= usize::from(u16::MAX)) {
        out.extend((name.len() as u16).to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        value.put(out);
    }
    out.extend(END);
}

fn put_string(text: &str, out: &mut Vec<u8>) {
    match u16::try_from(text.len()) {
        Ok(length) => {
            out.push(marker::STRING);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(marker::LONG_STRING);
            out.extend((text.len() as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(cut(bytes)?);
    text(bytes, length.into())
}

fn text(bytes: &mut &[u8], length: usize) -> Option<String> {
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    // What is not UTF-8 is shown, not refused: it may be in a field that nobody reads.
    Some(String::from_utf8_lossy(text).into_owned())
}

fn cut<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

/// An empty name and the marker of an object's end.
const END: [u8; 3] = [0, 0, 9];
/// Commands nest two deep.
const DEPTH_MAX: u32 = 16;

/// The first byte of a value (2.1).
mod marker {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const REFERENCE: u8 = 7;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const XML: u8 = 15;
    pub(super) const TYPED_OBJECT: u8 = 16;
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            (-1e12..1e12).prop_map(Value::Date),
            Just(Value::Null),
            (-1e12..1e12).prop_map(Value::Number),
            ".{0,20}".prop_map(Value::String),
            Just(Value::String("long ".repeat(14_000))),
            Just(Value::Undefined),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            let pairs = vec((".{1,8}", inner.clone()), 0..5);
            prop_oneof![
                pairs.clone().prop_map(Value::Object),
                pairs.prop_map(Value::EcmaArray),
                vec(inner, 0..5).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were_put(values in vec(value(), 0..4)) {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| value.put(&mut bytes));
            let mut rest = bytes.as_slice();
            for value in &values {
                prop_assert_eq!(Value::take(&mut rest), Some(value.clone()));
            }
            prop_assert!(rest.is_empty());
            // And cut short or with a bit turned over they do no harm.
            for at in (0..bytes.len()).step_by(bytes.len() / 50 + 1) {
                let _ = Value::take(&mut &bytes[..at]);
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                let _ = Value::take(&mut flipped.as_slice());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(prop_oneof![0_u8..17, any::<u8>()], 0..200)) {
            let _ = Value::take(&mut bytes.as_slice());
        }
    }

    #[test]
    fn promises_and_depth_are_bounded() {
        assert_eq!(Value::take(&mut &[marker::STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff][..]), None);
        assert_eq!(Value::take(&mut &[marker::LONG_STRING, 0xff, 0xff, 0xff, 0xff, 1][..]), None);
        let nested = [marker::STRICT_ARRAY, 0, 0, 0, 1].repeat(100_000);
        assert_eq!(Value::take(&mut nested.as_slice()), None);
    }
}
