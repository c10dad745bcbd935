//! Downloading many objects as one zip file, which is made while it is sent.
//!
//! Objects are read in pieces by requests to S3 of whoever is signed in, so S3 decides about each.
//! What cannot be read is named in a file at the end. Once bytes of an object are on their way,
//! whatever goes wrong breaks the connection: no file in the zip is shorter than its object.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use tokio::sync::mpsc;
use types::Timestamp;

use crate::{
    Console,
    call::Call,
    fault::Fault,
    fields::decoded,
    jobs::run::{Origin, patiently},
    reply::{Answer, Piece, Reply, Streamed},
    s3::{S3Answer, S3Ask},
    turns::Turn,
    ui::text,
    zip::{Names, Zip},
};

/// Objects and bytes of one file.
const OBJECTS_MAX: usize = 10_000;
const BYTES_MAX: u64 = 50 << 30;
/// Bytes that are read at once, and pieces that wait for the browser.
const PIECE: u64 = 1 << 20;
const WAITING_MAX: usize = 3;
/// How long a browser may take nothing.
const STALL: Duration = Duration::from_secs(300);
const FIELDS: [&str; 4] = ["csrf", "key", "folder", "back"];

/// What is asked for.
struct Wanted {
    bucket: String,
    /// What names in the file do not begin with.
    prefix: String,
    keys: Vec<String>,
}

/// Sends what is chosen.
pub async fn download(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let who = call.who()?;
    let wanted = wanted(call, &shown.deed.name).await?;
    let place = call.console.zips.take_now(&who.session.account);
    let place = place.ok_or_else(|| {
        Fault::Busy(
            call.t("As many zip files as may be are on their way.")
                .into(),
        )
    })?;
    let folder = wanted.prefix.trim_end_matches('/');
    let named = if folder.is_empty() {
        &*wanted.bucket
    } else {
        folder
    };
    let name = access::sign::encode(&[&text::file_name(named), ".zip"].concat());
    let save = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{name}"));
    let save = save.map_err(|error| Fault::Failed(error.to_string()))?;
    let gone = || Fault::Failed("the console is stopping".into());
    let console = call.console.own.upgrade().ok_or_else(gone)?;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let (origin, id) = (Origin::of(call)?, call.id.to_owned());
    tokio::spawn(send(console, (origin, id), wanted, sender, place));
    let mut answer = Response::new(Bytes::new());
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/zip"),
    );
    headers.insert(header::CONTENT_DISPOSITION, save);
    answer.extensions_mut().insert(Streamed::new(receiver));
    Ok(Reply::Whole(answer))
}

/// The keys that the form names, and those in the folders that it names.
async fn wanted(call: &Call<'_>, bucket: &str) -> Result<Wanted, Fault> {
    if let Some(stranger) = call.form.stranger(&FIELDS) {
        return Err(Fault::Bad(
            call.with(
                "The form has a field that is unknown: {name}",
                &[("name", stranger)],
            )
            .into(),
        ));
    }
    let mut keys: Vec<String> = call.form.all("key").map(str::to_owned).collect();
    let mut bytes = 0;
    for folder in call.form.all("folder") {
        list(call, (bucket, folder), &mut keys, &mut bytes).await?;
    }
    if keys.is_empty() {
        return Err(Fault::Bad(call.t("Nothing is chosen.")));
    }
    let back = call.form.get("back").unwrap_or_default();
    let end = back.rfind('/').map_or(0, |at| at + 1);
    Ok(Wanted {
        bucket: bucket.to_owned(),
        prefix: back.get(..end).unwrap_or_default().to_owned(),
        keys,
    })
}

