//! Following one bucket, page by page: a snapshot first, then the source's log.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use ::follow::{Follow, Step};
use access::{Permit, authorize_receiving, authorize_receiving_sealed};
use futures_util::{StreamExt, TryStreamExt, stream};
use objects::{Applied, FollowCursor, Objects, ShippedChange, VersionName, sealed_name};
use parking_lot::Mutex;
use store::Position;
use types::{Clock, ObjectKey, VersionId, deed::BoxFuture};

use crate::{
    Following, Regions, ReplicaState, ReplicationError, Status,
    client::Far,
    frames::Answer,
    said::By,
    wire::{Gathered, LACKING_MAX, Settled, WAIT_MAX, What, name, read_name},
};

/// Before a source is asked again that answered at once what it was to wait with: such an answer
/// says nothing, and a loop of them would keep both regions busy.
const EARLY_PAUSE: Duration = Duration::from_millis(100);
/// Before a home that is busy is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// Keys that are worked on at once. Changes of one key stay in order.
const KEYS_AT_ONCE: usize = 32;
/// How often a replica that offers what it alone has asks whether that has been fetched.
pub(crate) const OFFER_PAUSE: Duration = Duration::from_millis(500);
/// How often it offers the same page, before it says that it cannot.
pub(crate) const OFFERS_MAX: usize = 1200;

/// Follows one bucket at its source.
pub(crate) struct Follower {
    pub(crate) far: Far,
    pub(crate) objects: Arc<Objects>,
    pub(crate) status: Arc<Status>,
    pub(crate) clock: Arc<dyn Clock>,
    /// At the home of a bucket that takes writes everywhere: reads what clients change at a
    /// replica.
    pub(crate) gathers: bool,
}

/// What the next step is.
pub(crate) enum At {
    /// Nothing was followed under this epoch; where following was under an earlier one.
    Outside(Option<FollowCursor>),
    /// The home lacks some of what was read of it.
    Ahead(By, FollowCursor),
    /// A page of a snapshot.
    Snapshot(FollowCursor),
    /// A page of the source's log.
    Log(InLog),
    /// A page of what clients changed at a replica. Where the home's log says how far that was
    /// read.
    Own(InLog, Position),
}

/// Where following is in another region's log.
pub(crate) struct InLog {
    pub(crate) cursor: FollowCursor,
    /// How long the other region waits with its answer.
    pub(crate) wait_ms: u64,
}

impl InLog {
    /// The first page is asked for without waiting: it may hold what was applied before a stop and
    /// not noted.
    pub(crate) fn from(cursor: FollowCursor) -> Self {
        Self { cursor, wait_ms: 0 }
    }

    /// Answers whether the page that is asked for now is the first one.
    pub(crate) fn is_first(&mut self) -> bool {
        std::mem::replace(&mut self.wait_ms, WAIT_MAX.as_millis() as u64) == 0
    }
}

impl Follow for Follower {
    type Cursor = At;
    type Fault = ReplicationError;

    async fn open(&mut self) -> Result<At, ReplicationError> {
        match self.gathers {
            true => self.open_gathering().await,
            false => self.open_following().await,
        }
    }

    async fn step(&mut self, at: &mut At) -> Result<Step, ReplicationError> {
        match at {
            At::Outside(before) => self.begin(before.as_ref()).await?,
            At::Ahead(by, cursor) => {
                let permit = self.permit()?;
                self.hand_over_ahead(&permit, *by, cursor.clone()).await?;
            }
            At::Snapshot(cursor) => return self.seed_page(cursor).await,
            At::Log(at) => return self.follow_page(at).await,
            At::Own(at, noted) => return self.gather_page(at, noted).await,
        }
        Ok(Step::Anew)
    }

    fn failed(&mut self, error: ReplicationError) {
        let (bucket, region) = (&self.far.deed.name, &self.far.region);
        tracing::warn!(%bucket, %region, %error, "cannot follow; tried again");
        self.shows(|f| {
            f.state = ReplicaState::Stopped;
            f.error = Some(error.to_string());
        });
    }
}

