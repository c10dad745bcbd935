//! The source: answers what another region asks about a bucket.

use std::{sync::Arc, time::Duration};

use access::{Counting, Permit, authorize_sending};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use objects::{ChangePage, Objects};
use peer::{BoxBody, Held, NoRoom, Room, STREAM_BYTES, full};
use seal::SealingKey;
use store::Position;
use types::{BucketDeed, Clock, Place};

use crate::{
    Promises, Regions, ReplicaStatus, RuleShown, Shipping, Status, Uploads, Usage,
    answers::{Refused, failed, json, json_bytes, names, refused, take},
    body::ReaderBody,
    frames::Answer,
    gate::Admitted,
    handover::HandOver,
    rules_far::Taking,
    wire::{
        Ask, COUNT_ROOM, END, INSTANCE, PAGE_BYTES, PAGE_MAX, PAGE_ROOM, WAIT_MAX, What, name,
        read_name,
    },
};

/// Answers regions that hold a bucket too.
#[derive(Clone)]
pub struct Source {
    pub(crate) objects: Arc<Objects>,
    pub(crate) regions: Arc<dyn Regions>,
    pub(crate) status: Arc<Status>,
    pub(crate) handover: HandOver,
    /// The key that seals the sealed replicas of buckets whose home is here.
    pub(crate) sealing: Option<Arc<SealingKey>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) taking: Taking,
    pub(crate) promises: Arc<Promises>,
}

/// Keys that lag which are named.
const LAGGING_MAX: usize = 20;

/// How far a replica is that asks for changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stands {
    /// Which replica it means.
    pub(crate) since: u64,
    /// Read up to here in this region's log.
    pub(crate) after: Position,
    /// Applied up to here.
    applied: u64,
    /// What it has read is from before this.
    reach: Position,
    /// To which start of this region it has handed over all that it has. Sealed replicas and
    /// releases before this one do not say it.
    handed: Option<u64>,
}

impl Stands {
    pub(crate) fn at(ask: &Ask, after: u64) -> Self {
        let applied = ask.what.applied();
        Self {
            since: ask.since,
            after: Position(after),
            applied: applied.map_or(after, |applied| applied.min(after)),
            reach: Position(ask.reach.max(after)),
            handed: ask.handed,
        }
    }
}

/// The answer to a replica that may have what this region does not have.
fn ahead_of(after: Position) -> ChangePage {
    ChangePage {
        changes: Vec::new(),
        next: after,
        reseed: true,
        ahead: true,
    }
}

/// How a permit to send is asked for.
type May = fn(&Source, &Arc<BucketDeed>, &Place) -> Result<Permit, Refused>;

impl Source {
    /// Answers a question of the region at `from`, whose identity was proven, within its `room`.
    pub async fn answer(&self, from: &Place, room: &Room, ask: Ask) -> Response<BoxBody> {
        let mut answer = self.answer_or_refuse(from, room, ask).await;
        let instance = HeaderValue::from(self.regions.instance());
        answer.headers_mut().insert(INSTANCE, instance);
        answer
    }

    async fn answer_or_refuse(&self, from: &Place, room: &Room, ask: Ask) -> Response<BoxBody> {
        match self.try_answer(from, room, ask).await {
            Ok(answer) => answer,
            Err((StatusCode::SERVICE_UNAVAILABLE, why)) => {
                tracing::info!(region = %from.region, why, "a question was put off");
                NoRoom.answer()
            }
            Err((status, why)) => {
                tracing::debug!(region = %from.region, %status, why, "a question was refused");
                let mut answer = Response::new(full(why));
                *answer.status_mut() = status;
                answer
            }
        }
    }

    /// What regions promise each other.
    pub fn promises(&self) -> &Arc<Promises> {
        &self.promises
    }

