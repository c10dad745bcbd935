//! What holds for a bucket: versions, public access, its policy, pages of other origins. What this
//! version cannot set is named as such.

use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    pages::{
        editor,
        objects::{self, Tab},
    },
    reply::{Answer, Page, Reply},
    s3::{Node, S3Ask},
    ui::{
        href::Href,
        parts::{self, Tone, badge, note},
    },
};

/// What a page shows in place of what is stored, after something in it was refused.
#[derive(Default)]
struct Draft {
    cors: Option<String>,
    /// What is wrong with it.
    cors_problem: Option<Markup>,
}

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    page(call, Draft::default()).await?.into()
}

async fn page(call: &Call<'_>, draft: Draft) -> Result<Page, Fault> {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let saved = call.query.some("saved").is_some();
    let versions = versioning(call, bucket).await;
    let public = block(call, bucket).await;
    let policy = policy(call, bucket).await;
    let cors = cors(call, bucket, &draft).await;
    // Whoever may see nothing of it reads that once.
    if let (Err(why @ Fault::Refused(_)), Err(_), Err(_), Err(_)) =
        (&versions, &public, &policy, &cors)
    {
        return Err(why.clone());
    }
    let body = html! {
        (objects::tabs(call, bucket, Tab::Rules))
        @if saved { (note(Tone::Good, &html! { p role="status" { (call.t("Saved.")) } })) }
        div.cards {
            (section(call, "Versions", "versions", versions))
            (section(call, "Public access", "public", public))
            (section(call, "Policy", "policy", policy))
        }
        (section(call, "Pages of other origins (CORS)", "cors", cors))
        (section(call, "Not in this version", "later", Ok(later(call))))
    };
    let page = Page::new(bucket, body);
    Ok(page.at(objects::path(call, bucket, "")))
}

fn section(call: &Call<'_>, name: &'static str, id: &str, body: Result<Markup, Fault>) -> Markup {
    html! {
        section.card id=(id) {
            h2 { (call.t(name)) }
            (parts::or_why(call, body))
        }
    }
}

fn route(bucket: &str, what: &str) -> Href {
    Href::bucket(bucket, &["/rules/", what].concat())
}

fn saved(bucket: &str) -> Answer {
    Ok(Reply::See(
        Href::bucket(bucket, "/rules").with(&[("saved", "1")]),
    ))
}

async fn versioning(call: &Call<'_>, bucket: &str) -> Result<Markup, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket).query("versioning", "");
    let answer = call.s3(ask).await?.xml()?;
    let status = answer.text("Status");
    let to = route(bucket, "versioning");
    Ok(html! {
        @match status {
            "Enabled" => {
                p { (badge(Tone::Good, &call.t("kept"))) " "
                    (call.t("What is overwritten or deleted stays as a version.")) }
                (parts::button(call, to.as_str(), &[("status", "Suspended")], "",
                    &call.t("Keep no new versions")))
            }
            _ => {
                p { (badge(Tone::Warn, &call.t("not kept"))) " "
                    (call.t("What is overwritten or deleted is gone.")) }
                (parts::button(call, to.as_str(), &[("status", "Enabled")], "primary",
                    &call.t("Keep versions")))
            }
        }
    })
}

/// Switches versions.
pub async fn set_versioning(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let status = call.form.get("status").unwrap_or_default();
    if !matches!(status, "Enabled" | "Suspended") {
        return Err(Fault::Bad(call.t("There is no such state.")));
    }
    let body =
        format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    put(call, &shown.deed.name, "versioning", body.into()).await?;
    saved(&shown.deed.name)
}

async fn put(call: &Call<'_>, bucket: &str, what: &str, body: bytes::Bytes) -> Result<(), Fault> {
    let ask = S3Ask::bucket(&Method::PUT, bucket)
        .query(what, "")
        .body(body);
    call.s3(ask).await.map(drop)
}

/// The four switches, with what each does.
const BLOCK: [(&str, &str); 4] = [
    (
        "BlockPublicPolicy",
        "Refuse a policy that lets everybody in",
    ),
    (
        "RestrictPublicBuckets",
        "While the policy is public, keep other accounts out",
    ),
    ("BlockPublicAcls", "Refuse ACLs that let everybody in"),
    ("IgnorePublicAcls", "Ignore ACLs that let everybody in"),
];

async fn block(call: &Call<'_>, bucket: &str) -> Result<Markup, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("publicAccessBlock", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?.xml()?;
    let to = route(bucket, "public");
    let all = BLOCK.iter().all(|(name, _)| answer.text(name) == "true");
    Ok(html! {
        p {
            @if all { (badge(Tone::Good, &call.t("all blocked"))) }
            @else { (badge(Tone::Warn, &call.t("not all blocked"))) }
        }
        form.stack method="post" action=(to) {
            (call.token(to.as_str()))
            div {
                @for (name, what) in BLOCK {
                    label.check {
                        input type="checkbox" name=(name) value="true"
                            checked[answer.text(name) == "true"];
                        span { (call.words.t(what)) }
                    }
                }
            }
            div.actions { button { (call.t("Save public access")) } }
        }
    })
}

