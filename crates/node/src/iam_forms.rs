//! The query APIs of IAM and STS on the listener of S3: forms, signed for the services `iam` and
//! `sts`.
//!
//! Users and their policies are changed in the region that keeps the registry, and each request is
//! verified there, from what the client sent and with keys that no other region has. The others
//! name its endpoint.

mod account_block;

use std::sync::Arc;

use access::{
    GuardPolicy, Identity, RequestFacts, SigningKeys, Transport, Who,
    sign::payload_sha256,
    signature::{
        AuthType, Facts, Presigned, RegionNames, Request as Signed, Service, SignatureError,
        SignedHeader, Verified, verify_form, verify_presigned_form,
    },
};
use bytes::Bytes;
use gateway::{Beside, BesideApi};
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use iam::{Answer, Api, Caller, Conditions, Form, Iam, IamError, Issuers, Sts};
use types::{AccessKeyId, AccountId, Actor, RegionId, Timestamp, deed::BoxFuture};

use crate::{
    admin_api::{Seen, SignedChange},
    region::Region,
};

/// Answers forms.
pub struct IamForms {
    region: Arc<Region>,
    aliases: Vec<String>,
    /// Signatures of changes, and of requests to STS.
    seen: [Arc<Seen>; 2],
    iam: Iam,
    sts: Sts,
}

/// A form whose sender is known.
struct VerifiedForm {
    identity: Identity,
    form: Form,
    signature: String,
    signed_at: Option<Timestamp>,
    /// After this second of the epoch the signer wants nothing done, if that was said.
    until_s: Option<u64>,
}

/// An answer, and whether what was done may have taken rights away.
type Acted = (Answer, bool);

/// A signature that was verified.
struct Proven {
    verified: Verified,
    signature: String,
    until_s: Option<u64>,
}

/// What only the region that keeps the registry has or changes.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Users,
    Sessions,
    /// The public access block of accounts.
    Block,
}

impl From<Api> for Kept {
    fn from(api: Api) -> Self {
        match api {
            Api::Iam => Self::Users,
            Api::Sts => Self::Sessions,
        }
    }
}

/// Clients that ask for the same twice in a second make the same signature. So one counts again
/// for so long.
const AGAIN_S: u64 = 2;

impl IamForms {
    /// Of this region, which signatures may name by these aliases too. `seen` is where signatures
    /// of changes are remembered, and those of requests to STS.
    pub fn new(
        region: &Arc<Region>,
        aliases: Vec<String>,
        issuers: Arc<dyn Issuers>,
        seen: [Arc<Seen>; 2],
    ) -> Self {
        let kept = region.credentials.as_ref();
        let kept = kept.map(|root| AccessKeyId::new(&root.access_key));
        Self {
            iam: Iam::new(Arc::clone(&region.registry), Arc::clone(&issuers), kept),
            sts: Sts::new(Arc::clone(&region.registry), issuers),
            region: Arc::clone(region),
            aliases,
            seen,
        }
    }

    /// Does what a form asks for, as the account itself: for whoever administers it. It is bound by
    /// this guard policy.
    pub async fn act_as_root(
        &self,
        account: &AccountId,
        (actor, guard): (&Actor, &GuardPolicy),
        form: &Form,
    ) -> Result<Answer, IamError> {
        let caller = Caller {
            account,
            who: &Who::Root,
            guard,
            actor,
            conditions: Conditions {
                now: self.region.clock.now(),
                source: None,
                tls: false,
                user_agent: None,
                region: &self.region.id,
            },
        };
        self.iam.act(&caller, form).await
    }

