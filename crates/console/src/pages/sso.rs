//! Single sign-on: sends a browser to an identity provider, and takes it back.
//!
//! Begun by a link and not by a form: browsers apply the policy for forms to all redirects that
//! follow, and a provider may redirect wherever it wants. Beginning changes nothing here. Whoever
//! is led to it by another site is asked first: else that site could have a session replaced.

use access::SessionToken;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use maud::html;
use types::{AccessKeyId, Timestamp};

use crate::{
    Api, Provider,
    call::Call,
    fault::Fault,
    fields::query,
    pages::{self, enter::ENDS},
    reply::{Answer, Page, Reply},
    routes::is_own,
    s3::{self, S3Answer},
    session::OfSts,
    sign_ins::How,
    sso::{self, Flow, NotOurs, Said},
    ui::href::Href,
};

/// Bytes of what STS answers.
const ANSWER_BYTES_MAX: usize = 64 << 10;

const STALE: &str = "This sign-in was not begun in this browser, or another one was begun after \
                     it, or it took more than ten minutes. Begin again.";
const AWAY: &str = "The identity provider does not answer as it should. Try again, or sign in \
                    with an access key.";
const LED: &str = "A link of another page led here. Go on if you want to sign in here yourself.";
const NOT_OURS: &str = "The identity provider sent a token that is not for this sign-in.";
const NO_ROLE: &str = "The identity provider names no role for you, so you may do nothing here.";

fn to_provider(call: &Call<'_>, location: &str, cookie: &str) -> Answer {
    let to = HeaderValue::try_from(location).map_err(|_| Fault::Busy(call.t(AWAY).into()))?;
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let headers = answer.headers_mut();
    headers.insert(header::LOCATION, to);
    headers.insert(header::SET_COOKIE, flow_cookie(call, cookie)?);
    Ok(Reply::Whole(answer))
}

/// The cookie of a flow: the browser sends it when the provider leads it back, so it is not of the
/// strict kind.
fn flow_cookie(call: &Call<'_>, value: &str) -> Result<HeaderValue, Fault> {
    let life = if value.is_empty() { 0 } else { 600 };
    let name = call.console.flow_cookie_name();
    let set = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={life}");
    HeaderValue::try_from(set).map_err(|error| Fault::Failed(error.to_string()))
}

/// Sends the browser to the provider.
pub async fn begin(call: &Call<'_>) -> Answer {
    let next = call.query.some("next").filter(|next| is_own(next));
    let next = next.unwrap_or("/");
    let console = call.console;
    let name = call.query.get("provider").unwrap_or_default();
    let nth = console.providers().iter().position(|one| one.name == name);
    let missing = || Fault::Missing(call.t("There is no such identity provider."));
    let nth = nth.ok_or_else(missing)?;
    let provider = &console.settings.providers[nth];
    if !call.from_own_page {
        return asked_first(call, name, next);
    }
    let found = console.backend.discover(nth).await.map_err(|error| {
        tracing::warn!(
            provider = provider.name,
            error = error.0,
            "no sign-in by it now"
        );
        Fault::Busy(call.t(AWAY).into())
    })?;
    let now = console.clock.now().ms();
    let flow = console
        .flows
        .begin(nth, next, &console.random_hex::<32>(), now);
    let asked = query(&[
        ("response_type", "code"),
        ("client_id", &provider.client_id),
        ("redirect_uri", &console.redirect_uri(provider)),
        ("scope", &provider.scopes.join(" ")),
        ("state", &flow.state),
        ("nonce", &flow.nonce),
        ("code_challenge", &flow.challenge()),
        ("code_challenge_method", "S256"),
    ]);
    let at = &found.authorization_endpoint;
    let mark = if at.contains('?') { "&" } else { "?" };
    to_provider(call, &[at, mark, &asked].concat(), &flow.cookie)
}

/// Asks whether the browser is to go to the provider.
fn asked_first(call: &Call<'_>, provider: &str, next: &str) -> Answer {
    let to = Href::to("/signin/sso").with(&[("provider", provider), ("next", next)]);
    let label = call.with("Sign in with {provider}", &[("provider", provider)]);
    let body = html! {
        p { (call.t(LED)) }
        p { (call.t(ENDS)) }
        p { a.button.primary href=(to) { (label) } }
    };
    Page::new(call.t("Single sign-on"), body).into()
}

