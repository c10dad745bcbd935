//! Deleting every version of an object, or a bucket with all that it has: what goes, the name to
//! be typed, and then a job (`jobs::purging`).

use http::{Method, StatusCode};
use maud::{Markup, html};
use types::Timestamp;

use crate::{
    call::{Call, Shown},
    fault::Fault,
    fields::decoded,
    jobs::{Ask, BucketPrefix, Purge, Work},
    pages::{bulk, objects},
    reply::{Answer, Page, Reply},
    s3::S3Ask,
    ui::{
        href::Href,
        number,
        parts::{Tone, facts, note},
        text,
    },
};

/// Versions that are counted before the job begins.
const COUNTED: &str = "1000";

/// What is there to go.
struct There {
    versions: u64,
    markers: u64,
    bytes: u64,
    /// Whether there are more.
    more: bool,
}

/// What a form or an address is about: one key, or the whole bucket.
fn what(key: Option<&str>) -> (Purge, &str) {
    match key {
        Some(key) => (Purge::Key, key),
        None => (Purge::Bucket, ""),
    }
}

async fn there(call: &Call<'_>, bucket: &str, (what, key): (Purge, &str)) -> Result<There, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("versions", "")
        .query("encoding-type", "url")
        .query("max-keys", COUNTED)
        .query("prefix", key);
    let root = call.s3(ask).await?.xml()?;
    let mut there = There {
        versions: 0,
        markers: 0,
        bytes: 0,
        more: root.text("IsTruncated") == "true",
    };
    for row in root.children() {
        let is_row = matches!(&*row.name, "Version" | "DeleteMarker");
        if is_row && what == Purge::Key && decoded(row.text("Key")) != key {
            there.more = false;
            break;
        }
        match &*row.name {
            "Version" => {
                there.versions += 1;
                there.bytes += row.text("Size").parse().unwrap_or(0);
            }
            "DeleteMarker" => there.markers += 1,
            _ => {}
        }
    }
    Ok(there)
}

/// The form.
pub async fn show(call: &Call<'_>) -> Answer {
    let shown = bulk::at_home(call)?;
    page(call, &shown, what(call.query.some("key")), None)
        .await?
        .into()
}

async fn page(
    call: &Call<'_>,
    shown: &Shown,
    (what, key): (Purge, &str),
    problem: Option<&str>,
) -> Result<Page, Fault> {
    let bucket = &*shown.deed.name;
    let there = there(call, bucket, (what, key)).await?;
    let (title, warning, label) = match what {
        Purge::Key => (
            call.t("Delete all versions"),
            KEY,
            call.t("Delete all versions"),
        ),
        Purge::Bucket => (
            call.t("Delete the bucket"),
            BUCKET,
            call.t("Delete the bucket"),
        ),
    };
    let route = Href::bucket(bucket, "/purge");
    let now = call.console.clock.now().ms().to_string();
    let body = html! {
        @if let Some(problem) = problem { (note(Tone::Bad, &html! { p role="alert" { (problem) } })) }
        (note(Tone::Bad, &html! { p { (call.t(warning)) } }))
        (facts(&[
            (&call.t("Bucket"), text::code(bucket)),
            (&call.t("Object"), match what {
                Purge::Key => text::name(key),
                Purge::Bucket => html! { (call.t("all of them")) },
            }),
            (&call.t("What is there"), counted(call, &there)),
        ]))
        p.hint { (call.t(HOW)) }
        form.stack method="post" action=(route) {
            (call.token(route.as_str()))
            input type="hidden" name="all-of" value=(if key.is_empty() { "bucket" } else { "key" });
            input type="hidden" name="key" value=(key);
            input type="hidden" name="until" value=(now);
            div {
                label for="name" {
                    (call.t("To confirm, type the name of the bucket:")) " " (text::code(bucket))
                }
                input #name name="name" required autocomplete="off" autocapitalize="none"
                    spellcheck="false" dir="ltr";
            }
            div.actions {
                button.danger { (label) }
                a.button href=(Href::bucket(bucket, "")) { (call.t("Back to the bucket")) }
            }
        }
    };
    Ok(Page::new(title, body).at(objects::path(call, bucket, "")))
}

const KEY: &str = "Nothing brings them back: neither a version nor a delete marker of this key \
                   stays.";
const BUCKET: &str = "Nothing brings this back. All objects go, with all their versions, and then \
                      the bucket. Its name is free for anybody then.";
const HOW: &str = "A job does it in this region, and goes on when you close the page. What is \
                   written after now is left alone; then the bucket stays, too.";

fn counted(call: &Call<'_>, there: &There) -> Markup {
    let values = [
        ("versions", number::grouped(there.versions)),
        ("markers", number::grouped(there.markers)),
        ("bytes", number::bytes_text(there.bytes)),
    ];
    let values = values.each_ref().map(|(name, value)| (*name, &**value));
    html! {
        @match there.more {
            true => { (call.with(MORE, &values)) }
            false => { (call.with(ALL, &values)) }
        }
    }
}

const ALL: &str = "Versions: {versions} ({bytes}); delete markers: {markers}";
const MORE: &str = "More than these. Versions: {versions} ({bytes}); delete markers: {markers}";

/// Begins the job.
pub async fn begin(call: &Call<'_>) -> Answer {
    let shown = bulk::at_home(call)?;
    // A key that is lost on the way must not mean the bucket.
    let key = call.form.some("key");
    let (what, key) = match (call.form.get("all-of").unwrap_or_default(), key) {
        ("key", Some(_)) | ("bucket", None) => what(key),
        _ => return Err(Fault::Bad(call.t("Nothing is chosen."))),
    };
    if call.form.get("name") != Some(&*shown.deed.name) {
        let why = call.t("The name that you typed is not the bucket's. Nothing was deleted.");
        let mut page = page(call, &shown, (what, key), Some(&why)).await?;
        page.status = StatusCode::BAD_REQUEST;
        return page.into();
    }
    let now = call.console.clock.now();
    let until = call.form.get("until").and_then(|ms| ms.parse().ok());
    let until = until.ok_or_else(|| Fault::Bad(call.t("The form lacks its time.")))?;
    let ask = Ask {
        from: BucketPrefix {
            bucket: shown.deed.name.clone(),
            prefix: key.to_owned(),
        },
        work: Work::Purge(what),
        until: Timestamp::from_ms(until).min(now),
        now_ms: now.ms(),
    };
    bulk::start(call, ask)?;
    Ok(Reply::See(Href::to("/jobs")))
}
