//! The names of actions in documents. A document may name each action that S3 has, also one that
//! Dhow has no operation for, and actions of other services.

use std::sync::LazyLock;

use super::text::{Chars, NoVariables, STAR, glob, wild};
use crate::{
    Action,
    actions::{By, Kind},
};

/// Actions of S3 on objects that are not in the table of actions.
const ON_OBJECTS: &[&str] = &[
    "BypassGovernanceRetention",
    "DeleteObjectAnnotation",
    "DeleteObjectVersionAnnotation",
    "GetObjectAnnotation",
    "GetObjectTorrent",
    "GetObjectVersionAnnotation",
    "GetObjectVersionAnnotationForReplication",
    "GetObjectVersionForReplication",
    "GetObjectVersionTorrent",
    "InitiateReplication",
    "ListObjectAnnotations",
    "ListObjectVersionAnnotations",
    "ObjectOwnerOverrideToBucketOwner",
    "PutObjectAnnotation",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectVersionAnnotation",
    "ReplicateDelete",
    "ReplicateObject",
    "ReplicateObjectAnnotation",
    "ReplicateTags",
    "RestoreObject",
    "UpdateObjectEncryption",
];
/// The same on buckets.
const ON_BUCKETS: &[&str] = &[
    "AllowVendedLogDeliveryForResource",
    "CreateBucketMetadataTableConfiguration",
    "DeleteBucketMetadataTableConfiguration",
    "GetBucketMetadataTableConfiguration",
    "ListTagsForResource",
    "PauseReplication",
    "PutBucketObjectLockConfiguration",
    "PutBucketPolicy",
    "PutBucketWebsite",
    "TagResource",
    "UntagResource",
    "UpdateBucketMetadataAnnotationTableConfiguration",
    "UpdateBucketMetadataInventoryTableConfiguration",
    "UpdateBucketMetadataJournalTableConfiguration",
];
/// The same on what is neither, or on the service as a whole.
const ON_OTHERS: &[&str] = &[
    "AssociateAccessGrantsIdentityCenter",
    "CreateAccessGrant",
    "CreateAccessGrantsInstance",
    "CreateAccessGrantsLocation",
    "CreateAccessPoint",
    "CreateAccessPointForObjectLambda",
    "CreateJob",
    "CreateMultiRegionAccessPoint",
    "CreateStorageLensGroup",
    "DeleteAccessGrant",
    "DeleteAccessGrantsInstance",
    "DeleteAccessGrantsInstanceResourcePolicy",
    "DeleteAccessGrantsLocation",
    "DeleteAccessPoint",
    "DeleteAccessPointForObjectLambda",
    "DeleteAccessPointPolicy",
    "DeleteAccessPointPolicyForObjectLambda",
    "DeleteJobTagging",
    "DeleteMultiRegionAccessPoint",
    "DeleteStorageLensConfiguration",
    "DeleteStorageLensConfigurationTagging",
    "DeleteStorageLensGroup",
    "DescribeJob",
    "DescribeMultiRegionAccessPointOperation",
    "DissociateAccessGrantsIdentityCenter",
    "GetAccessGrant",
    "GetAccessGrantsInstance",
    "GetAccessGrantsInstanceForPrefix",
    "GetAccessGrantsInstanceResourcePolicy",
    "GetAccessGrantsLocation",
    "GetAccessPoint",
    "GetAccessPointConfigurationForObjectLambda",
    "GetAccessPointForObjectLambda",
    "GetAccessPointPolicy",
    "GetAccessPointPolicyForObjectLambda",
    "GetAccessPointPolicyStatus",
    "GetAccessPointPolicyStatusForObjectLambda",
    "GetAccountPublicAccessBlock",
    "GetDataAccess",
    "GetJobTagging",
    "GetMultiRegionAccessPoint",
    "GetMultiRegionAccessPointPolicy",
    "GetMultiRegionAccessPointPolicyStatus",
    "GetMultiRegionAccessPointRoutes",
    "GetStorageLensConfiguration",
    "GetStorageLensConfigurationTagging",
    "GetStorageLensDashboard",
    "GetStorageLensGroup",
    "ListAccessGrants",
    "ListAccessGrantsInstances",
    "ListAccessGrantsLocations",
    "ListAccessPoints",
    "ListAccessPointsForObjectLambda",
    "ListCallerAccessGrants",
    "ListJobs",
    "ListMultiRegionAccessPoints",
    "ListStorageLensConfigurations",
    "ListStorageLensGroups",
    "PutAccessGrantsInstanceResourcePolicy",
    "PutAccessPointConfigurationForObjectLambda",
    "PutAccessPointPolicy",
    "PutAccessPointPolicyForObjectLambda",
    "PutAccessPointPublicAccessBlock",
    "PutAccountPublicAccessBlock",
    "PutJobTagging",
    "PutMultiRegionAccessPointPolicy",
    "PutStorageLensConfiguration",
    "PutStorageLensConfigurationTagging",
    "SubmitMultiRegionAccessPointRoutes",
    "UpdateAccessGrantsLocation",
    "UpdateJobPriority",
    "UpdateJobStatus",
    "UpdateStorageLensGroup",
];

/// How many bits a set of actions has.
const BITS: usize = 256;

/// An action that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionName<'a> {
    /// One of S3 that Dhow has.
    S3(Action),
    /// Any other, with its service, such as `iam:CreateUser`.
    Named(&'a str),
}

