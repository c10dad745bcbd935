//! Links by which anybody can read one object for a while.

use http::Method;
use maud::html;
use types::Timestamp;

use crate::{
    call::Call,
    fault::Fault,
    pages::objects,
    reply::{Answer, Page},
    shares::Share,
    ui::{
        href::Href,
        parts::{Tone, note},
        text, time,
    },
};

/// How long a link may work, in seconds.
const TERMS: [(&str, &str); 5] = [
    ("3600", "1 hour"),
    ("60", "1 minute"),
    ("86400", "1 day"),
    ("259200", "3 days"),
    ("604800", "7 days, the most that S3 allows"),
];

/// Asks for how long, and shows the link once it was asked for.
pub async fn show(call: &Call<'_>) -> Answer {
    page(call, None).await
}

/// Makes a link.
pub async fn make(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let key = super::delete::key_of(call)?;
    let term = call.form.get("seconds").unwrap_or_default();
    let known = TERMS.iter().any(|(seconds, _)| *seconds == term);
    let seconds: u64 = term.parse().ok().filter(|_| known).ok_or_else(|| {
        Fault::Bad(call.t("A link works for one of the times that the page offers."))
    })?;
    let version = call.form.some("version");
    super::object::may_read(call, (&shown.deed.name, key, version)).await?;
    let name = access::sign::encode(&text::file_name(key));
    let save = format!("attachment; filename*=UTF-8''{name}");
    let mut query = vec![("response-content-disposition", save.as_str())];
    query.extend(version.map(|version| ("versionId", version)));
    let url = call.presigned(&Method::GET, (&shown.deed.name, key), &query, seconds)?;
    tracing::info!(
        key = %call.who()?.key,
        bucket = %shown.deed.name,
        seconds,
        "the console made a link to an object"
    );
    let until = call.console.clock.now().ms() + seconds * 1000;
    // A link of a session of STS ends with it: no more is promised.
    let ends = call.who()?.session.sts.as_ref().map(|sts| sts.ends_ms);
    let until = Timestamp::from_ms(ends.map_or(until, |ends| until.min(ends)));
    note_share(call, &shown.deed.name, (key, version), until)?;
    // All regions read the audit log: the object has no name there.
    let about =
        serde_json::json!({ "bucket": &*shown.deed.name, "until": until.iso8601_seconds() });
    call.console.note_event("share.made", call.who()?, about);
    page(call, Some((url, until))).await
}

/// Keeps that the link was made, for the list of them.
fn note_share(
    call: &Call<'_>,
    bucket: &str,
    (key, version): (&str, Option<&str>),
    until: Timestamp,
) -> Result<(), Fault> {
    let (who, now) = (call.who()?, call.console.clock.now().ms());
    let share = Share {
        key: who.key.clone(),
        account: who.account.account_id(),
        proofs: who.session.proofs().clone(),
        whose: who.session.whose().to_owned(),
        bucket: bucket.to_owned(),
        object: key.to_owned(),
        version: version.map(str::to_owned),
        made_ms: now,
        until_ms: until.ms(),
    };
    call.console.shares.add(share, now);
    Ok(())
}

async fn page(call: &Call<'_>, made: Option<(String, Timestamp)>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let fields = if made.is_some() {
        &call.form
    } else {
        &call.query
    };
    let key = fields.some("key");
    let key = key.ok_or_else(|| Fault::Missing(call.t("The address names no key.")))?;
    let version = fields.get("version").unwrap_or_default();
    let named = Some(version).filter(|version| !version.is_empty());
    super::object::may_read(call, (bucket, key, named)).await?;
    let route = Href::bucket(bucket, "/share");
    let who = call.who()?;
    let body = html! {
        @if let Some((url, until)) = &made {
            (note(Tone::Good, &html! {
                p { (call.with("The link works until {time}.", &[("time", &time::text(&until.iso8601()))])) }
            }))
            div.stack {
                div {
                    label for="link" { (call.t("Link")) }
                    textarea #link .link readonly rows="5" dir="ltr" { (url) }
                }
                div.actions {
                    button.primary type="button" data-copy=(url) data-done=(call.t("Copied")) {
                        (call.t("Copy the link"))
                    }
                    a.button href=(Href::bucket(bucket, "/o").with(&[("key", key)])) {
                        (call.t("Back to the object"))
                    }
                    a.button href="/shares" { (call.t("All links")) }
                }
            }
        } @else {
            p { (call.t("Whoever has the link can download this object, and nothing else, without signing in.")) }
            p.hint { (call.with(ENDS, &[("key", &who.key)])) }
            @if let Some(sts) = &who.session.sts {
                @let ends = time::text(&Timestamp::from_ms(sts.ends_ms).iso8601());
                p.hint { (call.with(SESSION, &[("time", &ends)])) }
            }
            form.stack method="post" action=(route) {
                (call.token(route.as_str()))
                input type="hidden" name="key" value=(key);
                input type="hidden" name="version" value=(version);
                div {
                    label for="seconds" { (call.t("It works for")) }
                    select #seconds name="seconds" {
                        @for (seconds, name) in TERMS {
                            option value=(seconds) { (call.words.t(name)) }
                        }
                    }
                }
                div.actions { button.primary { (call.t("Make a link")) } }
            }
        }
    };
    let mut page = Page::new(call.t("Share"), body).at(objects::path(call, bucket, key));
    if made.is_none() {
        page = page.with(html! {});
    }
    page.into()
}

const SESSION: &str = "You signed in by single sign-on: a link that you make now works until {time} at \
                       most, when your session ends.";
const ENDS: &str = "A link cannot be taken back by itself: it ends with its time, when the object \
                    goes, or when the key {key} is disabled. It lets nobody do what that key may \
                    not do then.";