    async fn act(
        &self,
        api: Api,
        head: &Parts,
        body: &Bytes,
        came: RequestFacts,
    ) -> Result<Acted, IamError> {
        let begun = self.region.registry.log_length();
        let how = self.conditions(head, came);
        if let Some(form) = unsigned(api, head, body) {
            self.is_kept_here(api.into())?;
            return Ok((self.sts.act_unsigned(how, begun, &form).await?, false));
        }
        let VerifiedForm {
            identity,
            form,
            signature,
            signed_at,
            until_s,
        } = self.verify_form(api, head, body)?;
        let asks_who = api == Api::Sts && Sts::only_asks(&form);
        // Who only asks who they are is answered for as long as AWS does, since tools count on it:
        // they sign for a minute, and send the URL on for a quarter of an hour.
        if !asks_who {
            self.is_kept_here(api.into())?;
            in_time(until_s, how.now)?;
        }
        let Identity::Key {
            account,
            who,
            kind,
            guard,
            access_key,
        } = &identity
        else {
            return Err(unauthenticated());
        };
        if !kind.keeps_data() && !asks_who {
            let why = "accounts of auditors and regional operators have no users; the cloud's \
                       operator makes and disables their keys (dhow key)";
            return Err(IamError::new("AccessDenied", 403, why));
        }
        let only_asks = match api {
            Api::Iam => Iam::only_reads(&form),
            Api::Sts => asks_who,
        };
        if !only_asks {
            let signed = SignedChange {
                signature,
                account: account.to_string(),
                of_user: key_of_user(who, access_key),
                root: self.is_root(account),
                tightens: api == Api::Iam && Iam::only_tightens(&form),
            };
            self.take_once(api, signed, signed_at).await?;
        }
        let caller = Caller {
            account,
            who,
            guard,
            actor: &identity.actor().ok_or_else(unauthenticated)?,
            conditions: how,
        };
        let takes_away = api == Api::Iam && Iam::may_take_away(&form);
        let answer = match api {
            Api::Iam => self.iam.act(&caller, &form).await?,
            Api::Sts => self.sts.act(&caller, (access_key, begun), &form)?,
        };
        Ok((answer, takes_away))
    }

    fn conditions<'a>(&'a self, head: &'a Parts, came: RequestFacts) -> Conditions<'a> {
        let agent = head.headers.get(header::USER_AGENT);
        Conditions {
            now: self.region.clock.now(),
            source: came.source,
            tls: came.transport == Some(Transport::Tls),
            user_agent: agent.map(HeaderValue::as_bytes),
            region: &self.region.id,
        }
    }

    /// Who sends a form. Nothing of it is acted on before.
    fn verify_form(&self, api: Api, head: &Parts, body: &Bytes) -> Result<VerifiedForm, IamError> {
        let service = match api {
            Api::Iam => Service::Iam,
            Api::Sts => Service::Sts,
        };
        let query = head.uri.query().unwrap_or_default();
        let (text, other, why) = match head.method {
            Method::POST => (
                &body[..],
                query.as_bytes(),
                "what is asked for is in the form, and not in the query",
            ),
            Method::GET => (
                query.as_bytes(),
                &body[..],
                "what is asked for is in the query, and not in a body",
            ),
            _ => {
                return Err(IamError::new(
                    "InvalidAction",
                    400,
                    "requests are forms that are sent by POST, or by GET in the query",
                ));
            }
        };
        let proven = self.verify(api.into(), service, head, body)?;
        if !other.is_empty() {
            return Err(IamError::new("ValidationError", 400, why));
        }
        let mut form = Form::parse(text)?;
        if proven.until_s.is_some() {
            form = form.without(&Presigned::NAMES);
        }
        Ok(VerifiedForm {
            identity: proven.verified.identity,
            signed_at: proven.verified.at,
            form,
            signature: proven.signature,
            until_s: proven.until_s,
        })
    }

