//! Which replica becomes the home when nobody names one.

use std::{sync::Arc, time::Duration};

use cloud::RegionStatus;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use types::{BucketDeed, RegionId};

use super::{Admin, Refused, answers::conflict};
use crate::{completeness::Lacking, region::Region};

/// How long the home may take to say how complete its replicas are. Usually it is lost, and what it
/// reported last counts.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// A replica that answers and can be the home.
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    region: RegionId,
    /// Its place among the successors that the owner named.
    wanted: Option<usize>,
    /// What it lacks, as the home reported last; nothing where that is not known.
    lacking: Option<Lacking>,
    /// Whether it is in the home's country.
    country: bool,
    /// Whether the home's operator runs it.
    operator: bool,
    /// How far it is from the home.
    kilometres: f64,
}

impl Candidate {
    /// Why it is the one.
    fn why(&self, now: Instant) -> String {
        let mut words = Vec::new();
        if self.wanted.is_some() {
            words.push("the bucket's owner chose it".to_owned());
        }
        words.push(match &self.lacking {
            Some(Lacking { changes, at }) => {
                let ago = now.saturating_duration_since(*at).as_secs();
                let lacks = match changes {
                    0 => "nothing".to_owned(),
                    1 => "1 change".to_owned(),
                    more => format!("{more} changes"),
                };
                format!("the home said {ago} s ago that it lacks {lacks}")
            }
            None => "the home has not said how complete it is".to_owned(),
        });
        if self.country {
            words.push("same country".to_owned());
        }
        if self.operator {
            words.push("same operator".to_owned());
        }
        words.join(", ")
    }
}

/// The best one: what the owner wanted, then the most complete, then the same country, then the
/// same operator, then the nearest, then the first by name.
fn best(mut all: Vec<Candidate>) -> Option<Candidate> {
    all.sort_by(|a, b| {
        let order = |one: &Candidate| {
            (
                one.wanted.unwrap_or(usize::MAX),
                one.lacking.map_or(u64::MAX, |lacking| lacking.changes),
                // One of which nothing is known comes after all of which something is.
                one.lacking.is_none(),
                !one.country,
                !one.operator,
            )
        };
        let near = a.kilometres.total_cmp(&b.kilometres);
        let by_name = || a.region.cmp(&b.region);
        order(a).cmp(&order(b)).then(near).then_with(by_name)
    });
    all.into_iter().next()
}

/// Whether a region can be the home: why not, otherwise.
async fn can_be_home(region: &Arc<Region>, at: &RegionId) -> Result<(), String> {
    let known = region.registry.region(at);
    if known.is_some_and(|known| known.status != RegionStatus::Open) {
        // It would have to be left again.
        return Err(format!("{at} is not open"));
    }
    match *at == region.id || region.answers(at).await {
        true => Ok(()),
        false => Err(format!("{at} does not answer")),
    }
}

impl Admin {
    /// The new home of a bucket, and why it is the one.
    pub(super) async fn chosen(
        &self,
        found: &Arc<BucketDeed>,
    ) -> Result<(RegionId, String), Refused> {
        let mut asking = JoinSet::new();
        for at in found.placement.succession() {
            let (region, at) = (Arc::clone(&self.region), at.clone());
            asking.spawn(async move {
                let can = can_be_home(&region, &at).await;
                (at, can)
            });
        }
        self.ask_home(found).await;
        let (mut candidates, mut passed_over) = (Vec::new(), Vec::new());
        while let Some(asked) = asking.join_next().await {
            match asked {
                Ok((region, Ok(()))) => candidates.push(self.candidate(found, region)),
                Ok((_, Err(why))) => passed_over.push(why),
                Err(error) => tracing::error!(%error, "asking a replica broke"),
            }
        }
        passed_over.sort();
        let name = &found.name;
        let best = best(candidates).ok_or_else(|| {
            conflict(&match passed_over.is_empty() {
                true => format!("no other region keeps a replica of {name} that it can read"),
                false => format!(
                    "none of the regions that could be the home of {name} can be chosen ({}): name \
                     the one that is to be, with --to",
                    passed_over.join(", ")
                ),
            })
        })?;
        let why = best.why(Instant::now());
        Ok((best.region, why))
    }

    /// Has the home say once more how complete its replicas are, if it answers.
    async fn ask_home(&self, found: &Arc<BucketDeed>) {
        let asked = timeout(TELL_WITHIN, self.region.replicas(found)).await;
        if let (true, Ok(Ok(copies))) = (found.home == self.region.id, asked) {
            self.region.watched.completeness.note(found, &copies);
        }
    }

    fn candidate(&self, found: &BucketDeed, region: RegionId) -> Candidate {
        let places = &self.region.registry;
        let (home, there) = (places.place(&found.home), places.place(&region));
        let both = home.as_ref().zip(there.as_ref());
        let neighbours = &self.region.neighbours;
        let mut successors = found.placement.successors.iter();
        Candidate {
            wanted: successors.position(|one| *one == region),
            lacking: self.region.watched.completeness.of(found, &region),
            country: both.is_some_and(|(a, b)| a.jurisdiction == b.jurisdiction),
            operator: both.is_some_and(|(a, b)| a.operator == b.operator),
            kilometres: neighbours.kilometres_between(&found.home, &region),
            region,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, changes: Option<u64>) -> Candidate {
        let at = Instant::now();
        Candidate {
            region: RegionId::new(name),
            wanted: None,
            lacking: changes.map(|changes| Lacking { changes, at }),
            country: false,
            operator: false,
            kilometres: 1000.0,
        }
    }

    #[test]
    fn the_owner_then_completeness_then_country_operator_and_distance_decide() {
        let chosen = |all: &[Candidate]| best(all.to_vec()).unwrap().region.to_string();
        let with = |name, of: fn(&mut Candidate)| {
            let mut changed = one(name, Some(0));
            of(&mut changed);
            changed
        };
        let behind = Candidate {
            lacking: one("a", Some(2)).lacking,
            ..with("a", |one| (one.country, one.operator) = (true, true))
        };
        let unknown = Candidate {
            lacking: None,
            ..with("0", |one| (one.country, one.operator) = (true, true))
        };
        let whole = one("b", Some(0));
        let near = with("c", |one| one.kilometres = 10.0);
        let same = with("d", |one| one.operator = true);
        let country = with("e", |one| one.country = true);
        let order = [&country, &same, &near, &whole, &behind, &unknown];
        for (n, expected) in order.iter().enumerate() {
            let mut rest: Vec<_> = order[n..].iter().map(|one| (*one).clone()).collect();
            rest.reverse();
            assert_eq!(chosen(&rest), *expected.region);
        }
        assert_eq!(chosen(&[one("b", Some(0)), one("a", Some(0))]), "a");
        let first = Candidate {
            wanted: Some(0),
            ..one("z", Some(7))
        };
        let second = Candidate {
            wanted: Some(1),
            ..one("y", Some(0))
        };
        assert_eq!(chosen(&[whole, second, first.clone()]), "z");
        assert_eq!(best(Vec::new()), None);
    }

    #[test]
    fn it_is_said_why_a_replica_is_chosen() {
        let now = Instant::now();
        let told = |changes, ago| Candidate {
            lacking: Some(Lacking {
                changes,
                at: now - Duration::from_secs(ago),
            }),
            country: true,
            ..one("a", None)
        };
        assert_eq!(
            told(3, 5).why(now),
            "the home said 5 s ago that it lacks 3 changes, same country"
        );
        assert!(told(0, 0).why(now).contains("that it lacks nothing"));
        assert!(one("a", None).why(now).contains("has not said"));
    }
}
