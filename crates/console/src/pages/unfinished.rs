//! Uploads in parts that were begun and neither completed nor aborted: their parts take room until
//! then.

use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use maud::{Markup, html};
use types::Timestamp;

use crate::{
    call::Call,
    fault::Fault,
    fields::decoded,
    pages::objects::{self, Tab},
    reply::{Answer, Page, Reply},
    s3::{Node, S3Ask},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, note},
        text, time,
    },
};

/// Uploads of a page. Their parts are counted, so they are few.
const PAGE: &str = "50";
/// Uploads that are aborted by one form, and at once.
const ABORTED_MAX: usize = 1000;
const AT_ONCE: usize = 8;
/// Parts of an upload that are counted.
const PARTS: &str = "1000";

/// One upload.
struct Upload {
    key: String,
    id: String,
    begun: String,
}

impl Upload {
    fn read(node: &Node) -> Self {
        Self {
            key: decoded(node.text("Key")).into_owned(),
            id: node.text("UploadId").to_owned(),
            begun: node.text("Initiated").to_owned(),
        }
    }

    fn begun_ms(&self) -> Option<u64> {
        Timestamp::parse_iso8601(&self.begun).map(|at| at.ms())
    }
}

/// What was counted of an upload: parts, bytes, and whether there are more.
struct Parts(u64, u64, bool);

/// A page of them, and the key and id after which the next one begins.
type Listed = (Vec<Upload>, Option<(String, String)>);

async fn list(
    call: &Call<'_>,
    bucket: &str,
    most: &str,
    after: Option<(&str, &str)>,
) -> Result<Listed, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("uploads", "")
        .query("encoding-type", "url")
        .query("max-uploads", most)
        .maybe("key-marker", after.map(|(key, _)| key))
        .maybe("upload-id-marker", after.map(|(_, id)| id));
    let root = call.s3(ask).await?.xml()?;
    let next = (root.text("IsTruncated") == "true").then(|| {
        let key = decoded(root.text("NextKeyMarker")).into_owned();
        (key, root.text("NextUploadIdMarker").to_owned())
    });
    Ok((root.all("Upload").map(Upload::read).collect(), next))
}

async fn parts_of(call: &Call<'_>, bucket: &str, upload: &Upload) -> Result<Parts, Fault> {
    let ask = S3Ask::object(&Method::GET, bucket, &upload.key)
        .query("uploadId", &*upload.id)
        .query("max-parts", PARTS);
    let root = call.s3(ask).await?.xml()?;
    let sizes = root
        .all("Part")
        .map(|part| part.text("Size").parse().unwrap_or(0_u64));
    let (count, bytes) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
    Ok(Parts(count, bytes, root.text("IsTruncated") == "true"))
}

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    page(call, None).await?.into()
}

async fn page(call: &Call<'_>, problem: Option<&str>) -> Result<Page, Fault> {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let after = call.query.some("after").zip(call.query.some("mark"));
    let (uploads, next) = list(call, bucket, PAGE, after).await?;
    let counts: Vec<_> = uploads
        .iter()
        .map(|one| parts_of(call, bucket, one))
        .collect();
    let counted: Vec<_> = stream::iter(counts).buffered(AT_ONCE).collect().await;
    let body = html! {
        (objects::tabs(call, bucket, Tab::Uploads))
        @if let Some(count) = call.query.some("ended") {
            @let count = count.parse().unwrap_or(0);
            (note(Tone::Good, &html! {
                p role="status" {
                    (call.count(("1 upload was aborted.", "{count} uploads were aborted."), count, &[]))
                }
            }))
        }
        @if let Some(problem) = problem {
            (note(Tone::Bad, &html! { p role="alert" { bdi { (text::ours(problem)) } } }))
        }
        p { (call.t(ABOUT)) }
        @if uploads.is_empty() {
            (parts::empty(&call.t("No upload is unfinished."), &html! {
                a.button href=(Href::bucket(bucket, "")) { (call.t("Back to the bucket")) }
            }))
        } @else {
            (parts::table(&call.t("Uploads"), &rows(call, bucket, &uploads, &counted)))
            @if let Some((key, id)) = &next {
                p.more {
                    a.button rel="next" href=(Href::bucket(bucket, "/uploads")
                        .with(&[("after", key), ("mark", id)])) { (call.t("Next page")) }
                    span.hint { (call.t("There are more.")) }
                }
            }
            (all_form(call, bucket))
        }
    };
    let mut page = Page::new(bucket, body).at(objects::path(call, bucket, ""));
    if problem.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    Ok(page)
}

const ABOUT: &str = "Programs and this console send large objects in parts. What was begun and \
                     not ended keeps its parts, and its room, until it is completed or aborted.";

