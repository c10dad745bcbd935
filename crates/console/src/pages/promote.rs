//! Another home for a bucket, or for every bucket of a region: what would be is shown first, a name
//! is typed, and then each bucket moves, with what it waits for. The same as `dhow bucket promote`,
//! `dhow region promote` and the last step of `dhow bucket move`.

use std::time::Duration;

use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    call::Call,
    fault::Fault,
    pages::{regions, value},
    reply::{Answer, Page},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge, note},
        text,
    },
};

mod moving;

pub use moving::act;

/// Buckets of one confirmation; those of a larger region follow in another.
const BUCKETS_MAX: usize = 20;
/// After so long the page shows what it has. A home that is lost is waited for with each bucket.
const PREVIEW_WITHIN: Duration = Duration::from_secs(15);

/// What gets another home.
enum Of<'c> {
    Bucket(&'c str),
    /// Every bucket whose home it is.
    Region(&'c str),
}

impl<'c> Of<'c> {
    /// Of a form or a link.
    fn named(call: &'c Call<'_>) -> Result<Self, Fault> {
        let given = |name| call.form.some(name).or_else(|| call.query.some(name));
        match (given("bucket"), given("region")) {
            (Some(bucket), None) => Ok(Self::Bucket(bucket)),
            (None, Some(region)) => Ok(Self::Region(region)),
            _ => Err(Fault::Bad(
                call.t("The form names no bucket and no region."),
            )),
        }
    }

    fn field(&self) -> (&'static str, &'c str) {
        match self {
            Self::Bucket(name) => ("bucket", name),
            Self::Region(id) => ("region", id),
        }
    }

    fn back(&self) -> Href {
        match self {
            Self::Bucket(name) => Href::bucket(name, "/where"),
            Self::Region(id) => Href::to("/regions/show").with(&[("id", id)]),
        }
    }

    fn path(&self, call: &Call<'_>) -> Markup {
        let (list, href) = match self {
            Self::Bucket(_) => (call.t("Placements"), "/placements"),
            Self::Region(_) => (call.t("Regions"), "/regions"),
        };
        html! {
            ol {
                li { a href=(href) { (list) } }
                li { a href=(self.back()) { (text::short(self.field().1)) } }
            }
        }
    }

    /// The buckets, as they are placed now.
    async fn buckets(&self, call: &Call<'_>) -> Result<Vec<Value>, Fault> {
        match self {
            Self::Bucket(name) => {
                let path = format!("buckets/{}", access::sign::encode(name));
                Ok(vec![call.admin(&Method::GET, &path, None).await?])
            }
            Self::Region(id) => {
                let path = format!("regions/{}", access::sign::encode(id));
                call.admin(&Method::GET, &path, None).await?;
                let all = call.admin(&Method::GET, "buckets", None).await?;
                let mut all = all.as_array().cloned().unwrap_or_default();
                all.retain(|bucket| value::text(bucket, "home") == *id);
                Ok(all)
            }
        }
    }
}

/// How the home goes to another region.
#[derive(Debug, Clone, PartialEq, Eq)]
struct How {
    /// Both regions work, and nothing is lost.
    planned: bool,
    force: bool,
    abort_uploads: bool,
    /// Empty: the replica that fits best.
    to: String,
}

impl How {
    fn given(call: &Call<'_>) -> Self {
        let yes = |name| call.form.some(name).is_some();
        Self {
            planned: call.form.get("how") != Some("lost"),
            force: yes("force"),
            abort_uploads: yes("abort_uploads"),
            to: call.form.get("to").unwrap_or_default().trim().to_owned(),
        }
    }

    /// What the admin API is asked for.
    fn body(&self, to: &str) -> Value {
        let mut body = json!({
            "planned": self.planned,
            // The home still answers where both work.
            "force": self.planned || self.force,
            "abort_uploads": self.abort_uploads,
        });
        if !to.is_empty() {
            body["to"] = json!(to);
        }
        body
    }

    fn hidden(&self) -> Markup {
        html! {
            input type="hidden" name="how" value=(if self.planned { "planned" } else { "lost" });
            @if self.force { input type="hidden" name="force" value="1"; }
            @if self.abort_uploads { input type="hidden" name="abort_uploads" value="1"; }
            input type="hidden" name="to" value=(self.to);
        }
    }
}

/// The form.
pub async fn show(call: &Call<'_>) -> Answer {
    let of = Of::named(call)?;
    let buckets = of.buckets(call).await?;
    let regions = regions::all(call).await?;
    let home = buckets.first().map(|bucket| value::text(bucket, "home"));
    let (field, name) = of.field();
    if buckets.is_empty() {
        let why = call.with("No bucket has its home in {region}.", &[("region", name)]);
        let back = html! { a.button href=(of.back()) { (call.with("Back to {name}", &[("name", name)])) } };
        let body = parts::empty(&why, &back);
        return Page::new(call.t("Another home"), body)
            .at(of.path(call))
            .into();
    }
    let body = html! {
        p {
            (call.count((
                "1 bucket gets another home. You see where before anything is changed.",
                "{count} buckets get another home. You see where before anything is changed.",
            ), buckets.len() as u64, &[]))
        }
        form.stack method="post" action="/promote" {
            (call.token("/promote"))
            input type="hidden" name=(field) value=(name);
            (ways(call))
            div {
                label for="to" { (call.t("New home")) }
                select #to name="to" {
                    option value="" { (call.t("the replica that fits best")) }
                    @for region in regions.iter().filter(|one| value::text(one, "status") == "open") {
                        @let id = value::text(region, "id");
                        @if home != Some(id) { option value=(id) { (text::visible(id)) } }
                    }
                }
                p.hint { (call.t(BEST)) }
            }
            (checks(call))
            div.actions {
                button.primary { (call.t("Show what would be")) }
                a.button href=(of.back()) { (call.t("Leave it")) }
            }
        }
    };
    Page::new(call.t("Another home"), body)
        .at(of.path(call))
        .into()
}

