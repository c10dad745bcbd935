//! Buckets that take writes in every region: the home reads what clients changed at each replica.
//!
//! The home asks each replica for its clients' changes, long-polled like any follower, and applies
//! them as they are in the replica's log. Replicas receive them from the home. When the deed's
//! epoch rises (another home, another way of taking writes) a replica first has the home read what
//! its clients changed under the earlier deed, and only then takes over the home's state.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ::follow::Step;
use access::{Permit, authorize_receiving, authorize_sending};
use http::Response;
use objects::{
    Applied, FollowCursor, Objects, Own, Removed, Report, ShippedChange, VersionName, Word,
};
use peer::{BoxBody, Held, Room};
use store::Position;
use tokio::time::Instant;
use types::{BodyError, BucketDeed, Holding, Place, Writes};

use crate::{
    Divergence, ReplicaState, ReplicationError, Source,
    answers::{Refused, failed, json, refused, take},
    client::Far,
    follow::{At, Follower, InLog, is_news, key_of, not_at_once, stands_still},
    frames::Answer,
    wire::{Ask, Gathered, PAGE_BYTES, PAGE_MAX, PAGE_ROOM, WAIT_MAX, What, name},
};

/// How long an answer that reads earlier changes works on them before it says how far it came.
const GATHER_WITHIN: Duration = Duration::from_secs(10);
/// How long a home reads what one replica says was removed there: other replicas wait for that.
const GONE_WITHIN: Duration = Duration::from_secs(600);
/// How long a replica waits until the home has read what its clients changed.
const READ_WITHIN: Duration = Duration::from_secs(30);

impl Follower {
    pub(crate) async fn open_gathering(&self) -> Result<At, ReplicationError> {
        let permit = self.permit()?;
        let (region, epoch) = (&self.far.region, self.far.deed.epoch);
        let before = self.objects.gather_cursor(&permit, region).await?;
        // A position from before is behind all that is of this epoch.
        let cursor = FollowCursor { epoch, ..before };
        let noted = self.note_gathered(&permit, &cursor).await?;
        self.say(ReplicaState::Following);
        Ok(At::Own(InLog::from(cursor), noted))
    }

    /// At the home: reads what clients change at a replica.
    pub(crate) async fn gather_page(
        &self,
        at: &mut InLog,
        noted: &mut Position,
    ) -> Result<Step, ReplicationError> {
        let ask = What::Own {
            after: at.cursor.position.0,
            wait_ms: at.wait_ms,
            noted: noted.0,
            former: false,
            applied: self.applied_to(),
        };
        let first = at.is_first();
        let cursor = &mut at.cursor;
        let asked = Instant::now();
        let mut page = self.far.ask(ask).await?;
        let permit = self.permit()?;
        if page.reseed {
            self.gather_all(&permit, cursor.clone()).await?;
            return Ok(Step::Anew);
        }
        if page.position < cursor.position.0 {
            return Err(stands_still("a replica's log"));
        }
        let moved = page.position != cursor.position.0;
        if first {
            // It may have been applied before a stop, and what it made may be removed since.
            self.leave_out_removed(&permit, &mut page).await?;
        }
        let changed = !page.changes.is_empty();
        if !first && !changed && !moved {
            not_at_once(asked).await;
        }
        self.note_removed(&permit, &page).await?;
        self.apply_all(&permit, &page).await?;
        if first {
            self.take_back_removed(&permit, &page).await?;
        }
        cursor.position = Position(page.position);
        // Not for a position alone: that note would wake the replica, whose note would wake this
        // region.
        if changed {
            *noted = self.note_gathered(&permit, cursor).await?;
        }
        Ok(if moved { Step::Moved } else { Step::Idle })
    }

    async fn note_gathered(
        &self,
        permit: &Permit,
        cursor: &FollowCursor,
    ) -> Result<Position, ReplicationError> {
        let region = &self.far.region;
        let noted = self.objects.set_gather_cursor(permit, region, cursor);
        Ok(noted.await?)
    }

    /// Takes versions away again that clients removed here while they came once more.
    pub(crate) async fn take_back_removed(
        &self,
        permit: &Permit,
        page: &Answer,
    ) -> Result<(), ReplicationError> {
        let made = page.changes.iter().filter_map(|(_, change)| made(change));
        take_back(&self.objects, permit, &made.collect::<Vec<_>>(), &self.far).await?;
        Ok(())
    }

