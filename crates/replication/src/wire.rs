//! What regions ask each other about a bucket, and the limits of it.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};
use types::{BucketDeed, ObjectKey, RegionId, VersionId};

use crate::ReplicationError;

/// The header of an answer that says which start of the region answers; 0 where nobody needs to
/// distinguish them.
pub(crate) const INSTANCE: &str = "dhow-instance";
/// The header of an answer to a replica that says where the log of the region that answers ended
/// then, or a position after that.
pub(crate) const END: &str = "dhow-log-end";
/// Where questions go.
pub const PATH: &str = "/dhow/v1/replication";

/// The longest that a question for changes is held.
pub const WAIT_MAX: Duration = Duration::from_secs(20);
/// Changes or versions in one answer.
pub const PAGE_MAX: usize = 512;
/// Bytes of small objects in one answer, about.
pub const PAGE_BYTES: usize = 4 << 20;
/// What is taken of the asking region's room while a page is made: its versions in memory, the same
/// sealed, and the bytes that travel. Entries of one commit stay together, and one version may have
/// ten thousand parts.
pub const PAGE_ROOM: usize = 16 << 20;
/// The same for a single version, or what is counted.
pub const COUNT_ROOM: usize = 4 << 20;
/// The longest answer that is not a body: a page is a good deal shorter.
pub const ANSWER_BYTES_MAX: usize = 24 << 20;
/// The longest question.
pub const ASK_BYTES_MAX: usize = 4 << 20;
/// How long a region whose replica is sealed may use what a lease gave it.
pub const LEASE_MAX: Duration = Duration::from_secs(60);
/// Versions in one question for those that are lacking.
pub const LACKING_MAX: usize = 500;

/// Names of versions, as many as a question may have: an empty name takes twenty times as much
/// memory as it takes in the question.
fn few<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Few;
    impl<'de> de::Visitor<'de> for Few {
        type Value = Vec<(String, String)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {LACKING_MAX} versions")
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut names = Vec::new();
            while let Some(name) = from.next_element()? {
                if names.len() == LACKING_MAX {
                    return Err(de::Error::custom(format!(
                        "more than {LACKING_MAX} versions"
                    )));
                }
                names.push(name);
            }
            Ok(names)
        }
    }
    from.deserialize_seq(Few)
}

