//! How far the opening of a region is: what it has done, what is to be typed on its machine next,
//! and the way out. All of it follows from the registry, so that the page can be left.

use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    pages::value,
    reply::{Answer, Reply},
    ui::{
        number,
        parts::{self, Tone},
    },
};

/// For how many hours a token is good, unless the form says otherwise.
pub const HOURS: &str = "24";

/// What a region has done last on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Planned,
    Joined,
    Started,
    CaughtUp,
    Open,
}

impl Phase {
    /// Of a region that has so many entries of the registry, of those that there are.
    fn of(status: &str, joined: bool, (has, all): (Option<u64>, u64)) -> Self {
        match (status, has) {
            ("planned", _) if !joined => Self::Planned,
            ("planned" | "joining", None) => Self::Joined,
            ("planned" | "joining", Some(has)) if has < all => Self::Started,
            ("planned" | "joining", Some(_)) => Self::CaughtUp,
            _ => Self::Open,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Joined => "joined",
            Self::Started => "started",
            Self::CaughtUp => "caught-up",
            Self::Open => "open",
        }
    }
}

/// Entries of the registry that a region has, and that there are.
fn entries(call: &Call<'_>, region: &Value) -> (Option<u64>, u64) {
    let has = region.get("follows").and_then(Value::as_u64);
    (has, *call.console.backend.registry().watch().borrow())
}

fn phase(call: &Call<'_>, region: &Value) -> Phase {
    let joined = !value::list(region, "certificates").is_empty();
    let status = value::text(region, "status");
    Phase::of(status, joined, entries(call, region))
}

/// What a region that is not open yet has done, and what it does next.
pub fn show(call: &Call<'_>, region: &Value, gives_up: bool) -> Markup {
    let (now, id) = (phase(call, region), value::text(region, "id"));
    let step = |phase: Phase, name: &str| {
        let (tone, word) = match phase {
            _ if phase <= now => (Tone::Good, call.t("done")),
            _ if is_next(phase, now) => (Tone::Warn, call.t("next")),
            _ => (Tone::Plain, call.t("to come")),
        };
        html! { li { (parts::badge(tone, &word)) " " (name) } }
    };
    html! {
        section.card data-live={ "/regions/state?id=" (id) } data-state=(now.name()) {
            h2 { (call.t("Opening")) }
            ol.steps {
                (step(Phase::Planned, &call.t("It is planned.")))
                (step(Phase::Joined, &call.t("It has joined with its token, and has a certificate.")))
                (step(Phase::Started, &call.t("It has started, and reads the registry.")))
                (step(Phase::CaughtUp, &call.t("It has all of the registry.")))
                (step(Phase::Open, &call.t("It was admitted, and is open.")))
            }
            p role="status" data-text="entries" { (read(call, region)) }
            (next(call, region, now))
            div.actions {
                @if gives_up && now == Phase::Planned { (new_token(call, region)) }
                @if gives_up {
                    (parts::button(call, "/regions/close", &[("id", id)], "danger", &call.t("Give it up")))
                }
            }
            p.hint { (call.t(FOLLOWS)) }
        }
        script type="module" src=(call.console.assets.path("live.js")) {}
    }
}

const FOLLOWS: &str = "This page shows each step when it is done. You can leave it and come back.";

fn is_next(phase: Phase, now: Phase) -> bool {
    matches!(
        (now, phase),
        (Phase::Planned, Phase::Joined)
            | (Phase::Joined, Phase::Started)
            | (Phase::Started, Phase::CaughtUp)
            | (Phase::CaughtUp, Phase::Open)
    )
}

/// How much of the registry it has.
fn read(call: &Call<'_>, region: &Value) -> String {
    let (has, all) = entries(call, region);
    has.map_or_else(String::new, |has| {
        let values = [
            ("has", &*number::grouped(has.min(all))),
            ("all", &number::grouped(all)),
        ];
        call.with("It has {has} of {all} entries of the registry.", &values)
    })
}

/// What is to be typed on its machine.
fn next(call: &Call<'_>, region: &Value, now: Phase) -> Markup {
    let id = value::text(region, "id");
    let starts = format!("dhow up --data ./{id} --listen HOST:9000 --peer HOST:9003");
    let (says, lines) = match now {
        Phase::Planned => (
            call.t(WITH_TOKEN),
            format!("export DHOW_JOIN=TOKEN\n{starts}\n"),
        ),
        Phase::Joined => (call.t(AGAIN), format!("{starts}\n")),
        Phase::Started | Phase::CaughtUp => (call.t(WAITS), format!("dhow doctor --data ./{id}\n")),
        Phase::Open => return html! {},
    };
    html! {
        h3 { (call.t("Next, on the machine of the region")) }
        pre tabindex="0" { code dir="ltr" { (lines) } }
        p.hint { (says) }
    }
}

const WITH_TOKEN: &str = "TOKEN is what was shown when the region was planned. It is shown once: if it \
                          is lost or has expired, make a new one. The old one is refused then.";
const AGAIN: &str = "It has its certificate and needs no token any more. If its process does not run, \
                     start it with this line.";
const WAITS: &str =
    "There is nothing to type: it goes on by itself. If it does not, this says why.";

/// The same plan once more gives a new token.
fn new_token(call: &Call<'_>, region: &Value) -> Markup {
    let addresses = value::texts(region, "addresses").join(" ");
    let (north, east) = (
        value::decimal(region, "latitude").to_string(),
        value::decimal(region, "longitude").to_string(),
    );
    let text = |name| value::text(region, name);
    let fields = [
        ("id", text("id")),
        ("city", text("city")),
        ("latitude", &*north),
        ("longitude", &*east),
        ("jurisdiction", text("jurisdiction")),
        ("operator", text("operator")),
        ("addresses", &*addresses),
        ("hours", HOURS),
    ];
    let route = "/regions/plan/act";
    parts::button(call, route, &fields, "", &call.t("Make a new token"))
}

/// How far a region is, for a script.
pub async fn state(call: &Call<'_>) -> Answer {
    let id = access::sign::encode(call.query.get("id").unwrap_or_default());
    let path = format!("regions/{id}");
    let region = call.admin(&Method::GET, &path, None).await?;
    Ok(Reply::Json(json!({
        "state": phase(call, &region).name(),
        "texts": { "entries": read(call, &region) },
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_follows_from_what_is_on_record() {
        let of = |status, joined, has| Phase::of(status, joined, (has, 10));
        for (status, joined, has, phase) in [
            ("planned", false, None, Phase::Planned),
            ("planned", true, None, Phase::Joined),
            ("joining", true, None, Phase::Joined),
            ("joining", true, Some(0), Phase::Started),
            ("joining", true, Some(9), Phase::Started),
            ("joining", true, Some(10), Phase::CaughtUp),
            ("open", true, Some(3), Phase::Open),
            ("closed", true, None, Phase::Open),
        ] {
            assert_eq!(of(status, joined, has), phase, "{status} {has:?}");
        }
    }
}
