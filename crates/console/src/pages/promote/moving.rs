//! Moving homes, one bucket after another. An old home that does not answer may decide for some
//! seconds yet: the page shows how long that is, and asks again by itself until it is done.

use std::time::Duration;

use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{How, Of, shown};
use crate::{
    call::Call,
    fault::Fault,
    pages::value,
    reply::{Answer, Page},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge, note},
        text,
    },
};

/// How long a page waits for one bucket before it shows how far it is.
const STEP_MS: u64 = 1000;
/// And for all that it moves.
const PAGE_WITHIN: Duration = Duration::from_secs(5);

/// A bucket, the epoch in which it was shown, and the home that was shown for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Move {
    bucket: String,
    epoch: u64,
    to: String,
}

impl Move {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (bucket, epoch, to) = (parts.next()?, parts.next()?, parts.next()?);
        (parts.next().is_none() && !bucket.is_empty() && !to.is_empty()).then_some(())?;
        Some(Self {
            bucket: bucket.to_owned(),
            epoch: epoch.parse().ok()?,
            to: to.to_owned(),
        })
    }

    /// Whether the bucket still is as it was when this was shown.
    fn is_of(&self, bucket: &Value) -> bool {
        value::number(bucket, "epoch") == self.epoch || types::planted("console-homes-unseen")
    }
}

/// What is done, and what is to be done.
#[derive(Default)]
struct Progress {
    left: Vec<Move>,
    /// A bucket, and its new home.
    moved: Vec<(String, String)>,
    /// A bucket, and why it stays.
    stays: Vec<(String, String)>,
    /// The region that is waited for, how long at most, and how long that was at first.
    waits: Option<(String, u64, u64)>,
}

impl Progress {
    fn given(call: &Call<'_>) -> Result<Self, Fault> {
        let pairs = |name: &'static str| {
            let all = call.form.all(name);
            let split = all.filter_map(|text| text.split_once(' '));
            split
                .map(|(bucket, what)| (bucket.to_owned(), what.to_owned()))
                .collect()
        };
        let left = call.form.all("move").map(Move::read);
        let left: Option<Vec<Move>> = left.collect();
        Ok(Self {
            left: left
                .ok_or_else(|| Fault::Bad(call.t("The form does not say what is to be moved.")))?,
            moved: pairs("moved"),
            stays: pairs("stays"),
            waits: None,
        })
    }

    fn all(&self) -> usize {
        self.left.len() + self.moved.len() + self.stays.len()
    }
}

/// Moves what was shown, once the name was typed.
pub async fn act(call: &Call<'_>) -> Answer {
    let of = Of::named(call)?;
    if call.form.get("typed") != Some(of.field().1) {
        let why = call.t("What you typed is not the name. Nothing was changed.");
        return shown(call, &of, Some(&why)).await?.into();
    }
    let how = How::given(call);
    let mut progress = Progress::given(call)?;
    let begun = Instant::now();
    while let Some(next) = progress.left.first().cloned() {
        match step(call, &how, &next).await {
            Ok(Some((region, left_ms))) => {
                let before = call.form.get("total_ms").and_then(|ms| ms.parse().ok());
                let total_ms = before.unwrap_or(0).max(left_ms);
                progress.waits = Some((region, left_ms, total_ms));
            }
            Ok(None) => progress.moved.push((next.bucket, next.to)),
            Err(why) => progress.stays.push((next.bucket, why)),
        }
        if progress.waits.is_some() {
            break;
        }
        progress.left.remove(0);
        if begun.elapsed() > PAGE_WITHIN {
            break;
        }
    }
    page(call, &of, &how, &progress).into()
}

/// Moves one bucket, or says which region is waited for and for how long.
async fn step(call: &Call<'_>, how: &How, next: &Move) -> Result<Option<(String, u64)>, String> {
    let why = |fault: Fault| call.why(&fault);
    let path = format!("buckets/{}", access::sign::encode(&next.bucket));
    let bucket = call.admin(&Method::GET, &path, None).await.map_err(why)?;
    // A page that was sent twice has done it already.
    if value::text(&bucket, "home") == next.to {
        return Ok(None);
    }
    if !next.is_of(&bucket) {
        let why = call.t("It got another home since you looked at it. Look at it again.");
        return Err(why.into_owned());
    }
    let mut body = how.body(&next.to);
    body["wait_ms"] = json!(STEP_MS);
    let path = format!("{path}/promote");
    let moved = call.admin(&Method::POST, &path, Some(&body)).await;
    let moved = moved.map_err(why)?;
    let waits = moved.get("waits").filter(|waits| !waits.is_null());
    Ok(waits.map(|waits| {
        let region = value::text(waits, "for").to_owned();
        (region, value::number(waits, "left_ms"))
    }))
}

