//! What the bodies and answers of the admin API hold, for its description. The bodies are compared
//! with the code that reads them in this module's tests, the answers in tests/test_admin_roles.py.

use crate::{
    field::{
        Field,
        Kind::{self, Count, Fields, Flag, List, Named, Number, Object, OrNull, Text, Word},
        may, must,
    },
    of_access, of_health, of_regions,
    of_replicas::REPLICA_STATUS,
};

const TEXTS: Kind = List(&Text);
const OR_TEXT: Kind = OrNull(&Text);
const OR_COUNT: Kind = OrNull(&Count);

/// The body of `POST accounts`.
pub const NEW_ACCOUNT: &[Field] = &[
    must("name", Text, "For people."),
    may(
        "operator",
        Text,
        "The id of the operator whose regions it looks after.",
    ),
    may(
        "auditor",
        Flag,
        "Whether it reads what is on record; not with `operator`.",
    ),
    may(
        "guard",
        TEXTS,
        "Countries or groups that all its buckets keep to.",
    ),
];

/// The body of `POST accounts/{id}/access`.
pub const ACCOUNT_ACCESS: &[Field] = &[
    may("public_access_block", TEXTS, "Switches that are on."),
    may("unset_block", Flag, "To have no such block."),
    may("new_ownership", Text, "Of new buckets."),
    may("new_public_access_block", TEXTS, "Of new buckets."),
    may("unset_new_buckets", Flag, "To leave both to the region."),
    may(
        "signatures",
        Word(&["any", "v4a"]),
        "How requests for its buckets are signed.",
    ),
    may("old_signatures", Flag, "Whether version 2 is taken too."),
];

/// The body of `POST keys`.
pub const NEW_KEY: &[Field] = &[
    must("account", Text, "The id of its account."),
    may(
        "access_key",
        Text,
        "Of a pair made elsewhere; with `secret_key` only.",
    ),
    may(
        "secret_key",
        Text,
        "Of a pair made elsewhere; with `access_key` only.",
    ),
    may("description", Text, "For people."),
    may("admin", Flag, "Whether it administers its account."),
];

/// The body of `POST accounts/{id}/iam`.
pub const IAM_FORM: &[Field] = &[must(
    "form",
    Object,
    "The fields of a form of IAM's query API, `Action` among them; all values are text.",
)];

/// The body of `POST operators`.
pub const NEW_OPERATOR: &[Field] = &[
    must("id", Text, "Lower-case letters, digits and hyphens."),
    must("name", Text, "For people."),
];

const PLAN: &[Field] = &[
    must(
        "id",
        Text,
        "1 to 63 lower-case letters, digits and hyphens.",
    ),
    may("city", Text, "For people."),
    may("latitude", Number, "Degrees north."),
    may("longitude", Number, "Degrees east."),
    must("jurisdiction", Text, "ISO 3166-1 alpha-2."),
    must("operator", Text, "The operator's id."),
    may("addresses", TEXTS, ADDRESSES),
];

const ADDRESSES: &str = "Where it may be reached: HOST, HOST:PORT, or a network such as \
                         203.0.113.0/24; where it is when it joins unless given.";

/// The body of `POST regions/{id}/allow`.
pub const ALLOW: &[Field] = &[must("addresses", TEXTS, ADDRESSES)];

/// The body of `POST regions/{id}/rekey`.
pub const REKEY: &[Field] = &[may(
    "valid_s",
    Count,
    "For how many seconds the token is good; a day unless given.",
)];

/// The body of `POST regions`.
pub const NEW_REGION: &[Field] = &[
    must("plan", Fields(PLAN), ""),
    may("dry_run", Flag, "Change nothing."),
    may(
        "valid_s",
        Count,
        "For how many seconds the join token is good; a day unless given.",
    ),
];

/// The body of `POST regions/{id}/revoke`.
pub const REVOKE: &[Field] = &[may(
    "serial",
    Text,
    "The certificate's serial number, in hex; all of the region's unless given.",
)];

const TRUST_READS: &str = "Regions (or @operator, those of whoever runs the one that acts) whose \
    word counts for reads that no signature proves.";
