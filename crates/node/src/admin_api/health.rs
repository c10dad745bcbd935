//! How this region is doing, for whoever runs it: what `dhow doctor` finds, its disk, and what it
//! holds. Of a bucket that is sealed here neither name nor account is shown: its owner does not let
//! this region's operator read it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use http::StatusCode;
use replication::Following;
use serde_json::{Value, json};
use types::{BucketDeed, BucketId, Deeds, Holding};

use super::{Admin, Answer, Call, Refused, answers::bad};
use crate::{
    config::Config,
    doctor::{self, Level},
    stored::Amount,
};

/// Buckets in one answer.
const HELD_MAX: usize = 1000;

impl Admin {
    fn may_look(&self, call: &Call) -> Result<(), Refused> {
        let own = self.region.registry.region(&self.region.id);
        call.of_region(own.as_deref())
    }

    /// The deeds of what is held here, by number.
    fn held_deeds(&self) -> Vec<Arc<BucketDeed>> {
        let mut deeds = self.region.registry.all();
        deeds.retain(|deed| deed.holding(&self.region.id) != Holding::Nothing);
        deeds.sort_unstable_by_key(|deed| deed.id);
        deeds
    }

    pub(super) async fn health(&self, call: &Call) -> Answer {
        self.may_look(call)?;
        // Each look writes to the disk and reads all metrics. Who asks may leave meanwhile: the
        // look goes on, and the next one begins after it.
        let one = Arc::clone(&self.looking).lock_owned().await;
        let deeds = self.held_deeds();
        let sealed = deeds.iter().filter(|deed| !self.is_named(deed));
        let hidden: HashSet<String> = sealed.map(|deed| deed.name.to_string()).collect();
        // As `dhow doctor` with the folder alone.
        let config = Config {
            data: self.region.dir.path().to_path_buf(),
            ..Config::default()
        };
        let looked = tokio::task::spawn_blocking(move || {
            let _one = one;
            doctor::examine(&config, &hidden)
        });
        let looked = looked.await;
        let findings = looked.map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
        let failed = findings.iter().any(|found| found.level == Level::Fail);
        let room = self.region.upkeep.room().ok().flatten();
        let counted = self.region.watched.stored.sums();
        let sums = counted.iter().flat_map(|(sums, _)| sums.iter());
        Ok(json!({
            "region": &*self.region.id,
            "ok": !failed,
            "findings": findings.iter().map(doctor::Finding::to_json).collect::<Vec<_>>(),
            "disk": room.map(|room| json!({
                "size_bytes": room.total_bytes,
                "free_bytes": room.free_bytes,
            })),
            "stored": sums.map(|(holds, sum)| amount(holds, *sum)).collect::<Vec<_>>(),
            "counted": counted.map(|(_, at)| at.iso8601()),
        }))
    }

    /// Whether this region may name a bucket to whoever runs it.
    fn is_named(&self, deed: &BucketDeed) -> bool {
        deed.holding(&self.region.id) != Holding::Sealed
    }

    pub(super) fn held(&self, call: &Call) -> Answer {
        self.may_look(call)?;
        let after = call.query.as_deref().and_then(|q| q.strip_prefix("after="));
        let after = after.map_or(Ok(0), str::parse);
        let after: u64 = after.map_err(|_| bad("`after` is the number of a bucket"))?;
        let following = self.region.replication.status().following();
        let line = |(id, line): (BucketId, Following)| ((id, line.source), line.lag_ms);
        let lags: HashMap<_, _> = following.into_iter().map(line).collect();
        let mut deeds = self.held_deeds();
        deeds.retain(|deed| deed.id.0 > after);
        deeds.truncate(HELD_MAX);
        let row = |deed: &Arc<BucketDeed>| {
            let lag = lags.get(&(deed.id, deed.home.clone()));
            self.held_row(deed, lag.copied())
        };
        Ok(deeds.iter().map(row).collect())
    }

    fn held_row(&self, deed: &BucketDeed, lag_ms: Option<u64>) -> Value {
        let BucketId(number) = deed.id;
        let counted = self.region.watched.stored.of(deed.id);
        let mut row = json!({
            "number": number,
            "number_text": number.to_string(),
            "holds": match deed.holding(&self.region.id) {
                Holding::Home => "home",
                Holding::Sealed => "sealed replica",
                Holding::Replica | Holding::Nothing => "replica",
            },
            "home": &*deed.home,
            "lag_ms": lag_ms,
            "versions": counted.map(|sum| sum.versions),
            "bytes": counted.map(|sum| sum.bytes),
        });
        if self.is_named(deed) {
            row["name"] = json!(&*deed.name);
        }
        row
    }
}

fn amount(holds: &str, sum: Amount) -> Value {
    json!({
        "holds": holds,
        "buckets": sum.buckets,
        "objects": sum.objects,
        "versions": sum.versions,
        "bytes": sum.bytes,
    })
}
