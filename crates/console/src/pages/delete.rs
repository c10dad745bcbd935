//! Deleting objects and versions: a preview of what goes, a confirmation, and then nothing but what
//! the preview showed.

use std::borrow::Cow;

use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::{Call, Shown},
    fault::Fault,
    fields::decoded,
    jobs::state::State,
    pages::objects,
    reply::{Answer, Page, Reply},
    s3::S3Ask,
    ui::{
        href::Href,
        number,
        parts::{self, Tone, note},
        text,
    },
};

/// Objects of one confirmation.
const OBJECTS_MAX: usize = 200;
const FIELDS: [&str; 7] = ["csrf", "key", "folder", "version", "seen", "name", "back"];

/// One thing that is to go.
struct Doomed {
    key: String,
    version: Option<String>,
    /// Of the current version: nothing that came in its place is deleted.
    state: Option<State>,
    etag: String,
    size: u64,
}

/// What a confirmation is about.
struct Plan {
    all: Vec<Doomed>,
    /// Whether objects stay as versions.
    kept: bool,
    /// A digest of all of it.
    seen: String,
}

impl Plan {
    fn bytes(&self) -> u64 {
        self.all.iter().map(|one| one.size).sum()
    }

    /// Whether the page that is confirmed showed this.
    fn is_what_was_shown(&self, seen: &str) -> bool {
        seen == self.seen || types::planted("console-preview-ignored")
    }

    /// Whether nothing brings it back: then the bucket's name has to be typed.
    fn is_final(&self) -> bool {
        !self.kept || self.all.iter().any(|one| one.version.is_some())
    }
}

/// Shows what would go.
pub async fn preview(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let plan = plan(call, &shown).await?;
    page(call, &shown, &plan, None).into()
}

/// Deletes what was shown.
pub async fn act(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let plan = plan(call, &shown).await?;
    if !plan.is_what_was_shown(call.form.get("seen").unwrap_or_default()) {
        let why =
            call.t("Something of this has changed since you looked at it. Nothing was deleted.");
        let mut page = page(call, &shown, &plan, Some(&why));
        page.status = StatusCode::CONFLICT;
        return page.into();
    }
    if plan.is_final() && call.form.get("name") != Some(bucket) {
        let why = call.t("The name that you typed is not the bucket's. Nothing was deleted.");
        let mut page = page(call, &shown, &plan, Some(&why));
        page.status = StatusCode::BAD_REQUEST;
        return page.into();
    }
    let mut failed = Vec::new();
    for one in &plan.all {
        let at = (bucket, &*one.key);
        let ask = match (&one.version, &one.state) {
            (None, Some(state)) => state.delete(at),
            (version, _) => {
                S3Ask::object(&Method::DELETE, at.0, at.1).maybe("versionId", version.as_deref())
            }
        };
        if let Err(fault) = call.s3(ask).await {
            failed.push((one.key.clone(), fault));
        }
    }
    match failed.is_empty() {
        true => Ok(Reply::See(back(call, bucket))),
        false => failures(call, bucket, plan.all.len(), &failed).into(),
    }
}

/// Where the caller came from: a prefix, or an object's page.
fn back(call: &Call<'_>, bucket: &str) -> Href {
    let back = call.form.get("back").unwrap_or_default();
    match call.form.some("version") {
        Some(_) => {
            Href::bucket(bucket, "/o").with(&[("key", call.form.get("key").unwrap_or_default())])
        }
        None => Href::bucket(bucket, "").with(&[("prefix", back)]),
    }
}

async fn plan(call: &Call<'_>, shown: &Shown) -> Result<Plan, Fault> {
    let bucket = &*shown.deed.name;
    if let Some(stranger) = call.form.stranger(&FIELDS) {
        let why = call.with(
            "The form has a field that is unknown: {name}",
            &[("name", stranger)],
        );
        return Err(Fault::Bad(why.into()));
    }
    let kept = versioned(call, bucket).await?;
    let mut all = Vec::new();
    let version = call.form.some("version");
    // Without a key it would be the bucket.
    for key in call.form.all("key").filter(|key| !key.is_empty()) {
        all.extend(one(call, bucket, key, version).await?);
        too_many(call, &all)?;
    }
    for folder in call.form.all("folder").filter(|folder| !folder.is_empty()) {
        all.extend(below(call, bucket, folder).await?);
        too_many(call, &all)?;
    }
    if all.is_empty() {
        return Err(Fault::Bad(
            call.t("Nothing is chosen, or all of it is deleted already."),
        ));
    }
    let mut text = format!("{bucket} {} {kept}", shown.deed.epoch);
    for one in &all {
        let version = one.version.as_deref().unwrap_or_default();
        text.push_str(&format!(
            "\n{} {version} {} {} {}",
            one.key.len(),
            one.etag,
            one.state.as_ref().map_or("", State::text),
            one.key
        ));
    }
    Ok(Plan {
        all,
        kept,
        seen: access::sign::payload_sha256(text.as_bytes()),
    })
}

