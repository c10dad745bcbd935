//! What becomes of the registry in memory when rows are written and removed. Each kind of row does
//! its part (`kinds`).

pub(crate) use crate::kinds::State;
use crate::{
    CloudError, MasterKey,
    change::RowChange,
    kinds::{Kind, key::KeyRecord},
    principals::{FollowedRoleRecord, SentRole, SentUser},
    verifiers::VerifierRecord,
};
use access::{Role, User, Who};
use std::{collections::BTreeSet, sync::Arc};
use types::{RegionId, features::ROLES};

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

    /// Drops a row that was removed.
    pub(crate) fn remove(&mut self, key: &str) -> Result<(), CloudError> {
        let (kind, id) = Kind::of_key(key)?;
        (kind.remove)(self, id)
    }

    /// Takes over of a row that is about to be written what takes rights away, and only that.
    /// `here` is this region where it follows the registry. Answers whether there was anything.
    pub(crate) fn withdraw(&mut self, row: &RowChange, here: Option<&RegionId>) -> bool {
        let Ok((kind, id)) = Kind::of_key(&row.key) else {
            return false;
        };
        (kind.withdraw)(self, id, &row.now, here)
    }

    /// Where the registry is followed: what takes away the keys that depend on this user or
    /// managed policy.
    pub(crate) fn forget_verifiers_of(&self, id: &str) -> Vec<RowChange> {
        let all = self.verifiers.depending_on(id);
        all.map(RowChange::remove::<VerifierRecord>).collect()
    }

    /// Where the registry is followed: what takes away the keys of this account that verify
    /// signatures with HMAC-SHA1.
    pub(crate) fn forget_old_keys_of(&self, account: &str) -> Vec<RowChange> {
        let all = self.verifiers.iter();
        let old = all.filter(|(_, one)| one.account == account && one.old.is_some());
        old.map(|(id, _)| RowChange::remove::<VerifierRecord>(id))
            .collect()
    }

    /// The users whose rights depend on this group or managed policy.
    pub(crate) fn users_with(&self, id: &str) -> BTreeSet<String> {
        let users = &self.users;
        let own = users.attached.of(id).chain(users.bounded.of(id));
        let by_group = self.groups.attached.of(id);
        let by_group = by_group.flat_map(|group| users.members.of(group));
        let all = own.chain(users.members.of(id)).chain(by_group);
        all.cloned().collect()
    }

    /// The roles whose rights depend on this managed policy.
    pub(crate) fn roles_with(&self, id: &str) -> BTreeSet<String> {
        let roles = &self.roles;
        let all = roles.attached.of(id).chain(roles.bounded.of(id));
        all.cloned().collect()
    }

    /// After a group or managed policy has changed: what was compiled of users does not hold.
    pub(crate) fn outdate_users_with(&mut self, id: &str) {
        for user in self.users_with(id) {
            self.users.outdated(&user);
        }
    }

    /// What roles may do is made anew, after a managed policy has changed.
    pub(crate) fn compile_roles_with(&mut self, id: &str) {
        let compiled = self.roles_with(id).into_iter().filter_map(|id| {
            let role = SentRole::of(self, &self.roles.get(&id)?.record).compiled();
            Some((id, Arc::new(role)))
        });
        let compiled: Vec<_> = compiled.collect();
        for (id, role) in compiled {
            self.roles.set(&id, role);
        }
    }

    /// Where the registry is followed: what takes away the roles that depend on this managed
    /// policy.
    pub(crate) fn forget_roles_with(&self, id: &str) -> Vec<RowChange> {
        let all = self.told_roles.iter();
        let with = all.filter(|(_, held)| held.depends(id));
        with.map(|(id, _)| RowChange::remove::<FollowedRoleRecord>(id))
            .collect()
    }

    /// A role as requests of its sessions are decided by it, where the registry is kept and where
    /// it is followed.
    pub(crate) fn role(&self, id: &str) -> Option<&Arc<Role>> {
        let kept = self.roles.get(id).map(|held| (held.ended, &held.role));
        let told = || self.told_roles.get(id).map(|held| (held.ended, &held.role));
        let (ended, role) = kept.or_else(told)?;
        (!ended).then_some(role)
    }

    /// A role as `region` may have it. A build that does not know roles gets none.
    pub(crate) fn role_for(&self, id: &str, region: &str) -> Option<SentRole> {
        let held = self.roles.get(id)?;
        let may_know = self.may_know_users(&held.record.account, region);
        let knows = self.knows(region, ROLES) && may_know;
        let knows = knows && self.unenforced(&held.record.account, region).is_none();
        knows.then(|| SentRole::of(self, &held.record))
    }

    /// The unique id of whom a policy names: a user or role by its ARN of today, and the role of a
    /// session by the session's ARN.
    pub(crate) fn id_of_named(&self, arn: &str) -> Option<&str> {
        let Some(rest) = arn.strip_prefix("arn:aws:sts::") else {
            return self.id_of_arn(arn);
        };
        let (account, rest) = rest.split_once(":assumed-role/")?;
        let (name, _) = rest.split_once('/')?;
        let held = self.roles.named(account, name)?;
        (held.record.name == name).then_some(&held.record.id)
    }

    /// The unique id of a user or role, by its ARN of today.
    pub(crate) fn id_of_arn(&self, arn: &str) -> Option<&str> {
        let rest = arn.strip_prefix("arn:aws:iam::")?;
        let (account, rest) = rest.split_once(':')?;
        let (kind, _) = rest.split_once('/')?;
        let name = arn.rsplit('/').next()?;
        match kind {
            "user" => {
                let held = self.users.named(account, name)?;
                (held.record.arn() == arn).then_some(&held.record.id)
            }
            "role" => {
                let held = self.roles.named(account, name)?;
                (held.record.arn() == arn).then_some(&held.record.id)
            }
            _ => None,
        }
    }

    /// The ARN of today of a user or role, by its unique id.
    pub(crate) fn arn_of_id(&self, id: &str) -> Option<String> {
        let user = self.users.get(id).map(|held| held.record.arn());
        user.or_else(|| self.roles.get(id).map(|held| held.record.arn()))
    }

    /// The account of a user or role, by their unique id.
    pub(crate) fn account_of_id(&self, id: &str) -> Option<&str> {
        let user = self.users.get(id).map(|held| &*held.record.account);
        user.or_else(|| self.roles.get(id).map(|held| &*held.record.account))
    }

    /// Who holds a key of the registry. One whose user is not there opens nothing.
    pub(crate) fn holder(&self, key: &KeyRecord) -> Option<Who> {
        match &key.user {
            None => Some(Who::Root),
            Some(user) => Some(Who::User(self.user(user)?)),
        }
    }

    /// A user as requests are decided by it, where the registry is kept.
    fn user(&self, id: &str) -> Option<Arc<User>> {
        let record = &self.users.get(id)?.record;
        let make = || SentUser::of(self, record).compiled(&record.account);
        Some(self.users.compiled(id, make))
    }

    /// How many entries the audit log has.
    pub(crate) fn length(&self) -> u64 {
        self.last.as_ref().map_or(0, |entry| entry.number + 1)
    }
}
