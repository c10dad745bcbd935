//! What policies would decide: of a user, group or role as they are, or of texts that are sent. By
//! the code that decides requests, with what the form says of the request.

use std::collections::BTreeSet;

use access::{
    GuardPolicy,
    policy::{
        self, ActionName, Conditions, Decision, Document, DocumentKind, Documents, Explanation,
        Given, NoValue, Principal, Source, Steps, Target, UserRef, Verdict,
    },
};
use cloud::{SentPolicy, SentUser};

use crate::{
    IamError,
    answer::{Node, invalid, missing},
    call::{About, Call, Done},
    comparing::STEPS_MAX,
};

/// Pairs of an action and a resource in one request.
const PAIRS_MAX: usize = 256;
/// Documents in one request.
const DOCUMENTS_MAX: usize = 50;

/// A document, and what it is called.
struct Named {
    name: String,
    kind: &'static str,
    text: String,
    document: Document,
}

impl Named {
    fn of_text(name: String, text: &str, kind: DocumentKind<'_>) -> Result<Self, IamError> {
        let document = Document::parse(text, kind);
        let document = document.map_err(|e| invalid(&format!("{name}: {e}")))?;
        Ok(Self {
            name,
            kind: "IAM Policy",
            text: text.to_owned(),
            document,
        })
    }

    /// One that is there. What cannot be read denies all, as it does for requests.
    fn of_policy(policy: SentPolicy, kind: &'static str, of: DocumentKind<'_>) -> Self {
        let document = Document::parse(&policy.text, of);
        Self {
            kind: match policy.name.contains(":policy/") {
                true if policy.name.starts_with("arn:aws:iam::aws:") => "aws-managed",
                true => "user-managed",
                false => kind,
            },
            document: document.unwrap_or_else(|_| Document::unreadable(of)),
            name: policy.name,
            text: policy.text,
        }
    }
}

/// Who asks.
#[derive(Default)]
struct Who {
    /// Of the caller's account; the account itself without one.
    user: Option<SentUser>,
    /// It is a role, of which a session asks.
    is_role: bool,
}

/// What a session is called that is only simulated.
const SESSION: &str = "simulated";

/// What is simulated.
struct Simulated<'a> {
    who: Who,
    identity: Vec<Named>,
    boundary: Option<Named>,
    guard: GuardPolicy,
    /// The account that owns what is asked for.
    owner: &'a str,
    resource_policy: Option<&'a str>,
    given: Given,
}

