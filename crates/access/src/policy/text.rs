//! Texts that are compared, and patterns. A pattern is kept as bytes: those of its text, and three
//! that are in no UTF-8 for what is not literal. So `*` that was meant literally, or that a
//! variable brings, is never a wildcard.

use std::{cell::Cell, fmt::Write as _, net::IpAddr};

/// Any run of characters.
pub(super) const STAR: u8 = 0xff;
/// Any one character.
pub(super) const ONE: u8 = 0xfe;
/// A variable; two bytes with its number follow.
pub(super) const VAR: u8 = 0xfd;

/// Longest text that is put together in place: the longest of an address.
const SHORT_MAX: usize = 48;
/// Most pieces of a text.
const PIECES_MAX: usize = 7;

/// A text, byte by byte, wherever its parts are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chars<'a> {
    Whole(&'a [u8]),
    Short([u8; SHORT_MAX], u8),
    Pieces([&'a str; PIECES_MAX]),
}

impl<'a> Chars<'a> {
    pub fn of(text: &'a str) -> Self {
        Self::Whole(text.as_bytes())
    }

    /// Of at most seven pieces.
    pub fn pieces(pieces: &[&'a str]) -> Self {
        let mut all = [""; PIECES_MAX];
        for (slot, piece) in all.iter_mut().zip(pieces) {
            *slot = piece;
        }
        Self::Pieces(all)
    }

    pub fn number(number: i128) -> Self {
        Self::written(format_args!("{number}"))
    }

    pub fn address(address: IpAddr) -> Self {
        Self::written(format_args!("{address}"))
    }

    /// What does not fit is left out: nothing that is written here is that long.
    pub fn written(text: std::fmt::Arguments<'_>) -> Self {
        let mut short = Short {
            bytes: [0; SHORT_MAX],
            len: 0,
        };
        let _ = short.write_fmt(text);
        Self::Short(short.bytes, short.len)
    }

    /// The bytes, if they stand together.
    pub fn whole(&self) -> Option<&[u8]> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Short(bytes, len) => bytes.get(..usize::from(*len)),
            Self::Pieces(_) => None,
        }
    }

    /// The byte at an offset; `None` after the end.
    #[inline]
    pub fn get(&self, mut at: usize) -> Option<u8> {
        match self {
            Self::Whole(bytes) => bytes.get(at).copied(),
            Self::Short(bytes, len) => bytes.get(..usize::from(*len))?.get(at).copied(),
            Self::Pieces(pieces) => {
                for piece in pieces {
                    match piece.as_bytes().get(at) {
                        Some(byte) => return Some(*byte),
                        None => at -= piece.len(),
                    }
                }
                None
            }
        }
    }

    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        (0..).map_while(|at| self.get(at))
    }
}

struct Short {
    bytes: [u8; SHORT_MAX],
    len: u8,
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let start = usize::from(self.len);
        let end = start + text.len();
        let free = self.bytes.get_mut(start..end).ok_or(std::fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.len = end as u8;
        Ok(())
    }
}

/// The values of the variables of a document. Each that is asked for is there: that was asked
/// before.
pub(super) trait Variables<'a> {
    /// The value of the variable of this number.
    fn value(&self, number: u16) -> Chars<'a>;

    /// How many steps may still be made; what has none left matches nothing.
    fn steps(&self) -> &Cell<u32>;
}

/// No variables at all, for short patterns and texts.
pub(super) struct NoVariables(Cell<u32>);

impl NoVariables {
    pub fn new() -> Self {
        Self(Cell::new(u32::MAX))
    }
}

impl<'a> Variables<'a> for NoVariables {
    fn value(&self, _: u16) -> Chars<'a> {
        Chars::Whole(b"")
    }

    fn steps(&self) -> &Cell<u32> {
        &self.0
    }
}

/// A place in a pattern, which may be inside of the value of a variable.
#[derive(Clone, Copy)]
struct Cursor {
    at: usize,
    inside: usize,
}

enum Unit {
    Byte(u8),
    Star,
    One,
    End,
}

