//! What holds for a bucket: versions, public access, its policy, pages of other origins. What this
//! version cannot set is named as such.

use access::policy::{Document, DocumentKind, PolicyError};
use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    pages::objects::{self, Tab},
    reply::{Answer, Page, Reply},
    s3::{Node, S3Ask},
    ui::{
        href::Href,
        parts::{self, Tone, badge, note},
        text,
    },
};

/// What a page shows in place of what is stored, after something in it was refused.
#[derive(Default)]
struct Draft {
    policy: Option<String>,
    /// What is wrong with it.
    problem: Option<Markup>,
    /// It is fine, and this is what it does.
    fine: Option<Markup>,
    /// The bucket's name has to be typed.
    confirm: bool,
    cors: Option<String>,
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
    let policy = policy(call, bucket, &draft).await;
    let cors = cors(call, bucket, &draft).await;
    // Whoever may see nothing of it is told so once.
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
        }
        (section(call, "Policy", "policy", policy))
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

/// Documents to start from.
fn templates(bucket: &str) -> [(&'static str, String); 3] {
    let document = |statement: &str| {
        format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{statement}\n  ]\n}}")
    };
    [
        (
            "Another account may read",
            document(&format!(
                "    {{\n      \"Effect\": \"Allow\",\n      \"Principal\": {{ \"AWS\": \
                 \"arn:aws:iam::123456789012:root\" }},\n      \"Action\": [\"s3:GetObject\", \
                 \"s3:ListBucket\"],\n      \"Resource\": [\n        \
                 \"arn:aws:s3:::{bucket}\",\n        \"arn:aws:s3:::{bucket}/*\"\n      ]\n    }}"
            )),
        ),
        (
            "Only encrypted connections",
            document(&format!(
                "    {{\n      \"Effect\": \"Deny\",\n      \"Principal\": \"*\",\n      \
                 \"Action\": \"s3:*\",\n      \"Resource\": [\n        \
                 \"arn:aws:s3:::{bucket}\",\n        \"arn:aws:s3:::{bucket}/*\"\n      ],\n      \
                 \"Condition\": {{ \"Bool\": {{ \"aws:SecureTransport\": \"false\" }} }}\n    }}"
            )),
        ),
        (
            "Everybody may read what is below public/",
            document(&format!(
                "    {{\n      \"Effect\": \"Allow\",\n      \"Principal\": \"*\",\n      \
                 \"Action\": \"s3:GetObject\",\n      \"Resource\": \
                 \"arn:aws:s3:::{bucket}/public/*\"\n    }}"
            )),
        ),
    ]
}

async fn policy(call: &Call<'_>, bucket: &str, draft: &Draft) -> Result<Markup, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("policy", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?;
    let there = answer.0.status().is_success();
    let stored = match there {
        true => pretty(answer.0.body()),
        false => String::new(),
    };
    let to = route(bucket, "policy");
    let shown = draft.policy.as_ref().unwrap_or(&stored);
    Ok(html! {
        p.hint { (call.t("Who may do what with the bucket, in the language of IAM. Without one only its account has access.")) }
        @if let Some(problem) = &draft.problem { (note(Tone::Bad, problem)) }
        @if let Some(fine) = &draft.fine { (note(Tone::Good, fine)) }
        form.stack.wide method="post" action=(to) {
            (call.token(to.as_str()))
            div {
                label for="document" { (call.t("Document")) }
                textarea #document name="policy" spellcheck="false" rows="16" dir="ltr"
                    aria-describedby="policy-hint" { (shown) }
                p.hint #policy-hint { (call.t("Empty: no policy.")) }
            }
            @if draft.confirm { (confirm(call, bucket)) }
            div.actions {
                button.primary name="do" value="save" { (call.t("Save the policy")) }
                button name="do" value="check" { (call.t("Check it")) }
            }
        }
        details {
            summary { (call.t("Examples to start from")) }
            @for (name, text) in templates(bucket) {
                h3 { (call.words.t(name)) }
                pre tabindex="0" { code dir="ltr" { (text) } }
            }
        }
    })
}

fn confirm(call: &Call<'_>, bucket: &str) -> Markup {
    html! {
        (note(Tone::Bad, &html! {
            p role="alert" { (call.t("This policy is public: everybody on the network may do what it allows.")) }
        }))
        div {
            label for="name" {
                (call.t("To confirm, type the name of the bucket:")) " " (text::code(bucket))
            }
            input #name name="name" autocomplete="off" autocapitalize="none" spellcheck="false";
        }
    }
}

/// The text of a document with line breaks; as it is stored if it has some.
fn pretty(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\n') {
        return text.into_owned();
    }
    let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let lines = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    lines.unwrap_or_else(|| text.into_owned())
}

/// What is wrong with a document, with the line itself.
fn wrong(call: &Call<'_>, document: &str, error: &PolicyError) -> Markup {
    let line = error
        .line()
        .and_then(|line| document.lines().nth(line.saturating_sub(1)));
    html! {
        p role="alert" { (text::name(&error.to_string())) }
        @if let (Some(line), Some(number)) = (line, error.line()) {
            pre.wrap { code dir="ltr" { (call.t("line")) " " (number) ": " (text::visible(line.trim())) } }
        }
    }
}

/// Checks a policy, or saves it.
pub async fn set_policy(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    // A browser sends other line ends than it was given.
    let document = call
        .form
        .get("policy")
        .unwrap_or_default()
        .replace("\r\n", "\n");
    let saves = call.form.get("do") == Some("save");
    if document.trim().is_empty() {
        if saves {
            let ask = S3Ask::bucket(&Method::DELETE, bucket).query("policy", "");
            call.s3(ask).await?;
        }
        return saved(bucket);
    }
    let mut draft = Draft::default();
    match Document::parse(&document, DocumentKind::Bucket(bucket)) {
        Err(error) => draft.problem = Some(wrong(call, &document, &error)),
        Ok(read) => {
            let public = read.is_public();
            if saves && (!public || call.form.get("name") == Some(bucket)) {
                match put(call, bucket, "policy", document.clone().into()).await {
                    Ok(()) => return saved(bucket),
                    Err(fault) => {
                        draft.problem =
                            Some(html! { p role="alert" { (parts::reason(call, &fault)) } });
                    }
                }
            } else if !saves {
                draft.fine = Some(html! { p role="status" { (call.t("It can be saved.")) } });
            }
            draft.confirm = public;
        }
    }
    draft.policy = Some(document);
    let status = if draft.fine.is_some() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let mut page = page(call, draft).await?;
    page.status = status;
    page.into()
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
        ..Draft::default()
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
