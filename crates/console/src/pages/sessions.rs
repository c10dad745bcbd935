//! The sessions of the key that is signed in: look at them, end them.

use maud::html;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use types::Timestamp;

use crate::{
    call::{Call, Caller},
    fault::Fault,
    reply::{Answer, Page, Reply},
    routes::is_own,
    session::{Look, Session},
    ui::{
        href::Href,
        parts::{self, Tone, badge},
        text, time,
    },
};

/// The list.
pub async fn show(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let now = call.console.clock.now().ms();
    let sessions = call.console.sessions_of(who);
    let idle = call.console.settings.idle_s / 60;
    let absolute = call.console.settings.absolute_s / 3600;
    let table = html! {
        table {
            thead {
                tr {
                    th scope="col" { (call.t("Browser")) }
                    th scope="col" { (call.t("Address")) }
                    th scope="col" { (call.t("Began")) }
                    th scope="col" { (call.t("Last used")) }
                    th scope="col" { (call.t("Ends at the latest")) }
                    th scope="col" { (call.t("Action")) }
                }
            }
            tbody {
                @for session in &sessions {
                    tr {
                        td.name {
                            (text::short(&session.agent)) " "
                            @if session.id == who.session.id {
                                (badge(Tone::Good, &call.t("this one")))
                            }
                        }
                        td { (text::code(&session.from.to_string())) }
                        td { (time::ms(session.begun_ms)) }
                        td { (call.with("{time} ago", &[("time", &time::ago(session.seen_ms, now))])) }
                        td { (time::ms(ends_ms(call, session))) }
                        td {
                            (parts::button(call, "/sessions/end", &[("id", &session.id)], "small",
                                &call.t("End")))
                        }
                    }
                }
            }
        }
    };
    let (idle, absolute) = (idle.to_string(), absolute.to_string());
    let body = html! {
        @if let Some(sts) = &who.session.sts {
            p { (call.with(ENDS, &[("time", &time::text(&Timestamp::from_ms(sts.ends_ms).iso8601()))])) }
        }
        p { (call.with(LIFE, &[("idle", &idle), ("absolute", &absolute)])) }
        (parts::table(&call.t("Sessions"), &table))
        @if sessions.len() > 1 {
            p {
                (parts::button(call, "/sessions/others", &[], "danger", &call.t("End all other sessions")))
            }
        }
    };
    Page::new(call.t("Sessions"), body).into()
}

const ENDS: &str = "You signed in by single sign-on. This session ends at {time} in any case, and \
                    earlier if its role is deleted. Sign in again then.";

const LIFE: &str = "These browsers are signed in with your access key at this region. A session \
                    ends after {idle} minutes without use, after {absolute} hours, when its key is \
                    disabled, and when the region restarts.";

/// When a session ends whatever is done with it.
fn ends_ms(call: &Call<'_>, session: &Session) -> u64 {
    let absolute = session.begun_ms + call.console.settings.absolute_s * 1000;
    let sts = session.sts.as_ref().map_or(u64::MAX, |sts| sts.ends_ms);
    absolute.min(sts)
}

/// Ends all own sessions but this one.
pub async fn end_others(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let mut others = call.console.sessions_of(who);
    others.retain(|other| other.id != who.session.id);
    for other in &others {
        call.console.sessions.end(&other.id);
    }
    if !others.is_empty() {
        note_end(call, who);
    }
    Ok(Reply::See(Href::to("/sessions")))
}

/// Ends one of the own sessions.
pub async fn end(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let id = call.form.get("id").unwrap_or_default();
    let own = call.console.sessions_of(who);
    if !own.iter().any(|session| session.id == id) {
        return Err(Fault::Missing(call.t("There is no such session.")));
    }
    call.console.sessions.end(id);
    note_end(call, who);
    match id == who.session.id {
        true => Ok(Reply::Whole(signed_out(call)?)),
        false => Ok(Reply::See(Href::to("/sessions"))),
    }
}

/// Ends this session, here and in the browser.
pub async fn sign_out(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    call.console.sessions.end(&who.session.id);
    note_end(call, who);
    Ok(Reply::Whole(signed_out(call)?))
}

fn note_end(call: &Call<'_>, who: &Caller) {
    let network = crate::brakes::network_text(call.from);
    let about = serde_json::json!({ "network": network });
    call.console.note_event("session.ended", who, about);
}

fn signed_out(call: &Call<'_>) -> Result<Response<bytes::Bytes>, Fault> {
    let name = call.console.cookie_name();
    let gone = format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    let failed = |error: http::header::InvalidHeaderValue| Fault::Failed(error.to_string());
    let gone = HeaderValue::try_from(gone).map_err(failed)?;
    let mut answer = Response::new(bytes::Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let headers = answer.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static("/signin"));
    headers.insert(header::SET_COOKIE, gone);
    let clear = HeaderName::from_static("clear-site-data");
    headers.insert(clear, HeaderValue::from_static("\"cache\", \"storage\""));
    Ok(answer)
}

/// Sets how pages look, for this session, and goes back to the page.
pub async fn look(call: &Call<'_>) -> Answer {
    let look = call.form.get("look").and_then(Look::named);
    let look = look.ok_or_else(|| Fault::Bad(call.t("There are no such colours.")))?;
    call.console
        .sessions
        .set_look(&call.who()?.session.id, look);
    let next = call.form.some("next").filter(|next| is_own(next));
    Ok(Reply::See(Href::to(next.unwrap_or("/"))))
}
