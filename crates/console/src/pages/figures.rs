//! What regions say of themselves: how much they are asked, and how far their replicas are behind.
//! It comes with what the admin API says of regions; nothing else is asked for it.

use std::borrow::Cow;

use maud::Markup;
use serde_json::{Map, Value};

use crate::{
    call::Call,
    pages::value,
    ui::{
        href::Href,
        map, number,
        parts::{self, Tone},
        text, time,
    },
};

/// Replicas of an idle bucket know so often that they have all there is.
const CAUGHT_UP_S: u64 = 30;
/// Replicas that lack something for longer should be looked at.
const LATE_S: u64 = 300;
/// What a region said longer ago is shown with its time.
const OLD_MS: u64 = 30_000;

/// What is written beside each region on the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Its name alone; its shape says its state.
    State,
    /// How much it is asked.
    Load,
    /// How far its replicas are behind.
    Lag,
    /// Whose law holds there.
    Law,
    /// Who runs it.
    Operator,
}

impl View {
    const ALL: [Self; 5] = [
        Self::State,
        Self::Load,
        Self::Lag,
        Self::Law,
        Self::Operator,
    ];

    /// The one that the address names.
    pub fn of(call: &Call<'_>) -> Self {
        let name = call.query.get("show").unwrap_or_default();
        let found = Self::ALL.into_iter().find(|view| view.field() == name);
        found.unwrap_or(Self::State)
    }

    /// Its name in an address.
    const fn field(self) -> &'static str {
        match self {
            Self::State => "",
            Self::Load => "load",
            Self::Lag => "lag",
            Self::Law => "law",
            Self::Operator => "operator",
        }
    }

    fn word(self, call: &Call<'_>) -> Cow<'static, str> {
        match self {
            Self::State => call.t("State"),
            Self::Load => call.t("Load"),
            Self::Lag => call.t("Its replicas"),
            Self::Law => call.t("Country"),
            Self::Operator => call.t("Operator"),
        }
    }

    /// Links to the map with each of them. Without figures there is no map of them.
    pub fn choices(self, call: &Call<'_>, figures: bool) -> Markup {
        let all = Self::ALL.into_iter();
        let all = all.filter(|view| figures || !matches!(view, Self::Load | Self::Lag));
        let all: Vec<_> = all.map(|view| (view.word(call), view)).collect();
        let tabs: Vec<(&str, Href, bool)> = all
            .iter()
            .map(|(word, view)| {
                let to = Href::to("/regions").with(&[("show", view.field())]);
                (&**word, to, *view == self)
            })
            .collect();
        parts::tabs(call, &call.t("On the map"), &tabs)
    }

    /// What is written beside a region, and the name under which it is kept up to date.
    pub fn beside(self, call: &Call<'_>, region: &Value) -> Option<(String, Option<String>)> {
        let id = value::text(region, "id");
        match self {
            Self::State => None,
            Self::Load => Some((load(call, region), Some(live_load(id)))),
            Self::Lag => Some((lag(call, region).1, Some(live_lag(id)))),
            Self::Law => {
                let country = map::country(value::text(region, "jurisdiction"));
                Some((country.to_owned(), None))
            }
            Self::Operator => Some((text::visible(value::text(region, "operator")), None)),
        }
    }
}

/// The name of a load that is kept up to date.
pub fn live_load(id: &str) -> String {
    format!("load {id}")
}

/// The same of a lag.
pub fn live_lag(id: &str) -> String {
    format!("lag {id}")
}

/// Whether the caller learns what regions say of themselves.
pub fn are_shown(regions: &[Value]) -> bool {
    regions.iter().any(|region| region.get("load").is_some())
}

fn said(region: &Value) -> Option<&Value> {
    region.get("load").filter(|load| !load.is_null())
}

fn runs(region: &Value) -> bool {
    matches!(value::text(region, "status"), "open" | "draining")
}

/// Whether what an open region says of itself is not known here.
pub fn is_unknown(region: &Value) -> bool {
    runs(region) && said(region).is_none()
}

/// What is shown of a region that has said nothing.
fn nothing(call: &Call<'_>, region: &Value) -> String {
    match runs(region) {
        true => call.t("unknown").into_owned(),
        false => "\u{2013}".to_owned(),
    }
}

/// The same with when it was said, if that is long ago.
fn aged(call: &Call<'_>, said: &Value, text: String) -> String {
    let at = value::text(said, "at");
    let since = types::Timestamp::parse_iso8601(at).map(types::Timestamp::ms);
    let age = since.map_or(u64::MAX, |ms| {
        call.console.clock.now().ms().saturating_sub(ms)
    });
    match age > OLD_MS {
        false => text,
        true => call.with(
            "{figure} at {time}",
            &[("figure", &text), ("time", &time::text(at))],
        ),
    }
}

/// Requests in a second.
pub fn load(call: &Call<'_>, region: &Value) -> String {
    let Some(said) = said(region) else {
        return nothing(call, region);
    };
    let rate = number::rate(value::number(said, "requests_per_minute"));
    aged(call, said, call.with("{count}/s", &[("count", &rate)]))
}

/// How far the replicas that the region keeps are behind, and what to think of it.
pub fn lag(call: &Call<'_>, region: &Value) -> (Tone, String) {
    let Some(said) = said(region) else {
        return (Tone::Plain, nothing(call, region));
    };
    let behind = said.get("behind_s").and_then(Value::as_u64);
    let (tone, text) = match behind {
        _ if value::number(said, "replicas") == 0 => {
            (Tone::Plain, call.t("keeps none").into_owned())
        }
        None => (Tone::Warn, call.t("not caught up yet").into_owned()),
        Some(0..=CAUGHT_UP_S) => (Tone::Good, call.t("up to date").into_owned()),
        Some(seconds) => {
            let tone = if seconds > LATE_S {
                Tone::Bad
            } else {
                Tone::Warn
            };
            let time = time::ago(0, seconds.saturating_mul(1000));
            (tone, call.with("{time} behind", &[("time", &time)]))
        }
    };
    (tone, aged(call, said, text))
}

/// All of them, for a script.
pub fn texts(call: &Call<'_>, regions: &[Value]) -> Value {
    let mut all = Map::new();
    for region in regions.iter().filter(|region| region.get("load").is_some()) {
        let id = value::text(region, "id");
        all.insert(live_load(id), load(call, region).into());
        all.insert(live_lag(id), lag(call, region).1.into());
    }
    Value::Object(all)
}
