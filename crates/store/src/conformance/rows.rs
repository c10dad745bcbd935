//! The rules of [`Index`](crate::Index).

use std::sync::Arc;

use bytes::Bytes;

use super::Subject;
use crate::{
    Batch, Engine, Guard, Index, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX, PartitionId, Row, RowVersion,
    ScanRange, StoreError, VALUE_BYTES_MAX, Want,
};

pub(super) const P: PartitionId = PartitionId(7);

pub(super) async fn commit(index: &Arc<dyn Index>, batch: Batch) -> RowVersion {
    index.commit(P, batch).await.expect("a commit").version
}

pub(super) async fn get(index: &Arc<dyn Index>, key: &[u8]) -> Option<Row> {
    index.get(P, key, Want::Payload).await.expect("a get")
}

async fn keys(index: &Arc<dyn Index>, range: ScanRange, limit: usize) -> Vec<Bytes> {
    let rows = index.scan(P, range, limit).await.expect("a scan");
    rows.into_iter().map(|(key, _)| key).collect()
}

pub(super) fn key(n: u64) -> Bytes {
    format!("key {n:06}").into()
}

/// A row is there as written as soon as its commit has answered, and gone once deleted.
pub async fn reads_what_was_written(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    assert_eq!(get(&index, b"a").await, None);
    let first = commit(&index, Batch::new().put("a", "1").put("b", "2")).await;
    let row = get(&index, b"a").await.expect("it was written");
    assert_eq!(
        (row.version, &row.value[..], row.payload),
        (first, &b"1"[..], None)
    );
    let second = commit(&index, Batch::new().put("a", "3")).await;
    let row = get(&index, b"a").await.expect("it was written");
    assert_eq!((row.version, &row.value[..]), (second, &b"3"[..]));
    let row = get(&index, b"b").await.expect("it was written");
    assert_eq!((row.version, &row.value[..]), (first, &b"2"[..]));
    commit(&index, Batch::new().delete("a").put("c", "4")).await;
    assert_eq!(get(&index, b"a").await, None);
    assert!(get(&index, b"c").await.is_some());
}

/// Payloads come only to who asks, never with a scan, and go with the row's next version.
pub async fn keeps_payloads_apart(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let payload = Bytes::from(vec![0xAB; 100_000]);
    let batch = Batch::new().put_with("a", "value", payload.clone());
    commit(&index, batch.put("b", "plain")).await;
    let row = index
        .get(P, b"a", Want::Value)
        .await
        .expect("a get")
        .expect("a row");
    assert_eq!((&row.value[..], row.payload), (&b"value"[..], None));
    assert_eq!(
        get(&index, b"a").await.expect("a row").payload,
        Some(payload)
    );
    assert_eq!(get(&index, b"b").await.expect("a row").payload, None);
    let scanned = index
        .scan(P, ScanRange::prefix(b""), 10)
        .await
        .expect("a scan");
    assert_eq!(scanned.len(), 2);
    assert!(scanned.iter().all(|(_, row)| row.payload.is_none()));
    commit(&index, Batch::new().put("a", "value")).await;
    assert_eq!(get(&index, b"a").await.expect("a row").payload, None);
}

/// An empty value is a row, and an empty payload is a payload.
pub async fn tells_empty_from_none(subject: &dyn Subject) {
    let engine = subject.open().await;
    let index = engine.index.clone();
    commit(
        &index,
        Batch::new().put("a", "").put_with("b", "", Bytes::new()),
    )
    .await;
    let a = get(&index, b"a").await.expect("an empty value is a row");
    assert_eq!((a.value.len(), a.payload), (0, None));
    let b = get(&index, b"b").await.expect("an empty value is a row");
    assert_eq!((b.value.len(), b.payload), (0, Some(Bytes::new())));
    drop(index);
    if let Some(Engine { index, .. }) = subject.reopen(engine).await {
        assert_eq!(get(&index, b"a").await.expect("still a row").payload, None);
        let b = get(&index, b"b").await.expect("still a row");
        assert_eq!(b.payload, Some(Bytes::new()));
    }
}

