//! Another placement for a bucket: which regions keep a replica, and in which countries it may be.
//! What would follow is shown first; nothing is done if the placement has changed since. The same
//! as `dhow bucket place`. How far it is, the page "Where" shows.

use std::collections::BTreeSet;

use access::signature::sha256_hex;
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};
use types::{AccountId, Jurisdiction};

use crate::{
    call::Call,
    fault::Fault,
    pages::{
        objects,
        placement::{self, Held, holding},
        regions, value,
    },
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        map, number,
        parts::{self, Tone, badge, note},
        text,
    },
};

/// The fields of a bucket that make its placement.
const PLACEMENT: [&str; 10] = [
    "id",
    "home",
    "replicas",
    "jurisdictions",
    "writes",
    "proxy",
    "successors",
    "trust_reads",
    "trust_writes",
    "epoch",
];

/// What a form asks for, beside what there is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    add: Vec<String>,
    seal: Vec<String>,
    remove: Vec<String>,
    /// `None`: as it is.
    law: Option<Vec<String>>,
}

impl Change {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn body(&self, dry_run: bool) -> Value {
        let mut body = json!({
            "add": self.add,
            "seal": self.seal,
            "remove": self.remove,
            "dry_run": dry_run,
        });
        if let Some(law) = &self.law {
            body["jurisdictions"] = json!(law);
        }
        body
    }

    /// What the fields of a form ask for: `place` has a region and what it is to keep, `law` the
    /// codes of countries.
    fn of(bucket: &Value, places: &[&str], law: &str) -> Result<Self, String> {
        let mut change = Self::default();
        for (region, kind) in places.iter().filter_map(|place| place.split_once(' ')) {
            let wanted = match kind {
                "replica" => Some(Held::Replica),
                "sealed" => Some(Held::Sealed),
                _ => None,
            };
            let now = holding(bucket, region);
            if now == wanted || now == Some(Held::Home) {
                continue;
            }
            if now.is_some() {
                change.remove.push(region.to_owned());
            }
            match wanted {
                Some(Held::Sealed) => change.seal.push(region.to_owned()),
                Some(_) => change.add.push(region.to_owned()),
                None => {}
            }
        }
        let mut asked = BTreeSet::new();
        for code in law.split([' ', ',']).filter(|code| !code.is_empty()) {
            asked.insert(
                Jurisdiction::named(code)
                    .map_err(|e| e.to_string())?
                    .to_string(),
            );
        }
        let now = value::texts(bucket, "jurisdictions").into_iter();
        let now: BTreeSet<String> = now.map(str::to_owned).collect();
        change.law = (now != asked).then(|| asked.into_iter().collect());
        Ok(change)
    }
}

/// A digest of the placement: what is confirmed counts for this one only.
fn seen(bucket: &Value) -> String {
    let placement: Vec<&Value> = PLACEMENT
        .iter()
        .filter_map(|name| bucket.get(name))
        .collect();
    let text = json!(placement).to_string();
    String::from_utf8_lossy(&sha256_hex(text.as_bytes())).into_owned()
}

/// Whether what is confirmed was shown for this placement.
fn is_what_was_shown(told: &str, bucket: &Value) -> bool {
    told == seen(bucket) || types::planted("console-places-unseen")
}

/// The bucket of the address, with its name and its path in the admin API.
struct Of<'c> {
    name: &'c str,
    path: String,
    bucket: Value,
    regions: Vec<Value>,
}

impl<'c> Of<'c> {
    async fn named(call: &'c Call<'_>) -> Result<Self, Fault> {
        let name = call.bucket.as_ref();
        let name =
            name.ok_or_else(|| Fault::Missing(call.t("There is no bucket of this name.")))?;
        if !call.console.backend.registry().keeps() {
            return Err(call.elsewhere());
        }
        let path = format!("buckets/{}", access::sign::encode(name));
        let bucket = call.admin(&Method::GET, &path, None).await?;
        let mut regions = regions::all(call).await?;
        regions.retain(|region| value::text(region, "status") != "closed");
        Ok(Self {
            name,
            path,
            bucket,
            regions,
        })
    }

    fn at(&self, call: &Call<'_>) -> Markup {
        objects::path(call, self.name, "")
    }

