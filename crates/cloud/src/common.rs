//! Managed policies that every account finds, with the names and ARNs that AWS gives them:
//! `arn:aws:iam::aws:policy/NAME`. They are part of the program and have no rows. Nobody changes
//! them.
//!
//! A document has the statements that AWS publishes, as far as their services are here. Regions get
//! the texts with the users and roles that have them, as of every other managed policy, so a region
//! of an earlier release decides by them too. A registry that does not know a policy's id finds no
//! text for it, and denies all.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::kinds::{
    FORMAT,
    managed::{ManagedRecord, VersionRecord},
};

/// What such ARNs have in place of an account's id. Ids of accounts have 12 digits.
pub(crate) const OF_ALL: &str = "aws";
/// When these policies were written: 30 November 2026.
const MADE_MS: u64 = 1_795_996_800_000;

/// Unique id (AWS's own), name, what it is for, and the statement.
const ALL: [[&str; 4]; 6] = [
    [
        "ANPAIWMBCKSKIEE64ZLYK",
        "AdministratorAccess",
        "All that an account may do.",
        r#""Action": "*""#,
    ],
    [
        "ANPAIFIR6V6BVTRAHWINE",
        "AmazonS3FullAccess",
        "All buckets of the account and all that is in them.",
        r#""Action": ["s3:*", "s3-object-lambda:*"]"#,
    ],
    [
        "ANPAIZTJ4DXE7G6AGAE6M",
        "AmazonS3ReadOnlyAccess",
        "Read all buckets of the account and all that is in them.",
        r#""Action": [
        "s3:Get*",
        "s3:List*",
        "s3:Describe*",
        "s3-object-lambda:Get*",
        "s3-object-lambda:List*"
      ]"#,
    ],
    [
        "ANPAI7XKCFMBPM3QQRRVQ",
        "IAMFullAccess",
        "All users, groups, roles, policies and identity providers of the account.",
        r#""Action": "iam:*""#,
    ],
    [
        "ANPAJKSO7NDY4T57MWDSQ",
        "IAMReadOnlyAccess",
        "See users, groups, roles, policies and identity providers of the account.",
        r#""Action": [
        "iam:GenerateCredentialReport",
        "iam:GenerateServiceLastAccessedDetails",
        "iam:Get*",
        "iam:List*",
        "iam:SimulateCustomPolicy",
        "iam:SimulatePrincipalPolicy"
      ]"#,
    ],
    [
        "ANPAILL3HVNFSB6DCOWYQ",
        "ReadOnlyAccess",
        "See and read all that the account has.",
        r#""Action": [
        "iam:Generate*",
        "iam:Get*",
        "iam:List*",
        "iam:Simulate*",
        "s3:DescribeJob",
        "s3:Get*",
        "s3:List*",
        "sts:GetCallerIdentity",
        "sts:GetSessionToken"
      ]"#,
    ],
];

static RECORDS: LazyLock<BTreeMap<&str, ManagedRecord>> = LazyLock::new(|| {
    let records = ALL.map(|[id, name, description, action]| {
        let text = format!(
            r#"{{
  "Version": "2012-10-17",
  "Statement": [
    {{
      "Effect": "Allow",
      {action},
      "Resource": "*"
    }}
  ]
}}"#
        );
        let version = VersionRecord {
            text,
            created_ms: MADE_MS,
        };
        let record = ManagedRecord {
            v: FORMAT,
            id: id.to_owned(),
            account: OF_ALL.to_owned(),
            name: name.to_owned(),
            path: "/".to_owned(),
            description: description.to_owned(),
            created_ms: MADE_MS,
            updated_ms: MADE_MS,
            salt: String::new(),
            versions: BTreeMap::from([(1, version)]),
            default: 1,
            last: 1,
            tags: BTreeMap::new(),
        };
        (id, record)
    });
    records.into_iter().collect()
});

/// The one of this unique id.
pub(crate) fn by_id(id: &str) -> Option<&'static ManagedRecord> {
    RECORDS.get(id)
}

/// The one of this ARN.
pub(crate) fn by_arn(arn: &str) -> Option<&'static ManagedRecord> {
    all().find(|record| record.arn() == arn)
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static ManagedRecord> {
    RECORDS.values()
}

#[cfg(test)]
mod tests {
    use access::policy::{Document, DocumentKind};

    use super::*;

    #[test]
    fn each_can_be_compiled_and_has_an_id_of_its_own() {
        assert_eq!(RECORDS.len(), ALL.len());
        for record in all() {
            for kind in [DocumentKind::Identity, DocumentKind::Boundary] {
                let read = Document::parse(record.text(), kind);
                assert!(read.is_ok(), "{}: {:?}", record.name, read.err());
            }
            assert_eq!(by_arn(&record.arn()), Some(record));
            assert_eq!(by_id(&record.id), Some(record));
        }
    }
}