/// Keys are bytes: empty, zeros, 0xFF, and the longest allowed; their order is that of bytes.
pub async fn takes_any_bytes_as_key(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let mut all: Vec<Bytes> = [
        &b""[..],
        b"\0",
        b"\0\0",
        b"\0\xFF",
        b"\x01",
        b"a",
        b"a\0",
        b"a\0\0",
        b"a\0b",
        b"aa",
        b"\x7F",
        b"\x80",
        b"\xFF",
        b"\xFF\0",
        b"\xFF\xFF",
        b"\xFF\xFF\xFF",
    ]
    .map(Bytes::from_static)
    .to_vec();
    all.push(vec![b'k'; KEY_BYTES_MAX].into());
    all.push(vec![0xFF; KEY_BYTES_MAX].into());
    for key in &all {
        commit(&index, Batch::new().put(key.clone(), key.clone())).await;
    }
    for key in &all {
        assert_eq!(get(&index, key).await.expect("a row").value, *key);
    }
    all.sort();
    assert_eq!(keys(&index, ScanRange::new("", None), 100).await, all);
    for (i, key) in all.iter().enumerate() {
        let from = ScanRange::new(key.clone(), None);
        assert_eq!(keys(&index, from, 100).await, all[i..], "from {key:?}");
        let to = ScanRange::new("", Some(key.clone()));
        assert_eq!(keys(&index, to, 100).await, all[..i], "to {key:?}");
    }
}

/// A scan answers in order of keys, at most `limit`, and fewer only at the end of the range.
pub async fn scans_in_order(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    // Written out of order, over several commits, some overwritten, some deleted.
    for n in (0..100).rev() {
        commit(&index, Batch::new().put(key(n * 37 % 100), "old")).await;
    }
    for n in (0..100).step_by(3) {
        commit(&index, Batch::new().put(key(n), "new")).await;
    }
    for n in (0..100).step_by(5) {
        commit(&index, Batch::new().delete(key(n))).await;
    }
    let expected: Vec<Bytes> = (0..100).filter(|n| n % 5 != 0).map(key).collect();
    for limit in [0, 1, 2, 79, 80, 81, 1000, usize::MAX] {
        let found = keys(&index, ScanRange::new("", None), limit).await;
        assert_eq!(found, expected[..limit.min(80)], "limit {limit}");
    }
    let rows = index
        .scan(P, ScanRange::new("", None), 100)
        .await
        .expect("a scan");
    for (key, row) in rows {
        let n: u64 = std::str::from_utf8(&key[4..])
            .expect("digits")
            .parse()
            .expect("digits");
        assert_eq!(
            &row.value[..],
            if n.is_multiple_of(3) { b"new" } else { b"old" },
            "{n}"
        );
        let got = index.get(P, &key, Want::Value).await.expect("a get");
        assert_eq!(Some(row), got, "get and scan agree");
    }
}

/// The start is included, the end is not; a range that ends before it starts is empty.
pub async fn scans_ranges(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    for k in ["a", "b", "c", "d"] {
        commit(&index, Batch::new().put(k, k)).await;
    }
    let range = |a: &'static str, b: &'static str| ScanRange::new(a, Some(b.into()));
    assert_eq!(keys(&index, range("b", "d"), 10).await, ["b", "c"]);
    assert_eq!(keys(&index, range("b", "b"), 10).await, [""; 0]);
    assert_eq!(keys(&index, range("d", "a"), 10).await, [""; 0]);
    assert_eq!(keys(&index, range("bb", "cc"), 10).await, ["c"]);
    assert_eq!(keys(&index, range("", "z"), 10).await, ["a", "b", "c", "d"]);
    assert_eq!(keys(&index, range("e", "z"), 10).await, [""; 0]);
    assert_eq!(
        keys(&index, ScanRange::new("c", None), 10).await,
        ["c", "d"]
    );
}

/// A prefix that ends in 0xFF has an end too, and one of 0xFF alone has none.
pub async fn scans_to_the_last_key(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let all = [
        &b"a\xFE"[..],
        b"a\xFF",
        b"a\xFF\xFF",
        b"a\xFFz",
        b"b",
        b"\xFF",
        b"\xFF\xFF\xFF",
    ];
    for k in all {
        commit(&index, Batch::new().put(k, "")).await;
    }
    let found = keys(&index, ScanRange::prefix(b"a\xFF"), 10).await;
    assert_eq!(found, [&b"a\xFF"[..], b"a\xFFz", b"a\xFF\xFF"]);
    let found = keys(&index, ScanRange::prefix(b"\xFF\xFF"), 10).await;
    assert_eq!(found, [&b"\xFF\xFF\xFF"[..]]);
    assert_eq!(
        keys(&index, ScanRange::prefix(b""), 10).await.len(),
        all.len()
    );
}

