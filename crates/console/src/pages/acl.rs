//! Access control lists, of a bucket and of an object: who is in them, in words, and forms that
//! change them where they count. A list that lets everybody in asks for the bucket's name.

use std::borrow::Cow;

use access::signature::sha256_hex;
use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    pages::objects,
    reply::{Answer, Page, Reply},
    s3::{Node, S3Ask},
    ui::{
        href::Href,
        parts::{self, Tone, badge, note},
        text,
    },
};

const EVERYBODY: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const ANY_KEY: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const ENFORCED: &str = "BucketOwnerEnforced";

/// Canned lists: name, what it does, whether it is public, and whether only for objects.
const CANNED: [(&str, &str, bool, bool); 6] = [
    ("private", "Only the owner's account", false, false),
    (
        "bucket-owner-read",
        "The owner, and the account of the bucket, which reads it",
        false,
        true,
    ),
    (
        "bucket-owner-full-control",
        "The owner, and the account of the bucket, which may do all of it",
        false,
        true,
    ),
    (
        "authenticated-read",
        "Whoever has a key of any account reads it",
        true,
        false,
    ),
    (
        "public-read",
        "Anyone on the internet reads it, without signing in",
        true,
        false,
    ),
    (
        "public-read-write",
        "Anyone on the internet reads it and writes into it, without signing in",
        true,
        false,
    ),
];

/// Permissions, with what each lets do with a bucket and with an object.
const PERMISSIONS: [(&str, &str, &str); 5] = [
    ("READ", "list keys, versions and uploads", "read the object"),
    (
        "WRITE",
        "put objects, and overwrite and delete its own",
        "nothing",
    ),
    ("READ_ACP", "read this list", "read this list"),
    ("WRITE_ACP", "replace this list", "replace this list"),
    ("FULL_CONTROL", "all of these", "all of these"),
];

/// What a list is of.
struct On<'c> {
    bucket: String,
    key: &'c str,
    version: Option<&'c str>,
}

impl<'c> On<'c> {
    fn named(call: &'c Call<'_>) -> Result<Self, Fault> {
        let given = |name| call.form.some(name).or_else(|| call.query.some(name));
        Ok(Self {
            bucket: call.shown()?.deed.name.to_string(),
            key: given("key").unwrap_or_default(),
            version: given("version"),
        })
    }

    fn ask(&self, method: &'static Method) -> S3Ask<'_> {
        S3Ask::object(method, &self.bucket, self.key)
            .query("acl", "")
            .maybe("versionId", self.version)
    }

    fn is_object(&self) -> bool {
        !self.key.is_empty()
    }

    fn here(&self) -> Href {
        let version = self.version.unwrap_or_default();
        Href::bucket(&self.bucket, "/acl").with(&[("key", self.key), ("version", version)])
    }

    fn hidden(&self) -> Markup {
        html! {
            input type="hidden" name="key" value=(self.key);
            input type="hidden" name="version" value=(self.version.unwrap_or_default());
        }
    }
}

/// One grant of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    /// A canonical id, or the URI of a group.
    to: String,
    permission: String,
}

impl Given {
    fn is_public(&self) -> bool {
        matches!(&*self.to, EVERYBODY | ANY_KEY)
    }

    fn xml(&self) -> String {
        let (kind, name) = match self.to.starts_with("http") {
            true => ("Group", "URI"),
            false => ("CanonicalUser", "ID"),
        };
        let (to, permission) = (escaped(&self.to), escaped(&self.permission));
        format!(
            "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:type=\"{kind}\"><{name}>{to}</{name}></Grantee>\
             <Permission>{permission}</Permission></Grant>"
        )
    }
}

fn escaped(value: &str) -> String {
    html! { (value) }.into_string()
}

/// A list, and a digest of it: what is changed is what was shown.
struct List {
    owner: String,
    grants: Vec<Given>,
    seen: String,
}

