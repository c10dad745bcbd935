//! The regions of the cloud: on the map, as a table, and one by itself.

use access::grants::{Action, Grant};
use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    pages::{
        figures::{self, View},
        phases, rekeying, value,
    },
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        map::{self, Mark, Shape},
        number,
        parts::{self, Tone, badge},
        text, time,
    },
};

/// What a region is like, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Planned,
    Joining,
    Open,
    Draining,
    Silent,
    Closed,
}

impl State {
    fn of(region: &Value) -> Self {
        let silent = region.get("reachable").and_then(Value::as_bool) == Some(false);
        match value::text(region, "status") {
            "planned" => Self::Planned,
            "joining" => Self::Joining,
            "closed" => Self::Closed,
            _ if silent => Self::Silent,
            "draining" => Self::Draining,
            _ => Self::Open,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Joining => "joining",
            Self::Open => "open",
            Self::Draining => "draining",
            Self::Silent => "does not answer",
            Self::Closed => "closed",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Open => Tone::Good,
            Self::Draining | Self::Joining => Tone::Warn,
            Self::Silent => Tone::Bad,
            Self::Planned | Self::Closed => Tone::Plain,
        }
    }

    fn shape(self) -> (Shape, &'static str) {
        match self {
            Self::Open => (Shape::Disc, "good"),
            Self::Planned => (Shape::Ring, ""),
            Self::Joining => (Shape::Dashed, "warn"),
            Self::Draining => (Shape::Triangle, "warn"),
            Self::Silent => (Shape::Diamond, "bad"),
            Self::Closed => (Shape::Cross, ""),
        }
    }
}

fn shown(region: &Value) -> Href {
    Href::to("/regions/show").with(&[("id", value::text(region, "id"))])
}

/// The mark of a region on the map.
pub fn mark(call: &Call<'_>, region: &Value) -> Mark {
    let (id, state) = (value::text(region, "id"), State::of(region));
    let (shape, tone) = state.shape();
    let country = map::country(value::text(region, "jurisdiction"));
    let mut title = format!("{id}: {}", call.t(state.word()));
    for part in [value::text(region, "city"), country] {
        if !part.is_empty() {
            title = format!("{title}, {part}");
        }
    }
    let keeps = value::yes(region, "keeps_registry");
    if keeps {
        title = format!("{title}, {}", call.t("keeps the registry"));
    }
    Mark {
        label: text::visible(id),
        title: text::visible(&title),
        latitude: value::decimal(region, "latitude"),
        longitude: value::decimal(region, "longitude"),
        shape,
        tone,
        ringed: keeps,
        href: Some(shown(region)),
        beside: None,
    }
}

/// All regions, as the admin API knows them.
pub async fn all(call: &Call<'_>) -> Result<Vec<Value>, Fault> {
    let regions = call.admin(&Method::GET, "regions", None).await?;
    Ok(regions.as_array().cloned().unwrap_or_default())
}

/// The map and the table.
pub async fn show(call: &Call<'_>) -> Answer {
    let regions = all(call).await?;
    let open = regions.iter().filter(|r| State::of(r) != State::Closed);
    let mut countries: Vec<&str> = open.map(|r| value::text(r, "jurisdiction")).collect();
    countries.sort_unstable();
    countries.dedup();
    let view = View::of(call);
    let marks = regions
        .iter()
        .map(|region| with_figures(call, region, view));
    let marks: Vec<Mark> = marks.collect();
    let number = |all: usize| all as u64;
    let caption = call.with(
        "{regions} {where}: {states}.",
        &[
            (
                "regions",
                &call.count(("1 region", "{count} regions"), number(regions.len()), &[]),
            ),
            (
                "where",
                &call.count(
                    ("in 1 country", "in {count} countries"),
                    number(countries.len()),
                    &[],
                ),
            ),
            ("states", &states(call, &regions)),
        ],
    );
    let unknown = figures::are_shown(&regions) && regions.iter().any(figures::is_unknown);
    let body = html! {
        div.on-map { (view.choices(call, figures::are_shown(&regions))) }
        (map::world(&caption, &countries, &marks))
        div data-live="/regions/live" data-every="5000" data-state=(state_of_all(&regions)) {
            (parts::table(&call.t("Regions"), &table(call, &regions)))
        }
        @if unknown { p.hint { (call.t(UNKNOWN)) } }
        script type="module" src=(call.console.assets.path("live.js")) {}
    };
    let actions = html! {
        a.button href="/operators" { (call.t("Operators")) }
        @if may_plan(call) {
            a.button.primary href="/regions/plan" { (call.t("Open a region")) }
        }
    };
    Page::new(call.t("Regions"), body).with(actions).into()
}