impl Call<'_> {
    pub fn simulate_principal_policy(&self) -> Done {
        let arn = self.form.need("PolicySourceArn")?;
        self.may(arn, &About::default())?;
        let (who, mut identity, boundary) = self.source(arn)?;
        identity.extend(self.input("PolicyInputList", DocumentKind::Identity)?);
        let caller = match self.form.get("CallerArn") {
            None => who,
            Some(arn) => self.caller_by(arn)?,
        };
        let guard = self.registry.guard_of(self.caller.account);
        self.simulate(caller, (identity, boundary, guard))
    }

    pub fn simulate_custom_policy(&self) -> Done {
        self.may("*", &About::default())?;
        let identity = self.input("PolicyInputList", DocumentKind::Identity)?;
        if identity.is_empty() {
            return Err(invalid("the field PolicyInputList is missing"));
        }
        let caller = match self.form.get("CallerArn") {
            None => Who::default(),
            Some(arn) => self.caller_by(arn)?,
        };
        // Texts are nobody's: no account bounds them.
        self.simulate(caller, (identity, None, GuardPolicy::default()))
    }

    pub fn context_keys_of_principal(&self) -> Done {
        let arn = self.form.need("PolicySourceArn")?;
        self.may(arn, &About::default())?;
        let (_, mut all, _) = self.source(arn)?;
        all.extend(self.input("PolicyInputList", DocumentKind::Identity)?);
        Ok(Some(keys_of(&all)))
    }

    pub fn context_keys_of_policies(&self) -> Done {
        self.may("*", &About::default())?;
        let all = self.input("PolicyInputList", DocumentKind::Identity)?;
        if all.is_empty() {
            return Err(invalid("the field PolicyInputList is missing"));
        }
        Ok(Some(keys_of(&all)))
    }

    /// The documents of a list of texts.
    fn input(&self, list: &str, kind: DocumentKind<'_>) -> Result<Vec<Named>, IamError> {
        let texts = self.form.list(list)?.into_iter().enumerate();
        let all: Result<Vec<Named>, IamError> = texts
            .map(|(n, text)| Named::of_text(format!("{list}.{}", n + 1), text, kind))
            .collect();
        let all = all?;
        match all.len() <= DOCUMENTS_MAX {
            true => Ok(all),
            false => Err(invalid(&format!(
                "{list} has at most {DOCUMENTS_MAX} members"
            ))),
        }
    }

    /// Who is named as the one who asks. Conditions see that one's tags: it needs the same right.
    fn caller_by(&self, arn: &str) -> Result<Who, IamError> {
        self.may(arn, &About::default())?;
        self.who_of_arn(arn)
    }

    /// A user or role of the caller's account.
    fn who_of_arn(&self, arn: &str) -> Result<Who, IamError> {
        let (registry, account) = (self.registry, self.caller.account);
        let name = arn.rsplit('/').next().unwrap_or_default();
        let is_role = arn.starts_with(&format!("arn:aws:iam::{account}:role/"));
        let told = match is_role {
            true => {
                let found = registry.role_named(account, name);
                let found = found.filter(|role| role.arn == arn);
                found.and_then(|role| registry.told_of_role(&role.id))
            }
            false => {
                let found = registry.user_named(account, name);
                let found = found.filter(|user| user.arn == arn);
                found.and_then(|user| registry.told_of_user(&user.id))
            }
        };
        let user = Some(told.ok_or_else(|| no_entity(arn))?);
        Ok(Who { user, is_role })
    }

    /// The documents of a user, group or role.
    fn source(&self, arn: &str) -> Result<(Who, Vec<Named>, Option<Named>), IamError> {
        let kind = DocumentKind::Identity;
        let head = format!("arn:aws:iam::{}:group/", self.caller.account);
        if arn.starts_with(&head) {
            let name = arn.rsplit('/').next().unwrap_or_default();
            let found = self.registry.group_named(self.caller.account, name);
            let group = found.filter(|group| group.arn == arn);
            let group = group.ok_or_else(|| no_entity(arn))?;
            let all = self.registry.told_of_group(&group.id).into_iter();
            let all = all.map(|policy| Named::of_policy(policy, "group", kind));
            return Ok((Who::default(), all.collect(), None));
        }
        let who = self.who_of_arn(arn)?;
        let of = match who.is_role {
            true => "role",
            false => "user",
        };
        let told = who.user.as_ref();
        let all = told.iter().flat_map(|told| told.policies.iter().cloned());
        let all = all
            .map(|policy| Named::of_policy(policy, of, kind))
            .collect();
        let boundary = told.and_then(|told| told.boundary.clone());
        let boundary = boundary.map(|policy| Named::of_policy(policy, of, DocumentKind::Boundary));
        Ok((who, all, boundary))
    }

    fn simulate(
        &self,
        who: Who,
        (identity, boundary, guard): (Vec<Named>, Option<Named>, GuardPolicy),
    ) -> Done {
        let input = self.input("PermissionsBoundaryPolicyInputList", DocumentKind::Boundary)?;
        if input.len() > 1 {
            return Err(invalid("a user has one permissions boundary at most"));
        }
        let owner = match self.form.get("ResourceOwner") {
            None => &**self.caller.account,
            Some(owner) => owner
                .strip_prefix("arn:aws:iam::")
                .and_then(|rest| rest.strip_suffix(":root"))
                .unwrap_or(owner),
        };
        let simulated = Simulated {
            who,
            identity,
            boundary: input.into_iter().next().or(boundary),
            guard,
            owner,
            resource_policy: self.form.get("ResourcePolicy"),
            given: self.given()?,
        };
        let actions = self.form.list("ActionNames")?;
        let mut resources = self.form.list("ResourceArns")?;
        if resources.is_empty() {
            resources.push("*");
        }
        let few = actions.len() * resources.len() <= PAIRS_MAX;
        if actions.is_empty() || !few {
            return Err(invalid(&format!(
                "ActionNames has at least one member, and all actions on all resources are at most \
                 {PAIRS_MAX}"
            )));
        }
        if let Some(wrong) = actions.iter().find(|name| !name.contains(':')) {
            let wrong = types::text::shown(wrong, 64);
            return Err(invalid(&format!("{wrong} is no action: SERVICE:NAME")));
        }
        let account = self.caller.account;
        self.comparing.take(account, self.caller.conditions.now)?;
        let steps = Steps::new(STEPS_MAX);
        let results = self.results(&simulated, (&actions, &resources), &steps);
        self.comparing.give_back(account, steps.left());
        let results = results?;
        Ok(Some(Node::Fields(self.page("EvaluationResults", results)?)))
    }

    /// Each action on each resource, while there are steps left.
    fn results(
        &self,
        simulated: &Simulated<'_>,
        (actions, resources): (&[&str], &[&str]),
        steps: &Steps,
    ) -> Result<Vec<(String, Node)>, IamError> {
        let mut results = Vec::new();
        for action in actions {
            for resource in resources {
                let key = format!("{:06}", results.len());
                let node = self.result(simulated, (action, resource), steps)?;
                if steps.left() == 0 {
                    return Err(invalid(
                        "these policies, actions and resources together need too much comparing \
                         for one request: simulate fewer at once",
                    ));
                }
                results.push((key, node));
            }
        }
        Ok(results)
    }

    /// What the form says of the request. Keys of the caller are what the caller is; of keys that
    /// no request has here, none is taken.
    fn given(&self) -> Result<Given, IamError> {
        let mut given = Given::default();
        for (name, values) in self.form.context()? {
            for value in values {
                match given.add(name, value) {
                    Ok(()) | Err(NoValue::OfCaller(_) | NoValue::Unknown(_)) => {}
                    Err(wrong @ NoValue::Type(..)) => return Err(invalid(&wrong.to_string())),
                }
            }
        }
        Ok(given)
    }

    fn result(
        &self,
        simulated: &Simulated<'_>,
        (action, resource): (&str, &str),
        steps: &Steps,
    ) -> Result<Node, IamError> {
        let policy = simulated.resource_policy.map(|text| {
            let kind = match Target::of_arn(resource) {
                Target::Bucket(bucket) | Target::Object { bucket, .. } => {
                    DocumentKind::Bucket(bucket)
                }
                _ => {
                    return Err(invalid(
                        "ResourcePolicy is a bucket's, and goes with its ARN",
                    ));
                }
            };
            Named::of_text("ResourcePolicy".to_owned(), text, kind)
        });
        let policy = policy.transpose()?;
        let identity: Vec<Document> = simulated
            .identity
            .iter()
            .map(|own| own.document.clone())
            .collect();
        let documents = Documents {
            owner: simulated.owner,
            guard: simulated.guard.document(),
            resource: policy.as_ref().map(|own| &own.document),
            identity: &identity,
            boundary: simulated.boundary.as_ref().map(|own| &own.document),
            ..Documents::default()
        };
        let explained = self.explained(simulated, (action, resource), (&documents, steps));
        Ok(shown(&explained, simulated, policy.as_ref()))
    }

    fn explained(
        &self,
        simulated: &Simulated<'_>,
        (action, resource): (&str, &str),
        (documents, steps): (&Documents<'_>, &Steps),
    ) -> Explanation {
        let account = &**self.caller.account;
        let user = simulated.who.user.as_ref();
        let tags: Vec<(&str, &str)> = user
            .iter()
            .flat_map(|user| user.tags.iter().map(|(key, value)| (&**key, &**value)))
            .collect();
        let lent = simulated.given.lend();
        let none: policy::Tags<'_> = &[];
        let mut conditions = Conditions {
            steps: Some(steps),
            current_time: Some(self.caller.conditions.now),
            requested_region: Some(self.caller.conditions.region),
            existing_object_tags: Some(none),
            request_object_tags: Some(none),
            resource_tags: Some(none),
            request_tags: Some(none),
            ..Conditions::default()
        };
        lent.state(&mut conditions);
        let request = policy::Request {
            principal: &principal(account, &simulated.who, &tags),
            action: ActionName::parse(action),
            target: Target::of_arn(resource),
            conditions: &conditions,
        };
        policy::explain(&request, documents)
    }
}

