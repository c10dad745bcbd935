//! What holds for a bucket: versions, public access, its policy, its tags, who owns objects, and
//! the rules that are documents. What this version cannot set is named as such.

mod documents;

use http::{Method, StatusCode};
use maud::{Markup, html};

use self::documents::{CORS, Document, Draft, REPLICATION};
use crate::{
    call::Call,
    fault::Fault,
    pages::{
        editor,
        objects::{self, Tab},
        tagging::{self, Tagged},
    },
    reply::{Answer, Page, Reply},
    s3::S3Ask,
    ui::{
        href::Href,
        parts::{self, Tone, badge, note},
    },
};

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    page(call, None).await?.into()
}

async fn page(call: &Call<'_>, draft: Option<Draft>) -> Result<Page, Fault> {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let saved = call.query.some("saved").is_some();
    let versions = versioning(call, bucket).await;
    let public = block(call, bucket).await;
    let policy = policy(call, bucket).await;
    let draft = draft.as_ref();
    let cors = documents::show(call, bucket, (&CORS, draft)).await;
    // Whoever may see nothing of it reads that once.
    if let (Err(why @ Fault::Refused(_)), Err(_), Err(_), Err(_)) =
        (&versions, &public, &policy, &cors)
    {
        return Err(why.clone());
    }
    let replication = documents::show(call, bucket, (&REPLICATION, draft)).await;
    let on = Tagged {
        bucket,
        key: "",
        version: None,
    };
    let tags = tagging::form(call, on).await;
    let ownership = ownership(call, bucket).await;
    let body = html! {
        (objects::tabs(call, bucket, Tab::Rules))
        @if saved { (note(Tone::Good, &html! { p role="status" { (call.t("Saved.")) } })) }
        div.cards {
            (section(call, "Versions", "versions", versions))
            (section(call, "Public access", "public", public))
            (section(call, "Policy", "policy", policy))
            (section(call, "Tags", "tags", tags))
            (section(call, "Who owns objects", "ownership", ownership))
        }
        (section(call, CORS.title, "cors", cors))
        (section(call, REPLICATION.title, "replication", replication))
        (section(call, "Not in this version", "later", Ok(later(call))))
        @if shown.is_home {
            p {
                a.button.danger href=(Href::bucket(bucket, "/purge")) {
                    (call.t("Delete the bucket"))
                }
            }
        }
    };
    let page = Page::new(bucket, body);
    Ok(page.at(objects::path(call, bucket, "")))
}

fn section(call: &Call<'_>, name: &'static str, id: &str, body: Result<Markup, Fault>) -> Markup {
    html! {
        section.card id=(id) {
            h2 { (call.t(name)) }
            (parts::or_why(call, body))
        }
    }
}

fn route(bucket: &str, what: &str) -> Href {
    Href::bucket(bucket, &["/rules/", what].concat())
}

fn saved(bucket: &str) -> Answer {
    Ok(Reply::See(
        Href::bucket(bucket, "/rules").with(&[("saved", "1")]),
    ))
}

async fn versioning(call: &Call<'_>, bucket: &str) -> Result<Markup, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket).query("versioning", "");
    let answer = call.s3(ask).await?.xml()?;
    let status = answer.text("Status");
    let to = route(bucket, "versioning");
    Ok(html! {
        @match status {
            "Enabled" => {
                p { (badge(Tone::Good, &call.t("kept"))) " "
                    (call.t("What is overwritten or deleted stays as a version.")) }
                (parts::button(call, to.as_str(), &[("status", "Suspended")], "",
                    &call.t("Keep no new versions")))
            }
            _ => {
                p { (badge(Tone::Warn, &call.t("not kept"))) " "
                    (call.t("What is overwritten or deleted is gone.")) }
                (parts::button(call, to.as_str(), &[("status", "Enabled")], "primary",
                    &call.t("Keep versions")))
            }
        }
    })
}

/// Switches versions.
pub async fn set_versioning(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let status = call.form.get("status").unwrap_or_default();
    if !matches!(status, "Enabled" | "Suspended") {
        return Err(Fault::Bad(call.t("There is no such state.")));
    }
    let body =
        format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    put(call, &shown.deed.name, "versioning", body.into()).await?;
    saved(&shown.deed.name)
}

async fn put(call: &Call<'_>, bucket: &str, what: &str, body: bytes::Bytes) -> Result<(), Fault> {
    let ask = S3Ask::bucket(&Method::PUT, bucket)
        .query(what, "")
        .body(body);
    call.s3(ask).await.map(drop)
}