/// The same key in two partitions is two rows.
pub async fn keeps_partitions_apart(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let partitions = [0, 1, 2, 255, 256, u64::MAX - 1, u64::MAX].map(PartitionId);
    for p in partitions {
        let batch = Batch::new().put("k", p.0.to_be_bytes().to_vec());
        index
            .commit(p, batch.put([0xFF; 9].to_vec(), ""))
            .await
            .expect("a commit");
    }
    index
        .commit(PartitionId(1), Batch::new().delete("k"))
        .await
        .expect("a commit");
    for p in partitions {
        let row = index.get(p, b"k", Want::Value).await.expect("a get");
        let rows = index
            .scan(p, ScanRange::new("", None), 9)
            .await
            .expect("a scan");
        if p.0 == 1 {
            assert_eq!((row, rows.len()), (None, 1));
        } else {
            assert_eq!(&row.expect("a row").value[..], p.0.to_be_bytes());
            assert_eq!(rows.len(), 2);
        }
    }
}

/// When one guard of several fails, the answer names it and nothing of the batch is there.
pub async fn guards_hold_or_nothing_lands(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let v = commit(&index, Batch::new().put("a", "1").put("b", "1")).await;
    let absent = |k: &'static str| Guard::Absent(k.into());
    let version = |k: &'static str, v| Guard::Version(k.into(), v);
    let stale = RowVersion(v.0 + 1_000_000);
    let cases: [(&[Guard], usize); 6] = [
        (&[absent("a")], 0),
        (&[absent("x"), absent("a")], 1),
        (&[version("a", v), version("b", stale)], 1),
        (&[version("x", v)], 0),
        (
            &[version("a", v), absent("x"), version("b", v), absent("b")],
            3,
        ),
        (&[version("a", stale), absent("b")], 0),
    ];
    for (guards, failing) in cases {
        let mut batch = Batch::new().put("a", "2").put("new", "2").delete("b");
        batch.guards = guards.to_vec();
        match index.commit(P, batch).await {
            // With several that fail, any of them may be named.
            Err(StoreError::Conflict { index }) => assert!(index >= failing, "{guards:?}"),
            other => panic!("{guards:?} must not hold: {other:?}"),
        }
        assert_eq!(&get(&index, b"a").await.expect("a row").value[..], b"1");
        assert_eq!(get(&index, b"new").await, None);
        assert!(get(&index, b"b").await.is_some());
    }
    let batch = Batch::new().guard(version("a", v)).guard(absent("new"));
    commit(&index, batch.put("a", "2").put("new", "2").delete("b")).await;
    assert_eq!(
        keys(&index, ScanRange::new("", None), 9).await,
        ["a", "new"]
    );
}

/// A guard fails after every change of its row: an overwrite by equal bytes, a delete, a rebirth.
pub async fn guards_see_their_own_row(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let first = commit(&index, Batch::new().put("a", "same")).await;
    let guarded = |v| {
        Batch::new()
            .guard(Guard::Version("a".into(), v))
            .put("a", "same")
    };
    let second = commit(&index, guarded(first)).await;
    let conflict = |r| assert!(matches!(r, Err(StoreError::Conflict { index: 0 })), "{r:?}");
    conflict(index.commit(P, guarded(first)).await);
    commit(&index, Batch::new().delete("a")).await;
    conflict(index.commit(P, guarded(second)).await);
    let third = commit(
        &index,
        Batch::new()
            .guard(Guard::Absent("a".into()))
            .put("a", "same"),
    )
    .await;
    conflict(index.commit(P, guarded(second)).await);
    let again = Batch::new()
        .guard(Guard::Absent("a".into()))
        .put("a", "other");
    conflict(index.commit(P, again).await);
    commit(&index, guarded(third)).await;
    // A guard may be about a row that the batch does not write.
    commit(&index, Batch::new().put("cfg", "x")).await;
    let cfg = get(&index, b"cfg").await.expect("a row").version;
    let beside = Batch::new()
        .guard(Guard::Version("cfg".into(), cfg))
        .put("b", "y");
    commit(&index, beside).await;
    assert_eq!(get(&index, b"cfg").await.expect("a row").version, cfg);
}

