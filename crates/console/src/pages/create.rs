//! A new bucket: its name, its home, where else it is stored, and whose law it keeps to.

use access::grants::{Action, Grant};
use cloud::{RegionRecord, RegionStatus};
use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};
use types::Jurisdiction;

use crate::{
    call::Call,
    fault::Fault,
    pages::{placement, regions},
    reply::{Answer, Page, Reply},
    s3::S3Ask,
    ui::{
        href::Href,
        map::{self, Mark, Shape},
        parts::{Tone, note},
        text,
    },
};

/// What the form has so far.
struct Draft<'a> {
    name: &'a str,
    home: &'a str,
    replicas: Vec<&'a str>,
    law: String,
    /// Home, replicas and allowed countries in the form in which the admin API shows a bucket.
    bucket: Value,
    /// What is wrong with the countries.
    problem: Option<String>,
}

impl<'a> Draft<'a> {
    fn of(call: &'a Call<'_>, guard: &str) -> Self {
        let law = call.query.get("law").unwrap_or(guard).to_owned();
        let mut problem = None;
        let mut allowed = Vec::new();
        for code in codes(&law) {
            match Jurisdiction::named(code) {
                Ok(named) => allowed.push(named.to_string()),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        let home = call.query.some("home");
        let home = home.unwrap_or(&call.console.settings.region);
        let replicas: Vec<&str> = call
            .query
            .all("replica")
            .filter(|one| *one != home)
            .collect();
        let placed = replicas.iter().map(|region| json!({ "region": region }));
        let placed: Vec<Value> = placed.collect();
        Self {
            name: call.query.get("name").unwrap_or_default(),
            bucket: json!({ "home": home, "replicas": placed, "jurisdictions": allowed }),
            home,
            replicas,
            law,
            problem,
        }
    }

    /// Why nothing new can be stored in a region.
    fn refused(&self, call: &Call<'_>, region: &RegionRecord) -> Option<String> {
        if !placement::may_be(
            &self.bucket,
            &json!({ "jurisdiction": region.jurisdiction }),
        ) {
            let country = map::country(&region.jurisdiction);
            let values = [("country", country)];
            return Some(call.with("{country} is not among the allowed countries", &values));
        }
        let open = region.status == RegionStatus::Open;
        (!open).then(|| call.t("takes nothing new").into_owned())
    }

    /// The page again, with another home.
    fn with_home(&self, home: &str) -> Href {
        let mut pairs = vec![("home", home), ("name", self.name), ("law", &self.law)];
        pairs.extend(self.replicas.iter().map(|one| ("replica", *one)));
        Href::to("/new").with(&pairs)
    }

    fn mark(&self, call: &Call<'_>, region: &RegionRecord) -> Mark {
        let value = serde_json::to_value(region).unwrap_or_default();
        let refused = self.refused(call, region);
        let (shape, tone, word) = match &refused {
            _ if region.id == self.home => (Shape::Disc, "good", call.t("the new bucket's home")),
            _ if self.replicas.contains(&&*region.id) => {
                (Shape::Diamond, "good", call.t("replica"))
            }
            None => (Shape::Ring, "", call.t("can be the home")),
            Some(why) => (Shape::Cross, "", why.clone().into()),
        };
        let title = [&region.id, ": ", &word].concat();
        Mark {
            title: text::ours(&title),
            shape,
            tone,
            ringed: false,
            href: refused.is_none().then(|| self.with_home(&region.id)),
            ..regions::mark(call, &value)
        }
    }
}

/// The codes of countries and groups in a text.
fn codes(law: &str) -> impl Iterator<Item = &str> {
    law.split([' ', ',']).filter(|part| !part.is_empty())
}

/// The form. On the map a region is chosen as the home.
pub async fn show(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let places = who.grant(Action::PlaceBuckets) != Grant::No;
    let draft = Draft::of(call, &who.account.guard.join(" "));
    let regions = call.console.backend.registry().all_regions();
    let regions: Vec<_> = regions
        .into_iter()
        .filter(|region| region.status != RegionStatus::Closed)
        .collect();
    let marks: Vec<Mark> = regions.iter().map(|one| draft.mark(call, one)).collect();
    let body = html! {
        @if let Some(problem) = &draft.problem {
            (note(Tone::Bad, &html! { p role="alert" { (text::name(problem)) } }))
        }
        @if regions.len() > 1 {
            div data-picks {
                (map::world(&placement::sentence(call, &draft.bucket),
                    &placement::countries(&draft.bucket), &marks))
            }
        }
        form.stack method="post" action="/new" data-new {
            (call.token("/new"))
            div {
                label for="name" { (call.t("Name")) }
                input #name name="name" value=(draft.name) required minlength="3" maxlength="63"
                    autocapitalize="none" spellcheck="false"
                    pattern="[a-z0-9][a-z0-9.\\-]{1,61}[a-z0-9]" aria-describedby="name-hint";
                p.hint #name-hint { (call.t(NAME)) }
            }
            @if places { (countries(call, &draft)) }
            fieldset {
                legend { (call.t("Home")) }
                p.hint { (call.t("Writes are taken and ordered here.")) }
                @for region in &regions { (home(call, &draft, region)) }
            }
            @if places && regions.len() > 1 {
                fieldset {
                    legend { (call.t("Replicas")) }
                    p.hint { (call.t("Complete copies, which can be read there.")) }
                    @for region in &regions { (replica(call, &draft, region)) }
                }
            }
            div.actions {
                button.primary { (call.t("Create the bucket")) }
                a.button href="/" { (call.t("Back")) }
            }
        }
    };
    Page::new(call.t("New bucket"), body).into()
}

fn countries(call: &Call<'_>, draft: &Draft<'_>) -> Markup {
    html! {
        div {
            label for="law" { (call.t("Allowed countries")) }
            div.bar {
                input #law name="law" autocapitalize="characters" spellcheck="false" dir="ltr"
                    aria-describedby="law-hint" value=(draft.law);
                button name="look" value="1" formnovalidate { (call.t("Show where it may be")) }
            }
            p.hint #law-hint { (call.t(LAW)) }
        }
    }
}

const NAME: &str = "3 to 63 lower-case letters, digits and hyphens; the same name exists once in \
                    the whole cloud.";
const LAW: &str = "Codes of countries or groups, such as DE or EU, with blanks between them. No \
                   object is ever stored or read outside of them. Empty: every country.";

/// A region in a few words.
fn words(region: &RegionRecord) -> Markup {
    html! {
        (text::code(&region.id)) " "
        @if !region.city.is_empty() { (text::short(&region.city)) ", " }
        (text::name(&region.jurisdiction))
    }
}

fn home(call: &Call<'_>, draft: &Draft<'_>, region: &RegionRecord) -> Markup {
    let refused = draft.refused(call, region);
    html! {
        label.check {
            input type="radio" name="home" value=(region.id) required
                checked[region.id == draft.home && refused.is_none()] disabled[refused.is_some()];
            span { (words(region)) (because(refused.as_deref())) }
        }
    }
}

fn replica(call: &Call<'_>, draft: &Draft<'_>, region: &RegionRecord) -> Markup {
    let refused = draft.refused(call, region);
    html! {
        label.check {
            input type="checkbox" name="replica" value=(region.id)
                checked[draft.replicas.contains(&&*region.id) && refused.is_none()]
                disabled[refused.is_some()];
            span { (words(region)) (because(refused.as_deref())) }
        }
    }
}

fn because(refused: Option<&str>) -> Markup {
    html! { @if let Some(why) = refused { " \u{b7} " bdi { (text::ours(why)) } } }
}

/// The page again with what the form has: its map and its regions show what the countries allow.
fn looked(call: &Call<'_>) -> Href {
    let mut pairs: Vec<(&str, &str)> = ["name", "home", "law"]
        .into_iter()
        .map(|name| (name, call.form.get(name).unwrap_or_default()))
        .collect();
    // Empty means every country, and not the account's own.
    if pairs[2].1.is_empty() {
        pairs[2].1 = " ";
    }
    pairs.extend(call.form.all("replica").map(|one| ("replica", one)));
    Href::to("/new").with(&pairs)
}

/// Creates it.
pub async fn create(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    if call.form.some("look").is_some() {
        return Ok(Reply::See(looked(call)));
    }
    let name = types::BucketName::new(call.form.get("name").unwrap_or_default());
    let name = name.map_err(|error| Fault::Bad(error.to_string().into()))?;
    let home = call
        .form
        .some("home")
        .unwrap_or(&call.console.settings.region);
    let places = who.grant(Action::PlaceBuckets) != Grant::No;
    let law = call.form.get("law").filter(|_| places).unwrap_or_default();
    let law: Vec<&str> = codes(law).collect();
    let replicas = call.form.all("replica").filter(|one| *one != home);
    let replicas: Vec<&str> = replicas.filter(|_| places).collect();
    // The admin API makes buckets where the registry is kept, and S3 does everywhere.
    if !places || !call.console.backend.registry().keeps() {
        let body = format!(
            "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint>\
             </CreateBucketConfiguration>",
            html! { (home) }.into_string()
        );
        let mut ask = S3Ask::bucket(&Method::PUT, &name).body(body.into());
        for (header, list) in [
            ("x-dhow-placement-jurisdictions", &law),
            ("x-dhow-placement-replicas", &replicas),
        ] {
            if !list.is_empty() {
                ask = ask.header(header, list.join(","));
            }
        }
        call.s3(ask).await?;
        return Ok(Reply::See(Href::to("/")));
    }
    let new = json!({
        "name": &*name,
        "home": home,
        "replicas": replicas,
        "jurisdictions": law,
    });
    call.admin(&Method::POST, "buckets", Some(&new)).await?;
    Ok(Reply::See(Href::to("/")))
}
