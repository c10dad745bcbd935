//! The one way by which texts of ours come into a page, in the language of whoever reads it.
//!
//! The English text is the name of the message. `messages/LANGUAGE.po` has its translation; what is
//! missing there is shown in English. Values are put in where the text says `{name}`; a value is
//! never a text of ours. docs: crates/console/README.md, "Add a text" and "Add a language".

mod accept;
#[cfg(test)]
mod check;
mod po;

use std::{borrow::Cow, collections::HashMap, fmt, sync::LazyLock};

/// Begins a part of a text whose direction is its own (FIRST STRONG ISOLATE).
pub const ISOLATE: char = '\u{2068}';
/// Ends it (POP DIRECTIONAL ISOLATE).
pub const END_ISOLATE: char = '\u{2069}';

/// The translations of each English text: one, or one for each form of the plural.
type Messages = HashMap<Cow<'static, str>, Box<[Cow<'static, str>]>>;

/// A language.
pub struct Language {
    /// As in `<html lang>`.
    pub lang: &'static str,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    /// What its readers call it.
    pub name: &'static str,
    /// Between groups of three digits, and before a fraction.
    pub separators: (char, char),
    /// How many forms a plural has, and which of them is for a count.
    plural: (usize, fn(u64) -> usize),
    messages: LazyLock<Messages>,
}

fn one_or_many(count: u64) -> usize {
    usize::from(count != 1)
}

fn same(_: u64) -> usize {
    0
}

/// None, one, two, few, many, other: the categories of CLDR in their order.
fn arabic(count: u64) -> usize {
    match (count, count % 100) {
        (0..=2, _) => usize::try_from(count).unwrap_or(0),
        (_, 3..=10) => 3,
        (_, 11..=99) => 4,
        _ => 5,
    }
}

macro_rules! messages {
    ($name:literal) => {
        LazyLock::new(|| po::messages(include_str!(concat!("../messages/", $name, ".po"))))
    };
}

/// All languages, in the order in which they are offered.
pub static LANGUAGES: [Language; 5] = [
    Language {
        lang: "en",
        dir: "ltr",
        name: "English",
        separators: (',', '.'),
        plural: (2, one_or_many),
        messages: LazyLock::new(HashMap::new),
    },
    Language {
        lang: "zh-CN",
        dir: "ltr",
        name: "简体中文",
        separators: (',', '.'),
        plural: (1, same),
        messages: messages!("zh-CN"),
    },
    Language {
        lang: "de",
        dir: "ltr",
        name: "Deutsch",
        separators: ('.', ','),
        plural: (2, one_or_many),
        messages: messages!("de"),
    },
    Language {
        lang: "ja",
        dir: "ltr",
        name: "日本語",
        separators: (',', '.'),
        plural: (1, same),
        messages: messages!("ja"),
    },
    Language {
        lang: "ar",
        dir: "rtl",
        name: "العربية",
        separators: (',', '.'),
        plural: (6, arabic),
        messages: messages!("ar"),
    },
];

/// The texts of one language.
#[derive(Clone, Copy)]
pub struct Words(&'static Language);

/// English: the messages themselves.
pub const ENGLISH: Words = Words(&LANGUAGES[0]);

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.lang)
    }
}

tokio::task_local! {
    static HERE: Words;
}

impl Words {
    /// The language that `Accept-Language` prefers, of those that there are; English otherwise.
    pub fn accepted(accept_language: &str) -> Self {
        Words(accept::preferred(accept_language))
    }

    /// The language of this name.
    pub fn named(lang: &str) -> Option<Self> {
        LANGUAGES.iter().find(|one| one.lang == lang).map(Words)
    }

