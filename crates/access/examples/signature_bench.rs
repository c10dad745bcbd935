//! What it costs to verify a request: `cargo run --release -p access --example signature_bench`.
//! Both kinds of signature take turns, each over the head of a GET by one thread.

#![allow(clippy::unwrap_used)] // tests and examples may panic

use std::{hint::black_box, time::Instant};

use access::{
    AuthType, CallerKind, SigningKey, SigningKeys, VerifyingKey, Who,
    sign::{Signer, Unsigned, payload_sha256},
    signature::{EMPTY_SHA256, Facts, HmacKey, PublicKey, RegionNames, Request, verify},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use types::{AccountId, RegionId, Timestamp};

const KEY: &str = "AKIDEXAMPLE";
const STAMP: &str = "20261129T120000Z";
const PATH: &str = "/bucket/a/key/of/usual/length.bin";
const TURNS: usize = 11;
const OF_ONE_TURN: u32 = 5_000;

struct Keys {
    public: PublicKey,
    hmac: HmacKey,
}

impl SigningKeys for Keys {
    fn signing_key(&self, _: &str, _: &str, _: &RegionId, _: &str) -> Option<SigningKey> {
        Some(SigningKey {
            account: AccountId::new("000000000001"),
            kind: CallerKind::Customer,
            guard: Default::default(),
            who: Who::Root,
            key: self.hmac.clone(),
        })
    }

    fn public_key(&self, _: &str) -> Option<VerifyingKey> {
        Some(VerifyingKey {
            account: AccountId::new("000000000001"),
            kind: CallerKind::Customer,
            guard: Default::default(),
            who: Who::Root,
            key: self.public.clone(),
        })
    }
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let one = |(name, value): &(&str, &str)| {
        let value = HeaderValue::from_str(value).unwrap();
        (name.parse::<HeaderName>().unwrap(), value)
    };
    headers.iter().map(one).collect()
}

fn by_hmac(now: Timestamp) -> HeaderMap {
    let unsigned = Unsigned {
        method: "GET",
        host: "127.0.0.1:9000",
        path: PATH,
        query: "",
        headers: &[],
        payload: EMPTY_SHA256,
    };
    let signed = Signer::new(KEY, "secret", "local-1").sign(&unsigned, now);
    map(&[
        ("host", "127.0.0.1:9000"),
        ("x-amz-content-sha256", EMPTY_SHA256),
        ("x-amz-date", STAMP),
        ("authorization", &signed.authorization),
    ])
}

fn by_ecdsa(pair: &EcdsaKeyPair) -> HeaderMap {
    let names = "host;x-amz-content-sha256;x-amz-date;x-amz-region-set";
    let canonical = format!(
        "GET\n{PATH}\n\nhost:127.0.0.1:9000\nx-amz-content-sha256:{EMPTY_SHA256}\n\
         x-amz-date:{STAMP}\nx-amz-region-set:local-1\n\n{names}\n{EMPTY_SHA256}"
    );
    let text = format!(
        "AWS4-ECDSA-P256-SHA256\n{STAMP}\n20261129/s3/aws4_request\n{}",
        payload_sha256(canonical.as_bytes())
    );
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    let authorization = format!(
        "AWS4-ECDSA-P256-SHA256 Credential={KEY}/20261129/s3/aws4_request, \
         SignedHeaders={names}, Signature={}",
        hex::encode(signature)
    );
    map(&[
        ("host", "127.0.0.1:9000"),
        ("x-amz-content-sha256", EMPTY_SHA256),
        ("x-amz-date", STAMP),
        ("x-amz-region-set", "local-1"),
        ("authorization", &authorization),
    ])
}

/// Microseconds for one.
fn turn(keys: &Keys, auth: AuthType, headers: &HeaderMap, now: Timestamp) -> f64 {
    let own = RegionId::new("local-1");
    let begun = Instant::now();
    for _ in 0..OF_ONE_TURN {
        let facts = Facts {
            keys,
            regions: RegionNames {
                own: &own,
                aliases: &[],
            },
            now,
        };
        let request = Request {
            method: "GET",
            path: PATH,
            host_bucket: None,
            query: None,
            headers: black_box(headers),
        };
        black_box(verify(auth, &request, &facts).unwrap());
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(OF_ONE_TURN)
}

fn main() {
    let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap();
    let now = Timestamp::parse_iso_basic(STAMP).unwrap();
    let keys = Keys {
        public: PublicKey::new(pair.public_key().as_ref().try_into().unwrap()),
        hmac: access::signature::signing_key("secret", "20261129", "local-1", "s3").into(),
    };
    let cases = [
        ("AWS4-HMAC-SHA256", AuthType::HeaderV4, by_hmac(now)),
        (
            "AWS4-ECDSA-P256-SHA256",
            AuthType::HeaderV4a,
            by_ecdsa(&pair),
        ),
    ];
    let mut times: [Vec<f64>; 2] = Default::default();
    for _ in 0..TURNS {
        for (times, (_, auth, headers)) in times.iter_mut().zip(&cases) {
            times.push(turn(&keys, *auth, headers, now));
        }
    }
    for (times, (name, ..)) in times.iter_mut().zip(&cases) {
        times.sort_by(f64::total_cmp);
        let (low, middle) = (times[0], times[TURNS / 2]);
        let rate = 1e6 / middle;
        println!("{name:<24} {middle:7.2} µs (fastest turn {low:.2} µs), {rate:.0} a second");
    }
}
