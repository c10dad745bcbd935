//! The operators of conditions: their names, and how values are kept and compared.

use super::{
    build::{Builder, Meaning},
    document::{Inner, Part},
    error::Fault,
    keys::Value,
    text::{Chars, Variables, equal_ignoring_case, glob, header},
    values::{self, Network},
};

/// What an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Text,
    TextIgnoringCase,
    Pattern,
    Number(Order),
    Time(Order),
    Flag,
    Binary,
    Address,
    Arn,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operator's name, what it compares, and whether it is negated. The place in the list is its
/// number.
const NAMES: &[(&str, Compare, bool)] = &[
    ("StringEquals", Compare::Text, false),
    ("StringNotEquals", Compare::Text, true),
    ("StringEqualsIgnoreCase", Compare::TextIgnoringCase, false),
    ("StringNotEqualsIgnoreCase", Compare::TextIgnoringCase, true),
    ("StringLike", Compare::Pattern, false),
    ("StringNotLike", Compare::Pattern, true),
    ("NumericEquals", Compare::Number(Order::Equal), false),
    ("NumericNotEquals", Compare::Number(Order::Equal), true),
    ("NumericLessThan", Compare::Number(Order::Less), false),
    (
        "NumericLessThanEquals",
        Compare::Number(Order::LessOrEqual),
        false,
    ),
    ("NumericGreaterThan", Compare::Number(Order::Greater), false),
    (
        "NumericGreaterThanEquals",
        Compare::Number(Order::GreaterOrEqual),
        false,
    ),
    ("DateEquals", Compare::Time(Order::Equal), false),
    ("DateNotEquals", Compare::Time(Order::Equal), true),
    ("DateLessThan", Compare::Time(Order::Less), false),
    (
        "DateLessThanEquals",
        Compare::Time(Order::LessOrEqual),
        false,
    ),
    ("DateGreaterThan", Compare::Time(Order::Greater), false),
    (
        "DateGreaterThanEquals",
        Compare::Time(Order::GreaterOrEqual),
        false,
    ),
    ("Bool", Compare::Flag, false),
    ("BinaryEquals", Compare::Binary, false),
    ("IpAddress", Compare::Address, false),
    ("NotIpAddress", Compare::Address, true),
    ("ArnEquals", Compare::Arn, false),
    ("ArnLike", Compare::Arn, false),
    ("ArnNotEquals", Compare::Arn, true),
    ("ArnNotLike", Compare::Arn, true),
    ("Null", Compare::Null, false),
];

/// An operator with what is around it. It is kept as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operator {
    number: u8,
    pub if_exists: bool,
    pub every: bool,
    pub any: bool,
}

impl Operator {
    /// Reads a name such as `ForAllValues:StringLikeIfExists`, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let strip = |name: &str, part: &str| {
            let head = name.get(..part.len())?;
            head.eq_ignore_ascii_case(part)
                .then(|| name.len() - part.len())
        };
        let (mut every, mut any) = (false, false);
        let mut rest = name;
        if let Some(len) = strip(rest, "ForAllValues:") {
            (every, rest) = (true, &rest[rest.len() - len..]);
        } else if let Some(len) = strip(rest, "ForAnyValue:") {
            (any, rest) = (true, &rest[rest.len() - len..]);
        }
        let own = |name: &str| {
            let mut names = NAMES.iter();
            names.position(|(own, ..)| own.eq_ignore_ascii_case(name))
        };
        const SUFFIX: &str = "IfExists";
        let cut = rest.len().saturating_sub(SUFFIX.len());
        let if_exists = rest
            .get(cut..)
            .is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX));
        let number = own(if if_exists { &rest[..cut] } else { rest })?;
        let operator = Self {
            number: number as u8,
            if_exists,
            every,
            any,
        };
        let plain = !if_exists && !every && !any;
        (plain || operator.compare() != Compare::Null).then_some(operator)
    }

    pub fn word(self) -> u32 {
        u32::from(self.number)
            | u32::from(self.if_exists) << 8
            | u32::from(self.every) << 9
            | u32::from(self.any) << 10
    }

    pub fn of(word: u32) -> Self {
        Self {
            number: (word & 0xff) as u8,
            if_exists: word >> 8 & 1 == 1,
            every: word >> 9 & 1 == 1,
            any: word >> 10 & 1 == 1,
        }
    }

    fn row(self) -> (&'static str, Compare, bool) {
        let row = NAMES.get(usize::from(self.number)).copied();
        row.unwrap_or(("", Compare::Null, false))
    }

    pub fn compare(self) -> Compare {
        self.row().1
    }

    pub fn negated(self) -> bool {
        self.row().2
    }

    /// Its name, as the user guide writes it.
    pub fn name(self) -> String {
        let set = match (self.every, self.any) {
            (true, _) => "ForAllValues:",
            (_, true) => "ForAnyValue:",
            _ => "",
        };
        let end = if self.if_exists { "IfExists" } else { "" };
        [set, self.row().0, end].concat()
    }
}

