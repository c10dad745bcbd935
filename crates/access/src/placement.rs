//! The one gate of residency: whether an action on a bucket may happen in a region, and whether a
//! bucket's bytes may go from one region to another. Both ends of every transfer ask it, each with
//! the deed that it knows itself, and what is not granted is refused.

use types::{BucketDeed, Forwarder, Holding, Place, RegionId, Writes};

use crate::{
    Action, Refusal,
    actions::{Sealed, Where},
    relation::is_owner,
};

/// How a request reached the region that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// At its own gateway.
    Client,
    /// Relayed by another region, and what proves that the caller asked for it.
    Region(Place, Proof),
}

/// How much of a request that another region relays its customer's signature proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Head and body: the signature was verified, and covers both.
    Whole,
    /// The head alone: the body is only the relaying region's statement.
    Head,
    /// Nothing, since nobody could be asked who has the key: all of it is only that region's
    /// statement.
    Word,
}

/// Whether `action` on a bucket may happen here.
pub(crate) fn admit(
    deed: &BucketDeed,
    action: Action,
    here: &Place,
    via: &Via,
) -> Result<(), Refusal> {
    // The deed answers it, which every region has: a client that sent its request to the wrong
    // region asks.
    if action.row().place == Where::Anywhere && *via == Via::Client {
        return Ok(());
    }
    let placement = &deed.placement;
    if !placement.admits(&here.jurisdiction) {
        return Err(Refusal::Residency);
    }
    match deed.holding(&here.region) {
        Holding::Home => {}
        Holding::Replica if !action.is_for_writers() => {}
        // Conditional writes and the configuration are decided at home in any mode.
        Holding::Replica if placement.writes == Writes::Any && action.is_taken_everywhere() => {}
        Holding::Replica => return Err(Refusal::NotHome),
        Holding::Sealed => return Err(Refusal::Sealed),
        Holding::Nothing => return Err(Refusal::Elsewhere),
    }
    match via {
        Via::Client => Ok(()),
        Via::Region(from, proof) => {
            pass(deed, from)?;
            match is_proof_enough(deed, here, from, *proof, action)
                || is_trusted(deed, here, from, action)
            {
                true => Ok(()),
                false => Err(Refusal::Unproven),
            }
        }
    }
}

/// Whether a signature that `from` relays is enough without the owner's trust in that region. It is
/// made with a key that `from` has as well, since it verifies its customers with it: whoever runs
/// that region could have made it. So it counts where the owner has given that region a readable
/// replica, and where the same operator runs both regions, and could do here what it likes anyway.
fn is_proof_enough(
    deed: &BucketDeed,
    here: &Place,
    from: &Place,
    proof: Proof,
    action: Action,
) -> bool {
    let covers = match proof {
        Proof::Whole => true,
        Proof::Head => !action.is_for_writers(),
        Proof::Word => false,
    };
    let chosen = readable(deed, &from.region).is_ok() || from.is_of_operator_of(here);
    covers && (chosen || types::planted("proofs-of-other-operators"))
}

/// Whether `here` may relay a request for `action` to `holder` with all of it proven: it need not
/// try what would be refused there.
pub fn may_relay(deed: &BucketDeed, here: &Place, holder: &Place, action: Action) -> bool {
    may_pass(deed, here, holder).is_ok()
        && (is_proof_enough(deed, holder, here, Proof::Whole, action)
            || is_trusted(deed, holder, here, action))
}

/// Whether the bucket's owner trusts the region `from` about what a customer asks of `here`, where
/// no signature proves it.
pub fn is_trusted(deed: &BucketDeed, here: &Place, from: &Place, action: Action) -> bool {
    let trust = &deed.placement.trust;
    let named = match action.is_for_writers() {
        true => &trust.writes,
        false => &trust.reads,
    };
    named.iter().any(|forwarder| match forwarder {
        Forwarder::Region(region) => *region == from.region,
        Forwarder::Operator => from.is_of_operator_of(here),
    })
}

/// Whether rules that `from` hands over may write into `destination`, whose home is `home`: where
/// that region could have a customer's write there relayed, or the same operator runs both.
pub fn may_hand_over_rules(destination: &BucketDeed, home: &Place, from: &Place) -> bool {
    let write = Action::PutObject;
    is_proof_enough(destination, home, from, Proof::Whole, write)
        || is_trusted(destination, home, from, write)
}

