//! What a region asks of the one that keeps the registry, and how that answers. The transport is
//! elsewhere: it says who asks, by a proof that this crate trusts.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use types::{
    BucketDeed, BucketId, BucketName, DeedError, Deeds, NewDeed, RegionId, SignedRequest,
    deed::BoxFuture,
};

use crate::{
    Announcement, CloudError, DerivedKeys, RegionStatus, Registry,
    change::{Change, RowChange},
    deeds::Leaving,
    introduce::{Introduction, Served},
    kinds::{
        Concern, Kind,
        deed::{DeedRecord, NewDeedRecord, is_zero},
    },
    principals::SentRole,
    proving::Question,
    room::{Room, Rooms},
    sessions::keys::SentTokenKey,
    standing::Receipt,
    state::State,
    uses::ReportedUse,
    warrant::{Doubt, RequestRecord, UNPROVEN, WantedChange, Warrant},
    words::OnWordRecord,
};

/// Changes in one answer.
pub(crate) const CHANGES_MAX: usize = 200;
/// Access keys in one answer.
const KEYS_MAX: usize = 500;
/// Bytes of changes in one answer, beside the first.
pub(crate) const CHANGES_BYTES_MAX: usize = 768 << 10;
/// Bytes of users' policies in one answer. A region asks for what is left out when it needs it.
const USERS_BYTES_MAX: usize = 1 << 20;
/// The longest that a question for changes is held.
const WAIT_MAX: Duration = Duration::from_secs(25);

/// What a region asks.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Changes from entry `from` on; when there are none, wait for one.
    Changes {
        /// The first entry that the asker has not.
        from: u64,
        /// How long to wait, in milliseconds.
        wait_ms: u64,
        /// What the keeper said last that it had sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Receipt>,
        /// The features that the asker knows; builds that announce none know those that all know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        features: Option<Vec<String>>,
    },
    /// Signing keys, in order of access key.
    Keys {
        /// The last access key that the asker has.
        after: String,
    },
    /// Roles, in order of unique id.
    Roles {
        /// The last role that the asker has.
        after: String,
    },
    /// The asker's keys that open tokens of sessions.
    TokenKeys,
    /// The other names of whom a bucket's policy names.
    Names {
        /// The bucket, which the asker holds.
        bucket: String,
        /// ARNs and unique ids of users and roles.
        names: Vec<String>,
    },
    /// Record a bucket.
    CreateDeed(NewDeedRecord),
    /// Remove a bucket.
    RemoveDeed {
        /// Its name.
        name: String,
        /// Its number.
        id: u64,
        /// The epoch under which the asker, its home, found it empty; 0 where it does not say.
        #[serde(default, skip_serializing_if = "is_zero")]
        epoch: u64,
        /// What the customer signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestRecord>,
    },
    /// A region came back with versions that the asker, a bucket's home, had not.
    Divergence {
        /// The bucket.
        name: String,
        /// The region that came back.
        from: String,
        /// The epoch of the deed.
        epoch: u64,
        /// The keys.
        keys: Vec<String>,
    },
    /// The asker, where a bucket is not placed any more, has removed what lay there.
    Removed {
        /// The bucket.
        name: String,
        /// Its number.
        id: u64,
        /// The epoch of the deed that it knows.
        epoch: u64,
        /// Rows that were removed.
        rows: u64,
    },
    /// The asker, which holds a bucket, has removed versions since another region said that they
    /// had been removed there.
    RemovedOnWord(OnWordRecord),
    /// Where a bucket is placed now.
    Placed {
        /// Its name.
        name: String,
    },
    /// Whether a signature that another region relayed to the asker is that of a bucket's owner.
    Verify(Box<Question>),
    /// The key of whoever signed a request to the asker.
    Introduce(Box<Introduction>),
    /// When access keys were used at the asker.
    Used {
        /// The last use of each.
        uses: Vec<ReportedUse>,
    },
    /// Where the asker can be reached, and how it is.
    Announce {
        /// Where.
        announced: Announcement,
        /// How.
        ready: Readiness,
    },
}

