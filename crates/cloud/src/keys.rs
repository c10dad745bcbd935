//! Access keys: making them, taking over existing ones, and deriving what verifies requests.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use types::Random;

use crate::{
    CloudError,
    kinds::key::{KeyRecord, KeyStatus},
};

/// A key as listings show it: never the secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyInfo {
    /// The public half.
    pub access_key: String,
    /// The account's id.
    pub account: String,
    /// Whether it opens anything.
    pub status: KeyStatus,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// For people.
    pub description: String,
    /// Whether it may administer its account.
    pub admin: bool,
    /// The unique id of the user who holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A key as its creator sees it, once.
#[derive(Clone, PartialEq, Eq, serde::Serialize)]
pub struct NewKey {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
    /// The account's id.
    pub account: String,
}

/// A record without its secret.
pub(crate) fn info(record: &KeyRecord) -> KeyInfo {
    KeyInfo {
        access_key: record.id.clone(),
        account: record.account.clone(),
        status: record.status,
        created_ms: record.created_ms,
        description: record.description.clone(),
        admin: record.admin,
        user: record.user.clone(),
    }
}

/// Words of which secrets are made that are no secrets, in lower case.
const WORDS: [&str; 16] = [
    "minioadmin",
    "rustfsadmin",
    "minio",
    "admin",
    "password",
    "passw0rd",
    "changeme",
    "letmein",
    "secret",
    "accesskey",
    "root",
    "test",
    "example",
    "qwertyuiop",
    "qwerty",
    "asdfgh",
];
/// A secret has so many different characters beside such words and rows of neighbours.
const DISTINCT_MIN: usize = 5;
/// Characters that follow each other, such as `1234`, are a row from so many on.
const ROW_MIN: usize = 4;

/// Secrets in the documentation of AWS, of MinIO's public server, and of Ceph's test cluster.
const PUBLISHED: [&str; 5] = [
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
    "zuf+tfteSlswRu7BJ86wekitnifILbZam1KYY3TG",
    "h7GhxuBLTrlhVUyxSPUKUV8r/2EI4ngqJxD7iBdBYLhwluN30JaT3Q==",
];

/// What access keys of sessions begin with, here and elsewhere: no other key may.
const SESSIONS: [&str; 2] = [crate::sessions::token::PREFIX, "ASIA"];

/// What ids are made of.
pub(crate) const FEW: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Makes a pair: 20 characters `DHOW…` and 40 characters. A secret begins with a letter or a
/// digit: what begins with `-` is taken for an option by many programs.
pub(crate) fn generate(random: &dyn Random) -> (String, String) {
    const MANY: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let access_key = "DHOW".to_owned() + &text(random, 16, FEW);
    let secret_key = text(random, 1, FEW) + &text(random, 39, MANY);
    (access_key, secret_key)
}

pub(crate) fn text(random: &dyn Random, len: usize, alphabet: &[u8]) -> String {
    // Both alphabets have a power of two of letters, so the mask keeps them equally likely.
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    let mask = alphabet.len() - 1;
    bytes
        .iter()
        .map(|b| char::from(alphabet[usize::from(*b) & mask]))
        .collect()
}

/// Whether a pair that somebody brings along may be used.
pub(crate) fn check_imported(access_key: &str, secret_key: &str) -> Result<(), CloudError> {
    let invalid = |why: &str| Err(CloudError::Invalid(why.to_owned()));
    let good = |c: u8| c.is_ascii_alphanumeric() || b"_-.+".contains(&c);
    if !(3..=128).contains(&access_key.len()) || !access_key.bytes().all(good) {
        return invalid("an access key has 3 to 128 letters, digits, or one of _ - . +");
    }
    if !(16..=128).contains(&secret_key.len()) || !secret_key.bytes().all(|c| c.is_ascii_graphic())
    {
        return invalid("a secret key has 16 to 128 visible ASCII characters");
    }
    let upper = access_key.to_ascii_uppercase();
    if SESSIONS.iter().any(|prefix| upper.starts_with(prefix)) {
        return invalid("access keys that begin with DHST or ASIA are those of sessions");
    }
    if upper.starts_with(crate::kinds::provider::ID_PREFIX) {
        return invalid("access keys that begin with OIDP are called like identity providers");
    }
    let same = secret_key.eq_ignore_ascii_case(access_key);
    if same || PUBLISHED.contains(&secret_key) || distinct(secret_key) < DISTINCT_MIN {
        return invalid("the secret key is too easy to guess; let Dhow generate one");
    }
    Ok(())
}

