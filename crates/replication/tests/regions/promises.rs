//! One region at a time decides: promises that a home holds, and a replica that becomes the home.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use access::Action;
use objects::{ETagMatch, Error, ObjectAttributes, PutInput, Versioning, WriteConditions};
use replication::{Ask, Far, PromiseAsk, Promises, Regions, What, Yielded};
use types::{
    Body, BucketDeed, BucketId, BucketName, Judge, NotNow, RegionId, Unrenewed,
    body::{MemoryBody, NextChunk},
};

use crate::common::{Cloud, Region, deed, key, until};

/// Long enough for slow machines, short enough to be waited out.
const PROMISE: Duration = Duration::from_secs(5);

impl Region {
    /// Begins to give and ask for promises, with the registry's region called `keeper`, which is
    /// nowhere.
    fn promises(&mut self) -> Arc<Promises> {
        self.promise_for(PROMISE);
        self.objects.judged_by(self.replication.promises().clone());
        tokio::spawn(Arc::clone(&self.replication).renew());
        tokio::spawn(Arc::clone(&self.replication).take_over());
        self.run();
        Arc::clone(self.replication.promises())
    }

    pub(crate) fn decides(&self) -> bool {
        let promises = self.replication.promises();
        promises.may_decide(&self.view.now()).is_ok()
    }

    /// Makes a key that is not there.
    async fn claim(&self, at: &str, by: &str) -> Result<(), Error> {
        self.clock.advance_ms(1);
        let permit = self.permit(access::Action::PutObject);
        let input = PutInput {
            body: Box::new(MemoryBody::new(by.to_owned())),
            attributes: ObjectAttributes::default(),
            md5: None,
            checksum: None,
            trailer: None,
            conditions: WriteConditions {
                if_none_match: Some(ETagMatch::Any),
                ..WriteConditions::default()
            },
        };
        self.objects.put(&permit, &key(at), input).await.map(drop)
    }
}

/// Lets the region send others nothing more of what changed, for as long as the answer is true.
pub(crate) async fn hide_changes(a: &Region) -> Arc<AtomicBool> {
    let behind = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicUsize::new(0));
    let (hides, counts) = (Arc::clone(&behind), Arc::clone(&asked));
    *a.door.hook.write() = Some(Arc::new(move |_, ask| {
        let hidden = matches!(ask.what, What::Changes { .. }) && hides.load(Ordering::SeqCst);
        hidden.then(|| {
            counts.fetch_add(1, Ordering::SeqCst);
            let mut answer = http::Response::new(peer::full("later"));
            *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            answer
        })
    }));
    // A question that waits already brings one change, and no more.
    a.put("plain", "a").await;
    until("it is behind", || async {
        asked.load(Ordering::SeqCst) > 0
    })
    .await;
    behind
}

/// A home and its replica, which promise each other.
pub(crate) async fn two() -> [Region; 2] {
    let [mut a, mut b] = Cloud::two().await;
    a.promises();
    b.promises();
    until("the home is renewed", || async { a.decides() }).await;
    until("the replica follows", || async {
        let copies = a.replication.status().replicas(&a.view.now());
        copies.iter().all(|copy| copy.applied.is_some())
    })
    .await;
    [a, b]
}

#[tokio::test]
async fn a_home_whose_successors_are_silent_takes_plain_writes_only() {
    let [a, b] = two().await;
    a.claim("one", "a").await.unwrap();
    b.proxy.down();
    until("no promise is left", || async { !a.decides() }).await;
    let refused = a.claim("two", "a").await.unwrap_err();
    let words = refused.to_string();
    assert!(matches!(refused, Error::NotNow(_)), "{words}");
    assert!(words.contains("no answer of b"), "{words}");
    a.put("two", "without a condition").await;
    let shown = a.replication.promises().shown(&a.view.now());
    assert!(!shown.renewed && shown.by.is_empty(), "{shown:?}");
    // As its deed has it.
    let with = |unrenewed| {
        let mut deed = BucketDeed::clone(&a.view.now());
        deed.placement.unrenewed = unrenewed;
        Arc::new(deed)
    };
    a.view.hears(&with(Unrenewed::All));
    a.claim("three", "a").await.unwrap();
    a.view.hears(&with(Unrenewed::None));
    assert!(a.claim("four", "a").await.is_err());
    let promises = a.replication.promises();
    assert!(promises.may_write(&a.view.now()).is_err());
    b.proxy.up();
    until("it is renewed again", || async { a.decides() }).await;
    let shown = promises.shown(&a.view.now());
    assert_eq!(
        (shown.renewed, &shown.by[..]),
        (true, &["b".to_owned()][..])
    );
    // Whom nobody could succeed needs no promise.
    b.proxy.down();
    a.view.hears(&deed("a", &[], 1));
    assert!(a.decides());
}

