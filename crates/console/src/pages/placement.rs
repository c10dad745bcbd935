//! Where buckets are: of one on the map, with what each region holds of it, and all of them as a
//! list for those who look after the cloud. Nothing here leads to an object.

use access::grants::{Action, Grant};
use http::Method;
use maud::{Markup, html};
use serde_json::Value;
use types::{Jurisdiction, RegionId};

use crate::{
    call::Call,
    fault::Fault,
    pages::{
        objects::{self, Tab},
        progress, proof, regions, value,
    },
    reply::{Answer, Page},
    ui::{
        href::Href,
        map::{self, Mark, Shape},
        number,
        parts::{self, Tone, badge},
        text, time,
    },
};

/// What a region holds of a bucket, by its placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Home,
    Replica,
    Sealed,
}

impl Held {
    fn word(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Replica => "replica",
            Self::Sealed => "sealed replica",
        }
    }
}

/// What the region `id` holds of a bucket; `None` for nothing.
pub fn holding(bucket: &Value, id: &str) -> Option<Held> {
    if value::text(bucket, "home") == id {
        return Some(Held::Home);
    }
    let mut replicas = value::list(bucket, "replicas").iter();
    let replica = replicas.find(|replica| value::text(replica, "region") == id)?;
    Some(match value::text(replica, "sealed_by") {
        "" => Held::Replica,
        _ => Held::Sealed,
    })
}

/// Buckets and where they are placed; with `here` also what that region holds.
pub fn table(call: &Call<'_>, buckets: &[&Value], here: Option<&str>) -> Markup {
    html! {
        table.many data-rows {
            thead {
                tr {
                    th scope="col" { (call.t("Bucket")) }
                    th scope="col" { (call.t("Account")) }
                    @if here.is_some() { th scope="col" { (call.t("Here")) } }
                    th scope="col" { (call.t("Home")) }
                    th scope="col" { (call.t("Replicas")) }
                    th scope="col" { (call.t("Allowed in")) }
                }
            }
            tbody {
                @for bucket in buckets {
                    tr {
                        th scope="row" {
                            a href=(Href::bucket(value::text(bucket, "name"), "/where")) {
                                (text::short(value::text(bucket, "name")))
                            }
                        }
                        td { (text::code(value::text(bucket, "owner"))) }
                        @if let Some(held) = here.and_then(|here| holding(bucket, here)) {
                            td { (badge(Tone::Good, &call.t(held.word()))) }
                        }
                        td { (text::code(value::text(bucket, "home"))) }
                        td { (replicas(call, bucket)) }
                        td { (law(call, bucket)) }
                    }
                }
            }
        }
    }
}

fn replicas(call: &Call<'_>, bucket: &Value) -> Markup {
    let all = value::list(bucket, "replicas");
    html! {
        @if all.is_empty() { (call.t("none")) }
        @for (at, one) in all.iter().enumerate() {
            @if at > 0 { ", " }
            (text::code(value::text(one, "region")))
            @if !value::text(one, "sealed_by").is_empty() { " (" (call.t("sealed")) ")" }
        }
    }
}

fn law(call: &Call<'_>, bucket: &Value) -> Markup {
    let laws = value::texts(bucket, "jurisdictions");
    html! {
        @if laws.is_empty() { (call.t("every country")) }
        @for (at, law) in laws.iter().enumerate() {
            @if at > 0 { ", " }
            (map::country(law))
        }
    }
}

/// Buckets on a page of the list.
const PAGE: usize = 200;

