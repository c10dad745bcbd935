//! Rules of a bucket that are XML documents: which pages of other origins may use it, and what is
//! copied to other buckets.

use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    s3::{Node, S3Ask},
    ui::parts::{self, Tone, note},
};

/// A kind of them.
pub struct Document {
    /// Above it.
    pub title: &'static str,
    /// Its parameter in S3, and the last part of its route.
    what: &'static str,
    /// What it is for.
    about: &'static str,
    /// How it is written.
    form: &'static str,
    example: &'static str,
}

/// Pages of other origins.
pub static CORS: Document = Document {
    title: "Pages of other origins (CORS)",
    what: "cors",
    about: "Which pages may use the bucket from a browser. This console needs no rule.",
    form: "XML, as PutBucketCors takes it. Empty: no page.",
    example: CORS_EXAMPLE,
};

/// Copies in other buckets.
pub static REPLICATION: Document = Document {
    title: "Copies in other buckets (replication)",
    what: "replication",
    about: "What is written here is copied to other buckets of the account, which keep versions as \
            this one does. Replicas in other regions need no rule: Where has them.",
    form: "XML, as PutBucketReplication takes it. Empty: nothing is copied.",
    example: REPLICATION_EXAMPLE,
};

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

const REPLICATION_EXAMPLE: &str = "<ReplicationConfiguration>
  <Role>arn:aws:iam::1:role/any</Role>
  <Rule>
    <ID>logs</ID>
    <Priority>1</Priority>
    <Status>Enabled</Status>
    <Filter>
      <Prefix>logs/</Prefix>
    </Filter>
    <DeleteMarkerReplication>
      <Status>Disabled</Status>
    </DeleteMarkerReplication>
    <Destination>
      <Bucket>arn:aws:s3:::another-bucket</Bucket>
    </Destination>
  </Rule>
</ReplicationConfiguration>";

/// What a page shows in place of what is stored, after it was refused.
pub struct Draft {
    of: &'static str,
    text: String,
    problem: Markup,
}

/// The form with one of them.
pub async fn show(
    call: &Call<'_>,
    bucket: &str,
    (document, draft): (&'static Document, Option<&Draft>),
) -> Result<Markup, Fault> {
    let what = document.what;
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query(what, "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?;
    let stored = match answer.0.status().is_success() {
        true => indented(&answer.xml()?),
        false => String::new(),
    };
    let to = super::route(bucket, what);
    let draft = draft.filter(|draft| draft.of == what);
    let shown = draft.map_or(&stored, |draft| &draft.text);
    let (id, hint) = (["document-", what].concat(), ["hint-", what].concat());
    Ok(html! {
        p.hint { (call.words.t(document.about)) }
        @if let Some(draft) = draft { (note(Tone::Bad, &draft.problem)) }
        form.stack.wide method="post" action=(to) {
            (call.token(to.as_str()))
            div {
                label for=(id) { (call.t("Rules")) }
                textarea id=(id) name="document" spellcheck="false" rows="10" dir="ltr"
                    aria-describedby=(hint) { (shown) }
                p.hint id=(hint) { (call.words.t(document.form)) }
            }
            div.actions { button { (call.t("Save the rules")) } }
        }
        details {
            summary { (call.t("An example to start from")) }
            pre tabindex="0" { code dir="ltr" { (document.example) } }
        }
    })
}

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

/// Saves one, or takes it away. What is refused is shown again with the reason.
pub async fn save(call: &Call<'_>, bucket: &str, document: &'static Document) -> Option<Draft> {
    let text = call.form.get("document").unwrap_or_default();
    let text = text.replace("\r\n", "\n");
    let done = match text.trim().is_empty() {
        true => {
            let ask = S3Ask::bucket(&Method::DELETE, bucket).query(document.what, "");
            call.s3(ask).await.map(drop)
        }
        false => super::put(call, bucket, document.what, text.trim().to_owned().into()).await,
    };
    let fault = done.err()?;
    Some(Draft {
        of: document.what,
        text,
        problem: html! { p role="alert" { (parts::reason(call, &fault)) } },
    })
}
