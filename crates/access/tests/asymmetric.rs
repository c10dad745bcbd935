//! Asymmetric signatures (SigV4A): what is covered, for whom it counts, and what no key proves.
//! tests/test_asymmetric.py has the same with a client of AWS.

#![allow(clippy::unwrap_used)] // tests may panic

use access::{
    AuthType, CallerKind, Identity, SignatureError as E, SigningKey, SigningKeys, VerifyingKey,
    Who,
    sign::payload_sha256,
    signature::{
        Facts, HmacKey, PublicKey, RegionNames, Request, Verified, claim, signing_key, verify,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use types::{AccountId, RegionId, Timestamp};

const KEY: &str = "AKIDEXAMPLE";
const STAMP: &str = "20261129T120000Z";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Keys {
    pair: EcdsaKeyPair,
    requires: bool,
}

impl Keys {
    fn new(requires: bool) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap();
        Self { pair, requires }
    }

    fn public(&self) -> PublicKey {
        PublicKey::new(self.pair.public_key().as_ref().try_into().unwrap())
    }

    fn sign(&self, canonical: &str) -> String {
        let text = [
            "AWS4-ECDSA-P256-SHA256\n20261129T120000Z\n20261129/s3/aws4_request\n",
            &payload_sha256(canonical.as_bytes()),
        ]
        .concat();
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes());
        hex::encode(signature.unwrap())
    }

    fn judge(&self, target: &str, headers: &HeaderMap) -> Result<Verified, E> {
        self.judge_as("eu-central-1", target, headers)
    }

    fn judge_as(&self, own: &str, target: &str, headers: &HeaderMap) -> Result<Verified, E> {
        let own = RegionId::new(own);
        let facts = Facts {
            keys: self,
            regions: RegionNames {
                own: &own,
                aliases: &["us-east-1".to_owned()],
            },
            now: now(),
        };
        let request = request(target, headers);
        let auth = AuthType::of(&Method::GET, headers, request.query)?;
        verify(auth, &request, &facts)
    }
}

impl SigningKeys for Keys {
    fn signing_key(&self, key: &str, day: &str, region: &RegionId, s: &str) -> Option<SigningKey> {
        (key == KEY).then(|| SigningKey {
            account: AccountId::new("000000000001"),
            kind: CallerKind::Customer,
            guard: Default::default(),
            who: Who::Root,
            key: signing_key("secret", day, region, s).into(),
        })
    }

    fn public_key(&self, access_key: &str) -> Option<VerifyingKey> {
        (access_key == KEY).then(|| VerifyingKey {
            account: AccountId::new("000000000001"),
            kind: CallerKind::Customer,
            guard: Default::default(),
            who: Who::Root,
            key: self.public(),
        })
    }

    fn requires_asymmetric(&self, _: &AccountId) -> bool {
        self.requires
    }
}

fn now() -> Timestamp {
    Timestamp::parse_iso_basic(STAMP).unwrap()
}

fn request<'a>(target: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Request {
        method: "GET",
        path,
        host_bucket: None,
        query,
        headers,
    }
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    map
}

/// A request for `/b/k` with this region set.
fn signed(keys: &Keys, set: &str) -> HeaderMap {
    let names = "host;x-amz-content-sha256;x-amz-date;x-amz-region-set";
    let canonical = format!(
        "GET\n/b/k\n\nhost:h\nx-amz-content-sha256:{EMPTY}\nx-amz-date:{STAMP}\n\
         x-amz-region-set:{set}\n\n{names}\n{EMPTY}"
    );
    let authorization = format!(
        "AWS4-ECDSA-P256-SHA256 Credential={KEY}/20261129/s3/aws4_request, \
         SignedHeaders={names}, Signature={}",
        keys.sign(&canonical)
    );
    map(&[
        ("host", "h"),
        ("x-amz-content-sha256", EMPTY),
        ("x-amz-date", STAMP),
        ("x-amz-region-set", set),
        ("authorization", &authorization),
    ])
}

#[test]
fn a_signature_counts_in_the_regions_of_its_set_and_under_no_alias() {
    let keys = Keys::new(false);
    for (set, is_for, alone) in [
        ("eu-central-1", true, true),
        ("eu-central-1,ap-south-1", true, false),
        ("*", true, false),
        ("eu-*", true, false),
        ("us-east-1", false, false),
        ("ap-*", false, false),
    ] {
        match keys.judge("/b/k", &signed(&keys, set)) {
            Ok(verified) => {
                assert!(is_for, "{set}");
                assert!(matches!(verified.identity, Identity::Key { .. }));
                assert_eq!(verified.once.is_none(), alone, "{set}");
            }
            Err(error) => assert!(
                !is_for && matches!(error, E::RegionSet { .. }),
                "{set} {error}"
            ),
        }
    }
}

