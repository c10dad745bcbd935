//! What is on its way in, while the sweep of orphans passes.

use store::{
    Batch,
    faults::{Call, Fault, Gate, Late, Script, faulty},
};
use tokio::task::yield_now;

use super::*;

const DAY_MS: u64 = 24 * 3_600_000;

/// Bytes of parts that stop at the end of each part until they are let go on.
struct Stopping<'a> {
    bodies: From<'a>,
    piece: usize,
    gate: Arc<Gate>,
}

struct Stops {
    rest: Bytes,
    piece: usize,
    gate: Arc<Gate>,
    script: Arc<Script>,
    engine: Engine,
}

impl Body for Stops {
    fn next(&mut self) -> types::body::NextChunk<'_> {
        Box::pin(async {
            if self.rest.is_empty() {
                return None;
            }
            // The gate is one of an engine's calls.
            self.script
                .on(Call::Get, 1, Fault::HoldBefore(Arc::clone(&self.gate)));
            let at = self
                .engine
                .index
                .get(PartitionId(1), b"", store::Want::Value);
            at.await.unwrap();
            let piece = self.piece.min(self.rest.len());
            Some(Ok(self.rest.split_to(piece)))
        })
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

impl BodySource for Stopping<'_> {
    fn open<'a>(
        &'a self,
        shipped: &'a Shipped,
        offset: u64,
    ) -> BoxFuture<'a, BodyResult<Box<dyn Body>>> {
        Box::pin(async move {
            let mut body = self.bodies.open(shipped, offset).await?;
            let mut all = Vec::new();
            while let Some(piece) = body.next().await {
                all.extend_from_slice(&piece?);
            }
            let script = Script::new();
            let stops = Stops {
                rest: all.into(),
                piece: self.piece,
                gate: Arc::clone(&self.gate),
                engine: faulty(Memory::engine(), &script),
                script,
            };
            Ok(Box::new(stops) as Box<dyn Body>)
        })
    }
}

/// Its first parts are here, durable, while the others come, for days.
#[tokio::test]
async fn parts_that_are_being_fetched_are_no_orphans() {
    const PART: usize = 5 << 20;
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    let parts = [
        vec![1; PART].into(),
        vec![2; PART].into(),
        vec![3; 9].into(),
    ];
    home.multipart("m", &parts).await;
    let shipped = home.snapshot().await.remove(0);
    let (gate, objects) = (Gate::new(), Arc::clone(&copy.objects));
    let source = Stopping {
        bodies: From(&home, None),
        piece: PART,
        gate: Arc::clone(&gate),
    };
    let sweeps = async {
        for n in 0..3 {
            gate.arrival().await;
            copy.clock.advance_ms(2 * DAY_MS);
            let swept = objects.sweep_orphans().await.unwrap();
            assert_eq!(swept.removed, 0, "before part {n}");
            objects.sweep().await.unwrap();
            gate.release();
        }
    };
    let (applied, ()) = tokio::join!(copy.take(&shipped, &source), sweeps);
    assert_eq!(applied.unwrap(), Applied::Done);
    let bytes = copy.get("m", None).await.unwrap();
    assert_eq!(bytes, home.get("m", None).await.unwrap());
    assert_eq!(objects.sweep_orphans().await.unwrap().removed, 0);
    assert_eq!(objects.pins.counts(), (0, 0));
}

/// The extent is whole and named by a commit that waits in the engine's queue.
#[tokio::test]
async fn an_extent_whose_commit_is_queued_is_no_orphan() {
    let region = Region::new("home", 1);
    let late = Late::new(region.engine.clone());
    let objects = Arc::new(Objects::new(
        late.engine(),
        Arc::new(OneDeed(Arc::clone(&region.deed))),
        region.clock.clone(),
        Arc::new(SeededRandom::new(5)),
        RegionId::new("home"),
    ));
    let slow = Region {
        objects: Arc::clone(&objects),
        engine: region.engine.clone(),
        deed: Arc::clone(&region.deed),
        clock: region.clock.clone(),
    };
    slow.put("first", "makes the configuration").await;
    late.hold();
    let put = tokio::spawn(async move { slow.put("a", vec![1; LARGE]).await });
    while late.is_idle() {
        yield_now().await;
    }
    region.clock.advance_ms(2 * DAY_MS);
    assert_eq!(objects.sweep_orphans().await.unwrap().removed, 0);
    late.release();
    put.await.unwrap();
    assert_eq!(region.get("a", None).await.unwrap(), vec![1; LARGE]);
}

/// Nobody knows whether the commit landed: this process leaves the extent alone, the next one sees.
#[tokio::test]
async fn an_extent_stays_while_the_outcome_of_its_commit_is_unknown() {
    for lands in [false, true] {
        let region = Region::new("home", 1);
        region.put("first", "makes the configuration").await;
        let script = Script::new();
        let failing = Objects::new(
            faulty(region.engine.clone(), &script),
            Arc::new(OneDeed(Arc::clone(&region.deed))),
            region.clock.clone(),
            Arc::new(SeededRandom::new(5)),
            RegionId::new("home"),
        );
        let fault = match lands {
            true => Fault::land_then_io(),
            false => Fault::io(),
        };
        script.on(Call::Commit, 1, fault);
        let input = PutInput {
            body: Box::new(MemoryBody::new(vec![1; LARGE])),
            attributes: ObjectAttributes::default(),
            md5: None,
            checksum: None,
            trailer: None,
            conditions: WriteConditions::default(),
        };
        let (permit, at) = (region.permit(Action::PutObject), key("a"));
        let put = failing.put(&permit, &at, input).await;
        assert!(matches!(put, Err(Error::Store(_))), "{put:?}");
        failing.sweep().await.unwrap();
        assert_eq!(failing.sweep_orphans().await.unwrap().removed, 0);
        assert_eq!(region.blobs().await, 1);
        let swept = region.objects.sweep_orphans().await.unwrap();
        assert_eq!(swept.removed, u64::from(!lands));
        assert_eq!(region.get("a", None).await.is_ok(), lands);
    }
}

#[tokio::test]
async fn versions_that_an_earlier_release_set_aside_are_found_and_moved() {
    let (home, copy) = (Region::new("home", 1), Region::new("copy", 2));
    home.put("k", "bytes").await;
    let change = home.log().await.pop().unwrap();
    copy.follow(&home).await;
    let far = RegionId::new("home");
    let at = (Position(9), NOW + 500_000);
    let permit = copy.receiving();
    let objects = &copy.objects;
    objects.set_aside(&permit, &far, at, &change).await.unwrap();
    let partition = PartitionId(copy.deed.id.0);
    let all = ScanRange::prefix(rows::ASIDE);
    let found = copy.engine.index.scan(partition, all.clone(), 10);
    let found = found.await.unwrap();
    let (now, row) = found[0].clone();
    // As the release before wrote it: without the region at its end.
    let before = now.slice(..now.len() - far.len());
    let batch = Batch::new()
        .put(before.clone(), row.value)
        .delete(now.clone());
    copy.engine.index.commit(partition, batch).await.unwrap();

    let again = Region::on(copy.engine.clone(), "copy", 3, Arc::clone(&copy.deed));
    again.objects.load_asides(&again.deed).await.unwrap();
    let counted = again.objects.asides_of(again.deed.id, &far);
    assert_eq!(counted, Some((1, Position(8))));
    let found = copy.engine.index.scan(partition, all, 10).await.unwrap();
    assert_eq!(found.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&now]);
}
