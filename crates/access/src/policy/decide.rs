//! The decision over all documents. The order of documents and statements never matters, and what
//! no document allows is refused.

use super::{
    document::{DENY, Document, Slot},
    evaluate::{Asked, Outcome, Request, Strength, statement},
    keys::Need,
    names::ActionName,
    principal::Principal,
    resource::Target,
};

/// Whom access control lists grant an action to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AclGrants {
    /// The principal's account.
    pub account: bool,
    /// `AuthenticatedUsers`: everybody who signs.
    pub authenticated_users: bool,
    /// `AllUsers`: everybody.
    pub all_users: bool,
}

/// What access control lists say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acl<'a> {
    /// They play no part: the bucket's owner owns all of its objects.
    #[default]
    Off,
    /// They do, but the object's is not loaded.
    NotLoaded,
    /// What the list grants of the action that is asked for. Of an action on a bucket, or one that
    /// makes an object, it is the bucket's list.
    Loaded {
        /// To whom.
        grants: AclGrants,
        /// The account that owns the object; `None` where there is none.
        object_owner: Option<&'a str>,
    },
}

/// All that may say something about a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Documents<'a> {
    /// The account that owns the bucket. For what is on no bucket that exists: the account whose
    /// matter it is, such as the caller's for `s3:CreateBucket`, or that of the user or role.
    pub owner: &'a str,
    /// What bounds the caller's account.
    pub guard: Option<&'a Document>,
    /// The bucket's policy, or the trust policy of a role.
    pub resource: Option<&'a Document>,
    /// The policies of the caller: of a user, and of the groups that it is in, or of a role. The
    /// account itself has none.
    pub identity: &'a [Document],
    /// What bounds the user or role.
    pub boundary: Option<&'a Document>,
    /// What bounds the session. It may do what any of them allows; with none there is no bound,
    /// but for a session of `GetFederationToken`, which then may do nothing by itself.
    pub sessions: &'a [Document],
    /// What access control lists say.
    pub acl: Acl<'a>,
    /// `RestrictPublicBuckets`, of the bucket or its account.
    pub restrict_public_buckets: bool,
    /// `IgnorePublicAcls`, of the bucket or its account.
    pub ignore_public_acls: bool,
}

/// Which of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// [`Documents::guard`].
    Guard,
    /// [`Documents::resource`].
    Resource,
    /// [`Documents::identity`], by place.
    Identity(usize),
    /// [`Documents::boundary`].
    Boundary,
    /// [`Documents::sessions`], by place.
    Session(usize),
}

/// A statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Found {
    /// In which document.
    pub document: Source,
    /// Its place in the document's text, from 0 ([`Document::sid`]).
    pub statement: usize,
}

/// What a permission rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// A statement.
    Statement(Found),
    /// The caller is the account that owns it, or acts for that.
    Root,
    /// An access control list.
    Acl,
}

/// What has no `Allow` and would need one. The first that lacks is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lacks {
    /// What bounds the account.
    Guard,
    /// The caller's policies.
    Identity,
    /// What bounds the user or role.
    Boundary,
    /// What bounds the session.
    Session,
    /// The policy or access control list of the bucket, or the role's trust policy.
    Resource,
}

/// What the documents say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Yes.
    Allow(Basis),
    /// A statement denies it, or compares so much that it cannot be found out whether it does.
    /// Nothing else counts.
    ExplicitDeny(Found),
    /// Nothing denies it, but not all that must allow it do. To be refused as well.
    ImplicitDeny(Lacks),
    /// It depends on what was not loaded: to be asked again with it. No permission.
    Needs(Need),
}

impl Decision {
    /// Whether it is a permission. Nothing else is one: not being denied is not being allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// Why not, in the words that follow "is not authorized to perform … on resource …": those of
    /// S3. `None` if it is allowed, or not decided.
    pub fn reason(&self, action: &ActionName<'_>) -> Option<String> {
        match self {
            Self::Allow(_) | Self::Needs(_) => None,
            Self::ExplicitDeny(found) => {
                let kind = match found.document {
                    Source::Guard => "a service control policy",
                    Source::Resource => "a resource-based policy",
                    Source::Identity(_) => "an identity-based policy",
                    Source::Boundary => "a permissions boundary",
                    Source::Session(_) => "a session policy",
                };
                Some(format!("with an explicit deny in {kind}"))
            }
            Self::ImplicitDeny(lacks) => {
                let kind = match lacks {
                    Lacks::Guard => "service control policy",
                    Lacks::Identity => "identity-based policy",
                    Lacks::Boundary => "permissions boundary",
                    Lacks::Session => "session policy",
                    Lacks::Resource => "resource-based policy",
                };
                Some(format!("because no {kind} allows the {action} action"))
            }
        }
    }
}