const UNKNOWN: &str = "A region says how much it is asked, and how far its replicas are behind, to the \
                       region that keeps the registry and to those of its own operator. Elsewhere, \
                       and before it has answered, that is unknown.";

/// A mark that also says what the region says of itself.
fn with_figures(call: &Call<'_>, region: &Value, view: View) -> Mark {
    let mut mark = mark(call, region);
    if region.get("load").is_some_and(|load| !load.is_null()) {
        let values = [
            ("load", &*figures::load(call, region)),
            ("lag", &*figures::lag(call, region).1),
            ("operator", value::text(region, "operator")),
        ];
        let said = call.with("load {load}, replicas: {lag}, operator {operator}", &values);
        mark.title = text::ours(&[&mark.title, ", ", &said].concat());
    }
    mark.beside = view.beside(call, region);
    mark
}

/// What makes the page another one: not the figures, which change all the time.
fn state_of_all(regions: &[Value]) -> String {
    let of = |region: &Value| [value::text(region, "id"), " ", State::of(region).word()].concat();
    regions.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// The states and figures of all regions, for a script.
pub async fn live(call: &Call<'_>) -> Answer {
    let regions = all(call).await?;
    Ok(Reply::Json(json!({
        "state": state_of_all(&regions),
        "texts": figures::texts(call, &regions),
    })))
}

fn may_plan(call: &Call<'_>) -> bool {
    let grant = call
        .caller
        .map(|caller| caller.grant(Action::ChangeRegions));
    grant.is_some_and(|grant| grant != Grant::No)
}

/// How many there are of each state.
fn states(call: &Call<'_>, regions: &[Value]) -> String {
    let all = [
        State::Open,
        State::Joining,
        State::Planned,
        State::Draining,
        State::Silent,
        State::Closed,
    ];
    let counted = all.into_iter().filter_map(|state| {
        let count = regions.iter().filter(|r| State::of(r) == state).count();
        (count > 0).then(|| {
            let values = [
                ("count", &*count.to_string()),
                ("state", &call.t(state.word())),
            ];
            call.with("{count} {state}", &values)
        })
    });
    counted.collect::<Vec<_>>().join(&call.t(", "))
}

fn table(call: &Call<'_>, regions: &[Value]) -> Markup {
    let figures = figures::are_shown(regions);
    html! {
        table.many data-rows {
            thead {
                tr {
                    th scope="col" { (call.t("Region")) }
                    th scope="col" { (call.t("State")) }
                    @if figures {
                        th.right scope="col" { (call.t("Load")) }
                        th scope="col" { (call.t("Its replicas")) }
                    }
                    th scope="col" { (call.t("Country")) }
                    th scope="col" { (call.t("Operator")) }
                    @if figures {
                        th.right scope="col" { (call.t("Buckets")) }
                        th scope="col" { (call.t("Last answered")) }
                    }
                }
            }
            tbody { @for region in regions { (row(call, region, figures)) } }
        }
    }
}

fn row(call: &Call<'_>, region: &Value, figures: bool) -> Markup {
    let state = State::of(region);
    let id = value::text(region, "id");
    html! {
        tr {
            th scope="row" {
                a href=(shown(region)) { (text::code(id)) }
                @if value::yes(region, "keeps_registry") {
                    " " (badge(Tone::Plain, &call.t("registry")))
                }
                @let city = value::text(region, "city");
                @if !city.is_empty() { div.hint { (text::short(city)) } }
            }
            td { (badge(state.tone(), &call.t(state.word()))) }
            @if figures {
                @let (tone, lag) = figures::lag(call, region);
                td.right data-text=(figures::live_load(id)) { (figures::load(call, region)) }
                td class=[late(tone)] data-text=(figures::live_lag(id)) { (lag) }
            }
            td { (map::country(value::text(region, "jurisdiction"))) }
            td { (text::short(value::text(region, "operator"))) }
            @if figures {
                td.right { (number::grouped(value::number(region, "buckets"))) }
                td.answered { (answered(call, region)) }
            }
        }
    }
}

/// The words say it; the colour helps to find it.
fn late(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Warn => Some("late"),
        Tone::Bad => Some("very-late"),
        Tone::Good | Tone::Plain => None,
    }
}

fn answered(call: &Call<'_>, region: &Value) -> Markup {
    let id = value::text(region, "id");
    if id == &*call.console.settings.region {
        return html! { (call.t("this region")) };
    }
    match value::text(region, "last_seen") {
        "" => html! { (call.t("not since this region started")) },
        at => time::iso(at),
    }
}