fn rows(
    call: &Call<'_>,
    bucket: &str,
    uploads: &[Upload],
    counted: &[Result<Parts, Fault>],
) -> Markup {
    let route = Href::bucket(bucket, "/uploads/abort");
    let now = call.console.clock.now().ms();
    html! {
        table data-rows {
            thead {
                tr {
                    th scope="col" { (call.t("Name")) }
                    th.right scope="col" { (call.t("Parts")) }
                    th.right scope="col" { (call.t("Size")) }
                    th scope="col" { (call.t("Begun")) }
                    th scope="col" { (call.t("Age")) }
                    th scope="col" { (call.t("Action")) }
                }
            }
            tbody {
                @for (upload, counted) in uploads.iter().zip(counted) {
                    tr {
                        th scope="row" { (text::short(&upload.key)) }
                        @match counted {
                            Ok(Parts(count, bytes, more)) => {
                                td.right { (number::grouped(*count)) @if *more { "+" } }
                                td.right { (number::bytes(*bytes)) @if *more { "+" } }
                            }
                            Err(fault) => { td.name colspan="2" { (parts::reason(call, fault)) } }
                        }
                        td { (time::iso(&upload.begun)) }
                        td {
                            @if let Some(begun) = upload.begun_ms() { (time::ago(begun, now)) }
                        }
                        td {
                            (parts::button(call, route.as_str(),
                                &[("key", &upload.key), ("id", &upload.id)], "small danger",
                                &call.t("Abort")))
                        }
                    }
                }
            }
        }
    }
}

fn all_form(call: &Call<'_>, bucket: &str) -> Markup {
    let route = Href::bucket(bucket, "/uploads/all");
    let now = call.console.clock.now().ms();
    html! {
        section.card {
            h2 { (call.t("Abort all")) }
            p { (call.t(ALL)) }
            form.stack method="post" action=(route) {
                (call.token(route.as_str()))
                input type="hidden" name="until" value=(now);
                div {
                    label for="name" {
                        (call.t("To confirm, type the name of the bucket:")) " " (text::code(bucket))
                    }
                    input #name name="name" required autocomplete="off" autocapitalize="none"
                        spellcheck="false" dir="ltr";
                }
                div.actions { button.danger { (call.t("Abort all uploads")) } }
            }
        }
    }
}

const ALL: &str = "Their parts are deleted, also of uploads that go on just now. Those that begin \
                   after this page was shown stay.";

async fn end(call: &Call<'_>, bucket: &str, (key, id): (&str, &str)) -> Result<(), Fault> {
    let ask = S3Ask::object(&Method::DELETE, bucket, key)
        .query("uploadId", id)
        .or(StatusCode::NOT_FOUND);
    call.s3(ask).await.map(drop)
}

/// Aborts one.
pub async fn abort(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let named = call.form.some("key").zip(call.form.some("id"));
    let named = named.ok_or_else(|| Fault::Bad(call.t("Nothing is chosen.")))?;
    end(call, &shown.deed.name, named).await?;
    ended(&shown.deed.name, 1)
}

fn ended(bucket: &str, count: usize) -> Answer {
    let to = Href::bucket(bucket, "/uploads").with(&[("ended", &count.to_string())]);
    Ok(Reply::See(to))
}

/// Aborts all that had begun when the form was shown, so many by one form.
pub async fn abort_all(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    if call.form.get("name") != Some(bucket) {
        let why = call.t("The name that you typed is not the bucket's. Nothing was deleted.");
        return page(call, Some(&why)).await?.into();
    }
    let until = call.form.get("until").and_then(|ms| ms.parse().ok());
    let until: u64 = until.ok_or_else(|| Fault::Bad(call.t("The form lacks its time.")))?;
    let (mut after, mut count, mut failed) = (None, 0, None);
    while count < ABORTED_MAX {
        let from = after
            .as_ref()
            .map(|(key, id): &(String, String)| (&**key, &**id));
        let (mut uploads, next) = list(call, bucket, PARTS, from).await?;
        uploads.retain(|upload| upload.begun_ms().is_some_and(|begun| begun <= until));
        let ends = uploads
            .iter()
            .map(|one| end(call, bucket, (&one.key, &one.id)));
        let ends: Vec<_> = ends.collect();
        let done: Vec<_> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
        count += done.iter().filter(|one| one.is_ok()).count();
        failed = failed.or_else(|| done.into_iter().find_map(Result::err));
        match next {
            Some(next) if failed.is_none() => after = Some(next),
            _ => break,
        }
    }
    match failed {
        Some(fault) => page(call, Some(&call.why(&fault))).await?.into(),
        None => ended(bucket, count),
    }
}