    fn region(&self, id: &str) -> Option<&Value> {
        self.regions
            .iter()
            .find(|region| value::text(region, "id") == id)
    }

    async fn ask(&self, call: &Call<'_>, change: &Change, dry: bool) -> Result<Value, Fault> {
        let path = format!("{}/place", self.path);
        call.admin(&Method::POST, &path, Some(&change.body(dry)))
            .await
    }
}

/// The form.
pub async fn show(call: &Call<'_>) -> Answer {
    let of = Of::named(call).await?;
    form(call, &of, None).into()
}

/// The countries that a form has, or that are allowed.
fn law_of(call: &Call<'_>, of: &Of<'_>) -> String {
    match call.form.get("law") {
        Some(law) => law.to_owned(),
        None => value::texts(&of.bucket, "jurisdictions").join(" "),
    }
}

fn form(call: &Call<'_>, of: &Of<'_>, problem: Option<&str>) -> Page {
    let route = Href::bucket(of.name, "/place");
    let others = of.regions.iter();
    let others = others.filter(|one| value::text(one, "id") != value::text(&of.bucket, "home"));
    let body = html! {
        @if let Some(problem) = problem {
            (note(Tone::Bad, &html! { p role="alert" { bdi { (text::ours(problem)) } } }))
        }
        p { (placement::sentence(call, &of.bucket)) }
        form.stack method="post" action=(route) {
            (call.token(route.as_str()))
            div {
                label for="law" { (call.t("Allowed countries")) }
                input #law name="law" autocapitalize="characters" spellcheck="false" dir="ltr"
                    aria-describedby="law-hint" value=(law_of(call, of));
                p.hint #law-hint { (call.t(LAW)) }
                (guard(call, &of.bucket))
            }
            fieldset {
                legend { (call.t("Regions")) }
                @for region in others { (choice(call, of, region)) }
            }
            p.hint { (call.t(HOME)) }
            div.actions {
                button.primary { (call.t("Show what would be")) }
                a.button href=(Href::bucket(of.name, "/where")) { (call.t("Leave it")) }
            }
        }
    };
    let mut page = Page::new(call.t("Change the placement"), body).at(of.at(call));
    if problem.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    page
}

const LAW: &str = "Codes of countries or groups, such as DE or EU, with blanks between them. \
                   Regions elsewhere get nothing of the bucket. Empty: every country.";
const HOME: &str = "The home stays where it is. The cloud's operator gives a bucket another home: \
                    a region with a readable replica.";

/// The countries that the account keeps to, whatever its buckets say.
fn guard(call: &Call<'_>, bucket: &Value) -> Markup {
    let owner = AccountId::new(value::text(bucket, "owner"));
    let account = call.console.backend.registry().account(&owner);
    let guard = account.map(|account| account.guard.join(" "));
    let guard = guard.filter(|guard| !guard.is_empty());
    html! {
        @if let Some(guard) = guard {
            p.hint { (call.with(GUARD, &[("countries", &guard)])) }
        }
    }
}

const GUARD: &str = "All buckets of this account keep to {countries}. What is not within is \
                     refused; the cloud's operator sets this.";

/// What one region is to keep.
fn choice(call: &Call<'_>, of: &Of<'_>, region: &Value) -> Markup {
    let id = value::text(region, "id");
    let field = ["place-", id].concat();
    let now = match holding(&of.bucket, id) {
        Some(Held::Sealed) => "sealed",
        Some(_) => "replica",
        None => "none",
    };
    let mut given = call
        .form
        .all("place")
        .filter_map(|place| place.split_once(' '));
    let given = given
        .find(|(region, _)| *region == id)
        .map(|(_, kind)| kind);
    let chosen = given.unwrap_or(now);
    let kinds = [
        ("none", call.t("nothing")),
        ("replica", call.t("a replica that can be read there")),
        (
            "sealed",
            call.t("a sealed replica, which its operator cannot read"),
        ),
    ];
    html! {
        div.where {
            label for=(field) {
                (text::code(id)) " "
                @if !value::text(region, "city").is_empty() {
                    (text::short(value::text(region, "city"))) ", "
                }
                (map::country(value::text(region, "jurisdiction")))
            }
            select id=(field) name="place" {
                @for (kind, word) in &kinds {
                    option value={ (id) " " (kind) } selected[*kind == chosen] { (word) }
                }
            }
        }
    }
}