/// A page that the browser asks for again by itself: nothing was looked at yet.
fn later(call: &Call<'_>, seconds: u64) -> Answer {
    let text = seconds.to_string();
    let why = "Too many attempts. Try again in {seconds} s.";
    let fault = Fault::Busy(call.with(why, &[("seconds", &text)]));
    let refresh = (
        HeaderName::from_static("refresh"),
        HeaderValue::from(seconds),
    );
    Ok(Reply::With(pages::fault::page(call, &fault), vec![refresh]))
}

/// Takes the browser back. Whatever comes of it, this sign-in is over.
pub async fn end(call: &Call<'_>) -> Answer {
    let mut headers = vec![(header::SET_COOKIE, flow_cookie(call, "")?)];
    let from = call.from;
    let flow = match returned(call) {
        Ok(flow) => flow,
        // Anybody can send a browser here: nobody is counted for it.
        Err(fault) => return Ok(Reply::With(pages::fault::page(call, &fault), headers)),
    };
    let now = call.console.clock.now().ms();
    if let Err(seconds) = call.console.brakes.visit(from, now) {
        return later(call, seconds);
    }
    if !call.console.flows.use_up(&flow, now) {
        let fault = Fault::Bad(call.t(STALE));
        return Ok(Reply::With(pages::fault::page(call, &fault), headers));
    }
    let page = match ended(call, flow).await {
        Ok((flow, cookie)) => {
            headers = vec![(header::SET_COOKIE, flow_cookie(call, &sso::done(&cookie))?)];
            let next = if is_own(&flow.next) { &*flow.next } else { "/" };
            let to = Href::to("/signin/done").with(&[("next", next)]);
            let refresh = HeaderValue::try_from(["0; url=", to.as_str()].concat());
            let refresh = refresh.map_err(|error| Fault::Failed(error.to_string()))?;
            headers.push((HeaderName::from_static("refresh"), refresh));
            go_on(call, &to)
        }
        Err(fault) => {
            call.console.note_refusal(from);
            tracing::info!(%from, ?fault, "a single sign-on was refused");
            pages::fault::page(call, &fault)
        }
    };
    Ok(Reply::With(page, headers))
}

fn go_on(call: &Call<'_>, to: &Href) -> Page {
    let body = html! { p { a.button.primary href=(to) { (call.t("Continue")) } } };
    Page::new(call.t("You are signed in"), body)
}

/// Gives the browser its new session, and ends the one that it had. The strict cookie of that comes
/// with a request that a page of ours begins, and not with a redirect of what another site began.
pub async fn finish(call: &Call<'_>) -> Answer {
    let console = call.console;
    let next = call.query.some("next").filter(|next| is_own(next));
    let next = next.unwrap_or("/");
    if !call.from_own_page {
        let to = Href::to("/signin/done").with(&[("next", next)]);
        return go_on(call, &to).into();
    }
    let cookie = call.flow.and_then(sso::session_of);
    let now = console.clock.now().ms();
    let begun = cookie.and_then(|cookie| Some((cookie, console.sessions.of_cookie(cookie, now)?)));
    let (cookie, session) = begun.ok_or_else(|| Fault::Bad(call.t(STALE)))?;
    if let Some(old) = call.caller.filter(|old| old.session.id != session.id) {
        console.sessions.end(&old.session.id);
    }
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let to = HeaderValue::try_from(next).map_err(|error| Fault::Failed(error.to_string()))?;
    let headers = answer.headers_mut();
    headers.insert(header::LOCATION, to);
    headers.append(header::SET_COOKIE, flow_cookie(call, "")?);
    if let Some(set) = console.set_cookie(cookie) {
        headers.append(header::SET_COOKIE, set);
    }
    Ok(Reply::Whole(answer))
}

/// The sign-in that a browser comes back from, which began in the same browser.
fn returned(call: &Call<'_>) -> Result<Flow, Fault> {
    let stale = || Fault::Bad(call.t(STALE));
    let now = call.console.clock.now().ms();
    let state = call.query.get("state").unwrap_or_default();
    let cookie = call.flow.ok_or_else(stale)?;
    call.console.flows.end(cookie, state, now).ok_or_else(stale)
}

/// Who came back, with the cookie of their session.
async fn ended(call: &Call<'_>, flow: Flow) -> Result<(Flow, String), Fault> {
    let console = call.console;
    let stale = || Fault::Bad(call.t(STALE));
    let provider = console.providers().get(flow.nth).ok_or_else(stale)?;
    if !provider.sends_to(call.here) {
        return Err(Fault::Refused(call.t(NOT_OURS)));
    }
    let id_token = redeemed(call, &flow, provider).await?;
    let said = sso::read(&id_token, provider, &flow).map_err(|why| {
        Fault::Refused(match why {
            NotOurs::Token => call.t(NOT_OURS),
            NotOurs::NoRole => call.t(NO_ROLE),
        })
    })?;
    let cookie = assumed(call, provider, &said, &id_token).await?;
    Ok((flow, cookie))
}