fn ways(call: &Call<'_>) -> Markup {
    html! {
        fieldset {
            legend { (call.t("The home that it has now")) }
            label.choice {
                input type="radio" name="how" value="planned" checked;
                span {
                    strong { (call.t("It works: hand over")) } br;
                    (call.t(PLANNED))
                }
            }
            label.choice {
                input type="radio" name="how" value="lost";
                span {
                    strong { (call.t("It is lost: promote a replica")) } br;
                    (call.t(LOST))
                }
            }
        }
    }
}

fn checks(call: &Call<'_>) -> Markup {
    html! {
        fieldset {
            legend { (call.t("What may be lost")) }
            label.choice {
                input type="checkbox" name="abort_uploads" value="1";
                span { (call.t(UPLOADS)) }
            }
            label.choice {
                input type="checkbox" name="force" value="1";
                span { (call.t(FORCE)) }
            }
        }
    }
}

const BEST: &str =
    "What the bucket's owner chose, then the most complete replica, then the nearest.";
const PLANNED: &str = "It takes no writes until the new home has all of them, for 20 seconds at most. \
                       No write is lost.";
const LOST: &str = "The new home waits until the old one decides nothing more. Writes that no replica \
                    has are lost until the old home comes back.";
const UPLOADS: &str =
    "Also while multipart uploads are in progress at the old home: they are lost.";
const FORCE: &str = "Also away from a home that still answers, or to a replica that is not whole: \
                     what it lacks may be lost.";

/// What would become of one bucket.
struct Would {
    bucket: String,
    epoch: u64,
    outcome: Result<Value, String>,
}

/// Shows what would be. Nothing is changed.
pub async fn preview(call: &Call<'_>) -> Answer {
    let of = Of::named(call)?;
    shown(call, &of, None).await?.into()
}