/// What the form asks for; what is wrong with it is shown in the form.
fn asked(call: &Call<'_>, of: &Of<'_>) -> Result<Change, String> {
    let places: Vec<&str> = call.form.all("place").collect();
    let change = Change::of(&of.bucket, &places, &law_of(call, of))?;
    match change.is_none() {
        true => Err(call.t("This is how it is placed now.").into_owned()),
        false => Ok(change),
    }
}

/// Shows what would be. Nothing is changed.
pub async fn preview(call: &Call<'_>) -> Answer {
    let of = Of::named(call).await?;
    previewed(call, &of, None).await?.into()
}

async fn previewed(
    call: &Call<'_>,
    of: &Of<'_>,
    problem: Option<(StatusCode, &str)>,
) -> Result<Page, Fault> {
    let change = match asked(call, of) {
        Ok(change) => change,
        Err(why) => return Ok(form(call, of, Some(&why))),
    };
    let would = match of.ask(call, &change, true).await {
        Ok(would) => would,
        Err(fault @ (Fault::Bad(_) | Fault::Busy(_))) => {
            return Ok(form(call, of, Some(&call.why(&fault))));
        }
        Err(fault) => return Err(fault),
    };
    let after = would.get("bucket").unwrap_or(&Value::Null);
    let (marks, lit) = (
        placement::marks(call, after, &of.regions),
        placement::countries(after),
    );
    let body = html! {
        @if let Some((_, problem)) = problem {
            (note(Tone::Bad, &html! { p role="alert" { (problem) } }))
        }
        (map::world(&placement::sentence(call, after), &lit, &marks))
        (parts::table(&call.t("What would be"), &consequences(call, of, &change, &would)))
        @if change.law.is_some() { p { (call.t(LAW_CHANGES)) } }
        @if !change.remove.is_empty() {
            (note(Tone::Warn, &html! { p { (call.t(REMOVAL)) } }))
        }
        (confirmation(call, of, &change))
    };
    let mut page = Page::new(call.t("What would be"), body).at(of.at(call));
    if let Some((status, _)) = problem {
        page.status = status;
    }
    Ok(page)
}

const LAW_CHANGES: &str = "From then on only regions in the allowed countries may hold, read or \
                           forward it.";
const REMOVAL: &str = "A region that the bucket leaves serves nothing more of it from the moment \
                       at which it has the change, ends reads that are under way, and then \
                       removes all of it. The page Where shows its receipt.";

fn confirmation(call: &Call<'_>, of: &Of<'_>, change: &Change) -> Markup {
    let route = Href::bucket(of.name, "/place/act");
    let removes = !change.remove.is_empty();
    html! {
        form.stack method="post" action=(route) {
            (call.token(route.as_str()))
            input type="hidden" name="seen" value=(seen(&of.bucket));
            input type="hidden" name="law" value=(law_of(call, of));
            @for place in call.form.all("place") {
                input type="hidden" name="place" value=(place);
            }
            @if removes {
                div {
                    label for="typed" {
                        (call.t("To confirm, type the name of the bucket:")) " " (text::code(of.name))
                    }
                    input #typed name="typed" required autocomplete="off" autocapitalize="none"
                        spellcheck="false" dir="ltr";
                }
            }
            div.actions {
                button class=(if removes { "danger" } else { "primary" }) {
                    (call.t("Change the placement"))
                }
                a.button href=(Href::bucket(of.name, "/where")) { (call.t("Leave it")) }
            }
        }
    }
}

