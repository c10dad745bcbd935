//! Access control lists and who owns objects, decided as a request is: by the bucket's documents.
//! A slow model that shares no code with the decision says what is right.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use access::{
    AccessList, Action, Ask, BucketAccess, CallerKind, Context, Facts, Grant, Grantee, Identity,
    Ownership, Permission, Policies, PublicAccessBlock, Refusal, Resource, User, Via, Who,
    authorize, needs_list,
};
use types::{
    AccessKeyId, AccountId, BucketDeed, BucketId, BucketName, ObjectKey, Place, Placement, Random,
    RegionId, Replica, SeededRandom, Timestamp,
};

const CASES: usize = 20_000;
const ACCOUNTS: [&str; 3] = ["000000000001", "000000000002", "000000000003"];
const ACTIONS: [Action; 16] = [
    Action::ListBucket,
    Action::ListBucketVersions,
    Action::ListBucketMultipartUploads,
    Action::GetBucketAcl,
    Action::PutBucketAcl,
    Action::PutBucketPolicy,
    Action::PutObject,
    Action::DeleteObject,
    Action::DeleteObjectVersion,
    Action::GetObject,
    Action::GetObjectVersion,
    Action::GetObjectAcl,
    Action::PutObjectVersionAcl,
    Action::GetObjectTagging,
    Action::GetObjectAttributes,
    Action::AbortMultipartUpload,
];

/// Everything is text and plain lists here.
#[derive(Debug, Clone)]
struct Case {
    mode: Ownership,
    /// `None` signs nothing; else an account's number, and whether it is a user of it, and whether
    /// the user's own policy allows everything.
    who: Option<(usize, Option<bool>)>,
    action: Action,
    /// Grantee and permission: an account's number, `all`, `signed` or `logs`.
    bucket: Vec<(&'static str, &'static str)>,
    object: Vec<(&'static str, &'static str)>,
    /// Which account owns the object.
    owner: usize,
    ignore: [bool; 2],
    /// The bucket's policy allows everybody everything.
    policy: bool,
    /// The policy lets nobody in whom the bucket's account or a list does not.
    restrict: bool,
}

fn pick<T: Clone>(random: &SeededRandom, of: &[T]) -> T {
    of[(random.next_u64() % of.len() as u64) as usize].clone()
}

impl Case {
    fn any(random: &SeededRandom) -> Self {
        let one_in = |n: u64| random.next_u64().is_multiple_of(n);
        let list = || {
            let grantees = [
                ACCOUNTS[0],
                ACCOUNTS[1],
                ACCOUNTS[2],
                "all",
                "signed",
                "logs",
            ];
            let permissions = ["READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL"];
            let count = random.next_u64() % 3;
            (0..count)
                .map(|_| (pick(random, &grantees), pick(random, &permissions)))
                .collect()
        };
        Self {
            mode: pick(random, &Ownership::ALL),
            who: match random.next_u64() % 8 {
                0 => None,
                1..=3 => Some((pick(random, &[0, 1]), None)),
                _ => Some((pick(random, &[0, 1]), Some(one_in(2)))),
            },
            action: pick(random, &ACTIONS),
            bucket: list(),
            object: list(),
            owner: pick(random, &[0, 0, 1, 2]),
            ignore: [one_in(4), one_in(4)],
            policy: one_in(4),
            restrict: one_in(4),
        }
    }

