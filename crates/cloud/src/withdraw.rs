//! What takes rights away holds first in memory and then on the disk, and may use the room that
//! the engine keeps back on a full disk.

use types::RegionId;

use crate::{
    CloudError, Keeper, Registry,
    change::RowChange,
    kinds::{Kind, Outdated},
    link::SentChange,
    verifiers::{Derived, VerifierRecord},
};

/// Rows of which it is remembered that they hold in memory and not on the disk.
const UNWRITTEN_MAX: usize = 65_536;

impl Registry {
    /// What takes rights away holds from here on, whatever happens to the disk: keys that are
    /// disabled or deleted, accounts that are suspended, guard policies that are set, roles and
    /// identity providers that are deleted, certificates that are revoked, regions that are closed,
    /// trust that a placement no longer has, and, where the registry is followed, buckets that are
    /// not placed here any more. If it cannot be written now, the next try finds it in memory; a
    /// region that starts again receives it again from the keeper.
    pub(crate) fn withdraw_first(&self, kept: &[RowChange]) {
        if types::planted("revoked-on-disk-first") {
            return;
        }
        let follows = matches!(self.keeper, Keeper::There(_));
        let own = RegionId::new(self.own());
        let mut state = self.state.write();
        let mut withdrawn = Vec::new();
        for row in kept {
            if state.withdraw(row, follows.then_some(&own)) {
                withdrawn.push(row.key.clone());
            }
        }
        let length = state.length();
        drop(state);
        if withdrawn.is_empty() {
            return;
        }
        // `signing_key` locks `derived` before `state`: here they are held one after the other.
        for key in &withdrawn {
            outdate(&self.derived, key);
        }
        let mut unwritten = self.unwritten.lock();
        let left = UNWRITTEN_MAX.saturating_sub(unwritten.len());
        unwritten.extend(withdrawn.into_iter().take(left));
        drop(unwritten);
        self.length.send_replace(length);
    }

    /// The same for a change that a region received and that it cannot write.
    pub(crate) fn withdraw_told(&self, told: &SentChange) {
        self.withdraw_first(&told.change.rows);
        let stopped = told.keys.iter().filter(|keys| !keys.active);
        let stopped = stopped.map(|keys| RowChange::remove::<VerifierRecord>(&keys.id));
        self.withdraw_first(&stopped.collect::<Vec<_>>());
    }

    /// Whether a row takes rights away in memory and is not on the disk.
    pub(crate) fn is_unwritten(&self, key: &str) -> bool {
        self.unwritten.lock().contains(key)
    }

    /// Whether any of these rows is such a row.
    pub(crate) fn are_unwritten<'r>(&self, rows: impl IntoIterator<Item = &'r RowChange>) -> bool {
        let unwritten = self.unwritten.lock();
        let mut rows = rows.into_iter();
        rows.any(|row| unwritten.contains(&row.key))
    }

    /// Says what a failed change means if it holds in memory.
    pub(crate) fn said_of(&self, rows: &[String], error: CloudError) -> CloudError {
        match error {
            CloudError::Store(error) if rows.iter().any(|key| self.is_unwritten(key)) => {
                CloudError::Unwritten(error)
            }
            error => error,
        }
    }
}

/// Drops the derived signing keys that no longer hold once a row has changed.
pub(crate) fn outdate(derived: &Derived, key: &str) {
    let Ok((kind, id)) = Kind::of_key(key) else {
        return;
    };
    match (kind.outdates)(id) {
        Outdated::Nothing => {}
        Outdated::Key(id) => derived.forget(Some(id)),
        Outdated::User(id) => derived.forget_user(id),
        Outdated::All => derived.forget(None),
    }
}
