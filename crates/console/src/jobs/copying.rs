//! Copies one object within the cloud, with its metadata and tags: small ones by CopyObject, large
//! ones in parts, so that no request takes long.

use http::{HeaderMap, Method, StatusCode};

use super::{
    BucketPrefix, Job,
    run::{Listed, Outcome, patiently},
};
use crate::{
    call::Call,
    fault::Fault,
    s3::{S3Answer, S3Ask},
};

/// Larger objects are copied in parts of this size.
const PART: u64 = 256 << 20;
/// What an object carries beside its metadata.
const CARRIED: [&str; 6] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
];

const UNCARRIED: &str = "Its metadata has characters that no header can say. Copy it with another \
                         tool.";

/// A copy to be made.
struct Copy<'a> {
    job: &'a Job,
    from: &'a BucketPrefix,
    to: &'a BucketPrefix,
    key: String,
    replaces: bool,
    one: &'a Listed,
}

/// Copies what was listed, and nothing that came in its place.
pub async fn copy(
    call: &Call<'_>,
    job: &Job,
    to: &BucketPrefix,
    replaces: bool,
    one: &Listed,
) -> Result<Outcome, Fault> {
    let from = &job.from;
    let rest = one.key.strip_prefix(&from.prefix).unwrap_or(&one.key);
    let copy = Copy {
        job,
        from,
        to,
        key: [&to.prefix, rest].concat(),
        replaces,
        one,
    };
    if copy.key.len() > 1024 {
        return Err(Fault::Bad(call.t("A key has at most 1024 bytes.")));
    }
    // A folder of its own, as some tools write it, is no key where the prefix is empty.
    if copy.key.is_empty() {
        return Ok(Outcome::Left);
    }
    if !replaces && copy.is_there(call).await? {
        return Ok(Outcome::Left);
    }
    match one.size > PART {
        true => copy.in_parts(call).await?,
        false => copy.whole(call).await?,
    }
    Ok(Outcome::Done)
}