fn too_many(call: &Call<'_>, all: &[Doomed]) -> Result<(), Fault> {
    match all.len() > OBJECTS_MAX {
        true => Err(Fault::Bad(call.t(TOO_MANY))),
        false => Ok(()),
    }
}

const TOO_MANY: &str = "This is more than 200 objects. Choose fewer, or open the prefix and use \
                        \"Copy, move or delete all\".";

/// Whether the bucket keeps versions. One that cannot be asked counts as one that does not: then
/// more has to be confirmed.
pub async fn versioned(call: &Call<'_>, bucket: &str) -> Result<bool, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket).query("versioning", "");
    match call.s3(ask).await {
        Ok(answer) => Ok(answer.xml()?.text("Status") == "Enabled"),
        Err(Fault::Refused(_)) => Ok(false),
        Err(fault) => Err(fault),
    }
}

async fn one(
    call: &Call<'_>,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> Result<Option<Doomed>, Fault> {
    let ask = S3Ask::object(&Method::HEAD, bucket, key)
        .maybe("versionId", version)
        .or(StatusCode::NOT_FOUND);
    let head = call.s3(ask).await?;
    if !head.0.status().is_success() {
        return Ok(None);
    }
    let size = head
        .header("content-length")
        .and_then(|size| size.parse().ok());
    let current = head.header("x-amz-version-id").unwrap_or_default();
    let state = head.header("x-dhow-state").and_then(State::read);
    Ok(Some(Doomed {
        key: key.to_owned(),
        version: version.map(str::to_owned),
        state: state.filter(|_| version.is_none()),
        etag: head.header("etag").unwrap_or_default() + &current,
        size: size.unwrap_or(0),
    }))
}

/// The objects below a prefix.
async fn below(call: &Call<'_>, bucket: &str, folder: &str) -> Result<Vec<Doomed>, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("list-type", "2")
        .query("encoding-type", "url")
        .query("max-keys", (OBJECTS_MAX + 1).to_string())
        .query("prefix", folder);
    let listed = call.s3(ask).await?.xml()?;
    let keys = listed.all("Contents").map(|node| decoded(node.text("Key")));
    let keys: Vec<String> = keys.map(Cow::into_owned).collect();
    if keys.len() > OBJECTS_MAX {
        return Err(Fault::Bad(call.t(TOO_MANY)));
    }
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        all.extend(one(call, bucket, &key, None).await?);
    }
    Ok(all)
}

/// "Delete 3 objects".
fn named(call: &Call<'_>, plan: &Plan) -> String {
    let count = plan.all.len() as u64;
    let version = plan.all.iter().any(|one| one.version.is_some());
    match (count, version) {
        (1, true) => call.t("Delete 1 version for good").into_owned(),
        _ => call.count(("Delete 1 object", "Delete {count} objects"), count, &[]),
    }
}

fn page(call: &Call<'_>, shown: &Shown, plan: &Plan, problem: Option<&str>) -> Page {
    let bucket = &*shown.deed.name;
    let title = named(call, plan);
    let bytes = number::bytes_text(plan.bytes());
    let what = match plan.is_final() {
        true => call.with(FINAL, &[("bytes", &bytes)]),
        false => call.with(KEPT, &[("bytes", &bytes)]),
    };
    let tone = if plan.is_final() {
        Tone::Bad
    } else {
        Tone::Warn
    };
    let body = html! {
        @if let Some(problem) = problem { (note(Tone::Bad, &html! { p role="alert" { (problem) } })) }
        (note(tone, &html! { p { (what) } }))
        (parts::table(&call.t("What is deleted"), &list(call, plan)))
        (form(call, bucket, plan, &title))
    };
    Page::new(title, body).at(objects::path(call, bucket, ""))
}

