//! Public keys of access keys, with which every region verifies asymmetric signatures ("AWS
//! Signature Version 4A"). The private key follows from the access key and its secret, so it is
//! derived where secrets are, and only its public half leaves that place.

use access::{
    VerifyingKey,
    signature::{PublicKey, Statement, asymmetric::ECDSA},
};
use hmac::{Hmac, KeyInit, Mac};
use p256::{SecretKey, elliptic_curve::sec1::ToSec1Point};
use sha2::Sha256;

use crate::{KeyStatus, Registry, state::State};

/// One less than the order of the curve's group, without its last step: a candidate above this is
/// not taken, and one is added to all others.
const ORDER_LESS_2: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
];
/// Candidates at most. One in four thousand million is not taken.
const CANDIDATES_MAX: u8 = 254;

/// The public key that belongs to an access key and its secret.
pub(crate) fn public_key(access_key: &str, secret: &str) -> Option<PublicKey> {
    let private = private_key(access_key, secret)?;
    let private = SecretKey::from_slice(&private).ok()?;
    let point = private.public_key().to_sec1_point(false);
    Some(PublicKey::new(point.as_bytes().try_into().ok()?))
}

/// The private key: NIST SP 800-108 in counter mode with HMAC-SHA256, once for each candidate, as
/// the SDKs of AWS derive it.
fn private_key(access_key: &str, secret: &str) -> Option<[u8; 32]> {
    let key = ["AWS4A", secret].concat();
    (1..=CANDIDATES_MAX).find_map(|counter| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
        for piece in [
            &1_u32.to_be_bytes()[..],
            ECDSA.as_bytes(),
            &[0],
            access_key.as_bytes(),
            &[counter],
            &256_u32.to_be_bytes(),
        ] {
            mac.update(piece);
        }
        let candidate: [u8; 32] = mac.finalize().into_bytes().into();
        (candidate <= ORDER_LESS_2).then(|| add_one(candidate))
    })
}

fn add_one(mut number: [u8; 32]) -> [u8; 32] {
    for byte in number.iter_mut().rev() {
        let (sum, carries) = byte.overflowing_add(1);
        *byte = sum;
        if !carries {
            break;
        }
    }
    number
}

impl State {
    /// What verifies asymmetric signatures of a key that is live, of an account that may act.
    pub(crate) fn verifying_key(&self, access_key: &str) -> Option<VerifyingKey> {
        let (account, who, key) = match self.keys.get(access_key) {
            Some(found) if found.record.status == KeyStatus::Active => {
                let key = found.public_key()?.clone();
                (&found.record.account, self.holder(&found.record)?, key)
            }
            Some(_) => return None,
            None => {
                let found = self.verifiers.get(access_key).filter(|v| v.active)?;
                (&found.account, found.who.clone(), found.public.clone()?)
            }
        };
        let account = self.accounts.get(account).filter(|a| !a.suspended)?;
        Some(VerifyingKey {
            account: account.account_id(),
            kind: account.caller_kind(),
            guard: self.guard_policy(&account.id),
            who,
            key,
        })
    }
}

impl Registry {
    /// Who made an asymmetric signature over a request to `region`; `None` where it is none, was
    /// made for other regions, or is of a key that is not live or not known here.
    pub fn signer_of(&self, statement: &Statement, region: &str) -> Option<VerifyingKey> {
        if statement.token.is_some() || !statement.is_for(region) {
            return None;
        }
        let found = self.state.read().verifying_key(&statement.access_key)?;
        statement.is_proven_by_public(&found.key).then_some(found)
    }
}

/// The signature that a client makes.
#[cfg(test)]
pub(crate) fn sign(access_key: &str, secret: &str, text: &[u8]) -> String {
    use ring::{rand::SystemRandom, signature as ecdsa};
    let (private, public) = (
        private_key(access_key, secret).unwrap(),
        public_key(access_key, secret).unwrap(),
    );
    let pair = ecdsa::EcdsaKeyPair::from_private_key_and_public_key(
        &ecdsa::ECDSA_P256_SHA256_ASN1_SIGNING,
        &private,
        &hex::decode(public.to_string()).unwrap(),
        &SystemRandom::new(),
    );
    let signature = pair.unwrap().sign(&SystemRandom::new(), text);
    hex::encode(signature.unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    // awslabs/aws-c-auth: tests/key_derivation_tests.c, and the key and the canonical request of
    // tests/aws-signing-test-suite/v4a/get-vanilla, signed by awscrt 0.38.1.
    #[test]
    fn the_published_keys_and_signature() {
        for (access_key, secret, x, y) in [
            (
                "AKISORANDOMAASORANDOM",
                "q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom",
                "15d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb",
                "0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0",
            ),
            (
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                "b6618f6a65740a99e650b33b6b4b5bd0d43b176d721a3edfea7e7d2d56d936b1",
                "865ed22a7eadc9c5cb9d2cbaca1b3699139fedc5043dc6661864218330c8e518",
            ),
        ] {
            let key = public_key(access_key, secret).unwrap();
            assert_eq!(key.to_string(), ["04", x, y].concat());
        }
        let canonical = concat!(
            "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n",
            "x-amz-region-set:us-east-1\n\nhost;x-amz-date;x-amz-region-set\n",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        );
        let text = [
            "AWS4-ECDSA-P256-SHA256\n20150830T123600Z\n20150830/service/aws4_request\n",
            &access::sign::payload_sha256(canonical.as_bytes()),
        ]
        .concat();
        let signature = concat!(
            "3046022100f5c6bd467821255bc9cd1e583f5b4315cadbdbb2ba328ae928d9ac077e6935f6022100",
            "80ae41f3beb4198d2be496342e8bd80e0f56c64e8bc12390aa7112034a5d0e30",
        );
        let key = public_key("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
        assert!(key.verifies(text.as_bytes(), signature));
        assert!(!key.verifies(text.replace("1236", "1237").as_bytes(), signature));
        let other = public_key("AKIDEXAMPLE", "another secret of some length").unwrap();
        assert!(!other.verifies(text.as_bytes(), signature));
    }

    #[test]
    fn one_is_added_with_its_carry() {
        let mut number = [0; 32];
        number[30] = 7;
        number[31] = 0xff;
        let mut next = [0; 32];
        next[30] = 8;
        assert_eq!(add_one(number), next);
    }
}
