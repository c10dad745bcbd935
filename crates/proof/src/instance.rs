//! A region says, signed with its own key, which of its starts runs and how far its log goes.
//! Other regions keep that and show it to whoever comes in the region's name: nobody else can have
//! made it, so a folder that is older than what was said, or another process that runs beside it,
//! is found out, and no region can be stopped by what another one makes up.

mod starts;

pub use starts::{Finding, Found, Own, Received, Remembered};

use serde::{Deserialize, Serialize};

use crate::{
    encoding::{Encoder, Signature},
    signature::{Signer, verify_signature},
};

const DOMAIN: &str = "dhow region instance v1";
/// Other starts that one statement names.
pub const NAMED_MAX: usize = 8;

/// What one start of a region says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The region.
    pub region: String,
    /// The start: a random number, so that nobody can name it without having received it.
    pub instance: u64,
    /// When it started, by its clock, in milliseconds since 1970.
    pub started_ms: u64,
    /// Its log goes up to here.
    pub log_end: u64,
    /// Other starts of the region whose statements it has received. Whoever is named here began
    /// before this was signed.
    pub heard: Vec<u64>,
    /// Statements of other starts that are of no use any more: those of such a start up to such an
    /// end of the log.
    pub covers: Vec<(u64, u64)>,
    /// With the region's key.
    pub signature: Signature,
}

impl Statement {
    /// Signs what `self` says.
    #[must_use]
    pub fn signed(mut self, by: &dyn Signer) -> Self {
        self.signature = crate::Hex(by.sign(&self.message()));
        self
    }

    /// Whether the holder of `key` said this about `region`, in the form that is allowed.
    pub fn is_of(&self, region: &str, key: &[u8; 32]) -> bool {
        self.region == region
            && self.heard.len() <= NAMED_MAX
            && self.covers.len() <= NAMED_MAX
            && verify_signature(key, &self.message(), &self.signature.0)
    }

    /// Starts in the order of their beginning.
    pub fn order(&self) -> (u64, u64) {
        (self.started_ms, self.instance)
    }

    fn message(&self) -> Vec<u8> {
        let mut message = Encoder::new(DOMAIN)
            .text(&self.region)
            .number(self.instance)
            .number(self.started_ms)
            .number(self.log_end)
            .number(self.heard.len() as u64);
        for id in &self.heard {
            message = message.number(*id);
        }
        message = message.number(self.covers.len() as u64);
        for (id, end) in &self.covers {
            message = message.number(*id).number(*end);
        }
        message.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hex, test_support::Key};

    #[test]
    fn every_field_is_signed() {
        let key = Key::from_seed(&[7; 32]);
        let said = Statement {
            region: "eu-1".into(),
            instance: 1,
            started_ms: 2,
            log_end: 3,
            heard: vec![4],
            covers: vec![(5, 6)],
            signature: Hex([0; 64]),
        };
        assert!(!said.is_of("eu-1", &key.public_key()));
        let said = said.signed(&key);
        assert!(said.is_of("eu-1", &key.public_key()));
        assert!(!said.is_of("eu-2", &key.public_key()));
        assert!(!said.is_of("eu-1", &Key::from_seed(&[8; 32]).public_key()));
        let changes: [fn(&mut Statement); 7] = [
            |s| s.region = "eu-2".into(),
            |s| s.instance = 9,
            |s| s.started_ms = 9,
            |s| s.log_end = 9,
            |s| s.heard = vec![4, 5],
            |s| s.covers = vec![(5, 7)],
            |s| (s.heard, s.covers) = (vec![], vec![(4, 5)]),
        ];
        for change in changes {
            let mut other = said.clone();
            change(&mut other);
            let region = other.region.clone();
            assert!(!other.is_of(&region, &key.public_key()), "{other:?}");
        }
    }
}
