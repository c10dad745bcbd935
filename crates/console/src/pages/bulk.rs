//! Copying, moving or deleting everything below a prefix: what is there, and a form that begins a
//! job (`jobs`).

use std::sync::Arc;

use http::{Method, StatusCode};
use maud::{Markup, html};
use types::{BucketName, Deeds as _, Timestamp, Writes};

use crate::{
    call::{Call, Shown},
    fault::Fault,
    jobs::{Ask, BucketPrefix, Full, Job, Owner, Work, run::Origin},
    pages::{delete::versioned, objects},
    reply::{Answer, Page, Reply},
    s3::S3Ask,
    ui::{
        href::Href,
        number,
        parts::{Tone, facts, note},
        text,
    },
};

/// Objects that are counted before a job begins.
const COUNTED: &str = "1000";

/// What is below the prefix.
struct Below {
    count: u64,
    bytes: u64,
    /// Whether there are more.
    more: bool,
}

/// The forms.
pub async fn show(call: &Call<'_>) -> Answer {
    let shown = at_home(call)?;
    let prefix = call.query.get("prefix").unwrap_or_default();
    page(call, &shown, prefix, None).await?.into()
}

/// Jobs run where writes are ordered.
pub fn at_home(call: &Call<'_>) -> Result<Shown, Fault> {
    let shown = call.shown()?;
    match shown.is_home {
        true => Ok(shown),
        false => Err(Fault::Law {
            home: shown.deed.home.to_string(),
            endpoint: call.endpoint_of(&shown.deed.home),
        }),
    }
}

async fn below(call: &Call<'_>, bucket: &str, prefix: &str) -> Result<Below, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("list-type", "2")
        .query("encoding-type", "url")
        .query("max-keys", COUNTED)
        .query("prefix", prefix);
    let root = call.s3(ask).await?.xml()?;
    let sizes = root.all("Contents").map(|node| node.text("Size").parse());
    let sizes: Vec<u64> = sizes.map(|size| size.unwrap_or(0)).collect();
    Ok(Below {
        count: sizes.len() as u64,
        bytes: sizes.iter().sum(),
        more: root.text("IsTruncated") == "true",
    })
}

async fn page(
    call: &Call<'_>,
    shown: &Shown,
    prefix: &str,
    problem: Option<&str>,
) -> Result<Page, Fault> {
    let bucket = &*shown.deed.name;
    let below = below(call, bucket, prefix).await?;
    let kept = versioned(call, bucket).await?;
    let body = html! {
        @if let Some(problem) = problem { (note(Tone::Bad, &html! { p role="alert" { (problem) } })) }
        (facts(&[
            (&call.t("Bucket"), text::code(bucket)),
            (&call.t("Keys that begin with"), match prefix.is_empty() {
                true => html! { (call.t("anything")) },
                false => text::name(prefix),
            }),
            (&call.t("Objects"), counted(call, &below)),
        ]))
        @if below.count == 0 {
            p.lead { (call.t("No key begins so.")) }
        } @else {
            p { (call.t(HOW)) }
            (copying(call, bucket, prefix))
            (deleting(call, bucket, prefix, kept))
        }
    };
    Ok(Page::new(call.t("Copy, move or delete all"), body).at(objects::path(call, bucket, prefix)))
}

const HOW: &str = "A job does it in this region, and goes on when you close the page. Objects that \
                   are written after now are left alone, and so are those that change meanwhile.";

fn counted(call: &Call<'_>, below: &Below) -> Markup {
    let (count, bytes) = (
        number::grouped(below.count),
        number::bytes_text(below.bytes),
    );
    let values = [("count", &*count), ("bytes", &*bytes)];
    html! {
        @match below.more {
            true => { (call.with("more than {count}, the first {count} of them {bytes}", &values)) }
            false => { (call.with("{count}, {bytes}", &values)) }
        }
    }
}

/// The fields that both forms have.
fn hidden(call: &Call<'_>, route: &Href, prefix: &str) -> Markup {
    let now = call.console.clock.now().ms().to_string();
    html! {
        (call.token(route.as_str()))
        input type="hidden" name="prefix" value=(prefix);
        input type="hidden" name="until" value=(now);
    }
}

fn copying(call: &Call<'_>, bucket: &str, prefix: &str) -> Markup {
    let route = Href::bucket(bucket, "/bulk");
    html! {
        section.card {
            h2 { (call.t("Copy or move")) }
            form.stack method="post" action=(route) {
                (hidden(call, &route, prefix))
                div {
                    label for="to" { (call.t("To the bucket")) }
                    input #to name="to" value=(bucket) required minlength="3" maxlength="63"
                        autocapitalize="none" spellcheck="false" dir="ltr";
                }
                div {
                    label for="under" { (call.t("There, keys begin with")) }
                    input #under name="under" value=(prefix) maxlength="1024" autocapitalize="none"
                        spellcheck="false" dir="ltr" aria-describedby="under-hint";
                    p.hint #under-hint { (call.t(UNDER)) }
                }
                label.check {
                    input type="checkbox" name="replace" value="1";
                    span { (call.t("Replace objects that are there already")) }
                }
                div.actions {
                    button.primary name="do" value="copy" { (call.t("Copy all")) }
                    button name="do" value="move" { (call.t("Move all")) }
                }
            }
        }
    }
}

const UNDER: &str = "It takes the place of what the keys begin with here.";