/// All placements that the caller may see.
pub async fn list(call: &Call<'_>) -> Answer {
    let buckets = call.admin(&Method::GET, "buckets", None).await?;
    let all = buckets.as_array().map_or(&[][..], Vec::as_slice);
    let wanted = call.query.get("find").unwrap_or_default().trim();
    let fits = |bucket: &&Value| {
        let has = |name| value::text(bucket, name).contains(wanted);
        let laws = value::texts(bucket, "jurisdictions");
        wanted.is_empty()
            || has("name")
            || has("owner")
            || holding(bucket, wanted).is_some()
            || laws.contains(&wanted)
    };
    let found: Vec<&Value> = all.iter().filter(fits).collect();
    let from = call.query.get("from").and_then(|from| from.parse().ok());
    let from = from.unwrap_or(0_usize).min(found.len());
    let to = (from + PAGE).min(found.len());
    let body = html! {
        form.bar method="get" action="/placements" role="search" {
            label.hide for="find" { (call.t(FIND)) }
            input #find name="find" value=(wanted) dir=[text::direction(wanted)] placeholder=(call.t(FIND))
                autocapitalize="none" spellcheck="false" data-filter;
            button { (call.t("Find")) }
            @if !wanted.is_empty() { a.button.plain href="/placements" { (call.t("Show all")) } }
        }
        @if found.is_empty() {
            p.lead { (call.t("No bucket fits.")) }
        } @else {
            (parts::table(&call.t("Placements"), &table(call, &found[from..to], None)))
            p.more {
                @if to < found.len() {
                    a.button rel="next" href=(Href::to("/placements")
                        .with(&[("find", wanted), ("from", &to.to_string())])) {
                        (call.t("Next page"))
                    }
                }
                span.hint {
                    (call.with("{from} to {to} of {all}", &[
                        ("from", &number::grouped(from as u64 + 1)),
                        ("to", &number::grouped(to as u64)),
                        ("all", &number::grouped(found.len() as u64)),
                    ]))
                }
            }
        }
    };
    Page::new(call.t("Placements"), body).into()
}

const FIND: &str = "Part of a name or account, a region, or a country";

/// Where one bucket is, and may be.
pub async fn show(call: &Call<'_>) -> Answer {
    let name = call.bucket.as_ref();
    let name = name.ok_or_else(|| Fault::Missing(call.t("There is no bucket of this name.")))?;
    let path = format!("buckets/{}", access::sign::encode(name));
    let bucket = call.admin(&Method::GET, &path, None).await?;
    let regions = regions::all(call).await?;
    let checked = match call.query.get("check") {
        Some("1") => Some(
            call.admin(&Method::GET, &format!("{path}/residency"), None)
                .await,
        ),
        _ => None,
    };
    let found = checked.as_ref().and_then(|checked| checked.as_ref().ok());
    let marks = marks(call, &bucket, &regions);
    let body = html! {
        (objects::tabs(call, name, Tab::Where))
        (progress::placed(call))
        (map::world(&sentence(call, &bucket), &countries(&bucket), &marks))
        @match &checked {
            Some(Ok(found)) => { (verdict(call, found)) }
            Some(Err(fault)) => {
                (parts::note(Tone::Warn, &html! { p { (parts::reason(call, fault)) } }))
            }
            None => {}
        }
        (progress::live(call, name, &bucket))
        (parts::table(&call.t("Regions"), &rows(call, &bucket, &regions, found)))
        (progress::removals(call, &bucket))
        section.card { h2 { (call.t("Placement")) } (facts(call, &bucket)) }
        p.hint {
            (call.t("On the command line:")) " "
            code { "dhow bucket show " (name) } ", " code { "dhow residency check " (name) }
        }
    };
    let page = Page::new(&**name, body).at(objects::path(call, name, ""));
    page.with(actions(call, name)).into()
}

fn actions(call: &Call<'_>, name: &str) -> Markup {
    html! {
        @if may(call, Action::PlaceBuckets) {
            a.button href=(Href::bucket(name, "/place")) { (call.t("Change the placement")) }
        }
        @if may(call, Action::PromoteBuckets) {
            a.button href=(Href::to("/promote").with(&[("bucket", name)])) {
                (call.t("Another home"))
            }
        }
        @if may(call, Action::ProveResidency) { (proof::link(call, name)) }
        @if may(call, Action::CheckResidency) {
            a.button.primary href=(Href::bucket(name, "/where").with(&[("check", "1")])) {
                (call.t("Check now"))
            }
        }
    }
}

fn may(call: &Call<'_>, action: Action) -> bool {
    let grant = call.caller.map(|caller| caller.grant(action));
    grant.is_some_and(|grant| grant != Grant::No)
}

