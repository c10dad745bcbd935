//! Which entries of the audit log somebody looks for, and looking for them: backwards from an entry
//! on, a bounded part of the log at a time.

use std::borrow::Cow;

use http::Method;
use maud::{Markup, html};
use serde_json::Value;
use types::Timestamp;

use crate::{call::Call, fault::Fault, fields::Fields, pages::value};

/// Entries that are read at once.
pub const WINDOW: u64 = 1000;
/// Entries that are looked at for one page.
const LOOKED_MAX: u64 = 20_000;
/// The longest text that is looked for.
const TEXT_MAX: usize = 200;
/// The fields, as forms and addresses have them.
pub const FIELDS: [&str; 5] = ["actor", "action", "subject", "from", "to"];

/// What is looked for: every field that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    actor: String,
    action: String,
    subject: String,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
}

/// A time as browsers send it, which is meant as UTC.
fn moment(text: &str, to_its_end: bool) -> Option<u64> {
    let whole = match text.len() {
        10 if to_its_end => format!("{text}T23:59:59Z"),
        10 => format!("{text}T00:00:00Z"),
        16 if to_its_end => format!("{text}:59Z"),
        16 => format!("{text}:00Z"),
        _ => format!("{}Z", text.trim_end_matches('Z')),
    };
    let read = Timestamp::parse_iso8601(&whole)?.ms();
    Some(if to_its_end { read + 999 } else { read })
}

impl Filter {
    /// What the fields say.
    pub fn of(call: &Call<'_>, fields: &Fields) -> Result<Self, Fault> {
        let text = |name: &str| {
            let given = fields.get(name).unwrap_or_default().trim();
            given
                .chars()
                .take(TEXT_MAX)
                .collect::<String>()
                .to_lowercase()
        };
        let time = |name: &str, to_its_end: bool| {
            let given = fields.some(name).map(str::trim);
            let read = given.map(|given| moment(given, to_its_end));
            match read {
                Some(None) => Err(Fault::Bad(
                    call.t("A time is like 2026-11-30T09:00, in UTC."),
                )),
                read => Ok(read.flatten()),
            }
        };
        Ok(Self {
            actor: text("actor"),
            action: text("action"),
            subject: text("subject"),
            from_ms: time("from", false)?,
            to_ms: time("to", true)?,
        })
    }

    /// Whether it leaves anything out.
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }

    /// Whether an entry is looked for.
    pub fn takes(&self, entry: &Value) -> bool {
        let at = value::number(entry, "at_ms");
        let has = |name, wanted: &str| {
            wanted.is_empty() || value::text(entry, name).to_lowercase().contains(wanted)
        };
        self.from_ms.is_none_or(|from| at >= from)
            && self.to_ms.is_none_or(|to| at <= to)
            && has("actor", &self.actor)
            && value::text(entry, "action").starts_with(&self.action)
            && has("subject", &self.subject)
    }

    /// Whether everything before this entry is older than what is looked for. No entry is older
    /// than the one before it.
    fn ends_at(&self, entry: &Value) -> bool {
        let at = value::number(entry, "at_ms");
        self.from_ms.is_some_and(|from| at < from)
    }

    /// The same of what comes after it.
    pub fn is_over(&self, entry: &Value) -> bool {
        let at = value::number(entry, "at_ms");
        self.to_ms.is_some_and(|to| at > to)
    }
}

/// What was found.
pub struct Found {
    /// Entries, the newest first.
    pub entries: Vec<Value>,
    /// All before this one was not looked at; 0: there is nothing before.
    pub left: u64,
}

/// Looks for entries before `before`, `most` of them.
pub async fn look(
    call: &Call<'_>,
    filter: &Filter,
    (before, most): (u64, usize),
) -> Result<Found, Fault> {
    let (mut entries, mut left) = (Vec::new(), before);
    let stop = before.saturating_sub(LOOKED_MAX);
    let at_once = match filter.is_set() {
        true => WINDOW,
        false => most as u64,
    };
    while left > stop {
        let from = left.saturating_sub(at_once);
        let mut window = read(call, from, left).await?;
        window.reverse();
        for entry in window {
            left = value::number(&entry, "number");
            if filter.ends_at(&entry) {
                return Ok(Found { entries, left: 0 });
            }
            if filter.takes(&entry) {
                entries.push(entry);
            }
            if entries.len() >= most {
                return Ok(Found { entries, left });
            }
        }
        left = from;
    }
    Ok(Found { entries, left })
}

