//! One editor for every policy: of a bucket, a user, a group, a role, a managed one, and who may
//! have a role. It is checked, what changes is shown, and then it is saved: only what was shown,
//! and only in place of what was there then.

mod diff;
mod pretty;
mod subject;
mod templates;

use access::{
    policy::{Document, PolicyError},
    sign::payload_sha256,
};
use http::{Method, StatusCode};
use maud::{Markup, html};

use self::subject::{Subject, param};
pub use self::{
    pretty::pretty,
    subject::{of_bucket, version_text},
};
use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page, Reply},
    s3::S3Ask,
    ui::{
        href::Href,
        parts::{self, Tone, badge, note},
        text,
    },
};

/// Lines of the editor, at least and at most, before it scrolls.
const ROWS: std::ops::RangeInclusive<usize> = 14..=34;
/// Lines around a mistake that are shown.
const AROUND: usize = 2;

/// The editor, with what is stored or with a policy to start from.
pub async fn show(call: &Call<'_>) -> Answer {
    let subject = Subject::of(call)?;
    let stored = subject.stored(call).await?;
    let start = call.query.some("start");
    let template = start.and_then(|start| {
        let mut all = templates::of(call, &subject).into_iter();
        all.find(|(id, ..)| *id == start).map(|(.., text)| text)
    });
    let text = template.or_else(|| stored.clone()).unwrap_or_default();
    editor(call, &subject, stored.is_some(), &text, None)
        .await
        .into()
}

/// The text of the form. A browser sends other line ends than it was given.
fn sent(call: &Call<'_>) -> String {
    let text = call.form.get("document").unwrap_or_default();
    text.replace("\r\n", "\n")
}

/// What a confirmation is about.
fn digest(stored: Option<&str>) -> String {
    match stored {
        Some(text) => payload_sha256(text.as_bytes()),
        None => "none".to_owned(),
    }
}

/// Whether what is stored is still what a preview was about.
fn is_as_seen(seen: &str, stored: Option<&str>) -> bool {
    seen == digest(stored) || types::planted("console-policy-preview-ignored")
}

fn hidden(call: &Call<'_>, subject: &Subject<'_>, route: &Href) -> Markup {
    let description = param(call, "description");
    html! {
        (call.token(route.as_str()))
        @for (name, value) in subject.fields() { input type="hidden" name=(name) value=(value); }
        @if let Some(description) = description {
            input type="hidden" name="description" value=(description);
        }
    }
}

async fn editor(
    call: &Call<'_>,
    subject: &Subject<'_>,
    is_there: bool,
    text: &str,
    problem: Option<Markup>,
) -> Page {
    let status = match (subject, &problem) {
        (Subject::Bucket(bucket), None) => Some(parts::or_why(call, in_effect(call, bucket).await)),
        _ => None,
    };
    let to = subject.route("/preview");
    let rows = (text.lines().count() + 1).clamp(*ROWS.start(), *ROWS.end());
    let wrong = problem.is_some();
    let body = html! {
        (subject.tabs(call))
        (parts::saved(call))
        p.hint { (subject.hint(call)) }
        @if let Some(status) = status { (status) }
        div.sides {
            form.stack method="post" action=(to) {
                (hidden(call, subject, &to))
                div {
                    label for="document" { (call.t("Document")) }
                    textarea #document name="document" spellcheck="false" wrap="off" rows=(rows) dir="ltr"
                        aria-describedby=(if wrong { "problem" } else { "document-hint" })
                        aria-invalid=[wrong.then_some("true")] required { (text) }
                    p.hint #document-hint {
                        (call.with("JSON, {bytes} bytes at most without white space. Nothing is saved yet.",
                            &[("bytes", &subject.kind().bytes_max().to_string())]))
                    }
                }
                div.actions {
                    button.primary { (call.t("Check it and show what changes")) }
                    @if !matches!(subject, Subject::Bucket(_)) {
                        a.button href=(subject.back()) { (call.t("Cancel")) }
                    }
                }
            }
            div.beside {
                @if let Some(problem) = problem { (problem) }
                (starts(call, subject))
                @if is_there && subject.can_go() { (deletion(call, subject)) }
            }
        }
    };
    Page::new(subject.title(call), body).at(subject.path(call))
}