    /// The language.
    pub fn language(self) -> &'static Language {
        self.0
    }

    /// The language of the request that this task answers: for numbers and names of countries,
    /// which are written in many places that have no call.
    pub fn here() -> Self {
        HERE.try_with(|words| *words).unwrap_or(ENGLISH)
    }

    /// Answers a request in this language.
    pub async fn answering<T>(self, work: impl Future<Output = T>) -> T {
        HERE.scope(self, work).await
    }

    /// A text.
    pub fn t(self, english: &'static str) -> Cow<'static, str> {
        let found = self.0.messages.get(english).and_then(|forms| forms.first());
        Cow::Borrowed(found.map_or(english, |text| &**text))
    }

    /// A text that was made in English, in this language: as it is, if it is none of ours, or has
    /// values in it.
    pub fn later(self, english: &str) -> &str {
        let found = self.0.messages.get(english).and_then(|forms| forms.first());
        found.map_or(english, |text| text)
    }

    /// A text with values.
    pub fn with(self, english: &'static str, values: &[(&str, &str)]) -> String {
        self.filled(&self.t(english), values)
    }

    /// A text with a number in it, `{count}`, which may need another form for each number. English
    /// has two of them: for 1, and for others.
    pub fn count(
        self,
        (one, others): (&'static str, &'static str),
        count: u64,
        values: &[(&str, &str)],
    ) -> String {
        let form = (self.0.plural.1)(count);
        let forms = self.0.messages.get(one);
        let text = forms.and_then(|forms| forms.get(form)).map(|text| &**text);
        let text = text.unwrap_or(if count == 1 { one } else { others });
        let number = crate::ui::number::grouped(count);
        let mut all = Vec::with_capacity(values.len() + 1);
        all.push(("count", number.as_str()));
        all.extend_from_slice(values);
        self.filled(text, &all)
    }

    fn filled(self, text: &str, values: &[(&str, &str)]) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                out.push('{');
                rest = after;
                continue;
            };
            let value = values.iter().find(|(known, _)| *known == name);
            self.put(&mut out, value.map_or("", |(_, value)| value));
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// Puts a value in, so that neither it nor the text around it changes the other's direction. A
    /// value that is such a text itself has the direction of the language.
    fn put(self, out: &mut String, value: &str) {
        let ours = value.contains(ISOLATE)
            && value.matches(ISOLATE).count() == value.matches(END_ISOLATE).count();
        let turns = self.0.dir == "rtl" || value.chars().any(is_right_to_left);
        if turns && !ours {
            out.push(ISOLATE);
            out.push_str(value);
            out.push(END_ISOLATE);
        } else {
            out.push_str(value);
        }
    }
}

/// Whether a character is of a script that is written from right to left, or turns a text so.
pub fn is_right_to_left(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}' | '\u{200f}' | '\u{202b}' | '\u{202e}' | '\u{2067}'
        | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
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

    #[test]
    fn a_value_keeps_its_direction() {
        let arabic = Words::named("ar").unwrap();
        assert_eq!(arabic.with("{a}!", &[("a", "x")]), "\u{2068}x\u{2069}!");
        assert_eq!(ENGLISH.with("{a}!", &[("a", "x é")]), "x é!");
        let mixed = ENGLISH.with("{a}!", &[("a", "سجل.txt")]);
        assert_eq!(mixed, "\u{2068}سجل.txt\u{2069}!");
        let inner = arabic.with("{a}: {b}", &[("a", "x"), ("b", "1")]);
        assert_eq!(arabic.with("{a}.", &[("a", &inner)]), format!("{inner}."));
    }

    #[test]
    fn each_count_has_its_form() {
        let forms = |lang: &str, counts: &[u64]| -> Vec<usize> {
            let (most, form) = Words::named(lang).unwrap().0.plural;
            let forms = counts.iter().map(|count| form(*count));
            forms.inspect(|form| assert!(*form < most)).collect()
        };
        assert_eq!(forms("en", &[0, 1, 2, 101]), [1, 0, 1, 1]);
        assert_eq!(forms("ja", &[0, 1, 2]), [0, 0, 0]);
        let counts = [0, 1, 2, 3, 10, 11, 99, 100, 102, 103, 111, 1_000_000];
        assert_eq!(forms("ar", &counts), [0, 1, 2, 3, 3, 4, 4, 5, 5, 3, 4, 5]);
        assert_eq!(ENGLISH.count(("one", "{count} of {a}"), 1, &[]), "one");
        let many = ENGLISH.count(("one", "{count} of {a}"), 1234, &[("a", "x")]);
        assert_eq!(many, "1,234 of x");
    }

    #[tokio::test]
    async fn the_language_of_a_request_is_that_of_its_task() {
        assert_eq!(Words::here().0.lang, "en");
        let german = Words::named("de").unwrap();
        let inside = german.answering(async { Words::here().0.lang }).await;
        assert_eq!(inside, "de");
    }
}
