//! The buckets of the account, as far as whoever is signed in may list them.

use http::Method;
use maud::{Markup, html};
use types::Holding;

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page, Reply},
    s3::{Node, S3Ask},
    ui::{
        href::Href,
        parts::{self, Tone, badge},
        text, time,
    },
};

/// Buckets on one page.
const PAGE: &str = "200";

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    // What such an account looks after, the map shows.
    if !who.keeps_data() {
        return Ok(Reply::See(Href::to("/regions")));
    }
    let filter = call.query.get("prefix").unwrap_or_default();
    let ask = S3Ask::new(&Method::GET)
        .query("max-buckets", PAGE)
        .maybe("prefix", call.query.some("prefix"))
        .maybe("continuation-token", call.query.some("after"));
    let listed = match call.s3(ask).await {
        Ok(listed) => listed.xml()?,
        Err(Fault::Refused(why)) => {
            let body = html! {
                (parts::or_why(call, Err(Fault::Refused(why))))
                (open_by_name(call))
            };
            return Page::new(call.t("Buckets"), body).into();
        }
        Err(fault) => return Err(fault),
    };
    let empty = Node::default();
    let buckets: Vec<&Node> = listed
        .child("Buckets")
        .unwrap_or(&empty)
        .all("Bucket")
        .collect();
    let next = listed.text("ContinuationToken");
    let body = html! {
        @if buckets.is_empty() && filter.is_empty() {
            (parts::empty(&call.t("No bucket yet."), &html! { p { (call.t(NO_BUCKET)) } }))
        } @else {
            (search(call, filter))
            @if buckets.is_empty() {
                p.lead { (call.t("No bucket's name begins so.")) }
            } @else {
                (parts::table(&call.t("Buckets"), &rows(call, &buckets)))
            }
            @if !next.is_empty() {
                p.more {
                    a.button href=(Href::to("/").with(&[("prefix", filter), ("after", next)])) {
                        (call.t("Next buckets"))
                    }
                }
            }
        }
        @if who.identity.has_policies() { (open_by_name(call)) }
    };
    let create = html! { a.button.primary href="/new" { (call.t("New bucket")) } };
    Page::new(call.t("Buckets"), body).with(create).into()
}

const NO_BUCKET: &str = "A bucket holds objects, has one home region, and is stored nowhere else \
                         unless you say so.";

fn search(call: &Call<'_>, filter: &str) -> Markup {
    html! {
        form.bar method="get" action="/" role="search" {
            label.hide for="prefix" { (call.t("Names that begin with")) }
            input #prefix name="prefix" value=(filter) dir=[text::direction(filter)] placeholder=(call.t("Names that begin with"))
                autocapitalize="none" spellcheck="false" data-filter;
            button { (call.t("Find")) }
            @if !filter.is_empty() { a.button.plain href="/" { (call.t("Show all")) } }
        }
    }
}

/// For whoever may not list buckets, and may open some.
fn open_by_name(call: &Call<'_>) -> Markup {
    html! {
        section.card {
            h2 { (call.t("Open a bucket by its name")) }
            form.bar method="get" action="/open" {
                label.hide for="name" { (call.t("Name of the bucket")) }
                input #name name="bucket" required autocapitalize="none" spellcheck="false"
                    placeholder=(call.t("Name of the bucket"));
                button { (call.t("Open")) }
            }
        }
    }
}

fn rows(call: &Call<'_>, buckets: &[&Node]) -> Markup {
    html! {
        table.many data-rows {
            thead {
                tr {
                    th scope="col" { (call.t("Name")) }
                    th scope="col" { (call.t("Here")) }
                    th scope="col" { (call.t("Home")) }
                    th scope="col" { (call.t("Replicas")) }
                    th scope="col" { (call.t("Allowed in")) }
                    th scope="col" { (call.t("Created")) }
                }
            }
            tbody { @for bucket in buckets { (row(call, bucket)) } }
        }
    }
}

fn row(call: &Call<'_>, bucket: &Node) -> Markup {
    let name = bucket.text("Name");
    let deed = call.console.deed(name);
    let here = &call.console.settings.region;
    html! {
        tr {
            th scope="row" { a href=(Href::bucket(name, "")) { (text::short(name)) } }
            @match &deed {
                Some(deed) => {
                    td { (holding(call, deed.holding(here))) }
                    td { (text::code(&deed.home)) }
                    td {
                        @if deed.placement.replicas.is_empty() { (call.t("none")) }
                        @for (at, replica) in deed.placement.replicas.iter().enumerate() {
                            @if at > 0 { ", " }
                            (text::code(&replica.region))
                            @if replica.sealed_by.is_some() { " (" (call.t("sealed")) ")" }
                        }
                    }
                    td {
                        @if deed.placement.jurisdictions.is_empty() { (call.t("every country")) }
                        @for (at, law) in deed.placement.jurisdictions.iter().enumerate() {
                            @if at > 0 { ", " } (law.to_string())
                        }
                    }
                }
                None => { td colspan="4" { (call.t("not on record here yet")) } }
            }
            td { (time::iso(bucket.text("CreationDate"))) }
        }
    }
}

fn holding(call: &Call<'_>, holding: Holding) -> Markup {
    match holding {
        Holding::Home => badge(Tone::Good, &call.t("home")),
        Holding::Replica => badge(Tone::Good, &call.t("replica")),
        Holding::Sealed => badge(Tone::Plain, &call.t("sealed replica")),
        Holding::Nothing => badge(Tone::Plain, &call.t("not stored here")),
    }
}

/// Opens a bucket by its name.
pub async fn open(call: &Call<'_>) -> Answer {
    let name = call.query.get("bucket").unwrap_or_default().trim();
    let name = types::BucketName::new(name);
    let name = name.map_err(|error| Fault::Bad(error.to_string().into()))?;
    Ok(Reply::See(Href::bucket(&name, "")))
}
