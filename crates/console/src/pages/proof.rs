//! Proof of where a bucket is: a file with what the log and every region have signed, which an
//! auditor checks without trust in the cloud. The same as `dhow residency prove`.

use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    pages::{
        objects::{self, Tab},
        value,
    },
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge, note},
        text, time,
    },
};

/// Entries of the history that are shown; the file has all.
const SHOWN_MAX: usize = 200;

/// What a proof is, and the form that makes one.
pub async fn show(call: &Call<'_>) -> Answer {
    let name = named(call)?;
    let body = html! {
        (objects::tabs(call, name, Tab::Where))
        p { (call.t(WHAT)) }
        ul {
            li { (call.t("how the bucket was placed since it was created, as the audit log has it;")) }
            li { (call.t("which regions there are, in which countries, and who runs them;")) }
            li { (call.t("what every region has signed that it holds of the bucket: how many versions, how many bytes.")) }
        }
        p { (call.t(OTHERS)) }
        (forms(call, name))
    };
    Page::new(call.t("Proof of residency"), body)
        .at(objects::path(call, name, ""))
        .into()
}

const WHAT: &str = "A proof is a file with which an auditor checks, without trust in this cloud, where \
                    the bucket is and that its placement allows that. It has";
const OTHERS: &str = "It names no other bucket and no other customer. Every region counts what it has: \
                      that takes a while for a large bucket.";

fn named<'c>(call: &'c Call<'_>) -> Result<&'c str, Fault> {
    let name = call.bucket.as_ref();
    let name = name.ok_or_else(|| Fault::Missing(call.t("There is no bucket of this name.")))?;
    Ok(name)
}

fn forms(call: &Call<'_>, name: &str) -> Markup {
    let (make, file) = (
        ["/b/", name, "/proof"].concat(),
        ["/b/", name, "/proof/file"].concat(),
    );
    html! {
        div.actions {
            (parts::button(call, &make, &[], "primary", &call.t("Make a proof and check it")))
            (parts::button(call, &file, &[], "", &call.t("Make a proof and save the file")))
        }
    }
}

async fn prove(call: &Call<'_>, name: &str) -> Result<Value, Fault> {
    let path = format!("buckets/{}/residency", access::sign::encode(name));
    call.admin(&Method::POST, &path, Some(&json!({}))).await
}

/// The file itself.
pub async fn file(call: &Call<'_>) -> Answer {
    let name = named(call)?;
    let proved = prove(call, name).await?;
    Ok(Reply::File {
        // A bucket's name has no character that means something in a header.
        name: [name, ".residency.json"].concat().into(),
        kind: "application/json",
        bytes: value::text(&proved, "file").as_bytes().to_vec(),
    })
}

/// Makes a proof, and shows what an auditor will find with it.
pub async fn make(call: &Call<'_>) -> Answer {
    let name = named(call)?;
    let proved = prove(call, name).await?;
    let file = value::text(&proved, "file");
    // The document is the first of its two lines; the last has its digest.
    let document = file.lines().next().unwrap_or_default();
    let bundle: Value = serde_json::from_str(document)
        .map_err(|error| Fault::Failed(format!("the proof cannot be read: {error}")))?;
    let body = html! {
        (objects::tabs(call, name, Tab::Where))
        (verdict(call, &proved))
        section {
            h2 { (call.t("What regions signed")) }
            (parts::table(&call.t("What regions signed"), &digests(call, &bundle)))
        }
        section {
            h2 { (call.t("History of its placement")) }
            (history(call, &bundle))
        }
        section.card {
            h2 { (call.t("To check the file on a machine of one's own")) }
            pre tabindex="0" { code dir="ltr" { "dhow residency verify " (name) ".residency.json --anchor FINGERPRINT" } }
            p.hint { (call.t(ANCHOR)) }
            (parts::facts(&[
                (&call.t("Signed by"), html! { span.hash { (text::code(key(&bundle))) } }),
                (&call.t("Size of the file"), number::bytes(file.len() as u64)),
            ]))
        }
        (forms(call, name))
    };
    Page::new(call.t("Proof of residency"), body)
        .at(objects::path(call, name, ""))
        .into()
}