async fn list(
    call: &Call<'_>,
    (bucket, folder): (&str, &str),
    keys: &mut Vec<String>,
    bytes: &mut u64,
) -> Result<(), Fault> {
    let mut token: Option<String> = None;
    loop {
        let ask = S3Ask::bucket(&Method::GET, bucket)
            .query("list-type", "2")
            .query("encoding-type", "url")
            .query("prefix", folder)
            .maybe("continuation-token", token.as_deref());
        let root = call.s3(ask).await?.xml()?;
        for node in root.all("Contents") {
            let (key, size) = (decoded(node.text("Key")), node.text("Size").parse());
            let size: u64 = size.unwrap_or_default();
            // It only shows that there is a folder.
            if size == 0 && key.ends_with('/') {
                continue;
            }
            *bytes += size;
            keys.push(key.into_owned());
        }
        if keys.len() > OBJECTS_MAX || *bytes > BYTES_MAX {
            return Err(Fault::Bad(call.t(TOO_MUCH)));
        }
        token = match root.text("NextContinuationToken") {
            "" => return Ok(()),
            next => Some(next.to_owned()),
        };
    }
}

const TOO_MUCH: &str = "A zip file has at most 10,000 objects and 50 GiB. Choose fewer, or use a \
                        command such as `aws s3 sync`.";

/// Why no more is sent.
enum End {
    /// The browser left, or takes nothing.
    Gone,
    /// What has begun cannot be ended.
    Broken(String),
}

/// A zip file on its way.
struct Sending<'a> {
    call: &'a Call<'a>,
    wanted: &'a Wanted,
    zip: Zip,
    names: Names,
    out: &'a mpsc::Sender<Piece>,
    bytes: u64,
    failed: Vec<(&'a str, String)>,
}

/// A session for which a file is made: it does not rest meanwhile.
struct AtWork<'a> {
    console: &'a Console,
    session: &'a str,
}

impl<'a> AtWork<'a> {
    fn of(console: &'a Console, session: &'a str) -> Self {
        console.sessions.begins_work(session);
        Self { console, session }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let now = self.console.clock.now().ms();
        self.console.sessions.ends_work(self.session, now);
    }
}

async fn send(
    console: Arc<Console>,
    (origin, id): (Origin, String),
    wanted: Wanted,
    out: mpsc::Sender<Piece>,
    _place: Turn,
) {
    let call = origin.call(&console, &id);
    let _session = AtWork::of(&console, &origin.caller.session.id);
    let mut sending = Sending {
        call: &call,
        wanted: &wanted,
        zip: Zip::default(),
        names: Names::default(),
        out: &out,
        bytes: 0,
        failed: Vec::new(),
    };
    let ended = sending.all().await;
    if let Err(End::Broken(why)) = ended {
        tracing::warn!(request_id = id, why, "a zip file was broken off");
        let broken = out.send(Err(io::Error::other("broken off")));
        let _ = tokio::time::timeout(STALL, broken).await;
    }
}

impl<'a> Sending<'a> {
    async fn all(&mut self) -> Result<(), End> {
        let wanted = self.wanted;
        for key in &wanted.keys {
            self.one(key).await?;
        }
        self.say_failed();
        self.zip.finish();
        self.pass().await
    }

    /// Sends one object, or notes why it is left out.
    async fn one(&mut self, key: &'a str) -> Result<(), End> {
        self.goes_on()?;
        let first = match self.piece(key, 0, None).await {
            Ok(first) => first,
            Err(fault) => {
                self.failed.push((key, self.call.why(&fault)));
                return Ok(());
            }
        };
        if self.bytes + first.size > BYTES_MAX {
            let why = self.call.t(TOO_MUCH).into_owned();
            self.failed.push((key, why));
            return Ok(());
        }
        self.bytes += first.size;
        let name = key.strip_prefix(&*self.wanted.prefix).unwrap_or(key);
        let name = self.names.give(name);
        self.zip.begin(name, first.modified, first.size);
        let mut at = first.bytes.len() as u64;
        self.zip.write(&first.bytes);
        self.pass().await?;
        while at < first.size {
            self.goes_on()?;
            let next = self.piece(key, at, Some(&first.etag)).await;
            let next = next.map_err(|fault| End::Broken(format!("{fault:?}")))?;
            if next.size != first.size || next.bytes.is_empty() {
                return Err(End::Broken("an object has another size".into()));
            }
            at += next.bytes.len() as u64;
            self.zip.write(&next.bytes);
            self.pass().await?;
        }
        self.zip.end();
        Ok(())
    }

