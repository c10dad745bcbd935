//! `Accept-Language` (RFC 9110, section 12.5.4).

use super::{LANGUAGES, Language};

/// Languages of a browser that are looked at.
const WANTED_MAX: usize = 32;

/// The first language of ours that a browser wants, by its weights; English if it wants none.
pub fn preferred(accept_language: &str) -> &'static Language {
    let mut wanted: Vec<(u16, &str)> = accept_language
        .split(',')
        .take(WANTED_MAX)
        .filter_map(weighted)
        .collect();
    // Stable: of those with one weight, the one that is named first.
    wanted.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let found = wanted.into_iter().find_map(|(_, range)| nearest(range));
    found.unwrap_or(&LANGUAGES[0])
}

/// A range of languages with its weight in thousandths; none if it is not wanted.
fn weighted(text: &str) -> Option<(u16, &str)> {
    let (range, rest) = text.split_once(';').unwrap_or((text, ""));
    let weight = match rest.trim().strip_prefix("q=") {
        None => 1000,
        Some(weight) => thousandths(weight.trim())?,
    };
    (weight > 0).then_some((weight, range.trim()))
}

fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

/// By the first part of a tag: `zh-TW` is nearest to `zh-CN`.
fn nearest(range: &str) -> Option<&'static Language> {
    let primary = |tag: &str| {
        tag.split('-')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    match primary(range).as_str() {
        "*" => Some(&LANGUAGES[0]),
        wanted => LANGUAGES.iter().find(|one| primary(one.lang) == wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_what_it_prefers_of_what_there_is() {
        for (header, lang) in [
            ("", "en"),
            ("de", "de"),
            ("de-AT,en;q=0.5", "de"),
            ("fr-CH, fr;q=0.9, ar;q=0.8, de;q=0.7, *;q=0.5", "ar"),
            ("fr", "en"),
            ("fr, *;q=0.1", "en"),
            ("en;q=0.3, ja;q=0.9", "ja"),
            ("zh-Hans-CN", "zh-CN"),
            ("zh-TW", "zh-CN"),
            ("ZH", "zh-CN"),
            ("de;q=0, ja;q=0.001", "ja"),
            ("de;q=2, ja;q=1.0", "ja"),
            ("de; q=0.5, ja; q=0.6", "ja"),
            (";;;,,,q=1", "en"),
            ("\u{e9}", "en"),
        ] {
            assert_eq!(preferred(header).lang, lang, "{header}");
        }
        let many = "xx,".repeat(WANTED_MAX) + "de";
        assert_eq!(preferred(&many).lang, "en");
    }
}