/// What the admission of a region looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Its clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// The version of its software.
    pub version: String,
    /// Whether its engine takes writes.
    pub writable: bool,
}

/// What it is answered.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistryAnswer {
    /// Changes in order, and signing keys for the access keys that they touched.
    Changes {
        /// How many entries there are in all.
        length: u64,
        /// Those asked for.
        changes: Vec<SentChange>,
        /// For all that the keeper has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Receipt>,
        /// Whether there are sessions: only then a region needs what opens their tokens.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        sessions: bool,
    },
    /// Signing keys.
    Keys {
        /// In order.
        keys: Vec<DerivedKeys>,
        /// Whether there are more.
        more: bool,
    },
    /// Roles.
    Roles {
        /// In order.
        roles: Vec<SentRole>,
        /// Whether there are more.
        more: bool,
    },
    /// Keys that open tokens of sessions.
    TokenKeys {
        /// One a week.
        keys: Vec<SentTokenKey>,
    },
    /// The other name of each that was named, in their order: the unique id for an ARN, today's
    /// ARN for a unique id, and none for whom there is not.
    Names {
        /// In order.
        names: Vec<Option<String>>,
    },
    /// Where a bucket is placed.
    Placed {
        /// The asker, as its certificate says.
        region: String,
        /// How many entries the audit log has.
        length: u64,
        /// The bucket, if there is one of that name.
        deed: Option<DeedRecord>,
    },
    /// Whose signature it is; nobody's where it is not that of the bucket's owner.
    Verified {
        /// The account.
        account: Option<String>,
    },
    /// The key of a signature that was shown.
    Introduced {
        /// For the asker, if the signature is one of that key over a request to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<Box<DerivedKeys>>,
        /// Whether there is such a key, which opens something.
        is_key: bool,
        /// The role, where it is the signature of a session of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<SentRole>,
        /// How many entries the audit log had then.
        length: u64,
    },
    /// The bucket as it was recorded.
    Deed(DeedRecord),
    /// It was done.
    Done,
    /// The name is taken, by this bucket.
    Taken(DeedRecord),
    /// There is no such bucket.
    NoBucket,
    /// The account has this many buckets.
    TooMany(usize),
    /// Too many changes lately; says when to try again.
    SlowDown(String),
    /// The placement is not possible.
    Placement(String),
    /// It was refused; says why.
    Refused(String),
}

/// A change as it is sent: with what it makes of access keys for the region that asks.
#[derive(Serialize, Deserialize)]
pub struct SentChange {
    pub(crate) change: Change,
    pub(crate) keys: Vec<DerivedKeys>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<SentRole>,
    /// Rows of which the change has the digests and that the region may know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) shown: Vec<RowChange>,
}

/// How a region reaches the one that keeps the registry.
pub trait Upstream: Send + Sync + 'static {
    /// Who keeps it.
    fn keeper(&self) -> &RegionId;
    /// Asks, with a limit of time that suits the question.
    fn ask(&self, ask: Ask) -> BoxFuture<'_, Result<RegistryAnswer, CloudError>>;
}

impl dyn Upstream {
    pub(crate) async fn create_deed(
        &self,
        new: NewDeed,
        request: Option<&SignedRequest>,
    ) -> Result<BucketDeed, DeedError> {
        let name = new.name.clone();
        let mut new = NewDeedRecord::from(new);
        new.request = request.map(Into::into);
        let told = self.ask(Ask::CreateDeed(new)).await;
        let record = |r: DeedRecord| r.into_deed().map_err(unavailable);
        match told.map_err(unavailable)? {
            RegistryAnswer::Deed(deed) => record(deed),
            RegistryAnswer::Taken(deed) => Err(DeedError::Exists(name, Box::new(record(deed)?))),
            RegistryAnswer::TooMany(count) => Err(DeedError::TooMany(count)),
            RegistryAnswer::SlowDown(why) => Err(DeedError::SlowDown(why)),
            RegistryAnswer::Placement(why) => Err(DeedError::Placement(why)),
            RegistryAnswer::Refused(why) => Err(refused(why)),
            _ => Err(unavailable("an answer to another question")),
        }
    }

