//! Choosing a language: for this browser, also where nobody is signed in.

use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Reply},
    routes::is_own,
    words::Words,
};

/// The cookie with the language that was chosen. It is no secret, and says nothing of anybody.
pub const COOKIE: &str = "__Host-dhow-language";
/// How long it is kept: the most that browsers allow is 400 days.
const KEPT_S: u32 = 34_560_000;

/// Keeps the choice, and goes back to the page.
pub async fn choose(call: &Call<'_>) -> Answer {
    let chosen = call.form.get("language").and_then(Words::named);
    let chosen = chosen.ok_or_else(|| Fault::Bad(call.t("There is no such language.")))?;
    let next = call.form.some("next").filter(|next| is_own(next));
    let lang = chosen.language().lang;
    let cookie =
        format!("{COOKIE}={lang}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={KEPT_S}");
    let mut answer = Response::new(bytes::Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let failed = |error: http::header::InvalidHeaderValue| Fault::Failed(error.to_string());
    let headers = answer.headers_mut();
    let next = HeaderValue::try_from(next.unwrap_or("/")).map_err(failed)?;
    headers.insert(header::LOCATION, next);
    let cookie = HeaderValue::try_from(cookie).map_err(failed)?;
    headers.insert(header::SET_COOKIE, cookie);
    Ok(Reply::Whole(answer))
}