/// The different characters of a secret, beside known words and rows of neighbours.
fn distinct(secret: &str) -> usize {
    let mut rest = secret.to_ascii_lowercase();
    for word in WORDS {
        rest = rest.replace(word, "");
    }
    let bytes = rest.as_bytes();
    let follows = |pair: &[u8]| pair[1] == pair[0].wrapping_add(1) || pair == b"90";
    let mut left: BTreeSet<u8> = BTreeSet::new();
    let mut at = 0;
    while at < bytes.len() {
        let row = bytes[at..].windows(2).take_while(|pair| follows(pair));
        let row = row.count() + 1;
        if row < ROW_MIN {
            left.extend(&bytes[at..at + row]);
        }
        at += row;
    }
    left.len()
}

/// The chain of SigV4: secret -> day -> region -> service -> `aws4_request`.
#[cfg(test)]
pub(crate) fn derive(secret: &str, day: &str, region: &str, service: &str) -> [u8; 32] {
    service_key(&region_key(secret, day, region), service)
}

/// The first two steps: bound to day and region.
pub(crate) fn region_key(secret: &str, day: &str, region: &str) -> [u8; 32] {
    let first = mac(format!("AWS4{secret}").as_bytes(), day);
    mac(&first, region)
}

/// The last two steps: what verifies signatures.
pub(crate) fn service_key(region_key: &[u8; 32], service: &str) -> [u8; 32] {
    let third = mac(region_key, service);
    mac(&third, "aws4_request")
}

pub(crate) fn mac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use types::SeededRandom;

    use super::*;

    #[test]
    fn a_secret_is_never_taken_for_an_option() {
        let random = SeededRandom::new(3);
        for _ in 0..1000 {
            let (access_key, secret_key) = generate(&random);
            assert!(!secret_key.starts_with(['-', '_']), "{secret_key}");
            assert_eq!((access_key.len(), secret_key.len()), (20, 40));
            check_imported(&access_key, &secret_key).unwrap();
        }
    }

    // "Deriving the signing key" in AWS's SigV4 documentation, for IAM on 2012-02-15.
    #[test]
    fn the_published_chain() {
        let key = derive(
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "20120215",
            "us-east-1",
            "iam",
        );
        let text = hex::encode(key);
        assert_eq!(
            text,
            "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
        );
    }

    #[test]
    fn s22_weak_pairs_are_refused() {
        for (access, secret) in [
            ("minioadmin", "minioadmin"),
            ("admin", "password"),
            ("abc", "aaaaaaaaaaaaaaaaaaaa"),
            ("AKIASAMEASTHESECRET1", "AKIASAMEASTHESECRET1"),
            ("a", "goodSecret0123456789xyz"),
            ("has space", "goodSecret0123456789xyz"),
            ("abc", "tab\tinside0123456789"),
            ("abc", "password1234567890"),
            ("abc", "changeme-changeme"),
            ("abc", "Qwertyuiopasdfgh"),
            ("abc", "0123456789abcdef"),
            ("abc", "minio-Secret-1234"),
            (
                "AKIAIOSFODNN7EXAMPLE",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
            (
                "Q3AM3UQ867SPQQA43P2F",
                "zuf+tfteSlswRu7BJ86wekitnifILbZam1KYY3TG",
            ),
        ] {
            assert!(check_imported(access, secret).is_err(), "{access} {secret}");
        }
        let (access, secret) = generate(&SeededRandom::new(3));
        assert_eq!((access.len(), secret.len()), (20, 40));
        assert!(check_imported(&access, &secret).is_ok());
        for good in ["another-Secret-0123456789", "a-Secret-0123456789-xyz"] {
            assert!(check_imported("abc", good).is_ok(), "{good}");
        }
    }
}