    /// Leaves versions out that were removed here: they came before.
    pub(crate) async fn leave_out_removed(
        &self,
        permit: &Permit,
        page: &mut Answer,
    ) -> Result<(), ReplicationError> {
        let names = page.changes.iter().filter_map(|(_, change)| made(change));
        let names: Vec<VersionName> = names.map(|(name, _)| name).collect();
        if names.is_empty() {
            return Ok(());
        }
        let removed = self.objects.removed_here(permit, &names).await?;
        let stays = |(_, change): &(u64, ShippedChange)| match change {
            ShippedChange::Version(one) => {
                !removed.holds(&(one.key.clone(), one.version), one.null)
            }
            _ => true,
        };
        page.changes.retain(stays);
        Ok(())
    }

    /// Leaves out removals that can be none of an earlier epoch, and puts the others on record.
    pub(crate) async fn weigh_removals(
        &self,
        permit: &Permit,
        page: &mut Answer,
        word: Word,
    ) -> Result<(), ReplicationError> {
        let removed = page.changes.iter().filter_map(|(_, change)| match change {
            ShippedChange::Removed { key, version, null } => Some(Removed {
                name: (key.clone(), *version),
                null: *null,
            }),
            _ => None,
        });
        // All at once: the log is read for them.
        let (believed, hits) = self.objects.believed(permit, removed.collect()).await?;
        let mut known: BTreeMap<VersionName, bool> = BTreeMap::new();
        for one in believed {
            *known.entry(one.name).or_default() |= one.null;
        }
        page.changes.retain_mut(|(_, change)| match change {
            ShippedChange::Removed { key, version, null } => {
                let found = known.get(&(key.clone(), *version));
                *null &= found.is_some_and(|null| *null);
                found.is_some()
            }
            _ => true,
        });
        let (objects, region) = (&self.objects, &self.far.region);
        let noted = objects.note_on_word(permit, region, word, &hits);
        Ok(noted.await?)
    }

    /// The replica's log no longer reaches back to where this region had read: what clients removed
    /// there, and all versions that were made there, instead.
    async fn gather_all(
        &self,
        permit: &Permit,
        mut cursor: FollowCursor,
    ) -> Result<(), ReplicationError> {
        let (bucket, region) = (&self.far.deed.name, &self.far.region);
        tracing::warn!(%bucket, %region, "the log of a replica no longer reaches back: all is read");
        let head = self.far.ask(What::Head).await?;
        let mut from = String::new();
        loop {
            let mut page = self.far.ask(What::Snapshot { from }).await?;
            self.leave_out_removed(permit, &mut page).await?;
            // Of what was made elsewhere only tags can be news.
            let tags = page.changes.iter().filter_map(|(at, change)| match change {
                ShippedChange::Version(shipped) if shipped.attributes.tagged.is_some() => {
                    let change = ShippedChange::Attributes {
                        key: shipped.key.clone(),
                        version: shipped.version,
                        attributes: Box::new(shipped.attributes.clone()),
                    };
                    Some((*at, change))
                }
                _ => None,
            });
            let tags: Vec<_> = tags.collect();
            page.changes.extend(tags);
            self.apply_all(permit, &page).await?;
            self.take_back_removed(permit, &page).await?;
            match page.row {
                Some(row) => from = hex::encode(&row),
                None => break,
            }
        }
        self.take_removals(permit, false).await?;
        cursor.position = Position(head.position);
        self.note_gathered(&self.permit()?, &cursor).await.map(drop)
    }

    /// What clients removed at a replica, as far as the replica keeps that.
    async fn take_removals(&self, permit: &Permit, former: bool) -> Result<(), ReplicationError> {
        let mut from = String::new();
        loop {
            let mut page = self.far.ask(What::Gone { from }).await?;
            match former {
                true => {
                    self.weigh_removals(permit, &mut page, Word::Clients)
                        .await?;
                }
                false => self.note_removed(permit, &page).await?,
            }
            self.apply_all(permit, &page).await?;
            match page.row {
                Some(row) => from = hex::encode(&row),
                None => return Ok(()),
            }
        }
    }

    /// At a replica, when the epoch has risen: the home reads what clients changed here before.
    pub(crate) async fn catch_up(&self, permit: &Permit) -> Result<(), ReplicationError> {
        let end = self.objects.own_log_end(permit).await?;
        self.until_read(|after| What::Gather { after }).await?;
        self.objects.forget_removals(permit, end).await?;
        Ok(())
    }