    /// Answers what is asked about a bucket as a whole.
    async fn answer_counts(
        &self,
        counting: &Counting,
        room: &Room,
        what: &What,
    ) -> Result<Response<BoxBody>, Refused> {
        let held = take(room, COUNT_ROOM).await?;
        let counted = match what {
            What::Replicas | What::Uploads => match self.regions.home_doubt(counting.deed()) {
                Some(doubt) => return Err((StatusCode::CONFLICT, doubt)),
                None if matches!(what, What::Uploads) => {
                    json_bytes(&self.uploads(counting).await.map_err(failed)?)
                }
                None => json_bytes(&self.replicas(counting).await.map_err(failed)?),
            },
            What::Rules => json_bytes(&self.rules(counting).await.map_err(failed)?),
            What::Renewal => json_bytes(&self.promises.shown(counting.deed())),
            _ => json_bytes(&self.usage(counting).await.map_err(failed)?),
        };
        Ok(held.full(counted?))
    }

    async fn try_answer(
        &self,
        from: &Place,
        room: &Room,
        ask: Ask,
    ) -> Result<Response<BoxBody>, Refused> {
        // Also when the question is refused: nothing counts then that an earlier start has said.
        self.status.asks(&from.region, ask.instance);
        if matches!(ask.what, What::Yield | What::Followed) {
            return self.answer_standing(from, &ask).await;
        }
        // Whoever may not ask gets that answer before it waits for anything.
        let admitted = self.admit(from, &ask);
        let (deed, admitted) = admitted.inspect_err(|_| self.note_epoch(from, &ask))?;
        let mut answer = match admitted {
            Admitted::Counts(counting) => {
                return self.answer_counts(&counting, room, &ask.what).await;
            }
            Admitted::Gathering => return self.answer_gathering(&deed, from, room, ask).await,
            Admitted::Rule => return self.answer_by_rule(&deed, from, room, ask.what).await,
            Admitted::Sealed => {
                self.may_lease(&deed, &ask.what).await?;
                self.answer_sealed(&deed, from, room, ask).await?
            }
            Admitted::Copy(permit) => {
                let asker = (from, room);
                self.answer_copy(&deed, asker, &permit, ask).await?
            }
        };
        // Read after the answer: all that it says is from before that.
        let end = HeaderValue::from(self.objects.log_end_of(&deed).0);
        answer.headers_mut().insert(END, end);
        Ok(answer)
    }

    /// Answers a region that holds a readable replica, about what is in the bucket.
    async fn answer_copy(
        &self,
        deed: &Arc<BucketDeed>,
        (from, room): (&Place, &Room),
        permit: &Permit,
        ask: Ask,
    ) -> Result<Response<BoxBody>, Refused> {
        let objects = &self.objects;
        let (held, answer) = match ask.what {
            What::Head => {
                let held = take(room, COUNT_ROOM).await?;
                self.status.begins(deed, &from.region);
                (held, self.head(permit).await?)
            }
            What::Changes { after, wait_ms, .. } => {
                let stands = Stands::at(&ask, after);
                let wait = Duration::from_millis(wait_ms).min(WAIT_MAX);
                self.changes(deed, from, room, stands, wait, Self::permit)
                    .await?
            }
            What::Removals { after } => {
                let held = take(room, PAGE_ROOM).await?;
                (held, self.removals(permit, after).await?)
            }
            What::Hear { after } => {
                return json(&self.hear(deed, from, after).await.map_err(refused)?);
            }
            What::Snapshot { from: row } => {
                let held = take(room, PAGE_ROOM).await?;
                let answer = self.snapshot(permit, &row).await?;
                self.status.seeds(deed, &from.region, answer.changes.len());
                (held, answer)
            }
            What::Version { key, version } => {
                let held = take(room, COUNT_ROOM).await?;
                (held, self.version(permit, &(key, version)).await?)
            }
            What::Body {
                key,
                version,
                offset,
            } => {
                let (key, version) = read_name(&(key, version)).map_err(refused)?;
                let held = take(room, STREAM_BYTES).await?;
                let reader = objects.ship_body(permit, &key, version, offset).await;
                let reader = reader.map_err(failed)?;
                let body = ReaderBody::new(reader, self.still(deed, from, Self::permit));
                return Ok(held.answer(Response::new(body.boxed_unsync())));
            }
            What::Lacking { versions } => {
                let lacking = objects.lacking(permit, names(&versions)?).await;
                let lacking = lacking.map_err(failed)?;
                let named = |(key, version): &objects::VersionName| name(key, *version);
                return json(&lacking.iter().map(named).collect::<Vec<_>>());
            }
            What::Offer { versions } => {
                let versions = names(&versions)?;
                let settled = self.handover.take(deed, from, versions).await;
                return json(&settled.map_err(refused)?);
            }
            _ => return Err(refused("not a question of a replica")),
        };
        Ok(held.full(answer.encode()))
    }
}

