//! The objects of a bucket: prefixes and keys, a page at a time; also what was deleted and is kept.

use std::borrow::Cow;

use http::Method;
use maud::{Markup, html};

use crate::{
    call::{Call, Shown},
    fault::Fault,
    fields::decoded,
    reply::{Answer, Page},
    s3::{Node, S3Ask},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge},
        text, time,
    },
};

/// Rows of a page, of which the first is the default.
const LIMITS: [&str; 3] = ["200", "50", "1000"];

/// What the address asks for.
struct View<'a> {
    bucket: &'a str,
    prefix: &'a str,
    limit: &'a str,
    /// All keys below the prefix, without folders.
    flat: bool,
    /// Versions and delete markers too.
    versions: bool,
}

impl<'a> View<'a> {
    fn of(call: &'a Call<'_>, bucket: &'a str) -> Self {
        let limit = call
            .query
            .get("limit")
            .filter(|limit| LIMITS.contains(limit));
        Self {
            bucket,
            prefix: call.query.get("prefix").unwrap_or_default(),
            limit: limit.unwrap_or(LIMITS[0]),
            flat: call.query.some("flat").is_some(),
            versions: call.query.some("versions").is_some(),
        }
    }

    /// The same view of a prefix, from a place on.
    fn at(&self, prefix: &str, places: &[(&str, &str)]) -> Href {
        let mut pairs = vec![
            ("prefix", prefix),
            (
                "limit",
                if self.limit == LIMITS[0] {
                    ""
                } else {
                    self.limit
                },
            ),
            ("flat", if self.flat { "1" } else { "" }),
            ("versions", if self.versions { "1" } else { "" }),
        ];
        pairs.extend_from_slice(places);
        Href::bucket(self.bucket, "").with(&pairs)
    }

    /// A key without the prefix that all of them have.
    fn short<'k>(&self, key: &'k str) -> &'k str {
        let rest = key
            .strip_prefix(self.prefix)
            .filter(|rest| !rest.is_empty());
        if self.flat { key } else { rest.unwrap_or(key) }
    }
}

/// A page of a listing.
struct Listed {
    root: Node,
    /// Where the next page begins.
    next: Option<Href>,
}

impl Listed {
    fn prefixes(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let all = self.root.all("CommonPrefixes");
        all.map(|node| decoded(node.text("Prefix")))
    }

    fn rows(&self) -> impl Iterator<Item = &Node> {
        let row = |node: &&Node| matches!(&*node.name, "Contents" | "Version" | "DeleteMarker");
        self.root.children().iter().filter(row)
    }
}

async fn list(call: &Call<'_>, view: &View<'_>) -> Result<Listed, Fault> {
    let ask = S3Ask::bucket(&Method::GET, view.bucket)
        .query("encoding-type", "url")
        .query("max-keys", view.limit)
        .query("prefix", view.prefix)
        .maybe("delimiter", (!view.flat).then_some("/"));
    let (after, mark) = (call.query.some("after"), call.query.some("mark"));
    let ask = match view.versions {
        true => ask
            .query("versions", "")
            .maybe("key-marker", after)
            .maybe("version-id-marker", mark),
        false => ask
            .query("list-type", "2")
            .maybe("continuation-token", after),
    };
    let root = call.s3(ask).await?.xml()?;
    let next = match view.versions {
        true => (root.text("IsTruncated") == "true").then(|| {
            let key = decoded(root.text("NextKeyMarker")).into_owned();
            view.at(
                view.prefix,
                &[("after", &key), ("mark", root.text("NextVersionIdMarker"))],
            )
        }),
        false => match root.text("NextContinuationToken") {
            "" => None,
            token => Some(view.at(view.prefix, &[("after", token)])),
        },
    };
    Ok(Listed { root, next })
}

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let view = View::of(call, &shown.deed.name);
    let listed = list(call, &view).await?;
    let empty = listed.prefixes().next().is_none() && listed.rows().next().is_none();
    let is_first = call.query.some("after").is_none();
    let body = html! {
        (tabs(call, view.bucket, Tab::Objects))
        (replica_note(call, &shown))
        (bar(call, &view))
        (drop_zone(call, &view))
        @if empty && is_first && view.prefix.is_empty() {
            (parts::empty(&call.t("This bucket is empty."), &how(call, view.bucket)))
        } @else if empty {
            p.lead { (call.t("No key begins so.")) }
        } @else {
            (chosen(call, &view, &listed))
        }
        @if let Some(next) = &listed.next {
            p.more {
                a.button rel="next" href=(next) { (call.t("Next page")) }
                span.hint { (call.t("There are more.")) }
            }
        }
    };
    let actions = html! {
        label.button.primary.pick hidden { (call.t("Upload files"))
            input.hide type="file" multiple data-upload; }
        label.button.pick hidden { (call.t("Upload a folder"))
            input.hide type="file" webkitdirectory data-upload; }
        @if !empty {
            (parts::button(call, Href::bucket(view.bucket, "/zip").as_str(),
                &[("folder", view.prefix), ("back", view.prefix)], "", &call.t("Download all as zip")))
        }
        @if shown.is_home && !empty {
            a.button href=(Href::bucket(view.bucket, "/bulk").with(&[("prefix", view.prefix)])) {
                (call.t("Copy, move or delete all"))
            }
        }
    };
    Page::new(view.bucket, body)
        .at(path(call, view.bucket, view.prefix))
        .with(actions)
        .into()
}