#[tokio::test]
async fn a_copy_that_becomes_the_home_first_reads_what_the_old_home_decided() {
    let [a, b] = two().await;
    let second = deed("b", &["a"], 2);
    // The replica is behind when it becomes the home.
    let behind = hide_changes(&a).await;
    a.claim("once", "a").await.unwrap();
    assert_eq!(b.get("once").await, None);
    b.view.hears(&second);
    behind.store(false, Ordering::SeqCst);
    // The old home does not know it: what the new one sends is enough.
    until("the new home decides", || async { b.decides() }).await;
    assert!(!a.decides());
    let both = (b.claim("once", "b").await, a.claim("other", "a").await);
    assert!(
        matches!(both.0, Err(Error::PreconditionFailed(_))),
        "{both:?}"
    );
    assert!(matches!(both.1, Err(Error::NotNow(_))), "{both:?}");
    let promises = a.replication.promises();
    assert!(promises.may_write(&a.view.now()).is_err(), "nor plain ones");
    assert_eq!(b.replication.promises().taken_over(&second), Some(true));
    // Clients could write the same keys at the new home before: it is on record what came.
    until("what was read is on record", || async {
        let reports = b.view.reports.lock();
        let mut of = reports.iter().filter(|r| (&r.from, r.epoch) == (&a.id, 2));
        of.any(|one| one.keys.contains(&"once".to_owned()))
    })
    .await;
    a.view.hears(&second);
    a.equals(&b).await;
}

#[tokio::test]
async fn a_copy_that_becomes_the_home_waits_its_promise_out_where_the_old_home_is_silent() {
    let [a, b] = two().await;
    a.claim("one", "a").await.unwrap();
    b.equals(&a).await;
    let promises = Arc::clone(b.replication.promises());
    a.proxy.down();
    b.view.hears(&deed("b", &["a"], 2));
    let ends = promises.given_until(&a.id);
    // Never both, however long it takes.
    until("the new home decides", || async {
        let new = promises.taken_over(&b.view.now());
        assert!(new.is_none() || !a.decides(), "both decide");
        new == Some(false)
    })
    .await;
    assert!(tokio::time::Instant::now() >= ends);
}

#[tokio::test]
async fn a_region_that_has_not_heard_that_it_was_the_home_has_not_yielded() {
    let [mut a, b] = Cloud::two().await;
    // It was made the home and lost that again, and knows neither.
    let yields = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&yields);
    *b.door.hook.write() = Some(Arc::new(move |_: &RegionId, ask: &Ask| {
        if matches!(ask.what, What::Yield) {
            asked.fetch_add(1, Ordering::SeqCst);
        }
        None
    }));
    let promises = a.promises();
    let third = deed("a", &["b"], 3);
    // The first process of a region counts as having promised until then.
    let ends = promises.given_until(&b.id);
    a.view.hears(&third);
    until("the region has taken its place", || async {
        promises.taken_over(&third).is_some()
    })
    .await;
    assert!(
        tokio::time::Instant::now() >= ends,
        "the other may decide yet"
    );
    assert!(yields.load(Ordering::SeqCst) > 0, "it was not asked");
}

