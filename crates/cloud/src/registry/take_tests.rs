//! How much a region that follows writes for what it receives, and that many changes at once do
//! what each of them does.

use std::{collections::BTreeSet, mem};

use access::Who;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;
use store::{StoreError, memory::Memory};
use types::AccessKeyId;

use super::{
    follow_tests::{Cloud, Direct, ROOT, opened},
    *,
};
use crate::{Ask, IndexRows, NewKey, RegistryAnswer, link::SentChange};

/// Rows that say what is written.
struct Watched {
    rows: IndexRows,
    /// The keys of each write.
    writes: Mutex<Vec<BTreeSet<String>>>,
}

#[async_trait]
impl Rows for Watched {
    async fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.rows.page(prefix, after, limit).await
    }

    async fn write(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError> {
        let keys = puts.iter().map(|(key, _)| key).chain(&removes);
        let keys = keys.cloned().collect();
        self.rows.write(once, puts, removes).await?;
        self.writes.lock().push(keys);
        Ok(())
    }
}

/// A region that follows, and what it writes.
struct Region {
    registry: Arc<Registry>,
    rows: Arc<Watched>,
    upstream: Direct,
}

impl Region {
    async fn of(cloud: &Cloud) -> Self {
        let rows = IndexRows(Memory::new());
        let rows = Arc::new(Watched {
            rows,
            writes: Mutex::default(),
        });
        Self::with(cloud, rows).await
    }

    /// The region, started anew on its rows.
    async fn again(self, cloud: &Cloud) -> Self {
        self.rows.writes.lock().clear();
        Self::with(cloud, self.rows).await
    }

    async fn with(cloud: &Cloud, rows: Arc<Watched>) -> Self {
        let upstream = || Direct::to(&cloud.keeper, "second");
        let keeper = Keeper::There(Arc::new(upstream()));
        let registry = opened(Arc::clone(&rows) as _, "second", 2, keeper).await;
        Self {
            registry,
            rows,
            upstream: upstream(),
        }
    }

    /// What is written while the region asks once, for keys too.
    async fn asks(&self) -> Vec<BTreeSet<String>> {
        mem::take(&mut *self.rows.writes.lock());
        let asked = self.registry.follow_once(&self.upstream, &mut None).await;
        asked.unwrap();
        mem::take(&mut *self.rows.writes.lock())
    }

    fn holder(&self, key: &NewKey) -> Option<Who> {
        let state = self.registry.state.read();
        let found = state.verifiers.get(&key.access_key);
        found.map(|verifier| verifier.who.clone())
    }
}

async fn with_users(names: &[&str]) -> (Cloud, Vec<(crate::UserInfo, NewKey)>) {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    let mut users = Vec::new();
    for name in names {
        let made = cloud.user(&account, name).await;
        allow(&cloud, &made.0.id, name).await;
        users.push(made);
    }
    (cloud, users)
}