/// Saves the switches.
pub async fn set_block(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let mut body = String::from("<PublicAccessBlockConfiguration>");
    for (name, _) in BLOCK {
        let on = call.form.get(name) == Some("true");
        body.push_str(&format!("<{name}>{on}</{name}>"));
    }
    body.push_str("</PublicAccessBlockConfiguration>");
    put(call, &shown.deed.name, "publicAccessBlock", body.into()).await?;
    saved(&shown.deed.name)
}

async fn policy(call: &Call<'_>, bucket: &str) -> Result<Markup, Fault> {
    let there = editor::of_bucket(call, bucket).await?.is_some();
    Ok(html! {
        p {
            @if there { (badge(Tone::Plain, &call.t("set"))) " "
                (call.t("It says who may do what with the bucket.")) }
            @else { (badge(Tone::Plain, &call.t("none"))) " "
                (call.t("Only the account of the bucket has access, and whom its lists name.")) }
        }
        p { a.button href=(Href::bucket(bucket, "/policy")) { (call.t("Open the policy editor")) } }
    })
}

async fn cors(call: &Call<'_>, bucket: &str, draft: &Draft) -> Result<Markup, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("cors", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?;
    let stored = match answer.0.status().is_success() {
        true => indented(&answer.xml()?),
        false => String::new(),
    };
    let to = route(bucket, "cors");
    let shown = draft.cors.as_ref().unwrap_or(&stored);
    Ok(html! {
        p.hint { (call.t("Which pages may use the bucket from a browser. This console needs no rule.")) }
        @if let Some(problem) = &draft.cors_problem { (note(Tone::Bad, problem)) }
        form.stack.wide method="post" action=(to) {
            (call.token(to.as_str()))
            div {
                label for="rules" { (call.t("Rules")) }
                textarea #rules name="cors" spellcheck="false" rows="10" dir="ltr"
                    aria-describedby="cors-hint" { (shown) }
                p.hint #cors-hint { (call.t("XML, as PutBucketCors takes it. Empty: no page.")) }
            }
            div.actions { button { (call.t("Save the rules")) } }
        }
        details {
            summary { (call.t("An example to start from")) }
            pre tabindex="0" { code dir="ltr" { (CORS_EXAMPLE) } }
        }
    })
}

const CORS_EXAMPLE: &str = "<CORSConfiguration>
  <CORSRule>
    <AllowedOrigin>https://www.example.com</AllowedOrigin>
    <AllowedMethod>GET</AllowedMethod>
    <AllowedMethod>PUT</AllowedMethod>
    <AllowedHeader>*</AllowedHeader>
    <ExposeHeader>ETag</ExposeHeader>
    <MaxAgeSeconds>3600</MaxAgeSeconds>
  </CORSRule>
</CORSConfiguration>";

/// A document as text, each element on a line.
fn indented(root: &Node) -> String {
    fn write(node: &Node, depth: usize, out: &mut String) {
        let space = "  ".repeat(depth);
        let name = &node.name;
        if node.children().is_empty() {
            let text = html! { (node.own()) }.into_string();
            out.push_str(&format!("{space}<{name}>{text}</{name}>\n"));
            return;
        }
        out.push_str(&format!("{space}<{name}>\n"));
        for child in node.children() {
            write(child, depth + 1, out);
        }
        out.push_str(&format!("{space}</{name}>\n"));
    }
    let mut out = String::new();
    write(root, 0, &mut out);
    out
}

/// Saves the rules, or takes them away.
pub async fn set_cors(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let document = call
        .form
        .get("cors")
        .unwrap_or_default()
        .replace("\r\n", "\n");
    let done = match document.trim().is_empty() {
        true => {
            let ask = S3Ask::bucket(&Method::DELETE, bucket).query("cors", "");
            call.s3(ask).await.map(drop)
        }
        false => put(call, bucket, "cors", document.trim().to_owned().into()).await,
    };
    let Err(fault) = done else {
        return saved(bucket);
    };
    let draft = Draft {
        cors: Some(document),
        cors_problem: Some(html! { p role="alert" { (parts::reason(call, &fault)) } }),
    };
    let mut page = page(call, draft).await?;
    page.status = StatusCode::BAD_REQUEST;
    page.into()
}

/// What nobody can set yet.
const LATER: [(&str, &str); 5] = [
    ("Lifecycle", "Objects stay until they are deleted."),
    ("Object Lock", "Nothing keeps a version from being deleted."),
    (
        "Encryption",
        "What a region stores is not encrypted, unless its replica is sealed.",
    ),
    ("Notifications", "No events are sent."),
    ("Quota", "A bucket has no limit of its own."),
];

fn later(call: &Call<'_>) -> Markup {
    html! {
        dl.facts {
            @for (name, what) in LATER {
                div { dt { (call.words.t(name)) } dd { (call.words.t(what)) } }
            }
        }
    }
}
