//! The table of admin operations, from which routing, the check of roles and docs/admin-api.json
//! follow.
//!
//! To add one: a row here, its `match` arm in `node/src/admin_api` (the compiler asks for it),
//! then `UPDATE=1 cargo test -p admin` writes the document anew.

use access::grants::Action;

use crate::{field::Field, fields, of_access, of_regions};

/// What an operation answers with 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `{}`.
    Empty,
    /// One of the kinds in `fields::ANSWERS`.
    One(&'static str),
    /// A list of them.
    Many(&'static str),
    /// Any JSON object.
    Object,
}

/// A parameter after the question mark; none is required, and at most one is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// Whether it is a whole number; text otherwise.
    pub number: bool,
    /// What it means.
    pub about: &'static str,
}

/// One operation of the admin API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Which one.
    pub op: Op,
    /// Its name, unique.
    pub name: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Below `/-/admin/v1/`, with at most one parameter in braces.
    pub path: &'static str,
    /// What it does, whose grants say who may.
    pub action: Action,
    /// One line.
    pub summary: &'static str,
    /// Its query parameter.
    pub query: Option<Query>,
    /// The fields of its body; `None` when the body is not looked at.
    pub body: Option<&'static [Field]>,
    /// What it answers.
    pub output: Output,
}

macro_rules! operations {
    ($(#[doc = $summary:literal] $name:ident $method:ident $path:literal $action:ident
        $query:expr, $body:expr, $output:expr;)*) => {
        /// Every operation, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Op {
            $(#[doc = $summary] $name,)*
        }

        /// Every operation of the admin API.
        pub static OPERATIONS: &[Operation] = &[$(Operation {
            op: Op::$name,
            name: stringify!($name),
            method: stringify!($method),
            path: $path,
            action: Action::$action,
            summary: $summary.trim_ascii(),
            query: $query,
            body: $body,
            output: $output,
        },)*];
    };
}

const ACCOUNT: Option<Query> = Some(Query {
    name: "account",
    number: false,
    about: "Only the keys of this account.",
});
const FROM: Option<Query> = Some(Query {
    name: "from",
    number: true,
    about: "The number of the first entry wanted; 0 unless given.",
});

const AFTER: Option<Query> = Some(Query {
    name: "after",
    number: true,
    about: "Only buckets with a higher number.",
});

use Output::{Empty, Many, Object, One};

