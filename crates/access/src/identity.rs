//! Who asks.

use types::{AccessKeyId, AccountId, Actor};

use crate::{
    Action, GuardPolicy, Initiator, Who,
    policy::{self, ActionName, Conditions, Explanation, Principal, Target},
};

/// Who sends a request, once its signature has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody that we know: no signature at all.
    Anonymous,
    /// The holder of an access key.
    Key {
        /// Which key.
        access_key: AccessKeyId,
        /// The account that the key belongs to.
        account: AccountId,
        /// What the account is for.
        kind: CallerKind,
        /// The account's guard policy.
        guard: GuardPolicy,
        /// Who of the account holds it.
        who: Who,
    },
}

/// What the account of a caller is for, which bounds what its keys may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CallerKind {
    /// Keeps data in buckets.
    #[default]
    Customer,
    /// Runs the cloud, and may keep data of its own.
    CloudOperator,
    /// Looks after the regions of an operator: keeps no data.
    RegionalOperator,
    /// Reads what is on record: keeps no data.
    Auditor,
}

impl CallerKind {
    /// Whether accounts of this kind have buckets and objects.
    pub const fn keeps_data(self) -> bool {
        matches!(self, Self::Customer | Self::CloudOperator)
    }
}

impl Identity {
    /// The account, unless anonymous.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Anonymous => None,
            Self::Key { account, .. } => Some(account),
        }
    }

    /// Who of the account asks; `None` for anonymous callers.
    pub fn who(&self) -> Option<&Who> {
        match self {
            Self::Anonymous => None,
            Self::Key { who, .. } => Some(who),
        }
    }

    /// The guard policy of the account. Whoever signs nothing has none.
    pub fn guard(&self) -> &GuardPolicy {
        match self {
            Self::Anonymous => GuardPolicy::NONE,
            Self::Key { guard, .. } => guard,
        }
    }

    /// Whether it is an account itself, by a key of its own. Sessions of it are not.
    pub fn is_root(&self) -> bool {
        self.who().is_some_and(Who::is_root)
    }

    /// Whether policies of its own, or a guard policy of its account, say what it may do.
    pub fn has_policies(&self) -> bool {
        !self.may_all_of_account() && self.who().is_some()
    }

    /// Whether it may do all that the account may: it is the account itself, and no guard policy
    /// bounds that.
    pub(crate) fn may_all_of_account(&self) -> bool {
        self.is_root() && (self.guard().is_none() || types::planted("guard-unasked-for-root"))
    }

    /// As policies name it. `tags` are those of [`Self::tags`].
    pub fn principal<'a>(&'a self, tags: &'a [(&'a str, &'a str)]) -> Principal<'a> {
        match self {
            Self::Anonymous => Principal::Anonymous,
            Self::Key { account, who, .. } => who.principal(account, tags),
        }
    }

    /// The tags of a user or session.
    pub fn tags(&self) -> Vec<(&str, &str)> {
        self.who().map(Who::tags).unwrap_or_default()
    }

    /// Who begins an upload that it asks for. Whoever signs nothing is nobody.
    pub fn initiator(&self) -> Option<Initiator> {
        let mut user_id = self.principal(&[]).user_id_text()?;
        // Two users may give sessions of theirs one name.
        if let Some(giver) = self
            .who()
            .and_then(Who::session)
            .and_then(|s| s.federated_by())
        {
            user_id = [&user_id, ":", giver].concat();
        }
        Some(Initiator {
            account: self.account()?.clone(),
            user_id,
        })
    }

    /// Whether a decision may need the tags of the object that is addressed.
    pub fn wants_existing_tags(&self) -> bool {
        let own = self.who().is_some_and(Who::wants_existing_tags);
        own || self.guard().wants_existing_tags()
    }

    /// What the caller's own policies say, where nothing but them counts: on what belongs to the
    /// caller's account.
    pub fn explain(
        &self,
        action: ActionName<'_>,
        target: Target<'_>,
        conditions: &Conditions<'_>,
    ) -> Explanation {
        let tags = self.tags();
        let request = policy::Request {
            principal: &self.principal(&tags),
            action,
            target,
            conditions,
        };
        let own = self.who().zip(self.account());
        let documents = own.map(|(who, account)| who.documents(account, self.guard()));
        policy::explain(&request, &documents.unwrap_or_default())
    }

    /// The long-term key with which it signs: a session has none.
    pub fn long_term_key(&self) -> Option<&AccessKeyId> {
        match self {
            Self::Key {
                access_key,
                who: Who::Root | Who::User(_),
                ..
            } => Some(access_key),
            Self::Anonymous | Self::Key { .. } => None,
        }
    }

    /// Who makes a change of the registry. Whoever signs nothing makes none.
    pub fn actor(&self) -> Option<Actor> {
        match self {
            Self::Anonymous => None,
            Self::Key {
                access_key,
                account,
                ..
            } => Some(Actor::Key {
                account: account.clone(),
                access_key: access_key.clone(),
            }),
        }
    }

    /// Whether the account of the caller may do this at all. What keeps no data makes no bucket
    /// and changes nothing in one.
    pub(crate) fn may_by_kind(&self, action: Action) -> bool {
        match self {
            Self::Key { kind, .. } if !kind.keeps_data() => !action.is_for_writers(),
            _ => true,
        }
    }
}
