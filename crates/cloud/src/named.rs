//! Whom a bucket's policy names. A policy names users and roles by their ARNs, and means whoever
//! had that name when it was written: so it is kept with their unique ids, which are never given
//! again. Only the registry's region knows the users of all accounts, and it is asked once, when a
//! policy is written, and when one is shown. What a region learns of others' users is bounded: it
//! has to hold the bucket, gets one name for another that it has, and not many of them.

use std::time::{Duration, Instant};

use types::{BucketName, Deeds, Holding, RegionId};

use crate::{CloudError, Registry, Told, introduce::Pace, link::Ask, registry::Keeper};

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
    /// whom there is not. `bucket` is the one whose policy names them, and is held here.
    ///
    /// # Errors
    /// The registry's region does not answer, or does not tell now.
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
            Told::Names { names } if names.len() == count => Ok(names),
            Told::Refused(why) => Err(CloudError::Unavailable(why)),
            _ => Err(away("an answer to another question")),
        }
    }

    fn known_names(&self, names: &[String]) -> Vec<Option<String>> {
        let state = self.state.read();
        let other = |name: &String| match name.starts_with("arn:") {
            true => state.id_of_arn(name).map(str::to_owned),
            false => state.arn_of_id(name),
        };
        names.iter().map(other).collect()
    }

    /// Answers the region `from`.
    pub(crate) fn tell_names(
        &self,
        from: &RegionId,
        bucket: &str,
        names: &[String],
    ) -> Result<Told, CloudError> {
        let deed = BucketName::new(bucket).ok();
        let deed = deed.and_then(|name| Deeds::get(self, &name));
        let holds =
            deed.is_some_and(|deed| matches!(deed.holding(from), Holding::Home | Holding::Replica));
        if !holds || names.len() > NAMES_MAX {
            return Err(CloudError::Refused(format!(
                "region {from} does not hold a bucket whose policy could name so many users"
            )));
        }
        let mut left = self.names_left.lock();
        let left = left.entry(from.clone()).or_default();
        if !PACE.take_many(left, names.len() as f64, Instant::now()) {
            return Err(CloudError::SlowDown(format!(
                "region {from} asks for too many names of users"
            )));
        }
        Ok(Told::Names {
            names: self.known_names(names),
        })
    }
}
