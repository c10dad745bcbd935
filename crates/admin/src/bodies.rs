//! The bodies of requests, as the command line writes them and the server reads them. What is not
//! said is left out, so that a server of an earlier release does not refuse a name that it does
//! not know. docs/admin-api.json has the same fields, and says what each means.

use std::{collections::BTreeMap, ops::Not};

pub use cloud::RegionPlan;
use serde::{Deserialize, Serialize};

/// Reads a body: an object. A list of a struct's fields in their order, which serde reads as well,
/// is not what the API describes.
///
/// # Errors
/// Says why the body is not as expected.
pub fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, String> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("the body is not as expected: it is no JSON object".to_owned());
    }
    serde_json::from_slice(body).map_err(|e| format!("the body is not as expected: {e}"))
}

/// The body of `POST accounts`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// For people.
    pub name: String,
    /// The operator whose regions it looks after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Whether it reads what is on record.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub auditor: bool,
    /// Countries or groups that all its buckets keep to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<String>,
}

/// The body of `POST accounts/{id}/access`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountAccess {
    /// Switches that are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access_block: Option<Vec<String>>,
    /// To have no such block.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub unset_block: bool,
    /// Of new buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_ownership: Option<String>,
    /// Of new buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_public_access_block: Option<Vec<String>>,
    /// To leave both to the region.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub unset_new_buckets: bool,
    /// How requests for its buckets are signed: `any` or `v4a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<String>,
    /// Whether version 2 is taken too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_signatures: Option<bool>,
}

/// The body of `POST accounts/{id}/guard-policy`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetGuardPolicy {
    /// To set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// To have none.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub remove: bool,
}

/// The body of `POST accounts/{id}/end-session`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndSession {
    /// Its access key.
    pub access_key: String,
}

/// The body of `POST keys`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Its account.
    pub account: String,
    /// Of a pair made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// Of a pair made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it administers its account.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub admin: bool,
}

/// The body of `POST accounts/{id}/iam`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IamForm {
    /// A form of IAM's query API.
    pub form: BTreeMap<String, String>,
}

/// The body of `POST accounts/{id}/explain`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Of whom it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// In place of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What bounds the session of the role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session_policies: Vec<String>,
    /// In place of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// In place of a user.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub anonymous: bool,
    /// Such as `s3:GetObject`.
    pub action: String,
    /// An ARN.
    pub resource: String,
    /// Values of condition keys, each `KEY=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
}

/// The body of `POST operators`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOperator {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
}

/// The body of `POST regions`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRegion {
    /// Which region.
    pub plan: RegionPlan,
    /// Change nothing.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub dry_run: bool,
    /// For how many seconds the join token is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_s: Option<u64>,
}

/// The body of `POST regions/{id}/revoke`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Of one certificate, in hex; of all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

/// The body of `POST regions/{id}/rekey`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rekey {
    /// For how many seconds the token is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_s: Option<u64>,
}

/// The body of `POST regions/{id}/allow`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Hosts and networks.
    pub addresses: Vec<String>,
}

/// The body of `POST buckets`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBucket {
    /// Its name.
    pub name: String,
    /// The account that is to own it; the caller's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The region that takes writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Regions that keep a replica.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<String>,
    /// Countries or groups that may hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jurisdictions: Vec<String>,
    /// Where writes are taken: `home` or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<String>,
    /// Regions that keep a sealed replica.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<String>,
    /// Whether regions without a replica may forward requests.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub proxy: bool,
    /// The owner's choice of the next home.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successors: Vec<String>,
    /// Buckets of other operators whose rules may send versions here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<String>,
    /// Regions whose word counts for reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust_reads: Vec<String>,
    /// Regions whose word counts for writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust_writes: Vec<String>,
    /// What the home takes while no other region renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrenewed: Option<String>,
}

/// The body of `POST buckets/{name}/place`. What is absent stays as it is.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Regions that are to keep a replica.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Regions that are to keep a sealed replica.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seal: Vec<String>,
    /// Regions that are not to hold one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Countries or groups that may hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdictions: Option<Vec<String>>,
    /// Whether regions without a replica may forward requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<bool>,
    /// Where writes are taken: `home` or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<String>,
    /// The owner's choice of the next home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successors: Option<Vec<String>>,
    /// Buckets of other operators whose rules may send versions here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts: Option<Vec<String>>,
    /// Regions whose word counts for reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_reads: Option<Vec<String>>,
    /// Regions whose word counts for writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_writes: Option<Vec<String>>,
    /// What the home takes while no other region renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrenewed: Option<String>,
    /// Also remove a replica that has not handed over what it alone may have.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub force: bool,
    /// Change nothing.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub dry_run: bool,
}

/// The body of `POST regions/{id}/drain`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRegion {
    /// Also move away what it has.
    #[serde(default, rename = "move", skip_serializing_if = "Not::not")]
    pub moves: bool,
    /// The region that gets a replica in place of the one that goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Although multipart uploads are lost.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub abort_uploads: bool,
}

/// The body of `POST regions/{id}/drain-plan`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanDrain {
    /// As it would be given to the drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The same.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub abort_uploads: bool,
    /// Only buckets whose names come after this.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub after: String,
}

/// The body of `POST buckets/{name}/promote`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The new home; the registry's region chooses it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Although the old home answers, or a replica may lack something.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub force: bool,
    /// Although multipart uploads are lost.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub abort_uploads: bool,
    /// Both regions work: the old home takes no writes until the new one has all of them, and only
    /// then the home moves.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub planned: bool,
    /// Change nothing.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub dry_run: bool,
    /// How long the answer may wait; until it is done when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// The body of `POST scrub`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartScrub {
    /// Also repair what is damaged.
    pub repair: bool,
}

/// The body of `POST buckets/{name}/residency`: it has no field.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}