impl Copy<'_> {
    fn ask<'a>(&'a self, method: &'a Method) -> S3Ask<'a> {
        S3Ask::object(method, &self.to.bucket, &self.key)
    }

    /// The headers of what is copied from.
    fn source<'a>(&'a self, ask: S3Ask<'a>) -> S3Ask<'a> {
        let key = access::sign::encode_path(&self.one.key);
        ask.header(
            "x-amz-copy-source",
            ["/", &self.from.bucket, "/", &key].concat(),
        )
        .header("x-amz-copy-source-if-match", self.one.etag.clone())
    }

    /// An object that appears after it was looked for is kept, too.
    fn unless_there<'a>(&self, ask: S3Ask<'a>) -> S3Ask<'a> {
        match self.replaces {
            true => ask,
            false => ask.header("if-none-match", "*".to_owned()),
        }
    }

    async fn is_there(&self, call: &Call<'_>) -> Result<bool, Fault> {
        let ask = || self.ask(&Method::HEAD).or(StatusCode::NOT_FOUND);
        let head = patiently(|| call.s3(ask())).await?;
        Ok(head.0.status().is_success())
    }

    async fn whole(&self, call: &Call<'_>) -> Result<(), Fault> {
        let ask = || self.unless_there(self.source(self.ask(&Method::PUT)));
        no_error(&patiently(|| call.s3(ask())).await?)
    }

    async fn in_parts(&self, call: &Call<'_>) -> Result<(), Fault> {
        let head = || S3Ask::object(&Method::HEAD, &self.from.bucket, &self.one.key);
        let head = patiently(|| call.s3(head())).await?;
        let carried = carried(head.0.headers());
        let carried = carried.ok_or_else(|| Fault::Bad(call.t(UNCARRIED)))?;
        let tags = match head.header("x-amz-tagging-count") {
            Some(_) => self.tags(call).await?,
            None => String::new(),
        };
        let create = || {
            let mut ask = self.ask(&Method::POST).query("uploads", "");
            for (name, value) in &carried {
                ask = ask.header(name, value.clone());
            }
            match tags.is_empty() {
                true => ask,
                false => ask.header("x-amz-tagging", tags.clone()),
            }
        };
        let created = patiently(|| call.s3(create())).await?.xml()?;
        let upload = created.text("UploadId");
        let ended = self.parts(call, upload).await;
        if ended.is_err() {
            let abort = self.ask(&Method::DELETE).query("uploadId", upload);
            if let Err(fault) = call.s3(abort).await {
                tracing::warn!(?fault, "an unfinished copy could not be removed");
            }
        }
        ended
    }

    async fn parts(&self, call: &Call<'_>, upload: &str) -> Result<(), Fault> {
        let mut list = String::from("<CompleteMultipartUpload>");
        let mut at = 0;
        for number in 1u32.. {
            if at >= self.one.size {
                break;
            }
            if self.job.is_aborted() {
                return Err(Fault::Bad(call.t("The job was aborted during its copy.")));
            }
            let end = (at + PART).min(self.one.size) - 1;
            let part = || {
                self.source(self.ask(&Method::PUT))
                    .query("partNumber", number.to_string())
                    .query("uploadId", upload)
                    .header("x-amz-copy-source-range", format!("bytes={at}-{end}"))
            };
            let copied = patiently(|| call.s3(part())).await?;
            no_error(&copied)?;
            let copied = copied.xml()?;
            let tag = maud::html! { (copied.text("ETag")) }.into_string();
            list.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            ));
            at = end + 1;
        }
        list.push_str("</CompleteMultipartUpload>");
        let complete = || {
            let ask = self.ask(&Method::POST).query("uploadId", upload);
            self.unless_there(ask).body(list.clone().into())
        };
        no_error(&patiently(|| call.s3(complete())).await?)
    }

    async fn tags(&self, call: &Call<'_>) -> Result<String, Fault> {
        let ask =
            || S3Ask::object(&Method::GET, &self.from.bucket, &self.one.key).query("tagging", "");
        let root = patiently(|| call.s3(ask())).await?.xml()?;
        let set = root.child("TagSet");
        let pairs: Vec<(String, String)> = set
            .into_iter()
            .flat_map(|set| set.all("Tag"))
            .map(|tag| {
                (
                    access::sign::encode(tag.text("Key")),
                    tag.text("Value").to_owned(),
                )
            })
            .collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        Ok(crate::fields::query(&pairs))
    }
}

/// What an object carries, for a copy of it; `None` where a header cannot say all of it: then there
/// is no copy, rather than one that lacks something.
fn carried(headers: &HeaderMap) -> Option<Vec<(String, String)>> {
    if headers.contains_key("x-amz-missing-meta") {
        return None;
    }
    let names = headers.keys().map(http::HeaderName::as_str);
    let names = names.filter(|name| CARRIED.contains(name) || name.starts_with("x-amz-meta-"));
    let pair = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.to_owned(), value.to_owned()))
    };
    names.map(pair).collect()
}

/// Copies may answer 200 before they know, and then say that they failed.
fn no_error(answer: &S3Answer) -> Result<(), Fault> {
    let root = answer.xml()?;
    match &*root.name {
        "Error" => Err(Fault::Failed(root.text("Message").to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::carried;

    #[test]
    fn nothing_is_copied_without_what_belongs_to_it() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/x"));
        headers.insert("x-amz-meta-who", HeaderValue::from_static("me"));
        headers.insert("etag", HeaderValue::from_static("\"e\""));
        let mut all = carried(&headers).unwrap();
        all.sort();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            all,
            [pair("content-type", "text/x"), pair("x-amz-meta-who", "me")]
        );
        let raw = HeaderValue::from_bytes("attachment; filename=\"é\"".as_bytes()).unwrap();
        headers.insert("content-disposition", raw);
        assert_eq!(carried(&headers), None);
        headers.remove("content-disposition");
        headers.insert("x-amz-missing-meta", HeaderValue::from_static("1"));
        assert_eq!(carried(&headers), None);
    }
}