    pub(crate) async fn remove_deed(
        &self,
        (name, id, epoch): (BucketName, BucketId, u64),
        request: Option<&SignedRequest>,
    ) -> Result<(), DeedError> {
        let ask = Ask::RemoveDeed {
            request: request.map(Into::into),
            name: name.to_string(),
            id: id.0,
            epoch,
        };
        match self.ask(ask).await.map_err(unavailable)? {
            RegistryAnswer::Done => Ok(()),
            RegistryAnswer::NoBucket => Err(DeedError::NotFound(name)),
            RegistryAnswer::SlowDown(why) => Err(DeedError::SlowDown(why)),
            RegistryAnswer::Refused(why) => Err(refused(why)),
            _ => Err(unavailable("an answer to another question")),
        }
    }
}

fn refused(why: String) -> DeedError {
    match why.strip_prefix(UNPROVEN) {
        Some(why) => DeedError::Unproven(why.to_owned()),
        None => unavailable(why),
    }
}

fn unavailable(error: impl std::fmt::Display) -> DeedError {
    DeedError::Unavailable(error.to_string())
}

impl Registry {
    /// Answers a region whose identity the transport has proved. A region learns what every region
    /// must know, signing keys for itself only, and changes nothing but its own buckets and its
    /// own addresses.
    pub async fn answer(&self, from: &RegionId, ask: Ask) -> RegistryAnswer {
        let known = self.region(from);
        let may = known.is_some_and(|r| r.status != RegionStatus::Closed);
        if !may || !self.keeps() {
            return RegistryAnswer::Refused(format!("region {from} is not part of the cloud here"));
        }
        if let Some(why) = self.refuses_withheld(from, &ask) {
            return RegistryAnswer::Refused(why);
        }
        let answered = match ask {
            Ask::Changes {
                from: first,
                wait_ms,
                receipt,
                features,
            } => {
                self.asked_by(from, first, receipt.as_ref()).await;
                match self.announced(from, features.as_deref()).await {
                    None => self.answer_changes(from, first, wait_ms).await,
                    Some(why) => Ok(self.withhold(from, why)),
                }
            }
            Ask::Keys { after } => Ok(self.answer_keys(from, &after)),
            Ask::Roles { after } => Ok(self.answer_roles(from, &after)),
            Ask::TokenKeys => Ok(self.answer_token_keys(from)),
            Ask::Names { bucket, names } => self.answer_names(from, &bucket, &names),
            Ask::CreateDeed(new) => Ok(self.answer_create(from, new).await),
            Ask::RemoveDeed {
                name,
                id,
                epoch,
                request,
            } => {
                let told = self.answer_remove(from, (&name, id, epoch), request);
                Ok(told.await)
            }
            Ask::Divergence {
                name,
                from: other,
                epoch,
                keys,
            } => {
                self.answer_divergence(from, &name, &other, epoch, &keys)
                    .await
            }
            Ask::Removed {
                name,
                id,
                epoch,
                rows,
            } => self.answer_removed(from, &name, id, epoch, rows).await,
            Ask::Verify(question) => Ok(RegistryAnswer::Verified {
                account: self.proven(from, &question).map(|id| id.to_string()),
            }),
            Ask::Introduce(shown) => Ok(self.answer_introduced(from, &shown)),
            Ask::RemovedOnWord(said) => self.answer_on_word(from, said).await,
            Ask::Placed { name } => self.answer_placed(from, &name),
            Ask::Used { uses } => Ok(self.answer_used(from, uses)),
            Ask::Announce { announced, ready } => {
                self.answer_announced(from, &announced, &ready).await
            }
        };
        answered.unwrap_or_else(|error| {
            tracing::warn!(%from, %error, "a region's question was refused");
            RegistryAnswer::Refused(error.to_string())
        })
    }

