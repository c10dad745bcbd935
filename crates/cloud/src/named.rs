//! Whom a bucket's policy names. A policy names users and roles by their ARNs, and means whoever
//! had that name when it was written: so it is kept with their unique ids, which are never given
//! again. Only the registry's region knows the users of all accounts, and it is asked once, when a
//! policy is written, and when one is shown. What a region learns of others' users is bounded: it
//! has to hold the bucket, gets one name for another that it has, and not many of them; the name
//! for an id only of accounts that it knows anyway.

use std::time::{Duration, Instant};

use types::{BucketDeed, BucketName, Deeds, Holding, RegionId};

use crate::{
    CloudError, Registry, RegistryAnswer, clients::Pace, introduce::Served, link::Ask,
    registry::Keeper, state::State,
};

/// Names in one question.
const NAMES_MAX: usize = 512;
/// Names that a region gets.
const PACE: Pace = Pace {
    per_second: 20.0,
    burst: 2048.0,
};
/// The longest that the registry's region is waited for.
const WITHIN: Duration = Duration::from_secs(4);

impl Registry {
    /// For each ARN of a user or role its unique id, and for each unique id today's ARN; none for
    /// whom there is not, and for ids of accounts of which this region knows nothing. `bucket` is
    /// the one whose policy names them, and is held here.
    ///
    /// # Errors
    /// The registry's region does not answer, or does not say it now.
    pub async fn other_names(
        &self,
        bucket: &BucketName,
        names: Vec<String>,
    ) -> Result<Vec<Option<String>>, CloudError> {
        let count = names.len();
        let Keeper::There(upstream) = &self.keeper else {
            return Ok(self.known_names(&names));
        };
        let away = |why: &str| CloudError::Unavailable(why.to_owned());
        let ask = Ask::Names {
            bucket: bucket.to_string(),
            names,
        };
        let told = tokio::time::timeout(WITHIN, upstream.ask(ask)).await;
        match told.map_err(|_| away("the registry's region does not answer in time"))?? {
            RegistryAnswer::Names { names } if names.len() == count => Ok(names),
            RegistryAnswer::Refused(why) => Err(CloudError::Unavailable(why)),
            _ => Err(away("an answer to another question")),
        }
    }

    fn known_names(&self, names: &[String]) -> Vec<Option<String>> {
        let state = self.state.read();
        names.iter().map(|name| other(&state, name)).collect()
    }

    /// The same for another region. It gets the name for an id only of whom it has the account's
    /// keys, or where the account has the bucket: the audit log has the ids of all tenants. For
    /// others it can ask whether the ARN that was written is still theirs. Of an account whose
    /// guard does not allow the region, there is nobody.
    fn names_for(&self, from: &RegionId, owner: &str, names: &[String]) -> Vec<Option<String>> {
        let state = self.state.read();
        let mut served = Served::by(&state, from, self.own());
        let mut may_have = |name: &str| {
            let by_arn = name.starts_with("arn:");
            let account = match by_arn {
                true => account_of_arn(name),
                false => state.account_of_id(name),
            };
            let within = account.is_some_and(|id| state.is_within_guard(id, from));
            if !within && !types::planted("names-outside-the-guard") {
                return false;
            }
            let known = account.is_some_and(|id| access::is_account(id, owner) || served.has(id));
            by_arn || known || types::planted("names-for-any-id")
        };
        let told = |name: &String| may_have(name).then(|| other(&state, name)).flatten();
        names.iter().map(told).collect()
    }

    /// Answers the region `from`.
    pub(crate) fn answer_names(
        &self,
        from: &RegionId,
        bucket: &str,
        names: &[String],
    ) -> Result<RegistryAnswer, CloudError> {
        let deed = BucketName::new(bucket).ok();
        let deed = deed.and_then(|name| Deeds::get(self, &name));
        let holds =
            |deed: &BucketDeed| matches!(deed.holding(from), Holding::Home | Holding::Replica);
        let deed = deed.filter(|deed| holds(deed) && names.len() <= NAMES_MAX);
        let deed = deed.ok_or_else(|| {
            CloudError::Refused(format!(
                "region {from} does not hold a bucket whose policy could name so many users"
            ))
        })?;
        let mut left = self.names_left.lock();
        let left = left.entry(from.clone()).or_default();
        if !PACE.take_many(left, names.len() as f64, Instant::now()) {
            return Err(CloudError::SlowDown(format!(
                "region {from} asks for too many names of users"
            )));
        }
        Ok(RegistryAnswer::Names {
            names: self.names_for(from, &deed.owner, names),
        })
    }
}

/// The account that an ARN of a user, a role or a session names.
fn account_of_arn(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}

fn other(state: &State, name: &str) -> Option<String> {
    match name.starts_with("arn:") {
        true => state.id_of_named(name).map(str::to_owned),
        false => state.arn_of_id(name),
    }
}
