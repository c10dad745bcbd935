//! Numbers for people: digits of Latin script, with the separators of the reader's language.

use maud::{Markup, html};

use crate::words::Words;

/// Bytes with a binary unit and three significant digits; exact in the title.
pub fn bytes(bytes: u64) -> Markup {
    let exact = Words::here().count(("1 byte", "{count} bytes"), bytes, &[]);
    html! { span.num title=(exact) { (bytes_text(bytes)) } }
}

/// The same as text.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    let (_, point) = Words::here().language().separators;
    let value = format!("{value:.digits$}").replace('.', point.encode_utf8(&mut [0; 4]));
    format!("{value} {}", UNITS[unit])
}

/// A count, with separators.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let (separator, _) = Words::here().language().separators;
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// What comes in a minute, for a second: with a fraction where it is small.
pub fn rate(per_minute: u64) -> String {
    if per_minute >= 600 {
        return grouped(per_minute / 60);
    }
    let (_, point) = Words::here().language().separators;
    let text = format!("{:.1}", per_minute as f64 / 60.0);
    text.replace('.', point.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn separators_are_those_of_the_language() {
        let german = Words::named("de").unwrap();
        let inside = async { (bytes_text(1536), grouped(1_234_567)) };
        let (size, count) = german.answering(inside).await;
        assert_eq!((size.as_str(), count.as_str()), ("1,50 KiB", "1.234.567"));
    }

    #[test]
    fn small_rates_have_a_fraction() {
        for (per_minute, text) in [
            (0, "0.0"),
            (7, "0.1"),
            (90, "1.5"),
            (600, "10"),
            (75_000, "1,250"),
        ] {
            assert_eq!(rate(per_minute), text);
        }
    }

    #[test]
    fn three_digits_and_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (10 << 20, "10.0 MiB"),
            (1023 << 10, "1023 KiB"),
            ((1 << 20) - 1, "1.00 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
    }
}