fn page(call: &Call<'_>, of: &Of<'_>, how: &How, progress: &Progress) -> Page {
    let done = progress.moved.len() + progress.stays.len();
    let ends = progress.left.is_empty();
    let (title, tone) = match (ends, progress.stays.is_empty()) {
        (false, _) => (call.t("The home moves"), Tone::Plain),
        (true, true) => (call.t("The home has moved"), Tone::Good),
        (true, false) => (call.t("Not every home has moved"), Tone::Warn),
    };
    let counts = call.with(
        "{done} of {all} done",
        &[
            ("done", &number::grouped(done as u64)),
            ("all", &number::grouped(progress.all() as u64)),
        ],
    );
    let body = html! {
        (note(tone, &html! { p role="status" { (counts) } }))
        @if !ends { (again(call, of, how, progress)) }
        (parts::table(&call.t("Buckets"), &table(call, progress)))
        @if ends {
            p {
                a.button.primary href=(of.back()) {
                    (call.with("Back to {name}", &[("name", of.field().1)]))
                }
            }
        }
    };
    let mut page = Page::new(title, body).at(of.path(call));
    if ends && progress.moved.is_empty() {
        page.status = StatusCode::CONFLICT;
    }
    page
}

/// What is waited for, and the form that goes on: a script sends it, or the button.
fn again(call: &Call<'_>, of: &Of<'_>, how: &How, progress: &Progress) -> Markup {
    let (field, name) = of.field();
    let waits = progress.waits.as_ref();
    let waiting = waits.zip(progress.left.first());
    html! {
        section.card {
            @if let Some(((region, left_ms, total_ms), next)) = waiting {
                @let seconds = left_ms.div_ceil(1000);
                p {
                    (call.with(WAITS, &[
                        ("bucket", &next.bucket), ("region", region),
                        ("seconds", &number::grouped(seconds)),
                    ]))
                }
                progress max=(total_ms) value=(total_ms.saturating_sub(*left_ms))
                    aria-label=(call.t("Waiting")) {}
            }
            form method="post" action="/promote/act" data-again {
                (call.token("/promote/act"))
                input type="hidden" name=(field) value=(name);
                input type="hidden" name="typed" value=(name);
                (how.hidden())
                @if let Some((_, _, total_ms)) = waits {
                    input type="hidden" name="total_ms" value=(total_ms);
                }
                @for one in &progress.left {
                    input type="hidden" name="move"
                        value={ (one.bucket) " " (one.epoch) " " (one.to) };
                }
                @for (bucket, to) in &progress.moved {
                    input type="hidden" name="moved" value={ (bucket) " " (to) };
                }
                @for (bucket, why) in &progress.stays {
                    input type="hidden" name="stays" value={ (bucket) " " (why) };
                }
                button { (call.t("Go on")) }
            }
            p.hint { (call.t(LEAVE)) }
        }
        script type="module" src=(call.console.assets.path("again.js")) {}
    }
}

const LEAVE: &str = "The page goes on by itself. If you leave it, what is left stays as it is.";
const WAITS: &str = "{bucket} waits until {region}, which does not answer, decides nothing more: \
                     {seconds} s at most.";

fn table(call: &Call<'_>, progress: &Progress) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Bucket")) }
                    th scope="col" { (call.t("State")) }
                    th scope="col" { (call.t("Details")) }
                }
            }
            tbody {
                @for (bucket, to) in &progress.moved {
                    tr {
                        th scope="row" { (link(bucket)) }
                        td { (badge(Tone::Good, &call.t("done"))) }
                        td { (call.with("has its home in {region}", &[("region", to)])) }
                    }
                }
                @for (bucket, why) in &progress.stays {
                    tr {
                        th scope="row" { (link(bucket)) }
                        td { (badge(Tone::Bad, &call.t("stays"))) }
                        td.name { (text::name(why)) }
                    }
                }
                @for one in &progress.left {
                    tr {
                        th scope="row" { (link(&one.bucket)) }
                        td { (badge(Tone::Plain, &call.t("to come"))) }
                        td { (call.with("gets its home in {region}", &[("region", &one.to)])) }
                    }
                }
            }
        }
    }
}

fn link(bucket: &str) -> Markup {
    html! { a href=(Href::bucket(bucket, "/where")) { (text::short(bucket)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_moves_only_as_it_was_shown() {
        let moves = Move::read("photos 4 me-east-1").unwrap();
        assert!(moves.is_of(&json!({ "epoch": 4 })));
        assert!(!moves.is_of(&json!({ "epoch": 5 })));
        for bad in [
            "",
            "photos",
            "photos 4",
            "photos x me",
            " 4 me",
            "photos 4 me 5",
            "photos 4 ",
        ] {
            assert_eq!(Move::read(bad), None, "{bad}");
        }
    }
}
