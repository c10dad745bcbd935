//! One request to a page, and what the page can ask for.

use std::borrow::Cow;

use access::{
    Identity, RequestFacts, Transport, Who,
    grants::{Action, Grant, Role, grant},
    policy::{self, ActionName, Target},
    sign::{Signer, Unsigned, encode, encode_path, payload_sha256},
    signature::Service,
};
use bytes::Bytes;
use cloud::Account;
use http::{Method, Request, StatusCode};
use maud::{Markup, html};
use serde_json::Value;
use types::{AccessKeyId, BucketDeed, BucketName, Deeds, Holding, RegionId, Timestamp};

use crate::{
    Api, Console,
    fault::Fault,
    fields::Fields,
    routes::Route,
    s3::{self, Node, S3Answer, S3Ask},
    session::Session,
    words::Words,
};

/// The longest answer of an API that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The host that requests within the process name.
const WITHIN: &str = "127.0.0.1";

/// Who is signed in, as the registry knows it now.
#[derive(Clone)]
pub struct Caller {
    /// The key and whose it is.
    pub identity: Identity,
    /// The key.
    pub key: AccessKeyId,
    /// Its account.
    pub account: Account,
    /// What it may administer.
    pub role: Role,
    /// The session.
    pub session: Session,
}

impl Caller {
    /// How far the admin API lets the caller do `action`. Users and sessions
    /// of roles have no part in it.
    pub fn grant(&self, action: Action) -> Grant {
        match self.identity.who().is_some_and(Who::may_administer) {
            true => grant(&self.role, action),
            false => Grant::No,
        }
    }

    /// Whether policies let the caller do an action of IAM on what has this ARN of the account, as
    /// they let the account itself do all that its guard policy does.
    pub fn may(&self, action: &str, arn: &str, facts: &RequestFacts, now: Timestamp) -> bool {
        let conditions = policy::Conditions {
            current_time: Some(now),
            source_ip: facts.source,
            secure_transport: Some(facts.transport == Some(Transport::Tls)),
            ..policy::Conditions::default()
        };
        let (action, target) = (ActionName::parse(action), Target::Arn(arn));
        let account = self.account.account_id();
        let of = (&account, self.identity.guard());
        let who = self.identity.who();
        who.is_some_and(|who| who.decide(of, action, target, &conditions).is_ok())
    }

    /// Whether the account has buckets.
    pub fn keeps_data(&self) -> bool {
        self.account.caller_kind().keeps_data()
    }
}

/// One request to a page.
pub struct Call<'a> {
    /// The console.
    pub console: &'a Console,
    /// Which page.
    pub route: &'static Route,
    /// The bucket in the path, where the page has one.
    pub bucket: Option<BucketName>,
    /// What follows the question mark.
    pub query: Fields,
    /// The form that was sent.
    pub form: Fields,
    /// Who is signed in; there is nobody on pages for everybody.
    pub caller: Option<&'a Caller>,
    /// How the request came.
    pub facts: RequestFacts,
    /// The browser's address, as far as it is known.
    pub from: std::net::IpAddr,
    /// What the browser calls itself.
    pub agent: &'a str,
    /// The language.
    pub words: Words,
    /// The request's id.
    pub id: &'a str,
    /// The path and query that were asked for.
    pub here: &'a str,
    /// The cookie of a single sign-on that this browser has begun.
    pub flow: Option<&'a str>,
    /// Whether a page of this console led here, and no other site or program.
    pub from_own_page: bool,
}

/// A bucket that this region may show.
pub struct Shown {
    /// Its record.
    pub deed: std::sync::Arc<BucketDeed>,
    /// Whether its writes are taken here.
    pub is_home: bool,
}

