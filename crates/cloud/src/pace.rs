//! How fast accounts and regions may change the registry. Every change is an entry of the audit
//! log for good, so one that changes without end would be paid for by all.
//!
//! Shares are filled at their own rate up to their burst: one for each account, one for all
//! accounts together that come through a region, one for what the region does itself, and one for
//! the cloud's operator. No tenant uses up a region's own, no region the operator's. A change needs
//! room in all shares that it concerns.
//!
//! What brings something about that may be taken back counts twice, and taking it back is free: so
//! nobody who deletes a bucket, disables a key or takes a certificate back ever has to wait. Only
//! entries count: what is refused, or changes nothing, writes none.

use std::collections::HashMap;

use parking_lot::Mutex;
use types::{Actor, RegionId, Timestamp};

use crate::CloudError;

/// Accounts and regions that are remembered one by one; beyond, all others have one share.
const REMEMBERED_MAX: usize = 20_000;
const MINUTE_MS: f64 = 60_000.0;
/// What a region changes by itself, where the limit of regions is no lower: renewals, addresses,
/// receipts and reports are few, and nobody but the region's operator answers for them.
const OWN: Share = Share {
    burst: 2000,
    per_minute: 120,
};
/// What a region puts on record about itself: where it is reached, and what its build knows. Each
/// start of an honest region brings one such entry at most.
const ITSELF: Share = Share {
    burst: 100,
    per_minute: 2,
};
/// What one region puts on record about one bucket: each entry is in the chain of somebody's
/// bucket for good.
const ABOUT: Share = Share {
    burst: 20,
    per_minute: 1,
};

/// How often a bucket's home says that a region came back with versions of it: each names up to 500
/// keys, and of a region that comes back after long there are many.
const CAME_BACK: Share = Share {
    burst: 500,
    per_minute: 30,
};

/// Entries of buckets' chains that are read to answer one region.
const READS: Share = Share {
    burst: 20_000,
    per_minute: 3000,
};

/// What somebody may change: so much at once, and so much a minute in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Changes at once.
    pub burst: u32,
    /// Changes a minute.
    pub per_minute: u32,
}

/// How fast the registry may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeLimits {
    /// By each account.
    pub account: Share,
    /// By each region, and as much by all accounts together through each region.
    pub region: Share,
    /// By the cloud's operator, in the registry's region.
    pub operator: Share,
}

impl Default for ChangeLimits {
    fn default() -> Self {
        let share = |burst, per_minute| Share { burst, per_minute };
        Self {
            account: share(1000, 240),
            region: share(10_000, 2400),
            operator: share(20_000, 12_000),
        }
    }
}

/// Whose share it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Account(String),
    /// What a region does itself.
    Region(RegionId),
    /// What a region says about itself.
    Itself(RegionId),
    /// What a region says about one bucket.
    About(RegionId, String),
    /// What a bucket's home says of what others came back with.
    CameBack(RegionId, String),
    /// What is read to answer a region.
    Reads(RegionId),
    /// All accounts that come through a region.
    Through(RegionId),
    Operator,
    /// Accounts and regions for which there is no place.
    Others,
}

/// What is left of a share.
#[derive(Debug, Clone, Copy)]
struct Left {
    changes: f64,
    at_ms: u64,
}

/// What everybody has left.
pub(crate) struct Pace {
    inner: Mutex<Inner>,
}

struct Inner {
    limits: ChangeLimits,
    left: HashMap<Whose, Left>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                limits: ChangeLimits::default(),
                left: HashMap::new(),
            }),
        }
    }
}

/// How much an action counts.
fn cost(action: &str) -> f64 {
    match action {
        "bucket.delete" | "key.delete" | "key.disable" | "account.suspend" | "region.revoke"
        | "user.delete" | "group.delete" | "group.remove" | "policy.delete" | "policy.detach"
        | "role.delete" | "provider.delete" | "session.end" => 0.0,
        "bucket.create" | "user.create" | "role.create" | "provider.create" | "key.create"
        | "key.enable" | "account.resume" | "policy.attach" | "group.add" => 2.0,
        _ => 1.0,
    }
}

impl Pace {
    /// Other limits from now on.
    pub(crate) fn limit(&self, limits: ChangeLimits) {
        self.inner.lock().limits = limits;
    }