/// What each region would get, or lose.
fn consequences(call: &Call<'_>, of: &Of<'_>, change: &Change, would: &Value) -> Markup {
    let moves = would.get("moves").unwrap_or(&Value::Null);
    let much = match moves.get("versions").and_then(Value::as_u64) {
        None => call.t("how much, the home does not say").into_owned(),
        Some(versions) => call.count(
            ("1 version, {bytes}", "{count} versions, {bytes}"),
            versions,
            &[("bytes", &number::bytes_text(value::number(moves, "bytes")))],
        ),
    };
    let stays = |region: &&String| !change.add.contains(region) && !change.seal.contains(region);
    let gone = change
        .remove
        .iter()
        .filter(stays)
        .map(|region| (region, None));
    let added = change.add.iter().map(|region| (region, Some(false)));
    let sealed = change.seal.iter().map(|region| (region, Some(true)));
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Region")) }
                    th scope="col" { (call.t("What it does")) }
                    th scope="col" { (call.t("How much")) }
                    th scope="col" { (call.t("Country")) }
                    th scope="col" { (call.t("Operator")) }
                }
            }
            tbody {
                @for (id, kind) in added.chain(sealed).chain(gone) {
                    @let region = of.region(id).unwrap_or(&Value::Null);
                    tr {
                        th scope="row" { (text::code(id)) }
                        td.name {
                            @match kind {
                                Some(false) => { (call.t("gets a replica, which its operator can read")) }
                                Some(true) => { (call.t("gets a replica that its operator cannot read")) }
                                None => { (badge(Tone::Warn, &call.t("removes all that it has"))) }
                            }
                        }
                        td { (much) }
                        td { (map::country(value::text(region, "jurisdiction"))) }
                        td { (text::short(value::text(region, "operator"))) }
                    }
                }
                @if change.add.is_empty() && change.seal.is_empty() && change.remove.is_empty() {
                    tr { td colspan="5" { (call.t("No region gets or loses anything.")) } }
                }
            }
        }
    }
}

/// Changes the placement, if it still is what was shown.
pub async fn act(call: &Call<'_>) -> Answer {
    let of = Of::named(call).await?;
    let told = call.form.get("seen").unwrap_or_default();
    if !is_what_was_shown(told, &of.bucket) {
        let why = call.t(
            "The placement has changed since you looked at it. Nothing was done. This is \
                          what would be now.",
        );
        let problem = Some((StatusCode::CONFLICT, &*why));
        return previewed(call, &of, problem).await?.into();
    }
    let change = match asked(call, &of) {
        Ok(change) => change,
        Err(why) => return form(call, &of, Some(&why)).into(),
    };
    if !change.remove.is_empty() && call.form.get("typed") != Some(of.name) {
        let why = call.t("What you typed is not the name. Nothing was changed.");
        let problem = Some((StatusCode::BAD_REQUEST, &*why));
        return previewed(call, &of, problem).await?.into();
    }
    if let Err(fault) = of.ask(call, &change, false).await {
        // It may be on record all the same, and only not be known everywhere in time.
        let now = call.admin(&Method::GET, &of.path, None).await?;
        if seen(&now) == seen(&of.bucket) {
            return form(call, &of, Some(&call.why(&fault))).into();
        }
    }
    let to = Href::bucket(of.name, "/where").with(&[("placed", "1")]);
    Ok(Reply::See(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Value {
        json!({
            "home": "a", "jurisdictions": ["DE", "EU"], "epoch": 1,
            "replicas": [{ "region": "b", "sealed_by": null }, { "region": "c", "sealed_by": "a" }],
        })
    }

    fn change(places: &[&str], law: &str) -> Change {
        Change::of(&bucket(), places, law).unwrap()
    }

    #[test]
    fn only_what_differs_is_asked_for() {
        let same = ["a none", "b replica", "c sealed", "d none"];
        assert!(change(&same, "eu, DE").is_none());
        let asked = change(&["b none", "c replica", "d sealed", "e replica"], "EU");
        assert_eq!(asked.remove, ["b", "c"]);
        assert_eq!(asked.add, ["c", "e"]);
        assert_eq!(asked.seal, ["d"]);
        assert_eq!(asked.law, Some(vec!["EU".to_owned()]));
        assert_eq!(change(&same, "").law, Some(Vec::new()));
        assert!(Change::of(&bucket(), &same, "QQ").is_err());
    }

    #[test]
    fn a_confirmation_is_for_one_placement() {
        let before = seen(&bucket());
        let mut other = bucket();
        other["replica_status"] = json!([{ "behind": 1 }]);
        assert!(is_what_was_shown(&before, &other));
        other["epoch"] = json!(2);
        assert!(!is_what_was_shown(&before, &other));
    }
}
