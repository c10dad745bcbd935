//! The decision against a slow model of it: the rules as a person would write them down, with each
//! action by its name and no table. All actions, holdings, ways and kinds of caller meet.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use access::{
    Action, Ask, CallerKind, Context, Facts, Identity, Proof, Refusal, Resource, SystemReason, Via,
    actions::{By, Keys, Kind},
    authorize, authorize_opening, authorize_system,
};
use types::{
    AccessKeyId, AccountId, BucketDeed, BucketId, BucketName, DisplayVersion, Forwarder,
    Jurisdiction, ObjectKey, Place, Placement, RegionId, Replica, Timestamp, VersionId, Writes,
};

/// Writes of objects, which a replica of a bucket with `writes = any` takes.
const OBJECT_WRITES: [&str; 8] = [
    "PutObject",
    "DeleteObject",
    "DeleteObjectVersion",
    "PutObjectTagging",
    "PutObjectVersionTagging",
    "DeleteObjectTagging",
    "DeleteObjectVersionTagging",
    "AbortMultipartUpload",
];
/// Questions about uploads, which only a region knows where they were begun.
const OF_UPLOADS: [&str; 2] = ["ListBucketMultipartUploads", "ListMultipartUploadParts"];
/// What changes a bucket, or an object, at its home only.
const HOME_WRITES: [&str; 25] = [
    "DeleteBucket",
    "PutBucketVersioning",
    "PutBucketTagging",
    "PutReplicationConfiguration",
    "DeleteBucketPolicy",
    "PutBucketPolicy",
    "PutBucketCORS",
    "PutEncryptionConfiguration",
    "PutLifecycleConfiguration",
    "DeleteBucketWebsite",
    "PutBucketAcl",
    "PutBucketPublicAccessBlock",
    "PutBucketOwnershipControls",
    "PutBucketNotification",
    "PutBucketLogging",
    "PutBucketRequestPayment",
    "PutAccelerateConfiguration",
    "PutBucketAbac",
    "PutAnalyticsConfiguration",
    "PutIntelligentTieringConfiguration",
    "PutInventoryConfiguration",
    "PutMetricsConfiguration",
    "PutObjectAcl",
    "PutObjectVersionAcl",
    "CreateBucket",
];
/// What regions do by themselves.
const OF_REGIONS: [&str; 3] = ["ReplicateFrom", "ReplicateInto", "CountVersions"];

/// A case, in words.
#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    action: &'a str,
    caller: Option<(&'a str, CallerKind)>,
    expected: Option<&'a str>,
    conditional: bool,
    /// What the region that decides is to the bucket, and whether the law allows it.
    here: (&'a str, bool),
    active: bool,
    /// The region that forwards: what it is to the bucket, whether the law allows it, whether the
    /// operator of the region that decides runs it, and what proves the request.
    from: Option<(&'a str, bool, bool, &'a str)>,
    proxy: bool,
    /// Whether the owner trusts that region with reads, and with writes.
    trust: (bool, bool),
}

/// The rules.
fn model(case: &Case<'_>) -> Result<(), &'static str> {
    let is_in = |list: &[&str]| list.contains(&case.action);
    let Some((account, kind)) = case.caller else {
        return Err("anonymous");
    };
    let service = is_in(&["ListAllMyBuckets", "CreateBucket"]);
    if !service {
        if account != "owner" {
            return Err("not owner");
        }
        if case.expected.is_some_and(|expected| expected != "owner") {
            return Err("expected owner");
        }
    }
    let changes = is_in(&OBJECT_WRITES) || is_in(&HOME_WRITES) || is_in(&OF_UPLOADS);
    let keeps_data = matches!(kind, CallerKind::Customer | CallerKind::CloudOperator);
    if changes && !keeps_data {
        return Err("kind");
    }
    if is_in(&OF_REGIONS) {
        return Err("for regions");
    }
    if service {
        return if case.from.is_none() {
            Ok(())
        } else {
            Err("mismatch")
        };
    }
    if case.action == "GetBucketLocation" && case.from.is_none() {
        return Ok(());
    }
    let (holding, lawful) = case.here;
    if !lawful {
        return Err("residency");
    }
    let everywhere = is_in(&OBJECT_WRITES) || is_in(&OF_UPLOADS);
    match holding {
        "home" => {}
        "replica" if !changes => {}
        "replica" if case.active && everywhere => {}
        "replica" => return Err("not home"),
        "sealed" => return Err("sealed"),
        _ => return Err("elsewhere"),
    }
    if let Some((holding, lawful, same, proof)) = case.from {
        if !lawful {
            return Err("sender residency");
        }
        match holding {
            "home" | "replica" => {}
            "sealed" => return Err("sender sealed"),
            _ if case.proxy => {}
            _ => return Err("sender elsewhere"),
        }
        let covers = proof == "whole" || (proof == "head" && !changes);
        let could = same || matches!(holding, "home" | "replica");
        let trusted = if changes { case.trust.1 } else { case.trust.0 };
        let proven = covers && could;
        if !proven && !trusted {
            return Err("unproven");
        }
    }
    if case.conditional && is_in(&OBJECT_WRITES) && holding != "home" {
        return Err("conditional");
    }
    Ok(())
}

fn word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Anonymous => "anonymous",
        Refusal::NotOwner => "not owner",
        Refusal::ExpectedOwner => "expected owner",
        Refusal::Kind => "kind",
        Refusal::Residency => "residency",
        Refusal::NotHome => "not home",
        Refusal::Sealed => "sealed",
        Refusal::Elsewhere => "elsewhere",
        Refusal::Conditional => "conditional",
        Refusal::SenderResidency => "sender residency",
        Refusal::SenderSealed => "sender sealed",
        Refusal::SenderElsewhere => "sender elsewhere",
        Refusal::NotAccepted => "not accepted",
        Refusal::Unproven => "unproven",
        Refusal::ForRegions => "for regions",
        Refusal::Mismatch => "mismatch",
        Refusal::Policy(_)
        | Refusal::UnreadablePolicy
        | Refusal::NeedsList
        | Refusal::NeedsInitiator
        | Refusal::RootOnly
        | Refusal::RequesterPays
        | Refusal::ListAmongMany
        | Refusal::PolicyOfOthers => "documents",
    }
}

