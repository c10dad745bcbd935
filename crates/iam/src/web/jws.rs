//! Signed tokens of identity providers (RFC 7515, 7517, 7518): how they are read, and what verifies
//! them.
//!
//! A token says by itself how it wants to be verified, so nothing of that is followed: an algorithm
//! is one of a list, and is used with a key of its own kind alone. A token that names keys, or that
//! has critical extensions, is refused. Nothing is read of the claims before the signature was
//! verified, but which provider they are said to be of.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// Bytes of a token (STS).
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 4..=20_000;
/// Bytes of its head, as text.
const HEAD_BYTES_MAX: usize = 4_000;
/// Keys of one provider.
const KEYS_MAX: usize = 100;

/// How tokens may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
}

impl Algorithm {
    /// Its name, letter by letter: `none` and what uses shared secrets are none of them.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            _ => return None,
        })
    }
}

/// A public key.
enum PublicKey {
    /// Modulus and exponent.
    Rsa(Vec<u8>, Vec<u8>),
    /// Points, uncompressed.
    P256(Vec<u8>),
    P384(Vec<u8>),
}

impl PublicKey {
    fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let rsa = |n: &[u8], e: &[u8], by: &signature::RsaParameters| {
            let key = RsaPublicKeyComponents { n, e };
            key.verify(by, signed, signature).is_ok()
        };
        let point = |point: &[u8], by: &'static signature::EcdsaVerificationAlgorithm| {
            let key = UnparsedPublicKey::new(by, point);
            key.verify(signed, signature).is_ok()
        };
        // An algorithm of another kind of key verifies nothing.
        match (self, algorithm) {
            (Self::Rsa(n, e), Algorithm::Rs256) => {
                rsa(n, e, &signature::RSA_PKCS1_2048_8192_SHA256)
            }
            (Self::Rsa(n, e), Algorithm::Rs384) => {
                rsa(n, e, &signature::RSA_PKCS1_2048_8192_SHA384)
            }
            (Self::Rsa(n, e), Algorithm::Rs512) => {
                rsa(n, e, &signature::RSA_PKCS1_2048_8192_SHA512)
            }
            (Self::P256(at), Algorithm::Es256) => point(at, &signature::ECDSA_P256_SHA256_FIXED),
            (Self::P384(at), Algorithm::Es384) => point(at, &signature::ECDSA_P384_SHA384_FIXED),
            (Self::Rsa(..), Algorithm::Es256 | Algorithm::Es384)
            | (Self::P256(_), _)
            | (Self::P384(_), _) => false,
        }
    }
}

/// A key of a provider that can verify tokens.
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, if it says.
    only: Option<Algorithm>,
    key: PublicKey,
}

/// The keys of a provider.
#[derive(Default)]
pub struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

impl RawKey {
    /// As it verifies; `None` for one that is for something else, or of another kind.
    fn read(self) -> Option<Key> {
        let signs = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
        if !signs || !self.key_ops.as_ref().is_none_or(verifies) {
            return None;
        }
        let only = match &self.alg {
            None => None,
            Some(name) => Some(Algorithm::named(name)?),
        };
        let point = |size: usize| {
            let (x, y) = (bytes(self.x.as_deref()?)?, bytes(self.y.as_deref()?)?);
            (x.len() == size && y.len() == size).then(|| [&[4][..], &x, &y].concat())
        };
        let key = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => {
                let whole = |text: &Option<String>| {
                    let mut number = bytes(text.as_deref()?)?;
                    let zeros = number.iter().take_while(|byte| **byte == 0).count();
                    number.drain(..zeros);
                    Some(number)
                };
                PublicKey::Rsa(whole(&self.n)?, whole(&self.e)?)
            }
            ("EC", Some("P-256")) => PublicKey::P256(point(32)?),
            ("EC", Some("P-384")) => PublicKey::P384(point(48)?),
            _ => return None,
        };
        Some(Key {
            id: self.kid,
            only,
            key,
        })
    }
}

impl KeySet {
    /// Reads a set of keys (`jwks_uri`). Keys of other kinds are left out; `None` if it is no set.
    pub fn read(text: &[u8]) -> Option<Self> {
        let raw: RawSet = serde_json::from_slice(text).ok()?;
        let keys = raw.keys.into_iter().take(KEYS_MAX);
        Some(Self(keys.filter_map(RawKey::read).collect()))
    }
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    // Each of them would have the token say itself by what it is verified.
    jku: Option<serde::de::IgnoredAny>,
    jwk: Option<serde::de::IgnoredAny>,
    x5u: Option<serde::de::IgnoredAny>,
    crit: Option<serde::de::IgnoredAny>,
}

/// One text, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Several {
    One(String),
    Many(Vec<String>),
}