fn text(word: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::photos",
            "Condition": {"StringLike": {"s3:prefix": format!("home-{word}/*")}}},
        {"Sid": "Own", "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            "Resource": format!("arn:aws:s3:::photos/home-{word}/*")},
        {"Effect": "Deny", "Action": "s3:*",
            "Resource": format!("arn:aws:s3:::photos/home-{word}/secret/*")}]})
    .to_string()
}

async fn allow(cloud: &Cloud, user: &str, word: &str) {
    let text = text(word);
    let put = cloud.keeper.put_user_policy(ROOT, user, "own", Some(&text));
    put.await.unwrap();
}

/// The row of a key in a region that follows.
fn row(key: &NewKey) -> String {
    format!("v/{}", key.access_key)
}

#[tokio::test]
async fn a_region_that_starts_anew_and_is_told_the_same_writes_nothing() {
    let (cloud, users) = with_users(&["alice", "bob"]).await;
    let region = Region::of(&cloud).await;
    assert!(!region.asks().await.is_empty());
    let region = region.again(&cloud).await;
    assert!(region.asks().await.is_empty());
    for (user, key) in &users {
        let holder = region.holder(key);
        assert!(matches!(holder, Some(Who::User(held)) if held.id == user.id));
    }
    // A text that differs in what it says, and not in its length, is another.
    allow(&cloud, &users[0].0.id, "carol").await;
    let region = region.again(&cloud).await;
    let written: BTreeSet<String> = region.asks().await.into_iter().flatten().collect();
    assert!(written.contains(&row(&users[0].1)));
    assert!(!written.contains(&row(&users[1].1)));
}

#[tokio::test]
async fn changes_that_come_at_once_are_written_at_once_and_each_user_by_itself() {
    let (cloud, users) = with_users(&["alice", "bob", "carol"]).await;
    let region = Region::of(&cloud).await;
    region.asks().await;
    for n in 0..20 {
        allow(&cloud, &users[n % 2].0.id, &format!("word-{n}")).await;
    }
    let [written] = &region.asks().await[..] else {
        panic!("more than one write");
    };
    let keys = |prefix: &str| written.iter().filter(|key| key.starts_with(prefix)).count();
    // Twenty entries, two users, and the receipt for it all.
    assert_eq!((keys("e/"), keys("v/"), keys("c/")), (20, 2, 1));
    assert!(!written.contains(&row(&users[2].1)));
    // The last documents count, after a start too.
    let region = region.again(&cloud).await;
    assert!(region.asks().await.is_empty());
    assert_eq!(
        *region.registry.watch().borrow(),
        *cloud.keeper.watch().borrow()
    );
}

/// The changes that a region would receive.
async fn told(cloud: &Cloud, region: &Region) -> Vec<SentChange> {
    let ask = Ask::Changes {
        from: region.registry.state.read().length(),
        wait_ms: 0,
        receipt: None,
        features: Some(types::Features::own().names()),
    };
    match cloud.keeper.answer(&RegionId::new("second"), ask).await {
        RegistryAnswer::Changes { changes, .. } => changes,
        _ => panic!("no changes"),
    }
}

#[tokio::test]
async fn p5_a_change_takes_away_what_one_before_it_in_the_same_answer_gave() {
    let (cloud, users) = with_users(&["alice"]).await;
    let region = Region::of(&cloud).await;
    let (alice, _) = &users[0];
    let (second, _) = cloud.keeper.create_user_key(ROOT, &alice.id).await.unwrap();
    allow(&cloud, &alice.id, "later").await;
    let mut changes = told(&cloud, &region).await;
    // As a registry answers whose answer has no room left for the user's documents.
    changes.last_mut().unwrap().keys.clear();
    region.registry.take_all(changes, None).await.unwrap();
    for key in [&users[0].1, &second] {
        assert!(region.holder(key).is_none());
        let known = region
            .registry
            .knows_key(&AccessKeyId::new(&key.access_key));
        assert!(
            !known,
            "what the user might do before is not known any more"
        );
    }
    let region = region.again(&cloud).await;
    assert!(region.registry.state.read().verifiers.is_empty());
    // The region gets them again when it asks for keys.
    region.asks().await;
    assert!(region.holder(&second).is_some());
}

#[tokio::test]
async fn p5_of_changes_that_come_at_once_those_before_a_wrong_one_are_taken_and_no_others() {
    let (cloud, users) = with_users(&["alice"]).await;
    let region = Region::of(&cloud).await;
    region.asks().await;
    let length = *region.registry.watch().borrow();
    for word in ["one", "two", "three"] {
        allow(&cloud, &users[0].0.id, word).await;
    }
    let replayed = told(&cloud, &region).await;
    let mut one_left_out = told(&cloud, &region).await;
    one_left_out.remove(1);
    let mut swapped = told(&cloud, &region).await;
    swapped.swap(1, 2);
    let mut without_rows = told(&cloud, &region).await;
    without_rows[1].change.rows.clear();
    // The first of these takes what is before the change that is wrong, the others find it there.
    for changes in [one_left_out, swapped, without_rows, replayed] {
        let taken = region.registry.take_all(changes, None).await;
        assert!(matches!(taken, Err(CloudError::History(..))), "{taken:?}");
        assert_eq!(*region.registry.watch().borrow(), length + 1);
    }
    region.asks().await;
    assert_eq!(*region.registry.watch().borrow(), length + 3);
}

#[tokio::test]
async fn a_statement_of_a_user_takes_at_most_200_bytes_where_the_registry_is_followed() {
    let (cloud, users) = with_users(&["user-17-4"]).await;
    let region = Region::of(&cloud).await;
    region.asks().await;
    let Some(Who::User(user)) = region.holder(&users[0].1) else {
        panic!("no user");
    };
    let documents = &user.policies.identity;
    let statements: usize = documents
        .iter()
        .map(access::policy::Document::statements)
        .sum();
    let bytes: usize = documents.iter().map(access::policy::Document::memory).sum();
    let bytes = bytes + size_of_val(&documents[..]);
    assert_eq!(statements, 3);
    assert!(bytes <= 200 * statements, "{bytes}");
}