/// The entries from `from` on and before `before`. An answer has as many as fit in it.
pub async fn read(call: &Call<'_>, from: u64, before: u64) -> Result<Vec<Value>, Fault> {
    let (mut next, mut entries) = (from, Vec::new());
    while next < before {
        let path = format!("audit?from={next}");
        let Value::Array(page) = call.admin(&Method::GET, &path, None).await? else {
            break;
        };
        let last = next;
        for mut change in page {
            let entry = change.get_mut("entry").map(Value::take).unwrap_or_default();
            next = value::number(&entry, "number").saturating_add(1);
            if next <= before {
                entries.push(entry);
            }
        }
        if next <= last {
            break;
        }
    }
    Ok(entries)
}

/// The form of the filter, and below it that of the file.
pub fn form(call: &Call<'_>, fields: &Fields) -> Markup {
    let field = |name: &'static str, label: Cow<'static, str>, kind: &str| {
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) name=(name) type=(kind) maxlength=[(kind == "text").then_some("200")]
                    value=(fields.get(name).unwrap_or_default()) dir="ltr" data-filter[name == "actor"];
            }
        }
    };
    let export = "/audit/export";
    html! {
        details.card open[FIELDS.iter().any(|name| fields.some(name).is_some())] {
            summary { (call.t("Look for entries, or save them")) }
            form.stack.wide method="get" action="/audit" {
                div.trio {
                    (field("actor", call.t("Who (part of it)"), "text"))
                    (field("action", call.t("What (its beginning, such as bucket.)"), "text"))
                    (field("subject", call.t("On (bucket, account or region)"), "text"))
                    (field("from", call.t("From (UTC)"), "datetime-local"))
                    (field("to", call.t("Until (UTC)"), "datetime-local"))
                }
                div.actions {
                    button.primary { (call.t("Look")) }
                    a.button href="/audit" { (call.t("All entries")) }
                }
            }
            form.stack method="post" action=(export) {
                (call.token(export))
                @for name in FIELDS {
                    input type="hidden" name=(name) value=(fields.get(name).unwrap_or_default());
                }
                p.hint { (call.t(SAVES)) }
                div.actions {
                    button name="as" value="jsonl" { (call.t("Save as JSON lines")) }
                    button name="as" value="csv" { (call.t("Save as CSV")) }
                }
            }
        }
    }
}

const SAVES: &str = "A file has all entries that the fields above take, as they were when this page was \
                     made. JSON lines have each entry with its hash.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_utc_and_end_with_their_minute_or_day() {
        for (text, from, to) in [
            ("1970-01-02", 86_400_000, 172_799_999),
            ("1970-01-01T00:01", 60_000, 119_999),
            ("1970-01-01T00:00:07", 7_000, 7_999),
            ("1970-01-01T00:00:07Z", 7_000, 7_999),
        ] {
            assert_eq!(moment(text, false), Some(from), "{text}");
            assert_eq!(moment(text, true), Some(to), "{text}");
        }
        for bad in ["", "yesterday", "1970-13-01", "=1+1"] {
            assert_eq!(moment(bad, false), None, "{bad}");
        }
    }

    #[test]
    fn an_entry_has_all_that_is_looked_for() {
        let entry = json!({
            "at_ms": 5000, "actor": "key AKIA of 42", "action": "bucket.place", "subject": "Photos",
        });
        let filter = |actor: &str, action: &str, subject: &str, from_ms, to_ms| Filter {
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            from_ms,
            to_ms,
        };
        for (taken, filter) in [
            (true, Filter::default()),
            (
                true,
                filter("akia", "bucket.", "photos", Some(5000), Some(5000)),
            ),
            (false, filter("akib", "", "", None, None)),
            // From its beginning: else `key.` would find what is none.
            (false, filter("", "place", "", None, None)),
            (false, filter("", "", "films", None, None)),
            (false, filter("", "", "", Some(5001), None)),
            (false, filter("", "", "", None, Some(4999))),
        ] {
            assert_eq!(filter.takes(&entry), taken, "{filter:?}");
        }
        assert!(filter("", "", "", Some(5001), None).ends_at(&entry));
        assert!(filter("", "", "", None, Some(4999)).is_over(&entry));
    }
}