struct Pattern<'p, 'a, V> {
    bytes: &'p [u8],
    variables: &'p V,
    /// The variable that was asked for last, by where it is in the pattern.
    known: Option<(usize, Chars<'a>)>,
}

impl<'a, V: Variables<'a>> Pattern<'_, 'a, V> {
    /// What stands at the cursor, and the cursor after it.
    #[inline]
    fn next(&mut self, mut cursor: Cursor) -> (Unit, Cursor) {
        loop {
            let Some(byte) = self.bytes.get(cursor.at) else {
                return (Unit::End, cursor);
            };
            let after = Cursor {
                at: cursor.at + 1,
                inside: 0,
            };
            match *byte {
                STAR => return (Unit::Star, after),
                ONE => return (Unit::One, after),
                VAR => {
                    let value = self.variable(cursor.at);
                    if let Some(byte) = value.get(cursor.inside) {
                        cursor.inside += 1;
                        if byte == b'*' && types::planted("inserted-wildcards") {
                            return (Unit::Star, cursor);
                        }
                        return (Unit::Byte(byte), cursor);
                    }
                    cursor = Cursor {
                        at: cursor.at + 3,
                        inside: 0,
                    };
                }
                byte => return (Unit::Byte(byte), after),
            }
        }
    }

    fn variable(&mut self, at: usize) -> Chars<'a> {
        match self.known {
            Some((place, value)) if place == at => value,
            _ => {
                let number = [at + 1, at + 2].map(|n| self.bytes.get(n).copied().unwrap_or(0));
                let value = self.variables.value(u16::from_le_bytes(number));
                self.known = Some((at, value));
                value
            }
        }
    }
}

/// Whether the pattern matches the whole text. `stays` is how many of the text's first bytes no
/// wildcard passes a colon in: zero but for ARNs.
///
/// Only the last star is ever taken back, so the time is bounded by the product of the lengths, and
/// by the steps that are left.
pub(super) fn glob<'a, V: Variables<'a>>(
    pattern: &[u8],
    variables: &V,
    text: &Chars<'_>,
    stays: usize,
) -> bool {
    let mut pattern = Pattern {
        bytes: pattern,
        variables,
        known: None,
    };
    let mut steps = variables.steps().get();
    let matches = walk(&mut pattern, text, stays, &mut steps);
    variables.steps().set(steps);
    matches
}

fn walk<'a, V: Variables<'a>>(
    pattern: &mut Pattern<'_, 'a, V>,
    text: &Chars<'_>,
    stays: usize,
    steps: &mut u32,
) -> bool {
    let mut cursor = Cursor { at: 0, inside: 0 };
    let mut at = 0;
    // After the last star, and where in the text it ends.
    let mut star: Option<(Cursor, usize)> = None;
    loop {
        *steps = steps.saturating_sub(1);
        if *steps == 0 {
            return false;
        }
        let (unit, after) = pattern.next(cursor);
        let byte = text.get(at);
        let fits = match (unit, byte) {
            (Unit::Star, _) => {
                if after.at == pattern.bytes.len() && at >= stays {
                    return true;
                }
                star = Some((after, at));
                cursor = after;
                continue;
            }
            (Unit::End, None) => return true,
            (Unit::Byte(own), Some(byte)) => (own == byte).then_some(1),
            (Unit::One, Some(byte)) => character(byte).filter(|_| byte != b':' || at >= stays),
            (Unit::End, Some(_)) | (Unit::Byte(_) | Unit::One, None) => None,
        };
        if let Some(width) = fits {
            cursor = after;
            at += width;
            continue;
        }
        // The last star takes one byte more.
        let Some((back, end)) = &mut star else {
            return false;
        };
        match text.get(*end) {
            None => return false,
            Some(b':') if *end < stays => return false,
            Some(_) => *end += 1,
        }
        (cursor, at) = (*back, *end);
    }
}

/// How many bytes the character has that begins so; `None` inside of a character.
fn character(first: u8) -> Option<usize> {
    match first {
        0..=0x7f => Some(1),
        0x80..=0xbf => None,
        0xc0..=0xdf => Some(2),
        0xe0..=0xef => Some(3),
        _ => Some(4),
    }
}