    async fn answer_announced(
        &self,
        from: &RegionId,
        announced: &Announcement,
        ready: &Readiness,
    ) -> Result<RegistryAnswer, CloudError> {
        let answered = match self.announce(from, announced).await {
            Ok(()) => self.admit(from, ready).await,
            refused => refused,
        };
        self.note_admission(from, &answered);
        answered.map(|()| RegistryAnswer::Done)
    }

    async fn answer_changes(
        &self,
        to: &RegionId,
        first: u64,
        wait_ms: u64,
    ) -> Result<RegistryAnswer, CloudError> {
        self.note_heard(to, first);
        let mut length = self.length.subscribe();
        let wait = Duration::from_millis(wait_ms).min(WAIT_MAX);
        // Nothing new in time is an answer too. Whoever has more than this registry, which was put
        // back to an older state then, is to see that at once.
        let moved = length.wait_for(|length| *length != first);
        let _ = tokio::time::timeout(wait, moved).await;
        let mut changes = self.changes(first, CHANGES_MAX).await?;
        let state = self.state.read();
        // A change is in the log a moment before it is in the state. With the state of before, the
        // region would get an older document with it, and never the one that the change made.
        if !types::planted("changes-before-their-state") {
            changes.retain(|change| change.entry.number < state.length());
        }
        let receipt = self.receipt(&state);
        let mut served = Served::by(&state, to, self.own());
        let mut told_owners = HashSet::new();
        let mut room = Rooms::of_changes(USERS_BYTES_MAX);
        let mut told = |change: Change, room: &mut Rooms| {
            let found = concerned(&state, &mut served, &mut told_owners, &change);
            let keys = found.keys.iter();
            let keys = keys.filter_map(|id| self.derive_for(&state, id, to));
            // Keys and roles that a change touched and that do not come with it are dropped there.
            let keys = keys.filter(|keys| room.takes(keys)).collect();
            let roles = found.roles.iter();
            let roles = roles.filter_map(|id| state.role_for(id, to));
            let roles = roles.filter(|role| room.users.has(role.role.bytes()));
            SentChange {
                keys,
                roles: roles.collect(),
                shown: state.guard_policies_for(&change.rows, to),
                change,
            }
        };
        let (mut sent, mut bytes) = (Vec::new(), 0);
        for change in changes {
            match state.unreadable(&change, to) {
                Some(why) if sent.is_empty() => return Ok(self.withhold(to, why)),
                Some(_) => break,
                None => {}
            }
            bytes += change.bytes();
            let left = room.left();
            let one = told(change, &mut room);
            // What does not fit comes with the next answer, unless it is the first.
            let fits = bytes <= CHANGES_BYTES_MAX && room.left() > 0;
            let fits = fits || types::planted("answers-of-any-length");
            if !fits && !sent.is_empty() {
                break;
            }
            sent.push(one);
            if left > 0 && room.left() == 0 {
                break;
            }
        }
        self.withholds_no_more(to);
        Ok(RegistryAnswer::Changes {
            length: state.length(),
            receipt,
            changes: sent,
            sessions: self.sessions.are_used() || !state.roles.is_empty(),
        })
    }

    fn answer_keys(&self, to: &RegionId, after: &str) -> RegistryAnswer {
        let state = self.state.read();
        let later = (
            std::ops::Bound::Excluded(after.to_owned()),
            std::ops::Bound::Unbounded,
        );
        let mut served = Served::by(&state, to, self.own());
        let all = state.keys.range(later);
        let all = all.filter(|(_, key)| served.has(&key.record.account));
        let mut all = all.filter_map(|(id, _)| self.derive_for(&state, id, to));
        let (mut keys, mut room) = (Vec::new(), Room(USERS_BYTES_MAX));
        let mut more = false;
        for one in all.by_ref() {
            room.takes(&one);
            keys.push(one);
            if keys.len() == KEYS_MAX || room.0 == 0 {
                more = true;
                break;
            }
        }
        RegistryAnswer::Keys { keys, more }
    }

