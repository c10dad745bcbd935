//! Replication rules whose destination has its home in another region.
//!
//! The source's home decides by the rules which versions go, and sends their names to the
//! destination's home, a page at a time. That region fetches them, and can be given only what a
//! rule sends there: the source looks at its rules again for every version and for its bytes. Both
//! sides ask `access` with the deeds that each knows itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use access::{Permit, authorize_rule_receiving, authorize_rule_sending};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use objects::{
    BodySource, Error, Objects, Rules, Shipped, ShippedChange, VersionName, copy_by_rule,
};
use parking_lot::Mutex;
use peer::{BoxBody, Room, STREAM_BYTES};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use types::{
    Body, BodyError, BucketDeed, BucketId, BucketName, Holding, Place, RegionId, deed::BoxFuture,
};

use crate::{
    Regions, ReplicationError, Source, Transport,
    answers::{Refused, failed, json, names, refused, take},
    body::ReaderBody,
    client::Far,
    frames::Answer,
    gate::outside,
    wire::{PAGE_BYTES, PAGE_ROOM, TakenByRule, What, name, read_name},
};

/// How long an answer waits for versions that come; their coming goes on in any case.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Versions that are fetched at once by rules from one region, over all buckets: a region that
/// sends slowly holds up no other.
const AT_ONCE: usize = 8;
/// Questions of one region by whose versions memory is taken at once.
const QUESTIONS: usize = 2;
/// Said of a version that is tried again when it is named again.
const BUSY: &str = "busy";

/// Versions that come, each with what has become of it.
type Coming = JoinSet<((String, String), Result<(), String>)>;

/// What is being fetched by rules.
#[derive(Clone, Default)]
pub struct Taking {
    shares: Arc<Mutex<BTreeMap<RegionId, Share>>>,
    under_way: Arc<Mutex<BTreeSet<(BucketId, VersionName)>>>,
}

/// What one region may take up here.
#[derive(Clone)]
struct Share {
    questions: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

/// Asks the home of `destination` to take `versions` of `source` by its rules; without any, whether
/// it would.
///
/// # Errors
/// The other region does not answer, or not yet under these deeds.
pub async fn ask_destination(
    client: &Arc<dyn Transport>,
    regions: &Arc<dyn Regions>,
    source: &BucketDeed,
    destination: &Arc<BucketDeed>,
    versions: Vec<(String, String)>,
) -> Result<TakenByRule, ReplicationError> {
    let far = Far::new(client, regions, &destination.home, destination);
    far.read(What::TakeByRule {
        source: source.name.to_string(),
        id: source.id.0,
        epoch: source.epoch,
        versions,
    })
    .await
}

/// Where the bytes of versions are that a rule sends.
#[derive(Clone)]
struct ByRule {
    far: Far,
    to: BucketName,
}

impl BodySource for ByRule {
    fn open<'a>(
        &'a self,
        shipped: &'a Shipped,
        offset: u64,
    ) -> BoxFuture<'a, Result<Box<dyn Body>, BodyError>> {
        Box::pin(async move {
            let (key, version) = name(&shipped.key, shipped.version);
            let ask = What::BodyByRule {
                to: self.to.to_string(),
                key,
                version,
                offset,
            };
            self.far.body(ask).await
        })
    }
}

impl Source {
    pub(crate) async fn answer_by_rule(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        room: &Room,
        what: What,
    ) -> Result<Response<BoxBody>, Refused> {
        match what {
            What::TakeByRule {
                source,
                id,
                epoch,
                versions,
            } => {
                let source = self.source_of_rule(&source, id, epoch, from)?;
                json(&self.take_by_rule(&source, deed, from, versions).await?)
            }
            What::ByRule { to, versions } => {
                let to = BucketName::new(&to).map_err(refused)?;
                let sending = self.sending_by_rule(deed, &to, from).await?;
                let held = take(room, PAGE_ROOM).await?;
                let answer = self.by_rule(&to, sending, &names(&versions)?).await?;
                Ok(held.full(answer.encode()))
            }
            What::BodyByRule {
                to,
                key,
                version,
                offset,
            } => {
                let to = BucketName::new(&to).map_err(refused)?;
                let (key, version) = read_name(&(key, version)).map_err(refused)?;
                let (permit, rules) = self.sending_by_rule(deed, &to, from).await?;
                let held = take(room, STREAM_BYTES).await?;
                self.sent(&permit, &rules, &to, &(key.clone(), version))
                    .await?
                    .ok_or_else(|| failed(Error::NoSuchVersion))?;
                let reader = self.objects.ship_body(&permit, &key, version, offset).await;
                let still = self.still_by_rule(deed, to, from);
                let body = ReaderBody::new(reader.map_err(failed)?, still);
                Ok(held.answer(Response::new(body.boxed_unsync())))
            }
            _ => Err(refused("answered elsewhere")),
        }
    }