#[tokio::test]
async fn who_could_succeed_a_home_is_asked_of_the_deed_of_now() {
    let [mut a, b] = Cloud::two().await;
    let alone = deed("a", &[], 1);
    a.view.hears(&alone);
    let promises = a.promises();
    promises.may_decide(&alone).unwrap();
    b.proxy.down();
    // A request that began before goes on with the deed that it was permitted by.
    a.view.hears(&deed("a", &["b"], 1));
    let refused = promises.may_decide(&alone);
    assert!(refused.is_err(), "decided by who could succeed it before");
}

#[tokio::test]
async fn many_buckets_of_a_silent_home_are_taken_over_without_a_question_for_each() {
    let [a, mut b] = Cloud::two().await;
    // No answer, and no failure: each question takes as long as it may.
    a.proxy.stall();
    b.promise_for(Duration::from_secs(1));
    let many = (1000..2000).map(|id| {
        Arc::new(BucketDeed {
            id: BucketId(id),
            name: BucketName::new(&format!("bucket-{id}")).unwrap(),
            ..BucketDeed::clone(&deed("b", &["a"], 2))
        })
    });
    let many: Vec<_> = many.collect();
    *b.view.others.write() = many.clone();
    b.view.hears(&deed("b", &["a"], 2));
    tokio::spawn(Arc::clone(&b.replication).take_over());
    let promises = b.replication.promises();
    until("the new home decides for all", || async {
        let mut seats = many.iter().map(|deed| promises.taken_over(deed));
        seats.all(|taken| taken == Some(false))
    })
    .await;
}

