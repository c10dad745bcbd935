//! The metadata of an object: a form, and saving it by a copy of the object onto itself.

use http::{HeaderMap, HeaderName, Method};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    pages::{delete::key_of, objects, tagging},
    reply::{Answer, Page, Reply},
    s3::{S3Answer, S3Ask},
    ui::{
        href::Href,
        parts::{Tone, note},
        text,
    },
};

/// What else an object says of itself, which the form has.
const HEADERS: [(&str, &str); 5] = [
    ("Type", "content-type"),
    ("Cache-Control", "cache-control"),
    ("Content-Disposition", "content-disposition"),
    ("Content-Encoding", "content-encoding"),
    ("Content-Language", "content-language"),
];
/// What a copy keeps that the form has not.
const KEPT: [&str; 3] = [
    "expires",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];
/// The largest object that one copy takes.
const COPIED_MAX: u64 = 5 << 30;
/// Empty rows of the form.
const MORE: usize = 3;

async fn head(call: &Call<'_>, bucket: &str, key: &str) -> Result<S3Answer, Fault> {
    let head = call.s3(S3Ask::object(&Method::HEAD, bucket, key)).await?;
    let length = head.header("content-length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    if length > COPIED_MAX {
        return Err(Fault::Bad(call.t(LARGE)));
    }
    match can_be_said(head.0.headers()) {
        true => Ok(head),
        false => Err(Fault::Bad(call.t(UNSAID))),
    }
}

const LARGE: &str = "The object has more than 5 GiB, which one copy cannot take. Upload it again \
                     with other metadata.";
const UNSAID: &str = "Its metadata has characters that no header can say. Change it with another \
                      tool.";

/// Whether headers have all of it: nothing is lost then.
fn can_be_said(headers: &HeaderMap) -> bool {
    let said = headers.iter().filter(|(name, _)| is_own(name.as_str()));
    let mut said = said.map(|(_, value)| value.to_str());
    !headers.contains_key("x-amz-missing-meta") && said.all(|value| value.is_ok())
}

fn is_own(name: &str) -> bool {
    let in_form = HEADERS.iter().any(|(_, header)| *header == name);
    in_form || KEPT.contains(&name) || name.starts_with("x-amz-meta-")
}

/// What the object has, by the names of its headers without their prefix.
fn pairs(head: &S3Answer) -> Vec<(String, String)> {
    let headers = head.0.headers().iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-amz-meta-")?;
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    });
    headers.collect()
}

/// The form.
pub async fn show(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let key = call.query.some("key");
    let key = key.ok_or_else(|| Fault::Missing(call.t("The address names no key.")))?;
    let head = head(call, bucket, key).await?;
    let route = Href::bucket(bucket, "/metadata");
    let back = Href::bucket(bucket, "/o").with(&[("key", key)]);
    let body = html! {
        p { (text::short(key)) }
        (note(Tone::Plain, &html! { p { (call.t(HOW)) } }))
        form.stack method="post" action=(route) {
            (call.token(route.as_str()))
            input type="hidden" name="key" value=(key);
            input type="hidden" name="seen" value=(head.header("x-dhow-state").unwrap_or_default());
            @for (label, header) in HEADERS {
                div {
                    label for=(header) { (call.words.t(label)) }
                    input id=(header) name=(header) dir="ltr" autocapitalize="none" spellcheck="false"
                        value=(head.header(header).unwrap_or_default());
                }
            }
            (own(call, &head))
            div.actions {
                button.primary { (call.t("Save the metadata")) }
                a.button href=(back) { (call.t("Back")) }
            }
        }
    };
    let page = Page::new(call.t("Metadata"), body);
    page.at(objects::path(call, bucket, "")).into()
}

const HOW: &str = "Saving copies the object onto itself: the bytes stay as they are, and so do the \
                   tags. A bucket that keeps versions gets a new one. The access control list is \
                   that of a new object.";

fn own(call: &Call<'_>, head: &S3Answer) -> Markup {
    let own = pairs(head);
    let known = own
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let all: Vec<(&str, &str)> = known.chain([("", ""); MORE]).collect();
    html! {
        fieldset {
            legend { (call.t("Metadata of your own")) }
            (tagging::rows_of(call, &all, 1024))
            p.hint { (call.t("A row without a name is left out.")) }
        }
    }
}

/// Saves it, unless the object has changed since the form was made.
pub async fn save(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let key = key_of(call)?;
    let head = head(call, bucket, key).await?;
    let state = head.header("x-dhow-state").unwrap_or_default();
    if call.form.get("seen") != Some(&state) {
        return Err(Fault::Changed);
    }
    let wanted = wanted(call)?;
    let source = ["/", bucket, "/", &access::sign::encode_path(key)].concat();
    let mut ask = S3Ask::object(&Method::PUT, bucket, key)
        .header("x-amz-copy-source", source)
        .header(
            "x-amz-copy-source-if-match",
            head.header("etag").unwrap_or_default(),
        )
        .header("x-amz-metadata-directive", "REPLACE".to_owned());
    for (name, value) in &wanted {
        ask = ask.header(name, value.clone());
    }
    for name in KEPT {
        if let Some(value) = head.header(name) {
            ask = ask.header(name, value);
        }
    }
    let answer = call.s3(ask).await?.xml()?;
    // A copy may say only in its answer that it failed.
    if answer.name == "Error" {
        return Err(Fault::Failed(answer.text("Message").to_owned()));
    }
    Ok(Reply::See(Href::bucket(bucket, "/o").with(&[("key", key)])))
}

/// The headers that the form asks for.
fn wanted(call: &Call<'_>) -> Result<Vec<(String, String)>, Fault> {
    let mut all = Vec::new();
    for (_, header) in HEADERS {
        if let Some(value) = call.form.some(header) {
            all.push((header.to_owned(), value.trim().to_owned()));
        }
    }
    for (name, value) in tagging::named(call) {
        let header = ["x-amz-meta-", name.trim()].concat().to_ascii_lowercase();
        let twice = all.iter().any(|(known, _)| *known == header);
        if twice || HeaderName::from_bytes(header.as_bytes()).is_err() {
            return Err(Fault::Bad(call.t(NAMES)));
        }
        all.push((header, value.trim().to_owned()));
    }
    let plain = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    match all.iter().all(|(_, value)| plain(value)) {
        true => Ok(all),
        false => Err(Fault::Bad(call.t(VALUES))),
    }
}

const NAMES: &str = "Names of metadata have letters, digits and hyphens, and each is there once.";
const VALUES: &str = "Values of metadata have letters, digits and signs of ASCII only.";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn metadata_that_no_header_says_is_not_written_anew() {
        let mut headers = HeaderMap::new();
        let raw = HeaderValue::from_bytes("é".as_bytes()).unwrap();
        headers.insert("x-other", raw.clone());
        headers.insert("x-amz-meta-who", HeaderValue::from_static("me"));
        assert!(can_be_said(&headers));
        headers.insert("expires", raw);
        assert!(!can_be_said(&headers));
        headers.remove("expires");
        headers.insert("x-amz-missing-meta", HeaderValue::from_static("1"));
        assert!(!can_be_said(&headers));
    }
}
