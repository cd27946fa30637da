//! JSON as block YAML 1.2, of which JSON's strings are a part: quoted, they mean the same.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes `value` for people to read.
pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// A value that begins on a line of its own.
fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                indent(depth, text);
                text.push_str(&scalar(&Value::String(key.clone())));
                text.push(':');
                behind(value, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(depth, text);
                text.push('-');
                behind(item, depth, text);
            }
        }
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => {
            indent(depth, text);
            let _ = writeln!(text, "{}", scalar(value));
        }
    }
}

/// A value behind a key or a dash.
fn behind(value: &Value, depth: usize, text: &mut String) {
    let has_lines = value.as_object().is_some_and(|fields| !fields.is_empty()) || value.as_array().is_some_and(|items| !items.is_empty());
    if has_lines {
        text.push('\n');
        block(value, depth + 1, text);
    } else {
        let _ = writeln!(text, " {}", scalar(value));
    }
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}

fn scalar(value: &Value) -> String {
    let is_plain = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !matches!(word.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n")
    };
    match value {
        Value::String(word) if is_plain(word) => word.clone(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_in_blocks() {
        let value = json!({"a": {"b-c": [1, {"d": null}, [], [true]]}, "e": {}, "no": "on: \"x\"\n", "f": "plain", "g": ""});
        let text = "a:\n  \"b-c\":\n    - 1\n    -\n      d: null\n    - []\n    -\n      - true\ne: {}\nf: plain\ng: \"\"\n\"no\": \"on: \\\"x\\\"\\n\"\n";
        assert_eq!(write(&value), text);
    }
}