    /// The bucket that has the rule, as this region knows it. Only its home learns more.
    pub(crate) fn source_of_rule(
        &self,
        source: &str,
        id: u64,
        epoch: u64,
        from: &Place,
    ) -> Result<Arc<BucketDeed>, Refused> {
        let bucket = BucketName::new(source).map_err(refused)?;
        let found = self.regions.deed(&bucket).filter(|d| d.id.0 == id);
        let found = found.filter(|source| source.holding(&from.region) != Holding::Nothing);
        let found = found.ok_or_else(outside)?;
        match found.epoch == epoch {
            true => Ok(found),
            false => Err((
                StatusCode::CONFLICT,
                format!("the source's epoch is {}, not {epoch}", found.epoch),
            )),
        }
    }

    /// At the source: what a rule sends of these versions, as far as an answer holds. The position
    /// says how many were looked at.
    async fn by_rule(
        &self,
        to: &BucketName,
        (permit, rules): (Permit, Arc<Rules>),
        versions: &[VersionName],
    ) -> Result<Answer, Refused> {
        let mut answer = Answer::default();
        let mut bytes = 0;
        for version in versions {
            if bytes >= PAGE_BYTES {
                break;
            }
            if let Some(copy) = self.sent(&permit, &rules, to, version).await? {
                bytes += copy.travels();
                let change = ShippedChange::Version(Box::new(copy));
                answer.changes.push((answer.position, change));
            }
            answer.position += 1;
        }
        Ok(answer)
    }

    /// A version as a rule sends it; `None` when none does, or it is gone.
    async fn sent(
        &self,
        permit: &Permit,
        rules: &Rules,
        to: &BucketName,
        (key, version): &VersionName,
    ) -> Result<Option<Shipped>, Refused> {
        let found = self.objects.ship_version(permit, key, *version).await;
        let found = found.map_err(failed)?;
        Ok(found.and_then(|shipped| copy_by_rule(rules, &shipped, to)))
    }

    async fn sending_by_rule(
        &self,
        deed: &Arc<BucketDeed>,
        to: &BucketName,
        from: &Place,
    ) -> Result<(Permit, Arc<Rules>), Refused> {
        let destination = self.regions.deed(to);
        let destination = destination.ok_or_else(outside)?;
        let here = self.regions.here();
        let permit = authorize_rule_sending(deed, &destination, &here, from).map_err(refused)?;
        let rules = self.objects.rules(&permit).await.map_err(failed)?;
        Ok((permit, rules.ok_or_else(|| refused("there are no rules"))?))
    }

    /// Whether a body may still go: either placement may change while it is on its way.
    fn still_by_rule(
        &self,
        deed: &Arc<BucketDeed>,
        to: BucketName,
        from: &Place,
    ) -> Box<dyn Fn() -> bool + Send> {
        let (regions, from) = (Arc::clone(&self.regions), from.clone());
        let (name, id) = (deed.name.clone(), deed.id);
        Box::new(move || {
            let source = regions.deed(&name).filter(|deed| deed.id == id);
            let (Some(source), Some(destination)) = (source, regions.deed(&to)) else {
                return false;
            };
            authorize_rule_sending(&source, &destination, &regions.here(), &from).is_ok()
        })
    }

    /// At the destination: fetches versions that a rule sends.
    async fn take_by_rule(
        &self,
        source: &Arc<BucketDeed>,
        destination: &Arc<BucketDeed>,
        from: &Place,
        versions: Vec<(String, String)>,
    ) -> Result<TakenByRule, Refused> {
        let mut taken = TakenByRule::default();
        let here = self.regions.here();
        let permit = match authorize_rule_receiving(source, destination, &here, from) {
            Ok(permit) => permit,
            Err(why) => {
                taken.refused = Some(format!("bucket {}: {why}", destination.name));
                return Ok(taken);
            }
        };
        if !self.objects.keeps_versions(&permit).await.map_err(failed)? {
            taken.refused = Some(format!(
                "bucket {} does not keep versions",
                destination.name
            ));
            return Ok(taken);
        }
        let bodies = ByRule {
            far: self.handover.far(source, from),
            to: destination.name.clone(),
        };
        let until = Instant::now() + ANSWER_WITHIN;
        let share = self.taking.share(&from.region);
        let asking = timeout_at(until, Arc::clone(&share.questions).acquire_owned());
        let Ok(Ok(_asking)) = asking.await else {
            // Named again, they are tried again.
            return Ok(taken);
        };
        let mut coming = JoinSet::new();
        let wanted = names(&versions)?;
        taken.done = self
            .begin_taking((&permit, &bodies), &wanted, (&share, until), &mut coming)
            .await?;
        while let Ok(Some(done)) = timeout_at(until, coming.join_next()).await {
            match done {
                Ok((version, Ok(()))) => taken.done.push(version),
                Ok((_, Err(why))) if why == BUSY => {}
                Ok((version, Err(why))) => taken.failed.push((version, why)),
                Err(error) => tracing::warn!(%error, "a version of a rule did not come"),
            }
        }
        // What has not come yet goes on, and is there when it is named again.
        coming.detach_all();
        Ok(taken)
    }

