//! The one way that every request takes: host, asset, route, session, origin and token, grant,
//! page, headers.

use std::{net::SocketAddr, time::Duration};

use access::{RequestFacts, Transport};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use maud::Markup;
use serde_json::json;
use types::{BucketName, Deeds as _};

use crate::{
    Console, assets, base,
    call::{Call, Caller},
    fault::Fault,
    fields::Fields,
    links, pages,
    reply::{Answer, Body, Reply, finish, policy, reads_gzip, whole},
    routes::{Found, May, Route, find, is_dangerous, is_own},
    session::Session,
    signin::{NotSignedIn, day_of},
    ui::shell,
    words::Words,
};

/// Tokens of a form that are looked at.
const TOKENS_MAX: usize = 4;
/// The largest form.
const FORM_BYTES_MAX: usize = 64 << 10;
/// How long it may take to come.
const FORM_WAIT: Duration = Duration::from_secs(10);
/// Where a browser asks for a challenge.
pub const CHALLENGE_PATH: &str = "/-/challenge";
/// Where it sends what it signed.
pub const SESSION_PATH: &str = "/-/session";
/// Where a browser that is signed in sends what it signed once more.
pub const PROVE_PATH: &str = "/-/prove";
/// Where the command line sends what it signed, to get a link.
const LINK_PATH: &str = "/-/link";
/// The page of a link.
pub const ENTER_PATH: &str = "/enter";

/// One request as it came.
struct Came {
    parts: Parts,
    from: SocketAddr,
    facts: RequestFacts,
    tls: bool,
    id: String,
    words: Words,
}

impl Came {
    /// What the browser calls itself.
    fn agent(&self) -> &str {
        let agent = self.parts.headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        agent.unwrap_or_default()
    }

    /// Path and query.
    fn asked_for(&self) -> &str {
        let uri = &self.parts.uri;
        uri.path_and_query().map_or("/", |whole| whole.as_str())
    }
}

/// Answers that are longer are compressed elsewhere.
const LARGE: usize = 256 << 10;

impl Console {
    /// Answers one request of a browser, which came from `from` over a connection, or through a
    /// proxy that is trusted to say how the request reached it, as `facts` say.
    pub async fn answer(
        &self,
        from: SocketAddr,
        request: Request<Incoming>,
        facts: RequestFacts,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let base = &*self.settings.base;
        let uri = base::without(base, &parts.uri);
        let is_below = uri.is_some();
        parts.uri = uri.unwrap_or_default();
        let tls = facts
            .transport
            .is_some_and(|transport| transport != Transport::Clear);
        // Whose client it is does not know: all of a proxy's clients are one network then.
        let from = facts
            .source
            .map_or(from, |source| SocketAddr::new(source, from.port()));
        let gzips = reads_gzip(&parts.headers);
        let came = Came {
            from,
            facts,
            tls,
            id: self.random_hex::<8>(),
            words: words_of(&parts),
            parts,
        };
        let answer = match is_below {
            true => came.words.answering(self.act(&came, body, gzips)).await,
            false => self.not_below(&came),
        };
        let answer = base::leads(base, answer);
        let tls = came.tls;
        if answer.body().len() < LARGE {
            return finish(answer, (gzips, tls));
        }
        // Compressing it would keep a worker from the requests of S3.
        let finished = tokio::task::spawn_blocking(move || finish(answer, (gzips, tls)));
        finished.await.unwrap_or_else(|_| {
            let mut failed = Response::new(whole(Bytes::new()));
            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            failed
        })
    }

    /// What is not below the path of the console is none of it; the path itself, without a slash,
    /// leads to it.
    fn not_below(&self, came: &Came) -> Response<Bytes> {
        match self.is_host(&came.parts) {
            false => self.refuse(came, &Fault::Misdirected, None),
            true => see("/"),
        }
    }

