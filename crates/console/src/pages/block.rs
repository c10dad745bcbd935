//! The public access block: what it is on a bucket, and the one of the account, which holds for all
//! of its buckets. What a switch refuses is said beside it.

use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page, Reply},
    s3::{Node, S3Ask},
    ui::{
        href::Href,
        parts::{self, Tone, badge, note},
        text,
    },
};

/// The four switches, with what each does.
const SWITCHES: [(&str, &str); 4] = [
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

/// Which switches are on, and the ticks that set them.
pub fn switches(call: &Call<'_>, on: impl Fn(&str) -> bool) -> Markup {
    let all = SWITCHES.iter().all(|(name, _)| on(name));
    html! {
        p {
            @if all { (badge(Tone::Good, &call.t("all blocked"))) }
            @else { (badge(Tone::Warn, &call.t("not all blocked"))) }
        }
        div {
            @for (name, what) in SWITCHES {
                label.check {
                    input type="checkbox" name=(name) value="true" checked[on(name)];
                    span { (call.words.t(what)) }
                }
            }
        }
    }
}

/// What the ticks of a form say, for S3.
pub fn document(call: &Call<'_>) -> String {
    let mut body = String::from("<PublicAccessBlockConfiguration>");
    for (name, _) in SWITCHES {
        let on = call.form.get(name) == Some("true");
        body.push_str(&format!("<{name}>{on}</{name}>"));
    }
    body.push_str("</PublicAccessBlockConfiguration>");
    body
}

/// Whether a bucket is public, by its policy or its list, in words.
pub async fn effect(call: &Call<'_>, bucket: &str) -> Markup {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("policyStatus", "")
        .or(StatusCode::NOT_FOUND);
    let status = call.s3(ask).await.and_then(|answer| answer.xml());
    html! {
        @match status {
            Ok(status) if status.text("IsPublic") == "true" => {
                (note(Tone::Bad, &html! { p { (call.t(PUBLIC)) } }))
            }
            Ok(_) => { p { (call.t(CLOSED)) } }
            // Who may not know it sees the switches, or why not.
            Err(_) => {}
        }
    }
}

const PUBLIC: &str = "This bucket is public: its policy or its list lets anyone on the internet \
                      in, without signing in.";
const CLOSED: &str = "This bucket is not public: only who has a key that its policy or its \
                      account allows gets in.";

/// The page of the account's block.
pub async fn show(call: &Call<'_>) -> Answer {
    page(call, false).await?.into()
}

async fn stored(call: &Call<'_>) -> Result<Node, Fault> {
    let account = call.who()?.account.account_id();
    let ask = S3Ask::account_block(&Method::GET, &account).or(StatusCode::NOT_FOUND);
    call.s3(ask).await?.xml()
}

/// `is_asked`: a switch is turned off by the form, which a tick has to confirm.
async fn page(call: &Call<'_>, is_asked: bool) -> Result<Page, Fault> {
    let stored = stored(call).await?;
    let on = |name: &str| match is_asked {
        true => call.form.get(name) == Some("true"),
        false => stored.text(name) == "true",
    };
    let owner = call
        .s3(S3Ask::new(&Method::GET).query("max-buckets", "1"))
        .await;
    let owner = owner.and_then(|answer| answer.xml()).ok();
    let canonical = owner.as_ref().and_then(|root| root.child("Owner"));
    let canonical = canonical.map_or("", |owner| owner.text("ID"));
    let body = html! {
        (parts::saved(call))
        @if is_asked {
            (note(Tone::Bad, &html! { p role="alert" { (call.t(UNSURE)) } }))
        }
        p { (call.t(ABOUT)) }
        section.card {
            form.stack method="post" action="/public" {
                (call.token("/public"))
                (switches(call, on))
                @if is_asked {
                    label.check {
                        input type="checkbox" name="sure" value="1" required;
                        span { (call.t("Buckets and objects may become public by this")) }
                    }
                }
                div.actions { button.primary { (call.t("Save public access")) } }
            }
        }
        p.hint { (call.t(NOTHING_CHANGES)) }
        @if !canonical.is_empty() {
            (parts::facts(&[
                (&call.t("Account"), text::code(&call.who()?.account.account_id())),
                (&call.t("Canonical id"), text::code(canonical)),
            ]))
            p.hint { (call.t(CANONICAL)) }
        }
    };
    let mut page = Page::new(call.t("Public access"), body);
    if is_asked {
        page.status = StatusCode::BAD_REQUEST;
    }
    Ok(page)
}

const ABOUT: &str =
    "What is ticked here is refused in all buckets of the account, whatever the buckets say.";
const UNSURE: &str = "You turn off what keeps buckets from being public. Where a bucket's own \
                      settings allow it, anyone on the internet can get in then. Nothing was \
                      saved.";
const NOTHING_CHANGES: &str = "No policy and no list is changed by this: when a switch is turned \
                               off, they count again.";
const CANONICAL: &str =
    "Other accounts put the canonical id into their lists of access to let this account in.";

/// Saves the account's block.
pub async fn save(call: &Call<'_>) -> Answer {
    let now = stored(call).await?;
    let ends = |name: &str| now.text(name) == "true" && call.form.get(name) != Some("true");
    let opens = SWITCHES.iter().any(|(name, _)| ends(name));
    if opens && call.form.some("sure").is_none() {
        return page(call, true).await?.into();
    }
    let account = call.who()?.account.account_id();
    let ask = S3Ask::account_block(&Method::PUT, &account)
        .body(document(call).into())
        .or(StatusCode::MISDIRECTED_REQUEST);
    let answer = call.s3(ask).await?;
    match answer.0.status() {
        StatusCode::MISDIRECTED_REQUEST => Err(call.elsewhere()),
        _ => Ok(Reply::See(Href::to("/public").with(&[("saved", "1")]))),
    }
}