    /// Begins to fetch, each version once there is a place for it: what waits for one takes no
    /// memory. Answers which versions are not to come.
    async fn begin_taking(
        &self,
        (permit, bodies): (&Permit, &ByRule),
        wanted: &[VersionName],
        (share, until): (&Share, Instant),
        coming: &mut Coming,
    ) -> Result<Vec<(String, String)>, Refused> {
        let (mut stay, mut at) = (Vec::new(), 0);
        while at < wanted.len() {
            let asked = wanted.get(at..).unwrap_or_default();
            let ask = What::ByRule {
                to: bodies.to.to_string(),
                versions: asked.iter().map(|(k, v)| name(k, *v)).collect(),
            };
            let answer = bodies.far.ask(ask).await;
            let answer = answer.map_err(|e| (StatusCode::CONFLICT, e.to_string()))?;
            let looked = (answer.position as usize).clamp(1, asked.len());
            let mut sent = BTreeSet::new();
            for (_, change) in answer.changes {
                if let ShippedChange::Version(copy) = change {
                    // What was not named was not decided by a rule.
                    let is_named =
                        |(key, version): &VersionName| (key, version) == (&copy.key, &copy.version);
                    if !asked.iter().take(looked).any(is_named) {
                        continue;
                    }
                    sent.insert((copy.key.clone(), copy.version));
                    let place = Arc::clone(&share.places).acquire_owned();
                    let Ok(Ok(place)) = timeout_at(until, place).await else {
                        return Ok(stay);
                    };
                    self.take_one(permit, *copy, (bodies, place), coming);
                }
            }
            // Those that were not sent are gone, or no rule is about them any more.
            let gone = asked
                .iter()
                .take(looked)
                .filter(|name| !sent.contains(name));
            stay.extend(gone.map(|(k, v)| name(k, *v)));
            at += looked;
        }
        Ok(stay)
    }

    fn take_one(
        &self,
        permit: &Permit,
        copy: Shipped,
        (bodies, place): (&ByRule, OwnedSemaphorePermit),
        coming: &mut Coming,
    ) {
        let (objects, permit) = (Arc::clone(&self.objects), permit.clone());
        let (taking, bodies) = (self.taking.clone(), bodies.clone());
        coming.spawn(async move {
            let version = name(&copy.key, copy.version);
            let taken = taking.take(&objects, &permit, copy, &bodies).await;
            drop(place);
            (version, taken)
        });
    }
}

impl Taking {
    fn share(&self, region: &RegionId) -> Share {
        self.shares
            .lock()
            .entry(region.clone())
            .or_default()
            .clone()
    }

    async fn take(
        &self,
        objects: &Objects,
        permit: &Permit,
        copy: Shipped,
        bodies: &ByRule,
    ) -> Result<(), String> {
        let Some(bucket) = permit.deed().map(|deed| deed.id) else {
            return Err(BUSY.to_owned());
        };
        let one = (bucket, (copy.key.clone(), copy.version));
        if !self.under_way.lock().insert(one.clone()) {
            return Err(BUSY.to_owned());
        }
        let _under_way = UnderWay(self, one);
        let mut copy = copy;
        // Whatever the other region says: it goes no further by rules.
        copy.attributes.replica = true;
        // Nor does it take the place of what is here: a rule brings new versions only.
        copy.null = false;
        let change = ShippedChange::Version(Box::new(copy));
        match objects.apply(permit, change, bodies).await {
            Ok(_) => Ok(()),
            // Of this version alone.
            Err(error @ (Error::Body(_) | Error::BadDigest(_) | Error::Record(_))) => {
                Err(error.to_string())
            }
            // Nor does one that will not be taken over for long stop those behind it.
            Err(error @ Error::ClockAhead(stamp)) if objects.is_far_ahead(stamp) => {
                Err(error.to_string())
            }
            Err(error) => {
                tracing::warn!(%error, "a version that a rule sends was not taken; tried again");
                Err(BUSY.to_owned())
            }
        }
    }
}

struct UnderWay<'a>(&'a Taking, (BucketId, VersionName));

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().remove(&self.1);
    }
}

/// The place of the home of a bucket, as a region knows it.
pub(crate) fn home_of(regions: &dyn Regions, deed: &BucketDeed) -> Option<Place> {
    let region: &RegionId = &deed.home;
    match *region == regions.here().region {
        true => Some(regions.here()),
        false => regions.place(region),
    }
}
