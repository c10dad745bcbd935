//! Ed25519 (RFC 8032): who signs, and how it is checked.

use ring::signature::{ED25519, UnparsedPublicKey};

/// Somebody who holds an Ed25519 private key. The key itself never enters this crate.
pub trait Signer {
    /// The public half, 32 bytes as in RFC 8032.
    fn public_key(&self) -> [u8; 32];
    /// Signs the message itself (not a hash of it).
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Whether `signature` is that of `public` on `message`. `false` also for bytes that are no key.
pub fn verify_signature(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Key;

    /// RFC 8032 section 7.1, test 2.
    #[test]
    fn signatures_are_those_of_rfc_8032() {
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let signature = concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        let key = Key::from_seed(&crate::Hex::<32>::parse(seed).unwrap().0);
        assert_eq!(hex::encode(key.public_key()), public);
        assert_eq!(hex::encode(key.sign(&[0x72])), signature);
        let (public, signature) = (key.public_key(), key.sign(&[0x72]));
        assert!(verify_signature(&public, &[0x72], &signature));
        assert!(!verify_signature(&public, &[0x73], &signature));
        assert!(!verify_signature(&[0xff; 32], &[0x72], &signature));
        for bit in 0..512 {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify_signature(&public, &[0x72], &changed), "bit {bit}");
        }
    }
}
