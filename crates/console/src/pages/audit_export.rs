//! The audit log as a file, which is made while it is sent: JSON lines, or CSV for spreadsheets.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    Console,
    call::Call,
    fault::Fault,
    jobs::run::{Origin, patiently},
    pages::{
        audit_filter::{Filter, WINDOW, read},
        value,
    },
    reply::{Answer, Piece, Reply, Streamed},
    turns::Turn,
    ui::text,
};

/// Pieces that wait for the browser.
const WAITING_MAX: usize = 3;
/// How long a browser may take nothing.
const STALL: Duration = Duration::from_secs(300);

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    JsonLines,
    Csv,
}

/// The columns of CSV.
const COLUMNS: [&str; 7] = [
    "number", "time", "actor", "action", "subject", "detail", "hash",
];

impl Form {
    fn named(name: &str) -> Option<Self> {
        match name {
            "jsonl" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// The name of the file, and its type.
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::JsonLines => ("audit.jsonl", "application/jsonl"),
            Self::Csv => ("audit.csv", "text/csv; charset=utf-8"),
        }
    }

    fn head(self) -> String {
        match self {
            Self::JsonLines => String::new(),
            Self::Csv => COLUMNS.join(",") + "\r\n",
        }
    }

    fn line(self, entry: &Value, out: &mut String) {
        match self {
            Self::JsonLines => {
                out.push_str(&entry.to_string());
                out.push('\n');
            }
            Self::Csv => {
                let at = types::Timestamp::from_ms(value::number(entry, "at_ms")).iso8601();
                out.push_str(&value::number(entry, "number").to_string());
                let texts = ["actor", "action", "subject", "detail", "hash"];
                let texts = texts.map(|name| value::text(entry, name));
                for text in [&*at].into_iter().chain(texts) {
                    out.push(',');
                    out.push_str(&cell(text));
                }
                out.push_str("\r\n");
            }
        }
    }
}

/// A text in CSV (RFC 4180). What a spreadsheet would take for a formula has an apostrophe before
/// it, and what cannot be seen is written as an escape.
fn cell(text: &str) -> String {
    let shown = text::visible(text);
    let formula = shown.starts_with([
        '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    let formula = formula && !types::planted("console-csv-formulas");
    let before = if formula { "'" } else { "" };
    ["\"", before, &shown.replace('"', "\"\""), "\""].concat()
}

/// Sends the file.
pub async fn download(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let form = call.form.get("as").and_then(Form::named);
    let form = form.ok_or_else(|| Fault::Bad(call.t("There is no such kind of file.")))?;
    let filter = Filter::of(call, &call.form)?;
    let place = call.console.zips.take_now(&who.session.account);
    let place = place.ok_or_else(|| {
        Fault::Busy(
            call.t("As many files as are allowed are being saved now.")
                .into(),
        )
    })?;
    let length = *call.console.backend.registry().watch().borrow();
    let gone = || Fault::Failed("the console is stopping".into());
    let console = call.console.own.upgrade().ok_or_else(gone)?;
    console.note_event(
        "audit.exported",
        who,
        serde_json::json!({ "as": form.file().0 }),
    );
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let (origin, id) = (Origin::of(call)?, call.id.to_owned());
    let what = (filter, form, length);
    tokio::spawn(send(console, (origin, id), what, sender, place));
    let (name, kind) = form.file();
    let save = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let save = save.map_err(|error| Fault::Failed(error.to_string()))?;
    let mut answer = Response::new(Bytes::new());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, save);
    answer.extensions_mut().insert(Streamed::new(receiver));
    Ok(Reply::Whole(answer))
}

async fn send(
    console: Arc<Console>,
    (origin, id): (Origin, String),
    (filter, form, length): (Filter, Form, u64),
    out: mpsc::Sender<Piece>,
    _place: Turn,
) {
    let call = origin.call(&console, &id);
    let mut next = 0;
    let mut text = form.head();
    loop {
        let end = next + WINDOW;
        if next < length {
            let part = match part(&call, next, end.min(length)).await {
                Ok(part) => part,
                Err(why) => return broken(&id, &why, &out).await,
            };
            let over = part.last().is_none_or(|last| filter.is_over(last));
            for entry in part.iter().filter(|entry| filter.takes(entry)) {
                form.line(entry, &mut text);
            }
            next = if over { length } else { end };
        }
        let piece = Ok(std::mem::take(&mut text).into());
        let sent = tokio::time::timeout(STALL, out.send(piece)).await;
        if next >= length || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// Some entries, while whoever asked is signed in.
async fn part(call: &Call<'_>, from: u64, before: u64) -> Result<Vec<Value>, String> {
    let console = call.console;
    let now = console.clock.now().ms();
    let signed_in = call.who().is_ok_and(|caller| {
        console.is_of(caller) && console.sessions.goes_on(&caller.session.id, now)
    });
    if !signed_in {
        return Err("whoever asked is signed out".into());
    }
    let read = patiently(|| read(call, from, before)).await;
    read.map_err(|fault| format!("{fault:?}"))
}

/// The connection breaks, so that no part is taken for the whole.
async fn broken(id: &str, why: &str, out: &mpsc::Sender<Piece>) {
    tracing::warn!(
        request_id = id,
        why,
        "a file of the audit log was broken off"
    );
    let broken = out.send(Err(io::Error::other("broken off")));
    let _ = tokio::time::timeout(STALL, broken).await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, wanted) in [
            ("photos", "\"photos\""),
            (
                "=HYPERLINK(\"http://x\")",
                "\"'=HYPERLINK(\"\"http://x\"\")\"",
            ),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("a,b", "\"a,b\""),
            ("", "\"\""),
        ] {
            assert_eq!(cell(text), wanted);
        }
        // A control character in front hides no formula, and no line is broken.
        for hidden in ["\t=1", "\r=1", "\n=1", "\u{feff}=1", " =1"] {
            let cell = cell(hidden);
            assert!(!cell.contains(['\t', '\r', '\n']), "{cell:?}");
            assert!(
                !cell.trim_start_matches('"').starts_with([' ', '=']),
                "{cell:?}"
            );
        }
    }

    #[test]
    fn lines_have_the_whole_entry() {
        let entry = json!({
            "number": 7, "at_ms": 1000, "actor": "key K", "action": "bucket.place",
            "subject": "photos", "detail": "{\"n\":1}", "hash": "aa", "v": 1,
        });
        let mut lines = String::new();
        Form::JsonLines.line(&entry, &mut lines);
        assert_eq!(serde_json::from_str::<Value>(&lines).unwrap(), entry);
        let mut csv = Form::Csv.head();
        Form::Csv.line(&entry, &mut csv);
        let wanted = "7,\"1970-01-01T00:00:01.000Z\",\"key K\",\"bucket.place\",\"photos\",\
                      \"{\"\"n\"\":1}\",\"aa\"\r\n";
        assert_eq!(
            csv.lines().next(),
            Some("number,time,actor,action,subject,detail,hash")
        );
        assert!(csv.ends_with(wanted), "{csv}");
    }
}