const FINAL: &str = "Nothing brings this back. {bytes} are freed.";
const KEPT: &str = "The bucket keeps versions: each object gets a delete marker, its {bytes} stay, \
                    and it can be undeleted.";

fn form(call: &Call<'_>, bucket: &str, plan: &Plan, title: &str) -> Markup {
    let route = Href::bucket(bucket, "/delete/act");
    let back = call.form.get("back").unwrap_or_default();
    html! {
        form.stack method="post" action=(route) {
            (call.token(route.as_str()))
            input type="hidden" name="seen" value=(plan.seen);
            input type="hidden" name="back" value=(back);
            @for name in ["key", "folder", "version"] {
                @for value in call.form.all(name) {
                    input type="hidden" name=(name) value=(value);
                }
            }
            @if plan.is_final() {
                div {
                    label for="name" {
                        (call.t("To confirm, type the name of the bucket:")) " " (text::code(bucket))
                    }
                    input #name name="name" required autocomplete="off" autocapitalize="none"
                        spellcheck="false";
                }
            } @else {
                label.check {
                    input type="checkbox" required;
                    span { (call.t("Yes, delete what is listed above")) }
                }
            }
            div.actions {
                button.danger { (title) }
                a.button href=(Href::bucket(bucket, "").with(&[("prefix", back)])) { (call.t("Keep them")) }
            }
        }
    }
}

fn list(call: &Call<'_>, plan: &Plan) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { (call.t("Name")) }
                    th scope="col" { (call.t("Version")) }
                    th.right scope="col" { (call.t("Size")) }
                }
            }
            tbody {
                @for one in &plan.all {
                    tr {
                        th scope="row" { (text::short(&one.key)) }
                        td {
                            @match &one.version {
                                Some(version) => { (text::code(version)) }
                                None => { (call.t("current")) }
                            }
                        }
                        td.right { (number::bytes(one.size)) }
                    }
                }
            }
        }
    }
}

fn failures(call: &Call<'_>, bucket: &str, of: usize, failed: &[(String, Fault)]) -> Page {
    let (count, of) = (failed.len().to_string(), of.to_string());
    let body = html! {
        (note(Tone::Bad, &html! {
            p { (call.with("{count} of {of} were not deleted.", &[("count", &count), ("of", &of)])) }
        }))
        ul {
            @for (key, fault) in failed {
                li { (text::short(key)) ": " (parts::reason(call, fault)) }
            }
        }
        p { a.button href=(Href::bucket(bucket, "")) { (call.t("Back to the bucket")) } }
    };
    let mut page = Page::new(call.t("Not all was deleted"), body);
    page.status = StatusCode::CONFLICT;
    page
}

/// The key that a form names. None is none: without a key it would be the bucket.
pub fn key_of<'c>(call: &'c Call<'_>) -> Result<&'c str, Fault> {
    let key = call.form.some("key");
    key.ok_or_else(|| Fault::Bad(call.t("The form names no object.")))
}

/// Brings an object back: takes its delete marker away.
pub async fn undelete(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let key = key_of(call)?;
    let (newest, _) = super::object::versions(call, bucket, key, None).await?;
    let marker = newest
        .iter()
        .find(|version| version.latest && version.marker);
    let Some(marker) = marker else {
        return Err(Fault::Changed);
    };
    let ask = S3Ask::object(&Method::DELETE, bucket, key).query("versionId", &*marker.id);
    call.s3(ask).await?;
    Ok(Reply::See(Href::bucket(bucket, "/o").with(&[("key", key)])))
}

/// Makes an older version the current one again: a copy of it, so that nothing is lost.
pub async fn restore(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let key = key_of(call)?;
    let version = call.form.get("version").unwrap_or_default();
    let source = format!(
        "/{bucket}/{}?versionId={}",
        access::sign::encode_path(key),
        access::sign::encode(version)
    );
    let ask = S3Ask::object(&Method::PUT, bucket, key).header("x-amz-copy-source", source);
    call.s3(ask).await?;
    Ok(Reply::See(Href::bucket(bucket, "/o").with(&[("key", key)])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_deleted_but_what_was_shown() {
        let plan = Plan {
            all: Vec::new(),
            kept: true,
            seen: "a digest".into(),
        };
        assert!(plan.is_what_was_shown("a digest"));
        assert!(!plan.is_what_was_shown("another digest") && !plan.is_what_was_shown(""));
    }
}