/// Whether the home of a bucket, which is `home`, takes documents that say who has access from the
/// region `from`: one of another operator could grant itself what it likes.
pub fn may_set_grants(home: &Place, from: &Place) -> bool {
    from.is_of_operator_of(home) || types::planted("grants-of-others")
}

/// Whether `from` may forward requests for the bucket, with proof of who asks: a region that holds
/// a readable replica may, since it sees the bytes anyway; others only where the owner said so. A
/// sealed replica's region never: it must not be able to ask for what it cannot read.
fn pass(deed: &BucketDeed, from: &Place) -> Result<(), Refusal> {
    if !deed.placement.admits(&from.jurisdiction) {
        return Err(Refusal::SenderResidency);
    }
    match deed.holding(&from.region) {
        Holding::Home | Holding::Replica => Ok(()),
        Holding::Nothing if deed.placement.proxy => Ok(()),
        Holding::Nothing => Err(Refusal::SenderElsewhere),
        Holding::Sealed => Err(Refusal::SenderSealed),
    }
}

/// Whether `here` may pass a request on to `holder`.
pub fn may_pass(deed: &BucketDeed, here: &Place, holder: &Place) -> Result<(), Refusal> {
    if !deed.placement.admits(&holder.jurisdiction) {
        return Err(Refusal::Residency);
    }
    match deed.holding(&holder.region) {
        Holding::Home | Holding::Replica => pass(deed, here),
        Holding::Sealed => Err(Refusal::Sealed),
        Holding::Nothing => Err(Refusal::Elsewhere),
    }
}

/// Whether the bucket's objects may go from `source` to `destination` for a replica. `source` must
/// hold a readable replica, `destination` must be a place of the deed, and the law of both must be
/// allowed. A sealed replica needs sealing, which this does not grant.
pub(crate) fn transfer(
    deed: &BucketDeed,
    source: &Place,
    destination: &Place,
) -> Result<(), Refusal> {
    for place in [source, destination] {
        if !deed.placement.admits(&place.jurisdiction) {
            return Err(Refusal::Residency);
        }
    }
    if source.region == destination.region {
        return Err(Refusal::Mismatch);
    }
    readable(deed, &source.region)?;
    readable(deed, &destination.region)
}

/// Whether the bucket's objects may go from `source`, sealed, to `destination`: from its home,
/// which holds the key, to a region that the deed names as one whose replica that key seals. The
/// law holds for sealed bytes as for any.
pub(crate) fn seal(deed: &BucketDeed, source: &Place, destination: &Place) -> Result<(), Refusal> {
    for place in [source, destination] {
        if !deed.placement.admits(&place.jurisdiction) {
            return Err(Refusal::Residency);
        }
    }
    if deed.holding(&source.region) != Holding::Home {
        return Err(Refusal::NotHome);
    }
    let replicas = &deed.placement.replicas;
    let found = replicas.iter().find(|r| r.region == destination.region);
    match found.map(|replica| &replica.sealed_by) {
        Some(Some(holder)) if *holder == source.region => Ok(()),
        Some(_) => Err(Refusal::Mismatch),
        None => Err(Refusal::Elsewhere),
    }
}

/// Whether a sealed replica here may be opened for `action`: objects are read, with a lease from
/// the home; nothing else is done with it.
pub(crate) fn open(deed: &BucketDeed, action: Action, here: &Place) -> Result<(), Refusal> {
    if !deed.placement.admits(&here.jurisdiction) {
        return Err(Refusal::Residency);
    }
    match (deed.holding(&here.region), action.row().sealed) {
        (Holding::Sealed, Sealed::Opened) => Ok(()),
        (Holding::Sealed, Sealed::Closed) => Err(Refusal::Sealed),
        _ => Err(Refusal::Mismatch),
    }
}