    /// Takes what `action` on `subject` by `actor` counts, or says how long to wait. `own` is the
    /// region that keeps the registry; `is_operator` whether an account is the cloud operator's.
    pub(crate) fn take(
        &self,
        actor: &Actor,
        (action, subject): (&str, &str),
        own: &RegionId,
        is_operator: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<(), CloudError> {
        let cost = cost(action);
        if cost == 0.0 || types::planted("changes-unlimited") {
            return Ok(());
        }
        let account = |id: &str| Whose::Account(id.to_owned());
        let whose = match actor {
            Actor::System => vec![Whose::Operator],
            Actor::Key { account: id, .. } if is_operator(id) => vec![Whose::Operator],
            Actor::Key { account: id, .. } => vec![Whose::Through(own.clone()), account(id)],
            Actor::Region(region) => match action {
                "bucket.removed" | "bucket.removed_on_word" => vec![
                    Whose::Region(region.clone()),
                    Whose::About(region.clone(), subject.to_owned()),
                ],
                "bucket.divergence" => vec![
                    Whose::Region(region.clone()),
                    Whose::CameBack(region.clone(), subject.to_owned()),
                ],
                "region.announce" | "region.features" => {
                    vec![Whose::Region(region.clone()), Whose::Itself(region.clone())]
                }
                _ => vec![Whose::Region(region.clone())],
            },
            // A region's word is not the operator: it has the share of all who come through it.
            Actor::Through {
                region,
                account: id,
                ..
            } if is_operator(id) => vec![Whose::Through(region.clone())],
            Actor::Through {
                region,
                account: id,
                ..
            } => vec![Whose::Through(region.clone()), account(id)],
        };
        self.inner.lock().take(whose, cost, now.ms())
    }

    /// Takes so many entries that are to be read to answer a region. A chain that is longer than
    /// all that may be read at once takes all of it.
    pub(crate) fn read(
        &self,
        region: &RegionId,
        entries: u64,
        now: Timestamp,
    ) -> Result<(), CloudError> {
        if entries == 0 {
            return Ok(());
        }
        let entries = u32::try_from(entries).unwrap_or(u32::MAX).min(READS.burst);
        let whose = vec![Whose::Reads(region.clone())];
        self.inner.lock().take(whose, f64::from(entries), now.ms())
    }
}

impl Inner {
    fn share(&self, whose: &Whose) -> Share {
        match whose {
            Whose::Account(_) => self.limits.account,
            Whose::Region(_) => Share {
                burst: self.limits.region.burst.min(OWN.burst),
                per_minute: self.limits.region.per_minute.min(OWN.per_minute),
            },
            Whose::Itself(_) => ITSELF,
            Whose::About(..) => ABOUT,
            Whose::CameBack(..) => CAME_BACK,
            Whose::Reads(_) => READS,
            Whose::Through(_) | Whose::Others => self.limits.region,
            Whose::Operator => self.limits.operator,
        }
    }

    /// What is left now.
    fn left(&self, whose: &Whose, now_ms: u64) -> f64 {
        let share = self.share(whose);
        let burst = f64::from(share.burst);
        match self.left.get(whose) {
            None => burst,
            // A clock that went back fills nothing.
            Some(left) => {
                let passed = now_ms.saturating_sub(left.at_ms) as f64;
                (left.changes + passed * f64::from(share.per_minute) / MINUTE_MS).min(burst)
            }
        }
    }

    /// Takes from all of them, or from none.
    fn take(&mut self, whose: Vec<Whose>, cost: f64, now_ms: u64) -> Result<(), CloudError> {
        let whose: Vec<Whose> = whose.into_iter().map(|w| self.place(w, now_ms)).collect();
        for one in &whose {
            let left = self.left(one, now_ms);
            if left < cost {
                return Err(self.slow_down(one, cost - left));
            }
        }
        for one in whose {
            let changes = self.left(&one, now_ms) - cost;
            let at_ms = now_ms;
            self.left.insert(one, Left { changes, at_ms });
        }
        Ok(())
    }