/// A region by what it is to the bucket.
fn region(holding: &str, lawful: bool, own: bool) -> Place {
    Place {
        region: RegionId::new(holding),
        jurisdiction: Jurisdiction::parse(if lawful { "DE" } else { "US" }).unwrap(),
        operator: if own { "own" } else { "partner" }.into(),
    }
}

fn deed(case: &Case<'_>) -> Arc<BucketDeed> {
    let replica = |region: &str, sealed_by: Option<&str>| Replica {
        region: RegionId::new(region),
        sealed_by: sealed_by.map(RegionId::new),
    };
    let mut placement = Placement {
        replicas: vec![replica("replica", None), replica("sealed", Some("home"))],
        jurisdictions: vec![Jurisdiction::parse("EU").unwrap()],
        proxy: case.proxy,
        ..Placement::default()
    };
    if case.active {
        placement.writes = Writes::Any;
    }
    if let Some((from, ..)) = case.from {
        let trusted = || vec![Forwarder::Region(RegionId::new(from))];
        if case.trust.0 {
            placement.trust.reads = trusted();
        }
        if case.trust.1 {
            placement.trust.writes = trusted();
        }
    }
    Arc::new(BucketDeed {
        id: BucketId(1),
        name: BucketName::new("papers").unwrap(),
        owner: AccountId::new("owner"),
        home: RegionId::new("home"),
        created: Timestamp::default(),
        epoch: 1,
        placement,
    })
}

fn identity(caller: Option<(&str, CallerKind)>) -> Identity {
    match caller {
        None => Identity::Anonymous,
        Some((account, kind)) => Identity::Key {
            access_key: AccessKeyId::new("KEY"),
            account: AccountId::new(account),
            kind,
            guard: Default::default(),
            who: access::Who::Root,
        },
    }
}

fn version() -> Option<DisplayVersion> {
    Some(DisplayVersion::Id(VersionId::from_bytes([7; 16])))
}

/// What fits the action.
fn resource<'a>(action: Action, bucket: &'a BucketName, key: &'a ObjectKey) -> Resource<'a> {
    let row = action.row();
    match (row.kind, row.keys) {
        (Kind::Service, _) => Resource::Service,
        (_, Keys::None) => Resource::Bucket(bucket),
        (_, Keys::Under) => Resource::Keys {
            bucket,
            prefix: "pre/",
        },
        (_, Keys::One) => Resource::Object {
            bucket,
            key,
            version: None,
        },
        (_, Keys::Version) => Resource::Object {
            bucket,
            key,
            version: version(),
        },
    }
}

const BOTH: [bool; 2] = [true, false];

