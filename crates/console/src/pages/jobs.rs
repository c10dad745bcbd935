//! The jobs of the key that is signed in: how far they are, what failed, and a way to end them.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    jobs::{Ended, Job, Purge, Work},
    reply::{Answer, Page, Reply},
    s3::S3Ask,
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge},
        text, time,
    },
};

/// The list.
pub async fn show(call: &Call<'_>) -> Answer {
    let jobs = own(call)?;
    let running = jobs.iter().any(|job| job.runs());
    let body = html! {
        p { (call.t(ABOUT)) }
        @if jobs.is_empty() {
            (parts::empty(&call.t("No job of your key runs here, or ran since the region started."),
                &html! { p { (call.t(HOW)) } }))
        }
        @for job in &jobs { (card(call, job, lists(call, job).await)) }
        @if running {
            p { a.button data-reload href="/jobs" { (call.t("Show what is new")) } }
            script type="module" src=(call.console.assets.path("jobs.js")) {}
        }
    };
    Page::new(call.t("Jobs"), body).into()
}

const ABOUT: &str = "Jobs copy, move or delete many objects in this region, as your key. They go \
                     on when you sign out. They end when the key is disabled, after a day, and \
                     when the region restarts.";
const UNNAMED: &str = "What failed is not named: your key may not list these objects now.";
const HOW: &str = "Open a bucket, and there a prefix: the button \"Copy, move or delete all\" leads \
                   to one.";

/// Whether the key may see names of objects there now: it may have lost its rights since it began
/// the job.
async fn lists(call: &Call<'_>, job: &Job) -> bool {
    if job.failed.load(Relaxed) == 0 {
        return true;
    }
    // Another region would be asked, for names that may not be here any more.
    if !call.console.is_held(&job.from.bucket) {
        return false;
    }
    let ask = S3Ask::bucket(&Method::GET, &job.from.bucket)
        .query("list-type", "2")
        .query("max-keys", "1")
        .query("prefix", &*job.from.prefix);
    call.s3(ask).await.is_ok()
}

fn card(call: &Call<'_>, job: &Arc<Job>, lists: bool) -> Markup {
    let (state, since) = job.state();
    let failures = job.failures();
    html! {
        section.card data-job=(job.id) {
            div.head {
                h2 { (title(call, job)) }
                (state_badge(call, &state, job.failed.load(Relaxed)))
            }
            p { (places(call, job)) }
            p data-counts role="status" { (counts(call, job)) }
            @if state == Ended::Running {
                progress aria-label=(call.t("Under way")) {}
            }
            p.hint {
                (call.t("Began")) " " (time::ms(job.begun_ms))
                @if state != Ended::Running { " \u{b7} " (call.t("ended")) " " (time::ms(since)) }
            }
            @if let Ended::Broken(why) = &state {
                @let why = text::ours(call.words.later(why));
                (parts::note(Tone::Bad, &html! { p { bdi { (why) } } }))
            }
            @if !failures.is_empty() && lists { (failed(call, job, &failures)) }
            @if !failures.is_empty() && !lists { p.hint { (call.t(UNNAMED)) } }
            @if state == Ended::Running {
                (parts::button(call, "/jobs/abort", &[("id", &job.id)], "small", &call.t("Abort")))
            }
        }
    }
}

fn title(call: &Call<'_>, job: &Job) -> Markup {
    let title = match &job.work {
        Work::Delete => call.t("Delete"),
        Work::Purge(Purge::Key) => call.t("Delete all versions"),
        Work::Purge(Purge::Bucket) => call.t("Delete the bucket"),
        Work::Copy { moves: true, .. } => call.t("Move"),
        Work::Copy { moves: false, .. } => call.t("Copy"),
    };
    html! { (title) }
}

fn places(call: &Call<'_>, job: &Job) -> Markup {
    let name = |place: &crate::jobs::BucketPrefix| {
        html! {
            a href=(Href::bucket(&place.bucket, "").with(&[("prefix", &place.prefix)])) {
                (text::short(&[&*place.bucket, "/", &place.prefix].concat()))
            }
        }
    };
    html! {
        (name(&job.from))
        @if let Work::Copy { to, replaces, .. } = &job.work {
            " \u{2192} " (name(to)) " "
            @if *replaces { "(" (call.t("replaces what is there")) ")" }
        }
    }
}

fn state_badge(call: &Call<'_>, state: &Ended, failed: u64) -> Markup {
    match state {
        Ended::Done if failed > 0 => badge(Tone::Warn, &call.t("done, not all of it")),
        Ended::Running => badge(Tone::Plain, &call.t("running")),
        Ended::Done => badge(Tone::Good, &call.t("done")),
        Ended::Aborted => badge(Tone::Warn, &call.t("aborted")),
        Ended::Broken(_) => badge(Tone::Bad, &call.t("stopped")),
    }
}

/// How many objects, in words.
fn counts(call: &Call<'_>, job: &Job) -> String {
    let (done, bytes) = (job.done.load(Relaxed), job.bytes.load(Relaxed));
    let (left, failed) = (job.left.load(Relaxed), job.failed.load(Relaxed));
    let text = [
        ("done", number::grouped(done)),
        ("bytes", number::bytes_text(bytes)),
        ("left", number::grouped(left)),
        ("failed", number::grouped(failed)),
    ];
    let values: Vec<(&str, &str)> = text.iter().map(|(n, v)| (*n, &**v)).collect();
    call.with(
        "{done} done ({bytes}), {left} left as they are, {failed} failed",
        &values,
    )
}

fn failed(call: &Call<'_>, job: &Job, failures: &[(String, String)]) -> Markup {
    let more = job.failed.load(Relaxed) > failures.len() as u64;
    html! {
        details {
            summary { (call.t("What failed")) }
            ul {
                @for (key, why) in failures {
                    li { (text::short(key)) ": " bdi { (text::ours(call.words.later(why))) } }
                }
                @if more { li { (call.t("and more")) } }
            }
        }
    }
}

/// The same for a script: counts in words, and whether it runs.
pub async fn state(call: &Call<'_>) -> Answer {
    let jobs = own(call)?;
    let all = jobs.iter().map(|job| {
        let fields = json!({ "counts": counts(call, job), "runs": job.runs() });
        (job.id.clone(), fields)
    });
    Ok(Reply::Json(Value::Object(all.collect())))
}

/// The jobs of whoever is signed in.
fn own(call: &Call<'_>) -> Result<Vec<Arc<Job>>, Fault> {
    let who = call.who()?;
    let account = who.account.account_id();
    Ok(call.console.jobs.of(&account, &who.session))
}

/// Ends one.
pub async fn abort(call: &Call<'_>) -> Answer {
    let jobs = own(call)?;
    let id = call.form.get("id").unwrap_or_default();
    let job = jobs.iter().find(|job| job.id == id);
    let job = job.ok_or_else(|| Fault::Missing(call.t("There is no such job.")))?;
    job.abort();
    Ok(Reply::See(Href::to("/jobs")))
}
