//! Fields of a query or a form, and links with a query.

use std::borrow::Cow;

/// Most fields.
const FIELDS_MAX: usize = 1200;

/// Names and values, decoded, in their order.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `a=b&c=d`. `None` for what is not UTF-8, has bad escapes or too many fields.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if fields.len() >= FIELDS_MAX {
                return None;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.push((decode(name)?, decode(value)?));
        }
        Some(Self(fields))
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The same; empty is none.
    pub fn some(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.0.iter().filter(move |(known, _)| known == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// All fields.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The first field that is none of `known`.
    pub fn stranger(&self, known: &[&str]) -> Option<&str> {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        names.into_iter().find(|name| !known.contains(name))
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Encodes pairs for a query.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&access::sign::encode(value));
    }
    out
}

/// Decodes what S3 encoded with `encoding-type=url`.
pub fn decoded(text: &str) -> Cow<'_, str> {
    match text.contains(['%', '+']) {
        true => Cow::Owned(decode(text).unwrap_or_else(|| text.to_owned())),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let fields = Fields::parse("key=a%2Fb+c%E2%82%AC&key=2&empty=&x").unwrap();
        assert_eq!(fields.get("key"), Some("a/b c€"));
        assert_eq!(fields.all("key").count(), 2);
        assert_eq!((fields.some("empty"), fields.get("x")), (None, Some("")));
        assert_eq!(fields.stranger(&["key", "empty", "x"]), None);
        assert_eq!(fields.stranger(&["key"]), Some("empty"));
        for bad in ["a=%", "a=%f", "a=%zz", "a=%ff", "%ff=1", "a=%+1"] {
            assert!(Fields::parse(bad).is_none(), "{bad}");
        }
        assert!(Fields::parse(&"a&".repeat(FIELDS_MAX + 1)).is_none());
    }

    #[test]
    fn any_key_survives_a_link() {
        for key in [
            "a b",
            "a+b",
            "%2F",
            "//",
            "..",
            "a&b=c",
            "#?",
            "\u{202e}x",
            "\0\r\n",
            "😀",
        ] {
            let fields = Fields::parse(&query(&[("key", key)])).unwrap();
            assert_eq!(fields.get("key"), Some(key));
        }
    }
}
