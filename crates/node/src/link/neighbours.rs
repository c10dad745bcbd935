//! The other regions, as the gateway and replication see them.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use access::{
    Identity, SigningKeys,
    signature::{ChunkLink, Service, Statement},
};
use arc_swap::ArcSwapOption;
use cloud::{Introduced, Registry, Removal, RemovedOnWord};
use gateway::{AnswerBody, PassError, PassedBody, Proven, RuleRefused};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use peer::Peer;
use replication::{Behind, Divergence, MayRemove, OnWordOf, Status, Transport, ask_destination};
use tokio::sync::watch;
use types::{
    AccessKeyId, AccountId, BucketDeed, BucketId, BucketName, Clock, Deeds, Place, Random,
    RegionId, SystemRandom, Timestamp, deed::BoxFuture,
};

use super::{Clocks, Link, Unreported, paths};
use crate::config::Durability;

/// How long the head of a passed request's answer may take: an upload is answered at its end.
const PASSED_MAX: Duration = Duration::from_secs(6 * 3600);
/// How long a caller whom another region knows is waited for.
const NEW_CALLER_WAIT: Duration = Duration::from_secs(1);

/// Buckets whose homes are remembered.
const HOMES_MAX: usize = 10_000;

/// What a region knows of the others.
pub struct Neighbours {
    here: Place,
    registry: Arc<Registry>,
    link: Arc<Link>,
    /// What the registry did not accept yet.
    pub unreported: Arc<Unreported>,
    status: OnceLock<Arc<Status>>,
    clock_doubt: ArcSwapOption<String>,
    /// What the clocks of the other regions show.
    pub clocks: Clocks,
    clock: Arc<dyn Clock>,
    /// How long rows that are to be removed can be brought back.
    removed_grace: Duration,
    /// How long this region decides about others than a bucket's own account by what it received
    /// last.
    stale_after: Duration,
    /// Since which epoch buckets have their homes, and in which that was read from the log.
    home_since: Mutex<HashMap<BucketId, (u64, u64)>>,
    /// Which start of the region this is.
    pub instance: u64,
    /// Why nothing is written here any more.
    ends: ArcSwapOption<String>,
    /// Whether this folder lacks what an earlier start had.
    behind: Behind,
    /// Up to when what was acknowledged before this start may be lost: durability is relaxed, or
    /// the folder is a copy.
    may_lose: OnceLock<Timestamp>,
    /// Itself, for questions that are asked on its behalf.
    this: Weak<Self>,
}

