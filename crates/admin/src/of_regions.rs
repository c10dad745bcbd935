//! What is said of the drain of a region.

use crate::field::{
    Field,
    Kind::{Count, Fields, Flag, List, OrNull, Text, Word},
    may, must,
};

/// What `cut_off` of a region says.
pub const CUT_OFF_IS: &str =
    "Whether no region connects to it, since the address on record is not in `addresses`.";

const STATES: &[&str] = &["none", "moving", "waiting", "done", "aborted"];

/// The body of `POST regions/{id}/drain`.
pub const DRAIN: &[Field] = &[
    may(
        "move",
        Flag,
        "Also move away what the region has. The registry's region does it, one bucket after the \
         other, also after a restart; `GET` shows how far it is.",
    ),
    may(
        "to",
        Text,
        "With `move`: the region that gets a replica in place of the one that goes.",
    ),
    may(
        "abort_uploads",
        Flag,
        "With `move`: also while multipart uploads are in progress; they are lost.",
    ),
];

/// The body of `POST regions/{id}/drain-plan`.
pub const PLAN_DRAIN: &[Field] = &[
    may("to", Text, "As for the drain itself."),
    may("abort_uploads", Flag, "As for the drain itself."),
    may("after", Text, "Only buckets whose names come after this."),
];

/// A drain as a part of its region.
pub const DRAIN_IN_SHORT: &[Field] = &[
    must("state", Word(STATES), "As `GET regions/{id}/drain` says."),
    must("to", OrNull(&Text), ""),
    must("begun", Text, "ISO 8601."),
    must("ended", OrNull(&Text), "ISO 8601."),
    must("stays", Count, "Buckets that were tried and stay."),
];

/// What `GET regions/{id}/drain` answers.
pub const DRAIN_STATE: &[Field] = &[
    must("region", Text, ""),
    must(
        "state",
        Word(STATES),
        "`waiting`: all that could move has moved, and the others are tried again. A region that \
         does not keep the registry only knows `moving`.",
    ),
    must("to", OrNull(&Text), "As it was ordered."),
    must("abort_uploads", Flag, "As it was ordered."),
    must("by", OrNull(&Text), "Who ordered it."),
    must("begun", OrNull(&Text), "ISO 8601."),
    must("ended", OrNull(&Text), "ISO 8601."),
    must("left", Count, "Buckets that the region still has."),
    must("moved", Count, "Buckets that have moved."),
    must("bucket", OrNull(&Text), "The bucket that it is at."),
    must("step", OrNull(&Text), "What it does with that bucket."),
    must("next_try", OrNull(&Text), "ISO 8601; while it waits."),
    must(
        "moves",
        List(&Fields(MOVED)),
        "The last 1000 that have moved; for those who may list buckets.",
    ),
    must(
        "stays",
        List(&Fields(STAYS)),
        "Why buckets stay, 1000 at most; for those who may list buckets.",
    ),
];

/// What `POST regions/{id}/drain-plan` answers.
pub const DRAIN_PLAN: &[Field] = &[
    must("moves", List(&Fields(WOULD)), "100 at most."),
    must("total", Count, "Buckets that the region has."),
    must(
        "next",
        OrNull(&Text),
        "What to send as `after`; null at the end.",
    ),
];

/// Multipart uploads at the home of a bucket.
pub const UPLOADS: &[Field] = &[
    must("uploads", Count, "Neither completed nor aborted."),
    must("parts", Count, "Their parts."),
    must("bytes", Count, "Of these parts."),
    must("more", Flag, "There are more than were counted."),
];

const MOVED: &[Field] = &[
    must("bucket", Text, ""),
    must("home", OrNull(&Text), "Where its home went, if that moved."),
    must("replica", OrNull(&Text), "The region that got a replica."),
    must("copy", OrNull(&Text), "The same, for one release."),
    must("versions", Count, "That went there."),
    must("bytes", Count, "That went there."),
    must("uploads", OrNull(&Fields(UPLOADS)), "That were lost."),
    must("others", List(&Text), "Other regions that hold it."),
];

const STAYS: &[Field] = &[
    must("bucket", Text, ""),
    must("error", Text, "Why it stays."),
    must(
        "uploads",
        OrNull(&Fields(UPLOADS)),
        "In progress at its home.",
    ),
    must("tries", Count, ""),
    must("since", Text, "When it was first tried. ISO 8601."),
];

const WOULD: &[Field] = &[
    must("bucket", Text, ""),
    may(
        "error",
        Text,
        "Why it would stay; then only `uploads` is there too.",
    ),
    may(
        "home",
        OrNull(&Text),
        "Where its home would go, if it would.",
    ),
    may(
        "replica",
        OrNull(&Text),
        "The region that would get a replica.",
    ),
    may("copy", OrNull(&Text), "The same, for one release."),
    may("versions", Count, "That would go there."),
    may("bytes", Count, "That would go there."),
    must(
        "uploads",
        OrNull(&Fields(UPLOADS)),
        "In progress at its home.",
    ),
    may("others", List(&Text), "Other regions that hold it."),
];