impl List {
    fn read(root: &Node) -> Self {
        let owner = root.child("Owner").map_or("", |owner| owner.text("ID"));
        let grants = root.members("AccessControlList").iter().map(|grant| {
            let to = grant.child("Grantee");
            let to = |name| to.map_or("", |to| to.text(name));
            Given {
                to: [to("ID"), to("URI")].concat(),
                permission: grant.text("Permission").to_owned(),
            }
        });
        let mut list = Self {
            owner: owner.to_owned(),
            grants: grants.collect(),
            seen: String::new(),
        };
        list.seen = String::from_utf8_lossy(&sha256_hex(list.xml().as_bytes())).into_owned();
        list
    }

    fn xml(&self) -> String {
        let grants: Vec<String> = self.grants.iter().map(Given::xml).collect();
        format!(
            "<AccessControlPolicy><Owner><ID>{}</ID></Owner><AccessControlList>{}\
             </AccessControlList></AccessControlPolicy>",
            escaped(&self.owner),
            grants.concat()
        )
    }

    async fn of(call: &Call<'_>, on: &On<'_>) -> Result<Self, Fault> {
        Ok(Self::read(&call.s3(on.ask(&Method::GET)).await?.xml()?))
    }

    /// The list of a form, if it still is what the form showed.
    async fn shown(call: &Call<'_>, on: &On<'_>) -> Result<Self, Fault> {
        let list = Self::of(call, on).await?;
        match call.form.get("seen") == Some(&*list.seen) {
            true => Ok(list),
            false => Err(Fault::Changed),
        }
    }
}

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    page(call, None).await?.into()
}

async fn page(call: &Call<'_>, problem: Option<&str>) -> Result<Page, Fault> {
    let on = On::named(call)?;
    let list = List::of(call, &on).await?;
    let enforced = ownership(call, &on.bucket).await == ENFORCED;
    let body = html! {
        (parts::saved(call))
        @if let Some(problem) = problem {
            (note(Tone::Bad, &html! { p role="alert" { (problem) } }))
        }
        @if enforced {
            (note(Tone::Plain, &html! {
                p { (call.t(NO_LISTS)) }
                p {
                    a.button.small href=(Href::bucket(&on.bucket, "/rules").and_part("ownership")) {
                        (call.t("Who owns objects"))
                    }
                }
            }))
        }
        p { (call.t("Owner")) ": " (text::code(&list.owner)) }
        (parts::table(&call.t("Who is in the list"), &rows(call, &on, &list, enforced)))
        p.hint { (call.t(IGNORED)) }
        @if !enforced {
            div.cards { (canned(call, &on)) (grant(call, &on, &list)) }
        }
    };
    let title = call.t("Access control list");
    let page = Page::new(title, body).at(objects::path(call, &on.bucket, on.key));
    Ok(page)
}

const NO_LISTS: &str = "Lists do not count in this bucket: its account owns every object \
                        (BucketOwnerEnforced), and only policies say who else has access. Whoever \
                        may change who owns objects can turn lists on.";
const IGNORED: &str = "While the public access block ignores lists that let everybody in, such \
                       grants are not shown and do not count.";

/// The rule that holds; empty where it cannot be read.
async fn ownership(call: &Call<'_>, bucket: &str) -> String {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("ownershipControls", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await.and_then(|answer| answer.xml());
    let rule = answer.ok();
    let rule = rule.as_ref().and_then(|root| root.child("Rule"));
    rule.map_or("", |rule| rule.text("ObjectOwnership"))
        .to_owned()
}

fn who(call: &Call<'_>, list: &List, to: &str) -> Markup {
    html! {
        @match to {
            EVERYBODY => { (badge(Tone::Bad, &call.t("anyone on the internet, without signing in"))) }
            ANY_KEY => { (badge(Tone::Bad, &call.t("whoever has a key of any account"))) }
            owner if owner == list.owner => { (call.t("the owner's account")) }
            other => { (text::code(other)) }
        }
    }
}