/// No version comes twice, also not after a delete or after reopening.
pub async fn versions_only_rise(subject: &dyn Subject) {
    let mut engine = subject.open().await;
    let mut last = RowVersion(0);
    for round in 0..3 {
        for n in 0..20 {
            let batch = match n % 3 {
                0 => Batch::new().delete("a").log("gone"),
                _ => Batch::new().put("a", "1"),
            };
            let version = commit(&engine.index, batch).await;
            assert!(version > last, "round {round}: {version:?} after {last:?}");
            last = version;
        }
        engine = match subject.reopen(engine).await {
            Some(again) => again,
            None => return,
        };
    }
}

/// Too long keys, values and payloads, and a key that occurs twice, are refused; nothing lands.
pub async fn refuses_what_breaks_the_limits(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let longest = Batch::new().put_with(
        vec![1; KEY_BYTES_MAX],
        vec![2; VALUE_BYTES_MAX],
        vec![3; PAYLOAD_BYTES_MAX].into(),
    );
    commit(&index, longest.clone()).await;
    let row = get(&index, &longest.puts[0].key).await.expect("a row");
    assert_eq!(row.value, longest.puts[0].value);
    assert_eq!(row.payload, longest.puts[0].payload);
    let mut nine = Batch::new();
    for n in 0..9 {
        nine = nine.put(key(n % 8), "");
    }
    let refused = [
        Batch::new().put(vec![1; KEY_BYTES_MAX + 1], ""),
        Batch::new().delete(vec![1; KEY_BYTES_MAX + 1]),
        Batch::new().put("x", vec![2; VALUE_BYTES_MAX + 1]),
        Batch::new().put_with("x", "", vec![3; PAYLOAD_BYTES_MAX + 1].into()),
        Batch::new().put("x", "1").put("x", "2"),
        Batch::new().put("x", "1").put("y", "").delete("x"),
        Batch::new().delete("x").delete("x"),
        nine,
    ];
    for batch in refused {
        let answer = index.commit(P, batch).await;
        assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    }
    assert_eq!(keys(&index, ScanRange::new("", None), 9).await.len(), 1);
}

/// A batch of thousands of rows lands whole.
pub async fn takes_large_batches(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    let mut batch = Batch::new().guard(Guard::Absent(key(0)));
    for n in 0..3000 {
        batch = batch.put(key(n), vec![b'v'; 300]);
    }
    let version = commit(&index, batch.clone()).await;
    assert!(matches!(
        index.commit(P, batch).await,
        Err(StoreError::Conflict { index: 0 })
    ));
    let rows = index
        .scan(P, ScanRange::new("", None), 5000)
        .await
        .expect("a scan");
    assert_eq!(rows.len(), 3000);
    assert!(
        rows.iter()
            .all(|(_, r)| r.version == version && r.value.len() == 300)
    );
    let mut batch = Batch::new();
    for n in 0..2999 {
        batch = batch.delete(key(n));
    }
    commit(&index, batch).await;
    assert_eq!(
        keys(&index, ScanRange::new("", None), 5000).await,
        [key(2999)]
    );
}

/// A batch of guards alone is a question with a durable answer; an empty one is no error.
pub async fn takes_an_empty_batch(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    commit(&index, Batch::new()).await;
    commit(&index, Batch::new().guard(Guard::Absent("a".into()))).await;
    let version = commit(&index, Batch::new().put("a", "")).await;
    commit(
        &index,
        Batch::new().guard(Guard::Version("a".into(), version)),
    )
    .await;
    assert_eq!(get(&index, b"a").await.expect("a row").version, version);
}

/// Deleting a row that is not there is no error and makes none.
pub async fn deletes_what_is_not_there(subject: &dyn Subject) {
    let Engine { index, .. } = subject.open().await;
    commit(&index, Batch::new().delete("a").put("b", "")).await;
    commit(&index, Batch::new().delete("a").frees()).await;
    assert_eq!(keys(&index, ScanRange::new("", None), 9).await, ["b"]);
    commit(&index, Batch::new().guard(Guard::Absent("a".into()))).await;
}
