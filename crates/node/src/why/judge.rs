//! What a region decides of a question, by the code that decides its requests.

use std::{collections::BTreeSet, sync::Arc};

use access::{
    Action, Ask, AuthType, BucketAccess, Context, Explained, Facts, Identity, PublicAccessBlock,
    Refusal, RequestFacts, Resource, SigningKeys, Transport, Via,
    actions::{Keys, Kind},
    policy::{ActionName, Basis, Conditions, Decision, Explanation, Given, Lacks, Target},
};
use cloud::Registry;
use types::{AccountId, BucketDeed, BucketName, ObjectKey, Place, Timestamp};

use super::{ActionSays, Check, Judged, Question, Says, Verdict, shown};

/// What a question is about, once it was read.
#[derive(Debug, Clone)]
pub struct Wanted {
    action: Action,
    on: On,
    given: Given,
}

#[derive(Debug, Clone)]
enum On {
    Service,
    Bucket(BucketName),
    Object(BucketName, ObjectKey),
}

impl Wanted {
    /// Reads a question about an action of S3.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(question: &Question) -> Result<Self, String> {
        let given = given(question)?;
        let name = types::text::shown(&question.action, 128);
        let ActionName::S3(action) = ActionName::parse(&question.action) else {
            return Err(format!(
                "there is no action {name}: docs/actions.md lists them"
            ));
        };
        let bucket = |name: &str| BucketName::new(name).map_err(|e| e.to_string());
        let on = match (action.row().kind, Target::of_arn(&question.resource)) {
            (Kind::Service, _) => On::Service,
            (Kind::NewBucket | Kind::Bucket, Target::Bucket(name)) => On::Bucket(bucket(name)?),
            (Kind::Object, Target::Object { bucket: name, key }) => {
                let key = ObjectKey::new(key).map_err(|e| e.to_string())?;
                On::Object(bucket(name)?, key)
            }
            (Kind::NewBucket | Kind::Bucket, _) => {
                return Err(format!("{name} is on a bucket: arn:aws:s3:::BUCKET"));
            }
            (Kind::Object, _) => {
                return Err(format!("{name} is on an object: arn:aws:s3:::BUCKET/KEY"));
            }
        };
        Ok(Self { action, on, given })
    }

    /// The bucket, if the action is on one that is there.
    pub fn bucket(&self) -> Option<&BucketName> {
        match &self.on {
            On::Bucket(bucket) | On::Object(bucket, _) if self.action.has_deed() => Some(bucket),
            _ => None,
        }
    }

    fn resource(&self) -> Resource<'_> {
        match (&self.on, self.action.row().keys) {
            (On::Service, _) => Resource::Service,
            (On::Bucket(bucket), Keys::Under) => Resource::Keys { bucket, prefix: "" },
            (On::Bucket(bucket), _) => Resource::Bucket(bucket),
            (On::Object(bucket, key), _) => Resource::Object {
                bucket,
                key,
                version: None,
            },
        }
    }
}

/// The values of condition keys that a question states.
pub fn given(question: &Question) -> Result<Given, String> {
    let mut given = Given::default();
    for (key, value) in &question.given {
        given.add(key, value).map_err(|e| e.to_string())?;
    }
    Ok(given)
}

/// Who would ask.
fn identity(registry: &Registry, question: &Question) -> Result<Identity, String> {
    let Some(account) = &question.account else {
        return Ok(Identity::Anonymous);
    };
    let account = AccountId::new(account);
    let found = match (&question.session, &question.user) {
        (Some(policies), Some(role)) => registry.would_ask_as_role(&account, role, policies),
        (Some(_), None) => return Err("a session is of a role".to_owned()),
        (None, user) => registry.would_ask(&account, user.as_ref()),
    };
    found.ok_or_else(|| "the account is not known here yet".to_owned())
}

/// What a region knows that is asked.
pub struct Here<'a> {
    /// Accounts.
    pub registry: &'a Registry,
    /// The region.
    pub place: &'a Place,
    /// The bucket, where one is asked about.
    pub deed: Option<&'a Arc<BucketDeed>>,
    /// What its documents say; `None` where they are not here.
    pub access: Option<&'a BucketAccess>,
    /// The time.
    pub now: Timestamp,
}

/// Decides a question with what is known here.
///
/// # Errors
/// Says why it cannot be decided here.
pub fn judge(here: &Here<'_>, question: &Question) -> Result<Judged, String> {
    let principal = identity(here.registry, question)?;
    if !is_of_s3(&question.action) {
        return Ok(judge_iam(here, question, &principal));
    }
    let wanted = Wanted::read(question)?;
    let auth = match principal {
        Identity::Anonymous => AuthType::Anonymous,
        Identity::Key { ref account, .. } if here.registry.requires_asymmetric(account) => {
            AuthType::HeaderV4a
        }
        Identity::Key { .. } => AuthType::HeaderV4,
    };
    let facts = RequestFacts::of_connection(None, Transport::Tls);
    let facts = facts.signed(auth, Some(here.now)).read_at(here.now);
    let ask = Ask {
        principal: &principal,
        action: wanted.action,
        resource: wanted.resource(),
        context: Context {
            facts,
            creates: wanted.action == Action::PutObject,
            given_tags: Some(&[]),
            initiator: Some(None),
            given: Some(&wanted.given),
            ..Context::default()
        },
    };
    let block = here
        .deed
        .map(|deed| here.registry.account_block(&deed.owner));
    let facts = Facts {
        deed: here.deed,
        access: here.access,
        account_block: block.unwrap_or(PublicAccessBlock::NONE),
        here: here.place,
        via: &Via::Client,
    };
    let explained = access::explain(&ask, &facts);
    let Explained { refusal, documents } = explained;
    Ok(judged(here, question, refusal.into(), &documents))
}