    /// At a replica: drops the record of what clients removed here once the home knows it, and what
    /// the home logged before is applied here.
    pub(crate) async fn forget_removals(
        &self,
        permit: &Permit,
        applied: Position,
    ) -> Result<(), ReplicationError> {
        let Some(read) = self.status.read(&self.far.deed) else {
            return Ok(());
        };
        if applied >= read.noted && self.status.forgets(self.far.deed.id, read.after) {
            self.objects.forget_removals(permit, read.after).await?;
        }
        Ok(())
    }

    /// Of versions that the home lacks, those that it had: what clients made here it may not have
    /// read yet.
    pub(crate) async fn known_to_home(
        &self,
        permit: &Permit,
        lacking: Vec<VersionName>,
    ) -> Result<Vec<VersionName>, ReplicationError> {
        if self.far.deed.placement.writes != Writes::Any || self.far.sealed {
            return Ok(lacking);
        }
        let own = |name: &VersionName| self.objects.made_here(name.1);
        let (own, mut known): (Vec<_>, Vec<_>) = lacking.into_iter().partition(own);
        if own.is_empty() {
            return Ok(known);
        }
        let end = self.objects.own_log_end(permit).await?;
        let deed = &self.far.deed;
        if !self.status.until_read(deed, end, READ_WITHIN).await {
            return Err(ReplicationError::Refused(
                "the home has not read what was changed here".to_owned(),
            ));
        }
        let versions = own.iter().map(|(k, v)| name(k, *v)).collect();
        let (lacking, by) = self.far.names_by(What::Lacking { versions }).await?;
        // Whoever read that need not be who answers: a process beside the home's, or one before it
        // whose folder was put back since.
        if !self.status.is_read_by(deed, by, end) {
            return Err(ReplicationError::Refused(
                "another start of the home has read what was changed here".to_owned(),
            ));
        }
        for (key, version) in lacking.into_iter().filter(|name| own.contains(name)) {
            let found = self.objects.version_position(permit, &key, version);
            if found.await?.is_some_and(|at| at <= end) {
                known.push((key, version));
            }
        }
        Ok(known)
    }
}

/// A version that a change brings, and whether it is a null version.
fn made(change: &ShippedChange) -> Option<Brought> {
    match change {
        ShippedChange::Version(shipped) => {
            Some(((shipped.key.clone(), shipped.version), shipped.null))
        }
        _ => None,
    }
}

/// A version, and whether it is a null version.
pub(crate) type Brought = (VersionName, bool);

/// Removes those of `versions`, which have just been brought here, that a client removed between
/// the look at the log and their coming: by name, or since a newer null version was removed which
/// had taken its place.
pub(crate) async fn take_back(
    objects: &Objects,
    permit: &Permit,
    versions: &[Brought],
    bodies: &Far,
) -> objects::Result<()> {
    if versions.is_empty() {
        return Ok(());
    }
    let names: Vec<VersionName> = versions.iter().map(|(name, _)| name.clone()).collect();
    let removed = objects.removed_here(permit, &names).await?;
    for ((key, version), _) in versions.iter().filter(|(n, null)| removed.holds(n, *null)) {
        let gone = ShippedChange::Removed {
            key: key.clone(),
            version: *version,
            null: false,
        };
        objects.apply(permit, gone, bodies).await?;
    }
    Ok(())
}

impl Source {
    /// Answers what is asked where writes are taken in every region.
    pub(crate) async fn answer_gathering(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        room: &Room,
        Ask {
            what, instance: by, ..
        }: Ask,
    ) -> Result<Response<BoxBody>, Refused> {
        let (held, answer) = match what {
            What::Own {
                after,
                wait_ms,
                noted,
                former,
                applied,
            } => {
                let which = if former { Own::Former } else { Own::Present };
                let wait = Duration::from_millis(wait_ms).min(WAIT_MAX);
                let applied = applied.map_or(after, |applied| applied.min(after));
                let noted = match which == Own::Present && deed.home == from.region {
                    true => (by, applied, noted),
                    false => (by, 0, 0),
                };
                self.own((deed, from), room, Position(after), noted, wait, which)
                    .await?
            }
            What::Gone { from: row } => {
                self.permit_for_home(deed, from)?;
                let held = take(room, PAGE_ROOM).await?;
                (held, self.gone(deed, from, &row).await?)
            }
            What::Gather { after } => {
                let gathered = self.gather(deed, from, after).await;
                return json(&gathered.map_err(refused)?);
            }
            _ => return Err(refused("answered elsewhere")),
        };
        Ok(held.full(answer.encode()))
    }

