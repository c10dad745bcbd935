//! STS's query API: sessions of roles, of users and of the account itself.
//!
//! A session may never do more than whom it is of may do. Who may have a session of a role is said
//! by the role's trust policy and by the caller's own policies, both asked here; what a session may
//! do is asked with each request, wherever that is.

mod decode;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use access::{
    SessionOf, Who,
    policy::{ActionName, Conditions, Decision, Document, DocumentKind, Documents, Lacks, Target},
};
use cloud::{Assumable, Clients, Grant, GrantOf, NewSession, Pace, Registry, SESSION_S_MAX};
use types::{AccessKeyId, AccountId, Timestamp};

use crate::{
    Caller, Conditions as How, Form, IamError,
    answer::{Answer, Api, Node, invalid, time},
    call::Done,
    rows,
    web::{self, Issuers, Web},
};

/// The version of STS's API.
pub(crate) const VERSION: &str = "2011-06-15";
/// Shortest session, in seconds, and the longest one that another session of a role asks for.
const SESSION_S_MIN: u64 = 900;
const CHAINED_S_MAX: u64 = 3_600;
/// What sessions last that do not say.
pub(crate) const ROLE_S: u64 = 3_600;
const USER_S: u64 = 43_200;
const ROOT_S_MAX: u64 = 3_600;
/// Characters of a session policy.
const POLICY_MAX: usize = 2_048;
/// Managed policies that bound a session.
const POLICY_ARNS_MAX: usize = 10;
/// Tokens of one client that do not count.
const UNSIGNED: Pace = Pace {
    per_second: 2.0,
    burst: 200.0,
};
/// The code where a provider does not answer.
pub(crate) const NO_ANSWER: &str = "IDPCommunicationError";
/// Tags of a session.
const TAGS_MAX: usize = 50;

rows! {
    AssumeRole [RoleArn RoleSessionName DurationSeconds ExternalId Policy SourceIdentity
        SerialNumber TokenCode]
        [Tags TransitiveTagKeys PolicyArns];
    GetSessionToken [DurationSeconds SerialNumber TokenCode];
    GetFederationToken [Name DurationSeconds Policy] [Tags PolicyArns];
    GetCallerIdentity [];
    DecodeAuthorizationMessage [EncodedMessage];
}

/// What policies may allow of STS: its actions, and what goes with them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let own = ROWS.iter().map(|(_, row)| row.name);
    own.chain([web::ACTION, "TagSession", "SetSourceIdentity"])
}

/// The actions on the registry that is kept here.
pub struct Sts {
    registry: Arc<Registry>,
    issuers: Arc<dyn Issuers>,
    /// Who sends what nobody signs.
    strangers: Clients,
}

struct Call<'a> {
    registry: &'a Registry,
    caller: &'a Caller<'a>,
    access_key: &'a AccessKeyId,
    begun: u64,
    form: &'a Form,
}

/// A request that STS refuses for what it says.
pub(crate) fn denied(message: impl Into<String>) -> IamError {
    IamError::new("AccessDenied", 403, message)
}

/// Letters, digits, or one of `_+=,.@-`.
pub(crate) fn named<'f>(
    text: &'f str,
    field: &str,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<&'f str, IamError> {
    let good = |c: u8| c.is_ascii_alphanumeric() || b"_+=,.@-".contains(&c);
    match lengths.contains(&text.len()) && text.bytes().all(good) {
        true => Ok(text),
        false => Err(invalid(&format!(
            "{field} has {} to {} letters, digits, or one of _ + = , . @ -",
            lengths.start(),
            lengths.end()
        ))),
    }
}

/// How long a session lasts, of which the form may say something.
pub(crate) fn seconds(form: &Form, default: u64, most: u64) -> Result<u64, IamError> {
    let seconds = match form.get("DurationSeconds") {
        None => default.min(most),
        Some(text) => text
            .parse()
            .map_err(|_| invalid("DurationSeconds is a number"))?,
    };
    match (SESSION_S_MIN..=most).contains(&seconds) {
        true => Ok(seconds),
        false => Err(invalid(&format!(
            "DurationSeconds is {SESSION_S_MIN} to {most} here"
        ))),
    }
}