    /// `whose` if it is remembered or there is a place for it. Those who have all of their share
    /// need none.
    fn place(&mut self, whose: Whose, now_ms: u64) -> Whose {
        if self.left.contains_key(&whose) || self.left.len() < REMEMBERED_MAX {
            return whose;
        }
        let full: Vec<Whose> = self
            .left
            .keys()
            .filter(|one| self.left(one, now_ms) >= f64::from(self.share(one).burst))
            .cloned()
            .collect();
        for one in &full {
            self.left.remove(one);
        }
        match self.left.len() < REMEMBERED_MAX {
            true => whose,
            false => Whose::Others,
        }
    }

    fn slow_down(&self, whose: &Whose, missing: f64) -> CloudError {
        let share = self.share(whose);
        let who = match whose {
            Whose::Account(id) => format!("account {id}"),
            Whose::Region(id) | Whose::Reads(id) => format!("region {id}"),
            Whose::Itself(id) => format!("region {id} about itself"),
            Whose::About(id, bucket) | Whose::CameBack(id, bucket) => {
                format!("region {id} about bucket {bucket}")
            }
            Whose::Through(id) => format!("all accounts through region {id}"),
            Whose::Operator => "the cloud's operator".to_owned(),
            Whose::Others => "all other accounts together".to_owned(),
        };
        let seconds = (missing * 60.0 / f64::from(share.per_minute.max(1))).ceil();
        if let Whose::Reads(_) = whose {
            return CloudError::SlowDown(format!(
                "too much of the audit log is read for {who}; try again in {seconds} s"
            ));
        }
        CloudError::SlowDown(format!(
            "too many changes of buckets, keys and placements by {who}: {} at once and {} a \
             minute are allowed; try again in {seconds} s",
            share.burst, share.per_minute
        ))
    }
}

#[cfg(test)]
mod tests {
    use types::{AccessKeyId, AccountId};

    use super::*;

    const ROOT: &str = "000000000001";

    fn by(account: &str) -> Actor {
        Actor::Key {
            account: AccountId::new(account),
            access_key: AccessKeyId::new("KEY"),
        }
    }

    fn through(region: &str, account: &str) -> Actor {
        Actor::Through {
            region: RegionId::new(region),
            account: AccountId::new(account),
            access_key: None,
        }
    }

    struct Desk(Pace, u64);

    impl Desk {
        fn new() -> Self {
            let pace = Pace::default();
            let share = |burst, per_minute| Share { burst, per_minute };
            pace.limit(ChangeLimits {
                account: share(10, 60),
                region: share(30, 120),
                operator: share(5, 60),
            });
            Self(pace, 1_000_000)
        }

        fn may(&self, actor: &Actor, action: &str) -> bool {
            let own = RegionId::new("own");
            let at = Timestamp::from_ms(self.1);
            let taken = self.0.take(actor, (action, "b"), &own, |id| id == ROOT, at);
            taken.is_ok()
        }

        /// How often in a row.
        fn times(&self, actor: &Actor, action: &str) -> usize {
            (0..1000).take_while(|_| self.may(actor, action)).count()
        }
    }

    #[test]
    fn an_account_has_its_burst_and_then_its_rate() {
        let mut desk = Desk::new();
        assert_eq!(desk.times(&by("2"), "bucket.place"), 10);
        desk.1 += 3000;
        assert_eq!(desk.times(&by("2"), "bucket.place"), 3);
        desk.1 += 3_600_000;
        assert_eq!(desk.times(&by("2"), "bucket.place"), 10);
        assert_eq!(
            desk.times(&by("3"), "bucket.create"),
            5,
            "paid with the deletion"
        );
    }

    #[test]
    fn what_takes_back_is_never_refused() {
        let desk = Desk::new();
        desk.times(&by("2"), "bucket.create");
        assert_eq!(desk.times(&by("2"), "bucket.delete"), 1000);
        assert_eq!(desk.times(&by("2"), "key.disable"), 1000);
        assert!(!desk.may(&by("2"), "bucket.create"));
    }

    #[test]
    fn accounts_together_use_up_their_region_and_no_other() {
        let desk = Desk::new();
        let made: usize = (0..100)
            .map(|n| desk.times(&through("far", &format!("a{n}")), "bucket.place"))
            .sum();
        assert_eq!(made, 30);
        assert!(
            desk.may(&Actor::Region(RegionId::new("far")), "region.renew"),
            "its own"
        );
        assert!(desk.may(&through("other", "b"), "bucket.place"));
        assert!(desk.may(&by("b"), "bucket.place"));
    }