    /// What clients changed here, at a replica, for the home, which has noted at `noted` in its log
    /// that it has read so far; 0 where it has not.
    async fn own(
        &self,
        (deed, home): (&Arc<BucketDeed>, &Place),
        room: &Room,
        after: Position,
        (by, applied, noted): (u64, u64, u64),
        wait: Duration,
        which: Own,
    ) -> Result<(Held, Answer), Refused> {
        let until = Instant::now() + wait;
        let (mut at, mut seen) = (after, after);
        let mut wanted = self.status.wanted();
        loop {
            // Somebody here may wait until the home has read so far.
            let wanted_to = wanted.borrow_and_update().get(&deed.id).copied();
            let wanted_to = wanted_to.filter(|to| *to > after);
            // The placement may have changed while we waited.
            let now = self.regions.deed(&deed.name);
            let now = now.filter(|d| (d.id, d.epoch) == (deed.id, deed.epoch));
            let now = now.ok_or_else(|| refused("the deed has changed"))?;
            let permit = self.permit_for_home(&now, home)?;
            let held = take(room, PAGE_ROOM).await?;
            let page = self
                .objects
                .own_changes(&permit, at, which, PAGE_MAX, PAGE_BYTES)
                .await
                .map_err(failed)?;
            // A position that this log never gave says nothing about what is in it.
            if at == after && noted > 0 && !page.ahead {
                self.status.own_read(deed, by, (after.0, applied, noted));
            }
            let left = until.saturating_duration_since(Instant::now());
            let moved = page.next != at;
            let enough = wanted_to.is_some_and(|to| page.next >= to) || (left.is_zero() && !moved);
            if page.reseed || !page.changes.is_empty() || enough {
                let answer = Answer {
                    reseed: page.reseed,
                    position: page.next.0,
                    changes: page.changes.into_iter().map(|(p, c)| (p.0, c)).collect(),
                    ..Answer::default()
                };
                return Ok((held, answer));
            }
            drop(held);
            at = page.next;
            if !moved {
                tokio::select! {
                    found = self.objects.changed(&permit, at.max(seen), left) => {
                        seen = found.map_err(failed)?;
                    }
                    // It is never dropped while this region runs.
                    _ = wanted.changed() => {}
                }
            }
        }
    }

    /// What clients removed here, at a replica, for the home.
    pub(crate) async fn gone(
        &self,
        deed: &Arc<BucketDeed>,
        home: &Place,
        from: &str,
    ) -> Result<Answer, Refused> {
        let permit = self.permit_for_home(deed, home)?;
        let row = hex::decode(from).map_err(refused)?;
        let row = Some(bytes::Bytes::from(row)).filter(|row| !row.is_empty());
        let (removed, next) = self
            .objects
            .own_removals(&permit, row)
            .await
            .map_err(failed)?;
        Ok(Answer {
            row: next,
            changes: removed.into_iter().map(|change| (0, change)).collect(),
            ..Answer::default()
        })
    }

    pub(crate) fn permit_for_home(
        &self,
        deed: &Arc<BucketDeed>,
        home: &Place,
    ) -> Result<Permit, Refused> {
        if deed.home != home.region {
            return Err(refused("only the bucket's home asks that"));
        }
        authorize_sending(deed, &self.regions.here(), home).map_err(refused)
    }

    /// At the home: reads what clients changed at a replica under earlier epochs.
    pub(crate) async fn gather(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        after: u64,
    ) -> Result<Gathered, ReplicationError> {
        let here = self.regions.here();
        if deed.holding(&here.region) != Holding::Home {
            return Err(ReplicationError::Refused(format!(
                "the home of {} is region {}",
                deed.name, deed.home
            )));
        }
        let permit = authorize_receiving(deed, &here, from)?;
        let Some(_place) = self.handover.place(deed.id, &from.region) else {
            return Ok(Gathered {
                position: after,
                done: false,
            });
        };
        let done = Gathered {
            position: after,
            done: true,
        };
        // What clients changed under earlier epochs is sent once under each.
        let since = deed.epoch;
        let (objects, region) = (&self.objects, &from.region);
        if !objects
            .may_tell(&permit, region, since, Report::Changes)
            .await?
        {
            return Ok(done);
        }
        let reader = Follower {
            far: self.handover.far(deed, from),
            objects: Arc::clone(&self.objects),
            status: Arc::clone(&self.status),
            clock: Arc::clone(&self.clock),
            gathers: true,
        };
        let gathered = reader.gather_former(after).await;
        if gathered.as_ref().is_ok_and(|gathered| gathered.done) {
            objects.has_told(&permit, region, Report::Changes).await?;
        }
        if deed.placement.writes != Writes::Any {
            self.status.forget(deed.id, &from.region);
        }
        gathered
    }
}