fn may<'c>(call: &'c Call<'_>, on: &On<'_>, permission: &str) -> Cow<'c, str> {
    let found = PERMISSIONS.iter().find(|(name, ..)| *name == permission);
    match found {
        Some((_, _, object)) if on.is_object() => call.words.t(object),
        Some((_, bucket, _)) => call.words.t(bucket),
        None => call.t("nothing"),
    }
}

fn rows(call: &Call<'_>, on: &On<'_>, list: &List, enforced: bool) -> Markup {
    let route = Href::bucket(&on.bucket, "/acl/revoke");
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Who")) }
                    th scope="col" { (call.t("Permission")) }
                    th scope="col" { (call.t("May")) }
                    @if !enforced { th scope="col" { (call.t("Action")) } }
                }
            }
            tbody {
                @for one in &list.grants {
                    tr {
                        th scope="row" { (who(call, list, &one.to)) }
                        td { (text::code(&one.permission)) }
                        td.name { (may(call, on, &one.permission)) }
                        @if !enforced {
                            td {
                                (parts::button(call, route.as_str(), &[
                                    ("key", on.key), ("version", on.version.unwrap_or_default()),
                                    ("seen", &list.seen), ("to", &one.to),
                                    ("permission", &one.permission),
                                ], "small", &call.t("Take out")))
                            }
                        }
                    }
                }
                @if list.grants.is_empty() {
                    tr { td colspan="4" { (call.t("Nobody is in the list.")) } }
                }
            }
        }
    }
}

/// The field for the bucket's name, which lists that let everybody in ask for.
fn name_field(call: &Call<'_>, on: &On<'_>, id: &str) -> Markup {
    html! {
        div {
            label for=(id) { (call.t("Name of the bucket, if the list lets everybody in")) }
            input id=(id) name="name" autocomplete="off" autocapitalize="none" spellcheck="false"
                dir="ltr" placeholder=(on.bucket);
        }
    }
}

fn canned(call: &Call<'_>, on: &On<'_>) -> Markup {
    let route = Href::bucket(&on.bucket, "/acl");
    let offered = CANNED.iter().filter(|(name, _, _, objects)| {
        (on.is_object() || !objects) && !(on.is_object() && *name == "public-read-write")
    });
    html! {
        section.card {
            h2 { (call.t("Put another list in its place")) }
            form.stack method="post" action=(route) {
                (call.token(route.as_str()))
                (on.hidden())
                div {
                    @for (name, what, public, _) in offered {
                        label.check {
                            input type="radio" name="canned" value=(name) required
                                checked[call.form.get("canned") == Some(*name)];
                            span {
                                (call.words.t(what)) " "
                                @if *public { (badge(Tone::Warn, &call.t("public"))) }
                            }
                        }
                    }
                }
                (name_field(call, on, "name-canned"))
                div.actions { button { (call.t("Replace the list")) } }
            }
        }
    }
}

fn grant(call: &Call<'_>, on: &On<'_>, list: &List) -> Markup {
    let route = Href::bucket(&on.bucket, "/acl/grant");
    html! {
        section.card {
            h2 { (call.t("Put somebody into the list")) }
            form.stack method="post" action=(route) {
                (call.token(route.as_str()))
                (on.hidden())
                input type="hidden" name="seen" value=(list.seen);
                div {
                    label for="group" { (call.t("Who")) }
                    select #group name="group" {
                        option value="" { (call.t("the account with this canonical id")) }
                        option value=(ANY_KEY) { (call.t("whoever has a key of any account")) }
                        option value=(EVERYBODY) {
                            (call.t("anyone on the internet, without signing in"))
                        }
                    }
                }
                div {
                    label for="id" { (call.t("Canonical id")) }
                    input #id name="id" maxlength="64" autocomplete="off" autocapitalize="none"
                        spellcheck="false" dir="ltr" aria-describedby="id-hint"
                        value=(call.form.get("id").unwrap_or_default());
                    p.hint #id-hint { (call.t(CANONICAL)) }
                }
                div {
                    label for="permission" { (call.t("May")) }
                    select #permission name="permission" {
                        @for (name, bucket, object) in PERMISSIONS {
                            @if !(on.is_object() && name == "WRITE") {
                                option value=(name) {
                                    (call.words.t(if on.is_object() { object } else { bucket }))
                                }
                            }
                        }
                    }
                }
                (name_field(call, on, "name-grant"))
                div.actions { button { (call.t("Put into the list")) } }
            }
        }
    }
}

