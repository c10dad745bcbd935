//! The conformance suite finds engines that break its rules: each test here plants one fault and
//! expects the check of that rule to fail.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use store::{
    Batch, Committed, Engine, Index, PartitionId, Row, RowVersion, ScanRange, StoreResult, Want,
    conformance::{Subject, histories, rows},
    memory::Memory,
};

#[derive(Clone, Copy, PartialEq)]
enum Bug {
    IgnoresGuards,
    LandsHalfOfRefusedBatches,
    ForgetsPayloads,
    IncludesTheEndOfRanges,
    RepeatsVersions,
    ReturnsOneRowTooFew,
}

struct Careless {
    inner: Arc<dyn Index>,
    bug: Bug,
}

impl Careless {
    fn spoil(&self, mut row: Row) -> Row {
        if self.bug == Bug::ForgetsPayloads {
            row.payload = None;
        }
        row
    }
}

#[async_trait]
impl Index for Careless {
    async fn get(&self, p: PartitionId, key: &[u8], want: Want) -> StoreResult<Option<Row>> {
        let row = self.inner.get(p, key, want).await?;
        Ok(row.map(|row| self.spoil(row)))
    }

    async fn scan(
        &self,
        p: PartitionId,
        mut range: ScanRange,
        limit: usize,
    ) -> StoreResult<Vec<(Bytes, Row)>> {
        if self.bug == Bug::IncludesTheEndOfRanges {
            range.end = range.end.map(|end| [&end[..], &[0]].concat().into());
        }
        let limit = match self.bug {
            Bug::ReturnsOneRowTooFew => limit.saturating_sub(1),
            _ => limit,
        };
        self.inner.scan(p, range, limit).await
    }

    async fn commit(&self, p: PartitionId, mut batch: Batch) -> StoreResult<Committed> {
        if self.bug == Bug::IgnoresGuards {
            batch.guards.clear();
        }
        let puts = batch.puts.clone();
        let answer = self.inner.commit(p, batch).await;
        if answer.is_err() && self.bug == Bug::LandsHalfOfRefusedBatches {
            let mut half = Batch::new();
            half.puts.extend(puts.into_iter().next_back());
            self.inner.commit(p, half).await?;
        }
        if self.bug == Bug::RepeatsVersions {
            return answer.map(|_| Committed {
                version: RowVersion(1),
            });
        }
        answer
    }

    async fn settle(&self) -> StoreResult<()> {
        self.inner.settle().await
    }
}

#[async_trait]
impl Subject for Bug {
    async fn open(&self) -> Engine {
        let mut engine = Memory::engine();
        engine.index = Arc::new(Careless {
            inner: engine.index,
            bug: *self,
        });
        engine
    }
    async fn reopen(&self, _engine: Engine) -> Option<Engine> {
        None
    }
}

#[tokio::test]
#[should_panic(expected = "must not hold")]
async fn ignored_guards_are_found() {
    rows::guards_hold_or_nothing_lands(&Bug::IgnoresGuards).await;
}

#[tokio::test]
#[should_panic(expected = "left == right")]
async fn two_winners_are_found() {
    histories::has_one_winner_per_guard(&Bug::IgnoresGuards).await;
}

#[tokio::test]
#[should_panic(expected = "left == right")]
async fn half_a_batch_is_found() {
    rows::guards_hold_or_nothing_lands(&Bug::LandsHalfOfRefusedBatches).await;
}

#[tokio::test]
#[should_panic(expected = "left == right")]
async fn lost_payloads_are_found() {
    rows::keeps_payloads_apart(&Bug::ForgetsPayloads).await;
}

#[tokio::test]
#[should_panic(expected = "left == right")]
async fn a_wrong_end_of_range_is_found() {
    rows::scans_ranges(&Bug::IncludesTheEndOfRanges).await;
}

#[tokio::test]
#[should_panic(expected = "after")]
async fn repeated_versions_are_found() {
    rows::versions_only_rise(&Bug::RepeatsVersions).await;
}

#[tokio::test]
#[should_panic(expected = "limit")]
async fn a_short_page_is_found() {
    rows::scans_in_order(&Bug::ReturnsOneRowTooFew).await;
}

#[tokio::test]
#[should_panic(expected = "step")]
async fn the_model_finds_lost_payloads() {
    histories::agrees_with_a_model(&Bug::ForgetsPayloads).await;
}
