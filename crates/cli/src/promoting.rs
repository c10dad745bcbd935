//! Asking for a promotion until it is done: the old home may decide for some seconds yet.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use admin::{bodies::Promote, client::AdminClient, failure::Failure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{shown::text, which::Which};

/// How long one question waits for its answer.
const STEP: Duration = Duration::from_millis(500);
/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How one bucket or all of a region are promoted.
#[derive(Args)]
pub struct How {
    /// Also away from a home that still answers; its last writes may diverge.
    #[arg(long)]
    pub force: bool,
    /// Also while multipart uploads are in progress at the old home: they are lost.
    #[arg(long)]
    pub abort_uploads: bool,
    /// Do it without asking. Only a terminal is asked.
    #[arg(long)]
    pub yes: bool,
    /// Say what would be; change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// JSON, for scripts.
    #[arg(long)]
    pub json: bool,
    /// Which cloud.
    #[command(flatten)]
    pub which: Which,
}

impl How {
    /// What is asked for, with the new home.
    pub fn body(&self, to: Option<String>) -> Promote {
        body(to, [self.force, self.abort_uploads, self.dry_run])
    }

    /// Whether the choice is shown and agreed to first.
    pub fn asks(&self) -> bool {
        !self.dry_run && !self.yes && asks()
    }
}

/// Promotes a bucket, and shows on standard error what it waits for. The answer says in `waited_ms`
/// how long that was.
pub fn promote(client: &AdminClient, bucket: &str, body: &Promote) -> Result<Value, Failure> {
    let mut body = body.clone();
    body.wait_ms = Some(STEP.as_millis() as u64);
    let begun = Instant::now();
    let mut shown = Shown::default();
    loop {
        let answer = client.post(&format!("buckets/{bucket}/promote"), &body);
        let mut answer = answer.inspect_err(|_| shown.end())?;
        let Some(waits) = answer.get("waits") else {
            shown.end();
            if let (true, Value::Object(fields)) = (shown.total_ms > 0, &mut answer) {
                let waited = begun.elapsed().as_millis() as u64;
                fields.insert("waited_ms".into(), json!(waited));
            }
            return Ok(answer);
        };
        let left = waits.get("left_ms").and_then(Value::as_u64);
        shown.show(bucket, &text(waits, "for"), left.unwrap_or_default());
        // The region that is chosen stays the one.
        body.to = waits.get("to").and_then(Value::as_str).map(str::to_owned);
    }
}

/// What a promotion is asked for with; the flags in this order.
pub fn body(to: Option<String>, [force, abort_uploads, dry_run]: [bool; 3]) -> Promote {
    Promote {
        to,
        force,
        abort_uploads,
        dry_run,
        ..Promote::default()
    }
}

/// Shows where the bucket's home would go, and answers where: what is shown is what is done then.
pub fn shown(client: &AdminClient, bucket: &str, body: &Promote) -> Result<String, Failure> {
    let dry = Promote {
        dry_run: true,
        ..body.clone()
    };
    let would = client.post(&format!("buckets/{bucket}/promote"), &dry)?;
    eprintln!("{bucket}: {}", choice(&would));
    Ok(text(&would, "home"))
}

/// Whether there is somebody to be asked.
pub fn asks() -> bool {
    std::io::stdin().is_terminal()
}

/// Where the home would go, and why there.
pub fn choice(would: &Value) -> String {
    let (home, why) = (text(would, "home"), text(would, "why"));
    match why.is_empty() {
        true => format!("would get its home in {home}"),
        false => format!("would get its home in {home} ({why})"),
    }
}

/// Whether whoever is at the terminal agrees.
pub fn agreed(question: &str) -> bool {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    // Without an answer nothing is done.
    let _ = std::io::stdin().read_line(&mut answer);
    let agreed = matches!(answer.trim(), "y" | "Y" | "yes");
    if !agreed {
        eprintln!("Nothing has changed.");
    }
    agreed
}

#[derive(Default)]
struct Shown {
    total_ms: u64,
    bar: Option<ProgressBar>,
    line: Option<Instant>,
}

impl Shown {
    fn show(&mut self, bucket: &str, home: &str, left_ms: u64) {
        self.total_ms = self.total_ms.max(left_ms);
        let words = words(bucket, home, left_ms);
        if std::io::stderr().is_terminal() {
            let total = self.total_ms;
            let bar = self.bar.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("{bar:24} {msg}");
                ProgressBar::new(total).with_style(style.unwrap_or(ProgressStyle::default_bar()))
            });
            bar.set_position(total.saturating_sub(left_ms));
            bar.set_message(words);
        } else if self.line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.line = Some(Instant::now());
            eprintln!("{words}");
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn words(bucket: &str, home: &str, left_ms: u64) -> String {
    format!(
        "{bucket}: waits until {home}, which does not answer, decides nothing more: {:.1} s at most",
        left_ms as f64 / 1000.0
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_waited_for_is_said_in_seconds() {
        assert_eq!(
            super::words("papers", "eu-central-1", 7_340),
            "papers: waits until eu-central-1, which does not answer, decides nothing more: 7.3 s \
             at most"
        );
    }
}