#[tokio::test]
async fn a_giver_that_was_started_anew_waits_as_if_it_had_promised_all() {
    let [_, mut b] = two().await;
    b.stop().await;
    let before = tokio::time::Instant::now();
    let promises = b.promises();
    let nobody = RegionId::new("nobody-asked");
    assert!(promises.given_until(&nobody) >= before + PROMISE);
    // And one that took its place before it was stopped need not wait again.
    b.view.hears(&deed("b", &["a"], 2));
    until("it decides", || async {
        b.replication.promises().taken_over(&b.view.now()).is_some()
    })
    .await;
    until("that is noted", || async {
        b.objects.epoch_here(&b.view.now()).await.unwrap() == 2
    })
    .await;
    b.stop().await;
    let begun = tokio::time::Instant::now();
    b.promise_for(Duration::from_secs(60));
    tokio::spawn(Arc::clone(&b.replication).take_over());
    until("it decides at once", || async {
        let taken = b.replication.promises().taken_over(&b.view.now());
        taken.is_some()
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn while_a_promotion_waits_the_old_home_gets_no_promise() {
    let [a, b] = two().await;
    let promises = Arc::clone(b.replication.promises());
    let ask = PromiseAsk {
        known: String::new(),
    };
    let gives = |to: RegionId| {
        let (promises, ask) = (&promises, &ask);
        until("a promise is given", move || {
            let given = promises.answer(&to, ask).lasts_ms > 0;
            async move { given }
        })
    };
    gives(a.id.clone()).await;
    let pause = promises.pause(&a.id);
    // Longer than it takes until all is said again.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(promises.answer(&a.id, &ask).lasts_ms, 0);
    gives(RegionId::new("c")).await;
    pause.end();
    gives(a.id.clone()).await;
    // One that is given up lingers: it may be asked for again. Another one that ends does not
    // change that.
    let other = promises.pause(&a.id);
    drop(promises.pause(&a.id));
    other.end();
    assert_eq!(promises.answer(&a.id, &ask).lasts_ms, 0);
}

#[tokio::test]
async fn only_those_who_could_be_the_home_are_believed_about_an_epoch() {
    let all = Cloud::start(&[("a", "DE"), ("b", "FR"), ("x", "IE")]).await;
    let [mut a, b, x] = <[Region; 3]>::try_from(all).ok().unwrap();
    let first = deed("a", &["b"], 1);
    for region in [&a, &b, &x] {
        region.view.hears(&first);
    }
    let promises = a.promises();
    let asks = |from: &Region, epoch| Far {
        deed: deed("b", &["a"], epoch),
        ..from.far(&a, &first)
    };
    let refused = asks(&x, 2).read::<Yielded>(What::Yield).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
    promises.may_write(&first).unwrap();
    // Any question under a newer epoch will do.
    let refused = asks(&b, 2).tell(What::Head).await.unwrap_err();
    assert!(refused.to_string().contains("409"), "{refused}");
    let words = promises.may_write(&first).unwrap_err().to_string();
    assert!(words.contains("newer deed"), "{words}");
    let yielded = asks(&b, 2).read::<Yielded>(What::Yield).await.unwrap();
    assert_eq!((yielded.epoch, yielded.was_home), (1, true));
    // Once it learns of that epoch itself, and is the home again later, nothing is left of it.
    a.view.hears(&deed("a", &["b"], 3));
    assert!(promises.may_write(&a.view.now()).is_ok());
    assert!(Regions::deed(&*a.view, &first.name).is_some());
}

#[tokio::test]
async fn what_takes_time_to_say_is_said_to_a_region_once_in_a_while() {
    let [a, b] = two().await;
    let promises = Arc::clone(b.replication.promises());
    let ask = PromiseAsk {
        known: String::new(),
    };
    let from = RegionId::new("asks-often");
    let begun = tokio::time::Instant::now();
    let given = (0..1000).filter(|_| promises.answer(&from, &ask).lasts_ms > 0);
    let given = given.count();
    let at_most = 1 + begun.elapsed().as_millis() / 50;
    assert!((1..=at_most as usize).contains(&given), "{given}");
    until("it is promised something again", || async {
        promises.answer(&from, &ask).lasts_ms > 0
    })
    .await;
    assert!(a.decides(), "and the others notice nothing of it");
}

/// Renews a home for so many questions.
#[derive(Default)]
struct Ends(AtomicUsize);

impl Ends {
    fn ask(&self) -> Result<(), NotNow> {
        let left = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.map(drop)
            .map_err(|_| NotNow("no longer renewed".to_owned()))
    }
    fn after(&self, questions: usize) {
        self.0.store(questions, Ordering::SeqCst);
    }
}

impl Judge for Ends {
    fn may_commit(&self, _: &BucketDeed) -> Result<(), NotNow> {
        Ok(())
    }
    fn may_write(&self, _: &BucketDeed) -> Result<(), NotNow> {
        self.ask()
    }
    fn may_decide(&self, _: &BucketDeed) -> Result<(), NotNow> {
        self.ask()
    }
    fn has_all(&self, _: &BucketDeed) -> Result<(), NotNow> {
        Ok(())
    }
}

#[tokio::test]
async fn a_decision_that_was_overtaken_is_not_acknowledged() {
    let [a, _b] = Cloud::two().await;
    let judge = Arc::new(Ends::default());
    a.objects.judged_by(judge.clone());
    // It is asked before the body is read, before the commit and after it.
    judge.after(2);
    let claimed = a.claim("k", "a").await;
    assert!(matches!(claimed, Err(Error::NotNow(_))), "{claimed:?}");
    // It may have landed: nobody was answered so.
    assert!(a.get("k").await.is_some());
    // That the key is there is found out before the commit.
    judge.after(1);
    let refused = a.claim("k", "again").await;
    assert!(matches!(refused, Err(Error::NotNow(_))), "{refused:?}");
    judge.after(2);
    let any = WriteConditions {
        if_match: Some(ETagMatch::Any),
        ..WriteConditions::default()
    };
    let permit = a.permit(access::Action::DeleteObject);
    let deleted = a.objects.delete(&permit, &key("k"), None, &any).await;
    assert!(matches!(deleted, Err(Error::NotNow(_))), "{deleted:?}");
}

#[tokio::test]
async fn a_configuration_is_changed_only_while_the_home_is_renewed() {
    let [a, _b] = Cloud::two().await;
    let judge = Arc::new(Ends::default());
    a.objects.judged_by(judge.clone());
    let versioning = || async {
        let permit = a.permit(Action::PutBucketVersioning);
        a.objects.set_versioning(&permit, Versioning::Enabled).await
    };
    let is_on = || async {
        let permit = a.permit(Action::GetBucketVersioning);
        a.objects.versioning(&permit).await.unwrap() == Versioning::Enabled
    };
    let tags = || async {
        let permit = a.permit(Action::PutBucketTagging);
        let tags = vec![("name".to_owned(), "value".to_owned())];
        a.objects.set_bucket_tags(&permit, tags).await
    };
    let rules = || async {
        let permit = a.permit(Action::PutReplicationConfiguration);
        a.objects.set_rules(&permit, None).await
    };
    // It was permitted, and the promise has ended since.
    for refused in [versioning().await, tags().await, rules().await] {
        assert!(matches!(refused, Err(Error::NotNow(_))), "{refused:?}");
    }
    assert!(!is_on().await);
    let permit = a.permit(Action::GetBucketTagging);
    assert!(a.objects.bucket_tags(&permit).await.unwrap().is_empty());
    // It ends while it is committed: nobody is answered that it was.
    judge.after(1);
    let overtaken = versioning().await;
    assert!(matches!(overtaken, Err(Error::NotNow(_))), "{overtaken:?}");
    assert!(is_on().await);
    let permit = a.permit(Action::DeleteBucket);
    let deleted = a.objects.delete_bucket(&permit).await;
    assert!(matches!(deleted, Err(Error::NotNow(_))), "{deleted:?}");
    judge.after(100);
    assert!(is_on().await, "it is still there");
    tags().await.unwrap();
    rules().await.unwrap();
}

/// A body that comes once the promise has ended.
struct Late(Arc<Ends>, MemoryBody);

impl Body for Late {
    fn next(&mut self) -> NextChunk<'_> {
        self.0.after(0);
        self.1.next()
    }
    fn len_hint(&self) -> Option<u64> {
        self.1.len_hint()
    }
}

#[tokio::test]
async fn what_a_home_may_not_take_unrenewed_it_does_not_take_late_either() {
    let [a, _b] = Cloud::two().await;
    let judge = Arc::new(Ends::default());
    a.objects.judged_by(judge.clone());
    // By default writes without conditions need nobody.
    a.put("there", "before").await;
    let mut deed = BucketDeed::clone(&a.view.now());
    deed.placement.unrenewed = Unrenewed::None;
    a.view.hears(&Arc::new(deed));
    let put = |at: &str, conditions: WriteConditions| {
        let (permit, at) = (a.permit(Action::PutObject), key(at));
        let input = PutInput {
            body: Box::new(Late(judge.clone(), MemoryBody::new("late"))),
            attributes: ObjectAttributes::default(),
            md5: None,
            checksum: None,
            trailer: None,
            conditions,
        };
        let objects = Arc::clone(&a.objects);
        async move { objects.put(&permit, &at, input).await.map(drop) }
    };
    let absent = WriteConditions {
        if_none_match: Some(ETagMatch::Any),
        ..WriteConditions::default()
    };
    for conditions in [WriteConditions::default(), absent] {
        judge.after(1);
        let late = put("late", conditions).await;
        assert!(matches!(late, Err(Error::NotNow(_))), "{late:?}");
        assert_eq!(a.get("late").await, None);
    }
    let none = WriteConditions::default();
    let delete = || async {
        let permit = a.permit(Action::DeleteObject);
        let deleted = a.objects.delete(&permit, &key("there"), None, &none).await;
        deleted.map(drop)
    };
    let there = key("there");
    let tag = || async {
        let permit = a.permit(Action::PutObjectTagging);
        let tags = vec![("t".to_owned(), "1".to_owned())];
        let tagged = a.objects.set_object_tags(&permit, &there, None, tags);
        tagged.await.map(drop)
    };
    for late in [delete().await, tag().await] {
        assert!(matches!(late, Err(Error::NotNow(_))), "{late:?}");
    }
    assert!(a.get("there").await.is_some());
    // It may have landed where the promise ended meanwhile: nobody is answered so.
    judge.after(1);
    let tagged = tag().await;
    assert!(matches!(tagged, Err(Error::NotNow(_))), "{tagged:?}");
    judge.after(100);
    tag().await.unwrap();
    delete().await.unwrap();
}
