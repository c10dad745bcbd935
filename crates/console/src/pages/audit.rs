//! The audit log: what was changed in the registry, by whom, newest first. The entries are chained
//! by hashes; the last hash is shown large enough to be read out.

use maud::{Markup, html};
use proof::{Head, bundle::fingerprint};
use serde_json::{Value, json};

use crate::{
    audit_check::{self, Check, Outcome},
    call::Call,
    pages::{
        audit_filter::{self, Filter, Found},
        value,
    },
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, note},
        text, time,
    },
};

/// Entries on a page.
const PAGE: usize = 200;

/// A page of entries: those before `before`, or the last ones.
pub async fn show(call: &Call<'_>) -> Answer {
    let length = *call.console.backend.registry().watch().borrow();
    let before = call.query.get("before").and_then(|text| text.parse().ok());
    let before = before.unwrap_or(length).min(length);
    let filter = Filter::of(call, &call.query)?;
    let Found { entries, left } = audit_filter::look(call, &filter, (before, PAGE)).await?;
    let newest = before == length && !filter.is_set();
    let body = html! {
        p {
            (call.count(("The log has 1 entry.", "The log has {count} entries."), length, &[])) " "
            (call.t("Each has the hash of the one before it: who has the last hash can show that \
                     nothing was changed or left out."))
        }
        @if newest && let Some(last) = entries.first() {
            (parts::facts(&[
                (&call.t("Last entry"), html! { (number::grouped(value::number(last, "number"))) }),
                (&call.t("Its hash"), html! { span.hash { (text::code(value::text(last, "hash"))) } }),
            ]))
            (verification(call))
        }
        (audit_filter::form(call, &call.query))
        @if filter.is_set() { p role="status" { (searched(call, (left, before), entries.len())) } }
        @if !entries.is_empty() { (parts::table(&call.t("Audit log"), &table(call, &entries))) }
        @else if !filter.is_set() { p.lead { (call.t("There is no entry before this one.")) } }
        (further(call, (left, before, length)))
    };
    Page::new(call.t("Audit log"), body).into()
}

/// What was found in which part of the log.
fn searched(call: &Call<'_>, (left, before): (u64, u64), found: usize) -> String {
    let values = [
        ("from", &*number::grouped(left)),
        ("to", &number::grouped(before.saturating_sub(1))),
    ];
    call.count(
        (
            "1 entry was found among those from {from} to {to}.",
            "{count} entries were found among those from {from} to {to}.",
        ),
        found as u64,
        &values,
    )
}

/// The ways to earlier entries and back, with the same filter.
fn further(call: &Call<'_>, (left, before, length): (u64, u64, u64)) -> Markup {
    let fields = audit_filter::FIELDS;
    let kept = fields.map(|name| (name, call.query.get(name).unwrap_or_default()));
    let left_text = left.to_string();
    let earlier = Href::to("/audit")
        .with(&kept)
        .and(&[("before", &left_text)]);
    html! {
        p.more {
            @if left > 0 {
                a.button rel="next" href=(earlier) { (call.t("Earlier entries")) }
            }
            @if before < length {
                a.button href=(Href::to("/audit").with(&kept)) { (call.t("The last entries")) }
            }
            span.hint {
                (call.t("To verify the chain on a machine of yours:")) " "
                code { "dhow audit verify" }
            }
        }
    }
}

/// What came of the last verification, and the button that begins one.
fn verification(call: &Call<'_>) -> Markup {
    let (keeps, keeper) = (
        call.console.backend.registry().keeps(),
        call.console.backend.keeper(),
    );
    let last = call.console.audit_checks.last();
    let ended = last.as_ref().and_then(|last| last.ended());
    html! {
        section #verification .card {
            h2 { (call.t("Verification")) }
            @if !keeps {
                p { (call.with(SIGNED_ELSEWHERE, &[("region", &keeper)])) }
            } @else if let (Some(last), None) = (&last, &ended) {
                (progress(call, last))
            } @else {
                @match &ended {
                    Some((outcome, at_ms)) => (verdict(call, outcome, *at_ms)),
                    None => p { (call.t(HOW)) },
                }
                (parts::button(call, "/audit/check", &[], "", &call.t("Verify the log")))
            }
        }
    }
}

const HOW: &str = "Verifying reads the whole log, computes every hash anew, and compares the last one \
                   with the one that this region signs.";
