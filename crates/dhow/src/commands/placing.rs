//! Waiting until copies of a bucket have all that its home has: a bar for each on a terminal,
//! a line now and then elsewhere.

use std::{
    io::IsTerminal,
    thread::sleep,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::account::text;
use crate::{admin_client::AdminClient, failure::Failure};

const POLL: Duration = Duration::from_millis(250);
/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How long the home may leave the question unanswered.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How far one copy is.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// It has not asked yet.
    Waiting,
    /// It takes a snapshot: so many versions of so many.
    Seeding(u64, u64),
    /// It follows, and so many changes are still to come.
    Following(u64),
    /// It has all.
    There,
}

fn phase(copy: &Value, total: u64) -> Phase {
    let number = |field: &str| copy.get(field).and_then(Value::as_u64);
    match (number("applied"), number("behind"), number("seeded")) {
        (Some(_), Some(0), _) => Phase::There,
        (Some(_), behind, _) => Phase::Following(behind.unwrap_or_default()),
        (None, _, Some(seeded)) => Phase::Seeding(seeded, total.max(seeded)),
        (None, _, None) => Phase::Waiting,
    }
}

/// What a line says of a copy.
fn words(phase: &Phase, since: Duration) -> String {
    match phase {
        Phase::Waiting => "waits for the region to begin".to_owned(),
        Phase::Seeding(done, total) => {
            let rate = *done as f64 / since.as_secs_f64().max(0.001);
            let left = match rate > 0.0 {
                true => format!(", about {:.0} s left", (total - done) as f64 / rate),
                false => String::new(),
            };
            format!("takes a snapshot: {done} of {total} versions, {rate:.0}/s{left}")
        }
        Phase::Following(0) => "follows".to_owned(),
        Phase::Following(behind) => format!("follows: {behind} changes to come"),
        Phase::There => "has all".to_owned(),
    }
}

/// The copies that are waited for, if the home tells of them.
fn copies(bucket: &Value, only: Option<&str>) -> Option<Vec<Value>> {
    let mut copies = bucket.get("copies")?.as_array()?.clone();
    copies.retain(|copy| only.is_none_or(|only| text(copy, "region") == only));
    (only.is_none() || !copies.is_empty()).then_some(copies)
}

/// Waits for the copy in the region `only`, or for every copy; answers the bucket as it is then.
pub fn wait(client: &AdminClient, name: &str, only: Option<&str>) -> Result<Value, Failure> {
    let path = format!("buckets/{name}");
    let asked = client.call(
        "POST",
        &format!("{path}/place"),
        Some(&json!({ "dry_run": true })),
    )?;
    let total = asked.pointer("/moves/versions").and_then(Value::as_u64);
    let total = total.unwrap_or_default();
    let (bars, begun) = (MultiProgress::new(), Instant::now());
    let mut shown: Vec<ProgressBar> = Vec::new();
    let mut line: Option<Instant> = None;
    let mut silent: Option<Instant> = None;
    loop {
        let bucket = client.call("GET", &path, None)?;
        let Some(copies) = copies(&bucket, only) else {
            // The home is away, or has not heard of the change yet.
            if silent.get_or_insert_with(Instant::now).elapsed() > SILENCE_MAX {
                let why = text(&bucket, "error");
                return Err(Failure::new(format!(
                    "the home of {name} does not tell how its copies do"
                ))
                .hint(format!(
                    "{why}; the copies go on by themselves: ask again later"
                )));
            }
            sleep(POLL);
            continue;
        };
        silent = None;
        let phases: Vec<Phase> = copies.iter().map(|copy| phase(copy, total)).collect();
        if phases.iter().all(|phase| *phase == Phase::There) {
            shown.iter().for_each(ProgressBar::finish_and_clear);
            return Ok(bucket);
        }
        let quiet = !std::io::stderr().is_terminal();
        let speaks = line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        for (n, (copy, phase)) in copies.iter().zip(&phases).enumerate() {
            let region = copy.get("region").and_then(Value::as_str).unwrap_or("-");
            let text = format!("{region}: {}", words(phase, begun.elapsed()));
            if quiet {
                if speaks && *phase != Phase::There {
                    eprintln!("{text}");
                }
                continue;
            }
            if shown.len() <= n {
                let style = ProgressStyle::with_template("{bar:24} {msg}");
                let bar = ProgressBar::new(total.max(1));
                shown.push(bars.add(bar.with_style(style.unwrap_or(ProgressStyle::default_bar()))));
            }
            if let Some(bar) = shown.get(n) {
                bar.set_position(match phase {
                    Phase::Waiting => 0,
                    Phase::Seeding(done, _) => *done,
                    Phase::Following(_) | Phase::There => total.max(1),
                });
                bar.set_message(text);
            }
        }
        if quiet && speaks {
            line = Some(Instant::now());
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_does_not_tell_is_not_taken_for_one_whose_copies_have_all() {
        let told = json!({ "copies": [{ "region": "a" }, { "region": "b" }] });
        assert_eq!(copies(&told, None).unwrap().len(), 2);
        assert_eq!(copies(&told, Some("b")).unwrap().len(), 1);
        assert_eq!(copies(&told, Some("c")), None);
        assert_eq!(copies(&json!({ "error": "away" }), None), None);
        assert_eq!(copies(&json!({ "copies": [] }), None).unwrap().len(), 0);
    }

    #[test]
    fn phases_follow_what_the_home_knows() {
        let copy = |applied: Value, behind: Value, seeded: Value| json!({ "applied": applied, "behind": behind, "seeded": seeded });
        let none = Value::Null;
        assert_eq!(
            phase(&copy(none.clone(), none.clone(), none.clone()), 9),
            Phase::Waiting
        );
        assert_eq!(
            phase(&copy(none.clone(), none.clone(), json!(3)), 9),
            Phase::Seeding(3, 9)
        );
        assert_eq!(
            phase(&copy(none.clone(), none.clone(), json!(12)), 9),
            Phase::Seeding(12, 12)
        );
        assert_eq!(
            phase(&copy(json!(5), json!(2), none.clone()), 9),
            Phase::Following(2)
        );
        assert_eq!(phase(&copy(json!(5), json!(0), none), 9), Phase::There);
        let said = words(&Phase::Seeding(10, 40), Duration::from_secs(5));
        assert_eq!(
            said,
            "takes a snapshot: 10 of 40 versions, 2/s, about 15 s left"
        );
    }
}
