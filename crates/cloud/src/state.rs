//! What becomes of the registry in memory when rows are written and removed. Each kind of row does
//! its part (`kinds`).

pub(crate) use crate::kinds::State;
use crate::{
    CloudError, MasterKey,
    change::{RowChange, RowNow},
    kinds::{Kind, key::KeyRecord},
};
use access::Who;
use std::sync::Arc;
use types::RegionId;

impl State {
    /// Takes a row as it was written or read.
    pub(crate) fn put(
        &mut self,
        master: &MasterKey,
        key: &str,
        value: &[u8],
    ) -> Result<(), CloudError> {
        let (kind, id) = Kind::of_key(key)?;
        (kind.put)(self, master, id, value)
    }

    /// Forgets a row that was removed.
    pub(crate) fn remove(&mut self, key: &str) -> Result<(), CloudError> {
        let (kind, id) = Kind::of_key(key)?;
        (kind.remove)(self, id)
    }

    /// Takes over of a row that is about to be written what takes rights away, and only that.
    /// `here` is this region where it follows the registry. Answers whether there was anything.
    pub(crate) fn withdraw(&mut self, row: &RowChange, here: Option<&RegionId>) -> bool {
        let (Ok((kind, id)), RowNow::Value(value)) = (Kind::of_key(&row.key), &row.now) else {
            return false;
        };
        (kind.withdraw)(self, id, value, here)
    }

    /// Keys that verify requests of this user, where the registry is followed.
    pub(crate) fn verifiers_of(&self, user: &str) -> impl Iterator<Item = &String> {
        let of_user = move |who: &Who| matches!(who, Who::User(held) if held.id == user);
        let all = self.verifiers.iter();
        all.filter(move |(_, one)| of_user(&one.who))
            .map(|(id, _)| id)
    }

    /// Who holds a key of the registry. One whose user is not there opens nothing.
    pub(crate) fn holder(&self, key: &KeyRecord) -> Option<Who> {
        match &key.user {
            None => Some(Who::Root),
            Some(user) => Some(Who::User(Arc::clone(&self.users.get(user)?.user))),
        }
    }

    /// How many entries the audit log has.
    pub(crate) fn length(&self) -> u64 {
        self.last.as_ref().map_or(0, |entry| entry.number + 1)
    }
}