/// The policies that are to bound a session of this account: the text in the form, and managed
/// policies as they are now.
pub(crate) fn session_policies(
    registry: &Registry,
    account: &AccountId,
    form: &Form,
) -> Result<Vec<String>, IamError> {
    let own = form.get("Policy");
    let arns = form.arns("PolicyArns")?;
    let length = own.into_iter().chain(arns.iter().copied());
    if length.map(|text| text.chars().count()).sum::<usize>() > POLICY_MAX {
        return Err(IamError::new(
            "PackedPolicyTooLarge",
            400,
            format!("session policies and ARNs of them have at most {POLICY_MAX} characters"),
        ));
    }
    if arns.len() > POLICY_ARNS_MAX {
        return Err(invalid(&format!(
            "at most {POLICY_ARNS_MAX} managed policies bound a session"
        )));
    }
    let mut texts = Vec::new();
    if let Some(text) = own {
        Document::parse(text, DocumentKind::Session)
            .map_err(|error| IamError::new("MalformedPolicyDocument", 400, error.to_string()))?;
        texts.push(text.to_owned());
    }
    for arn in arns {
        let found = registry.policy_of_arn(account, arn);
        let found = found.and_then(|policy| {
            let mut versions = registry.versions_of_policy(&policy.id).into_iter();
            versions.find(|version| version.is_default)
        });
        let found = found.ok_or_else(|| {
            let arn = types::text::shown(arn, 256);
            invalid(&format!("the session's account has no policy {arn}"))
        })?;
        texts.push(compact(&found.text));
    }
    Ok(texts)
}

/// A document without white space: the room in a token is small.
fn compact(text: &str) -> String {
    let read = serde_json::from_str::<serde_json::Value>(text);
    read.map_or_else(|_| text.to_owned(), |document| document.to_string())
}

/// A session of a role, as answers name it.
pub(crate) fn assumed(role: &Assumable, name: &str) -> Node {
    let arn = format!(
        "arn:aws:sts::{}:assumed-role/{}/{name}",
        role.account, role.name
    );
    Node::Fields(vec![
        ("AssumedRoleId", format!("{}:{name}", role.id).into()),
        ("Arn", arn.into()),
    ])
}

impl Sts {
    /// Of this registry.
    pub fn new(registry: Arc<Registry>, issuers: Arc<dyn Issuers>) -> Self {
        Self {
            registry,
            issuers,
            strangers: Clients::new(UNSIGNED),
        }
    }

    /// Whether a form asks for what nobody signs.
    pub fn is_unsigned(form: &Form) -> bool {
        form.get("Action") == Some(web::ACTION)
    }

    /// Does what a form asks for that nobody has signed. `begun` is as in [`Self::act`].
    ///
    /// # Errors
    /// STS's, with its code.
    pub async fn act_unsigned(
        &self,
        conditions: How<'_>,
        begun: u64,
        form: &Form,
    ) -> Result<Answer, IamError> {
        let web = Web {
            registry: &self.registry,
            issuers: &*self.issuers,
            conditions,
            form,
            begun,
        };
        let (from, now) = (conditions.source, Instant::now());
        if !self.strangers.take(from, now) {
            let why = "too many tokens that were refused came from your address: try again later";
            return Err(IamError::new("Throttling", 400, why));
        }
        let answer = web.act().await;
        // What counted, and what a provider did not answer for, is no fault of the client.
        let is_at_fault = matches!(&answer, Err(error) if error.code != NO_ANSWER);
        if !is_at_fault {
            self.strangers.give_back(from);
        }
        answer
    }

    /// Whether a form asks only who sends it.
    pub fn only_asks(form: &Form) -> bool {
        form.get("Action") == Some("GetCallerIdentity")
    }

    /// Does what a form asks for. `begun` is how many entries the audit log had before the caller's
    /// signature was verified.
    ///
    /// # Errors
    /// STS's, with its code.
    pub fn act(
        &self,
        caller: &Caller<'_>,
        (access_key, begun): (&AccessKeyId, u64),
        form: &Form,
    ) -> Result<Answer, IamError> {
        let name = form.need("Action")?;
        let found = ROWS.iter().find(|(_, row)| row.name == name);
        let (op, row) = found.ok_or_else(|| {
            let name = types::text::shown(name, 64);
            IamError::new("InvalidAction", 400, format!("there is no action {name}"))
        })?;
        if form
            .get("Version")
            .is_some_and(|version| version != VERSION)
        {
            return Err(invalid(&format!("the version is {VERSION}")));
        }
        form.check(row.fields, row.lists)?;
        if ["SerialNumber", "TokenCode"]
            .iter()
            .any(|name| form.get(name).is_some())
        {
            return Err(denied(
                "There are no second factors here: ask without SerialNumber and TokenCode.",
            ));
        }
        let call = Call {
            registry: &self.registry,
            caller,
            access_key,
            begun,
            form,
        };
        let result = match op {
            Op::AssumeRole => call.assume_role(),
            Op::GetSessionToken => call.get_session_token(),
            Op::GetFederationToken => call.get_federation_token(),
            Op::GetCallerIdentity => Ok(call.get_caller_identity()),
            Op::DecodeAuthorizationMessage => call.decode_authorization_message(),
        };
        result.map(|result| Answer::of(Api::Sts, row.name, result))
    }
}