/// Whether an action is one of S3: others are on no bucket.
pub fn is_of_s3(action: &str) -> bool {
    let service = action.split(':').next().unwrap_or_default();
    service.eq_ignore_ascii_case("s3")
}

/// An action of IAM on what the account has: the policies of the caller decide.
fn judge_iam(here: &Here<'_>, question: &Question, principal: &Identity) -> Judged {
    let given = given(question).unwrap_or_default();
    let lent = given.lend();
    let mut conditions = Conditions {
        current_time: Some(here.now),
        secure_transport: Some(true),
        requested_region: Some(&here.place.region),
        request_tags: Some(&[]),
        resource_tags: Some(&[]),
        ..Conditions::default()
    };
    lent.state(&mut conditions);
    let action = ActionName::parse(&question.action);
    let target = Target::of_arn(&question.resource);
    let explained = principal.explain(action, target, &conditions);
    let outcome = match explained.decision {
        decision if decision.is_allowed() => Outcome::Allowed,
        decision => Outcome::Documents(decision),
    };
    judged(here, question, outcome, &[explained])
}

/// What is decided of a question.
#[derive(Clone, Copy)]
enum Outcome {
    Allowed,
    /// Documents do not allow it.
    Documents(Decision),
    /// Something else refuses it.
    Refused(Refusal),
}

impl From<Option<Refusal>> for Outcome {
    fn from(refusal: Option<Refusal>) -> Self {
        match refusal {
            None => Self::Allowed,
            Some(Refusal::Policy(denied)) => Self::Documents(denied.decision),
            Some(refusal) => Self::Refused(refusal),
        }
    }
}

fn judged(
    here: &Here<'_>,
    question: &Question,
    outcome: Outcome,
    documents: &[Explanation],
) -> Judged {
    let (verdict, reason) = match outcome {
        Outcome::Allowed => (Verdict::Allowed, allowed_by(documents, question)),
        Outcome::Documents(decision) => (
            of_decision(&decision),
            shown::decision(&decision, deciding(documents, &decision), question),
        ),
        Outcome::Refused(
            refusal
            @ (Refusal::Elsewhere | Refusal::NotHome | Refusal::Sealed | Refusal::NeedsList),
        ) => (Verdict::Unknown, refusal.to_string()),
        Outcome::Refused(refusal) => (Verdict::Refused, refusal.to_string()),
    };
    let missing = documents.iter().flat_map(|explanation| {
        let counting = explanation.documents.iter().filter(|report| report.counts);
        let statements = counting.flat_map(|report| &report.statements);
        statements.flat_map(|statement| statement.missing.iter().cloned())
    });
    let missing: BTreeSet<String> = missing.collect();
    Judged {
        verdict,
        reason,
        principal: documents.iter().find_map(|d| d.principal.clone()),
        checks: checks(here, question, outcome),
        actions: documents
            .iter()
            .map(|explanation| ActionSays {
                action: explanation.action.clone(),
                verdict: of_decision(&explanation.decision),
                documents: shown::documents(explanation, question, here.access),
            })
            .collect(),
        missing: missing.into_iter().collect(),
        own_side: own_side(documents, question),
    }
}

/// Why the caller's own policies refuse it, whatever a bucket of another account says.
fn own_side(documents: &[Explanation], question: &Question) -> Option<String> {
    let refused = documents.iter().find(|explanation| {
        matches!(
            explanation.decision,
            Decision::ExplicitDeny(_)
                | Decision::ImplicitDeny(
                    Lacks::Guard | Lacks::Identity | Lacks::Boundary | Lacks::Session
                )
        )
    })?;
    Some(shown::decision(&refused.decision, Some(refused), question))
}

fn of_decision(decision: &Decision) -> Verdict {
    match decision {
        Decision::Allow(_) => Verdict::Allowed,
        Decision::ExplicitDeny(_) | Decision::ImplicitDeny(_) => Verdict::Refused,
        Decision::Needs(_) => Verdict::Unknown,
    }
}

/// The explanation of the action that was decided so.
fn deciding<'e>(all: &'e [Explanation], decision: &Decision) -> Option<&'e Explanation> {
    all.iter().find(|one| one.decision == *decision)
}

fn allowed_by(documents: &[Explanation], question: &Question) -> String {
    let Some(first) = documents.first() else {
        return "nothing stands in its way".to_owned();
    };
    match first.decision {
        Decision::Allow(Basis::Root) if question.user.is_none() => {
            "the account itself may do what accounts may, and nothing denies it".to_owned()
        }
        decision => shown::decision(&decision, Some(first), question),
    }
}

/// What is no document.
fn checks(here: &Here<'_>, question: &Question, outcome: Outcome) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(deed) = here.deed {
        let why = format!("{} is its home, and decided this", deed.home);
        checks.push(Check::new("placement", Says::Passes, why));
    }
    if let Some(access) = here.access {
        let asked = here.deed.zip(question.account.as_deref());
        let own = asked.is_some_and(|(deed, account)| access::is_account(account, &deed.owner));
        let takes = access.block.restrict_buckets && access.is_public() == Some(true) && !own;
        let (says, why) = match (access.is_public(), takes) {
            (Some(true), true) => (
                Says::Refuses,
                "the policy is public: RestrictPublicBuckets takes away what it grants to others",
            ),
            (Some(true), false) => (
                Says::Passes,
                "the policy is public, and nothing takes from it",
            ),
            _ => (Says::Passes, "the policy is not public"),
        };
        checks.push(Check::new("public access block", says, why));
    }
    match outcome {
        Outcome::Allowed | Outcome::Documents(_) => {}
        Outcome::Refused(refusal) => {
            checks.push(Check::new("request", Says::Refuses, refusal.to_string()))
        }
    }
    checks
}
