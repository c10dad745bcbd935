//! How a drain is shown to people.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serde_json::Value;

use crate::{shown::text, uploads};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Characters of a region's id that are shown.
const REGION_MAX: usize = 63;

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// What becomes of a bucket of a region that drains, or why it stays.
pub fn words(one: &Value, region: &str) -> String {
    let (name, why) = (text(one, "bucket"), text(one, "error"));
    if !why.is_empty() {
        return format!("{name}: stays ({why})");
    }
    let mut words = Vec::new();
    let some = |field: &str| Some(text(one, field)).filter(|text| !text.is_empty());
    if let Some(to) = some("replica") {
        let (versions, bytes) = (number(one, "versions"), number(one, "bytes"));
        words.push(format!(
            "a replica to {to} ({versions} versions, {bytes} bytes)"
        ));
    }
    if let Some(home) = some("home") {
        let lost = one.pointer("/uploads/uploads").and_then(Value::as_u64);
        words.push(match lost.unwrap_or_default() {
            0 => format!("its home to {home}"),
            _ => format!(
                "its home to {home} without the multipart uploads ({})",
                uploads::shown(one)
            ),
        });
    }
    let others = one.get("others").and_then(Value::as_array);
    let others = others.into_iter().flatten().filter_map(Value::as_str);
    let others = others.map(|one| types::text::shown(one, REGION_MAX));
    let others = others.collect::<Vec<_>>().join(", ");
    words.push(match others.is_empty() {
        true => format!("nothing in {region}"),
        false => format!("nothing in {region} (it is in {others})"),
    });
    format!("{name}: {}", words.join(", then "))
}

/// A drain for people.
pub fn print(drain: &Value) {
    let region = text(drain, "region");
    let state = match text(drain, "state").as_str() {
        "none" => "none: its buckets are not moved".to_owned(),
        "moving" => "moves buckets".to_owned(),
        "waiting" => format!("waits; tries again at {}", text(drain, "next_try")),
        "done" => "done".to_owned(),
        "aborted" => "aborted".to_owned(),
        other => other.to_owned(),
    };
    let at = match (text(drain, "bucket"), text(drain, "step")) {
        (bucket, _) if bucket.is_empty() => String::new(),
        (bucket, step) if step.is_empty() => bucket,
        (bucket, step) => format!("{bucket}: {step}"),
    };
    for (name, value) in [
        ("Region", region.clone()),
        ("Drain", state),
        ("To", text(drain, "to")),
        ("Ordered by", text(drain, "by")),
        ("Begun", text(drain, "begun")),
        ("Ended", text(drain, "ended")),
        ("Moved", number(drain, "moved").to_string()),
        ("Left", number(drain, "left").to_string()),
        ("Now", at),
    ] {
        if !value.is_empty() {
            println!("{name:<13} {value}");
        }
    }
    print_stays(drain);
}

fn print_stays(drain: &Value) {
    let region = text(drain, "region");
    let stays = drain.get("stays").and_then(Value::as_array);
    for one in stays.into_iter().flatten() {
        println!("{}", words(one, &region));
    }
}

/// What stays when nothing more can move now, and what to do next.
pub fn print_end(drain: &Value, left: u64) {
    let region = text(drain, "region");
    print_stays(drain);
    if left > 0 {
        println!(
            "\nThe drain goes on: it tries again at {}, and `dhow region drain {region} --move` \
             tries at once.",
            text(drain, "next_try")
        );
    }
    print_next(&region, left);
}

/// What to do next with a region that has so many buckets.
pub fn print_next(id: &str, left: u64) {
    match left {
        0 => println!("\nNothing is left in {id}. `dhow region close {id}` closes it for good."),
        n => println!(
            "\nBuckets in {id}: {n}. `dhow region drain {id} --move --dry-run` says what would \
             become of them."
        ),
    }
}

/// What a drain does now: one line on a terminal, a line now and then elsewhere.
#[derive(Default)]
pub struct Steps {
    bar: Option<ProgressBar>,
    line: Option<Instant>,
}

impl Steps {
    /// Shows it.
    pub fn show(&mut self, drain: &Value) {
        let (bucket, step) = (text(drain, "bucket"), text(drain, "step"));
        if bucket.is_empty() || step.is_empty() {
            return;
        }
        let words = format!("{bucket}: {step}");
        if std::io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(ProgressBar::new_spinner);
            bar.set_message(words);
            bar.tick();
        } else if self.line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.line = Some(Instant::now());
            eprintln!("{words}");
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_move_is_said_in_its_steps() {
        let mut one = json!({
            "bucket": "maps", "home": "b", "replica": "b", "versions": 30, "bytes": 3000,
            "uploads": { "uploads": 0, "parts": 0, "bytes": 0, "more": false },
            "others": [],
        });
        assert_eq!(
            words(&one, "a"),
            "maps: a replica to b (30 versions, 3000 bytes), then its home to b, then nothing in a"
        );
        one["replica"] = Value::Null;
        one["others"] = json!(["b", "c"]);
        one["uploads"] = json!({ "uploads": 1, "parts": 2, "bytes": 9, "more": false });
        assert_eq!(
            words(&one, "a"),
            "maps: its home to b without the multipart uploads (1 in progress, with 9 bytes in 2 \
             parts), then nothing in a (it is in b, c)"
        );
        let stays = json!({ "bucket": "wills", "error": "why", "uploads": null });
        assert_eq!(words(&stays, "a"), "wills: stays (why)");
    }
}
