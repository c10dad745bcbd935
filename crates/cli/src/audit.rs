//! `dhow audit`.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, IsTerminal, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use admin::{
    client::AdminClient,
    failure::{Failure, NOT_EXAMINED},
};
use clap::Subcommand;
use proof::{
    Checkpoint, Entry, Hash, Head, LogCheck,
    bundle::{Seen, fingerprint},
    chain::{DETAIL_BYTES_MAX, TEXT_BYTES_MAX},
    map::{LeafIndex, OwnEntry, place_of},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use types::{Timestamp, text::shown};

use crate::{anchor, shown::print_json, table, which::Which};

/// Longest line of a saved log: every byte of an entry's texts escaped.
const LINE_BYTES_MAX: u64 = 6 * (DETAIL_BYTES_MAX as u64 + 3 * TEXT_BYTES_MAX as u64) + 4096;

/// Longest last line.
const SIGNED_BYTES_MAX: u64 = 64 << 10;
/// A long log says so often how far it is, on a terminal.
const SAY_EVERY: u64 = 10_000;

/// What was changed in the cloud, by whom: show it, and prove that nobody wrote it anew.
#[derive(Subcommand)]
pub enum Audit {
    /// Show the audit log.
    Show {
        /// Begin with the entry of this number.
        #[arg(long, default_value_t = 0, value_name = "N")]
        from: u64,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Check the audit log: every entry follows on the one before, and the last one is signed.
    ///
    /// Without FILE the running cloud's log is read. Exits with 1 when anything is wrong with the
    /// log; with 2 when nothing could be examined: a file cannot be read or is no saved log, the
    /// cloud could not be asked, or --anchor is no key and no fingerprint.
    Verify {
        /// A log that was saved before; no cloud is needed.
        file: Option<PathBuf>,
        /// Keep the log and the signature. Where the file is there, the log must go on from what
        /// it holds, and not be another.
        #[arg(long, value_name = "FILE", conflicts_with = "file")]
        save: Option<PathBuf>,
        /// The log must go on from this saved one.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
        /// The key that signs the log, or its fingerprint, in hex.
        #[arg(long, value_name = "FINGERPRINT|KEY")]
        anchor: Option<String>,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
}

/// The last line of a saved log.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    checkpoint: Checkpoint,
    /// What the map is computed with, where the checkpoint signs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map_key: Option<Hash>,
}

/// A log that holds together, up to its signature.
struct Checked {
    head: Head,
    checkpoint: Checkpoint,
}

/// What is wrong with a log, or with reading it.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("{0}")]
    Finding(String),
    #[error(transparent)]
    Failure(#[from] Failure),
}

fn finding(what: impl std::fmt::Display) -> Wrong {
    Wrong::Finding(what.to_string())
}

impl Audit {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Show { from, json, which } => show(&which.client()?, from, json),
            Self::Verify {
                file,
                save,
                since,
                anchor,
                json,
                which,
            } => {
                let since = since.or_else(|| save.clone().filter(|path| path.exists()));
                let known = since.map(|path| saved_head(&path)).transpose();
                let known = known.map_err(|failure| failure.exits_with(NOT_EXAMINED))?;
                let checked = match &file {
                    Some(file) => read_saved(file, known, |_| {}),
                    None => which
                        .client()
                        .map_err(Wrong::from)
                        .and_then(|client| read_running(&client, known, save.as_deref())),
                };
                let checked = checked.and_then(|c| signed(c, anchor.as_deref()));
                report(checked, known, anchor.is_some(), json)
            }
        }
    }
}

