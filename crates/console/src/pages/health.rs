//! How this region is doing, for whoever runs it: what `dhow doctor` finds and what to do about it,
//! the disk and what is stored on it, and the certificates of all regions.

use access::grants::{Action, Grant};
use http::Method;
use maud::{Markup, html};
use serde_json::Value;

use crate::{
    call::Call,
    fault::Fault,
    pages::{regions, value},
    reply::{Answer, Page},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge, facts, note},
        text, time,
    },
};

/// A certificate with less left should have been renewed.
const SOON_MS: u64 = 5 * 86_400_000;

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    let regions = regions::all(call).await?;
    if let Some(page) = not_here(call, &regions) {
        return page.into();
    }
    let health = call.admin(&Method::GET, "health", None).await?;
    let found = value::list(&health, "findings");
    let body = html! {
        (verdict(call, found))
        (parts::table(&call.t("What was looked at"), &findings(call, found)))
        p.hint { (call.t("On the machine:")) " " code { "dhow doctor" } }
        div.cards {
            section.card { h2 { (call.t("Capacity")) } (capacity(call, &health)) }
            section.card { h2 { (call.t("Stored here")) } (stored(call, &health)) }
        }
        section {
            h2 { (call.t("Certificates")) }
            (parts::table(&call.t("Certificates"), &certificates(call, &regions)))
        }
    };
    Page::new(call.t("Health"), body)
        .with(html! {
            a.button href="/scrub" { (call.t("Verify stored bytes")) }
            a.button href="/health" { (call.t("Look again")) }
        })
        .into()
}

/// Whoever runs other regions than this one is shown the way there.
pub fn not_here(call: &Call<'_>, all: &[Value]) -> Option<Page> {
    let caller = call.caller?;
    let here = &*call.console.settings.region;
    let operator = caller.account.operator.as_deref().unwrap_or_default();
    let own = |region: &&Value| value::text(region, "operator") == operator;
    let is_here = |region: &Value| value::text(region, "id") == here;
    let grant = caller.grant(Action::SeeHealth);
    if grant != Grant::OwnRegions || all.iter().filter(own).any(is_here) {
        return None;
    }
    let body = html! {
        p.lead { (call.with("Region {region} is another operator's.", &[("region", here)])) }
        @let own: Vec<&Value> = all.iter().filter(own).collect();
        @if own.is_empty() { p { (call.t("Your operator has no region yet.")) } }
        @else {
            p { (call.t("A region is looked at in its own console. Those of your operator:")) }
            ul {
                @for region in own {
                    @let id = value::text(region, "id");
                    li {
                        @match Href::region(value::text(region, "endpoint")) {
                            Some(to) => { a href=(to) rel="noopener noreferrer" { (text::code(id)) } }
                            None => { (text::code(id)) }
                        }
                    }
                }
            }
        }
    };
    Some(Page::new(call.t("Another operator's region"), body))
}

fn level(call: &Call<'_>, found: &Value) -> Markup {
    match value::text(found, "level") {
        "ok" => badge(Tone::Good, &call.t("fine")),
        "warn" => badge(Tone::Warn, &call.t("warning")),
        _ => badge(Tone::Bad, &call.t("must be corrected")),
    }
}

fn verdict(call: &Call<'_>, found: &[Value]) -> Markup {
    let of = |level: &str| {
        let all = found.iter();
        all.filter(|one| value::text(one, "level") == level).count() as u64
    };
    let (failed, warned) = (of("fail"), of("warn"));
    let (tone, words) = match (failed, warned) {
        (0, 0) => (
            Tone::Good,
            call.t("Nothing is wrong with this region.").into_owned(),
        ),
        (0, warned) => (
            Tone::Warn,
            call.count(
                ("There is 1 warning.", "There are {count} warnings."),
                warned,
                &[],
            ),
        ),
        (failed, _) => (
            Tone::Bad,
            call.count(
                (
                    "1 thing must be corrected.",
                    "{count} things must be corrected.",
                ),
                failed,
                &[],
            ),
        ),
    };
    note(tone, &html! { p role="status" { (words) } })
}