#[test]
fn one_text_is_remembered_once_whatever_its_signatures() {
    let keys = Keys::new(false);
    let once = |headers: &HeaderMap| keys.judge("/b/k", headers).unwrap().once.unwrap();
    let (first, second) = (signed(&keys, "*"), signed(&keys, "*"));
    assert_ne!(first["authorization"], second["authorization"]);
    assert_eq!(once(&first), once(&second));
    assert_ne!(once(&first), once(&signed(&keys, "eu-*")));
    // A region that relays it reads the same.
    let claimed = claim(AuthType::HeaderV4a, &request("/b/k", &first), now()).unwrap();
    assert_eq!(claimed.statement.once(), once(&second));
}

#[test]
fn what_is_missing_or_of_another_kind_is_refused() {
    let keys = Keys::new(false);
    let good = signed(&keys, "*");
    let without = |name: &str| {
        let mut headers = good.clone();
        headers.remove(name);
        keys.judge("/b/k", &headers).unwrap_err()
    };
    assert_eq!(
        without("x-amz-region-set"),
        E::MissingHeader("x-amz-region-set")
    );
    let with = |name: &'static str, value: &str| {
        let mut headers = good.clone();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        keys.judge("/b/k", &headers).unwrap_err()
    };
    assert!(matches!(with("x-amz-region-set", "eu-*"), E::Mismatch(_)));
    assert!(matches!(
        with("x-amz-security-token", "t"),
        E::HeadersNotSigned(_)
    ));
    let chunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    assert!(matches!(
        with("x-amz-content-sha256", chunks),
        E::PayloadMode(_)
    ));
    let said = good["authorization"].to_str().unwrap();
    let hmac = said.replace("AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA256");
    assert!(matches!(
        with("authorization", &hmac),
        E::HeaderMalformed(_)
    ));
    let scoped = said.replace("/20261129/s3/", "/20261129/eu-central-1/s3/");
    assert!(matches!(
        with("authorization", &scoped),
        E::HeaderMalformed(_)
    ));
    let unknown = said.replace(KEY, "AKIDOTHER");
    assert!(matches!(with("authorization", &unknown), E::UnknownKey(_)));
    assert!(matches!(
        Keys::new(false).judge("/b/k", &good),
        Err(E::Mismatch(_))
    ));
    // In a query.
    let query = "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20261129%2Fs3%2Faws4_request\
        &X-Amz-Date=20261129T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host";
    let host = map(&[("host", "h")]);
    let url = |set: &str| {
        let all = [query, set].concat();
        let mut pairs: Vec<&str> = all.split('&').collect();
        pairs.sort_unstable();
        let pairs = pairs.join("&");
        let canonical = format!("GET\n/b/k\n{pairs}\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
        let target = format!("/b/k?{all}&X-Amz-Signature={}", keys.sign(&canonical));
        keys.judge(&target, &host)
    };
    assert!(matches!(url(""), Err(E::QueryMalformed(_))));
    assert!(matches!(
        url("&X-Amz-Region-Set=ap-south-1"),
        Err(E::RegionSet { query: true, .. })
    ));
    assert!(url("&X-Amz-Region-Set=%2A").unwrap().once.is_none());
}

#[test]
fn an_account_may_take_no_other_kind() {
    let keys = Keys::new(true);
    assert!(keys.judge("/b/k", &signed(&keys, "*")).is_ok());
    let mut signer = access::sign::Signer::new(KEY, "secret", "eu-central-1");
    let unsigned = access::sign::Unsigned {
        method: "GET",
        host: "h",
        path: "/b/k",
        query: "",
        headers: &[],
        payload: EMPTY,
    };
    let made = signer.sign(&unsigned, now());
    let headers = map(&[
        ("host", "h"),
        ("x-amz-content-sha256", EMPTY),
        ("x-amz-date", &made.date),
        ("authorization", &made.authorization),
    ]);
    let refused = keys.judge("/b/k", &headers);
    assert_eq!(refused.unwrap_err(), E::AsymmetricRequired);
    assert!(Keys::new(false).judge("/b/k", &headers).is_ok());
    // Who has not the key does not find out.
    let mut forged = headers.clone();
    let wrong = made.authorization.replace("Signature=", "Signature=0");
    forged.insert("authorization", HeaderValue::from_str(&wrong).unwrap());
    assert!(matches!(keys.judge("/b/k", &forged), Err(E::Mismatch(_))));
}

#[test]
fn neither_kind_of_key_proves_the_other_kind_of_signature() {
    let keys = Keys::new(false);
    let headers = signed(&keys, "*");
    let claimed = claim(AuthType::HeaderV4a, &request("/b/k", &headers), now()).unwrap();
    let mut statement = claimed.statement;
    assert!(statement.is_proven_by_public(&keys.public()));
    assert!(!statement.is_proven_by_public(&Keys::new(false).public()));
    assert!(statement.is_for("any") && statement.is_asymmetric());
    for key in [[0; 32], signing_key("secret", "20261129", "", "s3")] {
        assert!(!statement.is_proven_by(&HmacKey::from(key)));
    }
    assert!(!statement.chunks_are_proven_by(HmacKey::from([0; 32]), "", &[]));
    statement.region_set = None;
    assert!(!statement.is_proven_by_public(&keys.public()));
}