impl Follower {
    /// Asked anew for each page: the deed decides here as well as there.
    pub(crate) fn permit(&self) -> Result<Permit, ReplicationError> {
        let regions: &dyn Regions = &*self.far.regions;
        let name = &self.far.deed.name;
        let deed = regions
            .deed(name)
            .filter(|d| d.id == self.far.deed.id && d.epoch == self.far.deed.epoch)
            .ok_or_else(|| ReplicationError::Refused(format!("the deed of {name} has changed")))?;
        let source = regions.place(&self.far.region).ok_or_else(|| {
            ReplicationError::Refused(format!("region {} is not known", self.far.region))
        })?;
        Ok(match self.far.sealed {
            true => authorize_receiving_sealed(&deed, &regions.here(), &source)?,
            false => authorize_receiving(&deed, &regions.here(), &source)?,
        })
    }

    pub(crate) fn say(&self, state: ReplicaState) {
        self.shows(|f| {
            f.state = state;
            f.error = None;
        });
    }

    /// Changes what is shown of how the bucket is followed.
    fn shows(&self, change: impl FnOnce(&mut Following)) {
        let (id, region) = (self.far.deed.id, &self.far.region);
        self.status.follow(id, region, change);
    }

    async fn open_following(&self) -> Result<At, ReplicationError> {
        let permit = self.permit()?;
        let region = &self.far.region;
        self.objects.hold_as_placed(&permit).await?;
        let found = self.objects.follow_cursor(&permit, region).await?;
        let cursor = match found {
            Some(cursor) if cursor.epoch == self.far.deed.epoch => cursor,
            before => {
                self.far.said.begins();
                return Ok(At::Outside(before));
            }
        };
        self.far.said.resumes(cursor.reach.0);
        if self.far.said.is_in_doubt()
            && let Some(by) = self.lacks_some().await?
        {
            return Ok(At::Ahead(by, cursor));
        }
        if cursor.snapshot.is_some() {
            self.say(ReplicaState::Seeding);
            // A snapshot holds changes that came after its position.
            self.settled(false);
            self.stands_nowhere();
            return Ok(At::Snapshot(cursor));
        }
        self.say(ReplicaState::Following);
        self.stands_at(cursor.position);
        Ok(At::Log(InLog::from(cursor)))
    }

    /// The first contact under this epoch. First both sides fetch what the other knows to be
    /// removed, so that neither brings that back, now or as a later home; then a region that held
    /// the bucket under an earlier epoch hands over what it alone has.
    async fn begin(&self, before: Option<&FollowCursor>) -> Result<(), ReplicationError> {
        let permit = &self.permit()?;
        self.say(ReplicaState::Seeding);
        if !self.far.sealed && self.far.deed.epoch > 1 {
            // What is in the log now is all that earlier deeds permitted.
            self.objects.fence(permit).await?;
            self.end_uploads(permit).await?;
        }
        let head = self.far.ask(What::Head).await?;
        self.apply_all(permit, &head).await?;
        self.offer_configuration(permit, &head).await?;
        // A sealed replica has nothing of its own; what another home sealed goes when the snapshot
        // is whole.
        if !self.far.sealed {
            self.exchange_again(permit, before).await?;
            // The old home has no cursor at the new one, but versions of its own.
            let (mine, _) = self.objects.census(permit, None, 1).await?;
            if self.far.deed.epoch > 1 {
                self.send_removals().await?;
            }
            if before.is_some() || !mine.is_empty() {
                self.catch_up(permit).await?;
                self.hand_over(permit).await?;
            }
        }
        let cursor = FollowCursor {
            epoch: self.far.deed.epoch,
            position: Position(head.position),
            seeded: 0,
            snapshot: Some(bytes::Bytes::from_static(b"c")),
            reach: Position(self.far.said.reach()),
        };
        self.note(permit, &cursor).await.map(drop)
    }

    /// Parts go to no other home, so nobody can complete the uploads that were in progress here.
    async fn end_uploads(&self, permit: &Permit) -> Result<(), ReplicationError> {
        let uploads = self.objects.end_uploads(permit).await?;
        if uploads > 0 {
            let (bucket, home) = (&self.far.deed.name, &self.far.deed.home);
            tracing::warn!(
                %bucket, %home, uploads,
                "the bucket has another home: multipart uploads that were in progress here are \
                 aborted, and their parts removed"
            );
        }
        Ok(())
    }