const WORDS_NUMBER: usize = 4;
const WORDS_NETWORK: usize = 5;

impl Compare {
    /// How many words a value takes.
    pub fn words(self) -> usize {
        match self {
            Self::Number(_) | Self::Time(_) => WORDS_NUMBER,
            Self::Address => WORDS_NETWORK,
            _ => 1,
        }
    }
}

/// Appends a value of a document as it is kept.
pub(super) fn keep(
    builder: &mut Builder<'_>,
    compare: Compare,
    at: usize,
    text: &str,
    out: &mut Vec<u32>,
) -> Result<(), Fault> {
    let wrong = format!("Invalid Condition value : {text}");
    let none = || Fault::new(at, wrong.clone());
    let meaning = match compare {
        Compare::Text | Compare::TextIgnoringCase => Some(false),
        Compare::Pattern | Compare::Arn => Some(true),
        _ => None,
    };
    if let Some(wildcards) = meaning {
        let meaning = Meaning {
            wildcards,
            variables: true,
        };
        let pattern = builder.pattern(at, text, meaning, &wrong)?;
        let header = text.matches(':').count() >= 5 && text.starts_with("arn:");
        if compare == Compare::Arn && !header && text != "*" && !text.starts_with("${") {
            return Err(none().detail("no ARN of six segments"));
        }
        out.push(builder.keep(&pattern)?.word());
        return Ok(());
    }
    builder.count(at)?;
    match compare {
        Compare::Flag | Compare::Null => {
            let flag = ["false", "true"]
                .iter()
                .position(|own| own.eq_ignore_ascii_case(text));
            out.push(flag.ok_or_else(none)? as u32);
        }
        Compare::Number(_) => push(out, values::number(text.as_bytes()).ok_or_else(none)?),
        Compare::Time(_) => push(out, values::time(text.as_bytes()).ok_or_else(none)?),
        Compare::Address => {
            let network = Network::parse(text).ok_or_else(none)?;
            push(out, network.first.cast_signed());
            out.push(u32::from(network.v4) << 8 | u32::from(network.bits));
        }
        Compare::Binary => {
            let bytes = base64(text.as_bytes()).ok_or_else(none)?;
            out.push(builder.keep(&bytes)?.word());
        }
        Compare::Text | Compare::TextIgnoringCase | Compare::Pattern | Compare::Arn => {}
    }
    Ok(())
}

fn push(out: &mut Vec<u32>, number: i128) {
    let number = number.cast_unsigned();
    out.extend((0..WORDS_NUMBER).map(|n| (number >> (32 * n)) as u32));
}

fn number(words: &[u32]) -> i128 {
    let words = words.iter().take(WORDS_NUMBER).rev();
    words
        .fold(0u128, |number, word| number << 32 | u128::from(*word))
        .cast_signed()
}

/// A range of addresses, as it is kept.
pub(super) fn network(words: &[u32]) -> Network {
    let last = words.last().copied().unwrap_or(0);
    Network {
        v4: last >> 8 & 1 == 1,
        first: number(words).cast_unsigned(),
        bits: (last & 0xff) as u8,
    }
}

