//! The tags of an object or a bucket: a form, and saving what it says.

use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Reply},
    s3::{Node, S3Ask},
    ui::href::Href,
};

/// Tags that S3 allows on an object, and on a bucket.
const OF_OBJECT_MAX: usize = 10;
const OF_BUCKET_MAX: usize = 50;
/// Empty rows of a form.
const MORE: usize = 3;

/// What has tags. A bucket has no key.
#[derive(Clone, Copy)]
pub struct Tagged<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key of an object, or nothing.
    pub key: &'a str,
    /// One version of it.
    pub version: Option<&'a str>,
}

impl<'a> Tagged<'a> {
    fn ask(self, method: &'a Method) -> S3Ask<'a> {
        let ask = S3Ask::object(method, self.bucket, self.key).query("tagging", "");
        ask.maybe("versionId", self.version)
    }

    fn most(self) -> usize {
        if self.key.is_empty() {
            OF_BUCKET_MAX
        } else {
            OF_OBJECT_MAX
        }
    }

    fn route(self) -> Href {
        let rest = if self.key.is_empty() {
            "/rules/tags"
        } else {
            "/tags"
        };
        Href::bucket(self.bucket, rest)
    }
}

type Tags = Vec<(String, String)>;

async fn read(call: &Call<'_>, on: Tagged<'_>) -> Result<Tags, Fault> {
    let ask = on.ask(&Method::GET);
    // A bucket without tags answers so.
    let ask = match on.key.is_empty() {
        true => ask.or(StatusCode::NOT_FOUND),
        false => ask,
    };
    let root = call.s3(ask).await?.xml()?;
    let empty = Node::default();
    let set = root.child("TagSet").unwrap_or(&empty);
    let pair = |tag: &Node| (tag.text("Key").to_owned(), tag.text("Value").to_owned());
    Ok(set.all("Tag").map(pair).collect())
}

/// The state of an object, which other bytes, tags or an access list change. A bucket has none.
async fn state(call: &Call<'_>, on: Tagged<'_>) -> Result<String, Fault> {
    if on.key.is_empty() {
        return Ok(String::new());
    }
    let ask = S3Ask::object(&Method::HEAD, on.bucket, on.key);
    let head = call.s3(ask.maybe("versionId", on.version)).await?;
    Ok(head.header("x-dhow-state").unwrap_or_default())
}

/// What a form was made of: another change meanwhile is not written over.
fn seen(state: &str, tags: &Tags) -> String {
    let mut text = format!("{state} ");
    for (name, value) in tags {
        text.push_str(&format!("{} {} {name}{value}", name.len(), value.len()));
    }
    access::sign::payload_sha256(text.as_bytes())
}

/// The form.
pub async fn form(call: &Call<'_>, on: Tagged<'_>) -> Result<Markup, Fault> {
    let (state, tags) = (state(call, on).await?, read(call, on).await?);
    let route = on.route();
    let rows = (tags.len() + MORE).min(on.most()).max(tags.len());
    let known = tags
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs: Vec<(&str, &str)> = known
        .chain(std::iter::repeat(("", "")))
        .take(rows)
        .collect();
    Ok(html! {
        form.stack method="post" action=(route) {
            (call.token(route.as_str()))
            input type="hidden" name="seen" value=(seen(&state, &tags));
            @if !on.key.is_empty() {
                input type="hidden" name="key" value=(on.key);
                input type="hidden" name="version" value=(on.version.unwrap_or_default());
            }
            (rows_of(call, &pairs, 128))
            p.hint { (call.t("A row without a name is left out.")) }
            div.actions { button { (call.t("Save the tags")) } }
        }
    })
}

/// Rows with a name and a value each.
pub fn rows_of(call: &Call<'_>, pairs: &[(&str, &str)], name_max: usize) -> Markup {
    html! {
        div.pairs {
            @for (at, (name, value)) in pairs.iter().enumerate() {
                @let number = (at + 1).to_string();
                input name="name" value=(name) maxlength=(name_max) autocapitalize="none"
                    spellcheck="false" dir="auto" placeholder=(call.t("Name"))
                    aria-label=(call.with("Name {number}", &[("number", &number)]));
                input name="value" value=(value) autocapitalize="none" spellcheck="false"
                    dir="auto" placeholder=(call.t("Value"))
                    aria-label=(call.with("Value {number}", &[("number", &number)]));
            }
        }
    }
}

/// The rows of a form that have a name.
pub fn named<'c>(call: &'c Call<'_>) -> impl Iterator<Item = (&'c str, &'c str)> {
    let pairs = call.form.all("name").zip(call.form.all("value"));
    pairs.filter(|(name, _)| !name.is_empty())
}

async fn save(call: &Call<'_>, on: Tagged<'_>) -> Result<(), Fault> {
    let now = seen(&state(call, on).await?, &read(call, on).await?);
    if call.form.get("seen") != Some(&now) {
        return Err(Fault::Changed);
    }
    let text = |text: &str| html! { (text) }.into_string();
    let tag = |(name, value): (&str, &str)| {
        let (name, value) = (text(name), text(value));
        format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>")
    };
    let set: String = named(call).map(tag).collect();
    let (put, delete) = (Method::PUT, Method::DELETE);
    let ask = match set.is_empty() {
        true => on.ask(&delete),
        false => {
            let body = ["<Tagging><TagSet>", &set, "</TagSet></Tagging>"].concat();
            on.ask(&put).body(body.into())
        }
    };
    call.s3(ask).await.map(drop)
}

/// Saves those of an object.
pub async fn of_object(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let key = call.form.some("key");
    let key = key.ok_or_else(|| Fault::Bad(call.t("The form names no object.")))?;
    let version = call.form.some("version");
    let bucket = &*shown.deed.name;
    let on = Tagged {
        bucket,
        key,
        version,
    };
    save(call, on).await?;
    let pairs = [("key", key), ("version", version.unwrap_or_default())];
    Ok(Reply::See(Href::bucket(bucket, "/o").with(&pairs)))
}

/// Saves those of a bucket.
pub async fn of_bucket(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let on = Tagged {
        bucket,
        key: "",
        version: None,
    };
    save(call, on).await?;
    Ok(Reply::See(
        Href::bucket(bucket, "/rules").with(&[("saved", "1")]),
    ))
}
