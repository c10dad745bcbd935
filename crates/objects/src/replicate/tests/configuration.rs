//! The configuration in two regions: of each part what was set last counts, in both directions.

use types::{BucketDeed, Clock, Timestamp, VersionId};

use super::*;
use crate::{Configuration, Rule, Rules, SetAt, replicate::AHEAD_MAX_MS};

/// As the deed is once the replica has become the home.
fn promoted() -> Arc<BucketDeed> {
    let mut deed = (*deed()).clone();
    deed.home = RegionId::new("copy");
    deed.placement.replicas[0].region = RegionId::new("home");
    deed.epoch = 2;
    Arc::new(deed)
}

fn tags(value: &str) -> Vec<(String, String)> {
    vec![("team".to_owned(), value.to_owned())]
}

fn rules() -> Rules {
    let rule = Rule {
        id: "all".to_owned(),
        priority: 1,
        enabled: true,
        prefix: String::new(),
        tags: Vec::new(),
        filtered: true,
        delete_markers: false,
        existing: false,
        destination: BucketName::new("other").unwrap(),
        since: Timestamp::from_ms(NOW),
    };
    Rules {
        role: String::new(),
        rules: vec![rule],
    }
}

fn at(ms: u64) -> Option<VersionId> {
    Some(VersionId::new(Timestamp::from_ms(ms), 0, 0, 0))
}

impl Region {
    async fn set_tags(&self, value: &str) {
        self.clock.advance_ms(1);
        let permit = self.permit(Action::PutBucketTagging);
        let set = self.objects.set_bucket_tags(&permit, tags(value));
        set.await.unwrap();
    }
    async fn set_rules(&self, rules: Option<Rules>) {
        self.clock.advance_ms(1);
        let permit = self.permit(Action::PutReplicationConfiguration);
        self.objects.set_rules(&permit, rules).await.unwrap();
    }
    async fn config(&self) -> Configuration {
        let head = self.objects.head_position(&self.sending()).await;
        match head.unwrap().1 {
            ShippedChange::Config(config) => *config,
            other => panic!("{other:?}"),
        }
    }
    async fn is_later_than(&self, there: &Configuration) -> bool {
        let permit = self.receiving();
        let later = self.objects.configured_later(&permit, there).await;
        later.unwrap()
    }
    async fn hears(&self, config: Configuration) -> Applied {
        let change = ShippedChange::Config(Box::new(config));
        self.take(&change, &Nothing).await.unwrap()
    }
    /// The same folder, under the deed by which the replica has become the home.
    fn after_promotion(&self, id: &str) -> Self {
        let region = Self::on(self.engine.clone(), id, 9, promoted());
        region.clock.set_ms(self.clock.now().ms());
        region
    }
}

#[tokio::test]
async fn of_two_homes_the_value_that_was_set_last_counts() {
    let (old, copy) = (Region::new("home", 1), Region::new("copy", 2));
    old.versioning(Versioning::Enabled).await;
    copy.follow(&old).await;
    // The replica does not receive this.
    old.set_tags("old").await;
    old.set_rules(Some(rules())).await;
    copy.clock.advance_ms(1000);
    let (old, new) = (old.after_promotion("home"), copy.after_promotion("copy"));
    new.versioning(Versioning::Suspended).await;
    // The old home receives what the new one has: later for one part only.
    old.hears(new.config().await).await;
    assert!(old.is_later_than(&new.config().await).await);
    assert_eq!(old.config().await.tags, tags("old"));
    assert_eq!(old.config().await.versioning, Versioning::Suspended);
    // Where versions are no longer kept, no rules are kept either.
    assert_eq!(old.config().await.rules, None);
    assert_eq!(new.hears(old.config().await).await, Applied::Done);
    assert_eq!(new.config().await, old.config().await);
    assert_eq!(new.hears(old.config().await).await, Applied::Known);
    assert_eq!(old.hears(new.config().await).await, Applied::Known);
    assert!(!old.is_later_than(&new.config().await).await);
    // What is set next is above all of that.
    let before = new.config().await.set;
    new.set_tags("new").await;
    assert!(new.config().await.set.tags > before.tags.max(before.versioning));
    old.follow(&new).await;
    assert_eq!(old.config().await.tags, tags("new"));
}

