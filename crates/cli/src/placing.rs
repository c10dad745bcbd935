//! Waiting until replicas of a bucket have all that its home has: a bar for each on a terminal, a
//! line now and then elsewhere.

use std::{
    io::IsTerminal,
    thread::sleep,
    time::{Duration, Instant},
};

use admin::{bodies::Place, client::AdminClient, failure::Failure};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::shown::text;

const POLL: Duration = Duration::from_millis(250);
/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How long the home may leave the question unanswered.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How far one replica is.
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

/// When a wait ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enough {
    /// Everything is there. Under writes over a long link that moment may never come.
    All,
    /// It follows closely.
    Nearly,
    /// It follows, and so has handed over what it alone had.
    Follows,
}

/// Changes that a replica may be behind, and still counts as following closely.
const NEARLY: u64 = 1000;

impl Enough {
    fn is_met(self, phase: &Phase) -> bool {
        match (self, phase) {
            (_, Phase::There) | (Self::Follows, Phase::Following(_)) => true,
            (Self::Nearly, Phase::Following(behind)) => *behind <= NEARLY,
            _ => false,
        }
    }
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

/// What a line says of a replica.
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

/// The replicas that are waited for, if the home says how they are doing.
fn replicas(bucket: &Value, only: Option<&str>) -> Option<Vec<Value>> {
    let mut replicas = bucket.get("replica_status")?.as_array()?.clone();
    replicas.retain(|replica| only.is_none_or(|only| text(replica, "region") == only));
    (only.is_none() || !replicas.is_empty()).then_some(replicas)
}

/// How far the replicas are, for whoever waits: bars on a terminal, lines elsewhere.
struct Showing {
    total: u64,
    begun: Instant,
    bars: MultiProgress,
    shown: Vec<ProgressBar>,
    /// When lines were written last.
    line: Option<Instant>,
}

impl Showing {
    fn new(total: u64) -> Self {
        Self {
            total,
            begun: Instant::now(),
            bars: MultiProgress::new(),
            shown: Vec::new(),
            line: None,
        }
    }

    fn show(&mut self, replicas: &[Value], phases: &[Phase]) {
        let quiet = !std::io::stderr().is_terminal();
        let speaks = self.line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        for (n, (replica, phase)) in replicas.iter().zip(phases).enumerate() {
            let region = replica.get("region").and_then(Value::as_str).unwrap_or("-");
            let text = format!("{region}: {}", words(phase, self.begun.elapsed()));
            match quiet {
                false => self.bar(n, phase, text),
                true if speaks && *phase != Phase::There => eprintln!("{text}"),
                true => {}
            }
        }
        if quiet && speaks {
            self.line = Some(Instant::now());
        }
    }

    /// Says that the home does not answer.
    fn waits(&mut self, why: &str, left: Duration) {
        if self.line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.line = Some(Instant::now());
            let left = left.as_secs();
            let text = format!("waits for the home, for {left} s more at most: {why}");
            // Below the bars, if there are some.
            if self.bars.println(&text).is_err() || !std::io::stderr().is_terminal() {
                eprintln!("{text}");
            }
        }
    }

    fn bar(&mut self, n: usize, phase: &Phase, text: String) {
        let total = self.total.max(1);
        if self.shown.len() <= n {
            let style = ProgressStyle::with_template("{bar:24} {msg}");
            let style = style.unwrap_or(ProgressStyle::default_bar());
            let bar = ProgressBar::new(total).with_style(style);
            self.shown.push(self.bars.add(bar));
        }
        if let Some(bar) = self.shown.get(n) {
            bar.set_position(match phase {
                Phase::Waiting => 0,
                Phase::Seeding(done, _) => *done,
                Phase::Following(_) | Phase::There => total,
            });
            bar.set_message(text);
        }
    }

    fn end(&self) {
        self.shown.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// Waits for the replica in the region `only`, or for every replica; answers the bucket as it is
/// then.
pub fn wait(
    client: &AdminClient,
    name: &str,
    only: Option<&str>,
    enough: Enough,
) -> Result<Value, Failure> {
    let path = format!("buckets/{name}");
    let look = Place {
        dry_run: true,
        ..Place::default()
    };
    let asked = client.post(&format!("{path}/place"), &look)?;
    let total = asked.pointer("/moves/versions").and_then(Value::as_u64);
    let mut showing = Showing::new(total.unwrap_or_default());
    let mut silent: Option<Instant> = None;
    loop {
        let bucket = client.call("GET", &path, None)?;
        if let Some(replicas) = replicas(&bucket, only) {
            silent = None;
            let phases: Vec<Phase> = replicas.iter().map(|r| phase(r, showing.total)).collect();
            if phases.iter().all(|phase| enough.is_met(phase)) {
                showing.end();
                return Ok(bucket);
            }
            showing.show(&replicas, &phases);
        } else {
            // The home is away; before that it may not have the change yet.
            let why = text(&bucket, "error");
            let since = silent.get_or_insert_with(Instant::now).elapsed();
            if since > SILENCE_MAX {
                let what = format!("the home of {name} does not say how its replicas are ({why})");
                return Err(Failure::new(what).hint(
                    "the replicas continue by themselves: give the same command again once the \
                     home answers. If the home is lost, `dhow bucket promote` gives the bucket \
                     another one",
                ));
            }
            showing.waits(&why, SILENCE_MAX - since);
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_ends_under_writes_where_that_will_do() {
        let met = |enough: Enough| {
            [
                Phase::Seeding(3, 3),
                Phase::Following(NEARLY + 1),
                Phase::Following(1),
                Phase::There,
            ]
            .map(|phase| enough.is_met(&phase))
        };
        assert_eq!(met(Enough::All), [false, false, false, true]);
        assert_eq!(met(Enough::Nearly), [false, false, true, true]);
        assert_eq!(met(Enough::Follows), [false, true, true, true]);
    }

    #[test]
    fn a_home_that_does_not_tell_is_not_taken_for_one_whose_replicas_have_all() {
        let told = json!({ "replica_status": [{ "region": "a" }, { "region": "b" }] });
        assert_eq!(replicas(&told, None).unwrap().len(), 2);
        assert_eq!(replicas(&told, Some("b")).unwrap().len(), 1);
        assert_eq!(replicas(&told, Some("c")), None);
        assert_eq!(replicas(&json!({ "error": "away" }), None), None);
        assert_eq!(
            replicas(&json!({ "replica_status": [] }), None)
                .unwrap()
                .len(),
            0
        );
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
