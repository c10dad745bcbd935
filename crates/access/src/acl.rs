//! Access control lists: who owns an object, and to whom a list grants what ("Access control list
//! (ACL) overview" in the S3 user guide).

use std::sync::LazyLock;

use types::AccountId;

use crate::{Action, PublicAccessBlock, policy::AclGrants};

/// Grants of one list, at most.
pub const GRANTS_MAX: usize = 100;

/// The owner of what somebody wrote who signed nothing. No account has this id.
static ANONYMOUS: LazyLock<AccountId> = LazyLock::new(|| AccountId::new("anonymous"));

/// Who owns what is written into a bucket, and whether access control lists count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The bucket's owner owns all of it, and lists play no part.
    #[default]
    BucketOwnerEnforced,
    /// The bucket's owner owns what is written with `bucket-owner-full-control`, else whoever
    /// writes. Lists count.
    BucketOwnerPreferred,
    /// Whoever writes owns it. Lists count.
    ObjectWriter,
}

impl Ownership {
    /// All modes, in the order of their bytes.
    pub const ALL: [Self; 3] = [
        Self::BucketOwnerEnforced,
        Self::BucketOwnerPreferred,
        Self::ObjectWriter,
    ];

    /// As S3 names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    /// The mode of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// As it is stored.
    pub const fn byte(self) -> u8 {
        match self {
            Self::BucketOwnerEnforced => 0,
            Self::BucketOwnerPreferred => 1,
            Self::ObjectWriter => 2,
        }
    }

    /// Reads the byte; lists play no part for one that cannot be.
    pub fn of_byte(byte: Option<u8>) -> Self {
        let found = byte.and_then(|byte| Self::ALL.get(usize::from(byte)));
        found.copied().unwrap_or_default()
    }

    /// Whether access control lists count.
    pub const fn heeds_lists(self) -> bool {
        !matches!(self, Self::BucketOwnerEnforced)
    }

    /// Who owns an object that `writer` writes, `None` for who signs nothing; `handed` says that
    /// the write gives the bucket's owner full control by `bucket-owner-full-control`.
    pub fn owner_of_new(
        self,
        bucket_owner: &AccountId,
        writer: Option<&AccountId>,
        handed: bool,
    ) -> AccountId {
        match self {
            Self::BucketOwnerEnforced => bucket_owner.clone(),
            Self::BucketOwnerPreferred if handed => bucket_owner.clone(),
            Self::BucketOwnerPreferred | Self::ObjectWriter => writer.unwrap_or(&ANONYMOUS).clone(),
        }
    }
}

/// The owner of what somebody wrote who signed nothing.
pub fn anonymous() -> &'static AccountId {
    &ANONYMOUS
}

/// Whether an owner is whoever signs nothing.
pub fn is_anonymous(owner: &AccountId) -> bool {
    *owner == *ANONYMOUS
}

/// What a new bucket begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewBuckets {
    /// Who owns what is written into it.
    pub ownership: Ownership,
    /// Which public access is refused.
    pub block: PublicAccessBlock,
}

impl Default for NewBuckets {
    /// As S3 has it: lists are off, and all public access is refused.
    fn default() -> Self {
        Self {
            ownership: Ownership::BucketOwnerEnforced,
            block: PublicAccessBlock::ALL,
        }
    }
}

/// Whom a grant is for. Grantees are accounts and groups, never users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grantee {
    /// An account.
    Account(AccountId),
    /// Everybody.
    AllUsers,
    /// Everybody who signs, of any account.
    AuthenticatedUsers,
    /// What writes access logs.
    LogDelivery,
}

/// What a grant permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// To list a bucket; to read an object.
    Read,
    /// To put objects into a bucket; means nothing on an object.
    Write,
    /// To read the list.
    ReadAcp,
    /// To replace the list.
    WriteAcp,
    /// All of these.
    FullControl,
}

impl Permission {
    /// All of them, in the order of their bytes.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::ReadAcp,
        Self::WriteAcp,
        Self::FullControl,
    ];

    /// As S3 names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
            Self::FullControl => "FULL_CONTROL",
        }
    }

    /// As it is stored.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::ReadAcp => 2,
            Self::WriteAcp => 3,
            Self::FullControl => 4,
        }
    }

    fn includes(self, asked: Self) -> bool {
        self == asked || self == Self::FullControl
    }
}

/// One grant of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub grantee: Grantee,
    /// Of what.
    pub permission: Permission,
}

/// The list of a bucket or an object, and who owns that. What the owner may do the grants say too,
/// as S3 shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessList {
    /// Who owns it.
    pub owner: AccountId,
    /// What is granted, in the order in which it was given.
    pub grants: Vec<Grant>,
}

impl AccessList {
    /// The list that everything begins with: the owner has full control, and nobody else anything.
    pub fn of_owner(owner: &AccountId) -> Self {
        Self {
            owner: owner.clone(),
            grants: vec![Grant {
                grantee: Grantee::Account(owner.clone()),
                permission: Permission::FullControl,
            }],
        }
    }

    /// Whether it says what holds without a list: that this account owns what it is of, and nobody
    /// else has access.
    pub fn is_default_of(&self, owner: &AccountId) -> bool {
        self.owner == *owner && *self == Self::of_owner(owner)
    }