/// Whether the bucket's home, which is `here`, may report to `asker` how much there is of the
/// bucket, and the state of its replicas and rules; answers whether keys may be named too. Regions
/// that hold a readable replica may, as far as [`transfer`] goes. So may the region that keeps the
/// registry, for whoever administers the bucket: numbers, and no names of what is in it.
pub(crate) fn count(
    deed: &BucketDeed,
    here: &Place,
    asker: &Place,
    keeps_registry: bool,
) -> Result<bool, Refusal> {
    if deed.holding(&here.region) != Holding::Home {
        return Err(Refusal::NotHome);
    }
    if here.region == asker.region {
        return Ok(true);
    }
    match transfer(deed, here, asker) {
        Ok(()) => Ok(true),
        Err(_) if keeps_registry => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

/// Whether objects of the bucket `source` may be copied into `destination`.
pub fn may_copy(source: &BucketDeed, destination: &BucketDeed) -> Result<(), Refusal> {
    match source.id == destination.id || source.placement.covers(&destination.placement) {
        true => Ok(()),
        false => Err(Refusal::Residency),
    }
}

/// Whether a rule of the bucket `source` may name `destination`: both are of one account. Nobody
/// else may learn who owns a bucket of another account.
pub fn may_name(source: &BucketDeed, destination: &BucketDeed) -> Result<(), Refusal> {
    match is_owner(&source.owner, destination) {
        true => Ok(()),
        false => Err(Refusal::NotOwner),
    }
}

/// Whether versions of the bucket `source`, whose home is `from`, may go to the bucket
/// `destination`, whose home is `to`, by a rule. Both are of one account; the law of both homes is
/// allowed by both buckets; and where another operator runs the source's home, the destination's
/// deed names the source.
pub(crate) fn rule(
    source: &BucketDeed,
    destination: &BucketDeed,
    from: &Place,
    to: &Place,
) -> Result<(), Refusal> {
    may_name(source, destination)?;
    if source.id == destination.id {
        return Err(Refusal::Mismatch);
    }
    if source.home != from.region || destination.home != to.region {
        return Err(Refusal::NotHome);
    }
    for place in [from, to] {
        if !source.placement.admits(&place.jurisdiction) {
            return Err(Refusal::Residency);
        }
    }
    if !destination.placement.admits(&to.jurisdiction) {
        return Err(Refusal::Residency);
    }
    // Who runs the source's home can write its rules: the destination's owner has to agree, where
    // that operator does not reach by itself.
    if !from.is_of_operator_of(to) && !destination.placement.accepts.contains(&source.name) {
        return Err(Refusal::NotAccepted);
    }
    may_copy(source, destination)
}

fn readable(deed: &BucketDeed, region: &RegionId) -> Result<(), Refusal> {
    match deed.holding(region) {
        Holding::Home | Holding::Replica => Ok(()),
        Holding::Sealed => Err(Refusal::Sealed),
        Holding::Nothing => Err(Refusal::Elsewhere),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{AccountId, BucketId, BucketName, Jurisdiction, Placement, Replica, Timestamp};

    fn place(region: &str, country: &str) -> Place {
        Place {
            region: RegionId::new(region),
            jurisdiction: Jurisdiction::parse(country).unwrap(),
            operator: "own".into(),
        }
    }

    fn deed() -> BucketDeed {
        let replica = |region: &str, sealed_by: Option<&str>| Replica {
            region: RegionId::new(region),
            sealed_by: sealed_by.map(RegionId::new),
        };
        BucketDeed {
            id: BucketId(1),
            name: BucketName::new("papers").unwrap(),
            owner: AccountId::new("1"),
            home: RegionId::new("home"),
            created: Timestamp::default(),
            epoch: 1,
            placement: Placement {
                replicas: vec![replica("copy", None), replica("sealed", Some("home"))],
                jurisdictions: vec![Jurisdiction::parse("EU").unwrap()],
                ..Placement::default()
            },
        }
    }

    #[test]
    fn p8_what_the_placement_does_not_name_is_refused_at_both_ends() {
        let deed = deed();
        let (home, copy) = (place("home", "DE"), place("copy", "FR"));
        let cases = [
            (&home, &copy, Ok(())),
            (&copy, &home, Ok(())),
            (&home, &place("copy", "US"), Err(Refusal::Residency)),
            (&place("home", "US"), &copy, Err(Refusal::Residency)),
            (&home, &place("other", "IE"), Err(Refusal::Elsewhere)),
            (&place("other", "IE"), &copy, Err(Refusal::Elsewhere)),
            (&home, &place("sealed", "DE"), Err(Refusal::Sealed)),
            (&place("sealed", "DE"), &home, Err(Refusal::Sealed)),
            (&home, &home, Err(Refusal::Mismatch)),
        ];
        for (source, destination, expect) in cases {
            assert_eq!(
                transfer(&deed, source, destination),
                expect,
                "{source:?} {destination:?}"
            );
        }
    }

    #[test]
    fn documents_of_access_are_taken_from_regions_of_the_homes_operator() {
        let (home, copy) = (place("home", "DE"), place("copy", "FR"));
        assert!(may_set_grants(&home, &copy));
        let others = Place {
            operator: "other".into(),
            ..copy
        };
        assert!(!may_set_grants(&home, &others));
    }

    #[test]
    fn counts_are_for_holders_and_the_registrys_region() {
        let deed = deed();
        let home = place("home", "DE");
        let cases = [
            (&home, false, Ok(true)),
            (&place("copy", "FR"), false, Ok(true)),
            (&place("copy", "US"), false, Err(Refusal::Residency)),
            (&place("sealed", "DE"), false, Err(Refusal::Sealed)),
            (&place("other", "IE"), false, Err(Refusal::Elsewhere)),
            (&place("other", "IE"), true, Ok(false)),
            (&place("other", "US"), true, Ok(false)),
            (&place("copy", "FR"), true, Ok(true)),
        ];
        for (asker, keeps, expect) in cases {
            assert_eq!(count(&deed, &home, asker, keeps), expect, "{asker:?}");
        }
        // Only the home knows how the bucket is doing.
        let copy = place("copy", "FR");
        assert_eq!(count(&deed, &copy, &home, true), Err(Refusal::NotHome));
    }

    #[test]
    fn p1_only_the_home_seals_and_only_for_the_region_that_the_deed_names() {
        let mut deed = deed();
        let (home, copy) = (place("home", "DE"), place("copy", "FR"));
        let sealed = place("sealed", "DE");
        let cases = [
            (&home, &sealed, Ok(())),
            (&home, &copy, Err(Refusal::Mismatch)),
            (&copy, &sealed, Err(Refusal::NotHome)),
            (&sealed, &home, Err(Refusal::NotHome)),
            (&home, &place("other", "DE"), Err(Refusal::Elsewhere)),
            (&home, &place("sealed", "US"), Err(Refusal::Residency)),
            (&place("home", "US"), &sealed, Err(Refusal::Residency)),
        ];
        for (source, destination, expect) in cases {
            assert_eq!(seal(&deed, source, destination), expect, "{destination:?}");
        }
        deed.placement.replicas[1].sealed_by = Some(RegionId::new("copy"));
        assert_eq!(seal(&deed, &home, &sealed), Err(Refusal::Mismatch));
    }

    #[test]
    fn p2_a_sealed_copy_is_opened_for_reads_of_objects_only() {
        let deed = deed();
        let sealed = place("sealed", "DE");
        assert_eq!(open(&deed, Action::GetObject, &sealed), Ok(()));
        assert_eq!(open(&deed, Action::GetObjectVersion, &sealed), Ok(()));
        for action in [
            Action::PutObject,
            Action::DeleteObject,
            Action::ListBucket,
            Action::GetObjectTagging,
            Action::GetObjectAttributes,
            Action::PutBucketVersioning,
        ] {
            assert_eq!(open(&deed, action, &sealed), Err(Refusal::Sealed));
        }
        let get = Action::GetObject;
        assert_eq!(
            open(&deed, get, &place("copy", "FR")),
            Err(Refusal::Mismatch)
        );
        assert_eq!(
            open(&deed, get, &place("sealed", "US")),
            Err(Refusal::Residency)
        );
    }

    #[test]
    fn reads_pass_at_replicas_writes_at_home() {
        let mut deed = deed();
        let at = |deed: &BucketDeed, action, here: &Place| admit(deed, action, here, &Via::Client);
        let (home, copy) = (place("home", "DE"), place("copy", "FR"));
        assert_eq!(at(&deed, Action::PutObject, &home), Ok(()));
        assert_eq!(at(&deed, Action::GetObject, &copy), Ok(()));
        assert_eq!(at(&deed, Action::PutObject, &copy), Err(Refusal::NotHome));
        assert_eq!(
            at(&deed, Action::GetObject, &place("sealed", "DE")),
            Err(Refusal::Sealed)
        );
        assert_eq!(
            at(&deed, Action::GetObject, &place("other", "DE")),
            Err(Refusal::Elsewhere)
        );
        assert_eq!(
            at(&deed, Action::GetObject, &place("home", "US")),
            Err(Refusal::Residency)
        );
        deed.placement.writes = Writes::Any;
        assert_eq!(at(&deed, Action::PutObject, &copy), Ok(()));
        assert_eq!(
            at(&deed, Action::PutBucketVersioning, &copy),
            Err(Refusal::NotHome)
        );
    }

    #[test]
    fn p8_a_copy_goes_only_where_the_law_is_as_narrow() {
        let source = deed();
        let with = |countries: &[&str]| {
            let mut other = deed();
            other.id = BucketId(2);
            let all = countries.iter().map(|c| Jurisdiction::parse(c).unwrap());
            other.placement.jurisdictions = all.collect();
            other
        };
        assert_eq!(may_copy(&source, &source), Ok(()));
        assert_eq!(may_copy(&source, &with(&["EU"])), Ok(()));
        assert_eq!(may_copy(&source, &with(&["DE", "FR"])), Ok(()));
        for wider in [&["EEA"][..], &["DE", "US"], &[]] {
            assert_eq!(
                may_copy(&source, &with(wider)),
                Err(Refusal::Residency),
                "{wider:?}"
            );
        }
        assert_eq!(may_copy(&with(&[]), &source), Ok(()));
    }

    #[test]
    fn p8_rules_of_another_operator_need_the_owners_word() {
        let run_by = |region: &str, operator: &str| Place {
            operator: operator.into(),
            ..place(region, "DE")
        };
        let bucket = |id: u64, name: &str, home: &str| {
            let mut bucket = deed();
            bucket.id = BucketId(id);
            bucket.name = BucketName::new(name).unwrap();
            bucket.home = RegionId::new(home);
            bucket
        };
        let (source, mut target) = (bucket(1, "papers", "a"), bucket(2, "target", "b"));
        let a = run_by("a", "partner");
        let may = |target: &BucketDeed, b: &Place| rule(&source, target, &a, b);
        assert_eq!(may(&target, &run_by("b", "partner")), Ok(()));
        let refused = Err(Refusal::NotAccepted);
        assert_eq!(may(&target, &run_by("b", "own")), refused);
        // Who nobody has named is not the same as another whom nobody has named.
        let nameless = run_by("a", "");
        let to = run_by("b", "");
        assert_eq!(rule(&source, &target, &nameless, &to), refused);
        target.placement.accepts = vec![BucketName::new("other").unwrap()];
        assert_eq!(may(&target, &run_by("b", "own")), refused);
        target.placement.accepts.push(source.name.clone());
        assert_eq!(may(&target, &run_by("b", "own")), Ok(()));
        // The law and the owner are asked all the same.
        target.owner = AccountId::new("2");
        assert_eq!(may(&target, &run_by("b", "own")), Err(Refusal::NotOwner));
    }

    #[test]
    fn p5_only_those_who_see_the_bytes_anyway_pass_requests_on() {
        let mut deed = deed();
        let home = place("home", "DE");
        let through = |deed: &BucketDeed, from: Place| {
            let via = Via::Region(from, Proof::Whole);
            admit(deed, Action::PutObject, &home, &via)
        };
        assert_eq!(through(&deed, place("copy", "FR")), Ok(()));
        assert_eq!(
            through(&deed, place("copy", "US")),
            Err(Refusal::SenderResidency)
        );
        assert_eq!(
            through(&deed, place("sealed", "DE")),
            Err(Refusal::SenderSealed)
        );
        assert_eq!(
            through(&deed, place("other", "IE")),
            Err(Refusal::SenderElsewhere)
        );
        deed.placement.proxy = true;
        assert_eq!(through(&deed, place("other", "IE")), Ok(()));
        assert_eq!(
            through(&deed, place("other", "US")),
            Err(Refusal::SenderResidency)
        );
        assert_eq!(
            through(&deed, place("sealed", "DE")),
            Err(Refusal::SenderSealed)
        );
        assert_eq!(may_pass(&deed, &place("other", "IE"), &home), Ok(()));
    }

    #[test]
    fn p5_who_hands_over_rules_may_write_into_their_destinations() {
        let mut target = deed();
        let run_by = |region: &str, operator: &str| Place {
            operator: operator.into(),
            ..place(region, "DE")
        };
        let home = run_by("home", "own");
        for (from, may) in [
            (run_by("home", "own"), true),
            (run_by("other", "own"), true),
            (run_by("copy", "partner"), true),
            (run_by("sealed", "partner"), false),
            (run_by("other", "partner"), false),
            (run_by("other", ""), false),
        ] {
            assert_eq!(may_hand_over_rules(&target, &home, &from), may, "{from:?}");
        }
        let other = run_by("other", "partner");
        let trusted = Forwarder::Region(other.region.clone());
        target.placement.trust.reads = vec![trusted.clone()];
        assert!(!may_hand_over_rules(&target, &home, &other));
        target.placement.trust.writes = vec![trusted];
        assert!(may_hand_over_rules(&target, &home, &other));
    }

    #[test]
    fn p5_a_regions_word_counts_only_where_the_owner_says_so() {
        let mut deed = deed();
        let home = place("home", "DE");
        let through = |deed: &BucketDeed, action, proof| {
            admit(
                deed,
                action,
                &home,
                &Via::Region(place("copy", "FR"), proof),
            )
        };
        let (get, put) = (Action::GetObject, Action::PutObject);
        let unproven = Err(Refusal::Unproven);
        for (action, proof, expect) in [
            (get, Proof::Whole, Ok(())),
            (put, Proof::Whole, Ok(())),
            (get, Proof::Head, Ok(())),
            (put, Proof::Head, unproven),
            (get, Proof::Word, unproven),
            (put, Proof::Word, unproven),
        ] {
            assert_eq!(
                through(&deed, action, proof),
                expect,
                "{action:?} {proof:?}"
            );
        }
        deed.placement.trust.reads = vec![Forwarder::Region(RegionId::new("copy"))];
        assert_eq!(through(&deed, get, Proof::Word), Ok(()));
        assert_eq!(through(&deed, put, Proof::Head), unproven);
        deed.placement.trust.writes = vec![Forwarder::Operator];
        assert_eq!(through(&deed, put, Proof::Head), Ok(()));
        assert_eq!(through(&deed, put, Proof::Word), Ok(()));
        // A replica's region needs no more than the signature, whoever runs it. Of regions that
        // hold nothing those of another operator do, or whose operator nobody knows: they have the
        // key with which their customers sign.
        deed.placement.proxy = true;
        for operator in ["other", ""] {
            let run = |region: &str| Place {
                operator: operator.into(),
                ..place(region, "FR")
            };
            let through = |deed: &BucketDeed, region: &str, proof| {
                admit(deed, put, &home, &Via::Region(run(region), proof))
            };
            assert_eq!(through(&deed, "copy", Proof::Whole), Ok(()));
            assert!(may_relay(&deed, &run("copy"), &home, put));
            assert_eq!(through(&deed, "copy", Proof::Head), unproven);
            assert_eq!(through(&deed, "away", Proof::Whole), unproven);
            assert!(!may_relay(&deed, &run("away"), &home, put));
            let named = vec![Forwarder::Region(RegionId::new("away"))];
            let before = std::mem::replace(&mut deed.placement.trust.writes, named);
            assert_eq!(through(&deed, "away", Proof::Whole), Ok(()));
            assert!(may_relay(&deed, &run("away"), &home, put));
            deed.placement.trust.writes = before;
        }
        let own = Via::Region(place("away", "FR"), Proof::Whole);
        assert_eq!(admit(&deed, put, &home, &own), Ok(()));
        deed.placement.proxy = false;
        // Trust opens nothing that the placement does not.
        deed.placement.trust.writes = vec![Forwarder::Region(RegionId::new("other"))];
        let via = Via::Region(place("other", "IE"), Proof::Word);
        assert_eq!(
            admit(&deed, put, &home, &via),
            Err(Refusal::SenderElsewhere)
        );
    }
}
