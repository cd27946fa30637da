//! The query of a URL, as forms write it.

/// The first value of `name`, decoded; nothing when it is not there, or is no text.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    percent_decoded(value)
}

/// The token in a query. A plus sign that was not escaped reads as a space, and no token has one.
pub(crate) fn token(query: &str) -> Option<String> {
    value(query, "access_token").map(|token| token.replace(' ', "+"))
}

/// Undoes `%xx` and `+`.
fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' => b' ',
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_decoded() {
        let cases = [
            ("a=1&token=x%2By+z&token=2", Some("x+y z")),
            ("tokens=1", None),
            ("token=", Some("")),
            ("token", None),
            ("token=%zz", None),
            ("token=%f", None),
            ("token=%ff", None),
            ("", None),
        ];
        for (query, expected) in cases {
            assert_eq!(value(query, "token").as_deref(), expected, "{query}");
        }
    }
}