/// One region.
pub async fn one(call: &Call<'_>) -> Answer {
    let id = call.query.get("id").unwrap_or_default();
    let path = format!("regions/{}", access::sign::encode(id));
    let region = call.admin(&Method::GET, &path, None).await?;
    let opens = matches!(State::of(&region), State::Planned | State::Joining);
    let (drains, closes) = (may_drain(call, &region), may_close(call, &region));
    let promotes = may_promote(call, &region);
    let body = html! {
        @if opens { (phases::show(call, &region, closes)) }
        div.cards {
            section.card { h2 { (call.t("Region")) } (facts(call, &region)) }
            section.card {
                h2 { (call.t("Certificates")) }
                (certificates(call, &region))
                @if closes && !value::text(&region, "public_key").is_empty() {
                    (rekeying::buttons(call, &region))
                }
            }
        }
        (placed(call, id).await)
    };
    let path = html! {
        ol { li { a href="/regions" { (call.t("Regions")) } } li { (text::code(id)) } }
    };
    let mut page = Page::new(id, body).at(path);
    // On its way it is given up beside its steps.
    let closes = closes && !opens;
    if drains || closes || promotes {
        page = page.with(html! {
            @if promotes {
                a.button href=(Href::to("/promote").with(&[("region", id)])) {
                    (call.t("Give its buckets other homes"))
                }
            }
            @if drains { (drain(call, &region)) }
            @if closes {
                (parts::button(call, "/regions/close", &[("id", id)], "danger", &call.t("Close it")))
            }
        });
    }
    page.into()
}

fn facts(call: &Call<'_>, region: &Value) -> Markup {
    let state = State::of(region);
    let code = |name| match value::text(region, name) {
        "" => html! { (call.t("none")) },
        given => text::code(given),
    };
    let refused = value::text(region, "refused");
    let moves = call.t(match moving(region) {
        "moving" => "running",
        "waiting" => "waiting",
        "done" => "done",
        "aborted" => "aborted",
        _ => "none",
    });
    html! {
        (parts::facts(&[
            (&call.t("State"), badge(state.tone(), &call.t(state.word()))),
            (&call.t("City"), text::name(value::text(region, "city"))),
            (&call.t("Country"), html! {
                (map::country(value::text(region, "jurisdiction")))
                " (" (value::text(region, "jurisdiction")) ")"
            }),
            (&call.t("Operator"), text::name(value::text(region, "operator"))),
            (&call.t("Registry"), html! {
                @if value::yes(region, "keeps_registry") { (call.t("kept here")) }
                @else { (call.t("followed")) }
            }),
            (&call.t("Endpoint"), code("endpoint")),
            (&call.t("Move of its buckets"), html! { (moves) }),
        ]))
        @if region.get("load").is_some() { (of_operators(call, region)) }
        @for why in [refused, value::text(region, "withheld")] {
            @if !why.is_empty() {
                (parts::note(Tone::Bad, &html! { p { (text::name(why)) } }))
            }
        }
    }
}

/// What only those see who run regions or audit them.
fn of_operators(call: &Call<'_>, region: &Value) -> Markup {
    let code = |name| match value::text(region, name) {
        "" => html! { (call.t("none")) },
        given => text::code(given),
    };
    let (_, lag) = figures::lag(call, region);
    parts::facts(&[
        (&call.t("Load"), html! { (figures::load(call, region)) }),
        (&call.t("Its replicas"), html! { (lag) }),
        (
            &call.t("Buckets"),
            html! { (number::grouped(value::number(region, "buckets"))) },
        ),
        (&call.t("Last answered"), answered(call, region)),
        (&call.t("For other regions"), code("peer")),
        (&call.t("Public key"), code("public_key")),
    ])
}

fn certificates(call: &Call<'_>, region: &Value) -> Markup {
    let all = value::list(region, "certificates");
    html! {
        @if all.is_empty() { p { (call.t("None is issued: it has not joined.")) } }
        @else {
            (parts::table(&call.t("Certificates"), &issued(call, all)))
        }
    }
}

fn issued(call: &Call<'_>, all: &[Value]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Serial")) }
                    th scope="col" { (call.t("State")) }
                    th scope="col" { (call.t("Expires")) }
                }
            }
            tbody {
                @for one in all {
                    tr {
                        th scope="row" { (text::code(value::text(one, "serial"))) }
                        td {
                            @if value::yes(one, "revoked") {
                                (badge(Tone::Bad, &call.t("revoked")))
                            } @else { (badge(Tone::Good, &call.t("valid"))) }
                        }
                        td { (time::iso(value::text(one, "expires"))) }
                    }
                }
            }
        }
    }
}

