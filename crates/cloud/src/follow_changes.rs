//! Taking over what the registry's region sent: as many changes as arrived at once, in one write.
//! So a region whose disk is slow takes more of them with each write, and falls no further behind.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    mem,
};

use crate::{
    CloudError, Registry,
    change::{RowChange, RowNow},
    kinds::{Kind, Record, guard_policy::is_of},
    link::SentChange,
    principals::FollowedRoleRecord,
    registry::Landing,
    standing::Receipt,
    state::State,
    verifiers::VerifierRecord,
};

/// Bytes of rows in one write; one change may have more.
const BYTES_MAX: usize = 4 << 20;

/// Changes that are to be written at once.
#[derive(Default)]
struct Gathered {
    landings: Vec<Landing>,
    bytes: usize,
    /// Whether they remove rows: only those that do may use the room that is kept for that.
    frees: bool,
    /// The keys of all their rows.
    touched: HashSet<String>,
    /// What they put that the rows of later changes take away again.
    ahead: State,
}

/// What is kept of a change, in order of key.
type Kept = BTreeMap<String, RowNow>;

impl Gathered {
    /// Whether a change with these rows is to be written later than those.
    fn is_full(&self, kept: &Kept) -> bool {
        let more: usize = kept.values().map(bytes).sum();
        !self.landings.is_empty() && (self.bytes + more > BYTES_MAX || self.frees != frees(kept))
    }

    fn add(&mut self, told: SentChange, kept: Kept) {
        self.bytes += kept.values().map(bytes).sum::<usize>();
        self.frees = frees(&kept);
        self.touched.extend(kept.keys().cloned());
        let row = |(key, now)| RowChange { key, now };
        self.landings.push(Landing {
            change: told.change,
            kept: kept.into_iter().map(row).collect(),
        });
    }
}

fn bytes(now: &RowNow) -> usize {
    match now {
        RowNow::Value(value) => value.len(),
        RowNow::Hidden(_) | RowNow::Removed => 0,
    }
}

fn frees(kept: &Kept) -> bool {
    kept.values().any(|now| *now == RowNow::Removed)
}

impl Registry {
    /// Takes changes over, in their order, with the keeper's receipt if it is for the last of
    /// them. Behind some that cannot be written (the disk is full) only what takes rights away is
    /// taken from the others: it must not wait for the disk.
    pub(crate) async fn take_all(
        &self,
        changes: Vec<SentChange>,
        receipt: Option<&Receipt>,
    ) -> Result<(), CloudError> {
        let mut left = VecDeque::from(changes);
        while !left.is_empty() {
            let turn = self.turn().await;
            let (gathered, wrong) = self.gather(&mut left);
            let landings = gathered.landings;
            let Some(last) = landings.last().map(|last| last.change.entry.clone()) else {
                return wrong.map_or(Ok(()), Err);
            };
            let receipt = receipt.filter(|receipt| receipt.length == last.number + 1);
            let beside = receipt.map(|r| Ok((Receipt::key(""), r.write()?.into_bytes())));
            let beside: Result<Vec<_>, CloudError> = beside.into_iter().collect();
            match (self.land(turn, landings, beside?).await, wrong) {
                (Ok(()), None) => {}
                // Nothing is accepted of what does not follow what is here.
                (Ok(()), Some(wrong)) => return Err(wrong),
                (Err(error @ CloudError::Store(_)), None) => {
                    let mut last = Some(last);
                    for told in left {
                        told.change.check(last.as_ref())?;
                        self.withdraw_told(&told);
                        last = Some(told.change.entry);
                    }
                    return Err(error);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes from `left` what can be written at once. With it comes what is wrong with the change
    /// behind that, if something is.
    fn gather(&self, left: &mut VecDeque<SentChange>) -> (Gathered, Option<CloudError>) {
        let mut gathered = Gathered::default();
        while let Some(told) = left.front() {
            let kept = match self.kept(told, &mut gathered) {
                Ok(kept) => kept,
                Err(error) => return (gathered, Some(error)),
            };
            if gathered.is_full(&kept) {
                break;
            }
            if let Some(told) = left.pop_front() {
                gathered.add(told, kept);
            }
        }
        (gathered, None)
    }

    /// The rows of a change as they are kept here, if it follows what is here and what was gathered
    /// before it.
    fn kept(&self, told: &SentChange, gathered: &mut Gathered) -> Result<Kept, CloudError> {
        let state = self.state.read();
        let before = gathered.landings.last().map(|last| &last.change.entry);
        told.change.check(before.or(state.last.as_ref()))?;
        if !types::planted("changes-without-those-before") {
            self.run_ahead(gathered)?;
        }
        let mut kept = Kept::new();
        for row in &told.change.rows {
            // A newer registry may have other kinds. What could not be read at the next start is
            // not written.
            let (kind, id) = Kind::of_key(&row.key)?;
            for state in [&*state, &gathered.ahead] {
                let rows = (kind.followed)(state, id, row);
                kept.extend(rows.into_iter().map(|row| (row.key, row.now)));
            }
        }
        for row in &told.shown {
            // Only what the audit log has the digest of: nothing else is the text.
            if is_of(row, &told.change.rows) {
                kept.insert(row.key.clone(), row.now.clone());
            }
        }
        for keys in &told.keys {
            let key = VerifierRecord::key(&keys.id);
            let known = state.verifiers.get(&keys.id);
            let known = known.filter(|_| !gathered.touched.contains(&key));
            // A change of one user must not write the keys of others anew.
            if known.is_some_and(|known| known.is_unchanged(keys, false)) {
                kept.remove(&key);
                continue;
            }
            kept.insert(key, self.sealed(keys, false)?.now);
        }
        for told in &told.roles {
            let row = RowChange::put(&told.role.id, &FollowedRoleRecord::new(told, false))?;
            kept.insert(row.key, row.now);
        }
        Ok(kept)
    }

    /// Takes into `ahead` what the last change that was gathered puts there.
    fn run_ahead(&self, gathered: &mut Gathered) -> Result<(), CloudError> {
        let Some(last) = gathered.landings.last() else {
            return Ok(());
        };
        let mut ahead = mem::take(&mut gathered.ahead);
        for row in &last.kept {
            let of_principals = [VerifierRecord::PREFIX, FollowedRoleRecord::PREFIX];
            if !of_principals
                .iter()
                .any(|prefix| row.key.starts_with(prefix))
            {
                continue;
            }
            match &row.now {
                RowNow::Value(value) => ahead.put(&self.master, &row.key, value.as_bytes())?,
                RowNow::Removed => ahead.remove(&row.key)?,
                RowNow::Hidden(_) => {}
            }
        }
        gathered.ahead = ahead;
        Ok(())
    }
}