/// The ID token for the code that came back.
async fn redeemed(call: &Call<'_>, flow: &Flow, provider: &Provider) -> Result<String, Fault> {
    let console = call.console;
    let away = |error: crate::Unanswered| {
        tracing::warn!(
            provider = provider.name,
            error = error.0,
            "a sign-in failed"
        );
        Fault::Busy(call.t(AWAY).into())
    };
    // An answer of another provider is none (RFC 9207).
    let found = console.backend.discover(flow.nth).await.map_err(away)?;
    let named = call.query.get("iss");
    if named.map_or(found.names_itself, |issuer| issuer != provider.issuer) {
        return Err(Fault::Refused(call.t(NOT_OURS)));
    }
    if let Some(error) = call.query.some("error") {
        let error = types::text::shown(error, 60).to_string();
        let why = "The identity provider did not sign you in: {error}";
        return Err(Fault::Refused(call.with(why, &[("error", &error)]).into()));
    }
    let code = call.query.some("code");
    let code = code.ok_or_else(|| Fault::Bad(call.t(STALE)))?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &*console.redirect_uri(provider)),
        ("code_verifier", &*flow.verifier),
    ];
    console.backend.redeem(flow.nth, &form).await.map_err(away)
}

/// A session of the first of the roles whose trust policy lets the person in; its cookie.
async fn assumed(
    call: &Call<'_>,
    provider: &Provider,
    said: &Said,
    id_token: &str,
) -> Result<String, Fault> {
    let mut refused = Fault::Refused(call.t(NO_ROLE));
    for role in &said.roles {
        match session_of(call, provider, (role, said), id_token).await {
            Ok((key, sts)) => return begun(call, (key, sts)),
            Err(why @ Fault::Refused(_)) => refused = why,
            Err(why) => return Err(why),
        }
    }
    Err(refused)
}

/// `AssumeRoleWithWebIdentity`, as any client would ask for it: STS verifies the token, and the
/// role's trust policy decides.
async fn session_of(
    call: &Call<'_>,
    provider: &Provider,
    (role, said): (&str, &Said),
    id_token: &str,
) -> Result<(AccessKeyId, OfSts), Fault> {
    let seconds = provider.seconds.map(|seconds| seconds.to_string());
    let mut form = vec![
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", &said.name),
        ("WebIdentityToken", id_token),
    ];
    form.extend(seconds.as_deref().map(|text| ("DurationSeconds", text)));
    let request = Request::builder()
        .method(Method::POST)
        .uri("/-/sts")
        .header(header::HOST, "127.0.0.1")
        .header(header::USER_AGENT, call.agent)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(query(&form)));
    let request = request.map_err(|error| Fault::Failed(error.to_string()))?;
    let asked = call
        .console
        .backend
        .ask(Api::S3, request, call.facts, ANSWER_BYTES_MAX);
    let answer = asked.await.map_err(|error| Fault::Failed(error.0))?;
    if !answer.status().is_success() {
        return Err(s3::fault(call, &answer));
    }
    let root = S3Answer(answer).xml()?;
    let result = root.child("AssumeRoleWithWebIdentityResult");
    let made = result.and_then(|result| result.child("Credentials"));
    let made = made.ok_or_else(|| Fault::Failed("STS gave no credentials".into()))?;
    let expires = Timestamp::parse_iso8601(made.text("Expiration"));
    let expires = expires.ok_or_else(|| Fault::Failed("STS gave no end of a session".into()))?;
    let sts = OfSts {
        token: SessionToken::new(made.text("SessionToken")),
        ends_ms: expires.ms(),
        person: [&*provider.issuer, " ", &*said.subject].concat(),
    };
    Ok((AccessKeyId::new(made.text("AccessKeyId")), sts))
}

fn begun(call: &Call<'_>, (key, sts): (AccessKeyId, OfSts)) -> Result<String, Fault> {
    let console = call.console;
    let held = (&key, Some(&sts.token));
    let account = console.identity(held);
    let account = account.and_then(|identity| identity.account().cloned());
    let account = account.ok_or_else(|| Fault::Refused(call.t(NO_ROLE)))?;
    let proofs = console.key_proofs(held);
    console.note_sign_in(How::Oidc, (&key, &account), call.from);
    tracing::info!(from = %call.from, %key, %account, "somebody signed in by single sign-on");
    Ok(console.begin((key, account, proofs), Some(sts), call.from, call.agent))
}
