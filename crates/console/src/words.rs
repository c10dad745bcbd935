//! The one way by which texts of ours come into a page, so that they can be in other languages.
//!
//! The English text is the name of the message. A translation is a list of pairs; what it lacks
//! stays English. Values are put in where the text says `{name}`; a value is never a text of ours.

use std::borrow::Cow;

/// The texts of one language.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// As in `<html lang>`.
    pub lang: &'static str,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    pairs: &'static [(&'static str, &'static str)],
}

/// English: the messages themselves.
pub const ENGLISH: Words = Words {
    lang: "en",
    dir: "ltr",
    pairs: &[],
};

impl Words {
    /// The languages that there are, in the order in which a browser wants them.
    pub fn accepted(_accept_language: &str) -> Self {
        ENGLISH
    }

    /// A text.
    pub fn t(&self, english: &'static str) -> Cow<'static, str> {
        let found = self.pairs.iter().find(|(name, _)| *name == english);
        Cow::Borrowed(found.map_or(english, |(_, text)| text))
    }

    /// A text with values.
    pub fn with(&self, english: &'static str, values: &[(&str, &str)]) -> String {
        let text = self.t(english);
        let mut out = String::with_capacity(text.len() + 16);
        let mut rest = &*text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                out.push('{');
                rest = after;
                continue;
            };
            let value = values.iter().find(|(known, _)| *known == name);
            out.push_str(value.map_or("", |(_, value)| value));
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_once_and_are_not_read_again() {
        let text = ENGLISH.with("{a} of {b}", &[("a", "{b}"), ("b", "2")]);
        assert_eq!(text, "{b} of 2");
        assert_eq!(ENGLISH.with("an open { brace", &[]), "an open { brace");
    }
}