impl Call<'_> {
    fn get_caller_identity(&self) -> Option<Node> {
        let Caller { account, who, .. } = self.caller;
        let id = match who {
            Who::Root => account.to_string(),
            Who::User(user) => user.id.clone(),
            Who::Session(session) => match &session.of {
                SessionOf::Root => account.to_string(),
                SessionOf::User(user) => user.id.clone(),
                SessionOf::Role(role) => format!("{}:{}", role.id, session.name),
                SessionOf::Federated(_) => format!("{account}:{}", session.name),
            },
        };
        Some(Node::Fields(vec![
            ("UserId", id.into()),
            ("Account", account.to_string().into()),
            ("Arn", who.arn(account).into()),
        ]))
    }

    fn tags(&self) -> Result<BTreeMap<String, String>, IamError> {
        let tags = self.form.pairs("Tags")?;
        cloud::check_session_tags(&tags)?;
        Ok(tags)
    }

    fn session(&self) -> Option<&access::Session> {
        self.caller.who.session().map(|session| &**session)
    }

    /// The caller's documents, for what belongs to `owner`.
    fn own_documents<'a>(&'a self, owner: &'a str) -> Documents<'a> {
        self.caller.who.documents(owner, self.caller.guard)
    }

    /// Whether the caller may do something by its own documents, and by those of whom it is on.
    fn may(
        &self,
        action: &str,
        arn: &str,
        (conditions, documents): (&Conditions<'_>, Documents<'_>),
    ) -> Result<(), IamError> {
        let Caller { account, who, .. } = self.caller;
        let (action, target) = (ActionName::parse(action), Target::Arn(arn));
        let decided = who.decide_by(account, action, target, conditions, documents);
        decided.map_err(|decision| {
            tracing::info!(?who, ?decision, "a session was refused");
            self.refused(&action.to_string(), arn)
        })
    }

    /// Refuses what is denied by name, and what the guard policy does not allow. All else needs no
    /// permission.
    fn is_denied(&self, action: &str) -> Result<(), IamError> {
        let Caller {
            account,
            who,
            guard,
            ..
        } = self.caller;
        let (name, target) = (ActionName::parse(action), Target::Arn("*"));
        match who.decide((account, guard), name, target, &self.conditions()) {
            Err(Decision::ExplicitDeny(_) | Decision::ImplicitDeny(Lacks::Guard)) => {
                Err(self.refused(action, "*"))
            }
            _ => Ok(()),
        }
    }

    /// Not why: who asks may be of another account, and does not learn whether the role is there.
    fn refused(&self, action: &str, arn: &str) -> IamError {
        let caller = self.caller.who.arn(self.caller.account);
        let arn = types::text::shown(arn, 600);
        denied(format!(
            "User: {caller} is not authorized to perform: {action} on resource: {arn}"
        ))
    }

    fn conditions(&self) -> Conditions<'_> {
        let how = &self.caller.conditions;
        Conditions {
            current_time: Some(how.now),
            source_ip: how.source,
            secure_transport: Some(how.tls),
            user_agent: how.user_agent,
            requested_region: Some(how.region),
            ..Conditions::default()
        }
    }

    /// Refuses who never has a session of a role. Answers the session of a role that asks.
    fn may_assume_any(&self) -> Result<Option<&access::Session>, IamError> {
        let root = || Err(denied("Roles may not be assumed by root accounts."));
        match self.caller.who {
            Who::Root => root(),
            Who::User(_) => Ok(None),
            Who::Session(session) => match &session.of {
                SessionOf::Root => root(),
                SessionOf::Federated(_) => {
                    Err(denied("Cannot call AssumeRole with federated credentials."))
                }
                SessionOf::User(_) => Ok(None),
                SessionOf::Role(_) => Ok(Some(session)),
            },
        }
    }

    fn assume_role(&self) -> Done {
        let inherited = self.may_assume_any()?;
        let chained = inherited.is_some();
        let arn = self.form.need("RoleArn")?;
        let name = named(
            self.form.need("RoleSessionName")?,
            "RoleSessionName",
            2..=64,
        )?;
        let wanted = Wanted::read(self, inherited)?;
        let role = self.registry.assumable(arn);
        let role = role.ok_or_else(|| self.refused("sts:AssumeRole", arn))?;
        self.may_assume(&role, name, &wanted)?;
        let most = match chained {
            true => CHAINED_S_MAX.min(role.max_session_s),
            false => role.max_session_s,
        };
        let (parent, parent_account) = self.parent();
        let made = self.registry.issue_session(Grant {
            account: role.account.clone(),
            of: GrantOf::Role(role.id.clone()),
            name: name.to_owned(),
            tags: wanted.tags,
            transitive: wanted.transitive,
            source_identity: wanted.source_identity.clone(),
            policies: session_policies(self.registry, &role.account, self.form)?,
            parent,
            parent_account,
            provider: None,
            begun: self.begun,
            chained,
            seconds: seconds(self.form, ROLE_S, most)?,
        });
        let made = made.map_err(too_large)?;
        let mut fields = vec![
            ("Credentials", credentials(&made)),
            ("AssumedRoleUser", assumed(&role, name)),
            ("PackedPolicySize", made.packed.to_string().into()),
        ];
        if let Some(identity) = wanted.source_identity {
            fields.push(("SourceIdentity", identity.into()));
        }
        Ok(Some(Node::Fields(fields)))
    }

    /// Whether the caller may have a session of the role, named so, with these tags and with this
    /// source identity.
    fn may_assume(&self, role: &Assumable, name: &str, wanted: &Wanted) -> Result<(), IamError> {
        let keys: Vec<&str> = wanted.transitive.iter().map(String::as_str).collect();
        let given = wanted.tags.iter().map(|(k, v)| (&**k, &**v));
        let given: Vec<(&str, &str)> = given.collect();
        let has = role.tags.iter().map(|(k, v)| (&**k, &**v));
        let has: Vec<(&str, &str)> = has.collect();
        let conditions = Conditions {
            role_session_name: Some(name),
            external_id: self.form.get("ExternalId"),
            requested_source_identity: wanted.source_identity.as_deref(),
            transitive_tag_keys: (!keys.is_empty()).then_some(&keys[..]),
            request_tags: Some(&given),
            resource_tags: Some(&has),
            ..self.conditions()
        };
        let asked = [
            ("sts:AssumeRole", true),
            ("sts:TagSession", !wanted.tags.is_empty()),
            ("sts:SetSourceIdentity", wanted.source_identity.is_some()),
        ];
        for (action, _) in asked.into_iter().filter(|(_, is_asked)| *is_asked) {
            let documents = Documents {
                resource: Some(&role.trust),
                ..self.own_documents(&role.account)
            };
            self.may(action, &role.arn, (&conditions, documents))?;
        }
        Ok(())
    }

    /// The long-term key with which what the caller has began.
    fn parent(&self) -> (String, AccountId) {
        match self.session() {
            Some(session) => (session.parent.clone(), session.parent_account.clone()),
            None => (self.access_key.to_string(), self.caller.account.clone()),
        }
    }

    fn get_session_token(&self) -> Done {
        let (of, most) = match self.caller.who {
            Who::Root => (GrantOf::Root, ROOT_S_MAX),
            Who::User(user) => (GrantOf::User(user.id.clone()), SESSION_S_MAX),
            Who::Session(_) => {
                return Err(denied(
                    "Cannot call GetSessionToken with session credentials",
                ));
            }
        };
        self.is_denied("sts:GetSessionToken")?;
        let made = self.plain(of, "", USER_S, most, (BTreeMap::new(), Vec::new()))?;
        Ok(Some(Node::Fields(vec![(
            "Credentials",
            credentials(&made),
        )])))
    }

    fn get_federation_token(&self) -> Done {
        let name = named(self.form.need("Name")?, "Name", 2..=32)?;
        let (of, most) = match self.caller.who {
            Who::Root => (GrantOf::Federated(None), ROOT_S_MAX),
            Who::User(user) => (GrantOf::Federated(Some(user.id.clone())), SESSION_S_MAX),
            Who::Session(_) => {
                return Err(denied(
                    "Cannot call GetFederationToken with session credentials",
                ));
            }
        };
        let account = self.caller.account;
        let tags = self.tags()?;
        let arn = format!("arn:aws:sts::{account}:federated-user/{name}");
        let given: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (&**k, &**v)).collect();
        let conditions = Conditions {
            request_tags: Some(&given),
            resource_tags: Some(&[]),
            ..self.conditions()
        };
        let mut actions = vec!["sts:GetFederationToken"];
        if !tags.is_empty() {
            actions.push("sts:TagSession");
        }
        for action in actions {
            let documents = self.own_documents(account);
            self.may(action, &arn, (&conditions, documents))?;
        }
        let policies = session_policies(self.registry, account, self.form)?;
        let made = self.plain(of, name, USER_S, most, (tags, policies))?;
        Ok(Some(Node::Fields(vec![
            ("Credentials", credentials(&made)),
            (
                "FederatedUser",
                Node::Fields(vec![
                    ("FederatedUserId", format!("{account}:{name}").into()),
                    ("Arn", arn.into()),
                ]),
            ),
            ("PackedPolicySize", made.packed.to_string().into()),
        ])))
    }

    /// A session by a long-term key.
    fn plain(
        &self,
        of: GrantOf,
        name: &str,
        default: u64,
        most: u64,
        (tags, policies): (BTreeMap<String, String>, Vec<String>),
    ) -> Result<NewSession, IamError> {
        let account = self.caller.account;
        let made = self.registry.issue_session(Grant {
            account: account.clone(),
            of,
            name: name.to_owned(),
            tags,
            transitive: Vec::new(),
            source_identity: None,
            policies,
            parent: self.access_key.to_string(),
            parent_account: account.clone(),
            provider: None,
            begun: self.begun,
            chained: false,
            // What the account itself asks for is cut to an hour, and not refused.
            seconds: seconds(self.form, default, SESSION_S_MAX)?.min(most),
        });
        made.map_err(too_large)
    }
}

