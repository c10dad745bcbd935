//! One object: what it is, its versions, its tags, a preview.

use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    fields::decoded,
    pages::{
        objects, preview,
        tagging::{self, Tagged},
    },
    reply::{Answer, Page, Reply},
    s3::{S3Answer, S3Ask},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge, note},
        text, time,
    },
};

/// Versions that are shown.
const VERSIONS: usize = 50;
/// For how many seconds a download can begin.
const BEGUN_S: u64 = 300;

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let key = call.query.some("key");
    let key = key.ok_or_else(|| Fault::Missing(call.t("The address names no key.")))?;
    let version = call.query.some("version");
    let ask = S3Ask::object(&Method::HEAD, bucket, key)
        .maybe("versionId", version)
        .header("x-amz-checksum-mode", "ENABLED".to_owned())
        .or(StatusCode::NOT_FOUND);
    let head = call.s3(ask).await?;
    let versions = versions(call, bucket, key, call.query.some("after")).await;
    let there = head.0.status().is_success();
    let deleted = head.header("x-amz-delete-marker").is_some();
    let known = versions.as_ref().is_ok_and(|(all, _)| !all.is_empty());
    if !there && !deleted && !known {
        return Err(Fault::Missing(call.t("There is no object with this key.")));
    }
    let at = (bucket, key, version);
    let body = html! {
        @if there {
            div.cards {
                (about(call, &head, version))
                section.card {
                    h2 { (call.t("Preview")) }
                    (parts::or_why(call, preview::show(call, at, length(&head)).await))
                }
                (metadata(call, at, &head))
                (tags(call, at).await)
            }
        } @else {
            (note(Tone::Warn, &html! { p { (call.t(DELETED)) } }))
            @let route = Href::bucket(bucket, "/undelete");
            p { (parts::button(call, route.as_str(), &[("key", key)], "primary", &call.t("Undelete"))) }
        }
        (timeline(call, at, versions))
    };
    let name = key.trim_end_matches('/').rsplit('/').next().unwrap_or(key);
    let name = if name.is_empty() { key } else { name };
    let folder = key.strip_suffix(name).unwrap_or_default();
    let mut page = Page::new(name, body).at(objects::path(call, bucket, folder));
    if there {
        page = page.with(actions(call, at));
    }
    page.into()
}

const DELETED: &str = "This object was deleted. Its versions are kept, so it can come back.";

