//! A new bucket: its name, its home, where else it is stored, and whose law it keeps to.

use cloud::{
    RegionRecord, RegionStatus,
    grants::{Action, Grant},
};
use http::Method;
use maud::{Markup, html};
use serde_json::json;

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page, Reply},
    s3::S3Ask,
    ui::{href::Href, text},
};

/// The form.
pub async fn show(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let places = who.grant(Action::PlaceBuckets) != Grant::No;
    let here = &*call.console.settings.region;
    let regions = call.console.backend.registry().all_regions();
    let body = html! {
        form.stack method="post" action="/new" {
            (call.token("/new"))
            div {
                label for="name" { (call.t("Name")) }
                input #name name="name" required minlength="3" maxlength="63" autocapitalize="none"
                    spellcheck="false" pattern="[a-z0-9][a-z0-9.\\-]{1,61}[a-z0-9]"
                    aria-describedby="name-hint";
                p.hint #name-hint { (call.t(NAME)) }
            }
            fieldset {
                legend { (call.t("Home")) }
                p.hint { (call.t("Writes are taken and ordered here.")) }
                @for region in &regions { (home(call, region, here)) }
            }
            @if places && regions.len() > 1 {
                fieldset {
                    legend { (call.t("Replicas")) }
                    p.hint { (call.t("Complete copies, which can be read there.")) }
                    @for region in &regions { (replica(call, region)) }
                }
            }
            @if places {
                div {
                    label for="law" { (call.t("Allowed countries")) }
                    input #law name="law" autocapitalize="characters" spellcheck="false"
                        aria-describedby="law-hint" value=(who.account.guard.join(" "));
                    p.hint #law-hint { (call.t(LAW)) }
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

const NAME: &str = "3 to 63 lower-case letters, digits and hyphens; the same name exists once in \
                    the whole cloud.";
const LAW: &str = "Codes of countries or groups, such as DE or EU, with blanks between them. No \
                   object is ever stored or read outside of them. Empty: every country.";

fn is_open(region: &RegionRecord) -> bool {
    region.status == RegionStatus::Open
}

/// A region in a few words.
fn words(region: &RegionRecord) -> Markup {
    html! {
        (text::code(&region.id)) " "
        @if !region.city.is_empty() { (text::short(&region.city)) ", " }
        (text::name(&region.jurisdiction))
    }
}

fn home(call: &Call<'_>, region: &RegionRecord, here: &str) -> Markup {
    html! {
        label.check {
            input type="radio" name="home" value=(region.id) required checked[region.id == here]
                disabled[!is_open(region)];
            span {
                (words(region))
                @if !is_open(region) { " \u{b7} " (call.t("takes no new buckets")) }
            }
        }
    }
}

fn replica(call: &Call<'_>, region: &RegionRecord) -> Markup {
    html! {
        label.check {
            input type="checkbox" name="replica" value=(region.id) disabled[!is_open(region)];
            span {
                (words(region))
                @if !is_open(region) { " \u{b7} " (call.t("takes no new replicas")) }
            }
        }
    }
}

/// Creates it.
pub async fn create(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let name = types::BucketName::new(call.form.get("name").unwrap_or_default());
    let name = name.map_err(|error| Fault::Bad(error.to_string().into()))?;
    let home = call
        .form
        .some("home")
        .unwrap_or(&call.console.settings.region);
    if who.grant(Action::PlaceBuckets) == Grant::No {
        let body = format!(
            "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint>\
             </CreateBucketConfiguration>",
            html! { (home) }.into_string()
        );
        let ask = S3Ask::bucket(&Method::PUT, &name).body(body.into());
        call.s3(ask).await?;
        return Ok(Reply::See(Href::to("/")));
    }
    let law = call.form.get("law").unwrap_or_default();
    let law: Vec<&str> = law
        .split([' ', ','])
        .filter(|part| !part.is_empty())
        .collect();
    let replicas: Vec<&str> = call
        .form
        .all("replica")
        .filter(|one| *one != home)
        .collect();
    let new = json!({
        "name": &*name,
        "home": home,
        "replicas": replicas,
        "jurisdictions": law,
    });
    call.admin(&Method::POST, "buckets", Some(&new)).await?;
    Ok(Reply::See(Href::to("/")))
}