const ANCHOR: &str = "The fingerprint of the key comes from the operator of the registry's region, on \
                      paper or by telephone (`dhow audit verify` prints it), and never from the file.";

fn key(bundle: &Value) -> &str {
    let checkpoint = bundle.get("checkpoint");
    checkpoint.map_or("", |checkpoint| value::text(checkpoint, "public_key"))
}

fn verdict(call: &Call<'_>, proved: &Value) -> Markup {
    let findings = value::texts(proved, "findings");
    let unanswered = proved.get("unanswered").and_then(Value::as_object);
    let unanswered: Vec<_> = unanswered.into_iter().flatten().collect();
    html! {
        @if findings.is_empty() && unanswered.is_empty() {
            (note(Tone::Good, &html! { p role="status" { (call.t(PROVEN)) } }))
        } @else {
            (note(Tone::Bad, &html! {
                p role="status" { (call.t("It is not proven. An auditor will find:")) }
                ul lang="en" {
                    @for (region, why) in &unanswered {
                        li {
                            (call.with("Region {region} did not answer:", &[("region", region)])) " "
                            (text::name(why.as_str().unwrap_or_default()))
                        }
                    }
                    @for finding in &findings { li { (text::name(finding)) } }
                }
            }))
        }
    }
}

const PROVEN: &str =
    "Proven: every region signed what it holds, and none is outside the placement.";

/// What of a digest is shown.
fn digests(call: &Call<'_>, bundle: &Value) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Region")) }
                    th.right scope="col" { (call.t("Versions")) }
                    th.right scope="col" { (call.t("Bytes")) }
                    th scope="col" { (call.t("Root of their hashes")) }
                }
            }
            tbody {
                @for one in value::list(bundle, "digests") {
                    tr {
                        th scope="row" { (text::code(value::text(one, "region"))) }
                        td.right { (number::grouped(value::number(one, "count"))) }
                        td.right { (number::bytes(value::number(one, "bytes"))) }
                        td { span.hash { (text::code(value::text(one, "root"))) } }
                    }
                }
            }
        }
    }
}

fn history(call: &Call<'_>, bundle: &Value) -> Markup {
    let entries = bundle
        .get("history")
        .map(|history| value::list(history, "entries"));
    let entries = entries.unwrap_or_default();
    let shown = entries.iter().rev().take(SHOWN_MAX);
    html! {
        @if entries.is_empty() { p { (call.t("There never was a bucket of this name.")) } }
        @else {
            (parts::table(&call.t("History of its placement"), &html! {
                table.many {
                    thead {
                        tr {
                            th scope="col" { (call.t("Time")) }
                            th scope="col" { (call.t("What")) }
                            th scope="col" { (call.t("Who")) }
                            th scope="col" { (call.t("Placement after it")) }
                        }
                    }
                    tbody { @for entry in shown { (entry_row(call, entry)) } }
                }
            }))
            @if entries.len() > SHOWN_MAX {
                p.hint {
                    (call.with("The last {shown} of {all}; the file has all.", &[
                        ("shown", &SHOWN_MAX.to_string()),
                        ("all", &number::grouped(entries.len() as u64)),
                    ]))
                }
            }
        }
    }
}

fn entry_row(call: &Call<'_>, entry: &Value) -> Markup {
    html! {
        tr {
            td { (time::ms(value::number(entry, "at_ms"))) }
            th scope="row" { (text::code(value::text(entry, "action"))) }
            td.name { (text::short(value::text(entry, "actor"))) }
            td { (after(call, value::text(entry, "detail"))) }
        }
    }
}

/// The regions that an entry's record of the bucket names.
fn after(call: &Call<'_>, detail: &str) -> Markup {
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    let home = value::text(&detail, "home");
    html! {
        @if home.is_empty() { "\u{2013}" }
        @else {
            (badge(Tone::Good, &call.t("home"))) " " (text::code(home))
            @for replica in value::list(&detail, "replicas") {
                " " (badge(Tone::Plain, &call.t("replica")))
                " " (text::code(value::text(replica, "region")))
            }
        }
    }
}

/// The way to this page, on that of a bucket's placement.
pub fn link(call: &Call<'_>, name: &str) -> Markup {
    html! { a.button href=(Href::bucket(name, "/proof")) { (call.t("Proof")) } }
}