impl Neighbours {
    /// As the region at `here` sees them.
    pub fn new(
        here: Place,
        (registry, link, unreported): (Arc<Registry>, Arc<Link>, Arc<Unreported>),
        clock: Arc<dyn Clock>,
        (removed_grace, stale_after): (Duration, Duration),
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            here,
            registry,
            link,
            unreported,
            status: OnceLock::new(),
            clock_doubt: ArcSwapOption::empty(),
            clocks: Clocks::default(),
            clock,
            removed_grace,
            stale_after,
            home_since: Mutex::default(),
            instance: SystemRandom.next_u64(),
            ends: ArcSwapOption::empty(),
            behind: Behind::default(),
            may_lose: OnceLock::new(),
        })
    }

    /// With relaxed durability a loss of power before this start may have taken writes that were
    /// acknowledged.
    pub fn started(&self, durability: Durability) {
        if durability == Durability::Relaxed {
            self.may_have_lost();
        }
    }

    /// What was acknowledged before this start may not be in this folder.
    fn may_have_lost(&self) {
        let ahead = 2 * objects::AHEAD_MAX_MS;
        let until = Timestamp::from_ms(self.clock.now().ms().saturating_add(ahead));
        // A second call would say the same.
        let _ = self.may_lose.set(until);
    }

    /// How long rows that are to be removed can be brought back.
    pub fn removed_grace(&self) -> Duration {
        self.removed_grace
    }

    /// Gives it the state of replicas, once replication is there.
    pub fn knows(&self, status: &Arc<Status>) {
        // A second call would name the same.
        let _ = self.status.set(Arc::clone(status));
    }

    /// Says whether this region's clock is to be trusted.
    pub fn doubt_clock(&self, why: Option<String>) {
        match (&why, self.clock_doubt.load().is_some()) {
            (Some(why), false) => tracing::error!(why, "writes are refused"),
            (None, true) => tracing::info!("the clock is right again: writes are accepted"),
            _ => {}
        }
        self.clock_doubt.store(why.map(Arc::new));
    }

    /// Whether writes are refused because of the clock.
    pub fn is_clock_off(&self) -> bool {
        self.clock_doubt.load().is_some()
    }

    /// The holder of a key, as key and account are known here now. One who is not known may be new:
    /// what made them is waited for a moment.
    async fn live(&self, key: &AccessKeyId, account: &AccountId) -> Option<Identity> {
        let registry = &self.registry;
        let now = || registry.caller(key).filter(|c| c.is_of(account));
        if registry.knows_key(key) {
            return now();
        }
        let mut watch = registry.watch();
        let known = watch.wait_for(|_| registry.knows_key(key));
        // That nobody comes is an answer too.
        let _ = tokio::time::timeout(NEW_CALLER_WAIT, known).await;
        now()
    }

    /// Whose asymmetric signature it is, by the public keys that this region has: it asks nobody.
    fn prove_asymmetric(
        &self,
        from: &RegionId,
        bucket: &BucketName,
        statement: &Statement,
    ) -> Proven {
        let registry = &self.registry;
        let key = AccessKeyId::new(&statement.access_key);
        let Some(caller) = registry.caller(&key) else {
            return Proven::Nobody;
        };
        let signer = registry.signer_of(statement, from);
        let deed = Deeds::get(&**registry, bucket);
        let is_owners = deed
            .zip(signer)
            .is_some_and(|(deed, signer)| access::is_owner(&signer.account, &deed));
        match is_owners {
            true => Proven::Caller(caller),
            false => {
                tracing::warn!(%from, %bucket, %key, "a region relayed a signature of nobody's");
                Proven::Forged
            }
        }
    }

    /// The same of a signature with HMAC-SHA1. Only regions that the cloud's owner runs relay such
    /// requests, and are relayed them.
    fn prove_old(&self, from: &RegionId, bucket: &BucketName, statement: &Statement) -> Proven {
        let registry = &self.registry;
        let signer = registry.old_signer_of(statement, from);
        let deed = Deeds::get(&**registry, bucket);
        let is_owners = deed
            .zip(signer)
            .is_some_and(|(deed, signer)| access::is_owner(&signer.account, &deed));
        let caller = registry.caller(&AccessKeyId::new(&statement.access_key));
        match caller.filter(|_| is_owners) {
            Some(caller) => Proven::Caller(caller),
            None => {
                tracing::warn!(%from, %bucket, "a region relayed an old signature of nobody's");
                Proven::Forged
            }
        }
    }

    /// Whether the account of whoever is said to have signed refuses every other kind.
    fn requires_asymmetric(&self, statement: &Statement) -> bool {
        let caller = self.registry.caller_of(statement);
        let account = caller.as_ref().and_then(Identity::account);
        account.is_some_and(|account| self.registry.requires_asymmetric(account))
            && !types::planted("hmac-where-v4a-is-required")
    }

    /// Nothing is written here any more.
    pub fn refuse_writes(&self, why: &str) {
        self.ends.store(Some(Arc::new(why.to_owned())));
    }

    /// This folder lacks what an earlier start had, or not any more.
    pub fn falls_behind(&self, behind: bool) {
        self.behind.falls(behind);
    }

    /// So many other regions have been asked what they remember of earlier starts, and so many have
    /// answered. Answers whether nothing more is waited for.
    pub fn others_asked(&self, others: usize, answered: usize) -> bool {
        self.behind.others_asked(others, answered)
    }

    /// This folder is a copy of the one that was written last: as a backup it lacks what came after
    /// it.
    pub fn is_copied(&self) {
        self.may_have_lost();
        self.behind.is_copied();
    }

    /// Whether this folder lacks what an earlier start had.
    pub fn is_behind(&self) -> bool {
        self.behind.is()
    }

    /// Whether every replica of every bucket whose home is here has handed over what it has.
    pub fn has_caught_up(&self) -> bool {
        let mut deeds = self.registry.all().into_iter();
        deeds.all(|deed| replication::Regions::home_doubt(self, &deed).is_none())
    }

    /// Why this region is not to act on requests, and not to send others what it has on record: it
    /// knows that others have newer keys and deeds, or knows so of its folder and has not compared
    /// the registry yet.
    pub fn doubt_of_registry(&self) -> Option<String> {
        if let Some(why) = self.registry.behind() {
            return Some(why);
        }
        if !self.behind.is() {
            return None;
        }
        let why = match self.registry.keeps() {
            true => self
                .registry
                .comparing()
                .then_some("is compared with what others have"),
            false => (!*self.registry.followed().borrow()).then_some("has not answered since"),
        };
        why.map(|why| {
            format!(
                "The data folder of region {} was put back to an older state, and the registry {why}: \
                 keys and placements may have changed.",
                self.here.region
            )
        })
    }

    fn doubt_of_home(&self, deed: &BucketDeed) -> Option<String> {
        let status = self.status.get();
        self.behind
            .doubt(&self.here.region, deed, status.map(|s| &**s))
    }

    /// How long ago the registry answered; `None` where it is kept here.
    pub fn registry_age(&self) -> Option<Duration> {
        if self.registry.keeps() {
            return None;
        }
        let heard = self.registry.answered_at();
        let age = heard.map(|at| self.clock.now().ms().saturating_sub(at.ms()));
        Some(age.map_or(Duration::MAX, Duration::from_millis))
    }

    /// Why what this region knows of the access of others to the bucket is too old.
    fn stale_access(&self, deed: &BucketDeed) -> Option<String> {
        let registry = self
            .registry_age()
            .map(|age| ("the registry".to_owned(), age));
        let home = (deed.holding(&self.here.region) == types::Holding::Replica).then(|| {
            let caught_up = self.status.get().and_then(|status| status.caught_up(deed));
            let age = caught_up.map_or(Duration::MAX, |at| at.elapsed());
            (format!("the bucket's home (region {})", deed.home), age)
        });
        let stale = [registry, home].into_iter().flatten();
        let stale = stale.filter(|(_, age)| *age > self.stale_after);
        let stale: Vec<String> = stale
            .map(|(whom, age)| match age {
                Duration::MAX => format!("{whom} since it started"),
                age => format!("{whom} for {} s", age.as_secs()),
            })
            .collect();
        (!stale.is_empty()).then(|| {
            format!(
                "Region {} has had no answer from {}: until it has, it answers only the bucket's \
                 own account.",
                self.here.region,
                stale.join(", and from ")
            )
        })
    }

    /// How many buckets here answer only their own accounts, since what this region knows of
    /// others' access is too old.
    pub fn stale_buckets(&self) -> usize {
        let here = &self.here.region;
        let held = |deed: &Arc<BucketDeed>| {
            let holding = deed.holding(here);
            matches!(holding, types::Holding::Home | types::Holding::Replica)
        };
        let deeds = self.registry.all();
        let held = deeds.iter().filter(|deed| held(deed));
        held.filter(|deed| self.stale_access(deed).is_some())
            .count()
    }

    fn kilometres(&self, region: &RegionId) -> f64 {
        self.kilometres_between(&self.here.region, region)
    }

    /// The distance of two regions; infinite where one of them is not known.
    pub fn kilometres_between(&self, one: &RegionId, other: &RegionId) -> f64 {
        match (self.registry.region(one), self.registry.region(other)) {
            (Some(a), Some(b)) => {
                great_circle_km((a.latitude, a.longitude), (b.latitude, b.longitude))
            }
            _ => f64::INFINITY,
        }
    }
}