/// Buckets of a region that are listed on its page.
const PLACED_MAX: usize = 200;

/// What is placed in the region, of the buckets that the caller may see.
async fn placed(call: &Call<'_>, id: &str) -> Markup {
    let buckets = match call.admin(&Method::GET, "buckets", None).await {
        Ok(buckets) => buckets,
        Err(fault) => return parts::or_why(call, Err(fault)),
    };
    let all = buckets.as_array().map_or(&[][..], Vec::as_slice);
    let here = |bucket: &&Value| super::placement::holding(bucket, id).is_some();
    let held: Vec<&Value> = all.iter().filter(here).collect();
    html! {
        section {
            h2 { (call.t("Buckets placed here")) }
            @if held.is_empty() { p { (call.t("None that you may see.")) } }
            @else {
                (parts::table(&call.t("Buckets placed here"),
                    &super::placement::table(call, &held[..held.len().min(PLACED_MAX)], Some(id))))
                @if held.len() > PLACED_MAX {
                    p.hint {
                        (call.with("The first {shown} of {all}.", &[
                            ("shown", &PLACED_MAX.to_string()),
                            ("all", &number::grouped(held.len() as u64)),
                        ]))
                    }
                }
            }
        }
    }
}

/// Whoever opens regions closes them; the one that keeps the registry stays.
fn may_close(call: &Call<'_>, region: &Value) -> bool {
    let grant = call
        .caller
        .map(|caller| caller.grant(Action::ChangeRegions));
    let stays = value::yes(region, "keeps_registry") || State::of(region) == State::Closed;
    grant == Some(Grant::All) && !stays
}

/// Only the page that promotes can know whether the region is the home of something.
fn may_promote(call: &Call<'_>, region: &Value) -> bool {
    let grant = call
        .caller
        .map(|caller| caller.grant(Action::PromoteBuckets));
    let has = value::number(region, "buckets") > 0 && State::of(region) != State::Closed;
    grant == Some(Grant::All) && has
}

fn may_drain(call: &Call<'_>, region: &Value) -> bool {
    let able = matches!(value::text(region, "status"), "open" | "draining");
    let grants = call.caller.is_some_and(|caller| {
        let own = caller.account.operator.as_deref() == Some(value::text(region, "operator"));
        match caller.grant(Action::DrainRegion) {
            Grant::All => true,
            Grant::OwnRegions => own,
            Grant::No | Grant::OwnAccount => false,
        }
    });
    able && grants
}

/// Draining places nothing new there, and can be undone.
fn drain(call: &Call<'_>, region: &Value) -> Markup {
    let id = value::text(region, "id");
    let (route, label) = match value::text(region, "status") {
        "draining" => ("/regions/open", call.t("Place buckets here again")),
        _ => ("/regions/drain", call.t("Place no more buckets here")),
    };
    html! {
        @if may_move(call, region) {
            @let label = call.t("Move its buckets elsewhere");
            (parts::button(call, "/regions/drain", &[("id", id), ("move", "yes")], "", &label))
        }
        (parts::button(call, route, &[("id", id)], "", &label))
    }
}

/// Only once nothing more is placed there, and while nothing moves.
fn may_move(call: &Call<'_>, region: &Value) -> bool {
    let may = |action| {
        let grant = call.caller.map(|caller| caller.grant(action));
        grant == Some(Grant::All)
    };
    let moves = matches!(moving(region), "moving" | "waiting");
    let drains = value::text(region, "status") == "draining";
    let has = drains && !moves && value::number(region, "buckets") > 0;
    has && may(Action::PlaceBuckets) && may(Action::PromoteBuckets)
}

/// How far the move of a region's buckets is; empty where none was begun.
fn moving(region: &Value) -> &str {
    region
        .get("drain")
        .map_or("", |drain| value::text(drain, "state"))
}

async fn change(call: &Call<'_>, what: &str, body: Option<&Value>) -> Answer {
    let id = call.form.some("id");
    let id = id.ok_or_else(|| Fault::Bad(call.t("The form names no region.")))?;
    let path = format!("regions/{}/{what}", access::sign::encode(id));
    call.admin(&Method::POST, &path, body).await?;
    Ok(Reply::See(Href::to("/regions/show").with(&[("id", id)])))
}

/// Places nothing more in a region, or moves away what it has.
pub async fn start_drain(call: &Call<'_>) -> Answer {
    let moves = json!({ "move": true });
    let body = call.form.some("move").map(|_| &moves);
    change(call, "drain", body).await
}

/// Places buckets in a region again.
pub async fn end_drain(call: &Call<'_>) -> Answer {
    change(call, "open", None).await
}
