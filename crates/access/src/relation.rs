//! How a caller is related to a bucket, an object or an account. Whether something is a matter of
//! the owner alone is decided here, under a name for each rule: `cargo xtask tidy` refuses
//! comparisons of owners and of callers' accounts in other crates.

use types::{AccountId, BucketDeed};

use crate::{BucketAccess, Identity, Who};

/// Whether the bucket belongs to this account.
pub fn is_owner(account: &AccountId, deed: &BucketDeed) -> bool {
    is_account(account, &deed.owner)
}

/// Whether what `owner` owns belongs to this account, by two ids of one kind: numbers, or canonical
/// ids.
pub fn is_account(account: &str, owner: &str) -> bool {
    account == owner
}

/// Whether the request may go on where the bucket is `owner`'s, and the client said to which
/// account it has to belong (`x-amz-expected-bucket-owner`).
pub fn is_expected_owner(expected: Option<&[u8]>, owner: &AccountId) -> bool {
    expected.is_none_or(|expected| expected == owner.as_bytes())
}

/// Whether a write that only the bucket's list permits may replace an object: its writer, `None`
/// for whoever signs nothing, has to own it.
pub fn may_replace(writer: Option<&AccountId>, object_owner: &AccountId) -> bool {
    writer == Some(object_owner)
}

/// Whether an object whose list is `owner`'s lets the bucket's owner in only where its list says
/// so: it belongs to another account.
pub fn is_of_another(owner: &AccountId, bucket_owner: &AccountId) -> bool {
    owner != bucket_owner
}

impl Identity {
    /// Whether it is of this account. Whoever signs nothing is of none.
    pub fn is_of(&self, account: &AccountId) -> bool {
        self.account() == Some(account)
    }

    /// Whether it is of the account that owns the bucket.
    pub fn is_of_owner(&self, deed: &BucketDeed) -> bool {
        self.is_of(&deed.owner)
    }

    /// Whether the caller may learn which document refused what was asked of a bucket, or with
    /// `None` of no bucket yet: its owner may, and what is on no bucket is a matter of the account.
    pub fn may_learn_why(&self, deed: Option<&BucketDeed>) -> bool {
        match deed {
            Some(deed) => self.is_of_owner(deed),
            None => self.account().is_some(),
        }
    }

    /// Whether the caller pays for requests to the bucket: its account does not own it, and the
    /// bucket says that whoever asks pays.
    pub fn pays(&self, deed: &BucketDeed, access: &BucketAccess) -> bool {
        access.requester_pays() && !self.is_of_owner(deed)
    }

    /// Whether another region would take the caller's request for the bucket from this one: proofs
    /// of who asks are made for the bucket's own account only.
    pub fn is_forwarded(&self, deed: &BucketDeed) -> bool {
        self.is_of_owner(deed)
    }

    /// Whether the caller's access depends on documents that may have changed where this region
    /// cannot know of it: on all that grants others than the owner's account something.
    pub fn is_let_in(&self, deed: &BucketDeed) -> bool {
        !self.is_of_owner(deed)
    }

    /// Whether the caller may do what S3 lets nobody do who signs nothing, whatever documents
    /// grant: begin uploads in parts, copy, and choose the headers of an answer.
    pub fn is_signed(&self) -> bool {
        !matches!(self, Self::Anonymous)
    }

    /// Whether the caller may ask for, and set, what holds for all buckets of the account that a
    /// request names: its own, which has to be of a kind that keeps data.
    pub fn is_own_account(&self, named: Option<&[u8]>) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Key { account, kind, .. } => {
                named == Some(account.as_bytes()) && kind.keeps_data()
            }
        }
    }
}

impl Who {
    /// Whether the admin API takes requests of it: users do what their policies allow, and no
    /// policy is about the admin API.
    pub fn may_administer(&self) -> bool {
        self.is_root()
    }
}

#[cfg(test)]
mod tests {
    use types::{AccessKeyId, BucketId, BucketName, Placement, RegionId, Timestamp};

    use super::*;
    use crate::{CallerKind, GuardPolicy, PublicAccessBlock};

    fn caller(account: &str, kind: CallerKind) -> Identity {
        Identity::Key {
            access_key: AccessKeyId::new("AK"),
            account: AccountId::new(account),
            kind,
            guard: GuardPolicy::NONE.clone(),
            who: Who::Root,
        }
    }

    fn deed() -> BucketDeed {
        BucketDeed {
            id: BucketId(1),
            name: BucketName::new("papers").unwrap(),
            owner: AccountId::new("1"),
            home: RegionId::new("home"),
            created: Timestamp::default(),
            epoch: 1,
            placement: Placement::default(),
        }
    }

    #[test]
    fn a_bucket_is_a_matter_of_its_owners_account() {
        let deed = deed();
        let pays = |on| BucketAccess::compiled(&deed, None, PublicAccessBlock::NONE, on);
        for (caller, own, signed) in [
            (caller("1", CallerKind::Customer), true, true),
            (caller("2", CallerKind::Customer), false, true),
            (Identity::Anonymous, false, false),
        ] {
            assert_eq!(caller.is_of_owner(&deed), own, "{caller:?}");
            assert_eq!(caller.is_of(&AccountId::new("1")), own, "{caller:?}");
            assert_eq!(caller.may_learn_why(Some(&deed)), own, "{caller:?}");
            assert_eq!(caller.is_forwarded(&deed), own, "{caller:?}");
            assert_eq!(caller.is_let_in(&deed), !own, "{caller:?}");
            assert_eq!(caller.pays(&deed, &pays(true)), !own, "{caller:?}");
            assert!(!caller.pays(&deed, &pays(false)), "{caller:?}");
            // Where there is no bucket, whoever has an account learns why.
            assert_eq!(caller.may_learn_why(None), signed, "{caller:?}");
            assert_eq!(caller.is_signed(), signed, "{caller:?}");
        }
    }

    #[test]
    fn accounts_are_compared_as_a_whole() {
        let (one, other) = (AccountId::new("1"), AccountId::new("11"));
        assert!(is_owner(&one, &deed()) && !is_owner(&other, &deed()));
        assert!(is_account("1", &one) && !is_account("1", &other));
        assert!(is_expected_owner(None, &one));
        assert!(is_expected_owner(Some(b"1"), &one));
        assert!(!is_expected_owner(Some(b"1"), &other));
        assert!(!is_expected_owner(Some(b""), &one));
        assert!(may_replace(Some(&one), &one));
        assert!(!may_replace(Some(&one), &other));
        assert!(!may_replace(None, &one));
        assert!(is_of_another(&one, &other) && !is_of_another(&one, &one));
    }

    #[test]
    fn an_accounts_settings_are_for_its_own_keys_where_it_keeps_data() {
        let own = caller("1", CallerKind::Customer);
        assert!(own.is_own_account(Some(b"1")));
        assert!(!own.is_own_account(Some(b"2")));
        assert!(!own.is_own_account(None));
        assert!(!caller("1", CallerKind::Auditor).is_own_account(Some(b"1")));
        assert!(!Identity::Anonymous.is_own_account(Some(b"1")));
    }
}