const TRUST_WRITES: &str = "The same for writes, and for bodies that no signature covers.";
const ACCEPTS: &str = "Buckets whose rules may send versions here from another operator's region.";
const SUCCESSORS: &str = "The owner's choice of the next home, in this order.";

/// The body of `POST buckets`.
pub const NEW_BUCKET: &[Field] = &[
    must("name", Text, ""),
    may(
        "owner",
        Text,
        "The account that is to own it; the caller's unless given.",
    ),
    may(
        "home",
        Text,
        "The region that takes writes; the one that is asked unless given.",
    ),
    may("replicas", TEXTS, "Regions that keep a replica."),
    may(
        "jurisdictions",
        TEXTS,
        "Countries or groups that may hold it.",
    ),
    may("writes", Word(&["home", "any"]), "Where writes are taken."),
    may("sealed", TEXTS, "Regions that keep a sealed replica."),
    may(
        "proxy",
        Flag,
        "Whether regions without a replica may forward requests.",
    ),
    may("successors", TEXTS, SUCCESSORS),
    may("accepts", TEXTS, ACCEPTS),
    may("trust_reads", TEXTS, TRUST_READS),
    may("trust_writes", TEXTS, TRUST_WRITES),
    may("unrenewed", UNRENEWED, UNRENEWED_IS),
];

/// The body of `POST buckets/{name}/place`.
pub const PLACE: &[Field] = &[
    may("add", TEXTS, "Regions that are to keep a replica."),
    may("seal", TEXTS, "Regions that are to keep a sealed replica."),
    may("remove", TEXTS, "Regions that are not to hold one."),
    may(
        "jurisdictions",
        TEXTS,
        "Countries or groups that may hold it.",
    ),
    may(
        "proxy",
        Flag,
        "Whether regions without a replica may forward requests.",
    ),
    may("writes", Word(&["home", "any"]), "Where writes are taken."),
    may("successors", TEXTS, SUCCESSORS),
    may("accepts", TEXTS, ACCEPTS),
    may("trust_reads", TEXTS, TRUST_READS),
    may("trust_writes", TEXTS, TRUST_WRITES),
    may("unrenewed", UNRENEWED, UNRENEWED_IS),
    may(
        "force",
        Flag,
        "Also remove a replica that has not handed over what it alone may have.",
    ),
    may("dry_run", Flag, "Change nothing."),
];

/// The body of `POST buckets/{name}/promote`.
pub const PROMOTE: &[Field] = &[
    may(
        "to",
        Text,
        "The region that is to be its home; unless given the first successor that answers and \
         is open, or else the most complete replica.",
    ),
    may(
        "force",
        Flag,
        "Also while the old home answers: its last writes may diverge.",
    ),
    may(
        "abort_uploads",
        Flag,
        "Also while multipart uploads are in progress at the old home: they are lost.",
    ),
    may(
        "planned",
        Flag,
        "Both regions work: the old home takes no writes until the new one has all of them, for \
         20 seconds at most, and only then the home moves.",
    ),
    may("dry_run", Flag, "Change nothing."),
    may(
        "wait_ms",
        Count,
        "How long the answer may wait for the old home to decide nothing more; until it is done \
         unless given. An answer with `waits` says that nothing has changed yet: ask again.",
    ),
];

/// The body of `POST scrub`.
pub const START_SCRUB: &[Field] = &[must(
    "repair",
    Flag,
    "Whether to bring damaged versions' bytes back from other regions, and to remove extents that \
     nothing refers to.",
)];

/// An empty object.
pub const NOTHING: &[Field] = &[];

const DAMAGED_VERSION: &[Field] = &[
    must("bucket", Text, ""),
    must("key", Text, "In a sealed replica, its sealed name."),
    must("version", Text, "Its id, or null."),
    must("what", Text, "What is damaged."),
    must("repaired", Flag, ""),
    must("from", OR_TEXT, "The region that the bytes came from."),
    must(
        "why",
        OR_TEXT,
        "Why it was not repaired, if that was tried.",
    ),
];

/// What `unrenewed` may be.
const UNRENEWED: Kind = Word(&["plain", "none", "all"]);
const UNRENEWED_IS: &str = "What the home takes while no other region renews it: writes without \
                            conditions, none, or all.";

