//! What is answered of a bucket's replicas.

use crate::field::{
    Field,
    Kind::{Count, Flag, List, OrNull, Text},
    must,
};

/// How one replica is doing.
pub const REPLICA_STATUS: &[Field] = &[
    must("region", Text, ""),
    must(
        "applied",
        OrNull(&Count),
        "All up to this position of the home's log is there.",
    ),
    must(
        "seeded",
        OrNull(&Count),
        "Versions that it was given of the snapshot that it takes.",
    ),
    must(
        "connected",
        Flag,
        "Whether it asked within the last minute, and its region answered the home's last \
         question, which comes every five seconds.",
    ),
    must("in_touch", Flag, "The same, for one release."),
    must("behind", OrNull(&Count), "Changes that it has not applied."),
    must(
        "lagging",
        List(&Text),
        "Keys of such changes, the first few.",
    ),
];