/// What is wrong comes first. Findings are in English, as on the command line.
fn findings(call: &Call<'_>, found: &[Value]) -> Markup {
    let mut sorted: Vec<&Value> = found.iter().collect();
    let order = |one: &&Value| match value::text(one, "level") {
        "fail" => 0,
        "warn" => 1,
        _ => 2,
    };
    sorted.sort_by_key(order);
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Looked at")) }
                    th scope="col" { (call.t("State")) }
                    th scope="col" { (call.t("Found")) }
                    th scope="col" { (call.t("What to do")) }
                }
            }
            tbody lang="en" {
                @for one in sorted {
                    tr {
                        th scope="row" { (text::name(value::text(one, "check"))) }
                        td { (level(call, one)) }
                        td.name { (text::name(value::text(one, "found"))) }
                        td.name {
                            @match value::text(one, "do") {
                                "" => "\u{2013}",
                                advice => (text::name(advice)),
                            }
                        }
                    }
                }
            }
        }
    }
}

fn capacity(call: &Call<'_>, health: &Value) -> Markup {
    let disk = health.get("disk").filter(|disk| !disk.is_null());
    let Some(disk) = disk else {
        return html! { p { (call.t("not measured")) } };
    };
    let (size, free) = (
        value::number(disk, "size_bytes"),
        value::number(disk, "free_bytes"),
    );
    let used = size.saturating_sub(free);
    let percent = used
        .saturating_mul(100)
        .checked_div(size)
        .unwrap_or_default();
    let percent = percent.to_string();
    html! {
        (facts(&[
            (&call.t("Disk"), number::bytes(size)),
            (&call.t("Used"), html! {
                (number::bytes(used)) " " (call.with("({percent} %)", &[("percent", &percent)]))
            }),
            (&call.t("Free"), number::bytes(free)),
        ]))
        meter min="0" max=(size) value=(used) aria-label=(call.t("Used")) { (percent) " %" }
        p.hint { (call.t("Other programs on the disk count, too. No history of these figures is kept here.")) }
    }
}

fn stored(call: &Call<'_>, health: &Value) -> Markup {
    let sums = value::list(health, "stored");
    if sums.is_empty() {
        return html! { p { (call.t("It is not counted yet.")) } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label=(call.t("Stored here")) {
            table {
                thead {
                    tr {
                        th scope="col" { (call.t("As")) }
                        th.right scope="col" { (call.t("Buckets")) }
                        th.right scope="col" { (call.t("Versions")) }
                        th.right scope="col" { (call.t("Bytes")) }
                    }
                }
                tbody {
                    @for sum in sums {
                        tr {
                            th scope="row" {
                                (match value::text(sum, "holds") {
                                    "home" => call.t("home"),
                                    "replica" => call.t("replica"),
                                    _ => call.t("sealed replica"),
                                })
                            }
                            td.right { (number::grouped(value::number(sum, "buckets"))) }
                            td.right { (number::grouped(value::number(sum, "versions"))) }
                            td.right { (number::bytes(value::number(sum, "bytes"))) }
                        }
                    }
                }
            }
        }
        p.hint { (call.t("Counted:")) " " (time::iso(value::text(health, "counted"))) }
    }
}

fn certificates(call: &Call<'_>, regions: &[Value]) -> Markup {
    let now = call.console.clock.now();
    let soon = types::Timestamp::from_ms(now.ms() + SOON_MS).iso8601();
    let (now, soon) = (now.iso8601(), soon);
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Region")) }
                    th scope="col" { (call.t("Serial")) }
                    th scope="col" { (call.t("Expires")) }
                    th scope="col" { (call.t("State")) }
                }
            }
            tbody {
                @for region in regions {
                    @let id = value::text(region, "id");
                    @for one in value::list(region, "certificates") {
                        // ISO 8601 in UTC: the order of the texts is that of the times.
                        @let expires = value::text(one, "expires");
                        tr {
                            th scope="row" {
                                a href=(Href::to("/regions/show").with(&[("id", id)])) { (text::code(id)) }
                            }
                            td { (text::code(value::text(one, "serial"))) }
                            td { (time::iso(expires)) }
                            td {
                                @if value::yes(one, "revoked") { (badge(Tone::Bad, &call.t("revoked"))) }
                                @else if expires <= &*now { (badge(Tone::Plain, &call.t("expired"))) }
                                @else if expires <= &*soon { (badge(Tone::Warn, &call.t("expires soon"))) }
                                @else { (badge(Tone::Good, &call.t("valid"))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Why a page of this region alone is refused to others, before anything is asked.
pub async fn own_only(call: &Call<'_>) -> Result<Option<Page>, Fault> {
    Ok(not_here(call, &regions::all(call).await?))
}