const RENEWAL: &[Field] = &[
    must("renewed", Flag, "Whether the home decides on conditions."),
    must("by", TEXTS, "Regions whose promises it has."),
    must("since_s", OR_COUNT, "For how many seconds without a break."),
    must(
        "left_ms",
        OR_COUNT,
        "For how many milliseconds more, if no promise is made again.",
    ),
    may("why", Text, "Why it is not renewed."),
];

const WAITS: &[Field] = &[
    must("for", Text, "The old home."),
    must("to", Text, "The new one."),
    must("left_ms", Count, "How long at most."),
];

const REPLICA: &[Field] = &[
    must("region", Text, ""),
    must("sealed_by", OR_TEXT, "The region whose key seals it."),
];

macro_rules! bucket_and {
    ($($more:expr),*) => { &[
        must("name", Text, ""),
        must("id", Count, "64 bits: where numbers have fewer, use `id_text`."),
        must("id_text", Text, "The same number as a text."),
        must("owner", Text, "The account's id."),
        must("home", Text, "The region that takes writes."),
        must("replicas", List(&Fields(REPLICA)), ""),
        must("jurisdictions", TEXTS, "Where its data may be stored; empty for everywhere."),
        must("writes", Word(&["home", "any"]), ""),
        must("proxy", Flag, ""),
        must("successors", TEXTS, SUCCESSORS),
        must("accepts", TEXTS, ACCEPTS),
        must("trust_reads", TEXTS, TRUST_READS),
        must("trust_writes", TEXTS, TRUST_WRITES),
        must("unrenewed", UNRENEWED, UNRENEWED_IS),
        must("epoch", Count, "Grows when the home moves."),
        must("created", Text, "ISO 8601."),
        $($more),*
    ] };
}
const BUCKET: &[Field] = bucket_and![];

const RULE: &[Field] = &[
    must("destination", Text, "The bucket that versions go to."),
    must(
        "scanning",
        Flag,
        "Versions from before the rules are still looked at.",
    ),
    must("pending", OR_COUNT, "Changes that were not looked at yet."),
    must("refused", OR_TEXT, "Why nothing can go."),
    must("shipped", Count, "Versions shipped since the start."),
    must("failed", Count, "Versions that could not be shipped."),
];

const REMOVALS_ARE: &str = "Regions that the bucket has left, by the last 500 entries about it; only \
                            where the registry is kept.";
const REMOVAL: &[Field] = &[
    must("region", Text, ""),
    must("entry", Count, "Of the audit log: it took the bucket away."),
    must("at_ms", Count, "Milliseconds since 1970."),
    must(
        "receipt",
        OrNull(&Fields(RECEIPT)),
        "What the region says that has removed it; null while it has not.",
    ),
];
const RECEIPT: &[Field] = &[
    must("entry", Count, "Of the audit log."),
    must("at_ms", Count, "Milliseconds since 1970."),
    must("rows", Count, "That it removed."),
];

const RESIDENCY_ROW: &[Field] = &[
    must("region", Text, ""),
    must("jurisdiction", Text, ""),
    must("operator", Text, ""),
    must("holds", Text, "What the placement says."),
    must(
        "allowed",
        Flag,
        "Whether the jurisdictions include the region's.",
    ),
    must("versions", OR_COUNT, ""),
    must("bytes", OR_COUNT, ""),
    must("root", OR_TEXT, "The hash over all that it holds."),
    must("good", Flag, ""),
    must("verdict", Text, ""),
];

const CERTIFICATE: &[Field] = &[
    must("serial", Text, "Lower-case hex."),
    must("expires", Text, "ISO 8601."),
    must("revoked", Flag, ""),
];