    /// Who signed a request, and the signature.
    fn verify(
        &self,
        kept: Kept,
        service: Service,
        head: &Parts,
        body: &Bytes,
    ) -> Result<Proven, IamError> {
        let query = head.uri.query();
        let auth = AuthType::of(&head.method, &head.headers, query);
        let in_query = match auth {
            Ok(AuthType::HeaderV4) => false,
            Ok(AuthType::PresignedV4) if head.method == Method::GET && service != Service::S3 => {
                true
            }
            _ => return Err(unauthenticated()),
        };
        let request = Signed {
            method: head.method.as_str(),
            path: head.uri.path(),
            host_bucket: None,
            query,
            headers: &head.headers,
        };
        let facts = Facts {
            keys: &*self.region.registry,
            regions: RegionNames {
                own: &self.region.id,
                aliases: &self.aliases,
            },
            now: self.region.clock.now(),
        };
        let verified = match in_query {
            false => verify_form(service, &request, &payload_sha256(body), &facts),
            true => verify_presigned_form(service, &request, &facts),
        };
        let verified = verified.map_err(|error| self.unverified(kept, error))?;
        if let Some(key) = verified.identity.long_term_key() {
            self.region.registry.note_use(key, service, facts.now);
        }
        let (signature, until_s) = match in_query {
            false => {
                let signed = head.headers.get(header::AUTHORIZATION);
                let signed = signed.and_then(|v| v.to_str().ok()).unwrap_or_default();
                let signed = SignedHeader::parse_for(signed, service);
                signed.map(|signed| (signed.signature.to_owned(), None))
            }
            true => Presigned::parse(query.unwrap_or_default()).map(|signed| {
                let from = verified.at.unwrap_or(facts.now).s();
                let until = from.saturating_add(signed.expires_s);
                (signed.signature.into_owned(), Some(until))
            }),
        }
        .map_err(|error| self.unverified(kept, error))?;
        Ok(Proven {
            verified,
            signature,
            until_s,
        })
    }

    /// Where the registry is followed: who may know gets to know where it is kept.
    fn is_kept_here(&self, kept: Kept) -> Result<(), IamError> {
        match self.elsewhere(kept) {
            None => Ok(()),
            Some(why) => Err(IamError::new("InvalidAction", 421, why)),
        }
    }

    fn elsewhere(&self, kept: Kept) -> Option<String> {
        if self.region.registry.keeps() {
            return None;
        }
        let keeper = RegionId::new(&self.region.link.membership.keeper);
        let known = self.region.registry.region(&keeper);
        let endpoint = known
            .map(|region| region.endpoint.clone())
            .unwrap_or_default();
        let (what, path) = match kept {
            Kept::Users => ("users and policies are kept", "/-/iam"),
            Kept::Sessions => ("sessions begin", "/-/sts"),
            Kept::Block => ("the public access block of accounts is set", ""),
        };
        Some(format!(
            "{what} in region {keeper}: sign for that region, and send the request to {}{path}",
            endpoint.trim_end_matches('/')
        ))
    }