async fn shown(call: &Call<'_>, of: &Of<'_>, problem: Option<&str>) -> Result<Page, Fault> {
    let how = How::given(call);
    let buckets = of.buckets(call).await?;
    let found = would(call, &how, &buckets).await;
    let moves = found.iter().filter(|one| one.outcome.is_ok()).count();
    let (field, name) = of.field();
    let left = buckets.len().saturating_sub(found.len());
    let body = html! {
        @if let Some(problem) = problem {
            (note(Tone::Bad, &html! { p role="alert" { (problem) } }))
        }
        (parts::table(&call.t("What would be"), &preview_table(call, &found)))
        @if left > 0 {
            p.hint {
                (call.count(
                    ("1 more bucket comes after these.", "{count} more buckets come after these."),
                    left as u64, &[]))
            }
        }
        @if moves == 0 {
            p { a.button href=(of.back()) { (call.with("Back to {name}", &[("name", name)])) } }
        } @else {
            form.stack method="post" action="/promote/act" {
                (call.token("/promote/act"))
                input type="hidden" name=(field) value=(name);
                (how.hidden())
                @for one in &found {
                    @if let Ok(would) = &one.outcome {
                        input type="hidden" name="move"
                            value={ (one.bucket) " " (one.epoch) " " (value::text(would, "home")) };
                    }
                }
                div {
                    label for="typed" { (call.t("To confirm, type the name:")) " " (text::code(name)) }
                    input #typed name="typed" required autocomplete="off" autocapitalize="none"
                        spellcheck="false" dir="ltr";
                }
                div.actions {
                    button.danger {
                        (call.count(
                            ("Give 1 bucket its new home", "Give {count} buckets their new homes"),
                            moves as u64, &[]))
                    }
                    a.button href=(of.back()) { (call.t("Leave it")) }
                }
            }
        }
    };
    let mut page = Page::new(call.t("What would be"), body).at(of.path(call));
    if problem.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    Ok(page)
}

/// Asks for each of the first buckets what would be.
async fn would(call: &Call<'_>, how: &How, buckets: &[Value]) -> Vec<Would> {
    let begun = Instant::now();
    let mut found = Vec::new();
    for bucket in buckets.iter().take(BUCKETS_MAX) {
        if begun.elapsed() > PREVIEW_WITHIN {
            break;
        }
        let mut body = how.body(&how.to);
        body["dry_run"] = json!(true);
        let name = value::text(bucket, "name");
        let path = format!("buckets/{}/promote", access::sign::encode(name));
        let asked = call.admin(&Method::POST, &path, Some(&body)).await;
        found.push(Would {
            bucket: name.to_owned(),
            epoch: value::number(bucket, "epoch"),
            outcome: asked.map_err(|fault| call.why(&fault)),
        });
    }
    found
}

fn preview_table(call: &Call<'_>, found: &[Would]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Bucket")) }
                    th scope="col" { (call.t("New home")) }
                    th scope="col" { (call.t("Why")) }
                    th scope="col" { (call.t("Uploads that are lost")) }
                }
            }
            tbody {
                @for one in found {
                    tr {
                        th scope="row" { (text::short(&one.bucket)) }
                        @match &one.outcome {
                            Ok(would) => {
                                td { (text::code(value::text(would, "home"))) }
                                td.name {
                                    @match value::text(would, "why") {
                                        "" => (call.t("you named it")),
                                        why => (text::name(why)),
                                    }
                                }
                                td { (uploads(call, would)) }
                            }
                            Err(why) => {
                                td { (badge(Tone::Warn, &call.t("stays"))) }
                                td.name { (text::name(why)) }
                                td { "\u{2013}" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn uploads(call: &Call<'_>, would: &Value) -> Markup {
    let found = would.get("uploads").filter(|found| !found.is_null());
    html! {
        @match found {
            Some(found) => { (number::grouped(value::number(found, "uploads"))) }
            None => { (call.t("not known")) }
        }
    }
}