fn deleting(call: &Call<'_>, bucket: &str, prefix: &str, kept: bool) -> Markup {
    let route = Href::bucket(bucket, "/bulk");
    let what = match kept {
        true => KEPT,
        false => FINAL,
    };
    html! {
        section.card {
            h2 { (call.t("Delete")) }
            (note(if kept { Tone::Warn } else { Tone::Bad }, &html! { p { (call.t(what)) } }))
            form.stack method="post" action=(route) {
                (hidden(call, &route, prefix))
                div {
                    label for="name" {
                        (call.t("To confirm, type the name of the bucket:")) " " (text::code(bucket))
                    }
                    input #name name="name" required autocomplete="off" autocapitalize="none"
                        spellcheck="false" dir="ltr";
                }
                div.actions {
                    button.danger name="do" value="delete" { (call.t("Delete all")) }
                }
            }
        }
    }
}

const KEPT: &str = "The bucket keeps versions: each object gets a delete marker, and can be \
                    undeleted.";
const FINAL: &str = "The bucket keeps no versions: nothing brings the objects back.";

/// The forms again, with what is wrong.
async fn wrong(call: &Call<'_>, shown: &Shown, why: &str) -> Answer {
    let prefix = call.form.get("prefix").unwrap_or_default();
    let mut page = page(call, shown, prefix, Some(why)).await?;
    page.status = StatusCode::BAD_REQUEST;
    page.into()
}

/// Begins a job.
pub async fn begin(call: &Call<'_>) -> Answer {
    let shown = at_home(call)?;
    let bucket = &shown.deed.name;
    let prefix = call.form.get("prefix").unwrap_or_default();
    let work = match call.form.get("do").unwrap_or_default() {
        "delete" if call.form.get("name") != Some(&**bucket) => {
            let why = call.t("The name that you typed is not the bucket's. Nothing was deleted.");
            return wrong(call, &shown, &why).await;
        }
        "delete" => Work::Delete,
        does @ ("copy" | "move") => {
            let to = BucketName::new(call.form.get("to").unwrap_or_default());
            let to = to.map_err(|error| Fault::Bad(error.to_string().into()))?;
            Work::Copy {
                to: BucketPrefix {
                    bucket: to,
                    prefix: call.form.get("under").unwrap_or_default().to_owned(),
                },
                replaces: call.form.some("replace").is_some(),
                moves: does == "move",
            }
        }
        _ => return Err(Fault::Bad(call.t("Nothing is chosen."))),
    };
    let now = call.console.clock.now();
    let until = call.form.get("until").and_then(|ms| ms.parse().ok());
    let until = until.ok_or_else(|| Fault::Bad(call.t("The form lacks its time.")))?;
    let ask = Ask {
        from: BucketPrefix {
            bucket: bucket.clone(),
            prefix: prefix.to_owned(),
        },
        work,
        until: Timestamp::from_ms(until).min(now),
        now_ms: now.ms(),
    };
    if ask.meets_itself() {
        return wrong(call, &shown, &call.t(MEETS)).await;
    }
    if moves_any(&shown, &ask) {
        return wrong(call, &shown, &call.t(ANY)).await;
    }
    if let Some(why) = elsewhere(call, &ask)? {
        return wrong(call, &shown, &why).await;
    }
    start(call, ask)?;
    Ok(Reply::See(Href::to("/jobs")))
}

const MEETS: &str = "The copies would be among what is copied, or replace it. Choose another \
                     bucket, or keys that begin otherwise.";

/// Where several regions take writes, this one may not have seen the last change of an object.
fn moves_any(shown: &Shown, ask: &Ask) -> bool {
    let moves = matches!(ask.work, Work::Copy { moves: true, .. });
    moves && shown.deed.placement.writes == Writes::Any
}

const ANY: &str = "Several regions take writes of this bucket, so nothing is moved out of it: a \
                   change that this region has not seen yet would be lost. Copy it instead.";

/// A copy ends in the region that makes it, so both buckets must have their home there.
fn elsewhere(call: &Call<'_>, ask: &Ask) -> Result<Option<String>, Fault> {
    let Work::Copy { to, .. } = &ask.work else {
        return Ok(None);
    };
    let deed = call.console.backend.registry().get(&to.bucket);
    let own = call.who()?.account.account_id();
    // Nobody but the owner learns where a bucket is.
    let deed = deed.filter(|deed| access::is_owner(&own, deed));
    let here = &call.console.settings.region;
    Ok(deed.filter(|deed| deed.home != *here).map(|deed| {
        let values = [("bucket", &*to.bucket), ("home", &*deed.home)];
        call.with(
            "The home of {bucket} is region {home}, and jobs copy within one region. Replication \
             rules copy between regions.",
            &values,
        )
    }))
}

/// Begins a job of whoever is signed in.
pub fn start(call: &Call<'_>, ask: Ask) -> Result<(), Fault> {
    let who = call.who()?;
    let gone = || Fault::Failed("the console is stopping".into());
    let console = call.console.own.upgrade().ok_or_else(gone)?;
    let owner = Owner {
        key: who.key.clone(),
        account: who.account.account_id(),
        proofs: who.session.proofs().clone(),
    };
    let job = Job::new(call.console.random_hex::<8>(), owner, ask);
    let job = console.jobs.add(job).map_err(|full| {
        Fault::Busy(match full {
            Full::Key => call.t("Two jobs of your key run already.").into_owned(),
            Full::Account => call
                .t("Four jobs of your account run already.")
                .into_owned(),
            Full::Region => call
                .t("This region runs as many jobs as it can.")
                .into_owned(),
        })
    })?;
    let origin = Origin::of(call)?;
    tokio::spawn(Arc::clone(&console).run_job(origin, job));
    Ok(())
}