/// The pages of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// Its objects.
    Objects,
    /// What holds for it.
    Rules,
    /// Who may do what with it.
    Policy,
    /// Where it is.
    Where,
    /// Uploads in parts that have not ended.
    Uploads,
}

/// The tabs of a bucket's pages.
pub fn tabs(call: &Call<'_>, bucket: &str, here: Tab) -> Markup {
    let (objects, rules, place) = (call.t("Objects"), call.t("Rules"), call.t("Where"));
    let (policy, uploads) = (call.t("Policy"), call.t("Unfinished uploads"));
    let all = [
        (&*objects, Href::bucket(bucket, ""), here == Tab::Objects),
        (&*rules, Href::bucket(bucket, "/rules"), here == Tab::Rules),
        (
            &*policy,
            Href::bucket(bucket, "/policy"),
            here == Tab::Policy,
        ),
        (&*place, Href::bucket(bucket, "/where"), here == Tab::Where),
        (
            &*uploads,
            Href::bucket(bucket, "/uploads"),
            here == Tab::Uploads,
        ),
    ];
    parts::tabs(call, &call.t("Bucket"), &all)
}

/// A replica may be behind.
fn replica_note(call: &Call<'_>, shown: &Shown) -> Markup {
    html! {
        @if !shown.is_home {
            (parts::note(Tone::Plain, &html! {
                p { (call.with(REPLICA, &[("home", &shown.deed.home)])) }
            }))
        }
    }
}

const REPLICA: &str = "This region has a replica, which can be a moment behind the home, region \
                       {home}.";

fn bar(call: &Call<'_>, view: &View<'_>) -> Markup {
    html! {
        form.bar method="get" action=(Href::bucket(view.bucket, "")) role="search" {
            label.hide for="prefix" { (call.t("Keys that begin with")) }
            input #prefix name="prefix" value=(view.prefix) dir=[text::direction(view.prefix)] autocapitalize="none"
                placeholder=(call.t("Keys that begin with")) spellcheck="false" data-filter;
            label.check {
                input type="checkbox" name="flat" value="1" checked[view.flat];
                span { (call.t("without folders")) }
            }
            label.check {
                input type="checkbox" name="versions" value="1" checked[view.versions];
                span { (call.t("versions and deleted ones")) }
            }
            label.hide for="limit" { (call.t("Rows of a page")) }
            select #limit name="limit" {
                @for limit in LIMITS {
                    option value=(limit) selected[limit == view.limit] {
                        (call.count(("1 row", "{count} rows"), limit.parse().unwrap_or(0), &[]))
                    }
                }
            }
            button { (call.t("Show")) }
        }
    }
}

/// What the script for uploads needs; without it there is nothing to see.
fn drop_zone(call: &Call<'_>, view: &View<'_>) -> Markup {
    let route = Href::bucket(view.bucket, "/sign");
    html! {
        section #uploads .card hidden data-sign=(route) data-csrf=(call.token_text(route.as_str()))
            data-bucket=(view.bucket) data-prefix=(view.prefix)
            data-who=(call.caller.map_or("", |caller| caller.session.whose()))
            data-point=(call.words.language().separators.1)
            data-t-waiting=(call.t("waiting")) data-t-done=(call.t("done"))
            data-t-paused=(call.t("paused")) data-t-failed=(call.t("failed"))
            data-t-aborted=(call.t("aborted")) data-t-pause=(call.t("Pause"))
            data-t-go=(call.t("Go on")) data-t-abort=(call.t("Abort"))
            data-t-again=(call.t("Try again")) data-t-left=(call.t("{time} left"))
            data-t-total=(call.t("{done} of {all} files, {bytes} of {size}"))
            data-t-unfinished=(call.t("Unfinished: {name}. Choose the same file again to go on."))
            data-t-name=(call.t("A key has at most 1024 bytes."))
            data-t-session=(call.t("The session has ended, or it may not write here."))
            data-t-network=(call.t("The endpoint cannot be reached.")) {
            div.head {
                h2 { (call.t("Uploads")) }
                div.actions {
                    button.small type="button" data-pause { (call.t("Pause")) }
                    button.small type="button" data-abort { (call.t("Abort")) }
                    a.button.small data-reload hidden href=(view.at(view.prefix, &[])) {
                        (call.t("Show the new objects"))
                    }
                }
            }
            p data-total role="status" {}
            progress data-progress max="1" value="0" aria-label=(call.t("Uploads")) {}
            ul.uploads data-list {}
        }
        div.drop data-drop hidden { p { (call.t("Drop files and folders to upload them here")) } }
        script type="module" src=(call.console.assets.path("upload.js")) {}
    }
}

