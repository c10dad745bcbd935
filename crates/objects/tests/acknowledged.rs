//! An answer comes after the commit, never before.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use access::{Action, SystemReason, authorize_system};
use async_trait::async_trait;
use bytes::Bytes;
use objects::{ObjectAttributes, Objects, PutInput, WriteConditions};
use store::{
    Batch, Committed, Index, PartitionId, Row, ScanRange, StoreResult, Want, memory::Memory,
};
use tokio::sync::Notify;
use types::{
    AccountId, BucketDeed, BucketId, BucketName, ObjectKey, OneDeed, Placement, RegionId,
    SeededRandom, TestClock, Timestamp, body::MemoryBody,
};

/// An index whose commits with a log entry wait for the test.
struct Held {
    index: Arc<dyn Index>,
    reached: Arc<Notify>,
    go: Arc<Notify>,
}

#[async_trait]
impl Index for Held {
    async fn get(&self, at: PartitionId, key: &[u8], want: Want) -> StoreResult<Option<Row>> {
        self.index.get(at, key, want).await
    }
    async fn scan(
        &self,
        at: PartitionId,
        range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(Bytes, Row)>> {
        self.index.scan(at, range, limit).await
    }
    async fn commit(&self, at: PartitionId, batch: Batch) -> StoreResult<Committed> {
        if !batch.log.is_empty() {
            self.reached.notify_one();
            self.go.notified().await;
        }
        self.index.commit(at, batch).await
    }

    async fn settle(&self) -> StoreResult<()> {
        self.index.settle().await
    }
}

#[tokio::test]
async fn no_put_is_acknowledged_before_its_commit() {
    let mut engine = Memory::engine();
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    engine.index = Arc::new(Held {
        index: engine.index.clone(),
        reached: Arc::clone(&reached),
        go: Arc::clone(&go),
    });
    let deed = Arc::new(BucketDeed {
        id: BucketId(7),
        name: BucketName::new("bench").unwrap(),
        owner: AccountId::new("1"),
        home: RegionId::new("home"),
        created: Timestamp::default(),
        epoch: 1,
        placement: Placement::default(),
    });
    let objects = Objects::new(
        engine,
        Arc::new(OneDeed(Arc::clone(&deed))),
        Arc::new(TestClock::at_ms(1_800_000_000_000)),
        Arc::new(SeededRandom::new(1)),
        RegionId::new("home"),
    );
    let permit = authorize_system(SystemReason::Recovery, Action::PutObject, &deed);
    let key = ObjectKey::new("k").unwrap();
    let input = PutInput {
        body: Box::new(MemoryBody::new(Bytes::from_static(b"v"))),
        attributes: ObjectAttributes::default(),
        md5: None,
        checksum: None,
        trailer: None,
        conditions: WriteConditions::default(),
    };
    let mut put = Box::pin(objects.put(&permit, &key, input));
    let held = async {
        tokio::select! {
            answer = &mut put => panic!("answered before the commit: {answer:?}"),
            () = reached.notified() => {}
        }
        // However often it is asked, the answer waits for the commit.
        for _ in 0..100 {
            let asked = tokio::time::timeout(Duration::ZERO, &mut put).await;
            assert!(asked.is_err(), "{asked:?}");
            tokio::task::yield_now().await;
        }
    };
    let within = Duration::from_secs(20);
    tokio::time::timeout(within, held).await.unwrap();
    go.notify_one();
    tokio::time::timeout(within, put).await.unwrap().unwrap();
}