    /// What is wrong with a signature, in the codes of IAM.
    fn unverified(&self, kept: Kept, error: SignatureError) -> IamError {
        use SignatureError as E;
        tracing::info!(%error, "an IAM request was refused");
        let denied = |code, message: &str| IamError::new(code, 403, message);
        match error {
            E::UnknownKey(_) | E::Token | E::OutdatedToken => denied(
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
            // IAM and STS have no code of their own for it.
            E::AccountProblem => denied(
                "InvalidClientTokenId",
                "The security token included in the request is invalid: its account is suspended.",
            ),
            E::ExpiredToken => denied(
                "ExpiredToken",
                "The security token included in the request is expired",
            ),
            E::WrongRegion { known, .. } => {
                let scoped = "Credential should be scoped to a valid region.";
                let elsewhere = self.elsewhere(kept).filter(|_| known);
                let why = elsewhere.map_or(scoped.to_owned(), |why| format!("{scoped} {why}."));
                denied("SignatureDoesNotMatch", &why)
            }
            E::Mismatch(_) => denied(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. \
                 Check your access key and signing method.",
            ),
            E::Skewed { request, server } => denied(
                "SignatureDoesNotMatch",
                &format!(
                    "Signature expired or not yet current: {request} is too far from {server}"
                ),
            ),
            E::Expired { .. } => expired(),
            E::PayloadMode(_) => denied(
                "SignatureDoesNotMatch",
                "x-amz-content-sha256 is not the digest of the form.",
            ),
            other => denied("IncompleteSignature", &other.to_string()),
        }
    }

    fn is_root(&self, account: &AccountId) -> bool {
        let found = self.region.registry.account(account);
        found.is_some_and(|account| account.root)
    }

    /// A signed request changes something once: whoever saw it must not have it done again.
    async fn take_once(
        &self,
        api: Api,
        signed: SignedChange,
        signed_at: Option<Timestamp>,
    ) -> Result<(), IamError> {
        // What STS answers is a secret: whoever saw the request must not get one of their own.
        let [changes, sessions] = &self.seen;
        let (seen, again_s) = match api {
            Api::Iam => (Arc::clone(changes), AGAIN_S),
            Api::Sts => (Arc::clone(sessions), 0),
        };
        let now = self.region.clock.now().s();
        let taken = tokio::task::spawn_blocking(move || seen.take(&signed, now)).await;
        let taken = taken.map_err(|e| IamError::new("ServiceFailure", 500, e.to_string()))?;
        if taken.is_err() && signed_at.is_some_and(|at| at.s().abs_diff(now) < again_s) {
            return Ok(());
        }
        // Clients sign anew when they try again.
        taken.map_err(|(_, why)| IamError::new("Throttling", 400, why))
    }
}

/// The long-term key of a user that counts for what is remembered of a caller.
fn key_of_user(who: &Who, access_key: &AccessKeyId) -> Option<String> {
    match who {
        Who::Root => None,
        Who::User(_) => Some(access_key.to_string()),
        Who::Session(session) => Some(session.parent.clone()),
    }
}

/// A form for the one action that nobody signs, which says so by having no signature at all.
fn unsigned(api: Api, head: &Parts, body: &Bytes) -> Option<Form> {
    let query = head.uri.query();
    let auth = AuthType::of(&head.method, &head.headers, query);
    if api != Api::Sts || !matches!(auth, Ok(AuthType::Anonymous)) {
        return None;
    }
    // What is asked for stands in one place: MinIO's clients put it into the query of a POST.
    let text = match (&head.method, query.unwrap_or_default()) {
        (&Method::POST, "") => &body[..],
        (&Method::POST | &Method::GET, query) if body.is_empty() => query.as_bytes(),
        _ => return None,
    };
    Form::parse(text).ok().filter(Sts::is_unsigned)
}

/// Whether the signer still wants it done.
fn in_time(until_s: Option<u64>, now: Timestamp) -> Result<(), IamError> {
    match until_s.is_none_or(|until| now.s() <= until) {
        true => Ok(()),
        false => Err(expired()),
    }
}

fn expired() -> IamError {
    let why = "Signature expired: sign the request anew.";
    IamError::new("SignatureDoesNotMatch", 403, why)
}

fn unauthenticated() -> IamError {
    IamError::new(
        "MissingAuthenticationToken",
        403,
        "The request is missing a valid AWS4-HMAC-SHA256 Authorization header.",
    )
}

impl Beside for IamForms {
    fn answer<'a>(
        &'a self,
        api: BesideApi,
        head: &'a Parts,
        body: Bytes,
        facts: RequestFacts,
        request_id: &'a str,
    ) -> BoxFuture<'a, Response<String>> {
        Box::pin(async move {
            let status = |error: &IamError| {
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            };
            let api = match api {
                BesideApi::Iam => Some(Api::Iam),
                BesideApi::Sts => Some(Api::Sts),
                BesideApi::AccountBlock => None,
            };
            let (status, text, takes_away) = match api {
                Some(api) => match self.act(api, head, &body, facts).await {
                    Ok((answer, takes)) => (StatusCode::OK, answer.xml(request_id), takes),
                    Err(error) => (status(&error), error.xml(api, request_id), false),
                },
                None => match self.act_on_block(head, &body, facts).await {
                    Ok((status, text)) => (status, text, head.method != Method::GET),
                    Err(error) => {
                        let text = account_block::refused(&error, request_id);
                        (status(&error), text, false)
                    }
                },
            };
            let mut answer = Response::new(text);
            *answer.status_mut() = status;
            if takes_away {
                let late = self.region.registry.not_yet_in(None).await;
                gateway::name_late(answer.headers_mut(), &late);
            }
            let kind = HeaderValue::from_static("text/xml");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            answer
        })
    }
}