    async fn act(&self, came: &Came, body: Incoming, gzips: bool) -> Response<Bytes> {
        let path = came.parts.uri.path();
        if !self.is_host(&came.parts) {
            return self.refuse(came, &Fault::Misdirected, None);
        }
        if path.starts_with(assets::PREFIX)
            && came.parts.method == Method::GET
            && let Some(asset) = self.assets.answer(path, gzips)
        {
            return asset;
        }
        if came.parts.method == Method::POST && !self.is_same_origin(&came.parts) {
            let why = "A page of another origin sent this form. Nothing was done.";
            return self.refuse(came, &Fault::Refused(came.words.t(why)), None);
        }
        match (came.parts.method.as_str(), path) {
            ("POST", CHALLENGE_PATH) => self.give_challenge(),
            ("POST", SESSION_PATH) => self.begin_session(came).await,
            ("POST", PROVE_PATH) => self.take_proof(came).await,
            ("POST", LINK_PATH) => self.give_link(came).await,
            _ => self.page(came, body).await,
        }
    }

    /// Whether the request names this console. A name that an attacker points to this address, also
    /// on loopback, gets nothing.
    fn is_host(&self, parts: &Parts) -> bool {
        let mut hosts = parts.headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let named = parts
            .uri
            .authority()
            .is_none_or(|named| *named == *self.host);
        (host == Some(&self.host) && hosts.next().is_none() && named)
            || types::planted("console-any-host")
    }

    /// Whether a page of this console sends it. A browser names the origin with every POST.
    fn is_same_origin(&self, parts: &Parts) -> bool {
        if types::planted("console-any-origin") {
            return true;
        }
        let mut origins = parts.headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().map(HeaderValue::as_bytes);
        let site = parts.headers.get("sec-fetch-site");
        origin == Some(self.settings.origin.as_bytes())
            && origins.next().is_none()
            && site.is_none_or(|site| site == "same-origin")
    }

    /// Whether a page of this console led to another one. Old browsers do not say so: they name the
    /// page.
    fn is_from_own_page(&self, parts: &Parts) -> bool {
        if types::planted("console-led-by-anybody") {
            return true;
        }
        let said = |name: &str| parts.headers.get(name).map(HeaderValue::as_bytes);
        let own = [&self.settings.origin, "/"].concat();
        match said("sec-fetch-site") {
            Some(site) => site == b"same-origin",
            None => said("referer").is_some_and(|page| page.starts_with(own.as_bytes())),
        }
    }

    /// Both ends of a sign-in are asked for by a script, which needs the time here.
    fn give_challenge(&self) -> Response<Bytes> {
        json_answer(
            StatusCode::OK,
            &json!({
                "challenge": self.challenge(),
                "region": &*self.settings.region,
                "now": self.clock.now().iso_basic(),
            }),
        )
    }

    async fn begin_session(&self, came: &Came) -> Response<Bytes> {
        match self
            .sign_in(&came.parts, came.from.ip(), came.agent())
            .await
        {
            Ok(cookie) => {
                // Whoever had this browser before is signed out.
                if let Some(old) = self.cookie(&came.parts) {
                    self.sessions.end_of_cookie(old);
                }
                let mut answer = json_answer(StatusCode::OK, &json!({}));
                if let Some(set) = self.set_cookie(&cookie) {
                    answer.headers_mut().insert(header::SET_COOKIE, set);
                }
                answer
            }
            Err(why) => not_signed_in(came.words, &why),
        }
    }

    /// The key of whoever is signed in signs once more.
    async fn take_proof(&self, came: &Came) -> Response<Bytes> {
        let Some(caller) = self.caller(&came.parts) else {
            return not_signed_in(came.words, &NotSignedIn::Wrong);
        };
        let proved = self.prove(&caller, &came.parts, came.from.ip()).await;
        match proved {
            Ok(()) => json_answer(StatusCode::OK, &json!({})),
            Err(why) => not_signed_in(came.words, &why),
        }
    }

    /// Asked for by the command line, which signs the challenge as a browser does.
    async fn give_link(&self, came: &Came) -> Response<Bytes> {
        match self.make_link(&came.parts, came.from.ip()).await {
            Ok(code) => {
                let link = self.address(&[ENTER_PATH, "?code=", &code].concat());
                let life_s = links::LIFE_MS / 1000;
                json_answer(StatusCode::OK, &json!({ "link": link, "seconds": life_s }))
            }
            Err(why) => not_signed_in(came.words, &why),
        }
    }

