//! The links to share that the caller has made here, and how to end them.

use futures_util::{StreamExt, stream};
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    pages::object,
    reply::{Answer, Page},
    shares::Share,
    ui::{href::Href, parts, text, time},
};

/// Links that are shown, and that are asked about at once.
const SHOWN_MAX: usize = 100;
const AT_ONCE: usize = 8;

/// The list.
pub async fn show(call: &Call<'_>) -> Answer {
    let all = own(call).await?;
    let body = html! {
        p { (call.t(ABOUT)) }
        @if all.is_empty() {
            (parts::empty(&call.t("No link that you made here works now."), &html! {
                p { (call.t("Open an object, and choose Share.")) }
            }))
        } @else {
            (parts::table(&call.t("Shares"), &rows(call, &all)))
        }
        section.card {
            h2 { (call.t("End a link")) }
            p { (call.with(END, &[("key", &call.who()?.key)])) }
        }
    };
    Page::new(call.t("Shares"), body).into()
}

const ABOUT: &str = "Whoever has such a link reads one object until its time is over. The links \
                     themselves are not kept. This list has what was made with your key in this \
                     region since it started; links of other programs cannot be listed: a link is \
                     a signature, which no region knows before it is used.";
const END: &str = "A link ends with its time, when its object is deleted, and when the key {key}, \
                   which signed it, is disabled or may not read the object any more. Disabling \
                   the key ends all of its links, and everything else that uses it.";

/// Links of the caller, to what this region may name now.
async fn own(call: &Call<'_>) -> Result<Vec<Share>, Fault> {
    let who = call.who()?;
    let session = &who.session;
    let fits = |one: &Share| {
        let same = session.sts.is_some() || session.shares(&one.proofs);
        same && one.account == who.account.account_id()
            && one.whose == session.whose()
            && call.console.is_held(&one.bucket)
    };
    let mut all = call.console.shares.of(fits, call.console.clock.now().ms());
    all.truncate(SHOWN_MAX);
    // What the key may not read any more, the link does not give either, nor is it named.
    let reads = all
        .iter()
        .map(|one| object::may_read(call, (&one.bucket, &one.object, one.version.as_deref())));
    let reads: Vec<_> = reads.collect();
    let read: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
    let works = all.into_iter().zip(read).filter(|(_, read)| read.is_ok());
    Ok(works.map(|(one, _)| one).collect())
}

fn rows(call: &Call<'_>, all: &[Share]) -> Markup {
    html! {
        table data-rows {
            thead {
                tr {
                    th scope="col" { (call.t("Name")) }
                    th scope="col" { (call.t("Bucket")) }
                    th scope="col" { (call.t("Made")) }
                    th scope="col" { (call.t("Works until")) }
                    th scope="col" { (call.t("Signed by")) }
                }
            }
            tbody {
                @for one in all {
                    @let version = one.version.as_deref().unwrap_or_default();
                    @let to = Href::bucket(&one.bucket, "/o")
                        .with(&[("key", &one.object), ("version", version)]);
                    tr {
                        th scope="row" { a.object href=(to) { (text::short(&one.object)) } }
                        td { (text::short(&one.bucket)) }
                        td { (time::ms(one.made_ms)) }
                        td { (time::ms(one.until_ms)) }
                        td { (text::code(&one.key)) }
                    }
                }
            }
        }
    }
}