const CANONICAL: &str = "64 hexadecimal digits. The page Public access shows an account its own.";

/// Asks for the bucket's name where a list would let everybody in.
async fn unconfirmed(call: &Call<'_>, on: &On<'_>, public: bool) -> Result<Option<Page>, Fault> {
    if !public || call.form.get("name") == Some(&on.bucket) {
        return Ok(None);
    }
    let mut page = page(call, Some(&call.t(CONFIRM))).await?;
    page.status = StatusCode::BAD_REQUEST;
    Ok(Some(page))
}

const CONFIRM: &str = "This would let everybody in, also strangers. Type the name of the bucket \
                       to confirm it. Nothing was changed.";

/// Puts a canned list in place of the one that is there.
pub async fn replace(call: &Call<'_>) -> Answer {
    let on = On::named(call)?;
    let named = call.form.get("canned").unwrap_or_default();
    let known = CANNED.iter().find(|(name, ..)| *name == named);
    let (name, _, public, _) = known.ok_or_else(|| Fault::Bad(call.t("Nothing is chosen.")))?;
    if let Some(page) = unconfirmed(call, &on, *public).await? {
        return page.into();
    }
    let ask = on.ask(&Method::PUT).header("x-amz-acl", (*name).to_owned());
    call.s3(ask).await?;
    saved(&on)
}

/// Puts a grant into the list.
pub async fn add(call: &Call<'_>) -> Answer {
    let on = On::named(call)?;
    let to = call.form.some("group").or_else(|| call.form.some("id"));
    let given = Given {
        to: to.map(|to| to.trim().to_owned()).unwrap_or_default(),
        permission: call.form.get("permission").unwrap_or_default().to_owned(),
    };
    if given.to.is_empty() {
        return Err(Fault::Bad(call.t("Nothing is chosen.")));
    }
    if let Some(page) = unconfirmed(call, &on, given.is_public()).await? {
        return page.into();
    }
    let mut list = List::shown(call, &on).await?;
    list.grants.push(given);
    put(call, &on, &list).await
}

/// Takes a grant out of the list.
pub async fn revoke(call: &Call<'_>) -> Answer {
    let on = On::named(call)?;
    let mut list = List::shown(call, &on).await?;
    let (to, permission) = (call.form.get("to"), call.form.get("permission"));
    list.grants
        .retain(|one| Some(&*one.to) != to || Some(&*one.permission) != permission);
    put(call, &on, &list).await
}

async fn put(call: &Call<'_>, on: &On<'_>, list: &List) -> Answer {
    call.s3(on.ask(&Method::PUT).body(list.xml().into()))
        .await?;
    saved(on)
}

fn saved(on: &On<'_>) -> Answer {
    Ok(Reply::See(on.here().and(&[("saved", "1")])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_as_it_was_read() {
        let list = List {
            owner: "a".repeat(64),
            grants: vec![
                Given {
                    to: "<b>&".to_owned(),
                    permission: "READ".to_owned(),
                },
                Given {
                    to: EVERYBODY.to_owned(),
                    permission: "WRITE".to_owned(),
                },
            ],
            seen: String::new(),
        };
        let read = List::read(&Node::parse(list.xml().as_bytes()).unwrap());
        assert_eq!((&read.owner, &read.grants), (&list.owner, &list.grants));
        assert!(!read.grants[0].is_public() && read.grants[1].is_public());
        assert_ne!(read.seen, List::read(&Node::default()).seen);
    }
}
