//! JSON with line breaks, its members in the order in which they were written.

/// Lists of plain values up to this length stay on one line.
const SHORT: usize = 72;

/// The text with line breaks; as it is, if it has some already.
pub fn pretty(text: &str) -> String {
    match text.trim().contains('\n') {
        true => text.to_owned(),
        false => broken(text.trim()),
    }
}

fn broken(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut rest) = (0_usize, text);
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '"' => {
                taken = string(rest);
                out.push_str(&rest[..taken]);
            }
            '{' | '[' => match short(rest) {
                Some((length, line)) => {
                    taken = length;
                    out.push_str(&line);
                }
                None => {
                    out.push(c);
                    depth += 1;
                    line(&mut out, depth);
                }
            },
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
        rest = &rest[taken..];
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// The length of the string that `text` begins with, with its quotes.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A list or an object that has no other in it and is short: its length, and itself on one line.
fn short(text: &str) -> Option<(usize, String)> {
    let mut out = String::new();
    let mut at = 0;
    while out.len() <= SHORT {
        let rest = &text[at..];
        let c = rest.chars().next()?;
        match c {
            '"' => {
                let taken = string(rest);
                out.push_str(&rest[..taken]);
                at += taken;
                continue;
            }
            '{' | '[' if at > 0 => return None,
            '}' => return Some((at + 1, out + if at > 1 { " }" } else { "}" })),
            ']' => return Some((at + 1, out + "]")),
            '{' => out.push_str("{ "),
            ',' | ':' => {
                out.push(c);
                out.push(' ');
            }
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
        at += c.len_utf8();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_texts_stay_as_they_are() {
        let text = r#"{"Version":"2012-10-17","Statement":[{"Sid":"a, {b}: \"c\"","Action":["s3:GetObject","s3:PutObject"],"Principal":{"AWS":"*"},"Condition":{"Bool":{"x":true}}}]}"#;
        let wanted = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "a, {b}: \"c\"",
      "Action": ["s3:GetObject", "s3:PutObject"],
      "Principal": { "AWS": "*" },
      "Condition": {
        "Bool": { "x": true }
      }
    }
  ]
}"#;
        assert_eq!(pretty(text), wanted);
        assert_eq!(pretty(wanted), wanted);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(text), value(wanted));
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
        for bad in [
            "",
            "{",
            "[\"",
            "}}}}",
            "\"\\",
            "ü",
            "{\"a\":\u{202e}}",
            "[[[[",
        ] {
            pretty(bad);
        }
    }
}