// Summary, name, method, path, action, query, fields of the body, answer.
operations! {
    /// This document.
    DescribeApi GET "openapi.json" DescribeApi None, None, Object;
    /// List the accounts.
    ListAccounts GET "accounts" ListAccounts None, None, Many("Account");
    /// Create an account of a tenant, an operator or an auditor.
    CreateAccount POST "accounts" ChangeAccounts
        None, Some(fields::NEW_ACCOUNT), One("Account");
    /// Refuse all requests of an account's keys.
    SuspendAccount POST "accounts/{id}/suspend" ChangeAccounts None, None, One("Account");
    /// Accept requests of an account's keys again.
    ResumeAccount POST "accounts/{id}/resume" ChangeAccounts None, None, One("Account");
    /// Show or change what public access an account refuses, and what its new buckets begin with.
    ChangeAccess POST "accounts/{id}/access" ChangeIdentities
        None, Some(fields::ACCOUNT_ACCESS), One("AccountAccess");
    /// Show, set or remove the guard policy of an account: what all of it may do at most.
    SetGuardPolicy POST "accounts/{id}/guard-policy" ChangeAccounts
        None, Some(of_access::SET_GUARD_POLICY), One("GuardPolicy");
    /// List keys, without their secrets.
    ListKeys GET "keys" ListKeys ACCOUNT, None, Many("Key");
    /// Create a key; its secret is shown this once.
    CreateKey POST "keys" ChangeKeys None, Some(fields::NEW_KEY), One("KeyPair");
    /// Let a key open again what its account may open.
    EnableKey POST "keys/{id}/enable" ChangeKeys None, None, One("Key");
    /// Refuse all requests of a key until it is enabled.
    DisableKey POST "keys/{id}/disable" ChangeKeys None, None, One("Key");
    /// Delete a key. The root key stays.
    DeleteKey DELETE "keys/{id}" ChangeKeys None, None, One("Deleted");
    /// Do one action of IAM in an account, as the account itself.
    CallIam POST "accounts/{id}/iam" ChangeIdentities
        None, Some(fields::IAM_FORM), Object;
    /// End one session of an account before its time, in every region.
    EndSession POST "accounts/{id}/end-session" ChangeIdentities
        None, Some(of_access::END_SESSION), One("EndedSession");
    /// Say why a request of an account, or of a user of it, would be allowed or refused.
    ExplainAccess POST "accounts/{id}/explain" ExplainAccess
        None, Some(of_access::EXPLAIN), One("Explained");
    /// List the operators of regions.
    ListOperators GET "operators" ListRegions None, None, Many("Operator");
    /// Show an operator with its regions.
    GetOperator GET "operators/{id}" ListRegions None, None, One("OperatorRegions");
    /// Add an operator.
    AddOperator POST "operators" ChangeRegions
        None, Some(fields::NEW_OPERATOR), One("Operator");
    /// List the regions.
    ListRegions GET "regions" ListRegions None, None, Many("Region");
    /// Show a region.
    GetRegion GET "regions/{id}" ListRegions None, None, One("Region");
    /// Plan a region and make its join token, or with `dry_run` say what would be done.
    PlanRegion POST "regions" ChangeRegions
        None, Some(fields::NEW_REGION), One("PlannedRegion");
    /// Place no more buckets and replicas in a region, or also move away what it has.
    DrainRegion POST "regions/{id}/drain" DrainRegion
        None, Some(of_regions::DRAIN), One("Region");
    /// Show how far the move of a region's buckets is.
    GetDrain GET "regions/{id}/drain" DrainRegion None, None, One("Drain");
    /// End the move of a region's buckets between two steps; those that moved stay there.
    AbortDrain DELETE "regions/{id}/drain" DrainRegion None, None, One("Drain");
    /// Say what would become of a region's buckets, in order of their names, some at a time.
    PlanDrain POST "regions/{id}/drain-plan" PromoteBuckets
        None, Some(of_regions::PLAN_DRAIN), One("DrainPlan");
    /// Place buckets and replicas in a region again.
    OpenRegion POST "regions/{id}/open" DrainRegion None, None, One("Region");
    /// Close a region that holds nothing.
    CloseRegion POST "regions/{id}/close" ChangeRegions None, None, One("Region");
    /// Take back one certificate of a region, or all that it has.
    RevokeCertificate POST "regions/{id}/revoke" ChangeRegions
        None, Some(fields::REVOKE), One("Revoked");
    /// Make the token with which a region that has joined gets a new key.
    RekeyRegion POST "regions/{id}/rekey" ChangeRegions
        None, Some(fields::REKEY), One("RekeyedRegion");
    /// Say at which hosts and networks a region may be reached.
    AllowAddresses POST "regions/{id}/allow" ChangeRegions
        None, Some(fields::ALLOW), One("Region");
    /// Accept that a region runs an older release than before.
    StepBackRegion POST "regions/{id}/step-back" ChangeRegions None, None, One("Region");
    /// List buckets and where they are placed.
    ListBuckets GET "buckets" ListBuckets None, None, Many("Bucket");
    /// Show a bucket and how its replicas are doing.
    GetBucket GET "buckets/{name}" ListBuckets None, None, One("BucketStatus");
    /// Create a bucket with a placement.
    CreateBucket POST "buckets" PlaceBuckets None, Some(fields::NEW_BUCKET), One("Bucket");
    /// Change a bucket's placement, or with `dry_run` say what would move.
    PlaceBucket POST "buckets/{name}/place" PlaceBuckets
        None, Some(fields::PLACE), One("PlacedBucket");
    /// Give a bucket another home.
    PromoteBucket POST "buckets/{name}/promote" PromoteBuckets
        None, Some(fields::PROMOTE), One("PromotedBucket");
    /// Ask each region what it holds of a bucket, and say whether it may.
    CheckResidency GET "buckets/{name}/residency" CheckResidency None, None, One("Residency");
    /// Make a file from which an auditor can check where a bucket is stored, or that there is none.
    ProveResidency POST "buckets/{name}/residency" ProveResidency
        None, Some(fields::NOTHING), One("ResidencyProof");
    /// Read entries of the audit log, at most 1000 of them and 3 MiB.
    ReadAudit GET "audit" ReadAudit FROM, None, Many("AuditEntry");
    /// The audit log's last number and hash, and the map's root, signed by the registry's region.
    SignCheckpoint GET "audit/checkpoint" ReadAudit None, None, One("Checkpoint");
    /// The key with which whoever reads the whole log computes the map's root.
    GetMapKey GET "audit/map-key" ReadAudit None, None, One("MapKey");
    /// How far the verification of stored bytes is, and what it found.
    GetScrub GET "scrub" Scrub None, None, One("Scrub");
    /// Verify every stored byte of this region; one pass at a time.
    StartScrub POST "scrub" Scrub None, Some(fields::START_SCRUB), Empty;
    /// What `dhow doctor` finds in this region, its disk, and how much it holds.
    GetHealth GET "health" SeeHealth None, None, One("Health");
    /// What this region holds, by number; of sealed replicas without names. At most 1000.
    ListHeld GET "held" SeeHealth AFTER, None, Many("Held");
}

