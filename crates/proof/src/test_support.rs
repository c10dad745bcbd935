//! Keys and a small cloud for the tests.

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use types::{BucketId, BucketName, RegionId, Timestamp, VersionId};

use crate::{
    Hex,
    bundle::{AnchorKey, Bundle, TrustAnchor},
    chain::{Checkpoint, Entry},
    residency::{Digest, DigestBuilder, Holder, Leaf},
    signature::Signer,
};

pub const CLOUD: &str = "dhow-test";
pub const BUCKET: &str = "ledgers";
pub const BUCKET_ID: u64 = 77;
/// Region, jurisdiction, operator.
pub const REGIONS: [[&str; 3]; 3] = [
    ["eu-central-1", "DE", "own"],
    ["eu-west-1", "IE", "own"],
    ["me-east-1", "AE", "yvolv"],
];
/// When the chain begins; one entry a minute.
pub const BEGIN_MS: u64 = 1_790_000_000_000;
pub const ENTRIES: u64 = 50;

pub struct Key(Ed25519KeyPair);

impl Key {
    pub fn from_seed(seed: &[u8]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).unwrap())
    }

    /// The key of the `n`th region.
    pub fn of(n: usize) -> Self {
        Self::from_seed(&[n as u8 + 1; 32])
    }
}

impl Signer for Key {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}

pub fn at(ms: u64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// Adds an entry, a minute after the last.
pub fn add(chain: &mut Vec<Entry>, action: &str, subject: &str, detail: &Value) {
    let now = at(BEGIN_MS + 60_000 * chain.len() as u64);
    let entry = Entry::next(chain.last(), now, "ops@example", action, subject, detail);
    chain.push(entry.unwrap());
}

pub fn open_region(n: usize) -> Value {
    let [_, jurisdiction, operator] = REGIONS[n];
    let key = Hex(Key::of(n).public_key());
    json!({"jurisdiction": jurisdiction, "operator": operator, "public_key": key})
}

pub fn deed(home: &str, replicas: &[&str], epoch: u64) -> Value {
    let replicas: Vec<Value> = replicas.iter().map(|r| json!({"region": r})).collect();
    json!({
        "id": BUCKET_ID, "owner": "000000000001", "home": home, "replicas": replicas,
        "jurisdictions": ["EU"], "writes": "home", "epoch": epoch,
    })
}

/// Three regions open, the bucket is created at home, gets a replica; much else happens.
pub fn chain() -> Vec<Entry> {
    let mut chain = Vec::new();
    for (n, region) in REGIONS.iter().enumerate() {
        add(&mut chain, "region.open", region[0], &open_region(n));
    }
    let alone = deed(REGIONS[0][0], &[], 1);
    add(&mut chain, "bucket.create", BUCKET, &alone);
    while (chain.len() as u64) < ENTRIES {
        let n = chain.len();
        if n == 30 {
            let two = deed(REGIONS[0][0], &[REGIONS[1][0]], 1);
            add(&mut chain, "bucket.place", BUCKET, &two);
        } else {
            let detail = json!({"account": format!("{n:012}"), "note": "two\nlines, \"quoted\""});
            add(
                &mut chain,
                "account.create",
                &format!("account-{n}"),
                &detail,
            );
        }
    }
    chain
}

/// When the chain has ended and everything is signed.
pub fn signing_ms() -> u64 {
    BEGIN_MS + 60_000 * ENTRIES
}

pub fn checkpoint(chain: &[Entry]) -> Checkpoint {
    let head = chain.last().unwrap().head();
    Checkpoint::make(&Key::of(0), CLOUD, REGIONS[0][0], head, at(signing_ms()))
}

pub fn holder(n: usize) -> Holder {
    let [region, jurisdiction, operator] = REGIONS[n];
    Holder {
        cloud: CLOUD.to_owned(),
        region: RegionId::new(region),
        jurisdiction: jurisdiction.to_owned(),
        operator: operator.to_owned(),
    }
}

/// A digest over `objects` objects.
pub fn builder(objects: u8) -> DigestBuilder {
    let name = BucketName::new(BUCKET).unwrap();
    let mut builder = DigestBuilder::new(name, BucketId(BUCKET_ID));
    for n in 0..objects {
        let key = format!("invoices/{n:03}");
        let leaf = Leaf {
            key: key.as_bytes(),
            version: VersionId::from_bytes([n; 16]),
            delete_marker: false,
            size: 1000 + u64::from(n),
            etag: "d41d8cd98f00b204e9800998ecf8427e",
        };
        builder.push(&leaf).unwrap();
    }
    builder
}

/// What region `n` signs about `objects` objects at a position of the log.
pub fn digest(n: usize, objects: u8, position: u64) -> Digest {
    builder(objects).finish(
        &Key::of(n),
        &holder(n),
        1,
        position,
        at(signing_ms() + n as u64),
    )
}

pub fn bundle_of(chain: Vec<Entry>, digests: Vec<Digest>) -> Bundle {
    let checkpoint = checkpoint(&chain);
    let made_at = at(signing_ms() + 1000);
    Bundle::assemble(CLOUD, BUCKET, made_at, chain, checkpoint, digests)
}

/// 50 entries, 3 regions: the home, a replica, and one that holds nothing.
pub fn bundle() -> Bundle {
    let digests = vec![digest(0, 20, 900), digest(1, 20, 900), digest(2, 0, 0)];
    bundle_of(chain(), digests)
}

pub fn anchor() -> TrustAnchor {
    TrustAnchor::new(AnchorKey::Key(Hex(Key::of(0).public_key())))
}