/// A question about a bucket. What a later release asks in addition is left out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ask {
    /// The bucket's name.
    pub bucket: String,
    /// Its number.
    pub id: u64,
    /// The epoch of the deed that the asker knows: another one is refused.
    pub epoch: u64,
    /// Which of the replicas that the asker was to keep it means, as the deed that it knows says;
    /// in [`What::Followed`], which of those that the region that is asked was to keep.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub since: u64,
    /// Which start of the asker's region asks: random, and another one after each start. 0 where
    /// it does not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub instance: u64,
    /// The start of the region that is asked to which the asker has handed over all that it has; 0
    /// for none. Whoever does not follow the bucket does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed: Option<u64>,
    /// What the asker has read of the region that is asked is from before this position of its
    /// log; 0 where that is no more than it has applied.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reach: u64,
    /// What about it.
    pub what: What,
}

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Where the log ends, and the configuration.
    Head,
    /// Changes behind a position; says as well that the asker has applied all up to there.
    Changes {
        /// The position.
        after: u64,
        /// How long to wait when there are none, in milliseconds.
        wait_ms: u64,
        /// All is applied up to here only: what came later has versions that are set aside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applied: Option<u64>,
    },
    /// What was removed, by the log behind a position.
    Removals {
        /// The position; one before the log's beginning is that.
        after: u64,
    },
    /// Asked by a replica: the home is to ask what is known there to be removed.
    Hear {
        /// Behind this position of the replica's log.
        after: u64,
    },
    /// Asked by the home: what clients changed at this replica, behind a position. Says as well
    /// that the home has applied all up to there, and where its own log was when it noted that.
    Own {
        /// The position in the replica's log.
        after: u64,
        /// How long to wait when there is nothing, in milliseconds.
        wait_ms: u64,
        /// The position in the home's log; 0 when this is not about the present epoch.
        noted: u64,
        /// What was changed under earlier epochs, instead of under the present one.
        former: bool,
        /// All is applied up to here only: what came later has versions that are set aside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        applied: Option<u64>,
    },
    /// Asked by the home: what clients removed at this replica, as far as the replica keeps that.
    Gone {
        /// The row where to go on, in hex; empty at first.
        from: String,
    },
    /// Asked by a replica: the home is to read what clients changed there under earlier epochs.
    Gather {
        /// Behind this position of the replica's log.
        after: u64,
    },
    /// Versions from a row on.
    Snapshot {
        /// The row, in hex.
        from: String,
    },
    /// The bytes of a version.
    Body {
        /// Of which key.
        key: String,
        /// Which, in hex.
        version: String,
        /// From here on.
        offset: u64,
    },
    /// Which of these versions are not there.
    Lacking {
        /// Keys and versions in hex.
        #[serde(deserialize_with = "few")]
        versions: Vec<(String, String)>,
    },
    /// The asker has versions that are not there: fetch them. Without any, it has a configuration
    /// of which something was set later: fetch that.
    Offer {
        /// Keys and versions in hex.
        #[serde(deserialize_with = "few")]
        versions: Vec<(String, String)>,
    },
    /// The state of the replicas; keys that lag only for those who may see them.
    #[serde(rename = "copies")]
    Replicas,
    /// How much there is.
    Usage,
    /// How many uploads are in progress.
    Uploads,
    /// How its replication rules are doing.
    Rules,
    /// A lease, of a region whose replica is sealed: which version of a key counts now.
    Lease {
        /// The key.
        key: String,
        /// The version that a client names; the current one when `None`.
        version: Option<String>,
    },
    /// A lease's key: unwrap it.
    Unwrap {
        /// Of which object.
        key: String,
        /// Of which version, in hex.
        version: String,
        /// The wrapped key, in hex.
        wrapped: String,
        /// For whom the answer is encrypted: the public half of this question's own key, in hex.
        asker: String,
    },
    /// By a replication rule of another bucket, asked by the home of that: fetch these versions of
    /// it. Without any, whether they would be taken.
    TakeByRule {
        /// The bucket that has the rule.
        source: String,
        /// Its number.
        id: u64,
        /// The epoch of its deed.
        epoch: u64,
        /// Keys and versions in hex.
        #[serde(deserialize_with = "few")]
        versions: Vec<(String, String)>,
    },
    /// Versions that a rule sends to another bucket, asked by the home of that.
    ByRule {
        /// The other bucket.
        to: String,
        /// Keys and versions in hex.
        #[serde(deserialize_with = "few")]
        versions: Vec<(String, String)>,
    },
    /// The bytes of such a version.
    BodyByRule {
        /// The other bucket.
        to: String,
        /// Of which key.
        key: String,
        /// Which, in hex.
        version: String,
        /// From here on.
        offset: u64,
    },
    /// Asked under a newer epoch by the home that it names, or by the registry's region, which is
    /// about to put it on record: take no writes any more under an earlier one.
    Yield,
    /// How the home is renewed.
    Renewal,
    /// Whether the replica that is asked has taken all of the home's snapshot.
    Followed,
    /// One version without its bytes.
    Version {
        /// Of which key.
        key: String,
        /// Which, in hex.
        version: String,
    },
}

impl What {
    /// Up to where the asker has applied all, if that is not all that it has read.
    pub(crate) fn applied(&self) -> Option<u64> {
        match self {
            Self::Changes { applied, .. } | Self::Own { applied, .. } => *applied,
            _ => None,
        }
    }
}

impl Ask {
    /// About a bucket as this region knows it.
    pub fn about(deed: &BucketDeed, what: What) -> Self {
        Self {
            bucket: deed.name.to_string(),
            id: deed.id.0,
            epoch: deed.epoch,
            since: 0,
            instance: 0,
            handed: None,
            reach: 0,
            what,
        }
    }