/// The operation of a request, and the value of its path's parameter (empty without one). `path`
/// is what follows `/-/admin/v1/`.
pub fn route<'p>(method: &str, path: &'p str) -> Option<(&'static Operation, &'p str)> {
    let of_method = OPERATIONS.iter().filter(|o| o.method == method);
    of_method
        .filter_map(|o| matched(o.path, path).map(|id| (o, id)))
        .next()
}

fn matched<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, after)) = template.split_once('{') else {
        return (template == path).then_some("");
    };
    let (_, after) = after.split_once('}')?;
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        template.replace("{id}", "x").replace("{name}", "x")
    }

    #[test]
    fn every_operation_is_routed_to_itself() {
        for o in OPERATIONS {
            let path = filled(o.path);
            assert!(
                !path.contains('{'),
                "{}: name the parameter in `filled`",
                o.name
            );
            let (found, id) = route(o.method, &path).unwrap();
            assert_eq!(found.op, o.op, "{} {path}", o.method);
            assert_eq!(id, if o.path.contains('{') { "x" } else { "" });
        }
    }

    /// Word by word, unlike [`matched`].
    fn fits(o: &Operation, path: &str) -> bool {
        let words: Vec<&str> = path.split('/').collect();
        let rows: Vec<&str> = o.path.split('/').collect();
        let fit = |(row, word): (&&str, &&str)| match row.starts_with('{') {
            true => !word.is_empty(),
            false => row == word,
        };
        rows.len() == words.len() && rows.iter().zip(&words).all(fit)
    }

    const METHODS: [&str; 8] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get",
    ];

    /// What is not a row is not routed: [`route`] alone chooses what the server
    /// performs.
    #[test]
    fn nothing_else_is_routed() {
        for o in OPERATIONS {
            for method in METHODS {
                let row = |path: &str| {
                    OPERATIONS
                        .iter()
                        .any(|o| o.method == method && fits(o, path))
                };
                let path = filled(o.path);
                let other = [
                    path.clone(),
                    format!("{path}/"),
                    format!("/{path}"),
                    format!("{path}/else"),
                    path.to_uppercase(),
                    path.replace('x', ""),
                ];
                for path in other.iter().filter(|p| !row(p)) {
                    let found = route(method, path).map(|(o, _)| o.name);
                    assert_eq!(found, None, "{method} {path}");
                }
            }
        }
        for path in [
            "",
            "/",
            "buckets//place",
            "keys/a/b/enable",
            "accounts/x",
            "nothing",
        ] {
            assert!(METHODS.iter().all(|m| route(m, path).is_none()), "{path}");
        }
    }

    #[test]
    fn names_and_requests_are_unique() {
        for (i, a) in OPERATIONS.iter().enumerate() {
            for b in &OPERATIONS[i + 1..] {
                assert_ne!(a.name, b.name);
                assert_ne!((a.method, filled(a.path)), (b.method, filled(b.path)));
            }
        }
    }
}
