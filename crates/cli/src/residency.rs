//! `dhow residency`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use admin::{
    client::AdminClient,
    failure::{Failure, NOT_EXAMINED},
};
use clap::Subcommand;
use proof::{
    AnyBundle, Report, TrustAnchor,
    bundle::{AnchorKey, FILE_BYTES_MAX, Finding, Seen, Stands, fingerprint},
};
use serde_json::{Value, json};
use types::{Timestamp, text::shown};

use crate::{
    anchor,
    shown::{print_json, text},
    table,
    which::Which,
};

/// Entries of regions that are shown.
const SAID_MAX: usize = 20;
/// Characters of a text that is shown.
const TEXT_MAX: usize = 1000;
/// Every region counts what it has, some of them twice; and a registry that has just started
/// computes its map.
const WAIT: Duration = Duration::from_secs(300);

/// Where a bucket is held: ask the regions, make a proof of it, check one offline.
#[derive(Subcommand)]
pub enum Residency {
    /// Ask every region what it holds of a bucket, and whether it may. Exits with 1 when one holds
    /// what it should not, or does not say; with 2 when the cloud could not be asked.
    Check {
        /// The bucket.
        bucket: String,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Write a file that proves to an auditor, without trust in the cloud, where a bucket is
    /// placed, that its placement allows that, and what each region has signed that it holds.
    ///
    /// The file names no other bucket and no other customer. For a name that no bucket has, the
    /// file proves that there is none. Exits with 1 when an auditor would find something wrong with
    /// the file.
    Prove {
        /// The bucket.
        bucket: String,
        /// Where to write it; BUCKET.residency.json when not given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Check such a file. Needs no cloud and asks nobody. Exits with 1 when anything is wrong with
    /// what the file shows, and says what; with 2 when nothing could be examined: a file cannot be
    /// read or is no bundle, or --anchor is no key and no fingerprint.
    Verify {
        /// The file.
        file: PathBuf,
        /// The key that signs the cloud's audit log, or its fingerprint, in hex: learn it from the
        /// operator, and not from the file.
        #[arg(long, value_name = "FINGERPRINT|KEY")]
        anchor: Option<String>,
        /// A file of `dhow audit verify --save`, or an earlier bundle of the same bucket: what it
        /// shows must still be so.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
}

impl Residency {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Check {
                bucket,
                json,
                which,
            } => {
                let checked = which
                    .client()
                    .and_then(|client| check(&client, &bucket, json));
                checked.map_err(|failure| failure.exits_with(NOT_EXAMINED))
            }
            Self::Prove {
                bucket,
                out,
                json,
                which,
            } => prove(&which.client()?, &bucket, out, json),
            Self::Verify {
                file,
                anchor,
                since,
                json,
            } => {
                let verified = verify(&file, anchor.as_deref(), since, json);
                verified.map_err(|failure| failure.exits_with(NOT_EXAMINED))
            }
        }
    }
}

fn exit(good: bool) -> ExitCode {
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn number(value: &Value, field: &str) -> String {
    let number = value.get(field).and_then(Value::as_u64);
    number.map_or("-".to_owned(), |n| n.to_string())
}

fn check(client: &AdminClient, bucket: &str, json: bool) -> Result<ExitCode, Failure> {
    let path = format!("buckets/{bucket}/residency");
    let answer = client.call_within(WAIT, "GET", &path, None)?;
    let good = answer.get("good").and_then(Value::as_bool) == Some(true);
    if json {
        print_json(&answer);
        return Ok(exit(good));
    }
    let regions = answer.get("regions").and_then(Value::as_array);
    let rows: Vec<_> = regions
        .into_iter()
        .flatten()
        .map(|r| {
            let allowed = r.get("allowed").and_then(Value::as_bool) == Some(true);
            [
                text(r, "region"),
                text(r, "jurisdiction"),
                text(r, "operator"),
                text(r, "holds"),
                if allowed { "yes" } else { "no" }.to_owned(),
                number(r, "versions"),
                number(r, "bytes"),
                text(r, "verdict"),
            ]
        })
        .collect();
    let head = [
        "REGION", "COUNTRY", "OPERATOR", "PLACED", "ALLOWED", "VERSIONS", "BYTES", "VERDICT",
    ];
    table::print(head, &rows);
    Ok(exit(good))
}

fn prove(
    client: &AdminClient,
    bucket: &str,
    out: Option<PathBuf>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let path = format!("buckets/{bucket}/residency");
    let answer = client.call_within(WAIT, "POST", &path, Some(&json!({})))?;
    // As it is: it is checked, not shown.
    let file = answer.get("file").and_then(Value::as_str);
    let file = file.unwrap_or_default();
    // What is written must be what an auditor can read.
    let bundle = AnyBundle::from_bytes(file.as_bytes()).map_err(|e| Failure::new(e.to_string()))?;
    let AnyBundle::Bucket(bundle) = bundle else {
        return Err(Failure::new(
            "the cloud answered with a file of an older form",
        ));
    };
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{bucket}.residency.json")));
    fs::write(&out, file)
        .map_err(|e| Failure::new(format!("cannot write {}: {e}", out.display())))?;
    let findings: Vec<&str> = answer
        .get("findings")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let unanswered = answer.get("unanswered").and_then(Value::as_object);
    let unanswered: Vec<_> = unanswered.into_iter().flatten().collect();
    let key = bundle.checkpoint.public_key;
    let good = findings.is_empty() && unanswered.is_empty();
    if json {
        print_json(&json!({
            "file": out,
            "bytes": file.len(),
            "entries": bundle.history.entries.len(),
            "entries_of_regions": bundle.regions.entries.len(),
            "digests": bundle.digests.len(),
            "key": key,
            "fingerprint": fingerprint(&key),
            "unanswered": answer.get("unanswered"),
            "findings": findings,
        }));
        return Ok(exit(good));
    }
    println!(
        "{}: {} bytes. Entries about the bucket: {}; about regions: {}. Regions that signed: {}.",
        out.display(),
        file.len(),
        bundle.history.entries.len(),
        bundle.regions.entries.len(),
        bundle.digests.len()
    );
    if bundle.history.entries.is_empty() {
        println!("No bucket {bucket} is on record, now or earlier: the file proves just that.");
    }
    println!("Signed by {key}\nFingerprint {}", fingerprint(&key));
    print_doubts(&unanswered, &findings);
    println!(
        "Check it: dhow residency verify {} --anchor FINGERPRINT",
        out.display()
    );
    Ok(exit(good))
}

/// The regions that did not answer, and what does not fit together.
fn print_doubts(unanswered: &[(&String, &Value)], findings: &[&str]) {
    for (region, why) in unanswered {
        let why = why.as_str().unwrap_or_default();
        println!(
            "No answer: {}: {}",
            shown(region, 100),
            shown(why, TEXT_MAX)
        );
    }
    for finding in findings {
        println!("Finding: {}", shown(finding, TEXT_MAX));
    }
}

/// The file's bytes; never more than a bundle can have.
fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    let wrong = |e: std::io::Error| Failure::new(format!("cannot read {}: {e}", file.display()));
    let length = fs::metadata(file).map_err(wrong)?.len();
    if length > FILE_BYTES_MAX as u64 {
        return Err(Failure::new(format!("{} is too large", file.display())));
    }
    fs::read(file).map_err(wrong)
}

/// Why a file that is no bundle was never one; `None` for what may be a bundle that was changed.
fn no_bundle(file: &Path, bytes: &[u8]) -> Option<Failure> {
    let name = file.display();
    let failure = Failure::new(format!("{name} is no file of `dhow residency prove`"));
    if crate::audit::saved_of(file, "").is_ok() {
        return Some(failure.hint(format!(
            "it is a saved audit log: `dhow audit verify {name}` checks it"
        )));
    }
    (!anchor::begins_as_document(bytes)).then_some(failure)
}

/// What an auditor has seen earlier: a bundle of the same bucket, or a saved log.
fn seen(file: &PathBuf, bucket: &str, key: &AnchorKey) -> Result<Seen, Failure> {
    let Ok(earlier) = AnyBundle::from_bytes(&read(file)?) else {
        return crate::audit::saved_of(file, bucket);
    };
    let failed = |why: &str| Failure::new(format!("{}: {why}", file.display()));
    if earlier.about().0 != bucket {
        return Err(failed("it is of another bucket"));
    }
    if earlier.verify(&TrustAnchor::new(*key)).is_err() {
        return Err(failed("it does not verify with the same key"));
    }
    Ok(earlier.seen())
}

fn verify(
    file: &PathBuf,
    anchor: Option<&str>,
    since: Option<PathBuf>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let bytes = read(file)?;
    let bundle = match AnyBundle::from_bytes(&bytes) {
        Ok(bundle) => bundle,
        Err(error) => {
            return match no_bundle(file, &bytes) {
                Some(failure) => Err(failure),
                None => Ok(found(json, None, &[error.to_string()])),
            };
        }
    };
    let key = bundle.checkpoint().public_key;
    let mut trust = TrustAnchor::new(anchor::trusted(anchor, &key)?);
    let seen = since.map(|file| seen(&file, bundle.about().0, &trust.key));
    trust.seen = seen.transpose()?;
    trust.known = trust.seen.as_ref().map(|seen| seen.head);
    anchor::warn(anchor, &key);
    match bundle.verify(&trust) {
        Err(findings) => {
            let findings: Vec<String> = findings.iter().map(Finding::to_string).collect();
            Ok(found(json, Some(&bundle), &findings))
        }
        Ok(report) => {
            if json {
                print_json(&json!({
                    "good": true,
                    "anchored": anchor.is_some(),
                    "key": key,
                    "fingerprint": fingerprint(&key),
                    "findings": [],
                    "report": report,
                }));
            } else {
                show(&report, anchor.is_some());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn found(json: bool, bundle: Option<&AnyBundle>, findings: &[String]) -> ExitCode {
    if json {
        print_json(&json!({ "good": false, "findings": findings }));
    } else {
        match bundle {
            Some(bundle) => {
                let (bucket, cloud) = bundle.about();
                let (bucket, cloud) = (shown(bucket, TEXT_MAX), shown(cloud, TEXT_MAX));
                println!("NOT PROVEN: bucket {bucket} of cloud {cloud}. What is wrong:");
            }
            None => println!("NOT PROVEN. What is wrong:"),
        }
        for finding in findings {
            println!("  - {}", shown(finding, TEXT_MAX));
        }
    }
    ExitCode::FAILURE
}

fn time(ms: u64) -> String {
    Timestamp::from_ms(ms).iso8601()
}

/// What each region signed, in words.
fn rows(report: &Report) -> Vec<[String; 7]> {
    let placed = |region: &str| {
        let deed = report.deed.as_ref();
        deed.is_some_and(|deed| deed.regions().any(|r| r == region))
    };
    let is_home = |region: &str| report.deed.as_ref().is_some_and(|d| d.home == region);
    let home_root = report.held.iter().find(|held| is_home(&held.region));
    let home_root = home_root.map(|held| held.root.to_string());
    let all = report.held.iter().map(|held| {
        let home = is_home(&held.region);
        let same = held.compared || home_root.as_ref() == Some(&held.root.to_string());
        let verdict = match (placed(&held.region), home, same) {
            (false, ..) => "holds nothing",
            (true, true, _) => "home",
            (true, false, true) => "same as the home",
            (true, false, false) => MOMENT,
        };
        [
            held.region.clone(),
            held.jurisdiction.clone(),
            held.operator.clone(),
            held.count.to_string(),
            held.bytes.to_string(),
            held.root.to_string(),
            verdict.to_owned(),
        ]
    });
    all.collect()
}

/// Of a replica whose count reflects another position of the home's log than the home's own.
const MOMENT: &str = "a replica, counted at another moment";

fn show(report: &Report, anchored: bool) {
    // A file that somebody handed over says all this.
    let shown = |text: &str| shown(text, TEXT_MAX).into_owned();
    let (bucket, cloud) = (shown(&report.bucket), shown(&report.cloud));
    println!("Bucket {bucket} of cloud {cloud}");
    match &report.deed {
        Some(deed) => {
            let copies: Vec<&str> = deed.replicas.iter().map(|r| r.region.as_str()).collect();
            let [copies, laws] = [copies.join(", "), deed.jurisdictions.join(", ")];
            println!("  Home           {}", shown(&deed.home));
            println!("  Replicas       {}", or(&shown(&copies), "none"));
            println!("  Jurisdictions  {}", or(&shown(&laws), "any"));
            println!("  In force since {}", time(report.since_ms));
        }
        None if report.stands == Stands::Never => println!("  There never was one"),
        None => println!("  Deleted        {}", time(report.since_ms)),
    }
    println!(
        "  Audit log      {} entries, signed {}\n",
        report.head.number + 1,
        time(report.signed_at_ms)
    );
    let rows = rows(report);
    let head = [
        "REGION", "COUNTRY", "OPERATOR", "VERSIONS", "BYTES", "ROOT", "VERDICT",
    ];
    let how = if anchored {
        ""
    } else {
        " IF the key is the right one"
    };
    if rows.is_empty() {
        println!("PROVEN{how}: there is no bucket of this name.");
        return;
    }
    table::print(head, &rows);
    for region in &report.silent {
        println!(
            "{}: not in the placement, and has signed nothing about this bucket",
            shown(region)
        );
    }
    if rows
        .iter()
        .any(|row| row.last().is_some_and(|verdict| verdict == MOMENT))
    {
        println!(
            "\nThe bucket was written meanwhile: a replica that signed a little earlier or later than \
             the home\nhas other versions than the home had then. Both are in the placement."
        );
    }
    show_said(report);
    println!(
        "\nPROVEN{how}: every region of the table has signed this; none is outside the placement."
    );
}

/// What regions say, with who says it: nobody has shown that it is so.
fn show_said(report: &Report) {
    if report.said.is_empty() {
        return;
    }
    println!("\nOn record as a region's word, which nothing here proves:");
    let from = report.said.len().saturating_sub(SAID_MAX);
    if from > 0 {
        println!("  {from} earlier entries are in the file");
    }
    for said in report.said.iter().skip(from) {
        let of = said
            .of
            .as_deref()
            .map(|of| format!(", of region {}", shown(of, 64)));
        println!(
            "  {}  {} says {}: {}{}",
            time(said.at_ms),
            shown(&said.by, 80),
            shown(&said.what.to_string(), TEXT_MAX),
            said.count,
            of.unwrap_or_default()
        );
    }
}

fn or<'t>(text: &'t str, empty: &'t str) -> &'t str {
    if text.is_empty() { empty } else { text }
}