    /// Breaks off once nobody is signed in any more, or the bucket may not be here: no name of an
    /// object is sent from then on.
    fn goes_on(&self) -> Result<(), End> {
        let console = self.call.console;
        let now = console.clock.now();
        let caller = self.call.who();
        let signed_in = caller.is_ok_and(|caller| {
            console.is_of(caller) && console.sessions.goes_on(&caller.session.id, now.ms())
        });
        if !signed_in {
            return Err(End::Broken("whoever asked is signed out".into()));
        }
        if self.out.is_closed() {
            return Err(End::Gone);
        }
        // Else another region would be asked for bytes that may not be here.
        match console.is_held(&self.wanted.bucket) {
            true => Ok(()),
            false => Err(End::Broken("the bucket is not here any more".into())),
        }
    }

    /// Reads a piece of an object; of the same as before, if its tag is given.
    async fn piece(&self, key: &str, at: u64, etag: Option<&str>) -> Result<Read, Fault> {
        let bucket = &*self.wanted.bucket;
        let range = format!("bytes={at}-{}", at + PIECE - 1);
        let ask = || {
            let ask = S3Ask::object(&Method::GET, bucket, key)
                .header("range", range.clone())
                .or(StatusCode::RANGE_NOT_SATISFIABLE);
            match etag {
                Some(etag) => ask.header("if-match", etag.to_owned()),
                None => ask,
            }
        };
        let answer = patiently(|| self.call.s3(ask())).await?;
        if answer.0.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            return Read::of(answer);
        }
        // An object without bytes has no range.
        let ask = || S3Ask::object(&Method::HEAD, bucket, key);
        let head = patiently(|| self.call.s3(ask())).await?;
        match head.header("content-length").as_deref() {
            Some("0") if at == 0 => Ok(Read {
                bytes: Bytes::new(),
                size: 0,
                etag: String::new(),
                modified: modified(&head),
            }),
            _ => Err(Fault::Changed),
        }
    }

    /// Gives what is ready to the browser, as fast as it takes it.
    async fn pass(&mut self) -> Result<(), End> {
        let ready = self.zip.take();
        let sent = tokio::time::timeout(STALL, self.out.send(Ok(ready.into()))).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    /// A file with what is missing, and why.
    fn say_failed(&mut self) {
        if self.failed.is_empty() {
            return;
        }
        let mut said = self
            .call
            .t("These objects are not in this file:")
            .into_owned();
        said.push('\n');
        for (key, why) in &self.failed {
            said.extend([&*text::visible(key), ": ", &*text::visible(why), "\n"]);
        }
        let name = self.names.give("ERRORS.txt");
        let now = self.call.console.clock.now();
        self.zip.begin(name, now, said.len() as u64);
        self.zip.write(said.as_bytes());
        self.zip.end();
    }
}

/// A piece of an object.
struct Read {
    bytes: Bytes,
    /// Of the whole object.
    size: u64,
    etag: String,
    modified: Timestamp,
}

impl Read {
    fn of(answer: S3Answer) -> Result<Self, Fault> {
        let range = answer.header("content-range").unwrap_or_default();
        let size = range
            .rsplit_once('/')
            .and_then(|(_, size)| size.parse().ok());
        let size = size.ok_or_else(|| Fault::Failed("GetObject does not say the size".into()))?;
        Ok(Self {
            size,
            etag: answer.header("etag").unwrap_or_default(),
            modified: modified(&answer),
            bytes: answer.0.into_body(),
        })
    }
}

fn modified(answer: &S3Answer) -> Timestamp {
    let text = answer.header("last-modified").unwrap_or_default();
    Timestamp::parse_http_date(&text).unwrap_or(Timestamp::from_s(0))
}