fn show(client: &AdminClient, from: u64, json: bool) -> Result<ExitCode, Failure> {
    let mut all = Vec::new();
    pages(client, from, |entry| {
        all.push(entry);
        Ok(())
    })
    .map_err(|wrong| Failure::new(wrong.to_string()))?;
    if json {
        print_json(&serde_json::to_value(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = all
        .into_iter()
        .map(|e| {
            let at = Timestamp::from_ms(e.at_ms).iso8601();
            [e.number.to_string(), at, e.action, e.subject, e.actor]
        })
        .collect();
    table::print(["ENTRY", "TIME", "ACTION", "OF", "BY"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// Entries of the running cloud from `from` on, to the end.
fn pages(
    client: &AdminClient,
    from: u64,
    mut each: impl FnMut(Entry) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let mut from = from;
    loop {
        let page = client.call("GET", &format!("audit?from={from}"), None)?;
        let entries = page.as_array().cloned().unwrap_or_default();
        if entries.is_empty() {
            return Ok(());
        }
        for mut change in entries {
            let entry = change.get_mut("entry").map(Value::take).unwrap_or_default();
            let entry: Entry = serde_json::from_value(entry)
                .map_err(|e| finding(format!("an entry after {from} cannot be read: {e}")))?;
            from = entry.number.saturating_add(1);
            each(entry)?;
            if from.is_multiple_of(SAY_EVERY) && std::io::stderr().is_terminal() {
                eprintln!("{from} entries …");
            }
        }
    }
}

fn ended(walk: LogCheck, checkpoint: Checkpoint) -> Result<Checked, Wrong> {
    let head = walk.end(&checkpoint).map_err(finding)?;
    Ok(Checked { head, checkpoint })
}

fn read_running(
    client: &AdminClient,
    known: Option<Head>,
    save: Option<&Path>,
) -> Result<Checked, Wrong> {
    let checkpoint = client.call("GET", "audit/checkpoint", None)?;
    let checkpoint: Checkpoint = serde_json::from_value(checkpoint).map_err(finding)?;
    let map_key = match checkpoint.map {
        Some(_) => Some(map_key(client)?),
        None => None,
    };
    let failed = |path: &Path, e: std::io::Error| {
        Failure::new(format!("cannot write {}: {e}", path.display()))
    };
    // The old file stays until the new one is whole.
    let part = save.map(|path| path.with_added_extension("part"));
    let mut out = match &part {
        Some(part) => Some(BufWriter::new(
            File::create(part).map_err(|e| failed(part, e))?,
        )),
        None => None,
    };
    let mut walk = LogCheck::new(known, map_key);
    // Entries that came after the checkpoint are for the next one.
    let to = checkpoint.head.number;
    pages(client, 0, |entry| {
        if entry.number > to {
            return Ok(());
        }
        walk.push(&entry).map_err(finding)?;
        if let Some(out) = &mut out {
            let line = serde_json::to_string(&entry).map_err(finding)?;
            writeln!(out, "{line}").map_err(finding)?;
        }
        Ok(())
    })?;
    let checked = ended(walk, checkpoint)?;
    if let (Some(mut out), Some(part), Some(path)) = (out, part, save) {
        let last = Signed {
            checkpoint: checked.checkpoint.clone(),
            map_key,
        };
        let line = serde_json::to_string(&last).map_err(finding)?;
        writeln!(out, "{line}")
            .and_then(|()| out.into_inner().map_err(|e| e.into_error())?.sync_all())
            .and_then(|()| fs::rename(&part, path))
            .map_err(|e| failed(path, e))?;
    }
    Ok(checked)
}

/// A saved log: an entry on each line, the signature on the last. Every line must be as it would
/// be written, so that no byte can be another.
fn read_saved(
    file: &Path,
    known: Option<Head>,
    mut each: impl FnMut(&Entry),
) -> Result<Checked, Wrong> {
    let failed = |e| Failure::new(format!("cannot read {}: {e}", file.display()));
    let mut from = BufReader::new(File::open(file).map_err(failed)?);
    let map_key = saved_map_key(file).map_err(failed)?;
    let begin = from.fill_buf().map_err(failed)?;
    if !begin.starts_with(b"{") && !anchor::begins_as_document(begin) {
        let why = format!(
            "{} is no file of `dhow audit verify --save`",
            file.display()
        );
        return Err(Failure::new(why).into());
    }
    let mut walk = LogCheck::new(known, map_key);
    let mut number = 0_u64;
    loop {
        number += 1;
        let broken = |why: &str| finding(format!("line {number} {why}"));
        let mut line = Vec::new();
        (&mut from)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .map_err(failed)?;
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(broken("is not whole: the file has no signature at its end"));
        };
        if let Ok(entry) = serde_json::from_slice::<Entry>(line) {
            if serde_json::to_vec(&entry).ok().as_deref() != Some(line) {
                return Err(broken("is not as it was written"));
            }
            walk.push(&entry).map_err(finding)?;
            each(&entry);
            continue;
        }
        let signed: Signed = serde_json::from_slice(line)
            .map_err(|_| broken("is neither an entry nor a signature"))?;
        if serde_json::to_vec(&signed).ok().as_deref() != Some(line) {
            return Err(broken("is not as it was written"));
        }
        let more = from.fill_buf().map_err(failed)?;
        if !more.is_empty() {
            return Err(broken("is a signature, and something follows it"));
        }
        return ended(walk, signed.checkpoint);
    }
}

/// The key of the map in the last line of a saved log; only the whole file shows that it is right.
fn saved_map_key(file: &Path) -> std::io::Result<Option<Hash>> {
    let mut from = File::open(file)?;
    let begin = from.metadata()?.len().saturating_sub(SIGNED_BYTES_MAX);
    from.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    from.take(SIGNED_BYTES_MAX).read_to_end(&mut tail)?;
    let tail = tail.strip_suffix(b"\n").unwrap_or(&tail);
    let line = tail.rsplit(|byte| *byte == b'\n').next();
    let signed = line.and_then(|line| serde_json::from_slice::<Signed>(line).ok());
    Ok(signed.and_then(|signed| signed.map_key))
}

fn map_key(client: &AdminClient) -> Result<Hash, Wrong> {
    let answer = client.call("GET", "audit/map-key", None)?;
    let key = answer.get("key").and_then(Value::as_str);
    key.and_then(Hash::parse)
        .ok_or_else(|| finding("the cloud names no key of the map"))
}

/// The head of a saved log.
fn saved_head(file: &Path) -> Result<Head, Failure> {
    good_log(file, |_| {})
}

/// What a saved log has of a bucket and of regions.
pub fn saved_of(file: &Path, bucket: &str) -> Result<Seen, Failure> {
    let ours = [LeafIndex::of_bucket(bucket), LeafIndex::of_regions()];
    let mut entries = Vec::new();
    let head = good_log(file, |entry| {
        let place = place_of(&entry.action, &entry.subject);
        if place.is_some_and(|place| ours.contains(&place)) {
            entries.push(OwnEntry::from(entry.clone()));
        }
    })?;
    Ok(Seen {
        head,
        from: 0,
        entries,
    })
}

/// The log has to be good: otherwise nothing can be compared with it.
fn good_log(file: &Path, each: impl FnMut(&Entry)) -> Result<Head, Failure> {
    match read_saved(file, None, each) {
        Ok(checked) if checked.checkpoint.verify() => Ok(checked.head),
        Ok(_) => Err(Failure::new(format!(
            "{}: its signature is wrong",
            file.display()
        ))),
        Err(Wrong::Failure(failure)) => Err(failure),
        Err(wrong) => Err(Failure::new(format!("{}: {wrong}", file.display()))),
    }
}

fn signed(checked: Checked, anchor: Option<&str>) -> Result<Checked, Wrong> {
    let checkpoint = &checked.checkpoint;
    if !checkpoint.verify() {
        return Err(finding("the signature on the log's last entry is wrong"));
    }
    if !anchor::trusted(anchor, &checkpoint.public_key)?.is(&checkpoint.public_key) {
        return Err(finding(format!(
            "the log is signed by {}, not by the trusted key",
            checkpoint.public_key
        )));
    }
    anchor::warn(anchor, &checkpoint.public_key);
    Ok(checked)
}

fn report(
    checked: Result<Checked, Wrong>,
    known: Option<Head>,
    anchored: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let checked = match checked {
        Ok(checked) => checked,
        Err(Wrong::Failure(failure)) => return Err(failure.exits_with(NOT_EXAMINED)),
        Err(Wrong::Finding(why)) if json => {
            print_json(&json!({ "good": false, "findings": [why] }));
            return Ok(ExitCode::FAILURE);
        }
        Err(Wrong::Finding(why)) => {
            println!("NOT GOOD: {}", shown(&why, 1000));
            return Ok(ExitCode::FAILURE);
        }
    };
    let key = checked.checkpoint.public_key;
    if json {
        print_json(&json!({
            "good": true,
            "anchored": anchored,
            "entries": checked.head.number + 1,
            "head": checked.head,
            "since": known,
            "signed_at_ms": checked.checkpoint.at_ms,
            "region": checked.checkpoint.region,
            "key": key,
            "fingerprint": fingerprint(&key),
            "findings": [],
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "Good: {} entries, each follows on the one before.",
        checked.head.number + 1
    );
    println!("  Last hash    {}", checked.head.hash);
    println!(
        "  Signed       {} by region {}",
        Timestamp::from_ms(checked.checkpoint.at_ms).iso8601(),
        shown(&checked.checkpoint.region, 100)
    );
    println!("  Key          {key}\n  Fingerprint  {}", fingerprint(&key));
    if let Some(known) = known {
        println!("  Goes on from entry {}, as it was saved.", known.number);
    }
    Ok(ExitCode::SUCCESS)
}
