//! Signing in.

use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page, Reply},
    routes::is_own,
    serve::{CHALLENGE_PATH, SESSION_PATH},
    ui::{
        href::Href,
        parts::{Tone, note},
    },
};

/// The page with the form. The fields have no names, so that no browser ever sends them: a script
/// signs with the secret and keeps nothing of it.
pub async fn show(call: &Call<'_>) -> Answer {
    let next = call.query.some("next").filter(|next| is_own(next));
    let next = next.unwrap_or("/");
    if call.caller.is_some() {
        return Ok(Reply::See(Href::to(next)));
    }
    let body = html! {
        noscript {
            (note(Tone::Warn, &html! { p { (call.t(NO_SCRIPT)) } }))
        }
        form #signin .stack method="post" action="/signin" autocomplete="on"
            data-challenge=(CHALLENGE_PATH) data-session=(SESSION_PATH) data-next=(next)
            data-insecure=(call.t(INSECURE)) data-broken=(call.t("The region does not answer.")) {
            div {
                label for="access" { (call.t("Access key")) }
                input #access type="text" autocomplete="username" autocapitalize="none"
                    spellcheck="false" required autofocus dir="ltr";
            }
            div {
                label for="secret" { (call.t("Secret key")) }
                input #secret type="password" autocomplete="current-password" required dir="ltr";
                p.hint { (call.t("It stays in this browser, which signs with it. The server never sees it.")) }
            }
            p #problem .note.bad role="alert" hidden {}
            button.primary { (call.t("Sign in")) }
        }
        (providers(call, next))
        script type="module" src=(call.console.assets.path("signin.js")) {}
    };
    Page::new(call.t("Sign in"), body).into()
}

/// A link for each identity provider. Signing in by a key stays: a provider may be away.
fn providers(call: &Call<'_>, next: &str) -> Markup {
    let providers = call.console.providers();
    html! {
        @if !providers.is_empty() {
            section.stack aria-label=(call.t("Single sign-on")) {
                p.hint { (call.t("Or by single sign-on:")) }
                @for one in providers {
                    @let to = Href::to("/signin/sso");
                    a.button href=(to.with(&[("provider", &one.name), ("next", next)])) {
                        (call.with("Sign in with {provider}", &[("provider", &one.name)]))
                    }
                }
            }
        }
    }
}

const NO_SCRIPT: &str = "Signing in with a key needs scripts: the browser signs with the secret, \
                         so that the secret is never sent. No form here sends it.";
const INSECURE: &str = "This browser signs only on https and on this machine itself. Open the \
                        console by https.";

/// What a browser without scripts sends, which is nothing.
pub async fn without_script(call: &Call<'_>) -> Answer {
    Err(Fault::Bad(call.t(NO_SCRIPT)))
}
