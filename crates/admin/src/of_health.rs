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

/// What a region says of itself.
pub const LOAD: &[Field] = &[
    must(
        "requests_per_minute",
        Count,
        "Answered requests of known callers.",
    ),
    must("replicas", Count, "Buckets of which it keeps a replica."),
    must(
        "behind_s",
        OrNull(&Count),
        "For how many seconds one of these may lack something; null if one has not caught up yet.",
    ),
    must("at", Text, "When it said so. ISO 8601."),
];
/// Who sees it.
pub const LOAD_IS: &str = "What it said of itself; null where that is not known. It says it to the \
                           registry's region and to those of its operator, whose people see it.";

/// How far it follows the registry.
pub const FOLLOWS_IS: &str = "How many entries of the audit log it has, as its questions say; null \
                              if it has asked none of the region that answers.";

/// What `GET held` answers of each bucket.
pub const HELD: &[Field] = &[
    must(
        "number",
        Count,
        "The bucket's own number; 64 bits: where numbers have fewer, use `number_text`.",
    ),
    must("number_text", Text, "The same number as a text."),
    may("name", Text, "Not of a sealed replica."),
    must("holds", Text, "As what it is held."),
    must("home", Text, "The region of its home."),
    must("lag_ms", OrNull(&Count), "Of a replica: how far behind."),
    must("versions", OrNull(&Count), "As last counted."),
    must("bytes", OrNull(&Count), "As last counted."),
];