    fn answer_roles(&self, to: &RegionId, after: &str) -> RegistryAnswer {
        let state = self.state.read();
        let later = (
            std::ops::Bound::Excluded(after.to_owned()),
            std::ops::Bound::Unbounded,
        );
        let mut served = Served::by(&state, to, self.own());
        let all = state.roles.range(later);
        let all = all.filter(|(_, held)| served.has(&held.record.account));
        let mut all = all.filter_map(|(id, _)| state.role_for(id, to));
        let (mut roles, mut room) = (Vec::new(), Room(USERS_BYTES_MAX));
        let mut more = false;
        for one in all.by_ref() {
            room.has(one.role.bytes());
            roles.push(one);
            if roles.len() == KEYS_MAX || room.0 == 0 {
                more = true;
                break;
            }
        }
        RegistryAnswer::Roles { roles, more }
    }

    async fn answer_create(&self, from: &RegionId, new: NewDeedRecord) -> RegistryAnswer {
        let request = new.request.clone();
        let new = match NewDeed::try_from(new) {
            Ok(new) if new.home == *from => new,
            Ok(_) => {
                return RegistryAnswer::Placement(format!(
                    "region {from} makes buckets with their home there only"
                ));
            }
            Err(error) => return RegistryAnswer::Refused(error.to_string()),
        };
        let warrant = match self.warrant(from, request.as_ref(), false) {
            Ok(warrant) => warrant,
            Err(doubt) => return doubted(doubt),
        };
        if let Err(why) = self.is_wanted(&new, &warrant) {
            tracing::warn!(%from, bucket = %new.name, owner = %new.owner, why, "a bucket that nobody asked for");
            return doubted(why.into());
        }
        if let Some(why) = self.accepts_unseen(&new) {
            return RegistryAnswer::Placement(why);
        }
        // The account's guard is applied with the placement.
        if let Err(doubt) = self.count_once(from, &warrant.wanted) {
            return doubted(doubt);
        }
        match self.create_deed(&warrant.actor, new, None).await {
            Ok(deed) => RegistryAnswer::Deed((&*deed).into()),
            Err(DeedError::Exists(_, deed)) => RegistryAnswer::Taken((&*deed).into()),
            Err(DeedError::TooMany(count)) => RegistryAnswer::TooMany(count),
            Err(DeedError::SlowDown(why)) => RegistryAnswer::SlowDown(why),
            Err(DeedError::Placement(why)) => RegistryAnswer::Placement(why),
            Err(error) => RegistryAnswer::Refused(error.to_string()),
        }
    }

    /// Whether the customer's request is for this bucket, so placed.
    fn is_wanted(&self, new: &NewDeed, warrant: &Warrant) -> Result<(), String> {
        let wanted = &warrant.wanted;
        let WantedChange::Create { homes, placement } = &wanted.change else {
            return Err("the customer asked for something else".to_owned());
        };
        if wanted.bucket != new.name || **placement != new.placement {
            return Err("the customer asked for another bucket, or another placement".to_owned());
        }
        if !access::is_account(&warrant.account, &new.owner) {
            return Err(format!("it is not of account {}", new.owner));
        }
        // A name that no region has is an alias of the region that was asked.
        let state = self.state.read();
        let elsewhere = |home: &&String| {
            **home != *new.home && (state.regions.contains_key(*home) || **home == *self.own())
        };
        match homes.iter().find(elsewhere) {
            Some(home) => Err(format!("the customer asked for it in region {home}")),
            None => Ok(()),
        }
    }