/// Answers by their names in the document.
pub const ANSWERS: &[(&str, &[Field])] = &[
    (
        "Account",
        &[
            must("id", Text, ""),
            must("name", Text, ""),
            must("created", Text, "ISO 8601."),
            must("root", Flag, "Whether it is the cloud operator's."),
            must("operator", OR_TEXT, "Whose regions it looks after."),
            must("auditor", Flag, ""),
            must("suspended", Flag, ""),
            must("guard", TEXTS, ""),
            of_access::LATE,
        ],
    ),
    (
        "AccountAccess",
        &[
            must("id", Text, ""),
            must("canonical", Text, "Names it in access control lists."),
            must("public_access_block", OrNull(&TEXTS), ""),
            must("new_ownership", OR_TEXT, ""),
            must("new_public_access_block", OrNull(&TEXTS), ""),
            must("signatures", Word(&["any", "v4a"]), ""),
            must("old_signatures", Flag, ""),
            of_access::LATE,
        ],
    ),
    ("Key", of_access::KEY),
    ("Deleted", of_access::DELETED),
    (
        "KeyPair",
        &[
            must("access_key", Text, ""),
            must("secret_key", Text, ""),
            must("account", Text, ""),
        ],
    ),
    (
        "Operator",
        &[
            must("v", Count, "Format version."),
            must("id", Text, ""),
            must("name", Text, ""),
            must("created_ms", Count, "Milliseconds since 1970."),
        ],
    ),
    (
        "OperatorRegions",
        &[
            must("operator", Named("Operator"), ""),
            must("regions", List(&Named("Region")), ""),
        ],
    ),
    (
        "Region",
        &[
            must("id", Text, ""),
            must("city", Text, ""),
            must("latitude", Number, ""),
            must("longitude", Number, ""),
            must("jurisdiction", Text, ""),
            must("operator", Text, ""),
            must(
                "status",
                Word(&["planned", "joining", "open", "draining", "closed"]),
                "",
            ),
            must("endpoint", Text, ""),
            may(
                "peer",
                Text,
                "Where other regions reach it. Customers see only the required fields.",
            ),
            may("public_key", Text, "Empty until it has joined."),
            may("certificates", List(&Fields(CERTIFICATE)), "Not expired."),
            may(
                "addresses",
                TEXTS,
                "Where it may be reached; where it was when it joined if there are none.",
            ),
            must(
                "features",
                TEXTS,
                "What its release knows that accounts and placements can need.",
            ),
            may(
                "refused",
                Text,
                "Why what it last announced was refused; empty otherwise.",
            ),
            may(
                "withheld",
                Text,
                "Why the registry withholds changes and keys from it; empty otherwise.",
            ),
            may(
                "waits_for",
                Text,
                "Why it is not open yet, where the registry is kept; empty otherwise.",
            ),
            may(
                "clock_ahead_ms",
                OrNull(&Number),
                "How far its clock is ahead of the other regions', less than 0 when it is behind; \
                 null if it did not answer.",
            ),
            may(
                "clock_off",
                Flag,
                "Whether that is more than is allowed: then it refuses writes.",
            ),
            may("follows", OR_COUNT, of_health::FOLLOWS_IS),
            may("buckets", Count, "How many it holds."),
            may(
                "drain",
                OrNull(&Fields(of_regions::DRAIN_IN_SHORT)),
                "How far the move of its buckets is, if one was begun.",
            ),
            may("load", OrNull(&Fields(of_health::LOAD)), of_health::LOAD_IS),
            must(
                "reachable",
                OrNull(&Flag),
                "Whether it answered the region that is asked, last time; null if it was not tried.",
            ),
            may(
                "last_seen",
                OR_TEXT,
                "When it last answered there. ISO 8601.",
            ),
            may(
                "last_seen_ago_s",
                OR_COUNT,
                "How many seconds ago that was.",
            ),
            may("cut_off", Flag, of_regions::CUT_OFF_IS),
            must("keeps_registry", Flag, ""),
            of_access::LATE,
        ],
    ),
    (
        "Revoked",
        &[
            must(
                "revoked",
                TEXTS,
                "Serial numbers that are refused from now on.",
            ),
            of_access::LATE,
        ],
    ),
    ("Drain", of_regions::DRAIN_STATE),
    ("DrainPlan", of_regions::DRAIN_PLAN),
    (
        "PlannedRegion",
        &[
            must("region", Object, "The region, or with `dry_run` the plan."),
            may(
                "token",
                Text,
                "For `dhow up --join` at the new region; shown this once.",
            ),
            may("valid_s", Count, ""),
            may("dry_run", Flag, ""),
            may("regions_now", Count, ""),
            may("moves", Object, ""),
            may("note", Text, ""),
        ],
    ),
    (
        "RekeyedRegion",
        &[
            must("region", Named("Region"), ""),
            must("token", Text, "For `dhow up --rekey`; shown this once."),
            must("valid_s", Count, ""),
        ],
    ),
    ("Bucket", BUCKET),
    (
        "BucketStatus",
        bucket_and![
            may("replica_status", List(&Fields(REPLICA_STATUS)), ""),
            may("copies", List(&Fields(REPLICA_STATUS)), ""),
            may("renewal", Fields(RENEWAL), "How the home is renewed."),
            may("rules", List(&Fields(RULE)), "Its replication rules."),
            may(
                "uploads",
                Fields(of_regions::UPLOADS),
                "Multipart uploads at its home."
            ),
            may("removals", List(&Fields(REMOVAL)), REMOVALS_ARE),
            may("error", Text, "Why nothing is known of the replicas.")
        ],
    ),
    (
        "PromotedBucket",
        bucket_and![
            must(
                "uploads",
                OrNull(&Fields(of_regions::UPLOADS)),
                "Multipart uploads at the old home that are lost; null where it does not say."
            ),
            may("waits", Fields(WAITS), "It has not moved: why."),
            may(
                "why",
                Text,
                "With `dry_run` and without `to`: why this home would be chosen."
            )
        ],
    ),
    (
        "PlacementDryRun",
        &[
            must("dry_run", Flag, ""),
            must("bucket", Named("Bucket"), "As it would be."),
            must(
                "moves",
                Object,
                "What the home has, which a new replica receives.",
            ),
        ],
    ),
    (
        "Residency",
        &[
            must("bucket", Text, ""),
            must("good", Flag, ""),
            must("regions", List(&Fields(RESIDENCY_ROW)), ""),
        ],
    ),
    (
        "ResidencyProof",
        &[
            must("file", Text, "For `dhow residency verify`."),
            must("unanswered", Object, "Regions that said nothing, and why."),
            must("findings", TEXTS, "What an auditor will find with it."),
        ],
    ),
    ("Explained", of_access::EXPLAINED),
    ("GuardPolicy", of_access::GUARD_POLICY),
    ("EndedSession", of_access::ENDED_SESSION),
    ("MapKey", &[must("key", Text, "64 hex digits.")]),
    (
        "Checkpoint",
        &[
            must("v", Count, "Format version."),
            must("cloud", Text, ""),
            must("head", Object, "The last entry's number and hash."),
            must("map", Text, "The root of the map after it."),
            must("at_ms", Count, "Milliseconds since 1970."),
            must("region", Text, "The region that signed."),
            must("public_key", Text, ""),
            must("signature", Text, ""),
        ],
    ),
    (
        "Scrub",
        &[
            must("running", Flag, ""),
            must("phase", Text, ""),
            must("bytes", Count, "Verified."),
            must("bytes_total", Count, ""),
            must("items", Count, ""),
            must("orphans_removed", Count, ""),
            must("orphan_bytes", Count, ""),
            must(
                "damaged",
                TEXTS,
                "What is damaged beside versions, in words; at most 1000.",
            ),
            must(
                "versions",
                List(&Fields(DAMAGED_VERSION)),
                "Versions that are or were damaged; at most 1000.",
            ),
            must("damaged_versions", Count, "Versions that stay damaged."),
            must("repaired", Count, "Versions that have their bytes again."),
            must("error", OR_TEXT, ""),
            must("started_ms", Count, "Milliseconds since 1970."),
            must("took_ms", Count, ""),
        ],
    ),
    ("Health", of_health::HEALTH),
    ("Held", of_health::HELD),
];

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{
        bodies::{
            AccountAccess, Allow, DrainRegion, Empty, EndSession, Explain, IamForm, NewAccount,
            NewBucket, NewKey, NewOperator, NewRegion, Place, PlanDrain, Promote, Rekey, Revoke,
            SetGuardPolicy, StartScrub, parse,
        },
        operations::{OPERATIONS, Op},
    };

    type Read = fn(&Value) -> Result<(), String>;

    fn read<T: for<'de> serde::Deserialize<'de>>(body: &Value) -> Result<(), String> {
        parse::<T>(body.to_string().as_bytes()).map(|_| ())
    }

    /// The code that reads the body of an operation.
    fn reader(op: Op) -> Option<Read> {
        Some(match op {
            Op::CreateAccount => read::<NewAccount>,
            Op::ChangeAccess => read::<AccountAccess>,
            Op::SetGuardPolicy => read::<SetGuardPolicy>,
            Op::EndSession => read::<EndSession>,
            Op::CreateKey => read::<NewKey>,
            Op::CallIam => read::<IamForm>,
            Op::ExplainAccess => read::<Explain>,
            Op::AddOperator => read::<NewOperator>,
            Op::PlanRegion => read::<NewRegion>,
            Op::RevokeCertificate => read::<Revoke>,
            Op::RekeyRegion => read::<Rekey>,
            Op::AllowAddresses => read::<Allow>,
            Op::DrainRegion => read::<DrainRegion>,
            Op::PlanDrain => read::<PlanDrain>,
            Op::CreateBucket => read::<NewBucket>,
            Op::PlaceBucket => read::<Place>,
            Op::PromoteBucket => read::<Promote>,
            Op::ProveResidency => read::<Empty>,
            Op::StartScrub => read::<StartScrub>,
            _ => return None,
        })
    }

    fn sample(kind: &Kind) -> Value {
        match kind {
            Text => json!("text"),
            Count => json!(1),
            Number => json!(1.5),
            Flag => json!(true),
            Word(words) => json!(words.first()),
            List(of) => json!([sample(of)]),
            Fields(fields) => Value::Object(object(fields)),
            OrNull(_) => Value::Null,
            Named(_) | Object => json!({}),
        }
    }

    fn object(fields: &[Field]) -> Map<String, Value> {
        let pair = |f: &Field| (f.name.to_owned(), sample(&f.kind));
        fields.iter().map(pair).collect()
    }

    /// Bodies with and without each field are read just as the field says.
    fn compare(name: &str, fields: &[Field], read: &dyn Fn(Value) -> Result<(), String>) {
        let whole = object(fields);
        assert_eq!(read(Value::Object(whole.clone())), Ok(()), "{name}");
        for field in fields {
            let mut without = whole.clone();
            without.remove(field.name);
            let accepted = read(Value::Object(without)).is_ok();
            assert_eq!(accepted, !field.required, "{name} without {}", field.name);
            let mut wrong = whole.clone();
            wrong.insert(field.name.to_owned(), json!({ "?": [] }));
            assert!(
                read(Value::Object(wrong)).is_err(),
                "{name}: {} of any kind",
                field.name
            );
        }
    }

    #[test]
    fn bodies_are_read_as_described() {
        for o in OPERATIONS {
            let (fields, read) = match (o.body, reader(o.op)) {
                (Some(fields), Some(read)) => (fields, read),
                (None, None) => continue,
                _ => panic!(
                    "{}: a body that is read is described, and the reverse",
                    o.name
                ),
            };
            compare(o.name, fields, &|body| read(&body));
            // Nothing is read that is not described: the reader gives all names that it knows.
            let mut more = object(fields);
            more.insert("?".into(), Value::Null);
            let why = read(&Value::Object(more)).unwrap_err();
            let mut known: Vec<&str> = why.split('`').skip(1).step_by(2).collect();
            assert_eq!(known.remove(0), "?", "{}: {why}", o.name);
            let described: Vec<&str> = fields.iter().map(|f| f.name).collect();
            known.sort_unstable();
            let mut sorted = described.clone();
            sorted.sort_unstable();
            assert_eq!(known, sorted, "{}: {why}", o.name);
        }
    }

    #[test]
    fn the_plan_of_a_region_is_read_as_described() {
        compare("plan", PLAN, &|plan| {
            read::<NewRegion>(&json!({ "plan": plan }))
        });
    }
}