/// All cases of one action.
fn cases(action: &str, mut each: impl FnMut(Case<'_>)) {
    let holdings = ["home", "replica", "sealed", "nothing"];
    let mut callers = vec![None];
    for account in ["owner", "stranger"] {
        callers.extend(
            [
                CallerKind::Customer,
                CallerKind::CloudOperator,
                CallerKind::RegionalOperator,
                CallerKind::Auditor,
            ]
            .map(|kind| Some((account, kind))),
        );
    }
    let mut ways = vec![(None, false, (false, false))];
    for holding in holdings {
        for (lawful, same) in BOTH.into_iter().flat_map(|l| BOTH.map(|s| (l, s))) {
            for proof in ["whole", "head", "word"] {
                let from = Some((holding, lawful, same, proof));
                for proxy in BOTH {
                    for trust in [(false, false), (true, false), (false, true)] {
                        ways.push((from, proxy, trust));
                    }
                }
            }
        }
    }
    for caller in &callers {
        for (from, proxy, trust) in &ways {
            // What others are answered does not depend on the way, and what keeps no data is short.
            let full = *caller == Some(("owner", CallerKind::Customer));
            let short = !proxy && *trust == (false, false);
            let some = *caller == Some(("owner", CallerKind::Auditor)) && short;
            if from.is_some() && !full && !some {
                continue;
            }
            for here in holdings
                .into_iter()
                .flat_map(|h| BOTH.map(|lawful| (h, lawful)))
            {
                // A request is not relayed by the region that decides.
                if from.is_some_and(|(holding, ..)| holding == here.0) {
                    continue;
                }
                for (active, conditional) in BOTH.into_iter().flat_map(|a| BOTH.map(|c| (a, c))) {
                    each(Case {
                        action,
                        caller: *caller,
                        expected: None,
                        conditional,
                        here,
                        active,
                        from: *from,
                        proxy: *proxy,
                        trust: *trust,
                    });
                }
            }
        }
        for expected in ["owner", "stranger"] {
            each(Case {
                action,
                caller: *caller,
                expected: Some(expected),
                conditional: false,
                here: ("home", true),
                active: false,
                from: None,
                proxy: false,
                trust: (false, false),
            });
        }
    }
}

#[test]
fn the_decision_is_that_of_the_model() {
    let key = ObjectKey::new("pre/key").unwrap();
    let bucket = BucketName::new("papers").unwrap();
    let mut granted = 0;
    for row in Action::rows() {
        cases(row.name, |case| {
            let deed = deed(&case);
            let here = region(case.here.0, case.here.1, true);
            let via = match case.from {
                None => Via::Client,
                Some((holding, lawful, same, proof)) => {
                    let proof = match proof {
                        "whole" => Proof::Whole,
                        "head" => Proof::Head,
                        _ => Proof::Word,
                    };
                    Via::Region(region(holding, lawful, same), proof)
                }
            };
            let principal = identity(case.caller);
            let ask = Ask {
                principal: &principal,
                action: row.action,
                resource: resource(row.action, &bucket, &key),
                context: Context {
                    initiator: Some(None),
                    conditional: case.conditional,
                    expected_owner: case.expected.map(str::as_bytes),
                    ..Context::default()
                },
            };
            let facts = Facts {
                access: Some(&access::BucketAccess::default()),
                account_block: access::PublicAccessBlock::NONE,
                deed: Some(&deed).filter(|_| row.action.has_deed()),
                here: &here,
                via: &via,
            };
            let decided = authorize(&ask, &facts);
            granted += usize::from(decided.is_ok());
            let said = decided.as_ref().map(|_| ()).map_err(|r| word(*r));
            assert_eq!(said, model(&case), "{case:?}");
        });
    }
    assert!(granted > 1000, "{granted}");
}

#[test]
fn a_permit_covers_what_was_asked_for_and_no_more() {
    let (key, other) = (
        ObjectKey::new("pre/key").unwrap(),
        ObjectKey::new("pre/k").unwrap(),
    );
    let (bucket, another) = (
        BucketName::new("papers").unwrap(),
        BucketName::new("others").unwrap(),
    );
    let case = Case {
        action: "",
        caller: Some(("owner", CallerKind::Customer)),
        expected: None,
        conditional: false,
        here: ("home", true),
        active: false,
        from: None,
        proxy: false,
        trust: (false, false),
    };
    let (deed, here, via) = (deed(&case), region("home", true, true), Via::Client);
    let principal = identity(case.caller);
    let decide = |action: Action, resource| {
        let ask = Ask {
            principal: &principal,
            action,
            resource,
            context: Context::default(),
        };
        let facts = Facts {
            access: Some(&access::BucketAccess::default()),
            account_block: access::PublicAccessBlock::NONE,
            deed: Some(&deed).filter(|_| action.has_deed()),
            here: &here,
            via: &via,
        };
        authorize(&ask, &facts)
    };
    for row in Action::rows().iter().filter(|row| row.by == By::Callers) {
        let (name, action) = (row.name, row.action);
        let permit = decide(action, resource(action, &bucket, &key)).unwrap();
        let one = matches!(row.keys, Keys::One | Keys::Version);
        let named = if row.keys == Keys::Version {
            version()
        } else {
            None
        };
        assert_eq!(
            permit.covers(&key, named),
            one || row.keys == Keys::Under,
            "{name}"
        );
        assert!(!one || !permit.covers(&other, named), "{name}");
        if row.keys == Keys::Version {
            assert!(!permit.covers(&key, None), "{name}");
            assert!(!permit.covers(&key, Some(DisplayVersion::Null)), "{name}");
        }
        assert_eq!(
            permit.covers_under("pre/k"),
            row.keys == Keys::Under,
            "{name}"
        );
        assert!(
            !permit.covers_under("pre") && !permit.covers_under(""),
            "{name}"
        );
        assert_eq!(
            permit.covers_new(&bucket),
            row.kind == Kind::NewBucket,
            "{name}"
        );
        assert!(!permit.covers_new(&another), "{name}");
        // Another bucket than that of the deed, and what does not fit the action.
        if action.has_deed() {
            let refused = decide(action, resource(action, &another, &key));
            assert_eq!(refused.unwrap_err(), Refusal::Mismatch, "{name}");
            let refused = decide(action, Resource::Service);
            assert_eq!(refused.unwrap_err(), Refusal::Mismatch, "{name}");
            // Of the bucket alone it covers no key.
            let permit = decide(action, Resource::Bucket(&bucket)).unwrap();
            assert!(
                !permit.covers(&key, None) && !permit.covers_under("pre/"),
                "{name}"
            );
        }
        if !one {
            let object = Resource::Object {
                bucket: &bucket,
                key: &key,
                version: None,
            };
            assert_eq!(
                decide(action, object).unwrap_err(),
                Refusal::Mismatch,
                "{name}"
            );
        }
        if row.keys != Keys::Under {
            let keys = Resource::Keys {
                bucket: &bucket,
                prefix: "",
            };
            assert_eq!(
                decide(action, keys).unwrap_err(),
                Refusal::Mismatch,
                "{name}"
            );
        }
    }
    // The region's own work is on all keys.
    let all = authorize_system(SystemReason::Recovery, Action::PutObject, &deed);
    assert!(all.covers(&key, None) && all.covers(&other, version()) && all.covers_under(""));
}

#[test]
fn a_sealed_copy_is_opened_for_its_owners_reads_of_objects_only() {
    let key = ObjectKey::new("pre/key").unwrap();
    let bucket = BucketName::new("papers").unwrap();
    for row in Action::rows().iter().filter(|row| row.action.has_deed()) {
        for holding in ["home", "replica", "sealed", "nothing"] {
            let case = Case {
                action: row.name,
                caller: Some(("owner", CallerKind::Customer)),
                expected: None,
                conditional: false,
                here: (holding, true),
                active: false,
                from: None,
                proxy: false,
                trust: (false, false),
            };
            let (deed, here) = (deed(&case), region(holding, true, true));
            let opened = |principal: &Identity, here: &Place| {
                let ask = Ask {
                    principal,
                    action: row.action,
                    resource: resource(row.action, &bucket, &key),
                    context: Context::default(),
                };
                let facts = Facts {
                    access: Some(&access::BucketAccess::default()),
                    account_block: access::PublicAccessBlock::NONE,
                    deed: Some(&deed),
                    here,
                    via: &Via::Client,
                };
                authorize_opening(&ask, &facts).map(drop)
            };
            let reads = matches!(row.name, "GetObject" | "GetObjectVersion");
            let owner = opened(&identity(case.caller), &here);
            assert_eq!(
                owner.is_ok(),
                reads && holding == "sealed",
                "{} {holding}",
                row.name
            );
            let stranger = identity(Some(("stranger", CallerKind::Customer)));
            assert_eq!(opened(&stranger, &here), Err(Refusal::NotOwner));
            assert_eq!(opened(&Identity::Anonymous, &here), Err(Refusal::Anonymous));
            let unlawful = region(holding, false, true);
            assert!(opened(&identity(case.caller), &unlawful).is_err());
        }
    }
}