/// What a session of a role is to have.
struct Wanted {
    tags: BTreeMap<String, String>,
    transitive: Vec<String>,
    source_identity: Option<String>,
}

impl Wanted {
    /// Of a form, with what goes on from the session that asks.
    fn read(call: &Call<'_>, from: Option<&access::Session>) -> Result<Self, IamError> {
        let mut tags = call.tags()?;
        let mut transitive = Vec::new();
        for key in call.form.list("TransitiveTagKeys")? {
            let own = tags.keys().find(|own| own.eq_ignore_ascii_case(key));
            let own = own.ok_or_else(|| invalid("a transitive key is that of a tag"))?;
            transitive.push(own.clone());
        }
        let identity = call.form.get("SourceIdentity");
        let identity = identity.map(|text| named(text, "SourceIdentity", 2..=64));
        let mut source_identity = identity.transpose()?.map(str::to_owned);
        if let Some(session) = from {
            let passed = session.given.iter();
            for (key, value) in passed.filter(|(key, _)| session.transitive.contains(key)) {
                if tags.keys().any(|own| own.eq_ignore_ascii_case(key)) {
                    return Err(invalid(
                        "a tag that goes on from the session that asks cannot be given anew",
                    ));
                }
                tags.insert(key.clone(), value.clone());
                transitive.push(key.clone());
            }
            match (&session.source_identity, &source_identity) {
                (Some(own), Some(other)) if own != other => {
                    return Err(denied("the source identity of a session stays as it is"));
                }
                (Some(own), _) => source_identity = Some(own.clone()),
                (None, _) => {}
            }
        }
        if tags.len() > TAGS_MAX {
            return Err(invalid(&format!("a session has at most {TAGS_MAX} tags")));
        }
        Ok(Self {
            tags,
            transitive,
            source_identity,
        })
    }
}

pub(crate) fn too_large(error: cloud::CloudError) -> IamError {
    match error {
        cloud::CloudError::Limit(why) => IamError::new("PackedPolicyTooLarge", 400, why),
        error => error.into(),
    }
}

pub(crate) fn credentials(made: &NewSession) -> Node {
    let expires: Timestamp = made.expires;
    Node::Fields(vec![
        ("AccessKeyId", made.access_key.clone().into()),
        ("SecretAccessKey", made.secret_key.clone().into()),
        ("SessionToken", made.token.clone().into()),
        ("Expiration", time(expires.ms())),
    ])
}