/// The distance of two places on earth, each degrees north and east (haversine formula, mean
/// radius 6,371 km).
fn great_circle_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let half = |x: f64, y: f64| ((y - x).to_radians() / 2.0).sin().powi(2);
    let h = half(a.0, b.0) + a.0.to_radians().cos() * b.0.to_radians().cos() * half(a.1, b.1);
    2.0 * 6371.0 * h.sqrt().min(1.0).asin()
}

impl replication::Regions for Neighbours {
    fn here(&self) -> Place {
        self.here.clone()
    }
    fn instance(&self) -> u64 {
        self.instance
    }
    fn lacks(&self, deed: &BucketDeed) -> bool {
        self.doubt_of_home(deed).is_some()
    }
    fn lost_until(&self, deed: &BucketDeed) -> Option<Timestamp> {
        let lacks = self.lacks(deed).then_some(Timestamp::from_ms(u64::MAX));
        lacks.or_else(|| self.may_lose.get().copied())
    }
    fn home_doubt(&self, deed: &BucketDeed) -> Option<String> {
        self.doubt_of_home(deed)
    }
    fn place(&self, region: &RegionId) -> Option<Place> {
        self.registry.place(region)
    }
    fn address(&self, region: &RegionId) -> Option<String> {
        let record = self.registry.region(region)?;
        record.peer_address().map(str::to_owned)
    }
    fn deed(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        Deeds::get(&*self.registry, name)
    }
    fn deeds(&self) -> Vec<Arc<BucketDeed>> {
        self.registry.all()
    }
    fn keeps_registry(&self, region: &RegionId) -> bool {
        *self.link.membership.keeper == **region
    }
    fn enforces(&self, deed: &BucketDeed, region: &RegionId) -> Result<(), String> {
        self.registry.enforces(region, deed)
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.registry.watch()
    }
    fn known(&self) -> String {
        let last = self.registry.last_entry();
        last.map_or_else(String::new, |entry| {
            format!("{} {}", entry.number, entry.hash)
        })
    }
    fn may_promise(&self) -> bool {
        self.doubt_of_registry().is_none()
    }
    fn fresh_epoch<'a>(&'a self, deed: &'a BucketDeed) -> BoxFuture<'a, Option<u64>> {
        Box::pin(self.registry.epoch_now(deed))
    }
    fn may_remove<'a>(&'a self, deed: &'a BucketDeed) -> BoxFuture<'a, MayRemove> {
        Box::pin(async move {
            let order = match self.registry.removal(deed).await {
                Removal::Doubt(why) => return MayRemove::No(why),
                Removal::Ordered(order) => order,
            };
            let since = Duration::from_millis(self.clock.now().ms().saturating_sub(order.at_ms));
            // A clock that is behind must not keep them longer than the whole time.
            match self.removed_grace.saturating_sub(since) {
                left if order.prompt || left.is_zero() => {
                    tracing::warn!(
                        bucket = %deed.name,
                        entry = order.entry,
                        "the audit log took a bucket away from this region: its rows go now"
                    );
                    MayRemove::Yes
                }
                left => MayRemove::Later(left),
            }
        })
    }
    fn removed<'a>(&'a self, deed: &'a BucketDeed, rows: u64) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let reported = self
                .registry
                .report_removed(&deed.name, deed.id, deed.epoch, rows)
                .await;
            match reported {
                Ok(()) => true,
                Err(error) => {
                    let bucket = &deed.name;
                    tracing::warn!(%bucket, rows, %error, "a removal is not on record yet");
                    false
                }
            }
        })
    }
    fn home_since<'a>(&'a self, deed: &'a BucketDeed) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let known = self.home_since.lock().get(&deed.id).copied();
            if let Some((_, since)) = known.filter(|(epoch, _)| *epoch == deed.epoch) {
                return Ok(since);
            }
            let since = self.registry.home_since(deed).await;
            let since = since.map_err(|error| error.to_string())?;
            let mut all = self.home_since.lock();
            if all.len() >= HOMES_MAX {
                all.clear();
            }
            all.insert(deed.id, (deed.epoch, since));
            Ok(since)
        })
    }
    fn removed_on_word<'a>(&'a self, removed: &'a OnWordOf) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let said = RemovedOnWord {
                name: removed.bucket.clone(),
                id: removed.id,
                from: removed.from.clone(),
                epoch: removed.epoch,
                count: removed.count,
                digest: hex::encode(removed.digest),
            };
            match self.registry.report_on_word(&said).await {
                Ok(()) => true,
                Err(error) => {
                    let (bucket, region, count) = (&said.name, &said.from, said.count);
                    tracing::warn!(
                        %bucket, %region, count, %error,
                        "what was removed on a region's word is not in the audit log yet"
                    );
                    false
                }
            }
        })
    }
    fn report(&self, divergence: Divergence) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tracing::warn!(
                bucket = %divergence.bucket,
                region = %divergence.from,
                epoch = divergence.epoch,
                count = divergence.keys.len(),
                keys = ?divergence.keys,
                "a region came back with versions that the home had not"
            );
            let unreported = &self.unreported;
            unreported.report_or_keep(&self.registry, &divergence).await;
        })
    }
}