    #[test]
    fn what_a_region_says_itself_has_an_end_for_each_bucket_and_in_all() {
        let desk = Desk::new();
        let region = Actor::Region(RegionId::new("far"));
        let own = RegionId::new("own");
        let at = Timestamp::from_ms(desk.1);
        desk.0.limit(ChangeLimits::default());
        let says = |action, bucket: &str| {
            let taken = desk.0.take(&region, (action, bucket), &own, |_| false, at);
            taken.is_ok()
        };
        for (action, share) in [
            ("bucket.removed_on_word", ABOUT),
            ("bucket.removed", ABOUT),
            ("bucket.divergence", CAME_BACK),
        ] {
            let bucket = format!("bucket-{action}");
            let said = (0..1000).take_while(|_| says(action, &bucket)).count();
            assert_eq!(said, share.burst as usize, "{action}");
        }
        let renewed = (0..100_000).take_while(|_| says("region.renew", "far"));
        let left = (OWN.burst - 2 * ABOUT.burst - CAME_BACK.burst) as usize;
        assert_eq!(renewed.count(), left);
        assert!(desk.may(&Actor::Region(RegionId::new("other")), "region.renew"));
    }

    #[test]
    fn the_operator_has_a_share_that_nobody_else_uses_up() {
        let desk = Desk::new();
        for n in 0..100 {
            desk.times(&by(&format!("a{n}")), "bucket.place");
            desk.times(&through("far", ROOT), "bucket.place");
        }
        assert!(desk.may(&by(ROOT), "region.drain"));
        assert!(desk.may(&Actor::System, "region.open"));
    }

    #[test]
    fn a_refusal_takes_nothing_and_says_how_long_to_wait() {
        let mut desk = Desk::new();
        let (pace, own) = (&desk.0, RegionId::new("own"));
        desk.times(&by("2"), "bucket.place");
        let at = Timestamp::from_ms(desk.1);
        let refused = pace.take(&by("2"), ("bucket.create", "b"), &own, |_| false, at);
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("account 2") && text.contains("in 2 s"),
            "{text}"
        );
        desk.1 += 1000;
        desk.times(&by("2"), "bucket.create");
        assert!(desk.may(&by("2"), "bucket.place"));
        // The region's share was not charged for what its account could not pay.
        let left: usize = (0..9)
            .map(|n| desk.times(&by(&format!("c{n}")), "bucket.place"))
            .sum();
        assert_eq!(left, 30 - 10 - 1 + 2);
    }

    #[test]
    fn what_is_read_to_answer_a_region_is_its_own_share() {
        let desk = Desk::new();
        let read = |region: &str, entries, at_ms| {
            let now = Timestamp::from_ms(at_ms);
            desk.0.read(&RegionId::new(region), entries, now).is_ok()
        };
        let half = u64::from(READS.burst / 2);
        // A chain that is longer than all that may be read at once can be read.
        assert!(read("long", u64::MAX, 0) && !read("long", 1, 0));
        assert!(read("other", half, 0) && read("other", half, 0) && !read("other", 1, 0));
        assert!(read("other", 0, 0), "nothing to read costs nothing");
        assert!(read("other", u64::from(READS.per_minute), 60_000) && !read("other", 1, 60_000));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_a_clock_that_goes_back_gives_nothing() {
        let mut desk = Desk::new();
        let many = Share {
            burst: 1_000_000,
            per_minute: 1,
        };
        desk.0.limit(ChangeLimits {
            region: many,
            account: Share {
                burst: 10,
                per_minute: 1,
            },
            operator: many,
        });
        for n in 0..REMEMBERED_MAX + 10 {
            assert!(desk.may(&by(&format!("a{n}")), "bucket.place"));
        }
        assert!(desk.0.inner.lock().left.len() <= REMEMBERED_MAX + 1);
        desk.times(&by("a1"), "bucket.place");
        desk.1 -= 500_000;
        assert!(!desk.may(&by("a1"), "bucket.place"));
    }
}