impl Call<'_> {
    /// A text of ours.
    pub fn t(&self, english: &'static str) -> Cow<'static, str> {
        self.words.t(english)
    }

    /// A text of ours with values.
    pub fn with(&self, english: &'static str, values: &[(&str, &str)]) -> String {
        self.words.with(english, values)
    }

    /// A text of ours with a number in it, `{count}`: for 1, and for others.
    pub fn count(
        &self,
        english: (&'static str, &'static str),
        count: u64,
        values: &[(&str, &str)],
    ) -> String {
        self.words.count(english, count, values)
    }

    /// Why something did not work, in a line.
    pub fn why(&self, fault: &Fault) -> String {
        let why: Cow<'_, str> = match fault {
            Fault::Refused(why) | Fault::Bad(why) | Fault::Missing(why) => why.clone(),
            Fault::Busy(why) | Fault::Failed(why) | Fault::NotImplemented(why) => {
                why.clone().into()
            }
            Fault::Elsewhere { keeper, .. } => self
                .with("It is done in region {keeper}.", &[("keeper", keeper)])
                .into(),
            Fault::Changed => self.t("It has changed meanwhile."),
            _ => self.t("It may not be shown here."),
        };
        why.into_owned()
    }

    /// Who is signed in.
    pub fn who(&self) -> Result<&Caller, Fault> {
        self.caller.ok_or(Fault::SignedOut)
    }

    /// The hidden fields of a form that is sent to `route`.
    pub fn token(&self, route: &str) -> Markup {
        let token = self.token_text(route);
        html! { input type="hidden" name="csrf" value=(token); }
    }

    /// The token itself, for a script.
    pub fn token_text(&self, route: &str) -> String {
        let nonce = self.console.random_hex::<8>();
        let token = self
            .caller
            .map(|caller| caller.session.token(route, &nonce));
        token.unwrap_or_default()
    }

    /// The endpoint of a region.
    pub fn endpoint_of(&self, region: &str) -> String {
        let found = self.console.backend.registry().region(region);
        found.map_or_else(String::new, |region| region.endpoint.clone())
    }

    /// The bucket of the page, if this region may show what is in it: its home and its readable
    /// replicas may. Nobody but the owner learns where else it may be seen.
    pub fn shown(&self) -> Result<Shown, Fault> {
        let missing = || Fault::Missing(self.t("There is no bucket of this name."));
        let name = self.bucket.as_ref().ok_or_else(missing)?;
        let deed = self
            .console
            .backend
            .registry()
            .get(name)
            .ok_or_else(missing)?;
        let who = self.who()?;
        let owns = access::is_account(&who.account.id, &deed.owner);
        let holding = deed.holding(&self.console.settings.region);
        if may_show(holding) {
            let is_home = holding == Holding::Home;
            return Ok(Shown { deed, is_home });
        }
        Err(match owns {
            true => Fault::Law {
                home: deed.home.to_string(),
                endpoint: self.endpoint_of(&deed.home),
            },
            false => Fault::Refused(
                self.t("The bucket is another account's, and it is not stored in this region."),
            ),
        })
    }

    /// What is shown with the key of a session of STS.
    fn token_of_sts(&self) -> Result<Option<&str>, Fault> {
        let sts = self.who()?.session.sts.as_ref();
        Ok(sts.map(|sts| sts.token.as_str()))
    }

    fn signer(&self, service: Service) -> Result<Signer, Fault> {
        let who = self.who()?;
        let region: &RegionId = &self.console.settings.region;
        let day = self.console.clock.now().iso_basic();
        let day = day.get(..8).unwrap_or_default();
        let key = self.console.signing_key(who.session.held(), day, service);
        let key = key.ok_or_else(|| {
            Fault::Busy(self.with(
                "Region {region} has no signing key of yours for today yet.",
                &[("region", region)],
            ))
        })?;
        Ok(Signer::of_key(&who.key, &key, (day, region, service)))
    }

    /// Asks S3, as whoever is signed in.
    ///
    /// # Errors
    /// What S3 refuses, in the page's words.
    pub async fn s3(&self, ask: S3Ask<'_>) -> Result<S3Answer, Fault> {
        let (path, query) = ask.target();
        let request = self.signed(Service::S3, (ask.method, &path, &query), &ask)?;
        let answer = self.send(Api::S3, request).await?;
        if answer.status().is_success() || ask.takes(answer.status()) {
            return Ok(S3Answer(answer));
        }
        Err(s3::fault(self, &answer))
    }

    fn signed(
        &self,
        service: Service,
        (method, path, query): (&Method, &str, &str),
        ask: &S3Ask<'_>,
    ) -> Result<Request<Bytes>, Fault> {
        let mut signer = self.signer(service)?;
        let payload = payload_sha256(&ask.body);
        let mut headers: Vec<(&str, &str)> = ask.headers.iter().map(|(n, v)| (*n, &**v)).collect();
        if let Some(token) = self.token_of_sts()? {
            headers.push(("x-amz-security-token", token));
        }
        let unsigned = Unsigned {
            method: method.as_str(),
            host: WITHIN,
            path,
            query,
            headers: &headers,
            payload: &payload,
        };
        let signed = signer.sign(&unsigned, self.console.clock.now());
        let uri = match query.is_empty() {
            true => path.to_owned(),
            false => [path, "?", query].concat(),
        };
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in [
            ("host", WITHIN),
            ("authorization", &signed.authorization),
            ("x-amz-date", &signed.date),
            ("x-amz-content-sha256", &payload),
        ]
        .into_iter()
        .chain(headers)
        {
            request = request.header(name, value);
        }
        let failed = |error: http::Error| Fault::Bad(error.to_string().into());
        request.body(ask.body.clone()).map_err(failed)
    }

    async fn send(
        &self,
        api: Api,
        request: Request<Bytes>,
    ) -> Result<http::Response<Bytes>, Fault> {
        let asked = self
            .console
            .backend
            .ask(api, request, self.facts, ANSWER_BYTES_MAX);
        asked.await.map_err(|error| Fault::Failed(error.0))
    }

    /// Asks the admin API, as whoever is signed in. `path` is below `/-/admin/v1/`; what comes from
    /// a user in it must be encoded.
    ///
    /// # Errors
    /// What the admin API refuses.
    pub async fn admin(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Fault> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = ["/-/admin/v1/", path].concat();
        let body = body.map(Value::to_string).unwrap_or_default();
        let ask = S3Ask::new(method)
            .body(body.into())
            .header("x-dhow-nonce", self.console.random_hex::<16>());
        let request = self.signed(Service::Admin, (method, &path, query), &ask)?;
        let answer = self.send(Api::Admin, request).await?;
        let value: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if answer.status().is_success() {
            return Ok(value);
        }
        let why = value.get("error").and_then(Value::as_str);
        Err(self.admin_fault(answer.status(), why.unwrap_or_default()))
    }

    /// Asks the IAM API, as whoever is signed in, and gives what the action answers. Fields without
    /// a value are left out.
    ///
    /// # Errors
    /// What IAM refuses, or the region that keeps the registry.
    pub async fn iam(&self, action: &str, fields: &[(&str, &str)]) -> Result<Node, Fault> {
        let mut form = vec![("Action", action), ("Version", "2010-05-08")];
        form.extend(fields.iter().filter(|(_, value)| !value.is_empty()));
        let ask = S3Ask::new(&Method::POST).body(crate::fields::query(&form).into());
        let request = self.signed(Service::Iam, (&Method::POST, "/-/iam", ""), &ask)?;
        let answer = self.send(Api::S3, request).await?;
        if answer.status() == StatusCode::MISDIRECTED_REQUEST {
            return Err(self.elsewhere());
        }
        if !answer.status().is_success() {
            return Err(s3::fault(self, &answer));
        }
        let root = S3Answer(answer).xml()?;
        let result = root.take(&[action, "Result"].concat());
        Ok(result.unwrap_or_default())
    }

    fn admin_fault(&self, status: StatusCode, why: &str) -> Fault {
        let text = Cow::Owned(why.to_owned());
        match status {
            StatusCode::FORBIDDEN => Fault::Refused(text),
            StatusCode::NOT_FOUND => Fault::Missing(text),
            StatusCode::BAD_REQUEST | StatusCode::CONFLICT => Fault::Bad(text),
            StatusCode::MISDIRECTED_REQUEST => self.elsewhere(),
            StatusCode::SERVICE_UNAVAILABLE => Fault::Busy(why.to_owned()),
            _ => Fault::Failed(why.to_owned()),
        }
    }

    /// Only the registry's region can do it.
    pub fn elsewhere(&self) -> Fault {
        let keeper = self.console.backend.keeper();
        Fault::Elsewhere {
            endpoint: self.endpoint_of(&keeper),
            keeper,
        }
    }

    /// A URL by which the browser itself sends a request to the data endpoint. S3 decides when it
    /// comes, by what is allowed then.
    pub fn presigned(
        &self,
        method: &Method,
        (bucket, key): (&str, &str),
        query: &[(&str, &str)],
        expires_s: u64,
    ) -> Result<String, Fault> {
        let data = &self.console.settings.data_origin;
        let host = data.split_once("://").map_or("", |(_, host)| host);
        // Browsers take `..` out of a path, unless the slash beside it is encoded.
        let key = match key.split('/').any(|part| matches!(part, "." | "..")) {
            true => encode(key),
            false => encode_path(key),
        };
        let path = ["/", bucket, "/", &key].concat();
        let mut pairs = Vec::with_capacity(query.len());
        for (name, value) in query {
            pairs.push([&encode(name), "=", &encode(value)].concat());
        }
        if let Some(token) = self.token_of_sts()? {
            pairs.push(["X-Amz-Security-Token=", &encode(token)].concat());
        }
        let unsigned = Unsigned {
            method: method.as_str(),
            host,
            path: &path,
            query: &pairs.join("&"),
            headers: &[],
            payload: "UNSIGNED-PAYLOAD",
        };
        let mut signer = self.signer(Service::S3)?;
        let query = signer.presign(&unsigned, self.console.clock.now(), expires_s);
        Ok([data, &*path, "?", &query].concat())
    }
}

/// Whether a region may show what is in a bucket of which it holds this.
fn may_show(holding: Holding) -> bool {
    match holding {
        Holding::Home | Holding::Replica => true,
        Holding::Sealed | Holding::Nothing => types::planted("console-shows-anywhere"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_region_that_may_read_a_bucket_shows_it() {
        assert!(may_show(Holding::Home) && may_show(Holding::Replica));
        assert!(!may_show(Holding::Sealed) && !may_show(Holding::Nothing));
    }
}
