//! What proves to the registry that a customer asked for a bucket or its end: the request that they
//! signed, which the region that they asked sends along. A region's word makes no deed.
//!
//! The key of the signature is one that the region has as well. So what a region could make up is
//! bounded: it signs for no region but itself, with no key but one that is live, each signature
//! counts once, and accounts have room for each operator's regions apart.

use std::sync::Arc;

use access::{
    Action, GuardPolicy, Replayed, SigningKeys, Who,
    policy::{Conditions, Decision, Target},
    signature::Statement,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use types::{
    AccessKeyId, AccountId, Actor, BucketName, Deeds, Placement, RegionId, SignedRequest,
    Timestamp, limits::CLOCK_SKEW_S_MAX,
};

use crate::Registry;

/// What stands before the reason, so that a region knows that nothing has changed.
pub(crate) const UNPROVEN: &str = "no proof of the customer's request: ";

/// Reads requests as the gateway does, and verifies nothing that needs a key.
pub trait ReadsRequests: Send + Sync + 'static {
    /// What a request asks for that was sent to `region`.
    ///
    /// # Errors
    /// It asks for nothing of the registry, cannot be read, is too old, or its signature does not
    /// cover it; says why.
    fn read(&self, region: &RegionId, request: &SignedRequest) -> Result<Wanted, String>;
}

/// What a signed request wants of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The signature.
    pub statement: Statement,
    /// When it was made.
    pub at: Timestamp,
    /// The bucket.
    pub bucket: BucketName,
    /// A host that may name another bucket, where it is not known whether it does.
    pub host: Option<String>,
    /// Whom the customer takes for the bucket's owner.
    pub expected_owner: Option<String>,
    /// What is to become of it.
    pub change: WantedChange,
}

/// What is to become of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedChange {
    /// It is to be made, in this region if one is named, and so placed.
    Create {
        /// Its home, as the customer says.
        homes: Vec<String>,
        /// Its placement.
        placement: Box<Placement>,
    },
    /// It is to be removed.
    Delete,
}

/// A request on its way between regions, in base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestRecord {
    head: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body: String,
}

impl From<&SignedRequest> for RequestRecord {
    fn from(request: &SignedRequest) -> Self {
        Self {
            head: STANDARD.encode(&request.head),
            body: STANDARD.encode(&request.body),
        }
    }
}

impl RequestRecord {
    fn read(&self) -> Option<SignedRequest> {
        Some(SignedRequest {
            head: STANDARD.decode(&self.head).ok()?.into(),
            body: STANDARD.decode(&self.body).ok()?.into(),
        })
    }
}

/// Why a request proves nothing.
#[derive(Debug)]
pub(crate) enum Doubt {
    /// It does not, and never will.
    Unproven(String),
    /// Signed again it may.
    Replayed(Replayed),
}

impl From<String> for Doubt {
    fn from(why: String) -> Self {
        Self::Unproven(why)
    }
}

/// What was proven.
pub(crate) struct Warrant {
    pub(crate) wanted: Wanted,
    pub(crate) account: AccountId,
    pub(crate) actor: Actor,
}

/// Whether a caller may do what a request is for, as far as it is known here: of the client's
/// address and connection the region that it asked has sent nothing.
fn may_change(
    (account, guard, who): (&AccountId, &GuardPolicy, &Who),
    wanted: &Wanted,
    region: &RegionId,
    now: Timestamp,
) -> Result<(), Decision> {
    // A region makes buckets with their home there only, whatever the client calls that region.
    let (action, home) = match &wanted.change {
        WantedChange::Create { homes, .. } if types::planted("homes-as-named") => {
            (Action::CreateBucket, homes.first().map(String::as_str))
        }
        WantedChange::Create { .. } => (Action::CreateBucket, Some(&**region)),
        WantedChange::Delete => (Action::DeleteBucket, None),
    };
    let conditions = Conditions {
        current_time: Some(now),
        requested_region: Some(region),
        location_constraint: home,
        ..Conditions::default()
    };
    let target = Target::Bucket(&wanted.bucket);
    who.decide((account, guard), action.into(), target, &conditions)
}

/// The region asked the same policies, and its word is no proof of it.
fn check_holder(
    holder: (&AccountId, &GuardPolicy, &Who),
    wanted: &Wanted,
    region: &RegionId,
    now: Timestamp,
) -> Result<(), Doubt> {
    may_change(holder, wanted, region, now).map_err(|decision| {
        let (_, _, who) = holder;
        tracing::info!(?who, ?decision, "a bucket that its caller may not change");
        "the policies of the caller do not allow it"
            .to_owned()
            .into()
    })
}

impl Registry {
    /// Gives the registry the reader of requests. Until then no region's customer can make or
    /// remove a bucket.
    pub fn reads_requests(&self, reader: Arc<dyn ReadsRequests>) {
        // A second call would name the same.
        let _ = self.requests.set(reader);
    }