/// The bytes of base64 with padding; the alphabet of RFC 4648 section 4.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text
        .iter()
        .rev()
        .take(2)
        .take_while(|b| **b == b'=')
        .count();
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.get(..text.len() - padding)? {
        let digit = ALPHABET.iter().position(|own| own == byte)?;
        bits = bits << 6 | digit as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

/// Whether a value of the request fits any of the document's values; `None` if it is none of the
/// kind that the operator compares, which then never holds, negated or not.
pub(super) fn fits<'a, V: Variables<'a>>(
    inner: &Inner,
    compare: Compare,
    kept: &[u32],
    value: &Value<'_>,
    variables: &V,
) -> Option<bool> {
    let kept = kept.chunks_exact(compare.words());
    let texts = kept
        .clone()
        .map(|words| Part::of(words.first().copied().unwrap_or(0)));
    let mut texts = texts.map(|part| inner.bytes(part));
    Some(match compare {
        Compare::Text | Compare::Pattern => {
            let chars = value.chars();
            texts.any(|pattern| matches(pattern, variables, &chars, 0))
        }
        Compare::TextIgnoringCase => {
            let chars = value.chars();
            texts.any(|pattern| equal_ignoring_case(pattern, variables, &chars))
        }
        Compare::Arn => {
            let chars = value.chars();
            let stays = header(&chars);
            texts.any(|pattern| match stays {
                Some(_) if pattern == [super::text::STAR] => true,
                Some(stays) => glob(pattern, variables, &chars, stays),
                None => false,
            })
        }
        Compare::Binary => {
            let chars = value.chars();
            texts.any(|bytes| bytes.iter().copied().eq(chars.bytes()))
        }
        Compare::Number(order) => {
            let value = number_of(value)?;
            kept.into_iter()
                .any(|words| order.holds(value, number(words)))
        }
        Compare::Time(order) => {
            let value = time_of(value)?;
            kept.into_iter()
                .any(|words| order.holds(value, number(words)))
        }
        Compare::Flag => {
            let value = flag_of(value)?;
            kept.into_iter().any(|words| (words == [1]) == value)
        }
        Compare::Address => {
            let value = match value {
                Value::Address(address) => *address,
                other => values::address(&other.chars())?,
            };
            kept.into_iter().any(|words| network(words).contains(value))
        }
        Compare::Null => return None,
    })
}

/// Whether a pattern matches, without a walk where it has nothing special.
fn matches<'a, V: Variables<'a>>(
    pattern: &[u8],
    variables: &V,
    chars: &Chars<'_>,
    stays: usize,
) -> bool {
    match chars.whole() {
        Some(bytes) if bytes == pattern => true,
        _ => glob(pattern, variables, chars, stays),
    }
}

impl Order {
    fn holds(self, value: i128, own: i128) -> bool {
        match self {
            Self::Equal => value == own,
            Self::Less => value < own,
            Self::LessOrEqual => value <= own,
            Self::Greater => value > own,
            Self::GreaterOrEqual => value >= own,
        }
    }
}

/// Longest number or time in a request that is read.
const READ_MAX: usize = 64;

fn read<T>(chars: &Chars<'_>, parse: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let mut bytes = [0; READ_MAX];
    let mut len = 0;
    for byte in chars.bytes() {
        *bytes.get_mut(len)? = byte;
        len += 1;
    }
    parse(bytes.get(..len)?)
}

fn number_of(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Number(number) => Some(values::whole(*number)),
        other => read(&other.chars(), values::number),
    }
}

fn time_of(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Time(at) | Value::Epoch(at) => Some(at.ms().into()),
        other => read(&other.chars(), values::time),
    }
}

fn flag_of(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(*flag),
        other => read(&other.chars(), |text| {
            let names: [&[u8]; 2] = [b"false", b"true"];
            let found = names
                .iter()
                .position(|own| own.eq_ignore_ascii_case(text))?;
            Some(found == 1)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_names_and_what_stands_around_them() {
        for (name, compare, negated) in NAMES {
            let operator = Operator::parse(&name.to_uppercase()).unwrap();
            assert_eq!(
                (operator.compare(), operator.negated()),
                (*compare, *negated)
            );
            assert_eq!(operator.name(), *name);
            assert_eq!(Operator::of(operator.word()), operator);
            for (around, fits) in [
                (format!("{name}IfExists"), true),
                (format!("ForAllValues:{name}"), true),
                (format!("forAnyValue:{name}ifexists"), true),
                (format!("ForSome:{name}"), false),
                (format!("{name}s"), false),
                (format!("{name}IfExistsIfExists"), false),
            ] {
                let parsed = Operator::parse(&around);
                let expected = fits && *compare != Compare::Null;
                assert_eq!(parsed.is_some(), expected, "{around}");
                if let Some(parsed) = parsed {
                    assert!(parsed.name().eq_ignore_ascii_case(&around));
                    assert_eq!(Operator::of(parsed.word()), parsed);
                }
            }
        }
        for bad in [
            "",
            "IfExists",
            "é",
            "ForAllValues:",
            "Null:",
            "StringEqualsIfExist",
        ] {
            assert_eq!(Operator::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn binary_values_are_base64() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("YQ==", b"a"),
            ("YWI=", b"ab"),
            ("YWJj", b"abc"),
        ] {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(bytes));
        }
        for bad in ["Y", "YQ=", "Y===", "Y Q=", "YQ==YQ==", "====", "YQ-_"] {
            assert_eq!(base64(bad.as_bytes()), None, "{bad}");
        }
    }
}