    /// Straight from the rules.
    fn allowed(&self) -> bool {
        let name = self.action.row().name;
        let lists = self.mode != Ownership::BucketOwnerEnforced;
        let of_object = matches!(
            name,
            "GetObject"
                | "GetObjectVersion"
                | "GetObjectAcl"
                | "PutObjectVersionAcl"
                | "GetObjectTagging"
                | "GetObjectAttributes"
        );
        let asked = match name {
            "ListBucket"
            | "ListBucketVersions"
            | "ListBucketMultipartUploads"
            | "GetObject"
            | "GetObjectVersion" => "READ",
            "PutObject" | "DeleteObject" => "WRITE",
            "GetBucketAcl" | "GetObjectAcl" => "READ_ACP",
            "PutBucketAcl" | "PutObjectVersionAcl" => "WRITE_ACP",
            _ => "nothing",
        };
        let grants = if of_object {
            &self.object
        } else {
            &self.bucket
        };
        let owner = if lists && of_object { self.owner } else { 0 };
        let ignored = self.ignore[0] || self.ignore[1];
        let has = |grantee: &str| {
            let public = grantee == "all" || grantee == "signed";
            lists
                && asked != "nothing"
                && !(public && ignored)
                && grants
                    .iter()
                    .any(|(g, p)| *g == grantee && (*p == asked || *p == "FULL_CONTROL"))
        };
        let by_policy = |account: Option<usize>| {
            self.policy && owner == 0 && (!self.restrict || account == Some(0))
        };
        let owner_only = name == "PutBucketPolicy";
        match self.who {
            None => !owner_only && (by_policy(None) || has("all")),
            Some((account, user)) => {
                let group = has("all") || has("signed");
                let own = user.is_none_or(|may| may);
                if account == owner {
                    own || by_policy(Some(account)) || group
                } else if account == 0 && owner_only {
                    unreachable!("a bucket's policy is its owner's matter")
                } else {
                    !owner_only
                        && own
                        && (by_policy(Some(account)) || group || has(ACCOUNTS[account]))
                }
            }
        }
    }

    fn list(&self, of: &[(&'static str, &'static str)], owner: usize) -> AccessList {
        let grant = |(grantee, permission): &(&str, &str)| Grant {
            grantee: match *grantee {
                "all" => Grantee::AllUsers,
                "signed" => Grantee::AuthenticatedUsers,
                "logs" => Grantee::LogDelivery,
                account => Grantee::Account(AccountId::new(account)),
            },
            permission: Permission::ALL
                .into_iter()
                .find(|p| p.name() == *permission)
                .unwrap(),
        };
        AccessList {
            owner: AccountId::new(ACCOUNTS[owner]),
            grants: of.iter().map(grant).collect(),
        }
    }

    fn identity(&self) -> Identity {
        let Some((account, user)) = self.who else {
            return Identity::Anonymous;
        };
        let account = AccountId::new(ACCOUNTS[account]);
        let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*",
            "Resource":"*"}]}"#;
        let user = user.map(|may| User {
            id: "AIDAONE".to_owned(),
            account: account.clone(),
            name: "one".to_owned(),
            path: "/".to_owned(),
            tags: Vec::new(),
            policies: Policies::compile(may.then_some(all).into_iter(), None),
        });
        Identity::Key {
            access_key: AccessKeyId::new("DHOWONE"),
            account,
            kind: CallerKind::Customer,
            guard: Default::default(),
            who: user.map_or(Who::Root, |user| Who::User(Arc::new(user))),
        }
    }

    /// What is decided, with the object's list fetched only where that was asked for.
    fn decided(&self) -> bool {
        let deed = deed();
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*",
            "Action":"s3:*","Resource":["arn:aws:s3:::{0}","arn:aws:s3:::{0}/*"]}}]}}"#,
            &*deed.name
        );
        let policy = self.policy.then_some((&*policy, &[][..]));
        let block = |ignore_acls, restrict_buckets| PublicAccessBlock {
            ignore_acls,
            restrict_buckets,
            ..PublicAccessBlock::NONE
        };
        let own = block(self.ignore[0], self.restrict);
        let access = BucketAccess::compiled(&deed, policy, own, false)
            .with_lists(self.mode, Some(self.list(&self.bucket, 0)));
        let facts = Facts {
            deed: Some(&deed),
            access: Some(&access),
            account_block: block(self.ignore[1], false),
            here: &Place::unknown(RegionId::new("home")),
            via: &Via::Client,
        };
        let (identity, key) = (self.identity(), ObjectKey::new("k").unwrap());
        let row = self.action.row();
        let resource = match row.keys {
            access::actions::Keys::None => Resource::Bucket(&deed.name),
            access::actions::Keys::Under => Resource::Keys {
                bucket: &deed.name,
                prefix: "",
            },
            _ => Resource::Object {
                bucket: &deed.name,
                key: &key,
                version: None,
            },
        };
        let mut ask = Ask {
            principal: &identity,
            action: self.action,
            resource,
            context: Context::default(),
        };
        let list = self.list(&self.object, self.owner);
        if needs_list(&ask, &facts) {
            assert!(self.mode.heeds_lists(), "{self:?}");
            let decided = authorize(&ask, &facts).map(drop);
            assert_eq!(decided, Err(Refusal::NeedsList), "{self:?}");
            ask.context.list = Some(Some(&list));
        }
        authorize(&ask, &facts).is_ok()
    }
}

