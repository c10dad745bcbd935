//! A region whose operator gives versions times that are years ahead, in a bucket of its own that
//! has replicas in the other regions. What others write stays what it is, and goes on.

use std::{sync::Arc, time::Duration};

use access::Action;
use bytes::Bytes;
use objects::{ObjectAttributes, Objects, PutInput, WriteConditions};
use tokio::time::Instant;
use types::{
    BucketDeed, BucketId, BucketName, Clock, ObjectKey, Placement, Random, RegionId, Replica,
    SeededRandom, Timestamp,
};

use crate::{
    checks,
    clients::{Asked, pieces},
    world::{BEGIN_MS, REGIONS, RegionClock, World, owner},
};

/// The bucket, which is none of those that clients use.
const BUCKET: &str = "theirs";
const ID: BucketId = BucketId(13);
/// The last region makes them: it has replicas of all that clients write.
const MAKER: usize = 2;
/// Ten years.
const AHEAD_MS: u64 = 10 * 365 * 86_400_000;
/// What clients write has times no further ahead than clocks are off.
const OFF_MAX_MS: u64 = 60_000;

/// The bucket's deed.
pub fn deed() -> Arc<BucketDeed> {
    let replica = |region: &&str| Replica {
        region: RegionId::new(region),
        sealed_by: None,
    };
    let mut replicas: Vec<Replica> = REGIONS[..MAKER].iter().map(replica).collect();
    replicas.sort();
    Arc::new(BucketDeed {
        id: ID,
        name: BucketName::new(BUCKET).expect("a name by the rules"),
        owner: owner(),
        home: RegionId::new(REGIONS[MAKER]),
        created: Timestamp::from_ms(BEGIN_MS),
        epoch: 1,
        placement: Placement {
            replicas,
            ..Placement::default()
        },
    })
}

/// The maker's clock, years ahead.
struct Ahead(Arc<RegionClock>);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.now().ms() + AHEAD_MS)
    }
}

/// Makes such versions until then.
pub async fn work(world: Arc<World>, random: SeededRandom, until: Instant) {
    let mut made = 0u64;
    while Instant::now() < until {
        let pause = 100 + random.next_u64() % 1500;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let node = &world.nodes[MAKER];
        let deed = node.view.deed_of(&deed().name);
        let (Some(deed), true) = (deed, node.objects().is_some()) else {
            continue;
        };
        let key = ObjectKey::new(&format!("far{}", made % 4)).expect("a key by the rules");
        let asked = Asked {
            action: Action::PutObject,
            key: Some((&key, None)),
            conditional: false,
        };
        let Some(permit) = asked.at_home(&deed, &node.id) else {
            continue;
        };
        // On the maker's own disk, by nobody's clock but its own.
        let objects = Objects::new(
            node.engine(),
            Arc::clone(&node.view) as Arc<dyn types::Deeds>,
            Arc::new(Ahead(Arc::clone(&node.clock))),
            Arc::new(SeededRandom::new(random.next_u64())),
            node.id.clone(),
        );
        let input = PutInput {
            body: Box::new(pieces(Bytes::from(format!("poison {made}")))),
            attributes: ObjectAttributes::default(),
            md5: None,
            checksum: None,
            trailer: None,
            conditions: WriteConditions::default(),
        };
        let done = objects.put(&permit, &key, input).await.is_ok();
        made += u64::from(done);
        world.trace.note(format!("{}: far ahead: {done}", node.id));
    }
}

/// The others were sent such versions, took none of them, and nothing else is ahead of its time.
pub async fn findings(world: &World) -> Vec<String> {
    let mut findings = Vec::new();
    for (n, node) in world.nodes.iter().enumerate() {
        let now = node.clock.now().ms();
        for name in &world.buckets {
            let held = checks::versions(node, &world.registry.deed(name)).await;
            let far = held
                .into_iter()
                .flatten()
                .filter(|(_, shipped)| shipped.modified.ms() > now + OFF_MAX_MS);
            findings.extend(far.map(|((key, _), _)| {
                format!("{key} of {name} is far ahead of its time at {}", node.id)
            }));
        }
        if n == MAKER {
            continue;
        }
        let aside = node
            .objects()
            .and_then(|objects| objects.asides_of(ID, &world.nodes[MAKER].id));
        if aside.is_none() {
            findings.push(format!(
                "{} was sent nothing far ahead of its time",
                node.id
            ));
        }
        let taken = checks::versions(node, &deed()).await;
        if taken.is_some_and(|taken| !taken.is_empty()) {
            findings.push(format!("{} took what is far ahead of its time", node.id));
        }
    }
    findings
}