/// Whether only principals of the account that owns the bucket may do it, whatever the bucket's
/// policy says. Who is not of it gets `MethodNotAllowed` if it is allowed, and is refused if not.
pub fn is_for_owner_only(action: &ActionName<'_>) -> bool {
    is_any_of(
        action,
        &[
            "GetBucketPolicy",
            "PutBucketPolicy",
            "DeleteBucketPolicy",
            "GetBucketPolicyStatus",
        ],
    )
}

/// What the account that owns the bucket may do whatever the bucket's policy denies: else a policy
/// that denies all could never be taken away.
fn is_never_locked(action: &ActionName<'_>) -> bool {
    is_any_of(
        action,
        &["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"],
    )
}

/// What the owner of the bucket may do with an object that another account owns, as if it were its
/// own.
fn is_for_bucket_owner(action: &ActionName<'_>) -> bool {
    is_any_of(
        action,
        &[
            "DeleteObject",
            "DeleteObjectVersion",
            "RestoreObject",
            "AbortMultipartUpload",
            "ListMultipartUploadParts",
        ],
    )
}

fn is_any_of(action: &ActionName<'_>, names: &[&str]) -> bool {
    match action {
        ActionName::S3(action) => names.contains(&action.row().name),
        ActionName::Named(name) => match name.split_once(':') {
            Some((service, name)) if service.eq_ignore_ascii_case("s3") => {
                names.iter().any(|own| own.eq_ignore_ascii_case(name))
            }
            _ => false,
        },
    }
}

/// Whether an action gives a role, which never happens without the role's own document.
fn needs_trust(action: &ActionName<'_>) -> bool {
    const HEAD: &str = "sts:AssumeRole";
    match action {
        ActionName::S3(_) => false,
        ActionName::Named(name) => name
            .get(..HEAD.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(HEAD)),
    }
}

/// An `Allow` that was found, and what could be one.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    allows: Option<(Found, Strength)>,
    unknown: Option<Need>,
    /// The statement that cannot be decided.
    costly: Option<Found>,
}

impl Side {
    fn of(document: Option<(&Document, Source)>, asked: &Asked<'_>) -> Self {
        let mut side = Self::default();
        let Some((document, source)) = document else {
            return side;
        };
        let inner = &*document.0;
        for own in inner.statements.iter().filter(|own| !own.is(DENY)) {
            let found = Found {
                document: source,
                statement: own.number.into(),
            };
            match statement(inner, own, asked) {
                Outcome::TooCostly => {
                    side.costly = Some(found);
                    break;
                }
                Outcome::Matches(strength) => {
                    if side.allows.is_none_or(|(_, best)| strength > best) {
                        side.allows = Some((found, strength));
                    }
                    if strength == Strength::Direct {
                        break;
                    }
                }
                Outcome::Unknown(need) => side.unknown = Some(need),
                Outcome::Differs(_) | Outcome::Ambiguous => {}
            }
        }
        side
    }

    /// The first that allows.
    fn any<'d>(documents: impl Iterator<Item = (&'d Document, Source)>, asked: &Asked<'_>) -> Self {
        let mut all = Self::default();
        for document in documents {
            let side = Self::of(Some(document), asked);
            all.unknown = all.unknown.or(side.unknown);
            all.costly = all.costly.or(side.costly);
            if side.allows.is_some() {
                all.allows = side.allows;
                break;
            }
        }
        all
    }

    fn found(&self) -> Option<Found> {
        self.allows.map(|(found, _)| found)
    }
}

impl<'a> Documents<'a> {
    /// All of them, with what they are.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'a Document, Source)> + use<'a> {
        let one = |document: Option<&'a Document>, source| {
            document.map(|document| (document, source)).into_iter()
        };
        one(self.guard, Source::Guard)
            .chain(one(self.resource, Source::Resource))
            .chain(of(self.identity, Source::Identity))
            .chain(one(self.boundary, Source::Boundary))
            .chain(of(self.sessions, Source::Session))
    }

    /// What a source names.
    pub fn get(&self, source: Source) -> Option<&'a Document> {
        match source {
            Source::Guard => self.guard,
            Source::Resource => self.resource,
            Source::Identity(n) => self.identity.get(n),
            Source::Boundary => self.boundary,
            Source::Session(n) => self.sessions.get(n),
        }
    }

    /// Those that count: who signs nothing, and services, have no guard.
    pub(super) fn counts(&self, source: Source, request: &Request<'_>) -> bool {
        let root = match request.principal {
            Principal::Root { account } => *account == self.owner,
            _ => false,
        };
        match source {
            Source::Guard => request.principal.account().is_some(),
            Source::Resource => !(root && is_never_locked(&request.action)),
            _ => true,
        }
    }
}