/// The policies to start from, as links.
fn starts(call: &Call<'_>, subject: &Subject<'_>) -> Markup {
    let description = param(call, "description").unwrap_or_default();
    html! {
        section.card {
            h2 { (call.t("Start from")) }
            ul.plain-list {
                @for (id, name, _) in templates::of(call, subject) {
                    li {
                        a href=(subject.editor().and(&[("description", description), ("start", id)])) {
                            (call.words.t(name))
                        }
                    }
                }
            }
            p.hint { (call.t("It takes the place of what is in the editor. Put your own names where it has capitals.")) }
        }
    }
}

fn deletion(call: &Call<'_>, subject: &Subject<'_>) -> Markup {
    let to = subject.route("/delete");
    html! {
        form method="post" action=(to) {
            (hidden(call, subject, &to))
            button.danger { (call.t("Delete the policy")) }
        }
    }
}

/// What holds for the bucket now.
async fn in_effect(call: &Call<'_>, bucket: &str) -> Result<Markup, Fault> {
    Ok(match is_public(call, bucket).await? {
        None => html! { p { (badge(Tone::Plain, &call.t("no policy"))) " "
        (call.t("Only the account of the bucket has access, and whom its lists name.")) } },
        Some(true) => html! { p { (badge(Tone::Bad, &call.t("public"))) " "
        (call.t("Everybody on the network may do what the policy allows.")) } },
        Some(false) => html! { p { (badge(Tone::Good, &call.t("not public"))) " "
        (call.t("The policy lets in only those whom it names.")) } },
    })
}

/// Whether the policy of the bucket is public; `None` without a policy.
async fn is_public(call: &Call<'_>, bucket: &str) -> Result<Option<bool>, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("policyStatus", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?;
    match answer.0.status().is_success() {
        false => Ok(None),
        true => Ok(Some(answer.xml()?.text("IsPublic") == "true")),
    }
}

/// The text of a policy, to be read.
pub fn code(label: &str, text: &str) -> Markup {
    html! {
        pre tabindex="0" role="region" aria-label=(label) dir="ltr" { code {
            @for line in text.lines() { (text::visible_code(line)) "\n" }
        } }
    }
}

/// What is wrong with a document, and where: its lines, with a mark below the column.
fn wrong(call: &Call<'_>, document: &str, error: &PolicyError) -> Markup {
    let said = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.message()),
        None => error.message().to_owned(),
    };
    let place = error.line().zip(error.column());
    let body = html! {
        p role="alert" { (text::name(&said)) }
        @if let Some((line, column)) = place {
            p {
                strong { (call.with("Line {line}, column {column}",
                    &[("line", &line.to_string()), ("column", &column.to_string())])) }
                @if let Some(statement) = error.statement() {
                    ", " (call.with("in statement {number}", &[("number", &statement.to_string())]))
                }
            }
            (excerpt(call, document, line, column))
        }
    };
    html! { div #problem { (note(Tone::Bad, &body)) } }
}

fn excerpt(call: &Call<'_>, document: &str, line: usize, column: usize) -> Markup {
    let first = line.saturating_sub(AROUND).max(1);
    let shown = document.lines().enumerate().map(|(n, text)| (n + 1, text));
    let shown = shown.skip(first - 1).take(line + AROUND + 1 - first);
    let number = |n: usize| format!("{n:>4}  ");
    html! {
        pre.lines tabindex="0" role="region" aria-label=(call.t("Where the mistake is")) dir="ltr" {
            @for (n, text) in shown {
                span.here[n == line] { (number(n)) (text::visible_code(text)) }
                @if n == line {
                    span.here aria-hidden="true" { (" ".repeat(column + 5)) "^" }
                }
            }
        }
    }
}

/// A document that is fine, and what it would replace.
struct Plan<'a> {
    subject: &'a Subject<'a>,
    stored: Option<&'a str>,
    text: &'a str,
    read: &'a Document,
}

/// Checks a text, and shows what it changes.
pub async fn preview(call: &Call<'_>) -> Answer {
    let subject = Subject::of(call)?;
    let text = sent(call);
    let stored = subject.stored(call).await?;
    let is_there = stored.is_some();
    if call.form.get("do") == Some("edit") {
        return editor(call, &subject, is_there, &text, None).await.into();
    }
    match Document::parse(&text, subject.kind()) {
        Err(error) => refuse(call, &subject, is_there, (&text, &error)).await,
        Ok(read) => {
            let plan = Plan {
                subject: &subject,
                stored: stored.as_deref(),
                text: &text,
                read: &read,
            };
            changes(call, &plan, None).await.into()
        }
    }
}