#[tokio::test]
async fn a_copy_keeps_what_a_home_that_was_put_back_has_not() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    home.set_tags("first").await;
    let backup = home.config().await;
    home.versioning(Versioning::Enabled).await;
    home.set_tags("second").await;
    copy.follow(&home).await;
    let put_back = Region::new("home", 3);
    put_back.clock.set_ms(home.clock.now().ms());
    // It takes from a replica what has a time, and nothing else.
    let unset = SetAt::default();
    let without = Configuration {
        set: unset,
        ..backup.clone()
    };
    assert_eq!(put_back.hears(without).await, Applied::Known);
    put_back.hears(backup).await;
    assert_eq!(copy.hears(put_back.config().await).await, Applied::Known);
    assert_eq!(put_back.hears(copy.config().await).await, Applied::Done);
    assert_eq!(put_back.config().await, home.config().await);
    assert_eq!(copy.config().await, home.config().await);
}

#[tokio::test]
async fn a_time_ahead_of_the_clock_is_not_believed() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    home.set_tags("here").await;
    copy.follow(&home).await;
    let mut ahead = home.config().await;
    (ahead.tags, ahead.set.tags) = (tags("ahead"), at(NOW + 2 * AHEAD_MAX_MS + 60_000));
    // Not by a home, and by a replica as something that has no time.
    assert_eq!(home.hears(ahead.clone()).await, Applied::Known);
    assert_eq!(copy.hears(ahead.clone()).await, Applied::Done);
    let taken = copy.config().await;
    assert_eq!((taken.tags, taken.set.tags), (tags("ahead"), None));
    assert!(!copy.is_later_than(&ahead).await);
    // What the home sets then counts.
    home.set_tags("later").await;
    copy.hears(home.config().await).await;
    assert_eq!(copy.config().await, home.config().await);
    // A clock that was wrong once takes nothing along.
    home.clock.set_ms(NOW + 3_600_000);
    home.set_tags("by a wrong clock").await;
    home.clock.set_ms(NOW + 1000);
    home.set_tags("by a right one").await;
    assert!(home.config().await.set.tags < at(NOW + 2000));
}

#[tokio::test]
async fn of_the_same_time_both_regions_choose_the_same() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    let one = Configuration {
        versioning: Versioning::Suspended,
        tags: tags("b"),
        rules: None,
        set: SetAt {
            versioning: at(NOW),
            tags: at(NOW),
            rules: None,
        },
        ..Configuration::default()
    };
    let other = Configuration {
        versioning: Versioning::Enabled,
        tags: tags("a"),
        ..one.clone()
    };
    for (region, first, then) in [(&home, &one, &other), (&copy, &other, &one)] {
        region.hears(first.clone()).await;
        region.hears(then.clone()).await;
        let config = region.config().await;
        assert_eq!(config.versioning, Versioning::Enabled);
        assert_eq!(config.tags, tags("b"));
    }
}

#[tokio::test]
async fn rules_that_were_set_later_keep_versions() {
    let home = Region::new("home", 1);
    home.versioning(Versioning::Enabled).await;
    home.versioning(Versioning::Suspended).await;
    let there = Configuration {
        versioning: Versioning::Enabled,
        rules: Some(Arc::new(rules())),
        set: SetAt {
            versioning: at(NOW - 1000),
            rules: at(NOW + 1000),
            tags: None,
        },
        ..Configuration::default()
    };
    home.hears(there.clone()).await;
    let config = home.config().await;
    assert_eq!(
        (config.versioning, &config.rules),
        (Versioning::Enabled, &there.rules)
    );
    // And nobody turns versions off.
    let off = Configuration {
        set: SetAt {
            versioning: at(NOW + 5000),
            ..SetAt::default()
        },
        ..Configuration::default()
    };
    assert_eq!(home.hears(off).await, Applied::Known);
}
