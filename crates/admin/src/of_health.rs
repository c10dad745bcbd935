//! What is answered of how a region is doing.

use crate::field::{
    Field,
    Kind::{Count, Fields, Flag, List, OrNull, Text, Word},
    may, must,
};

/// What `GET health` answers.
pub const HEALTH: &[Field] = &[
    must("region", Text, "The region that answers."),
    must("ok", Flag, "Whether nothing must be corrected."),
    must("findings", List(&Fields(FINDING)), "As `dhow doctor`."),
    must("disk", OrNull(&Fields(DISK)), "Where the data is."),
    must(
        "stored",
        List(&Fields(STORED)),
        "Empty before the first count.",
    ),
    must("counted", OrNull(&Text), "When that was."),
];

const FINDING: &[Field] = &[
    must("check", Text, "What was looked at."),
    must("level", Word(&["ok", "warn", "fail"]), ""),
    must("found", Text, ""),
    must("do", OrNull(&Text), "What to do about it."),
];

const DISK: &[Field] = &[
    must("size_bytes", Count, ""),
    must("free_bytes", Count, "With the reserve."),
];

const STORED: &[Field] = &[
    must("holds", Word(&["home", "replica", "sealed"]), "As what."),
    must("buckets", Count, ""),
    must("objects", Count, ""),
    must("versions", Count, ""),
    must("bytes", Count, ""),
];

/// What `GET held` answers of each bucket.
pub const HELD: &[Field] = &[
    must("number", Count, "The bucket's own number."),
    may("name", Text, "Not of a sealed replica."),
    must("holds", Text, "As what it is held."),
    must("home", Text, "The region of its home."),
    must("lag_ms", OrNull(&Count), "Of a replica: how far behind."),
    must("versions", OrNull(&Count), "As last counted."),
    must("bytes", OrNull(&Count), "As last counted."),
];
