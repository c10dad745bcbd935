//! Times for people: always UTC, and said so.

use maud::{Markup, html};
use types::Timestamp;

/// A time of S3 (ISO 8601).
pub fn iso(text: &str) -> Markup {
    let shown = text.get(..19).unwrap_or(text).replace('T', " ");
    html! { time datetime=(text) { bdi dir="ltr" { (shown) " UTC" } } }
}

/// Milliseconds since 1970.
pub fn ms(ms: u64) -> Markup {
    iso(&Timestamp::from_s(ms / 1000).iso8601())
}

/// How long ago, roughly.
pub fn ago(ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(ms) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d", seconds / 86_400),
    }
}