impl Several {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
struct RawClaims {
    iss: String,
    sub: String,
    aud: Several,
    azp: Option<String>,
    exp: u64,
    nbf: Option<u64>,
    iat: u64,
    amr: Option<Several>,
    #[serde(rename = "https://aws.amazon.com/tags")]
    tags: Option<serde::de::IgnoredAny>,
    #[serde(rename = "https://aws.amazon.com/source_identity")]
    source_identity: Option<serde::de::IgnoredAny>,
}

/// What a token says whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The provider, as the token names it.
    pub issuer: String,
    /// Who it is about.
    pub subject: String,
    /// Whom it is for.
    pub audiences: Vec<String>,
    /// Who asked for it.
    pub party: Option<String>,
    /// Seconds since the epoch.
    pub expires: u64,
    /// The same.
    pub not_before: Option<u64>,
    /// The same.
    pub issued: u64,
    /// How they signed in.
    pub methods: Vec<String>,
    /// It gives tags or a source identity to the session.
    pub gives_more: bool,
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is none, or nothing verifies it.
    Bad,
    /// No key has the id that it names: a newer set of keys may.
    UnknownKey,
}

/// A token that nothing was verified of.
pub struct Unverified<'t> {
    /// `None`: one that is not in the list.
    algorithm: Option<Algorithm>,
    key: Option<String>,
    signed: &'t [u8],
    signature: Vec<u8>,
    payload: Vec<u8>,
    issuer: String,
}

impl<'t> Unverified<'t> {
    /// Reads a token; `None` for what can never count.
    pub fn read(token: &'t str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        if !TOKEN_BYTES.contains(&token.len()) {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, payload) = signed.split_once('.')?;
        if head.len() > HEAD_BYTES_MAX || payload.contains('.') {
            return None;
        }
        let head: Head = serde_json::from_slice(&bytes(head)?).ok()?;
        let names_keys = [&head.jku, &head.jwk, &head.x5u, &head.crit];
        if names_keys.into_iter().any(Option::is_some) {
            return None;
        }
        let payload = bytes(payload)?;
        let Issuer { iss } = serde_json::from_slice(&payload).ok()?;
        Some(Self {
            algorithm: Algorithm::named(&head.alg),
            key: head.kid,
            signed: signed.as_bytes(),
            signature: bytes(signature)?,
            payload,
            issuer: iss,
        })
    }