    /// The same, asked by this start of region `here`.
    #[must_use]
    pub fn by(self, deed: &BucketDeed, here: &RegionId, instance: u64) -> Self {
        Self {
            since: deed.placement.copy_since(here),
            instance,
            ..self
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A region takes no writes any more under an epoch before that of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yielded {
    /// The epoch of the deed that it knows.
    pub epoch: u64,
    /// Whether it was the home by that deed.
    pub was_home: bool,
    /// Where its log ended after that; 0 for whom the log is not meant for.
    pub position: u64,
}

/// How far the home has read what a replica has of earlier epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathered {
    /// Up to here in the replica's log.
    pub position: u64,
    /// There is no more.
    pub done: bool,
}

/// What came of versions that a rule sends; of those that are not named the work goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenByRule {
    /// None can be taken, for this reason.
    pub refused: Option<String>,
    /// They are there, or are not to come any more.
    pub done: Vec<(String, String)>,
    /// They cannot be had or are not what they should be; each with the reason.
    pub failed: Vec<((String, String), String)>,
}

/// What happens to versions that were offered and will not be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// They had come, and were removed since: they go at the offering region too.
    pub removed: Vec<(String, String)>,
    /// A newer null version has their place.
    pub superseded: Vec<(String, String)>,
    /// Whether the configuration was compared, where that was asked for; `None` of a release that
    /// does not do so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<bool>,
}

/// The version of a key that counts at the home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseAnswer {
    /// This one.
    #[serde(rename = "current")]
    Current {
        /// What replaces the key where the replica is sealed.
        token: String,
        /// The version's own id, in hex.
        version: String,
        /// SHA-256 of its head, in hex.
        head: String,
    },
    /// The key has no current version.
    #[serde(rename = "no_key")]
    NoKey,
    /// The version that was named is not there.
    #[serde(rename = "no_version")]
    NoVersion,
}

/// An unwrapped key and for how long it may be used.
#[derive(Serialize, Deserialize)]
pub struct UnwrapAnswer {
    /// Encrypted for the asker, in hex.
    pub key: String,
    /// Milliseconds from the answer on.
    pub lasts_ms: u64,
}

/// How much a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Versions and delete markers.
    pub versions: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// How many uploads of a bucket are in progress at its home.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploads {
    /// Neither completed nor aborted.
    pub uploads: u64,
    /// Their parts.
    pub parts: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// There are more: no further ones were counted.
    pub more: bool,
}

/// A version's name as it travels.
pub fn name(key: &ObjectKey, version: VersionId) -> (String, String) {
    (key.to_string(), version.to_string())
}

/// Reads such a name.
pub fn read_name(name: &(String, String)) -> Result<(ObjectKey, VersionId), ReplicationError> {
    let malformed = |what: &str| ReplicationError::Malformed(what.to_owned());
    let key = ObjectKey::new(&name.0).map_err(|e| malformed(&e.to_string()))?;
    let version = VersionId::parse(&name.1).ok_or_else(|| malformed("a version's name"))?;
    Ok((key, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_release_asks_in_addition_is_left_out() {
        let asked = r#"{"bucket":"b","id":1,"epoch":2,"later":"more","what":"head"}"#;
        let ask: Ask = serde_json::from_str(asked).unwrap();
        assert_eq!((ask.bucket.as_str(), ask.id, ask.epoch), ("b", 1, 2));
    }

    #[test]
    fn a_release_that_compares_no_configuration_is_told_from_one_that_has_not_yet() {
        let answers = [
            (r#"{"removed":[],"superseded":[]}"#, None),
            (
                r#"{"removed":[],"superseded":[],"configuration":false}"#,
                Some(false),
            ),
        ];
        for (answer, configuration) in answers {
            let settled: Settled = serde_json::from_str(answer).unwrap();
            assert_eq!(settled.configuration, configuration);
        }
        // Of versions the answer is what that release reads.
        let settled = serde_json::to_string(&Settled::default()).unwrap();
        assert_eq!(settled, r#"{"removed":[],"superseded":[]}"#);
    }
}