    /// What a customer asked of the region `from`, by the request that it sends along. `relayed`
    /// says whether another region may have relayed it to `from`.
    pub(crate) fn warrant(
        &self,
        from: &RegionId,
        request: Option<&RequestRecord>,
        relayed: bool,
    ) -> Result<Warrant, Doubt> {
        let none = || {
            format!(
                "region {from} sends none along; if its version is older than {}, upgrade it",
                env!("CARGO_PKG_VERSION")
            )
        };
        let request = request.ok_or_else(none)?.read();
        let request = request.ok_or_else(|| "it cannot be read".to_owned())?;
        let reader = self.requests.get();
        let reader = reader.ok_or_else(|| "the registry is starting".to_owned())?;
        let wanted = reader.read(from, &request)?;
        let statement = &wanted.statement;
        let proven = match (statement.is_old(), statement.is_asymmetric()) {
            (true, _) => self
                .old_signer_of(statement, from)
                .map(|signer| (signer.account, signer.who)),
            (false, true) => self.who_signed(from, statement, relayed),
            (false, false) => self.who_has_key(from, statement, relayed),
        };
        let Some((account, who)) = proven else {
            tracing::warn!(%from, key = statement.access_key, "a region sent a request of nobody's");
            return Err("the signature is that of no live key for that region"
                .to_owned()
                .into());
        };
        if !statement.is_asymmetric() && self.requires_asymmetric(&account) {
            return Err("the account requires signatures of AWS4-ECDSA-P256-SHA256"
                .to_owned()
                .into());
        }
        let now = self.clock.now();
        if wanted.at.s().abs_diff(now.s()) > CLOCK_SKEW_S_MAX {
            return Err("the request was not signed in the last 15 minutes"
                .to_owned()
                .into());
        }
        let expected = wanted.expected_owner.as_deref().map(str::as_bytes);
        if !access::is_expected_owner(expected, &account) {
            return Err("the customer expects another owner".to_owned().into());
        }
        if self.is_ambiguous(&wanted, &account) {
            return Err("its host may name another bucket of the account"
                .to_owned()
                .into());
        }
        let guard = self.guard_of(&account);
        check_holder((&account, &guard, &who), &wanted, from, now)?;
        let actor = Actor::Through {
            region: from.clone(),
            account: account.clone(),
            access_key: Some(AccessKeyId::new(&statement.access_key)),
        };
        Ok(Warrant {
            wanted,
            account,
            actor,
        })
    }

    /// Whose key made a signature for the region that the customer asked: `from`, or one that
    /// relayed the request to it.
    fn who_has_key(
        &self,
        from: &RegionId,
        statement: &Statement,
        relayed: bool,
    ) -> Option<(AccountId, Who)> {
        let scope = RegionId::new(&statement.region);
        let via = match relayed && scope != *from {
            false => from.clone(),
            true if self.regions.contains(&scope) => RegionId::new(self.own()),
            true => scope,
        };
        let (account, who, key) = self.key_of(&via, statement)?;
        let proven = statement.is_proven_by(&key) || types::planted("regions-word-is-proof");
        proven.then_some((account, who))
    }

    /// Who made an asymmetric signature. Where another region may have relayed it, the set names
    /// that one, and the signature cannot be made by either.
    fn who_signed(
        &self,
        from: &RegionId,
        statement: &Statement,
        relayed: bool,
    ) -> Option<(AccountId, Who)> {
        let key = self.state.read().verifying_key(&statement.access_key)?;
        let is_for = relayed || statement.is_for(from);
        let proven = is_for && statement.token.is_none();
        let proven = proven && statement.is_proven_by_public(&key.key);
        proven.then_some((key.account, key.who))
    }

    /// Takes the signature of a request that is acted on: it counts once.
    pub(crate) fn count_once(&self, from: &RegionId, wanted: &Wanted) -> Result<(), Doubt> {
        let now = self.clock.now();
        let (statement, once) = (&wanted.statement, wanted.statement.once());
        // One that several regions may have counts once among them.
        let account = || {
            self.caller(&AccessKeyId::new(&statement.access_key))?
                .account()
                .cloned()
        };
        let room = match statement.is_of_all_regions() {
            true => account().map(|account| RegionId::new(&account)),
            false => None,
        };
        let room = room.as_ref().unwrap_or(from);
        let taken = self.replays.lock().admit(room, &once, wanted.at, now);
        taken.map_err(Doubt::Replayed)
    }

    fn is_ambiguous(&self, wanted: &Wanted, account: &AccountId) -> bool {
        let host = wanted.host.as_deref().unwrap_or_default();
        let mut fronts = host.match_indices('.').filter_map(|(at, _)| host.get(..at));
        fronts.any(|front| {
            let name = BucketName::new(&front.to_ascii_lowercase()).ok();
            let deed = name.and_then(|name| Deeds::get(self, &name));
            deed.is_some_and(|deed| access::is_owner(account, &deed))
        })
    }
}