impl gateway::Regions for Neighbours {
    fn seal_reason(&self, text: &str) -> Option<String> {
        self.registry.seal_reason(text)
    }
    fn place(&self, region: &RegionId) -> Option<Place> {
        self.registry.place(region)
    }
    fn nearest(&self, among: &[RegionId]) -> Vec<RegionId> {
        let mut sorted = among.to_vec();
        sorted.sort_by(|a, b| self.kilometres(a).total_cmp(&self.kilometres(b)));
        sorted
    }
    fn endpoint(&self, region: &RegionId) -> Option<String> {
        let record = self.registry.region(region)?;
        record.endpoint_host().map(str::to_owned)
    }
    fn pass<'a>(
        &'a self,
        to: &'a RegionId,
        request: Request<PassedBody>,
    ) -> BoxFuture<'a, Result<Response<AnswerBody>, PassError>> {
        Box::pin(async move {
            let address = replication::Regions::address(self, to);
            let unreachable = |why: &str| PassError::Unreachable(why.to_owned());
            let peer = Peer {
                region: to.clone(),
                address: address.ok_or_else(|| unreachable("no address is on record"))?,
            };
            let (mut parts, body) = request.into_parts();
            parts.uri = Uri::from_static(paths::PASS);
            let body = body.map_err(Into::into).boxed_unsync();
            let request = Request::from_parts(parts, body);
            let client = &self.link.client;
            let answer = client.request_within(PASSED_MAX, &peer, request).await;
            let answer = answer.map_err(|error| match error {
                peer::PeerError::Unreachable { .. } => PassError::Unreachable(error.to_string()),
                other => PassError::Broken(other.to_string()),
            })?;
            Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
        })
    }
    fn prove<'a>(
        &'a self,
        from: &'a RegionId,
        bucket: &'a BucketName,
        statement: &'a Statement,
    ) -> BoxFuture<'a, Proven> {
        Box::pin(async move {
            let key = AccessKeyId::new(&statement.access_key);
            if statement.is_old() {
                return self.prove_old(from, bucket, statement);
            }
            if statement.is_asymmetric() {
                return self.prove_asymmetric(from, bucket, statement);
            }
            if self.requires_asymmetric(statement) {
                tracing::warn!(%from, %bucket, %key, "a signature of a kind that the account refuses");
                return Proven::Forged;
            }
            match self.registry.prove(from, bucket, statement).await {
                Ok(Some(account)) => {
                    let live = match &statement.token {
                        None => self.live(&key, &account).await,
                        Some(_) => {
                            let caller = self.registry.caller_of(statement);
                            caller.filter(|caller| caller.is_of(&account))
                        }
                    };
                    live.map_or(Proven::Nobody, Proven::Caller)
                }
                Ok(None) => {
                    tracing::warn!(%from, %bucket, %key, "a region relayed a signature of nobody's");
                    match self.registry.caller_of(statement) {
                        Some(_) => Proven::Forged,
                        None => Proven::Nobody,
                    }
                }
                Err(error) => Proven::Unknown {
                    caller: self.registry.caller_of(statement),
                    why: error.to_string(),
                },
            }
        })
    }
    fn introduce<'a>(
        &'a self,
        statement: &'a Statement,
        from: Option<IpAddr>,
    ) -> BoxFuture<'a, gateway::Introduced> {
        Box::pin(async move {
            let introduced = self.registry.introduce(statement, Service::S3, from);
            match introduced.await {
                Ok(Introduced::Known) => gateway::Introduced::Known,
                Ok(Introduced::Nobody) => gateway::Introduced::Nobody,
                Err(error) => gateway::Introduced::Unknown(error.to_string()),
            }
        })
    }
    fn other_names<'a>(
        &'a self,
        bucket: &'a BucketName,
        names: Vec<String>,
    ) -> BoxFuture<'a, Result<Vec<Option<String>>, String>> {
        Box::pin(async move {
            let told = self.registry.other_names(bucket, names).await;
            told.map_err(|error| error.to_string())
        })
    }
    fn prove_chunks<'a>(
        &'a self,
        from: &'a RegionId,
        bucket: &'a BucketName,
        statement: &'a Statement,
        previous: &'a str,
        links: &'a [ChunkLink],
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let proven = self
                .registry
                .prove_chunks(from, bucket, statement, previous, links);
            proven.await.map_err(|error| error.to_string())
        })
    }
    fn clock_doubt(&self) -> Option<String> {
        let ends = self.ends.load();
        let doubt = self.clock_doubt.load();
        ends.as_deref().or(doubt.as_deref()).cloned()
    }
    fn doubt(&self) -> Option<String> {
        self.doubt_of_registry()
    }
    fn home_doubt(&self, deed: &BucketDeed) -> Option<String> {
        let first = self.behind.doubt_at_start(&self.here.region, deed);
        first.or_else(|| self.doubt_of_home(deed))
    }
    fn out_of_touch(&self, deed: &BucketDeed) -> Option<String> {
        self.stale_access(deed)
    }
    fn replicated(&self, deed: &BucketDeed, position: u64) -> bool {
        let status = self.status.get();
        status.is_some_and(|status| status.replicated(deed, position))
    }
    fn lagging(&self, deed: &BucketDeed, position: u64) -> Vec<(RegionId, Option<u64>)> {
        let status = self.status.get();
        status.map_or_else(Vec::new, |status| status.lagging(deed, position))
    }
    fn applied(&self, deed: &BucketDeed) -> Option<u64> {
        self.status.get()?.applied(deed)
    }
    fn takes_by_rule<'a>(
        &'a self,
        source: &'a Arc<BucketDeed>,
        destination: &'a Arc<BucketDeed>,
    ) -> BoxFuture<'a, Result<(), RuleRefused>> {
        Box::pin(async move {
            let no_answer = || RuleRefused::NoAnswer(destination.home.to_string());
            let regions: Arc<dyn replication::Regions> =
                self.this.upgrade().ok_or_else(no_answer)?;
            let client: Arc<dyn Transport> = Arc::new(self.link.client.clone());
            let asked = ask_destination(&client, &regions, source, destination, Vec::new());
            match asked.await {
                Ok(taken) => taken
                    .refused
                    .map_or(Ok(()), |why| Err(RuleRefused::No(why))),
                Err(error) => {
                    tracing::warn!(region = %destination.home, %error, "a rule was not put");
                    Err(no_answer())
                }
            }
        })
    }
    fn read_by_home(&self, deed: &BucketDeed, position: u64) -> bool {
        let status = self.status.get();
        status.is_some_and(|status| status.is_read(deed, position))
    }
    fn until_read_by_home<'a>(
        &'a self,
        deed: &'a BucketDeed,
        position: u64,
        within: Duration,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match self.status.get() {
                Some(status) => status.until_home_has(deed, position, within).await,
                None => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_an_atlas() {
        // Frankfurt, Dubai, Sydney: 4,840 and 12,040 km by the great circle.
        let (frankfurt, dubai, sydney) = ((50.11, 8.68), (25.20, 55.27), (-33.87, 151.21));
        let near = |a, b, km: f64| (great_circle_km(a, b) - km).abs() < km / 50.0;
        assert!(
            near(frankfurt, dubai, 4_840.0),
            "{}",
            great_circle_km(frankfurt, dubai)
        );
        assert!(
            near(dubai, sydney, 12_040.0),
            "{}",
            great_circle_km(dubai, sydney)
        );
        assert!(great_circle_km(dubai, dubai) < 0.001);
    }
}