fn length(head: &S3Answer) -> u64 {
    let length = head.header("content-length");
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn actions(call: &Call<'_>, (bucket, key, version): (&str, &str, Option<&str>)) -> Markup {
    let pairs = [("key", key), ("version", version.unwrap_or_default())];
    html! {
        a.button.primary href=(Href::bucket(bucket, "/download").with(&pairs))
            rel="noopener noreferrer" { (call.t("Download")) }
        a.button href=(Href::bucket(bucket, "/share").with(&pairs)) { (call.t("Share")) }
        a.button href=(Href::bucket(bucket, "/acl").with(&pairs)) { (call.t("Access")) }
        (delete(call, (bucket, key, version)))
    }
}

fn delete(call: &Call<'_>, (bucket, key, version): (&str, &str, Option<&str>)) -> Markup {
    let route = Href::bucket(bucket, "/delete");
    let folder = key
        .rfind('/')
        .map_or("", |at| key.get(..=at).unwrap_or_default());
    let mut fields = vec![("key", key), ("back", folder)];
    fields.extend(version.map(|version| ("version", version)));
    let label = match version {
        Some(_) => call.t("Delete this version"),
        None => call.t("Delete"),
    };
    parts::button(call, route.as_str(), &fields, "danger", &label)
}

fn about(call: &Call<'_>, head: &S3Answer, version: Option<&str>) -> Markup {
    let said = |name: &str| html! { (text::name(&head.header(name).unwrap_or_default())) };
    let modified = head.header("last-modified").unwrap_or_default();
    let modified = types::Timestamp::parse_http_date(&modified);
    let rows = [
        (
            "Size",
            html! {
                (number::bytes(length(head)))
                @if length(head) >= 1024 { " \u{b7} " (number::grouped(length(head))) " B" }
            },
        ),
        (
            "Modified",
            html! {
                @if let Some(at) = modified { (time::iso(&at.iso8601())) }
            },
        ),
        ("Type", said("content-type")),
        (
            "ETag",
            html! { (text::code(&head.header("etag").unwrap_or_default())) },
        ),
    ];
    let more = [
        ("Version", "x-amz-version-id"),
        ("Class", "x-amz-storage-class"),
        ("Replication", "x-amz-replication-status"),
        ("Cache-Control", "cache-control"),
        ("Content-Disposition", "content-disposition"),
        ("Content-Encoding", "content-encoding"),
        ("Content-Language", "content-language"),
        ("CRC-64/NVME", "x-amz-checksum-crc64nvme"),
        ("CRC-32", "x-amz-checksum-crc32"),
        ("CRC-32C", "x-amz-checksum-crc32c"),
        ("SHA-1", "x-amz-checksum-sha1"),
        ("SHA-256", "x-amz-checksum-sha256"),
    ];
    let mut facts: Vec<(&'static str, Markup)> = rows.into();
    for (name, header) in more {
        if head.header(header).is_some() {
            facts.push((name, said(header)));
        }
    }
    html! {
        section.card {
            h2 { (call.t("Object")) }
            @if version.is_some() { p { (badge(Tone::Plain, &call.t("one version of it"))) } }
            dl.facts {
                @for (name, value) in &facts {
                    div { dt { (call.words.t(name)) } dd { (value) } }
                }
            }
        }
    }
}

fn metadata(
    call: &Call<'_>,
    (bucket, key, version): (&str, &str, Option<&str>),
    head: &S3Answer,
) -> Markup {
    let headers = head.0.headers().iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-amz-meta-")?;
        Some((name, String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    let all: Vec<_> = headers.collect();
    html! {
        section.card {
            h2 { (call.t("Metadata")) }
            @if all.is_empty() { p.hint { (call.t("This object has none.")) } }
            @else {
                dl.facts {
                    @for (name, value) in &all {
                        div { dt { (text::name(name)) } dd { (text::name(value)) } }
                    }
                }
            }
            @if version.is_none() {
                p {
                    a.button.small href=(Href::bucket(bucket, "/metadata").with(&[("key", key)])) {
                        (call.t("Change the metadata"))
                    }
                }
            }
        }
    }
}

async fn tags(call: &Call<'_>, (bucket, key, version): (&str, &str, Option<&str>)) -> Markup {
    let on = Tagged {
        bucket,
        key,
        version,
    };
    let form = tagging::form(call, on).await;
    html! { section.card { h2 { (call.t("Tags")) } (parts::or_why(call, form)) } }
}

/// One version of an object, or a delete marker.
pub struct Version {
    /// Its id.
    pub id: String,
    /// Whether it is a delete marker.
    pub marker: bool,
    /// Whether it is the current one.
    pub latest: bool,
    size: u64,
    modified: String,
}

/// Versions of one key, and after which id there are more.
pub type Versions = (Vec<Version>, Option<String>);

/// The newest versions of one key, or those that are older than one.
pub async fn versions(
    call: &Call<'_>,
    bucket: &str,
    key: &str,
    after: Option<&str>,
) -> Result<Versions, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("versions", "")
        .query("encoding-type", "url")
        .query("prefix", key)
        .query("max-keys", VERSIONS.to_string())
        .maybe("key-marker", after.map(|_| key))
        .maybe("version-id-marker", after);
    let root = call.s3(ask).await?.xml()?;
    let own = root.children().iter().filter(|node| {
        matches!(&*node.name, "Version" | "DeleteMarker") && decoded(node.text("Key")) == key
    });
    let read = own.map(|node| Version {
        id: node.text("VersionId").to_owned(),
        marker: node.name == "DeleteMarker",
        latest: node.text("IsLatest") == "true",
        size: node.text("Size").parse().unwrap_or(0),
        modified: node.text("LastModified").to_owned(),
    });
    let goes_on = root.text("IsTruncated") == "true" && decoded(root.text("NextKeyMarker")) == key;
    let next = goes_on.then(|| root.text("NextVersionIdMarker").to_owned());
    Ok((read.collect(), next))
}

fn timeline(
    call: &Call<'_>,
    at: (&str, &str, Option<&str>),
    versions: Result<Versions, Fault>,
) -> Markup {
    let (bucket, key, version) = at;
    let page = [("key", key), ("version", version.unwrap_or_default())];
    let shown = versions.map(|(all, next)| {
        html! {
            (parts::table(&call.t("Versions"), &version_rows(call, at, &all)))
            p.more {
                @if let Some(next) = &next {
                    a.button rel="next" href=(Href::bucket(bucket, "/o").with(&page)
                        .and(&[("after", next)]).and_part("versions")) {
                        (call.t("Older versions"))
                    }
                }
                a.button.danger.small href=(Href::bucket(bucket, "/purge").with(&[("key", key)])) {
                    (call.t("Delete all versions"))
                }
            }
        }
    });
    html! {
        section #versions { h2 { (call.t("Versions")) } (parts::or_why(call, shown)) }
    }
}

fn version_rows(
    call: &Call<'_>,
    (bucket, key, version): (&str, &str, Option<&str>),
    all: &[Version],
) -> Markup {
    let route = Href::bucket(bucket, "/restore");
    let link = |id: &str| Href::bucket(bucket, "/o").with(&[("key", key), ("version", id)]);
    html! {
        table {
            thead {
                tr {
                    th scope="col" { (call.t("Version")) }
                    th scope="col" { (call.t("State")) }
                    th.right scope="col" { (call.t("Size")) }
                    th scope="col" { (call.t("Modified")) }
                    th scope="col" { (call.t("Action")) }
                }
            }
            tbody {
                @for one in all {
                    tr {
                        th scope="row" {
                            @if one.marker { (text::code(&one.id)) }
                            @else { a href=(link(&one.id)) { (text::code(&one.id)) } }
                        }
                        td {
                            @if one.marker { (badge(Tone::Warn, &call.t("delete marker"))) " " }
                            @if one.latest { (badge(Tone::Good, &call.t("current"))) " " }
                            @if version == Some(&one.id) { (badge(Tone::Plain, &call.t("shown above"))) }
                        }
                        td.right { @if !one.marker { (number::bytes(one.size)) } }
                        td { (time::iso(&one.modified)) }
                        td {
                            @if !one.marker && !one.latest {
                                (parts::button(call, route.as_str(),
                                    &[("key", key), ("version", &one.id)], "small",
                                    &call.t("Make current")))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Refuses whoever may not read the object: an address is made for whoever may.
pub async fn may_read(
    call: &Call<'_>,
    (bucket, key, version): (&str, &str, Option<&str>),
) -> Result<(), Fault> {
    let ask = S3Ask::object(&Method::HEAD, bucket, key).maybe("versionId", version);
    call.s3(ask).await.map(drop)
}

/// Sends the browser to the data endpoint, which gives the object as a file to be saved.
pub async fn download(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let key = call.query.some("key");
    let key = key.ok_or_else(|| Fault::Missing(call.t("The address names no key.")))?;
    let version = call.query.some("version");
    may_read(call, (&shown.deed.name, key, version)).await?;
    let file = access::sign::encode(&text::file_name(key));
    let save = format!("attachment; filename*=UTF-8''{file}");
    let mut query = vec![("response-content-disposition", save.as_str())];
    query.extend(version.map(|version| ("versionId", version)));
    let url = call.presigned(&Method::GET, (&shown.deed.name, key), &query, BEGUN_S)?;
    Ok(Reply::See(Href::presigned(url)))
}