impl Source {
    pub(crate) fn permit(&self, deed: &Arc<BucketDeed>, to: &Place) -> Result<Permit, Refused> {
        authorize_sending(deed, &self.regions.here(), to).map_err(refused)
    }

    pub(crate) async fn version(
        &self,
        permit: &Permit,
        named: &(String, String),
    ) -> Result<Answer, Refused> {
        let (key, version) = read_name(named).map_err(refused)?;
        let found = self.objects.ship_version(permit, &key, version).await;
        let found = found.map_err(failed)?;
        let found = found.ok_or_else(|| failed(objects::Error::NoSuchVersion))?;
        Ok(Answer {
            changes: vec![(0, objects::ShippedChange::Version(Box::new(found)))],
            ..Answer::default()
        })
    }

    async fn head(&self, permit: &Permit) -> Result<Answer, Refused> {
        let objects = &self.objects;
        let (position, config) = objects.head_position(permit).await.map_err(failed)?;
        Ok(Answer {
            position: position.0,
            changes: vec![(0, config)],
            ..Answer::default()
        })
    }

    /// Whether the bucket may still go to a region: asked for each piece of a body, since the
    /// placement may change while it is on its way.
    pub(crate) fn still(
        &self,
        deed: &Arc<BucketDeed>,
        to: &Place,
        may: May,
    ) -> Box<dyn Fn() -> bool + Send> {
        let (source, to) = (self.clone(), to.clone());
        let (name, id) = (deed.name.clone(), deed.id);
        Box::new(move || {
            let now = source.regions.deed(&name).filter(|deed| deed.id == id);
            now.is_some_and(|deed| may(&source, &deed, &to).is_ok())
        })
    }

    pub(crate) async fn changes(
        &self,
        deed: &Arc<BucketDeed>,
        to: &Place,
        room: &Room,
        stands: Stands,
        wait: Duration,
        may: May,
    ) -> Result<(Held, Answer), Refused> {
        let objects = &self.objects;
        let permit = may(self, deed, to)?;
        let mut held = take(room, PAGE_ROOM).await?;
        let page = objects.changes(&permit, stands.after, PAGE_MAX, PAGE_BYTES);
        let mut page = page.await.map_err(failed)?;
        let mut is_ahead = self.lacks(deed, &stands);
        if stands.reach > stands.after && !types::planted("half-a-page-is-forgotten") {
            let has_given = objects.has_given(&permit, stands.reach).await;
            is_ahead |= !has_given.map_err(failed)?;
        }
        if is_ahead {
            page = ahead_of(stands.after);
        }
        // A position that this log never gave says nothing about what is in it.
        if !page.ahead || types::planted("acks-of-another-log") {
            let handed = self.has_handed_over(&stands);
            let said = (stands.since, stands.applied, handed);
            self.status.acked(deed, &to.region, said);
        }
        // Where the log has only what is not for replicas, the new position is an answer: somebody
        // may wait until the replica says it.
        let at_end = page.next == stands.after;
        if page.changes.is_empty() && !page.reseed && at_end && !wait.is_zero() {
            drop(held);
            let waiting = objects.changed(&permit, page.next, wait);
            waiting.await.map_err(failed)?;
            held = take(room, PAGE_ROOM).await?;
            // The placement may have changed while we waited.
            let now = self.regions.deed(&deed.name).filter(|d| d.id == deed.id);
            let now = now.ok_or_else(|| refused("no such bucket"))?;
            let permit = may(self, &now, to)?;
            let next = objects.changes(&permit, page.next, PAGE_MAX, PAGE_BYTES);
            page = next.await.map_err(failed)?;
            // It may have found out meanwhile.
            if self.lacks(&now, &stands) {
                page = ahead_of(stands.after);
            }
        }
        let answer = Answer {
            reseed: page.reseed,
            ahead: page.ahead,
            position: page.next.0,
            changes: page.changes.into_iter().map(|(p, c)| (p.0, c)).collect(),
            ..Answer::default()
        };
        Ok((held, answer))
    }