fn deed() -> Arc<BucketDeed> {
    Arc::new(BucketDeed {
        name: BucketName::new("bucket").unwrap(),
        id: BucketId(1),
        owner: AccountId::new(ACCOUNTS[0]),
        home: RegionId::new("home"),
        created: Timestamp::from_ms(0),
        epoch: 1,
        placement: Placement::default(),
    })
}

#[test]
fn lists_and_owners_decide_as_the_model_does() {
    let random = SeededRandom::new(20);
    let mut allowed = 0;
    for _ in 0..CASES {
        let case = Case::any(&random);
        assert_eq!(case.decided(), case.allowed(), "{case:?}");
        allowed += usize::from(case.allowed());
    }
    assert!((CASES / 10..CASES * 9 / 10).contains(&allowed), "{allowed}");
}

/// Under any mode but one, only a permit that a list alone gave says whose objects may go.
#[test]
fn a_write_by_a_list_is_over_own_objects_only() {
    let random = SeededRandom::new(21);
    let mut limited = 0;
    for _ in 0..CASES / 10 {
        let mut case = Case::any(&random);
        (case.action, case.policy) = (Action::PutObject, false);
        case.mode = Ownership::ObjectWriter;
        let foreign = case.who.is_none_or(|(account, _)| account != 0);
        let deed = deed();
        let access = BucketAccess::compiled(&deed, None, PublicAccessBlock::NONE, false)
            .with_lists(case.mode, Some(case.list(&case.bucket, 0)));
        let facts = Facts {
            deed: Some(&deed),
            access: Some(&access),
            account_block: PublicAccessBlock::NONE,
            here: &Place::unknown(RegionId::new("home")),
            via: &Via::Client,
        };
        let (identity, key) = (case.identity(), ObjectKey::new("k").unwrap());
        let ask = Ask {
            principal: &identity,
            action: case.action,
            resource: Resource::Object {
                bucket: &deed.name,
                key: &key,
                version: None,
            },
            context: Context::default(),
        };
        let Ok(permit) = authorize(&ask, &facts) else {
            continue;
        };
        let own = case.who == Some((0, None)) || case.who == Some((0, Some(true)));
        assert_eq!(permit.only_over().is_none(), own, "{case:?}");
        assert!(own || foreign || case.who == Some((0, Some(false))));
        limited += usize::from(!own);
        // Where several regions take writes, none knows all objects that are there.
        let mut many = (*deed).clone();
        many.placement.writes = types::Writes::Any;
        many.placement.replicas.push(Replica {
            region: RegionId::new("other"),
            sealed_by: None,
        });
        let many = Arc::new(many);
        let decided = authorize(
            &ask,
            &Facts {
                deed: Some(&many),
                ..facts
            },
        );
        assert_eq!(
            decided.err() == Some(Refusal::ListAmongMany),
            !own,
            "{case:?}"
        );
    }
    assert!(limited > 100, "{limited}");
}
