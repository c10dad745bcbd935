//! Access control lists as they are stored: of a bucket as a document, of an object as a critical
//! field, so that no earlier release serves or hands over what it would misjudge.

use access::{
    AccessList, Grant, Grantee, Permission,
    acl::{GRANTS_MAX, is_anonymous},
};
use types::{AccountId, VersionId};

use super::codec::{Reader, Writer};
use crate::Result;

const VERSION: u8 = 1;
const WHAT: &str = "an access control list";

/// Bytes of a bucket's list, at most.
pub(super) const LIST_BYTES_MAX: usize = 16 << 10;
/// Bytes of an account's id.
const ACCOUNT_BYTES_MAX: usize = 64;

/// The list of an object, with what orders its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectList {
    /// Who owns the object, and what is granted.
    pub list: AccessList,
    /// When it was last replaced; zeros for the list that the object was written with.
    pub set: VersionId,
}

impl ObjectList {
    /// The list that an object is written with; `None` where it says what holds without one: that
    /// the bucket's owner owns the object, and nobody else has access.
    pub fn of_new(list: AccessList, bucket_owner: &AccountId) -> Option<Self> {
        (!list.is_default_of(bucket_owner)).then_some(Self {
            list,
            set: VersionId::from_bytes([0; 16]),
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.raw(self.set.bytes()).text(&self.list.owner);
        write_grants(&mut out, &self.list.grants);
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, WHAT)?;
        let set = VersionId::from_bytes(r.sixteen()?);
        let owner = account(&mut r)?;
        let grants = read_grants(&mut r)?;
        r.end()?;
        Ok(Self {
            list: AccessList { owner, grants },
            set,
        })
    }
}

/// The bytes of a bucket's list. Its owner is the bucket's.
pub fn encode_bucket_list(grants: &[Grant]) -> Vec<u8> {
    let mut out = Writer::new(VERSION);
    write_grants(&mut out, grants);
    out.finish()
}

/// Reads them.
///
/// # Errors
/// `Record` for anything else.
pub fn decode_bucket_list(owner: &AccountId, bytes: &[u8]) -> Result<AccessList> {
    let mut r = Reader::new(bytes, VERSION, WHAT)?;
    let grants = read_grants(&mut r)?;
    r.end()?;
    Ok(AccessList {
        owner: owner.clone(),
        grants,
    })
}

fn write_grants(out: &mut Writer, grants: &[Grant]) {
    out.count(grants.len());
    for grant in grants {
        match &grant.grantee {
            Grantee::Account(account) => out.u8(0).text(account),
            Grantee::AllUsers => out.u8(1),
            Grantee::AuthenticatedUsers => out.u8(2),
            Grantee::LogDelivery => out.u8(3),
        };
        out.u8(grant.permission.byte());
    }
}

fn read_grants(r: &mut Reader<'_>) -> Result<Vec<Grant>> {
    let count = r.count(2)?;
    if count > GRANTS_MAX {
        return Err(r.damaged());
    }
    let grant = |_| {
        let grantee = match r.u8()? {
            0 => Grantee::Account(account(r)?),
            1 => Grantee::AllUsers,
            2 => Grantee::AuthenticatedUsers,
            3 => Grantee::LogDelivery,
            _ => return Err(r.damaged()),
        };
        let permission = Permission::ALL.get(usize::from(r.u8()?));
        let permission = *permission.ok_or_else(|| r.damaged())?;
        Ok(Grant {
            grantee,
            permission,
        })
    };
    (0..count).map(grant).collect()
}

fn account(r: &mut Reader<'_>) -> Result<AccountId> {
    let account = AccountId::new(&r.text()?);
    let is_number = account.bytes().all(|c| c.is_ascii_digit()) && !account.is_empty();
    match account.len() <= ACCOUNT_BYTES_MAX && (is_number || is_anonymous(&account)) {
        true => Ok(account),
        false => Err(r.damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> AccessList {
        let grant = |grantee, permission| Grant {
            grantee,
            permission,
        };
        AccessList {
            owner: AccountId::new("1"),
            grants: vec![
                grant(
                    Grantee::Account(AccountId::new("2")),
                    Permission::FullControl,
                ),
                grant(Grantee::AllUsers, Permission::Read),
                grant(Grantee::AuthenticatedUsers, Permission::ReadAcp),
                grant(Grantee::LogDelivery, Permission::WriteAcp),
            ],
        }
    }

    #[test]
    fn lists_have_the_bytes_that_they_always_had() {
        let object = ObjectList {
            list: list(),
            set: VersionId::from_bytes([7; 16]),
        };
        let hex = "01070707070707070707070707070707070000000131000000040000000001320401000202\
                   0303";
        let bytes = object.encode();
        let written: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(written, hex);
        assert_eq!(ObjectList::decode(&bytes).unwrap(), object);
        for len in 0..bytes.len() {
            assert!(ObjectList::decode(&bytes[..len]).is_err(), "{len}");
        }
        let bytes = encode_bucket_list(&list().grants);
        let read = decode_bucket_list(&AccountId::new("1"), &bytes).unwrap();
        assert_eq!(read, list());
    }

    #[test]
    fn what_holds_anyway_is_not_stored() {
        let owner = AccountId::new("1");
        assert_eq!(
            ObjectList::of_new(AccessList::of_owner(&owner), &owner),
            None
        );
        let other = AccessList::of_owner(&AccountId::new("2"));
        assert!(ObjectList::of_new(other, &owner).is_some());
        assert!(ObjectList::of_new(list(), &owner).is_some());
        let nobody = AccessList {
            owner: owner.clone(),
            grants: Vec::new(),
        };
        assert!(ObjectList::of_new(nobody, &owner).is_some());
    }
}