impl Follower {
    /// From where this region had last read in the other's log, if that is further than `after`.
    async fn gather_former(&self, after: u64) -> Result<Gathered, ReplicationError> {
        let permit = self.permit()?;
        let stood = self
            .objects
            .follow_cursor(&permit, &self.far.region)
            .await?;
        // All up to there was applied, unless that was to be a snapshot's beginning.
        let stood = stood.filter(|cursor| cursor.snapshot.is_none());
        let until = Instant::now() + GATHER_WITHIN;
        let mut position = after.max(stood.map_or(0, |cursor| cursor.position.0));
        let mut keys = BTreeSet::new();
        let mut done = false;
        while !done && Instant::now() < until {
            let ask = What::Own {
                after: position,
                wait_ms: 0,
                noted: 0,
                former: true,
                applied: None,
            };
            let mut page = self.far.ask(ask).await?;
            let permit = self.permit()?;
            done = page.changes.is_empty() && page.position <= position;
            self.leave_out_removed(&permit, &mut page).await?;
            self.weigh_removals(&permit, &mut page, Word::Clients)
                .await?;
            for (at, change) in &page.changes {
                if self.apply_former(&permit, *at, change).await?
                    && let Some(key) = key_of(change)
                {
                    keys.insert(key.to_string());
                }
            }
            self.take_back_removed(&permit, &page).await?;
            position = page.position.max(position);
            if done {
                let all = self.take_removals(&permit, true);
                let in_time = tokio::time::timeout(GONE_WITHIN, all).await;
                in_time.unwrap_or_else(|_| Err(stands_still("removals of a replica")))?;
            }
        }
        self.report(keys).await;
        Ok(Gathered { position, done })
    }

    /// Applies what clients changed in the other region. Tags of a version that is not here bring
    /// the version along, unless it was removed here.
    pub(crate) async fn apply_own(
        &self,
        permit: &Permit,
        change: ShippedChange,
    ) -> objects::Result<Applied> {
        let (region, objects) = (&self.far.region, &self.objects);
        let named = match &change {
            ShippedChange::Attributes { key, version, .. } => Some((key.clone(), *version)),
            _ => None,
        };
        let applied = objects
            .apply_own(permit, region, change.clone(), &self.far)
            .await?;
        let Some(named) = named.filter(|_| applied == Applied::Superseded) else {
            return Ok(applied);
        };
        if objects
            .version_position(permit, &named.0, named.1)
            .await?
            .is_some()
        {
            // Newer tags are here, or it came just now.
            return objects.apply_own(permit, region, change, &self.far).await;
        }
        let one = std::slice::from_ref(&named);
        let removed = objects.removed_here(permit, one).await?;
        if removed.named(&named) {
            return Ok(applied);
        }
        let whole = self.far.version(&named).await;
        let broken =
            |e: ReplicationError| objects::Error::Body(BodyError::Connection(e.to_string()));
        let Some(change) = whole.map_err(broken)? else {
            return Ok(applied);
        };
        let Some(brought) = made(&change) else {
            return Ok(applied);
        };
        // A null version also went when a newer one took its place, which may be gone by now.
        if removed.holds(&brought.0, brought.1) {
            return Ok(applied);
        }
        let applied = objects.apply(permit, change, &self.far).await?;
        take_back(objects, permit, &[brought], &self.far).await?;
        Ok(applied)
    }

    /// Applies what another region alone had; answers whether it was news.
    async fn apply_former(
        &self,
        permit: &Permit,
        at: u64,
        change: &ShippedChange,
    ) -> Result<bool, ReplicationError> {
        match self.apply_own(permit, change.clone()).await {
            Err(objects::Error::ClockAhead(stamp)) => {
                self.set_aside(permit, at, stamp, change).await?;
                Ok(false)
            }
            Ok(applied) => Ok(is_news(&applied, change)),
            Err(objects::Error::Body(_)) if self.is_gone(change).await? => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn report(&self, keys: BTreeSet<String>) {
        if keys.is_empty() {
            return;
        }
        let deed = &self.far.deed;
        let divergence = Divergence {
            bucket: deed.name.clone(),
            id: deed.id,
            from: self.far.region.clone(),
            epoch: deed.epoch,
            keys: keys.into_iter().collect(),
        };
        self.far.regions.report(divergence).await;
    }
}
