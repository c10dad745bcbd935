//! Signing in by a link of the command line's. Opening it changes nothing: some programs open links
//! before people do, and others send links to people whom they want in their own account. So the
//! page says whose account it is, and a button signs in.

use http::{HeaderValue, Response, StatusCode, header};
use maud::html;

use crate::{
    call::Call,
    fault::Fault,
    links::Link,
    reply::{Answer, Page, Reply},
    serve::ENTER_PATH,
    sign_ins::How,
    ui::{
        parts::{Tone, facts, note},
        text,
    },
};

const GONE: &str = "This link was used already, or it is older than two minutes. Make another one \
                    with `dhow console login`.";
const ASKED: &str = "Sign in only if you ran `dhow console login` yourself just now. Whoever sent \
                     you this link otherwise wants you to work in an account that is theirs.";

/// Always said: a browser does not name its session where another site led it here.
pub const ENDS: &str = "If this browser is signed in already, that session ends.";

/// Whom the link signs in, and the button.
pub async fn show(call: &Call<'_>) -> Answer {
    let code = call.query.get("code").unwrap_or_default();
    let now = call.console.clock.now().ms();
    let gone = || Fault::Missing(call.t(GONE));
    let link = call.console.links.look(code, now);
    let link = link
        .filter(|link| call.console.is_still(link))
        .ok_or_else(gone)?;
    let registry = call.console.backend.registry();
    let account = registry.account(&link.account).ok_or_else(gone)?;
    let body = html! {
        (facts(&[
            (&call.t("Account"), text::name(&account.name)),
            (&call.t("Access key"), text::code(&link.key)),
        ]))
        (note(Tone::Warn, &html! { p { (call.t(ASKED)) } }))
        p { (call.t(ENDS)) }
        form.stack method="post" action=(ENTER_PATH) {
            input type="hidden" name="code" value=(code);
            button.primary { (call.t("Sign in")) }
        }
    };
    Page::new(call.t("Sign in"), body).into()
}

/// Signs in. The form has no token, since nobody may be signed in yet; only a page of this console
/// can send it, and only the code says who comes in.
pub async fn enter(call: &Call<'_>) -> Answer {
    let code = call.form.get("code").unwrap_or_default();
    let now = call.console.clock.now().ms();
    let gone = || Fault::Missing(call.t(GONE));
    let link = call.console.links.take(code, now).ok_or_else(gone)?;
    if !call.console.is_still(&link) {
        return Err(gone());
    }
    let Link {
        key,
        account,
        proofs,
    } = link;
    if let Some(caller) = call.caller {
        call.console.sessions.end(&caller.session.id);
    }
    tracing::info!(from = %call.from, %key, "somebody signed in to the console by a link");
    call.console
        .note_sign_in(How::Link, (&key, &account), call.from);
    let cookie = call
        .console
        .begin((key, account, proofs), None, call.from, call.agent);
    let mut answer = Response::new(bytes::Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let headers = answer.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static("/"));
    if let Some(set) = call.console.set_cookie(&cookie) {
        headers.insert(header::SET_COOKIE, set);
    }
    Ok(Reply::Whole(answer))
}
