//! Times for people: always UTC, and said so.

use maud::{Markup, html};
use types::Timestamp;

use crate::words::Words;

/// A time of S3 (ISO 8601).
pub fn iso(text: &str) -> Markup {
    html! { time datetime=(text) { bdi dir="ltr" { (self::text(text)) } } }
}

/// The same as text.
pub fn text(iso: &str) -> String {
    let shown = iso.get(..19).unwrap_or(iso).replace('T', " ");
    format!("{shown} UTC")
}

/// Milliseconds since 1970.
pub fn ms(ms: u64) -> Markup {
    iso(&Timestamp::from_s(ms / 1000).iso8601())
}

/// How long ago, roughly.
pub fn ago(ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(ms) / 1000;
    let words = Words::here();
    let amount = |count: u64| count.to_string();
    match seconds {
        0..60 => words.with("{seconds} s", &[("seconds", &amount(seconds))]),
        60..3600 => words.with("{minutes} min", &[("minutes", &amount(seconds / 60))]),
        3600..86_400 => words.with(
            "{hours} h {minutes} min",
            &[
                ("hours", &amount(seconds / 3600)),
                ("minutes", &format!("{:02}", seconds / 60 % 60)),
            ],
        ),
        _ => words.with("{days} d", &[("days", &amount(seconds / 86_400))]),
    }
}
