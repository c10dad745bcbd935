//! Heads of requests: whatever comes, nothing is verified without the key, and nothing panics.
#![no_main]

use access::{
    SigningKey, SigningKeys, VerifyingKey,
    signature::{AuthType, Facts, RegionNames, Request, verify},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use types::{AccountId, RegionId, Timestamp};

struct OneKey;

/// A public key, of which no input has the private key.
const POINT: &str = "0415d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0";

impl SigningKeys for OneKey {
    fn signing_key(&self, id: &str, _: &str, _: &RegionId, _: &str) -> Option<SigningKey> {
        // A key that no input can guess: a request that passes is a finding.
        let key = [0xA5; 32];
        (id == "AKIAFUZZ").then(|| SigningKey {
            account: AccountId::new("1"),
            kind: access::CallerKind::Customer,
            guard: Default::default(),
            who: access::Who::Root,
            key: key.into(),
        })
    }

    fn public_key(&self, id: &str) -> Option<VerifyingKey> {
        let key = POINT.parse().ok()?;
        (id == "AKIAFUZZ").then(|| VerifyingKey {
            account: AccountId::new("1"),
            kind: access::CallerKind::Customer,
            guard: Default::default(),
            who: access::Who::Root,
            key,
        })
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let Ok(method) = first.next().unwrap_or_default().parse::<Method>() else { return };
    let path = first.next().unwrap_or("/");
    let query = first.next();
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let Ok(auth) = AuthType::of(&method, &headers, query) else { return };
    let request =
        Request { method: method.as_str(), path, query, headers: &headers };
    let own = RegionId::new("local-1");
    let facts = Facts {
        keys: &OneKey,
        regions: RegionNames { own: &own, aliases: &[] },
        now: Timestamp::from_s(1_800_000_000),
    };
    if let Ok(verified) = verify(auth, &request, &facts) {
        assert!(verified.identity.account().is_none(), "a request passed without the key");
    }
});