/// The placement in a sentence.
pub fn sentence(call: &Call<'_>, bucket: &Value) -> String {
    let home = value::text(bucket, "home");
    let laws = value::texts(bucket, "jurisdictions");
    let names: Vec<&str> = laws.iter().map(|law| map::country(law)).collect();
    let values = [("home", home)];
    let first = match value::list(bucket, "replicas").len() {
        0 => call.with("The home is {home}; there is no replica.", &values),
        count => call.count(
            (
                "The home is {home}; there is one replica.",
                "The home is {home}; there are {count} replicas.",
            ),
            count as u64,
            &values,
        ),
    };
    let second = match names.is_empty() {
        true => call.t("It may be stored in every country.").into_owned(),
        false => call.with(
            "It may be stored in {countries} (shaded) and nowhere else.",
            &[("countries", &names.join(", "))],
        ),
    };
    format!("{first} {second}")
}

fn allowed(bucket: &Value) -> Vec<Jurisdiction> {
    let laws = value::texts(bucket, "jurisdictions");
    let laws = laws
        .into_iter()
        .filter_map(|law| Jurisdiction::named(law).ok());
    laws.collect()
}

/// The countries that are allowed by name, alone or in a group.
pub fn countries(bucket: &Value) -> Vec<&'static str> {
    let laws = allowed(bucket);
    let inside = |code: &&str| {
        let country = Jurisdiction::named(code);
        country.is_ok_and(|country| laws.iter().any(|law| law.contains(&country)))
    };
    map::codes().filter(inside).collect()
}

/// Whether the law of a region allows the bucket there.
pub fn may_be(bucket: &Value, region: &Value) -> bool {
    let laws = allowed(bucket);
    let country = Jurisdiction::named(value::text(region, "jurisdiction"));
    let named = value::list(bucket, "jurisdictions").is_empty();
    named || country.is_ok_and(|country| laws.iter().any(|law| law.contains(&country)))
}

pub(super) fn marks(call: &Call<'_>, bucket: &Value, regions: &[Value]) -> Vec<Mark> {
    let open = regions
        .iter()
        .filter(|region| value::text(region, "status") != "closed");
    open.map(|region| {
        let id = value::text(region, "id");
        let held = holding(bucket, id);
        let (shape, tone, word) = match held {
            Some(Held::Home) => (Shape::Disc, "good", "home"),
            Some(Held::Replica) => (Shape::Diamond, "good", "replica"),
            Some(Held::Sealed) => (Shape::Dashed, "good", "sealed replica"),
            None if may_be(bucket, region) => (Shape::Ring, "", "allowed, not placed there"),
            None => (Shape::Cross, "", "not allowed"),
        };
        let title = format!("{id}: {}", call.t(word));
        Mark {
            title: text::ours(&title),
            shape,
            tone,
            ringed: false,
            ..regions::mark(call, region)
        }
    })
    .collect()
}

fn verdict(call: &Call<'_>, found: &Value) -> Markup {
    let good = value::yes(found, "good");
    let (tone, text) = match good {
        true => (
            Tone::Good,
            "Every region that answered holds what the placement says, and nothing else.",
        ),
        false => (
            Tone::Bad,
            "Not everything is as the placement says: see the table.",
        ),
    };
    parts::note(tone, &html! { p role="status" { (call.t(text)) } })
}

fn rows(call: &Call<'_>, bucket: &Value, regions: &[Value], found: Option<&Value>) -> Markup {
    let open = regions
        .iter()
        .filter(|region| value::text(region, "status") != "closed");
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Region")) }
                    @if found.is_some() { th scope="col" { (call.t("Found")) } }
                    th scope="col" { (call.t("Placed as")) }
                    th scope="col" { (call.t("Replica")) }
                    th scope="col" { (call.t("By law")) }
                    th scope="col" { (call.t("Country")) }
                    @if found.is_some() {
                        th.right scope="col" { (call.t("Versions")) }
                        th.right scope="col" { (call.t("Bytes")) }
                    }
                    th scope="col" { (call.t("Operator")) }
                }
            }
            tbody {
                @for region in open {
                    (row(call, bucket, region, found))
                }
            }
        }
    }
}