    /// The header that gives a browser its cookie.
    pub(crate) fn set_cookie(&self, cookie: &str) -> Option<HeaderValue> {
        let name = self.cookie_name();
        let set = format!("{name}={cookie}; Path=/; Secure; HttpOnly; SameSite=Strict");
        HeaderValue::try_from(set).ok()
    }

    /// Its name has the region, since cookies of all ports of a machine are sent to each.
    pub(crate) fn cookie_name(&self) -> String {
        format!("__Host-dhow-{}", self.settings.region)
    }

    fn cookie<'p>(&self, parts: &'p Parts) -> Option<&'p str> {
        cookie(parts, &self.cookie_name())
    }

    /// Who is signed in, if key and account still open anything.
    fn caller(&self, parts: &Parts) -> Option<Caller> {
        let cookie = self.cookie(parts)?;
        let session = self.sessions.of_cookie(cookie, self.clock.now().ms())?;
        let registry = self.backend.registry();
        let day = day_of(self.clock.now());
        let proof = self.key_proof(session.held(), &day);
        let same = proof.is_some_and(|proof| session.is_of(&day, &proof));
        let found = self.identity(session.held()).filter(|_| same);
        let account = found.as_ref().and_then(|identity| identity.account());
        let account = account.and_then(|account| registry.account(account));
        let (Some(identity), Some(account)) = (found, account) else {
            self.sessions.end(&session.id);
            return None;
        };
        Some(Caller {
            role: account.role(registry.administers(&session.key)),
            key: session.key.clone(),
            identity,
            account,
            session,
        })
    }

    async fn page(&self, came: &Came, body: Incoming) -> Response<Bytes> {
        let caller = self.caller(&came.parts);
        let caller = caller.as_ref();
        let (method, path) = (&came.parts.method, came.parts.uri.path());
        let method = match *method {
            Method::HEAD => &Method::GET,
            _ => method,
        };
        let (route, bucket) = match find(method, path) {
            Found::Route(route, bucket) => (route, bucket),
            Found::Method(other) => return self.refuse(came, &Fault::Method(other), caller),
            Found::Nothing => {
                let fault = Fault::Missing(came.words.t("There is no such page."));
                return self.refuse(came, &fault, caller);
            }
        };
        if route.may != May::Everybody && caller.is_none() {
            return self.to_sign_in(came, route);
        }
        let form = match route.method {
            Method::POST => match read_form(body, came.words).await {
                Ok(form) => form,
                Err(fault) => return self.refuse(came, &fault, caller),
            },
            _ => Fields::default(),
        };
        let _turn = match caller {
            Some(caller) => match self.turns.take(&caller.session.account).await {
                Some(turn) => Some(turn),
                None => {
                    let why = came
                        .words
                        .t("Too many pages of your account are made just now.");
                    return self.refuse(came, &Fault::Busy(why.into_owned()), Some(caller));
                }
            },
            None => None,
        };
        let query = Fields::parse(came.parts.uri.query().unwrap_or_default());
        let Some(query) = query else {
            let fault = Fault::Bad(came.words.t("The address of this page cannot be read."));
            return self.refuse(came, &fault, caller);
        };
        let call = Call {
            console: self,
            route,
            bucket,
            query,
            form,
            caller,
            facts: came.facts,
            from: came.from.ip(),
            agent: came.agent(),
            words: came.words,
            id: &came.id,
            here: came.asked_for(),
            flow: cookie(&came.parts, &self.flow_cookie_name()),
            from_own_page: self.is_from_own_page(&came.parts),
        };
        self.handle(came, &call).await
    }

    async fn handle(&self, came: &Came, call: &Call<'_>) -> Response<Bytes> {
        let answer = match self.may(call, came.parts.uri.path()) {
            Ok(()) if self.must_prove(call) => pages::prove::show(call),
            Ok(()) => (call.route.handler)(call).await,
            Err(fault) => Err(fault),
        };
        self.rendered(came, call, answer)
    }

    /// Whether the key has to sign once more, since what is asked for is dangerous.
    fn must_prove(&self, call: &Call<'_>) -> bool {
        let now = self.clock.now().ms();
        let old = |caller: &Caller| !caller.session.is_proved(self.settings.proof_s, now);
        is_dangerous(call.route) && call.caller.is_some_and(old)
    }

    /// Whether the page may be opened, and its form comes from this session.
    fn may(&self, call: &Call<'_>, path: &str) -> Result<(), Fault> {
        let Some(caller) = call.caller else {
            return Ok(());
        };
        if !call.route.may.allows(caller) {
            let why = match call.route.may {
                May::KeepsData | May::AccountBlock => call.t("Your account keeps no data."),
                May::Users | May::Groups | May::Roles | May::Policies | May::Simulates => {
                    call.t("Your account keeps no data, and so it has no users.")
                }
                May::Do(action) => return Err(Fault::NoGrant(action)),
                _ => call.t("Your key may not open this page."),
            };
            return Err(Fault::Refused(why));
        }
        if call.route.method == Method::POST && call.route.may != May::Everybody {
            // A form that can be sent to several places has a token for each.
            let mut tokens = call.form.all("csrf").take(TOKENS_MAX);
            let good = tokens.any(|token| caller.session.is_token(path, token));
            if !good {
                let why = "The form is not one of this session. Load its page again.";
                return Err(Fault::Refused(call.t(why)));
            }
        }
        Ok(())
    }

    fn rendered(&self, came: &Came, call: &Call<'_>, answer: Answer) -> Response<Bytes> {
        match answer {
            Ok(Reply::Page(page)) => {
                let status = page.status;
                let html = shell::page(call, page);
                let data = call
                    .route
                    .data
                    .then_some(self.settings.data_origin.as_str());
                self.html_answer(status, html, data)
            }
            Ok(Reply::With(page, headers)) => {
                let status = page.status;
                let html = shell::page(call, page);
                let mut answer = self.html_answer(status, html, None);
                for (name, value) in headers {
                    answer.headers_mut().append(name, value);
                }
                answer
            }
            Ok(Reply::See(to)) => see(to.as_str()),
            Ok(Reply::Json(value)) => json_answer(StatusCode::OK, &value),
            Ok(Reply::File { name, kind, bytes }) => {
                let mut answer = Response::new(Bytes::from(bytes));
                let headers = answer.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                let name = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
                if let Ok(name) = name {
                    headers.insert(header::CONTENT_DISPOSITION, name);
                }
                answer
            }
            Ok(Reply::Whole(answer)) => answer,
            Err(Fault::SignedOut) => self.to_sign_in(came, call.route),
            Err(fault) => self.refuse(came, &fault, call.caller),
        }
    }

    /// Sends whoever is not signed in to the page where that is done, and back afterwards.
    fn to_sign_in(&self, came: &Came, route: &Route) -> Response<Bytes> {
        let whole = came.asked_for();
        match route.method == Method::GET && whole != "/" && is_own(whole) {
            true => see(&format!(
                "/signin?{}",
                crate::fields::query(&[("next", whole)])
            )),
            false => see("/signin"),
        }
    }

    fn refuse(&self, came: &Came, fault: &Fault, caller: Option<&Caller>) -> Response<Bytes> {
        if matches!(fault, Fault::Failed(_) | Fault::Busy(_)) {
            tracing::warn!(request_id = came.id, ?fault, "a page of the console failed");
        }
        // The page says nothing of what its own address is.
        let call = Call {
            console: self,
            route: pages::fault::route(),
            bucket: None,
            query: Fields::default(),
            form: Fields::default(),
            caller,
            facts: came.facts,
            from: came.from.ip(),
            agent: came.agent(),
            words: came.words,
            id: &came.id,
            here: came.asked_for(),
            flow: None,
            from_own_page: false,
        };
        let page = pages::fault::page(&call, fault);
        let status = page.status;
        let mut answer = self.html_answer(status, shell::page(&call, page), None);
        if let Fault::Method(allowed) = fault {
            let allowed = HeaderValue::from_static(allowed);
            answer.headers_mut().insert(header::ALLOW, allowed);
        }
        if matches!(fault, Fault::TooLarge) {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        answer
    }

    fn html_answer(&self, status: StatusCode, html: Markup, data: Option<&str>) -> Response<Bytes> {
        let html = base::within(&self.settings.base, html.into_string());
        let mut answer = Response::new(Bytes::from(html));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Ok(policy) = HeaderValue::try_from(policy(data)) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    /// The sessions of a caller's key, or of the person by single sign-on.
    pub(crate) fn sessions_of(&self, caller: &Caller) -> Vec<Session> {
        let session = &caller.session;
        let mut own = self.sessions.of_same(session, self.clock.now().ms());
        // Another key of that id is somebody else's; each session of STS has a key of its own.
        own.retain(|one| session.sts.is_some() || session.shares(one.proofs()));
        own
    }

    /// What is on record of a bucket.
    pub(crate) fn deed(&self, name: &str) -> Option<std::sync::Arc<types::BucketDeed>> {
        self.backend.registry().get(&BucketName::new(name).ok()?)
    }

    /// Whether objects of a bucket may be named here: this region is its home or has a replica. A
    /// bucket that there is not has none.
    pub(crate) fn is_held(&self, name: &str) -> bool {
        self.deed(name).is_none_or(|deed| {
            let holding = deed.holding(&self.settings.region);
            matches!(holding, types::Holding::Home | types::Holding::Replica)
        })
    }
}

/// The cookie of this name.
fn cookie<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    let cookies = parts.headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

/// The language that was chosen in this browser, or else the one that it prefers.
fn words_of(parts: &Parts) -> Words {
    let chosen = cookie(parts, pages::language::COOKIE).and_then(Words::named);
    chosen.unwrap_or_else(|| {
        let accepted = parts.headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        Words::accepted(accepted.unwrap_or_default())
    })
}

async fn read_form(body: Incoming, words: Words) -> Result<Fields, Fault> {
    let read = Limited::new(body, FORM_BYTES_MAX).collect();
    let bytes = match tokio::time::timeout(FORM_WAIT, read).await {
        Err(_) => return Err(Fault::Bad(words.t("The form did not come in time."))),
        Ok(Err(_)) => return Err(Fault::TooLarge),
        Ok(Ok(body)) => body.to_bytes(),
    };
    let text = std::str::from_utf8(&bytes).ok();
    let form = text.and_then(Fields::parse);
    form.ok_or_else(|| Fault::Bad(words.t("The form cannot be read.")))
}

fn see(to: &str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let to = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(header::LOCATION, to);
    answer
}

/// Why nobody is signed in, for a script.
fn not_signed_in(words: Words, why: &NotSignedIn) -> Response<Bytes> {
    let (status, text) = match why {
        NotSignedIn::Wrong => (
            StatusCode::FORBIDDEN,
            words.t("The access key or the secret key is wrong, or the key is disabled."),
        ),
        NotSignedIn::Wait(seconds) => {
            let seconds = seconds.to_string();
            let text = words.with(
                "Too many attempts. Try again in {seconds} s.",
                &[("seconds", &seconds)],
            );
            (StatusCode::TOO_MANY_REQUESTS, text.into())
        }
        NotSignedIn::Temporary => (
            StatusCode::FORBIDDEN,
            words.t("A temporary key cannot sign in. Use a long-term access key."),
        ),
        NotSignedIn::Unknown => (
            StatusCode::SERVICE_UNAVAILABLE,
            words.t("The registry does not answer, so nobody can say now whose key this is."),
        ),
    };
    let mut answer = json_answer(status, &json!({ "error": text }));
    if let NotSignedIn::Wait(seconds) = why {
        let wait = HeaderValue::from(*seconds);
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    answer
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(value.to_string()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloud::Registry;
    use types::{SeededRandom, TestClock, deed::BoxFuture};

    use super::*;
    use crate::{Api, Backend, Settings, Unanswered};

    /// A node that nothing is asked of.
    struct Nobody;

    impl Backend for Nobody {
        fn registry(&self) -> &Registry {
            unreachable!("nothing here asks the registry")
        }
        fn keeper(&self) -> String {
            String::new()
        }
        fn discover(&self, _: usize) -> BoxFuture<'_, Result<crate::Discovered, Unanswered>> {
            Box::pin(async { Err(Unanswered("nobody answers".into())) })
        }
        fn redeem<'a>(
            &'a self,
            _: usize,
            _: &'a [(&'a str, &'a str)],
        ) -> BoxFuture<'a, Result<String, Unanswered>> {
            Box::pin(async { Err(Unanswered("nobody answers".into())) })
        }
        fn ask<'a>(
            &'a self,
            _: Api,
            _: Request<Bytes>,
            _: RequestFacts,
            _: usize,
        ) -> BoxFuture<'a, Result<Response<Bytes>, Unanswered>> {
            Box::pin(async { Err(Unanswered("nobody answers".into())) })
        }
    }

    fn console() -> Arc<Console> {
        let settings = Settings {
            origin: "https://console.example.net".into(),
            base: String::new(),
            data_origin: "https://s3.example.net".into(),
            region: types::RegionId::new("local-1"),
            idle_s: 10,
            absolute_s: 10,
            proof_s: 10,
            providers: Vec::new(),
        };
        let clock = Arc::new(TestClock::at_ms(0));
        Console::new(
            settings,
            Arc::new(Nobody),
            clock,
            Arc::new(SeededRandom::new(1)),
        )
    }

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_the_name_of_the_console_is_answered() {
        let console = console();
        assert!(console.is_host(&parts(&[("host", "console.example.net")])));
        for bad in [
            &[("host", "evil.example")] as &[(&str, &str)],
            &[("host", "console.example.net:80")],
            &[("host", "console.example.net"), ("host", "evil.example")],
            &[],
        ] {
            assert!(!console.is_host(&parts(bad)), "{bad:?}");
        }
    }

    #[test]
    fn only_a_form_of_the_consoles_own_pages_counts() {
        let console = console();
        let own = ("origin", "https://console.example.net");
        assert!(console.is_same_origin(&parts(&[own])));
        assert!(console.is_same_origin(&parts(&[own, ("sec-fetch-site", "same-origin")])));
        for bad in [
            &[("origin", "https://console.example.net:8443")] as &[(&str, &str)],
            &[("origin", "http://console.example.net")],
            &[("origin", "null")],
            &[own, ("origin", "https://evil.example")],
            &[own, ("sec-fetch-site", "same-site")],
            &[own, ("sec-fetch-site", "cross-site")],
            &[],
        ] {
            assert!(!console.is_same_origin(&parts(bad)), "{bad:?}");
        }
    }

    #[test]
    fn only_an_own_page_leads_on_without_a_question() {
        let console = console();
        let led = |headers: &[(&str, &str)]| console.is_from_own_page(&parts(headers));
        let own = ("referer", "https://console.example.net/signin");
        assert!(led(&[("sec-fetch-site", "same-origin")]) && led(&[own]));
        for bad in [
            &[] as &[(&str, &str)],
            &[("sec-fetch-site", "none")],
            &[own, ("sec-fetch-site", "same-site")],
            &[own, ("sec-fetch-site", "cross-site")],
            &[("referer", "https://console.example.net.evil.example/")],
            &[("referer", "https://evil.example/")],
        ] {
            assert!(!led(bad), "{bad:?}");
        }
    }

    #[test]
    fn another_regions_cookie_is_none() {
        let console = console();
        let of = |text: &str| {
            console
                .cookie(&parts(&[("cookie", text)]))
                .map(str::to_owned)
        };
        let both = "__Host-dhow-local-2=a; __Host-dhow-local-1=b";
        assert_eq!(of(both).as_deref(), Some("b"));
        for none in [
            "",
            "dhow-local-1=b",
            "x__Host-dhow-local-1=b",
            "__Host-dhow-local-2=a",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