async fn block(call: &Call<'_>, bucket: &str) -> Result<Markup, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("publicAccessBlock", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?.xml()?;
    let to = route(bucket, "public");
    Ok(html! {
        (super::block::effect(call, bucket).await)
        form.stack method="post" action=(to) {
            (call.token(to.as_str()))
            (super::block::switches(call, |name| answer.text(name) == "true"))
            div.actions { button { (call.t("Save public access")) } }
        }
        p.hint {
            (call.t("The account has such switches, too, which hold for all of its buckets.")) " "
            a href="/public" { (call.t("Public access of the account")) }
        }
    })
}

/// Saves the switches.
pub async fn set_block(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let body = super::block::document(call);
    put(call, &shown.deed.name, "publicAccessBlock", body.into()).await?;
    saved(&shown.deed.name)
}

async fn policy(call: &Call<'_>, bucket: &str) -> Result<Markup, Fault> {
    let there = editor::of_bucket(call, bucket).await?.is_some();
    Ok(html! {
        p {
            @if there { (badge(Tone::Plain, &call.t("set"))) " "
                (call.t("It says who may do what with the bucket.")) }
            @else { (badge(Tone::Plain, &call.t("none"))) " "
                (call.t("Only the account of the bucket has access, and whom its lists name.")) }
        }
        p { a.button href=(Href::bucket(bucket, "/policy")) { (call.t("Open the policy editor")) } }
    })
}

/// Who owns what others write into the bucket, and whether lists of access count.
const OWNERSHIP: [(&str, &str); 3] = [
    (
        "BucketOwnerEnforced",
        "The account of the bucket owns every object, and lists of access do not count",
    ),
    (
        "BucketOwnerPreferred",
        "Whoever writes an object owns it, unless they give it to the account of the bucket",
    ),
    ("ObjectWriter", "Whoever writes an object owns it"),
];

async fn ownership(call: &Call<'_>, bucket: &str) -> Result<Markup, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("ownershipControls", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?.xml()?;
    let rule = answer
        .child("Rule")
        .map(|rule| rule.text("ObjectOwnership"));
    let to = route(bucket, "ownership");
    Ok(html! {
        form.stack method="post" action=(to) {
            (call.token(to.as_str()))
            div {
                @for (name, what) in OWNERSHIP {
                    label.check {
                        input type="radio" name="ownership" value=(name) required
                            checked[rule == Some(name)];
                        span { (call.words.t(what)) }
                    }
                }
            }
            div.actions { button { (call.t("Save who owns objects")) } }
        }
        p {
            a.button.small href=(Href::bucket(bucket, "/acl")) {
                (call.t("Access control list of the bucket"))
            }
        }
    })
}

/// Saves who owns objects.
pub async fn set_ownership(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let name = call.form.get("ownership").unwrap_or_default();
    if !OWNERSHIP.iter().any(|(known, _)| *known == name) {
        return Err(Fault::Bad(call.t("Nothing is chosen.")));
    }
    let body = format!(
        "<OwnershipControls><Rule><ObjectOwnership>{name}</ObjectOwnership></Rule></OwnershipControls>"
    );
    put(call, &shown.deed.name, "ownershipControls", body.into()).await?;
    saved(&shown.deed.name)
}

/// Saves the rules for pages of other origins.
pub async fn set_cors(call: &Call<'_>) -> Answer {
    save(call, &CORS).await
}

/// Saves what is copied to other buckets.
pub async fn set_replication(call: &Call<'_>) -> Answer {
    save(call, &REPLICATION).await
}

async fn save(call: &Call<'_>, document: &'static Document) -> Answer {
    let shown = call.shown()?;
    let Some(draft) = documents::save(call, &shown.deed.name, document).await else {
        return saved(&shown.deed.name);
    };
    let mut page = page(call, Some(draft)).await?;
    page.status = StatusCode::BAD_REQUEST;
    page.into()
}

/// What nobody can set yet.
const LATER: [(&str, &str); 5] = [
    ("Lifecycle", "Objects stay until they are deleted."),
    ("Object Lock", "Nothing keeps a version from being deleted."),
    (
        "Encryption",
        "What a region stores is not encrypted, unless its replica is sealed.",
    ),
    ("Notifications", "No events are sent."),
    ("Quota", "A bucket has no limit of its own."),
];

fn later(call: &Call<'_>) -> Markup {
    html! {
        dl.facts {
            @for (name, what) in LATER {
                div { dt { (call.words.t(name)) } dd { (call.words.t(what)) } }
            }
        }
    }
}