    /// A snapshot does not say what was removed. What the home's log says of that is known here up
    /// to where it was followed.
    async fn exchange_again(
        &self,
        permit: &Permit,
        before: Option<&FollowCursor>,
    ) -> Result<(), ReplicationError> {
        let known = before.filter(|cursor| cursor.snapshot.is_none());
        let known = known.map_or(Position(0), |cursor| cursor.position);
        self.exchange_removals(permit, known).await
    }

    /// Has the home read something here, from its beginning until it has read all.
    pub(crate) async fn until_read(
        &self,
        what: impl Fn(u64) -> What + Send,
    ) -> Result<(), ReplicationError> {
        let mut after = 0;
        loop {
            let read: Gathered = self.far.read(what(after)).await?;
            if read.done {
                return Ok(());
            }
            if read.position <= after {
                // It is at work for another replica.
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            after = read.position.max(after);
        }
    }

    /// Versions that are here and not at the home: they are offered until it has fetched them. What
    /// clients make here under this epoch reaches the home by the log alone: by two ways it might
    /// arrive again after it was removed.
    pub(crate) async fn hand_over(&self, permit: &Permit) -> Result<(), ReplicationError> {
        let mut logged = self.objects.logged_versions(permit, Position(0)).await?;
        let mut present: HashSet<VersionName> = logged.present.into_iter().collect();
        let mut from = None;
        loop {
            let (page, next) = self.objects.census(permit, from, LACKING_MAX).await?;
            // One may have moved meanwhile to where the census had been already.
            logged = self.objects.logged_versions(permit, logged.end).await?;
            present.extend(logged.present);
            let names = page.into_iter().map(|c| (c.key, c.version));
            let names: Vec<_> = names.chain(logged.others).collect();
            for some in names.chunks(LACKING_MAX) {
                let former = some.iter().filter(|name| !present.contains(name));
                let names = former.map(|(key, version)| name(key, *version));
                self.offer(permit, names.collect()).await?;
            }
            match next {
                Some(next) => from = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn offer(
        &self,
        permit: &Permit,
        names: Vec<(String, String)>,
    ) -> Result<(), ReplicationError> {
        let mut names = names;
        for _ in 0..OFFERS_MAX {
            if names.is_empty() {
                return Ok(());
            }
            let versions = names;
            let lacking = self.far.names(What::Lacking { versions }).await?;
            names = lacking.iter().map(|(k, v)| name(k, *v)).collect();
            if names.is_empty() {
                return Ok(());
            }
            let versions = names.clone();
            let settled: Settled = self.far.read(What::Offer { versions }).await?;
            // Of what was offered, and of nothing else.
            let offered = settled.removed.iter().filter(|gone| names.contains(gone));
            for gone in offered {
                let (key, version) = read_name(gone)?;
                let change = ShippedChange::Removed {
                    key,
                    version,
                    null: false,
                };
                self.objects.apply(permit, change, &self.far).await?;
            }
            names.retain(|n| !settled.removed.contains(n) && !settled.superseded.contains(n));
            names = self.still_here(permit, names).await?;
            if !names.is_empty() {
                tokio::time::sleep(OFFER_PAUSE).await;
            }
        }
        Err(ReplicationError::Refused(
            "the home does not fetch what only this region has".to_owned(),
        ))
    }

    /// Versions that both have, with newer tags here, which an earlier home took: they are offered
    /// to the home until it has them.
    async fn offer_tags(&self, permit: &Permit, page: &Answer) -> Result<(), ReplicationError> {
        let changes = page.changes.iter().map(|(_, change)| change);
        let later = self.tagged_later(permit, changes).await?;
        for some in later.chunks(LACKING_MAX) {
            self.offer_tags_of(permit, some.to_vec()).await?;
        }
        Ok(())
    }

    async fn offer_tags_of(
        &self,
        permit: &Permit,
        mut behind: Vec<VersionName>,
    ) -> Result<(), ReplicationError> {
        for _ in 0..OFFERS_MAX {
            // What the home does not have any more needs no tags.
            let lacking = self.lacking(permit, behind.clone()).await?;
            behind.retain(|name| !lacking.contains(name));
            let mut still = Vec::new();
            for (key, version) in &behind {
                let there = self.far.version(&(key.clone(), *version)).await?;
                let there = there.into_iter().collect::<Vec<_>>();
                still.extend(self.tagged_later(permit, there.iter()).await?);
            }
            behind = still;
            if behind.is_empty() {
                return Ok(());
            }
            let versions = behind.iter().map(|(key, version)| name(key, *version));
            let versions = versions.collect();
            let _: Settled = self.far.read(What::Offer { versions }).await?;
            tokio::time::sleep(OFFER_PAUSE).await;
        }
        Err(ReplicationError::Refused(
            "the home does not take tags that only this region has".to_owned(),
        ))
    }

    async fn tagged_later(
        &self,
        permit: &Permit,
        changes: impl Iterator<Item = &ShippedChange> + Send,
    ) -> Result<Vec<VersionName>, ReplicationError> {
        let versions = changes.filter_map(|change| match change {
            ShippedChange::Version(shipped) => Some(&**shipped),
            _ => None,
        });
        Ok(self.objects.tagged_later(permit, versions).await?)
    }

    /// Those that are still here: where clients write here they may have replaced or removed some
    /// meanwhile, which the home reads from the log.
    async fn still_here(
        &self,
        permit: &Permit,
        names: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, ReplicationError> {
        let mut here = Vec::with_capacity(names.len());
        for one in names {
            let (key, version) = read_name(&one)?;
            let found = self.objects.version_position(permit, &key, version);
            if found.await?.is_some() {
                here.push(one);
            }
        }
        Ok(here)
    }

    async fn seed_page(&self, cursor: &mut FollowCursor) -> Result<Step, ReplicationError> {
        let Some(row) = cursor.snapshot.take() else {
            return Ok(Step::Anew);
        };
        let permit = self.permit()?;
        let from = hex::encode(&row);
        let page = self.far.ask(What::Snapshot { from }).await?;
        // Or it would be asked for again without end. Sealed places have no order; only the home
        // could make them go in a circle.
        let moved = |next: &bytes::Bytes| match self.far.sealed {
            true => *next != row,
            false => *next > row,
        };
        if !page.row.as_ref().is_none_or(moved) {
            return Err(stands_still("a snapshot"));
        }
        cursor.seeded += self.apply_all(&permit, &page).await?;
        cursor.reach = Position(self.far.said.reach());
        // Under the first epoch too: the home may have been put back to an older state.
        if !self.far.sealed && (self.far.deed.epoch > 1 || !types::planted("tags-stay-behind")) {
            self.offer_tags(&permit, &page).await?;
        }
        cursor.snapshot = page.row;
        if cursor.snapshot.is_none() {
            // It may have been put back to an older state since the snapshot began: what it lacks
            // then was not removed there.
            let ask = What::Changes {
                after: cursor.position.0,
                wait_ms: 0,
                // Not before the snapshot is whole.
                applied: Some(0),
            };
            let (answer, by) = self.far.ask_by(ask).await?;
            if answer.ahead {
                self.hand_over_ahead(&permit, by, cursor.clone()).await?;
                return Ok(Step::Anew);
            }
            // Before the cursor says that the snapshot is whole: what was removed at the source
            // while its log was out of reach goes here too.
            self.prune(&permit).await?;
        }
        self.note(&permit, cursor).await?;
        self.shows(|f| f.seeded = cursor.seeded);
        Ok(match cursor.snapshot {
            Some(_) => Step::Moved,
            None => Step::Anew,
        })
    }

    /// Removes what the source does not have. Under this epoch nothing is written here, so it was
    /// removed there.
    async fn prune(&self, permit: &Permit) -> Result<(), ReplicationError> {
        let mut from = None;
        loop {
            let (page, next) = self.objects.census(permit, from, LACKING_MAX).await?;
            let versions = page.into_iter().map(|c| (c.key, c.version)).collect();
            let lacking = self.lacking(permit, versions).await?;
            for gone in self.known_to_home(permit, lacking).await? {
                self.objects.prune(permit, &gone).await?;
            }
            match next {
                Some(next) => from = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Which of `versions`, named as they are here, the source does not have.
    pub(crate) async fn lacking(
        &self,
        permit: &Permit,
        versions: Vec<VersionName>,
    ) -> Result<Vec<VersionName>, ReplicationError> {
        if versions.is_empty() {
            return Ok(versions);
        }
        if !self.far.sealed {
            let asked = versions.iter().map(|(k, v)| name(k, *v)).collect();
            let mut lacking = self.far.names(What::Lacking { versions: asked }).await?;
            lacking.retain(|name| versions.contains(name));
            return Ok(lacking);
        }
        let named = self.objects.sealed_names(permit, &versions).await?;
        let there = |(name, (_, v)): &(String, VersionName)| (name.clone(), v.to_string());
        let asked = named.iter().map(there).collect();
        let lacking: HashSet<(String, String)> =
            self.far.read(What::Lacking { versions: asked }).await?;
        let gone = named.into_iter().filter(|n| lacking.contains(&there(n)));
        Ok(gone.map(|(_, here)| here).collect())
    }

    async fn follow_page(&self, at: &mut InLog) -> Result<Step, ReplicationError> {
        let ask = What::Changes {
            after: at.cursor.position.0,
            wait_ms: at.wait_ms,
            applied: self.applied_to(),
        };
        let waits = !at.is_first();
        let cursor = &mut at.cursor;
        let asked = tokio::time::Instant::now();
        let (page, by) = self.far.ask_by(ask).await?;
        // A source that does not say where its log ends has no more when it sends nothing.
        let is_all = by.end > 0 && page.position >= by.end;
        let idle = page.changes.is_empty() && page.position == cursor.position.0;
        if waits && idle {
            not_at_once(asked).await;
        }
        let permit = self.permit()?;
        if page.ahead {
            self.hand_over_ahead(&permit, by, cursor.clone()).await?;
            return Ok(Step::Anew);
        }
        if page.reseed {
            let (bucket, region) = (&self.far.deed.name, &self.far.region);
            tracing::info!(%bucket, %region, "the log no longer reaches back: seeding anew");
            self.begin_anew(&permit, cursor.position, cursor.clone())
                .await?;
            return Ok(Step::Anew);
        }
        if page.position < cursor.position.0 {
            return Err(stands_still("a log"));
        }
        self.settled(page.changes.is_empty());
        if types::planted("cursor-before-apply") {
            cursor.position = Position(page.position);
            self.note(&permit, cursor).await?;
        }
        // Before any of it is applied: if not all is, the cursor does not say so.
        self.far.said.reaches(page.position);
        self.apply_all(&permit, &page).await?;
        let moved = page.position != cursor.position.0;
        cursor.position = Position(page.position);
        // One of a replica that was removed since says nothing of this one, which has all that it
        // covers now.
        if moved || (!waits && !self.objects.has_followed(&permit, &self.far.region).await?) {
            self.note(&permit, cursor).await?;
        }
        self.stands_at(cursor.position);
        self.settled(true);
        match (idle, is_all) {
            (true, _) => self.caught_up(tokio::time::Instant::now()),
            (false, true) => self.caught_up(asked),
            (false, false) => {}
        }
        self.forget_removals(&permit, cursor.position).await?;
        Ok(if moved { Step::Moved } else { Step::Idle })
    }

    /// All up to here is applied, but for what was set aside.
    fn stands_at(&self, position: Position) {
        let aside = self.applied_to().unwrap_or(u64::MAX);
        let at = (self.far.deed.epoch, position.0.min(aside));
        self.shows(|f| f.position = Some(at));
    }

    /// What the source had `at` that time is applied here.
    fn caught_up(&self, at: tokio::time::Instant) {
        self.shows(|f| f.caught_up = Some(at.into_std()));
    }

    /// What is here is not the source's state at any position.
    pub(crate) fn stands_nowhere(&self) {
        self.shows(|f| f.position = None);
    }

    fn settled(&self, settled: bool) {
        self.shows(|f| f.settled = settled);
    }

    /// Notes how far this region has followed; answers where in this region's log that note is.
    pub(crate) async fn note(
        &self,
        permit: &Permit,
        cursor: &FollowCursor,
    ) -> Result<Position, ReplicationError> {
        let region = &self.far.region;
        let noted = self.objects.set_follow_cursor(permit, region, cursor);
        Ok(noted.await?)
    }

    /// Applies a page: the changes of one key in order, keys side by side.
    pub(crate) async fn apply_all(
        &self,
        permit: &Permit,
        page: &Answer,
    ) -> Result<u64, ReplicationError> {
        self.apply_noting(permit, page, None).await
    }

    /// As [`Self::apply_all`]; notes the keys of what was not known here.
    pub(crate) async fn apply_noting(
        &self,
        permit: &Permit,
        page: &Answer,
        news: Option<&Mutex<BTreeSet<String>>>,
    ) -> Result<u64, ReplicationError> {
        let mut by_key: BTreeMap<Option<&ObjectKey>, Vec<&(u64, ShippedChange)>> = BTreeMap::new();
        for change in &page.changes {
            by_key.entry(key_of(&change.1)).or_default().push(change);
        }
        // The configuration first: whether versions are kept is the same for all keys.
        if let Some(config) = by_key.remove(&None) {
            self.apply_in_order(permit, config, None).await?;
        }
        let mut work: Vec<BoxFuture<'_, Result<u64, ReplicationError>>> = Vec::new();
        for changes in by_key.into_values() {
            work.push(Box::pin(self.apply_in_order(permit, changes, news)));
        }
        let counts: Vec<u64> = stream::iter(work)
            .buffer_unordered(KEYS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(counts.into_iter().sum())
    }

    async fn apply_in_order(
        &self,
        permit: &Permit,
        changes: Vec<&(u64, ShippedChange)>,
        news: Option<&Mutex<BTreeSet<String>>>,
    ) -> Result<u64, ReplicationError> {
        let mut count = 0;
        for (at, change) in changes {
            let written = version_of(change).map(|v| v.at().ms());
            let change_here = change.clone();
            let objects = &self.objects;
            let applied = match self.gathers {
                true => self.apply_own(permit, change_here).await,
                false => objects.apply(permit, change_here, &self.far).await,
            };
            if let (Some(news), Ok(applied), Some(key)) = (news, &applied, key_of(change))
                && is_news(applied, change)
            {
                news.lock().insert(key.to_string());
            }
            match applied {
                Ok(Applied::Done) => {
                    count += 1;
                    let lag = written.map(|ms| self.clock.now().ms().saturating_sub(ms));
                    self.shows(|f| {
                        f.applied += 1;
                        f.lag_ms = lag.unwrap_or(f.lag_ms);
                    });
                }
                Ok(Applied::Known | Applied::Superseded) => {}
                Err(objects::Error::ClockAhead(stamp)) => {
                    self.set_aside(permit, *at, stamp, change).await?;
                }
                // Gone at the source before its bytes came: a later entry of the log says why.
                Err(objects::Error::Body(error)) if self.is_gone(change).await? => {
                    tracing::debug!(%error, "a version went while its bytes were fetched");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    }

    pub(crate) async fn is_gone(&self, change: &ShippedChange) -> Result<bool, ReplicationError> {
        let ((key, version), attributes) = match change {
            ShippedChange::Version(one) => (name(&one.key, one.version), Some(&one.attributes)),
            ShippedChange::Attributes { key, version, .. } => (name(key, *version), None),
            _ => return Ok(false),
        };
        let key = match attributes.and_then(sealed_name) {
            Some(sealed) if self.far.sealed => sealed.to_owned(),
            _ => key,
        };
        let versions = vec![(key, version)];
        let lacking: Vec<(String, String)> = self.far.read(What::Lacking { versions }).await?;
        Ok(!lacking.is_empty())
    }
}

/// Pauses when a question that was to wait was answered at once.
pub(crate) async fn not_at_once(asked: tokio::time::Instant) {
    if asked.elapsed() < WAIT_MAX / 2 {
        tokio::time::sleep(EARLY_PAUSE).await;
    }
}

pub(crate) fn stands_still(what: &str) -> ReplicationError {
    ReplicationError::Malformed(format!("{what} that does not move on"))
}

/// Whether a region had something that was not known here: also an older null version, whose place
/// a newer one has.
pub(crate) fn is_news(applied: &Applied, change: &ShippedChange) -> bool {
    match applied {
        Applied::Done => true,
        Applied::Known => false,
        Applied::Superseded => matches!(change, ShippedChange::Version(_)),
    }
}

pub(crate) fn key_of(change: &ShippedChange) -> Option<&ObjectKey> {
    match change {
        ShippedChange::Version(shipped) => Some(&shipped.key),
        ShippedChange::Attributes { key, .. } | ShippedChange::Removed { key, .. } => Some(key),
        ShippedChange::Config(_) => None,
    }
}

fn version_of(change: &ShippedChange) -> Option<VersionId> {
    match change {
        ShippedChange::Version(shipped) => Some(shipped.version),
        ShippedChange::Attributes { .. }
        | ShippedChange::Removed { .. }
        | ShippedChange::Config(_) => None,
    }
}