async fn refuse(
    call: &Call<'_>,
    subject: &Subject<'_>,
    is_there: bool,
    (text, error): (&str, &PolicyError),
) -> Answer {
    let problem = wrong(call, text, error);
    let mut page = editor(call, subject, is_there, text, Some(problem)).await;
    page.status = StatusCode::BAD_REQUEST;
    page.into()
}

/// What is said above a preview, with the status of the page.
type Said = (Tone, Markup, StatusCode);

/// The preview. It carries the digest of what it would replace.
async fn changes(call: &Call<'_>, plan: &Plan<'_>, said: Option<Said>) -> Page {
    let subject = plan.subject;
    let (save, again) = (subject.route("/save"), subject.route("/preview"));
    let public = match subject {
        Subject::Bucket(bucket) => Some(openness(call, bucket, plan.read).await),
        _ => None,
    };
    let blocked = public.as_ref().is_some_and(|public| public.blocked);
    let opens = plan.read.is_public() && public.is_some();
    let same = plan.stored == Some(plan.text);
    let status = said.as_ref().map_or(StatusCode::OK, |(.., status)| *status);
    let body = html! {
        (subject.tabs(call))
        @if let Some((tone, said, _)) = &said { (note(*tone, said)) }
        @if let Some(public) = &public { (public.shown) }
        section.card {
            h2 { (call.t("What changes")) }
            @if same { p { (call.t("Nothing: it is the policy that counts now.")) } }
            @else { (diff::shown(call, plan.stored.unwrap_or_default(), plan.text)) }
        }
        @if !blocked && !same {
            form.stack method="post" action=(save) {
                (hidden(call, subject, &save))
                input type="hidden" name="document" value=(plan.text);
                input type="hidden" name="seen" value=(digest(plan.stored));
                @if let (Subject::Bucket(bucket), true) = (subject, opens) { (typed(call, bucket)) }
                div.actions { button.primary { (call.t("Save the policy")) } }
            }
        }
        form method="post" action=(again) {
            (hidden(call, subject, &again))
            input type="hidden" name="document" value=(plan.text);
            div.actions {
                button name="do" value="edit" { (call.t("Go on editing")) }
                a.button href=(subject.back()) { (call.t("Leave it as it was")) }
            }
        }
    };
    let mut page = Page::new(subject.title(call), body).at(subject.path(call));
    page.status = status;
    page
}

fn typed(call: &Call<'_>, bucket: &str) -> Markup {
    html! {
        div {
            label for="typed" {
                (call.t("To open it to everybody, type the name of the bucket:")) " " (text::code(bucket))
            }
            input #typed name="typed" required autocomplete="off" autocapitalize="none"
                spellcheck="false";
        }
    }
}

/// Whether a policy opens a bucket, and whether that is refused.
struct Openness {
    shown: Markup,
    blocked: bool,
}

async fn openness(call: &Call<'_>, bucket: &str, read: &Document) -> Openness {
    let then = read.is_public();
    let now = is_public(call, bucket).await;
    let block = blocks(call, bucket).await;
    let blocked = then && matches!(&block, Ok(Some(_)));
    let word = |public: bool| match public {
        true => badge(Tone::Bad, &call.t("public")),
        false => badge(Tone::Good, &call.t("not public")),
    };
    let now = match now {
        Ok(Some(public)) => word(public),
        Ok(None) => badge(Tone::Plain, &call.t("no policy")),
        Err(fault) => parts::reason(call, &fault),
    };
    let shown = html! {
        @if blocked {
            (note(Tone::Bad, &html! {
                p role="alert" { (call.t(BLOCKED)) }
                p { a href=(Href::bucket(bucket, "/rules").and_part("public")) {
                    (call.t("The switches of public access")) } }
            }))
        } @else if then {
            (note(Tone::Warn, &html! { p { (call.t(OPENS)) } }))
        }
        (parts::facts(&[
            (&call.t("Now"), now),
            (&call.t("After saving"), word(then)),
            (&call.t("Public access block"), match block {
                Ok(Some(by)) => html! { (call.t("refuses public policies")) " (" (by) ")" },
                Ok(None) => html! { (call.t("lets public policies be")) },
                Err(fault) => parts::reason(call, &fault),
            }),
        ]))
    };
    Openness { shown, blocked }
}

const BLOCKED: &str = "This policy is public, and the public access block refuses public policies. \
                       It cannot be saved so.";
const OPENS: &str = "This policy is public: everybody on the network may do what it allows, \
                     without a key.";