fn of(
    documents: &[Document],
    source: fn(usize) -> Source,
) -> impl Iterator<Item = (&Document, Source)> {
    let numbered = documents.iter().enumerate();
    numbered.map(move |(n, document)| (document, source(n)))
}

/// Decides.
pub fn decide(request: &Request<'_>, documents: &Documents<'_>) -> Decision {
    let asked = Asked::new(request, documents.owner);
    let mut unknown = None;
    for (document, source) in documents.all() {
        if !documents.counts(source, request) {
            continue;
        }
        let inner = &*document.0;
        for own in inner.statements.iter().take_while(|own| own.is(DENY)) {
            match statement(inner, own, &asked) {
                // What cannot be decided is a refusal.
                Outcome::Matches(_) | Outcome::TooCostly | Outcome::Ambiguous => {
                    return Decision::ExplicitDeny(Found {
                        document: source,
                        statement: own.number.into(),
                    });
                }
                Outcome::Unknown(need) => unknown = Some(need),
                Outcome::Differs(_) => {}
            }
        }
    }
    if let Some(need) = unknown {
        return Decision::Needs(need);
    }
    if let Some(guard) = documents
        .guard
        .filter(|_| request.principal.account().is_some())
    {
        let side = Side::of(Some((guard, Source::Guard)), &asked);
        match (side.allows, side.costly, side.unknown) {
            (_, Some(found), _) => return Decision::ExplicitDeny(found),
            (Some(_), None, _) => {}
            (None, None, Some(need)) => return Decision::Needs(need),
            (None, None, None) => return Decision::ImplicitDeny(Lacks::Guard),
        }
    }
    Sides::new(documents, &asked).decide()
}

/// What each side allows.
struct Sides<'s, 'a> {
    documents: &'s Documents<'a>,
    asked: &'s Asked<'a>,
    resource: Side,
    identity: Side,
    boundary: Side,
    session: Side,
}

impl<'s, 'a> Sides<'s, 'a> {
    fn new(documents: &'s Documents<'a>, asked: &'s Asked<'a>) -> Self {
        let resource = documents.resource.map(|own| (own, Source::Resource));
        let boundary = documents.boundary.map(|own| (own, Source::Boundary));
        Self {
            documents,
            asked,
            resource: Side::of(resource, asked),
            identity: Side::any(of(documents.identity, Source::Identity), asked),
            boundary: Side::of(boundary, asked),
            session: Side::any(of(documents.sessions, Source::Session), asked),
        }
    }