impl std::fmt::Display for ActionName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::S3(action) => f.write_str(&action.name()),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl From<Action> for ActionName<'_> {
    fn from(action: Action) -> Self {
        Self::S3(action)
    }
}

impl<'a> ActionName<'a> {
    /// Of a name with its service, in any case.
    pub fn parse(name: &'a str) -> Self {
        let own = s3_part(name).and_then(|part| {
            let mut rows = Action::rows().iter().filter(|row| row.by == By::Callers);
            rows.find(|row| row.name.eq_ignore_ascii_case(part))
        });
        own.map_or(Self::Named(name), |row| Self::S3(row.action))
    }

    /// Its number among the actions of S3. What only regions do has none: no document is about
    /// it.
    pub(super) fn number(&self) -> Option<usize> {
        match self {
            Self::S3(action) => (action.row().by == By::Callers).then_some(*action as usize),
            Self::Named(name) => {
                let part = s3_part(name)?;
                names().find_map(|(n, own, _)| own.eq_ignore_ascii_case(part).then_some(n))
            }
        }
    }
}

/// The name without the service, of an action of S3.
fn s3_part(name: &str) -> Option<&str> {
    let (service, part) = name.split_once(':')?;
    service.eq_ignore_ascii_case("s3").then_some(part)
}

/// The actions of S3 that documents may name: number, name, and what each is on.
fn names() -> impl Iterator<Item = (usize, &'static str, Kind)> {
    let rows = Action::rows();
    let own = rows.iter().filter(|row| row.by == By::Callers);
    let own = own.map(|row| (row.action as usize, row.name, row.kind));
    let others = [
        (ON_OBJECTS, Kind::Object),
        (ON_BUCKETS, Kind::Bucket),
        (ON_OTHERS, Kind::Service),
    ];
    let others = others
        .into_iter()
        .flat_map(|(names, kind)| names.iter().map(move |name| (*name, kind)));
    let others = others.enumerate();
    own.chain(others.map(|(n, (name, kind))| (rows.len() + n, name, kind)))
}

/// The name of an action by its number.
pub(super) fn name_of(number: usize) -> &'static str {
    let mut all = names();
    all.find_map(|(n, name, _)| (n == number).then_some(name))
        .unwrap_or_default()
}

/// A set of actions of S3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ActionSet([u64; BITS / 64]);

impl ActionSet {
    pub fn insert(&mut self, number: usize) {
        self.0[number / 64 % (BITS / 64)] |= 1 << (number % 64);
    }

    pub fn contains(&self, number: usize) -> bool {
        self.0[number / 64 % (BITS / 64)] >> (number % 64) & 1 == 1
    }
}

/// The names in lower case, in order: a document names few of them, and thousands of documents are
/// compiled at a start.
static LOWER: LazyLock<Vec<(usize, String, Kind)>> = LazyLock::new(|| {
    let lower = |(n, name, kind): (usize, &str, Kind)| (n, name.to_ascii_lowercase(), kind);
    let mut all: Vec<_> = names().map(lower).collect();
    all.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
    all
});

/// The actions of S3 whose names a pattern matches, such as `Get*`, ignoring case.
pub(super) fn matching(pattern: &str) -> impl Iterator<Item = (usize, Kind)> {
    let pattern = pattern.to_ascii_lowercase();
    let literal = pattern.find(['*', '?']).unwrap_or(pattern.len());
    let (head, rest) = pattern.split_at(literal);
    let (head, rest) = (head.to_owned(), wild(rest.as_bytes()));
    let first = LOWER.partition_point(|(_, name, _)| **name < *head);
    let from_there = LOWER.iter().skip(first);
    let own = from_there.map_while(move |(n, name, kind)| {
        let own = name.strip_prefix(&*head)?;
        let fits = rest == [STAR] || glob(&rest, &NoVariables::new(), &Chars::of(own), 0);
        Some(fits.then_some((*n, *kind)))
    });
    own.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_a_number_of_its_own() {
        let mut seen = ActionSet::default();
        for (n, name, _) in names() {
            assert!(n < BITS && !seen.contains(n), "{name}");
            seen.insert(n);
            let full = format!("S3:{}", name.to_uppercase());
            // A name that came into the table of actions later counts there.
            let number = ActionName::parse(&full).number();
            assert!(number.is_some_and(|number| number <= n), "{name}");
        }
    }

    #[test]
    fn a_pattern_finds_all_that_it_matches_wherever_they_are_in_order() {
        for pattern in [
            "",
            "*",
            "get*",
            "GetObject",
            "zzz",
            "a*",
            "u*",
            "*Object",
            "?etObject*",
        ] {
            let lower = pattern.to_ascii_lowercase();
            let pattern_wild = wild(lower.as_bytes());
            let fits = |name: &str| {
                let name = name.to_ascii_lowercase();
                glob(&pattern_wild, &NoVariables::new(), &Chars::of(&name), 0)
            };
            let wanted = names().filter(|(_, name, _)| fits(name)).map(|(n, ..)| n);
            let mut found: Vec<usize> = matching(pattern).map(|(n, _)| n).collect();
            found.sort_unstable();
            assert_eq!(found, wanted.collect::<Vec<_>>(), "{pattern}");
        }
    }

    #[test]
    fn what_only_regions_do_is_in_no_document() {
        assert_eq!(ActionName::S3(Action::ReplicateFrom).number(), None);
        assert_eq!(ActionName::parse("s3:CountVersions").number(), None);
        assert_eq!(matching("Replicate*").count(), 4);
    }
}