    /// Whether this region's folder was put back, and the replica has not handed over to this start
    /// what it has. Its position says too little: it may have applied a part of a page whose end it
    /// has not noted, or a part of a snapshot, from what this region had then.
    fn lacks(&self, deed: &BucketDeed, stands: &Stands) -> bool {
        !self.has_handed_over(stands)
            && self.regions.lacks(deed)
            && !types::planted("half-a-page-is-forgotten")
    }

    fn has_handed_over(&self, stands: &Stands) -> bool {
        let instance = self.regions.instance();
        stands.handed.is_none_or(|to| to == instance)
    }

    pub(crate) async fn snapshot(&self, permit: &Permit, row: &str) -> Result<Answer, Refused> {
        let row = hex::decode(row).map_err(refused)?;
        let row = Some(Bytes::from(row)).filter(|row| !row.is_empty());
        let page = self
            .objects
            .snapshot(permit, row, PAGE_MAX, PAGE_BYTES)
            .await;
        let page = page.map_err(failed)?;
        let version = |v| (0, objects::ShippedChange::Version(Box::new(v)));
        Ok(Answer {
            row: page.next,
            changes: page.versions.into_iter().map(version).collect(),
            ..Answer::default()
        })
    }

    /// The state of the replicas of a bucket whose home is here; which keys lag, if they may be
    /// named.
    pub async fn replicas(&self, counting: &Counting) -> objects::Result<Vec<ReplicaStatus>> {
        let deed = counting.deed();
        let mut copies = self.status.replicas(deed);
        for copy in &mut copies {
            let Some(applied) = copy.applied else {
                continue;
            };
            let after = Position(applied);
            let behind = self.objects.behind(deed, after, LAGGING_MAX).await?;
            copy.behind = behind.as_ref().map(|(count, _)| *count);
            if let (Some((_, keys)), true) = (behind, counting.named()) {
                copy.lagging = keys;
            }
        }
        Ok(copies)
    }

    /// How the rules of a bucket are doing whose home is here.
    pub async fn rules(&self, counting: &Counting) -> objects::Result<Vec<RuleShown>> {
        let deed = counting.deed();
        match deed.home == self.regions.here().region {
            true => Shipping::shown(&self.objects, deed).await,
            false => Ok(Vec::new()),
        }
    }

    /// How many uploads of a bucket are in progress here.
    pub async fn uploads(&self, counting: &Counting) -> objects::Result<Uploads> {
        let found = self.objects.uploads_in_progress(counting.deed()).await?;
        Ok(Uploads {
            uploads: found.uploads,
            parts: found.parts,
            bytes: found.bytes,
            more: found.more,
        })
    }

    /// How much a bucket holds here.
    pub async fn usage(&self, counting: &Counting) -> objects::Result<Usage> {
        let (versions, bytes) = self.objects.usage(counting.deed()).await?;
        Ok(Usage { versions, bytes })
    }
}
