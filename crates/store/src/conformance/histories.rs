//! The rules of [`Index`](crate::Index) that only longer histories show: many at once, reopening,
//! agreement with a model.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{
    Lots, Subject,
    rows::{P, commit, get, key},
};
use crate::{Batch, Engine, Guard, Index, Row, RowVersion, ScanRange, StoreError};

/// Of many commits that guard the same state exactly one wins.
pub async fn has_one_winner_per_guard(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    for round in 0..20 {
        let guard = match get(&index, b"prize").await {
            None => Guard::Absent("prize".into()),
            Some(row) => Guard::Version("prize".into(), row.version),
        };
        let mut racers = tokio::task::JoinSet::new();
        for n in 0..16u64 {
            let (index, guard) = (index.clone(), guard.clone());
            racers.spawn(async move {
                let batch = Batch::new()
                    .guard(guard)
                    .put("prize", key(n))
                    .put(key(n), key(round));
                (n, index.commit(P, batch).await)
            });
        }
        let mut winners = Vec::new();
        while let Some(answer) = racers.join_next().await {
            match answer.expect("no panic") {
                (n, Ok(_)) => winners.push(n),
                (_, Err(StoreError::Conflict { index: 0 })) => {}
                (n, other) => panic!("racer {n}: {other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(
            get(&index, b"prize").await.expect("a row").value,
            key(winners[0])
        );
        let of_this_round = index
            .scan(P, ScanRange::prefix(b"key"), 99)
            .await
            .expect("a scan");
        let of_this_round = of_this_round.iter().filter(|(_, r)| r.value == key(round));
        assert_eq!(of_this_round.count(), 1, "losers leave nothing");
    }
}

/// Counters kept by compare-and-swap lose no step.
pub async fn counts_without_losing(subject: &dyn Subject) {
    const WORKERS: u64 = 8;
    const STEPS: u64 = 25;
    let Engine { index, .. } = subject.open().await;
    commit(&index, Batch::new().put("n", "0")).await;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        let index = index.clone();
        workers.spawn(async move {
            let mut done = 0;
            while done < STEPS {
                let row = get(&index, b"n").await.expect("a row");
                let n: u64 = String::from_utf8_lossy(&row.value)
                    .parse()
                    .expect("a number");
                let batch = Batch::new().guard(Guard::Version("n".into(), row.version));
                match index.commit(P, batch.put("n", (n + 1).to_string())).await {
                    Ok(_) => done += 1,
                    Err(StoreError::Conflict { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.expect("no panic");
    }
    let n = get(&index, b"n").await.expect("a row").value;
    assert_eq!(String::from_utf8_lossy(&n), (WORKERS * STEPS).to_string());
}

/// Whoever wrote sees it at once, by get and by scan, while others write.
pub async fn reads_its_writes_under_load(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let mut writers = tokio::task::JoinSet::new();
    for w in 0..8u64 {
        let index = index.clone();
        writers.spawn(async move {
            for n in 0..40u64 {
                let mine = Bytes::from(format!("w{w}/{:03}", n % 10));
                let payload = Bytes::from(vec![n as u8; 1000]);
                let batch = Batch::new().put_with(mine.clone(), key(n), payload.clone());
                let version = commit(&index, batch).await;
                let row = get(&index, &mine).await.expect("just written");
                assert_eq!((row.version, &row.value), (version, &key(n)));
                assert_eq!(row.payload, Some(payload));
                let range = ScanRange::prefix(format!("w{w}/").as_bytes());
                let rows = index.scan(P, range, 100).await.expect("a scan");
                assert_eq!(rows.len() as u64, (n + 1).min(10));
                assert!(rows.iter().any(|(k, r)| *k == mine && r.version == version));
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.expect("no panic");
    }
}

/// After reopening every row is there with its version, value and payload.
pub async fn survives_reopening(subject: &dyn Subject) {
    let mut engine = subject.open().await;
    for round in 0..3u64 {
        for n in 0..50 {
            let payload = Bytes::from(vec![(n + round) as u8; 2000]);
            let batch = Batch::new().put_with(key(n), key(round), payload);
            commit(&engine.index, batch.delete(key(n + 1000 - round))).await;
        }
        commit(&engine.index, Batch::new().delete(key(round))).await;
        let range = || ScanRange::new("", None);
        let before = engine.index.scan(P, range(), 1000).await.expect("a scan");
        engine = match subject.reopen(engine).await {
            Some(again) => again,
            None => return,
        };
        let after = engine.index.scan(P, range(), 1000).await.expect("a scan");
        assert_eq!(before, after, "round {round}");
        for n in (0..50).filter(|n| *n != round) {
            let row = get(&engine.index, &key(n)).await.expect("a row");
            assert_eq!(row.payload, Some(vec![(n + round) as u8; 2000].into()));
        }
    }
}

/// A long run of drawn batches, guards, reads and reopenings agrees with a map at every step.
pub async fn agrees_with_a_model(subject: &dyn Subject) {
    let mut engine = subject.open().await;
    let mut model: BTreeMap<Bytes, Row> = BTreeMap::new();
    let mut lots = Lots(0x5EED);
    for step in 0..600u64 {
        let mut batch = Batch::new();
        let mut conflict = false;
        let first = lots.below(60);
        for k in (0..1 + lots.below(4)).map(|i| key(first + i * 7)) {
            let known = model.get(&k).map(|r| r.version);
            match (lots.below(8), known) {
                (0, None) => batch = batch.guard(Guard::Absent(k.clone())),
                (0, Some(v)) => batch = batch.guard(Guard::Version(k.clone(), v)),
                (1, Some(_)) if lots.below(4) == 0 => {
                    batch = batch.guard(Guard::Absent(k.clone()));
                    conflict = true;
                }
                _ => {}
            }
            let value = format!("{step}").repeat(lots.below(30) as usize);
            batch = match lots.below(4) {
                0 => batch.delete(k),
                1 => batch.put(k, value),
                _ => batch.put_with(k, value, vec![step as u8; lots.below(9000) as usize].into()),
            };
        }
        match engine.index.commit(P, batch.clone()).await {
            Ok(committed) if !conflict => apply(&mut model, batch, committed.version),
            Err(StoreError::Conflict { .. }) if conflict => {}
            other => panic!("step {step}: {other:?}, conflict expected: {conflict}"),
        }
        let k = key(lots.below(80));
        assert_eq!(
            get(&engine.index, &k).await,
            model.get(&k).cloned(),
            "step {step}"
        );
        if step % 20 == 0 {
            compare(&engine.index, &model, &mut lots).await;
        }
        if step % 97 == 96 {
            engine = match subject.reopen(engine).await {
                Some(again) => again,
                None => return,
            };
            compare(&engine.index, &model, &mut lots).await;
        }
    }
}

fn apply(model: &mut BTreeMap<Bytes, Row>, batch: Batch, version: RowVersion) {
    for key in &batch.deletes {
        model.remove(key);
    }
    for put in batch.puts {
        let row = Row {
            version,
            value: put.value,
            payload: put.payload,
        };
        model.insert(put.key, row);
    }
}

async fn compare(index: &Arc<dyn Index>, model: &BTreeMap<Bytes, Row>, lots: &mut Lots) {
    let (start, end) = (key(lots.below(80)), key(lots.below(80)));
    let limit = lots.below(40) as usize;
    for (range, limit) in [
        (ScanRange::new("", None), usize::MAX),
        (ScanRange::new(start.clone(), None), limit),
        (ScanRange::new(start, Some(end)), limit),
    ] {
        let found = index.scan(P, range.clone(), limit).await.expect("a scan");
        let inside = |k: &Bytes| *k >= range.start && range.end.as_ref().is_none_or(|e| k < e);
        let expected = model.iter().filter(|(k, _)| inside(k)).take(limit);
        let expected: Vec<_> = expected
            .map(|(k, row)| {
                let row = Row {
                    payload: None,
                    ..row.clone()
                };
                (k.clone(), row)
            })
            .collect();
        assert_eq!(found, expected, "{range:?} limit {limit}");
    }
}