/// What refuses public policies of the bucket: the switches of the bucket, or of its account.
async fn blocks(call: &Call<'_>, bucket: &str) -> Result<Option<String>, Fault> {
    let who = call.who()?;
    let owns = access::is_owner(&who.account.account_id(), &call.shown()?.deed);
    if owns && who.account.block().is_some_and(|block| block.block_policy) {
        return Ok(Some(call.t("set for the account").into_owned()));
    }
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("publicAccessBlock", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?.xml()?;
    let on = answer.text("BlockPublicPolicy") == "true";
    Ok(on.then(|| call.t("set for the bucket").into_owned()))
}

/// Saves what was shown, if it still takes the place of what was there then.
pub async fn save(call: &Call<'_>) -> Answer {
    let subject = Subject::of(call)?;
    let text = sent(call);
    let stored = subject.stored(call).await?;
    let read = match Document::parse(&text, subject.kind()) {
        Ok(read) => read,
        Err(error) => return refuse(call, &subject, stored.is_some(), (&text, &error)).await,
    };
    let plan = Plan {
        subject: &subject,
        stored: stored.as_deref(),
        text: &text,
        read: &read,
    };
    let alert = |why: &str| html! { p role="alert" { (why) } };
    let seen = call.form.get("seen").unwrap_or_default();
    if !is_as_seen(seen, stored.as_deref()) {
        let said = (Tone::Warn, alert(&call.t(MOVED)), StatusCode::CONFLICT);
        return changes(call, &plan, Some(said)).await.into();
    }
    if let Subject::Bucket(bucket) = subject
        && read.is_public()
        && call.form.get("typed") != Some(bucket)
    {
        let said = (
            Tone::Bad,
            alert(&call.t(OTHER_NAME)),
            StatusCode::BAD_REQUEST,
        );
        return changes(call, &plan, Some(said)).await.into();
    }
    match subject.save(call, &text).await {
        Ok(to) => Ok(Reply::See(to)),
        Err(fault) => {
            let why = html! {
                p role="alert" { (call.t("Nothing was saved.")) " " (parts::reason(call, &fault)) }
            };
            let said = (Tone::Bad, why, fault.status());
            changes(call, &plan, Some(said)).await.into()
        }
    }
}

const MOVED: &str = "The policy has changed since you looked at it. Nothing was saved. This is what \
                     your text would change now.";
const OTHER_NAME: &str = "The name that you typed is not the bucket's. Nothing was saved.";

/// Asks whether a policy is to go, and deletes it if it is still the one that was shown.
pub async fn delete(call: &Call<'_>) -> Answer {
    let subject = Subject::of(call)?;
    let Some(stored) = subject.stored(call).await? else {
        return Err(Fault::Missing(call.t("There is no policy.")));
    };
    let seen = call.form.some("seen");
    let same = seen.is_some_and(|seen| is_as_seen(seen, Some(&stored)));
    if same && call.form.get("sure") == Some("1") {
        return Ok(Reply::See(subject.remove(call).await?));
    }
    let to = subject.route("/delete");
    let moved = seen.is_some() && !same;
    let body = html! {
        (subject.tabs(call))
        @if moved { (note(Tone::Warn, &html! { p role="alert" { (call.t(MOVED_DELETE)) } })) }
        (note(Tone::Bad, &html! { p { (call.t(GOES)) } }))
        (code(&call.t("Document"), &stored))
        form.stack method="post" action=(to) {
            (hidden(call, &subject, &to))
            input type="hidden" name="seen" value=(digest(Some(&stored)));
            label.check {
                input type="checkbox" name="sure" value="1" required;
                span { (call.t("Yes, delete this policy")) }
            }
            div.actions {
                button.danger { (call.t("Delete the policy")) }
                a.button href=(subject.editor()) { (call.t("Keep it")) }
            }
        }
    };
    let mut page = Page::new(subject.title(call), body).at(subject.path(call));
    if moved {
        page.status = StatusCode::CONFLICT;
    }
    page.into()
}

const GOES: &str = "What this policy allows and denies ends with the next request.";
const MOVED_DELETE: &str = "The policy has changed since you looked at it. Nothing was deleted.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_shown_is_replaced() {
        let of = |stored| digest(stored);
        assert!(is_as_seen(&of(Some("{}")), Some("{}")) && is_as_seen(&of(None), None));
        for (seen, now) in [
            (of(None), Some("{}")),
            (of(Some("{}")), None),
            (of(Some("{}")), Some("{ }")),
            (String::new(), None),
            (String::new(), Some("")),
        ] {
            assert!(!is_as_seen(&seen, now), "{seen} {now:?}");
        }
    }
}