    fn principal(&self) -> &Principal<'a> {
        self.asked.request.principal
    }

    fn decide(&self) -> Decision {
        let sides = [self.resource, self.identity, self.boundary, self.session];
        if let Some(found) = sides.iter().find_map(|side| side.costly) {
            return Decision::ExplicitDeny(found);
        }
        let decision = match self.documents.acl {
            Acl::Off => self.with(AclGrants::default(), None),
            Acl::Loaded {
                grants,
                object_owner,
            } => self.with(grants, object_owner),
            Acl::NotLoaded => {
                // Whatever the list says and whoever owns the object.
                let all = AclGrants {
                    account: true,
                    authenticated_users: true,
                    all_users: true,
                };
                let best = self.with(all, None).is_allowed()
                    || self.with(all, self.principal().account()).is_allowed();
                match best {
                    true => Decision::Needs(Need::Acl),
                    false => self.with(AclGrants::default(), None),
                }
            }
        };
        let unknown = sides.iter().find_map(|side| side.unknown);
        match (decision, unknown) {
            (Decision::ImplicitDeny(_), Some(need)) => Decision::Needs(need),
            (decision, _) => decision,
        }
    }

    /// With what the list grants, and the account that owns the object.
    fn with(&self, mut grants: AclGrants, object_owner: Option<&str>) -> Decision {
        if self.documents.ignore_public_acls {
            grants.all_users = false;
            grants.authenticated_users = false;
        }
        let bucket_owner = self.documents.owner;
        let action = &self.asked.request.action;
        let by_owner =
            self.principal().account() == Some(bucket_owner) && is_for_bucket_owner(action);
        let owner = object_owner.filter(|_| !by_owner).unwrap_or(bucket_owner);
        // The bucket's owner has no say in who gets what another account owns.
        let granted = self.granted().filter(|_| owner == bucket_owner);
        let (signed, of_group) = match self.principal() {
            Principal::Anonymous => (false, grants.all_users),
            Principal::WebIdentity { .. } | Principal::Service { .. } => (false, false),
            _ => (true, grants.all_users || grants.authenticated_users),
        };
        if !signed {
            return match granted {
                Some((found, Strength::Direct)) => Decision::Allow(Basis::Statement(found)),
                _ if of_group => Decision::Allow(Basis::Acl),
                _ => Decision::ImplicitDeny(Lacks::Resource),
            };
        }
        match self.principal().account() == Some(owner) {
            true => self.of_owner(granted, of_group),
            false => self.of_another(granted, of_group || grants.account),
        }
    }

    /// What the resource's document grants, less what the public access block takes.
    fn granted(&self) -> Option<(Found, Strength)> {
        let public = self.documents.resource.is_some_and(Document::is_public);
        let own = match self.principal() {
            Principal::Service { .. } => true,
            principal => principal.account() == Some(self.documents.owner),
        };
        let off = self.documents.restrict_public_buckets && public && !own;
        self.resource.allows.filter(|_| !off)
    }

    /// Whether what gives a role says so itself, which nothing else can replace.
    fn trust(&self) -> bool {
        let slot = self.documents.resource.map(|document| document.0.slot);
        slot == Some(Slot::Trust) || needs_trust(&self.asked.request.action)
    }

    fn is_root(&self) -> bool {
        matches!(
            self.principal(),
            Principal::Root { .. } | Principal::Federated { user: None, .. }
        )
    }

    /// What lacks of what bounds a user, role or session.
    fn cap(&self) -> Option<Lacks> {
        let federated = matches!(self.principal(), Principal::Federated { .. });
        let bounded = federated || !self.documents.sessions.is_empty();
        if self.documents.boundary.is_some() && self.boundary.allows.is_none() {
            Some(Lacks::Boundary)
        } else if bounded && self.session.allows.is_none() {
            Some(Lacks::Session)
        } else {
            None
        }
    }

    /// What the principal's own side rests on.
    fn own(&self) -> Result<Basis, Lacks> {
        if matches!(self.principal(), Principal::Root { .. }) {
            return Ok(Basis::Root);
        }
        let basis = match self.identity.found() {
            Some(found) => Basis::Statement(found),
            None if self.is_root() => Basis::Root,
            None => return Err(Lacks::Identity),
        };
        match self.cap() {
            Some(lacks) => Err(lacks),
            None => Ok(basis),
        }
    }

    fn of_owner(&self, granted: Option<(Found, Strength)>, of_group: bool) -> Decision {
        let trust = self.trust();
        let own = match (granted, trust) {
            (Some((found, Strength::Direct)), _) => {
                return Decision::Allow(Basis::Statement(found));
            }
            (Some((found, Strength::Role)), _) => match self.cap() {
                None => Ok(Basis::Statement(found)),
                Some(lacks) => Err(lacks),
            },
            (Some((_, Strength::Account)), _) | (None, false) => self.own(),
            (None, true) => Err(Lacks::Resource),
        };
        match own {
            Ok(basis) => Decision::Allow(basis),
            Err(_) if of_group && !trust => Decision::Allow(Basis::Acl),
            Err(lacks) => Decision::ImplicitDeny(lacks),
        }
    }

    fn of_another(&self, granted: Option<(Found, Strength)>, by_acl: bool) -> Decision {
        match (self.own(), granted) {
            (Err(lacks), _) => Decision::ImplicitDeny(lacks),
            (Ok(_), Some((found, _))) => Decision::Allow(Basis::Statement(found)),
            (Ok(_), None) if by_acl && !self.trust() => Decision::Allow(Basis::Acl),
            (Ok(_), None) => Decision::ImplicitDeny(Lacks::Resource),
        }
    }
}

/// `User: … is not authorized to perform: … on resource: … because …`, as a caller of the account
/// that owns the bucket is answered. `None` if there is nothing to say to this principal.
pub fn sentence(request: &Request<'_>, decision: &Decision) -> Option<String> {
    let arn = request.principal.arn()?;
    let reason = decision.reason(&request.action)?;
    let (action, target) = (request.action, request.target);
    // IAM's sentences have no quotes around the resource.
    Some(match target {
        Target::Arn(target) => format!(
            "User: {arn} is not authorized to perform: {action} on resource: {target} {reason}"
        ),
        target => format!(
            "User: {arn} is not authorized to perform: {action} on resource: \"{target}\" {reason}"
        ),
    })
}