/// Who asks, as policies name it. Texts that nobody has are asked as those of a user.
fn principal<'p>(account: &'p str, who: &'p Who, tags: policy::Tags<'p>) -> Principal<'p> {
    let (path, name, id) = match &who.user {
        Some(told) => (&*told.path, &*told.name, &*told.id),
        None => ("/", "", ""),
    };
    match who.is_role {
        true => Principal::RoleSession {
            account,
            path,
            role: name,
            id,
            session: SESSION,
            provider: None,
            tags,
        },
        false => Principal::User {
            account,
            user: UserRef { path, name, id },
            tags,
        },
    }
}

fn no_entity(arn: &str) -> IamError {
    let arn = types::text::shown(arn, 256);
    missing(format!("There is no user, group or role {arn}."))
}

fn keys_of(all: &[Named]) -> Node {
    let keys = all.iter().flat_map(|own| own.document.keys());
    let keys: BTreeSet<String> = keys.collect();
    let keys = keys.into_iter().map(Node::from).collect();
    Node::Fields(vec![("ContextKeyNames", Node::List(keys))])
}

fn shown(explained: &Explanation, simulated: &Simulated<'_>, policy: Option<&Named>) -> Node {
    let (word, denies) = match explained.decision {
        Decision::Allow(_) => ("allowed", Some(false)),
        Decision::ExplicitDeny(_) => ("explicitDeny", Some(true)),
        // What nobody has said of the request is not there.
        Decision::ImplicitDeny(_) | Decision::Needs(_) => ("implicitDeny", None),
    };
    // Whoever simulates does not learn what the guard policy says, only whether it allows.
    let counting = explained.documents.iter();
    let counting = counting.filter(|report| report.counts && report.source != Source::Guard);
    let (mut matched, mut missing) = (Vec::new(), BTreeSet::new());
    for report in counting {
        let named = match report.source {
            Source::Identity(n) => simulated.identity.get(n),
            Source::Boundary => simulated.boundary.as_ref(),
            Source::Guard => None,
            Source::Resource | Source::Session(_) => policy,
        };
        for own in &report.statements {
            missing.extend(own.missing.iter().cloned());
            let matches = match own.verdict {
                Verdict::Matches(_) | Verdict::TooCostly => true,
                Verdict::Ambiguous => own.denies,
                Verdict::Differs(_) | Verdict::Unknown(_) => false,
            };
            if let (true, Some(named)) = (matches && denies == Some(own.denies), named) {
                matched.push(statement(named, own.statement));
            }
        }
    }
    let mut fields = vec![
        ("EvalActionName", Node::from(&*explained.action)),
        ("EvalResourceName", explained.target.clone().into()),
        ("EvalDecision", word.into()),
        ("MatchedStatements", Node::List(matched)),
        (
            "MissingContextValues",
            Node::List(missing.into_iter().map(Node::from).collect()),
        ),
    ];
    let has = |source: Source, denies: bool| {
        let mut all = explained.documents.iter();
        let report = all.find(|report| report.source == source);
        let is = |verdict: &Verdict| matches!(verdict, Verdict::Matches(_));
        let statements = report.map(|report| &report.statements[..]);
        let mut statements = statements.unwrap_or_default().iter();
        statements.any(|own| own.denies == denies && is(&own.verdict))
    };
    if simulated.boundary.is_some() {
        let allowed = has(Source::Boundary, false);
        let detail = vec![("AllowedByPermissionsBoundary", allowed.into())];
        fields.push(("PermissionsBoundaryDecisionDetail", Node::Fields(detail)));
    }
    if !simulated.guard.is_none() {
        let allowed = has(Source::Guard, false) && !has(Source::Guard, true);
        let detail = vec![("AllowedByOrganizations", allowed.into())];
        fields.push(("OrganizationsDecisionDetail", Node::Fields(detail)));
    }
    Node::Fields(fields)
}

/// A statement that decided, and where it stands.
fn statement(named: &Named, number: usize) -> Node {
    let mut fields = vec![
        ("SourcePolicyId", Node::from(&*named.name)),
        ("SourcePolicyType", named.kind.into()),
    ];
    if let Some((start, end)) = policy::span(&named.text, number) {
        let place = |(line, column): (usize, usize)| {
            Node::Fields(vec![
                ("Line", line.to_string().into()),
                ("Column", column.to_string().into()),
            ])
        };
        fields.push(("StartPosition", place(start)));
        fields.push(("EndPosition", place(end)));
    }
    Node::Fields(fields)
}