fn row(call: &Call<'_>, bucket: &Value, region: &Value, found: Option<&Value>) -> Markup {
    let id = value::text(region, "id");
    let held = holding(bucket, id);
    let mut counted = found
        .map_or(&[][..], |found| value::list(found, "regions"))
        .iter();
    let counted = counted.find(|one| value::text(one, "region") == id);
    let number = |name| counted?.get(name).and_then(Value::as_u64);
    html! {
        tr {
            th scope="row" {
                a href=(Href::to("/regions/show").with(&[("id", id)])) { (text::code(id)) }
            }
            @if found.is_some() { td.name { (verdict_of(call, counted)) } }
            td {
                @match held {
                    Some(held) => { (badge(Tone::Good, &call.t(held.word()))) }
                    None => { (call.t("nothing")) }
                }
            }
            td { (replica(call, bucket, id, held)) }
            td {
                @if may_be(bucket, region) { (call.t("allowed")) }
                @else { (badge(Tone::Plain, &call.t("not allowed"))) }
            }
            td { (map::country(value::text(region, "jurisdiction"))) }
            @if found.is_some() {
                td.right { @if let Some(count) = number("versions") { (number::grouped(count)) } }
                td.right { @if let Some(bytes) = number("bytes") { (number::bytes(bytes)) } }
            }
            td { (text::short(value::text(region, "operator"))) }
        }
    }
}

/// How a replica is doing, as the home says.
fn replica(call: &Call<'_>, bucket: &Value, id: &str, held: Option<Held>) -> Markup {
    match held {
        None => return html! { "\u{2013}" },
        Some(Held::Home) => return html! { (call.t("takes writes")) },
        Some(Held::Replica | Held::Sealed) => {}
    }
    let mut replicas = value::list(bucket, "replica_status").iter();
    let Some(replica) = replicas.find(|replica| value::text(replica, "region") == id) else {
        return badge(Tone::Warn, &call.t("not known: the home does not answer"));
    };
    let behind = replica.get("behind").and_then(Value::as_u64);
    let seeded = replica.get("seeded").and_then(Value::as_u64);
    match (value::yes(replica, "connected"), behind, seeded) {
        (false, None, None) => badge(Tone::Warn, &call.t("has not asked the home yet")),
        (false, ..) => badge(Tone::Bad, &call.t("has not asked the home for a minute")),
        (true, Some(0), _) => badge(Tone::Good, &call.t("same as the home")),
        (true, Some(behind), _) => {
            let how = call.count(("1 change behind", "{count} changes behind"), behind, &[]);
            badge(Tone::Warn, &how)
        }
        (true, None, Some(seeded)) => {
            let how = call.count(
                ("is filled: 1 version", "is filled: {count} versions"),
                seeded,
                &[],
            );
            badge(Tone::Warn, &how)
        }
        (true, None, None) => badge(Tone::Warn, &call.t("is filled")),
    }
}

/// What a region said, in words.
fn verdict_of(call: &Call<'_>, counted: Option<&Value>) -> Markup {
    html! {
        @match counted {
            None => { (call.t("was not asked")) }
            Some(one) => {
                (text::name(value::text(one, "verdict")))
                @if !value::yes(one, "good") { " " (badge(Tone::Bad, &call.t("wrong"))) }
            }
        }
    }
}

fn facts(call: &Call<'_>, bucket: &Value) -> Markup {
    let writes = match value::text(bucket, "writes") {
        "any" => call.t("in the home and in each readable replica"),
        _ => call.t("in the home"),
    };
    let successors = value::texts(bucket, "successors");
    let here: &RegionId = &call.console.settings.region;
    html! {
        (parts::facts(&[
            (&call.t("Account"), text::code(value::text(bucket, "owner"))),
            (&call.t("Home"), text::code(value::text(bucket, "home"))),
            (&call.t("Replicas"), replicas(call, bucket)),
            (&call.t("Allowed in"), law(call, bucket)),
            (&call.t("Takes writes"), html! { (writes) }),
            (&call.t("If the home is lost"), html! {
                @if successors.is_empty() { (call.t("no successor is named")) }
                @for (at, region) in successors.iter().enumerate() {
                    @if at > 0 { ", " } (text::code(region))
                }
            }),
            (&call.t("Created"), time::iso(value::text(bucket, "created"))),
            (&call.t("Asked at"), text::code(here)),
        ]))
    }
}
