//! Before what is dangerous the key signs once more: whoever finds a browser that is signed in
//! closes no region with it. What was asked for is done once that is so.

use http::StatusCode;
use maud::html;

use crate::{
    call::Call,
    reply::{Answer, Page},
    serve::{CHALLENGE_PATH, PROVE_PATH},
    ui::parts::{Tone, note},
};

/// Asks for the key. The fields have no names, so that no browser sends the secret; the form that
/// was sent waits below, and a script sends it again.
pub fn show(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let path = call.route.path;
    let minutes = (call.console.settings.proof_s / 60).max(1).to_string();
    let body = html! {
        (note(Tone::Warn, &html! { p role="status" { (call.with(WHY, &[("minutes", &minutes)])) } }))
        noscript { p { (call.t(BY_LINK)) } }
        form #signin .stack method="post" action="/signin" autocomplete="on"
            data-challenge=(CHALLENGE_PATH) data-session=(PROVE_PATH) data-next="/"
            data-insecure=(call.t(BY_LINK)) data-broken=(call.t("The region does not answer.")) {
            div {
                label for="access" { (call.t("Access key")) }
                input #access type="text" autocomplete="username" readonly value=(&*who.key) dir="ltr";
            }
            div {
                label for="secret" { (call.t("Secret key")) }
                input #secret type="password" autocomplete="current-password" required autofocus
                    dir="ltr";
                p.hint { (call.t("It stays in this browser, which signs with it. The server never sees it.")) }
            }
            p #problem .note.bad role="alert" hidden {}
            button.primary { (call.t("Sign, and go on")) }
        }
        form data-after hidden method="post" action=(path) {
            (call.token(path))
            @for (name, value) in call.form.pairs() {
                @if name != "csrf" { input type="hidden" name=(name) value=(value); }
            }
        }
        script type="module" src=(call.console.assets.path("signin.js")) {}
    };
    let mut page = Page::new(call.t("Your key has to sign again"), body);
    page.status = StatusCode::FORBIDDEN;
    page.into()
}

const WHY: &str = "Nothing was done yet. What you asked for cannot be taken back, or stops others: it \
                   needs a signature of your key that is no older than {minutes} min.";
const BY_LINK: &str = "If this browser cannot sign, sign out and sign in anew: by `dhow console login`, \
                       or by https.";