const SIGNED_ELSEWHERE: &str =
    "Region {region} keeps the registry and signs the log: verify it there.";
const COMPARE: &str = "Compare hash and fingerprint with those that you know from elsewhere: a log that \
                       was written anew from its beginning would be good in itself.";

fn tenths(check: &Check) -> u64 {
    check.read().saturating_mul(10) / check.entries.max(1)
}

fn progress(call: &Call<'_>, check: &Check) -> Markup {
    let count = |count: u64| number::grouped(count);
    let values = [
        ("read", count(check.read())),
        ("entries", count(check.entries)),
    ];
    let values = values.each_ref().map(|(name, value)| (*name, &**value));
    html! {
        div data-live="/audit/check" data-state=(tenths(check)) {
            p role="status" { (call.with("{read} of {entries} entries are read.", &values)) }
            progress max=(check.entries) value=(check.read()) aria-label=(call.t("Under way")) {}
        }
        p { a.button href="/audit" { (call.t("Show what is new")) } }
        script type="module" src=(call.console.assets.path("live.js")) {}
    }
}

fn verdict(call: &Call<'_>, outcome: &Outcome, at_ms: u64) -> Markup {
    let said = |tone, words: &str, why: &str| {
        let why = text::ours(call.words.later(why));
        note(
            tone,
            &html! { p role="status" { (words) " " bdi { (why) } } },
        )
    };
    html! {
        @match outcome {
            Outcome::Good(head, signed) => {
                (note(Tone::Good, &html! { p role="status" { (good(call, head)) } }))
                (parts::facts(&[
                    (&call.t("Hash of the last one"), hash(&head.hash.to_string())),
                    (&call.t("Signed by region"), text::code(&signed.region)),
                    (&call.t("Signed"), time::ms(signed.at_ms)),
                    (&call.t("Fingerprint of its key"), hash(&fingerprint(&signed.public_key).to_string())),
                    (&call.t("Verified"), time::ms(at_ms)),
                ]))
                p.hint { (call.t(COMPARE)) }
            }
            Outcome::Wrong(why) => (said(Tone::Bad, &call.t("The log is not good:"), why)),
            Outcome::Broken(why) => {
                (said(Tone::Warn, &call.t("The log could not be read to its end:"), why))
            }
        }
    }
}

fn good(call: &Call<'_>, head: &Head) -> String {
    call.count(
        (
            "Good: the log has 1 entry, and it is signed.",
            "Good: each of {count} entries follows on the one before, and the last one is signed.",
        ),
        head.number.saturating_add(1),
        &[],
    )
}

fn hash(text: &str) -> Markup {
    html! { span.hash { (text::code(text)) } }
}

/// How far a verification is, for a script.
pub async fn check_state(call: &Call<'_>) -> Answer {
    let last = call.console.audit_checks.last();
    let goes_on = last.filter(|last| last.ended().is_none());
    let state = goes_on.map_or_else(|| "ended".to_owned(), |last| tenths(&last).to_string());
    Ok(Reply::Json(json!({ "state": state })))
}

/// Begins a verification, and shows how far it is.
pub async fn check(call: &Call<'_>) -> Answer {
    audit_check::begin(call).await?;
    Ok(Reply::See(Href::to("/audit").and_part("verification")))
}

fn table(call: &Call<'_>, entries: &[Value]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th.right scope="col" { (call.t("Number")) }
                    th scope="col" { (call.t("Time")) }
                    th scope="col" { (call.t("Who")) }
                    th scope="col" { (call.t("What")) }
                    th scope="col" { (call.t("On")) }
                    th scope="col" { (call.t("Details")) }
                }
            }
            tbody { @for entry in entries { (row(call, entry)) } }
        }
    }
}

fn row(call: &Call<'_>, entry: &Value) -> Markup {
    let detail = value::text(entry, "detail");
    html! {
        tr {
            td.right { (number::grouped(value::number(entry, "number"))) }
            td { (time::ms(value::number(entry, "at_ms"))) }
            td.name.by { (text::short(value::text(entry, "actor"))) }
            td { (text::code(value::text(entry, "action"))) }
            td.name { (text::short(value::text(entry, "subject"))) }
            td {
                @if !detail.is_empty() {
                    details {
                        summary { (call.t("Show")) }
                        pre.wrap { (text::name(detail)) }
                    }
                }
            }
        }
    }
}