    /// Whose it is said to be: to choose among the providers of an account, and for nothing else.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What it says, if one of the keys verifies it.
    ///
    /// # Errors
    /// None does.
    pub fn verify(&self, keys: &KeySet) -> Result<Claims, Fault> {
        let fits = |key: &&Key| match &self.key {
            Some(id) => key.id.as_ref() == Some(id),
            // Who names none has only one.
            None => keys.0.len() == 1,
        };
        let mut named = keys.0.iter().filter(fits).peekable();
        if named.peek().is_none() {
            return Err(Fault::UnknownKey);
        }
        let verified = match self.algorithm {
            None => types::planted("tokens-of-any-algorithm"),
            Some(_) if types::planted("signatures-of-tokens-unread") => true,
            Some(algorithm) => named.any(|key| {
                let is_for = key.only.is_none_or(|only| only == algorithm);
                is_for && key.key.verifies(algorithm, self.signed, &self.signature)
            }),
        };
        if !verified {
            return Err(Fault::Bad);
        }
        let raw: RawClaims = serde_json::from_slice(&self.payload).map_err(|_| Fault::Bad)?;
        Ok(Claims {
            issuer: raw.iss,
            subject: raw.sub,
            audiences: raw.aud.list(),
            party: raw.azp,
            expires: raw.exp,
            not_before: raw.nbf,
            issued: raw.iat,
            methods: raw.amr.map(Several::list).unwrap_or_default(),
            gives_more: raw.tags.is_some() || raw.source_identity.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };
    use serde_json::{Value, json};

    use super::*;

    struct Issuer {
        pair: EcdsaKeyPair,
        random: SystemRandom,
    }

    fn text(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    impl Issuer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let by = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let made = EcdsaKeyPair::generate_pkcs8(by, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(by, made.as_ref(), &random).unwrap();
            Self { pair, random }
        }

        fn key(&self) -> Value {
            let point = self.pair.public_key().as_ref();
            let part = |at: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[at]);
            json!({"kty": "EC", "crv": "P-256", "kid": "one", "x": part(1..33), "y": part(33..65)})
        }

        fn with(&self, changes: Value) -> KeySet {
            let mut key = self.key();
            for (name, value) in changes.as_object().unwrap() {
                key[name] = value.clone();
            }
            KeySet::read(json!({ "keys": [key] }).to_string().as_bytes()).unwrap()
        }

        fn token(&self, head: &Value, claims: &Value) -> String {
            let signed = format!("{}.{}", text(head), text(claims));
            let signature = self.pair.sign(&self.random, signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example.com", "sub": "someone", "aud": "dhow", "exp": 9, "iat": 1})
    }

    fn verified(token: &str, keys: &KeySet) -> Result<Claims, Fault> {
        Unverified::read(token).ok_or(Fault::Bad)?.verify(keys)
    }

    #[test]
    fn a_token_counts_as_its_provider_signed_it() {
        let (issuer, other) = (Issuer::new(), Issuer::new());
        let keys = issuer.with(json!({}));
        let head = json!({"alg": "ES256", "kid": "one"});
        let good = issuer.token(&head, &claims());
        let read = verified(&good, &keys).unwrap();
        assert_eq!((&*read.subject, &*read.audiences[0]), ("someone", "dhow"));
        assert_eq!(verified(&good, &other.with(json!({}))), Err(Fault::Bad));
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (first, _) = signed.split_once('.').unwrap();
        let mut more = claims();
        more["sub"] = json!("somebody else");
        for bad in [
            format!("{first}.{}.{signature}", text(&more)),
            format!("{signed}."),
            signed.to_owned(),
            format!("{good}A"),
            format!("{good}.{signature}"),
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
            String::new(),
            ".".repeat(20_001),
        ] {
            assert_eq!(verified(&bad, &keys), Err(Fault::Bad), "{bad}");
        }
    }

    #[test]
    fn an_algorithm_is_of_the_list_and_of_the_keys_kind() {
        let issuer = Issuer::new();
        let keys = issuer.with(json!({}));
        for alg in [
            "none", "None", "nOnE", "", "HS256", "HS384", "HS512", "es256", "ES384", "ES512",
            "RS256", "PS256", "EdDSA",
        ] {
            let token = issuer.token(&json!({"alg": alg, "kid": "one"}), &claims());
            assert_eq!(verified(&token, &keys), Err(Fault::Bad), "{alg}");
            let (signed, _) = token.rsplit_once('.').unwrap();
            let unsigned = verified(&format!("{signed}."), &keys);
            assert_eq!(unsigned, Err(Fault::Bad), "{alg}");
        }
        let good = issuer.token(&json!({"alg": "ES256", "kid": "one"}), &claims());
        for (changes, counts) in [
            (
                json!({"alg": "ES256", "use": "sig", "key_ops": ["verify"]}),
                true,
            ),
            (json!({"alg": "ES384"}), false),
            (json!({"alg": "HS256"}), false),
            (json!({"use": "enc"}), false),
            (json!({"key_ops": ["sign"]}), false),
            (json!({"kty": "oct", "k": "c2VjcmV0"}), false),
            (json!({"crv": "P-384"}), false),
            (json!({"x": "AA"}), false),
        ] {
            let read = verified(&good, &issuer.with(changes.clone()));
            assert_eq!(read.is_ok(), counts, "{changes}");
        }
    }

    #[test]
    fn a_token_says_not_by_which_key_it_is_verified() {
        let issuer = Issuer::new();
        let keys = issuer.with(json!({}));
        for more in [
            json!({"jwk": issuer.key()}),
            json!({"jku": "https://id.example.com/keys"}),
            json!({"x5u": "https://id.example.com/cert"}),
            json!({"crit": ["exp"]}),
        ] {
            let mut head = json!({"alg": "ES256", "kid": "one"});
            for (name, value) in more.as_object().unwrap() {
                head[name] = value.clone();
            }
            assert!(Unverified::read(&issuer.token(&head, &claims())).is_none());
        }
        let unknown = issuer.token(&json!({"alg": "ES256", "kid": "two"}), &claims());
        assert_eq!(verified(&unknown, &keys), Err(Fault::UnknownKey));
        let unnamed = issuer.token(&json!({"alg": "ES256"}), &claims());
        assert!(verified(&unnamed, &keys).is_ok());
    }

    #[test]
    fn claims_are_whole_and_come_once() {
        let issuer = Issuer::new();
        let keys = issuer.with(json!({}));
        let head = json!({"alg": "ES256", "kid": "one"});
        for missing in ["iss", "sub", "aud", "exp", "iat"] {
            let mut less = claims();
            less.as_object_mut().unwrap().remove(missing);
            assert!(
                verified(&issuer.token(&head, &less), &keys).is_err(),
                "{missing}"
            );
        }
        for (name, value) in [
            ("exp", json!("9")),
            ("exp", json!(9.5)),
            ("exp", json!(-1)),
            ("nbf", json!("0")),
            ("aud", json!({"a": 1})),
            ("sub", json!(1)),
        ] {
            let mut other = claims();
            other[name] = value.clone();
            let read = verified(&issuer.token(&head, &other), &keys);
            assert!(read.is_err(), "{name} {value}");
        }
        let twice = claims().to_string().replacen('{', r#"{"aud":"other","#, 1);
        let signed = format!("{}.{}", text(&head), URL_SAFE_NO_PAD.encode(twice));
        let signature = issuer.pair.sign(&issuer.random, signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(verified(&token, &keys), Err(Fault::Bad));
    }
}