    async fn answer_remove(
        &self,
        from: &RegionId,
        (name, id, epoch): (&str, u64, u64),
        request: Option<RequestRecord>,
    ) -> RegistryAnswer {
        let Ok(name) = BucketName::new(name) else {
            return RegistryAnswer::NoBucket;
        };
        // Behind the changes that are under way, one of which may be an earlier try of this.
        drop(self.turn().await);
        let deed: Option<Arc<BucketDeed>> = Deeds::get(self, &name);
        let Some(deed) = deed.filter(|deed| deed.id.0 == id) else {
            return RegistryAnswer::NoBucket;
        };
        if deed.home != *from {
            return RegistryAnswer::Refused(format!("the home of {name} is region {}", deed.home));
        }
        let warrant = match self.warrant(from, request.as_ref(), true) {
            Ok(warrant) => warrant,
            Err(doubt) => return doubted(doubt),
        };
        let wanted = &warrant.wanted;
        if wanted.change != WantedChange::Delete || wanted.bucket != name {
            return doubted("the customer asked for something else".to_owned().into());
        }
        if !access::is_owner(&warrant.account, &deed) {
            return doubted(format!("it is not of account {}", deed.owner).into());
        }
        if let Err(doubt) = self.count_once(from, wanted) {
            return doubted(doubt);
        }
        let leaving = Leaving {
            name,
            id: BucketId(id),
            by: Some((from.clone(), epoch)),
        };
        match self.remove_deed(&warrant.actor, leaving, None).await {
            Ok(()) => RegistryAnswer::Done,
            Err(DeedError::NotFound(_)) => RegistryAnswer::NoBucket,
            Err(error) => RegistryAnswer::Refused(error.to_string()),
        }
    }
}

/// What is sent again to a region with a change.
#[derive(Default)]
struct Concerned {
    keys: Vec<String>,
    roles: Vec<String>,
}

/// The access keys and roles that are sent again to a region with a change: those that it touched,
/// those of accounts that it touched, and, once in an answer, those of whoever has a bucket there
/// by it.
fn concerned(
    state: &State,
    served: &mut Served<'_>,
    told_owners: &mut HashSet<String>,
    change: &Change,
) -> Concerned {
    let mut found = Concerned::default();
    for row in &change.rows {
        let Ok((kind, id)) = Kind::of_key(&row.key) else {
            continue;
        };
        let account = match (kind.concerns)(served, id, &row.now) {
            Concern::Nobody => continue,
            Concern::Key(id) => {
                let key = state.keys.get(&id);
                if key.is_some_and(|key| served.has(&key.record.account)) {
                    found.keys.push(id);
                }
                continue;
            }
            Concern::Users(users) => {
                found.add(state, served, users, Vec::new());
                continue;
            }
            Concern::Role(role) => {
                found.add(state, served, Vec::new(), vec![role]);
                continue;
            }
            Concern::Holders(users, roles) => {
                found.add(state, served, users, roles);
                continue;
            }
            Concern::Account(account) => account,
            Concern::Owner(owner) if told_owners.insert(owner.clone()) => owner,
            Concern::Owner(_) => continue,
        };
        if served.has(&account) {
            let of = state.keys.of_account.get(&account);
            found.keys.extend(of.into_iter().flatten().cloned());
            let roles = state.roles.of(&account);
            found.roles.extend(roles.map(|held| held.record.id.clone()));
        }
    }
    found
}

impl Concerned {
    fn add(
        &mut self,
        state: &State,
        served: &mut Served<'_>,
        users: Vec<String>,
        roles: Vec<String>,
    ) {
        for user in users {
            let held = state.users.get(&user);
            if held.is_some_and(|held| served.has(&held.record.account)) {
                let of = state.keys.of_user.get(&user);
                self.keys.extend(of.into_iter().flatten().cloned());
            }
        }
        for role in roles {
            let held = state.roles.get(&role);
            if held.is_some_and(|held| served.has(&held.record.account)) {
                self.roles.push(role);
            }
        }
    }
}

fn doubted(doubt: Doubt) -> RegistryAnswer {
    match doubt {
        Doubt::Unproven(why) => RegistryAnswer::Refused(format!("{UNPROVEN}{why}")),
        Doubt::Replayed(why) => RegistryAnswer::SlowDown(format!("sign the request again: {why}")),
    }
}