    /// Whether it grants nothing to anybody but the owner.
    pub fn is_of_owner_alone(&self) -> bool {
        let own = |grant: &Grant| grant.grantee == Grantee::Account(self.owner.clone());
        self.grants.iter().all(own)
    }

    /// Whether it grants anything to everybody, or to everybody who signs.
    pub fn is_public(&self) -> bool {
        let public = |grant: &Grant| {
            matches!(
                grant.grantee,
                Grantee::AllUsers | Grantee::AuthenticatedUsers
            )
        };
        self.grants.iter().any(public)
    }

    /// Without what it grants to everybody.
    #[must_use]
    pub fn without_public(&self) -> Self {
        let mut own = self.clone();
        own.grants
            .retain(|g| !matches!(g.grantee, Grantee::AllUsers | Grantee::AuthenticatedUsers));
        own
    }

    /// To whom it grants this, as `account` is concerned.
    pub(crate) fn grants(&self, account: Option<&AccountId>, asked: Permission) -> AclGrants {
        let mut found = AclGrants::default();
        for grant in self.grants.iter().filter(|g| g.permission.includes(asked)) {
            match &grant.grantee {
                Grantee::Account(own) => found.account |= account == Some(own),
                Grantee::AllUsers => found.all_users = true,
                Grantee::AuthenticatedUsers => found.authenticated_users = true,
                // What writes logs is no caller.
                Grantee::LogDelivery => {}
            }
        }
        found
    }
}

/// Which list says something of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// None.
    Nothing,
    /// The bucket's, by this permission.
    Bucket(Permission),
    /// The object's, by this permission; with none only who owns it counts.
    Object(Option<Permission>),
}

/// Which list says something of `action`. `within` is the action of the request, where that asks
/// for more than one.
pub(crate) fn says(action: Action, within: Action) -> Says {
    use Permission as P;
    match action {
        Action::ListBucket | Action::ListBucketVersions | Action::ListBucketMultipartUploads => {
            Says::Bucket(P::Read)
        }
        // Only over what the caller's account owns: the commit looks.
        Action::PutObject | Action::DeleteObject => Says::Bucket(P::Write),
        // Whoever makes an object owns it, or gives it away.
        Action::PutObjectAcl if within == Action::PutObject => Says::Bucket(P::Write),
        Action::PutObjectTagging if within == Action::PutObject => Says::Nothing,
        Action::GetBucketAcl => Says::Bucket(P::ReadAcp),
        Action::PutBucketAcl => Says::Bucket(P::WriteAcp),
        Action::GetObject | Action::GetObjectVersion => Says::Object(Some(P::Read)),
        Action::GetObjectAcl | Action::GetObjectVersionAcl => Says::Object(Some(P::ReadAcp)),
        Action::PutObjectAcl | Action::PutObjectVersionAcl => Says::Object(Some(P::WriteAcp)),
        Action::GetObjectAttributes
        | Action::GetObjectVersionAttributes
        | Action::GetObjectTagging
        | Action::GetObjectVersionTagging
        | Action::PutObjectTagging
        | Action::PutObjectVersionTagging
        | Action::DeleteObjectTagging
        | Action::DeleteObjectVersionTagging
        | Action::GetObjectLegalHold
        | Action::GetObjectRetention => Says::Object(None),
        _ => Says::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::{Effect, Keys, Kind};

    #[test]
    fn every_action_on_an_object_that_is_there_asks_for_its_owner() {
        for row in Action::rows() {
            let own = matches!(
                row.action,
                Action::PutObject
                    | Action::DeleteObject
                    | Action::DeleteObjectVersion
                    | Action::AbortMultipartUpload
                    | Action::ListMultipartUploadParts
            );
            let said = says(row.action, row.action);
            let of_object = matches!(said, Says::Object(_));
            assert_eq!(of_object, row.kind == Kind::Object && !own, "{}", row.name);
            if row.keys == Keys::Under {
                assert_eq!(said, Says::Bucket(Permission::Read), "{}", row.name);
            }
            // Nothing that changes a bucket is granted by a list, but to change the list.
            if row.kind == Kind::Bucket && row.effect == Effect::Writes {
                let acl = row.action == Action::PutBucketAcl;
                assert_eq!(said != Says::Nothing, acl, "{}", row.name);
            }
        }
    }

    #[test]
    fn modes_and_permissions_come_back_from_their_bytes() {
        for mode in Ownership::ALL {
            assert_eq!(Ownership::of_byte(Some(mode.byte())), mode);
            assert_eq!(Ownership::of_name(mode.name()), Some(mode));
        }
        assert_eq!(Ownership::of_byte(Some(9)), Ownership::BucketOwnerEnforced);
        for (at, permission) in Permission::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(permission.byte()), at);
        }
    }

    #[test]
    fn who_owns_a_new_object_is_a_matter_of_the_mode() {
        let (b, a) = (AccountId::new("1"), AccountId::new("2"));
        for (mode, handed, owner) in [
            (Ownership::BucketOwnerEnforced, false, &b),
            (Ownership::BucketOwnerPreferred, false, &a),
            (Ownership::BucketOwnerPreferred, true, &b),
            (Ownership::ObjectWriter, false, &a),
            (Ownership::ObjectWriter, true, &a),
        ] {
            assert_eq!(mode.owner_of_new(&b, Some(&a), handed), *owner, "{mode:?}");
        }
        let nobody = Ownership::ObjectWriter.owner_of_new(&b, None, false);
        assert!(is_anonymous(&nobody));
    }
}
