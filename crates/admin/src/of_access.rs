//! What the question why a request is allowed or refused holds, and its answer; and what is
//! answered of a key.

use crate::field::{
    Field,
    Kind::{self, Count, Fields, Flag, List, OrNull, Text, Word},
    may, must,
};

const TEXTS: Kind = List(&Text);
const OR_TEXT: Kind = OrNull(&Text);

/// In the answer to each operation that takes rights away.
pub const LATE: Field = may(
    crate::NOT_YET_IN,
    TEXTS,
    "Regions that may not know yet what was taken away; absent where all know it.",
);

/// What is answered where something was deleted.
pub const DELETED: &[Field] = &[LATE];

/// The body of `POST accounts/{id}/guard-policy`.
pub const SET_GUARD_POLICY: &[Field] = &[
    may("policy", Text, "To set it: JSON in the language of IAM."),
    may("remove", Flag, "To have none."),
];

/// Its answer.
pub const GUARD_POLICY: &[Field] = &[
    must("id", Text, "The account's id."),
    must(
        "policy",
        OR_TEXT,
        "As it was written; null where there is none.",
    ),
    LATE,
];

/// The body of `POST accounts/{id}/end-session`.
pub const END_SESSION: &[Field] = &[must("access_key", Text, "That of the session: `DHST…`.")];

/// Its answer.
pub const ENDED_SESSION: &[Field] = &[
    must("access_key", Text, ""),
    must("account", Text, "The account's id."),
    must(
        "until",
        Text,
        "The session could last until then at most. ISO 8601.",
    ),
    LATE,
];

const KEY_USE: &[Field] = &[
    must(
        "at_ms",
        Count,
        "Milliseconds since 1970, to within five minutes.",
    ),
    must("region", Text, "Where the signature was verified."),
    must("service", Text, "What it was for."),
];

/// What is answered of a key.
pub const KEY: &[Field] = &[
    must("access_key", Text, ""),
    must("account", Text, "The account's id."),
    must("account_name", Text, ""),
    must("role", Text, "What it may administer, in words."),
    must("status", Word(&["active", "disabled"]), ""),
    must("created_ms", Count, "Milliseconds since 1970."),
    must("description", Text, ""),
    must("admin", Flag, ""),
    may(
        "last_used",
        OrNull(&Fields(KEY_USE)),
        "Null: never, as far as is known. Only the registry's region says it.",
    ),
    LATE,
];

/// The body of `POST accounts/{id}/explain`.
pub const EXPLAIN: &[Field] = &[
    may(
        "user",
        Text,
        "A user of the account; the account itself unless one is named.",
    ),
    may("role", Text, "In place of a user: a session of this role."),
    may(
        "session_policies",
        TEXTS,
        "What bounds the session of the role: documents in JSON.",
    ),
    may(
        "access_key",
        Text,
        "In place of a user: whoever of the account holds this key.",
    ),
    may(
        "anonymous",
        Flag,
        "In place of a user: nobody signs; the bucket is the account's.",
    ),
    must("action", Text, "Such as `s3:GetObject`."),
    must("resource", Text, "On what, as an ARN."),
    may(
        "context",
        TEXTS,
        "Values of condition keys, each `KEY=VALUE`.",
    ),
];

const SAYS: &[&str] = &[
    "passes", "allows", "denies", "refuses", "nothing", "none", "unknown",
];
const VERDICTS: &[&str] = &["allowed", "refused", "unknown"];
const CHECK: &[Field] = &[
    must("what", Text, "What was looked at."),
    must("says", Word(SAYS), ""),
    must("why", Text, ""),
    may("statements", List(&Fields(STATEMENT)), "Of a document."),
];
const STATEMENT: &[Field] = &[
    must("number", Count, "Its place in the text, from 1."),
    must("sid", OR_TEXT, ""),
    must("effect", Word(&["Allow", "Deny"]), ""),
    must("applies", OrNull(&Flag), "Whether it is about the request."),
    must("why", Text, ""),
    must("notes", TEXTS, "What may surprise."),
];
const ACTION_SAYS: &[Field] = &[
    must("action", Text, ""),
    must("verdict", Word(VERDICTS), "What the documents decide."),
    must("documents", List(&Fields(CHECK)), ""),
];

/// What is answered.
pub const EXPLAINED: &[Field] = &[
    must(
        "verdict",
        Word(VERDICTS),
        "Unknown: it depends on what was not seen.",
    ),
    must("reason", Text, ""),
    must("principal", OR_TEXT, "Who asks, as an ARN."),
    must("action", Text, ""),
    must("resource", Text, ""),
    must("checks", List(&Fields(CHECK)), "What is no document."),
    must(
        "actions",
        List(&Fields(ACTION_SAYS)),
        "What documents say of each action that the request needs.",
    ),
    must(
        "missing",
        TEXTS,
        "Condition keys that are asked about and were not given.",
    ),
];