fn how(call: &Call<'_>, bucket: &str) -> Markup {
    let line = format!("aws s3 cp FILE s3://{bucket}/");
    html! {
        p { (call.t("Drop files or a folder on this page, or put the first object into it so:")) }
        pre { code { (line) } }
    }
}

/// The bucket and each part of the prefix.
pub fn path(call: &Call<'_>, bucket: &str, prefix: &str) -> Markup {
    let mut parts = Vec::new();
    let mut end = 0;
    for part in prefix.split_inclusive('/') {
        end += part.len();
        parts.push((part, prefix.get(..end).unwrap_or_default()));
    }
    html! {
        ol {
            li { a href="/" { (call.t("Buckets")) } }
            li { a href=(Href::bucket(bucket, "")) { (text::short(bucket)) } }
            @for (part, whole) in parts {
                li {
                    a href=(Href::bucket(bucket, "").with(&[("prefix", whole)])) {
                        (text::short(part))
                    }
                }
            }
        }
    }
}

/// The table in a form: what is ticked can be deleted.
fn chosen(call: &Call<'_>, view: &View<'_>, listed: &Listed) -> Markup {
    let route = Href::bucket(view.bucket, "/delete");
    let zip = Href::bucket(view.bucket, "/zip");
    html! {
        form method="post" action=(route) data-chosen {
            (call.token(route.as_str()))
            input type="hidden" name="back" value=(view.prefix);
            (parts::table(&call.t("Objects"), &rows(call, view, listed)))
            @if !view.versions {
                (call.token(zip.as_str()))
                p.more {
                    button.small formaction=(zip) data-count=(call.t("Download {count} chosen as zip")) {
                        (call.t("Download what is chosen as zip"))
                    }
                    button.danger.small data-count=(call.t("Delete {count} chosen")) {
                        (call.t("Delete what is chosen"))
                    }
                }
            }
        }
    }
}

fn rows(call: &Call<'_>, view: &View<'_>, listed: &Listed) -> Markup {
    html! {
        table.objects data-rows {
            thead {
                tr {
                    @if !view.versions {
                        th.tick scope="col" {
                            input type="checkbox" data-all aria-label=(call.t("Choose all rows")) hidden;
                            span.hide { (call.t("Choose")) }
                        }
                    }
                    th scope="col" { (call.t("Name")) }
                    th.right scope="col" { (call.t("Size")) }
                    th scope="col" { (call.t("Modified")) }
                    th scope="col" { @if view.versions { (call.t("Version")) } @else { (call.t("Class")) } }
                }
            }
            tbody {
                @for folder in listed.prefixes() { (folder_row(call, view, &folder)) }
                @for row in listed.rows() { (object_row(call, view, row)) }
            }
        }
    }
}

fn tick(call: &Call<'_>, view: &View<'_>, name: &str, value: &str) -> Markup {
    let label = call.with("Choose {name}", &[("name", &text::label(value))]);
    html! {
        @if !view.versions {
            td.tick { input type="checkbox" name=(name) value=(value) aria-label=(label); }
        }
    }
}

fn folder_row(call: &Call<'_>, view: &View<'_>, folder: &str) -> Markup {
    html! {
        tr {
            (tick(call, view, "folder", folder))
            th scope="row" {
                a.folder href=(view.at(folder, &[])) { (text::short(view.short(folder))) }
            }
            td.right {}
            td {}
            td { (call.t("folder")) }
        }
    }
}

fn object_row(call: &Call<'_>, view: &View<'_>, row: &Node) -> Markup {
    let key = decoded(row.text("Key"));
    let (id, marker) = (row.text("VersionId"), row.name == "DeleteMarker");
    let latest = row.text("IsLatest") == "true";
    let version = if view.versions && !latest && !marker {
        id
    } else {
        ""
    };
    let to = Href::bucket(view.bucket, "/o").with(&[("key", &key), ("version", version)]);
    html! {
        tr {
            (tick(call, view, "key", &key))
            th scope="row" { a.object href=(to) { (text::short(view.short(&key))) } }
            td.right { @if !marker { (number::bytes(row.text("Size").parse().unwrap_or(0))) } }
            td { (time::iso(row.text("LastModified"))) }
            @if view.versions {
                td {
                    (text::code(id)) " "
                    @if marker { (badge(Tone::Warn, &call.t("delete marker"))) " " }
                    @if latest { (badge(Tone::Good, &call.t("current"))) }
                }
            } @else {
                td { (row.text("StorageClass").to_lowercase()) }
            }
        }
    }
}