/// How many bytes of a text the first five segments of an ARN are, with their colons; `None` if it
/// has not as many.
pub(super) fn header(text: &Chars<'_>) -> Option<usize> {
    let mut colons = text.bytes().enumerate().filter(|(_, byte)| *byte == b':');
    colons.nth(4).map(|(at, _)| at + 1)
}

/// The pattern in which `*` and `?` are wildcards.
pub(super) fn wild(text: &[u8]) -> Vec<u8> {
    let unit = |b: &u8| match b {
        b'*' => STAR,
        b'?' => ONE,
        b => *b,
    };
    text.iter().map(unit).collect()
}

/// Whether the pattern is the whole text but for the case of letters.
pub(super) fn equal_ignoring_case<'a, V: Variables<'a>>(
    pattern: &[u8],
    variables: &V,
    text: &Chars<'_>,
) -> bool {
    let mut pattern = Pattern {
        bytes: pattern,
        variables,
        known: None,
    };
    let mut cursor = Cursor { at: 0, inside: 0 };
    let units = std::iter::from_fn(|| {
        let (unit, after) = pattern.next(cursor);
        cursor = after;
        match unit {
            Unit::Byte(byte) => Some(byte),
            Unit::Star | Unit::One | Unit::End => None,
        }
    });
    folded(units).eq(folded(text.bytes()))
}

/// The characters, each folded by itself.
fn folded(bytes: impl Iterator<Item = u8>) -> impl Iterator<Item = char> {
    let mut bytes = bytes;
    std::iter::from_fn(move || {
        let first = bytes.next()?;
        let rest = character(first).unwrap_or(1) - 1;
        let mut code = match rest {
            0 => u32::from(first),
            _ => u32::from(first) & (0x3f >> rest),
        };
        for _ in 0..rest {
            code = code << 6 | u32::from(bytes.next().unwrap_or(0)) & 0x3f;
        }
        Some(fold(
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
        ))
    })
}

fn fold(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        glob(
            &wild(pattern.as_bytes()),
            &NoVariables::new(),
            &Chars::of(text),
            0,
        )
    }

    #[test]
    fn stars_match_runs_and_question_marks_characters() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b:c", true),
            ("?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("*?", "é", true),
            ("?*", "é", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "axxbxxbc", true),
            ("a*b*c", "axxcxxb", false),
            ("*ab", "aab", true),
            ("*a?b", "aacb", true),
            ("a**b", "ab", true),
            ("A", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        let pattern = "*a".repeat(64) + "b";
        let text = "a".repeat(1024);
        assert!(!matches(&pattern, &text));
    }

    #[test]
    fn wildcards_of_arns_stay_in_their_segment() {
        let text = Chars::of("arn:aws:iam::123456789012:role/a:b/c");
        let stays = header(&text).unwrap();
        for (pattern, expected) in [
            ("arn:aws:iam::123456789012:role/a:b/c", true),
            ("arn:aws:iam::*:role/*", true),
            ("arn:*:iam::123456789012:*c", true),
            ("arn:aws:iam:*:role/a:b/c", false),
            ("arn:*", false),
            ("*", false),
            ("arn:aws:iam::????????????:role/a?b/c", true),
            ("arn:aws:iam:?123456789012:role/a:b/c", false),
            ("arn:aws:iam::*:*:*:*", false),
        ] {
            let pattern = wild(pattern.as_bytes());
            assert_eq!(glob(&pattern, &NoVariables::new(), &text, stays), expected);
        }
        assert_eq!(header(&Chars::of("arn:aws:iam:")), None);
    }

    #[test]
    fn case_is_folded_by_characters() {
        let same = |a: &str, b: &str| {
            equal_ignoring_case(a.as_bytes(), &NoVariables::new(), &Chars::of(b))
        };
        assert!(same("aÉ", "Aé") && same("", "") && same("日本", "日本"));
        assert!(!same("a", "ab") && !same("ab", "a") && !same("ß", "ss"));
    }
}
