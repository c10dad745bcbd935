//! Join tokens that are good no more: whoever shows the secret of one learns why. Nobody else has
//! it, so nobody else learns anything.

use std::collections::VecDeque;

use parking_lot::Mutex;
use types::Timestamp;

use crate::{CloudError, Registry, kinds::token::TokenRecord};

/// Tokens that are remembered, the last ones; in memory, where the registry is kept.
const KEPT_MAX: usize = 1000;
/// For how long.
const KEPT_MS: u64 = 30 * 86_400_000;

/// Why a token is good no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The region that it was made for has joined and is open.
    Used,
    /// A later token took its place.
    Replaced,
    /// Its region was closed.
    Closed,
}

struct Past {
    hash: String,
    region: String,
    why: Ended,
    at_ms: u64,
}

/// All that are remembered.
#[derive(Default)]
pub(crate) struct PastTokens(Mutex<VecDeque<Past>>);

impl PastTokens {
    fn note(&self, past: Past) {
        let mut all = self.0.lock();
        let old = past.at_ms.saturating_sub(KEPT_MS);
        all.retain(|known| known.hash != past.hash && known.at_ms >= old);
        if all.len() >= KEPT_MAX {
            all.pop_front();
        }
        all.push_back(past);
    }

    fn of(&self, hash: &str, region: &str) -> Option<(Ended, u64)> {
        let all = self.0.lock();
        let found = all
            .iter()
            .find(|past| past.hash == hash && past.region == region);
        found.map(|past| (past.why, past.at_ms))
    }
}

impl Registry {
    /// Remembers that the tokens of a region are good no more.
    pub(crate) fn note_past_tokens(&self, region: &str, why: Ended) {
        let at_ms = self.clock.now().ms();
        let state = self.state.read();
        let of_region = state.tokens.iter().filter(|(_, t)| t.region == region);
        for (hash, _) in of_region {
            self.past_tokens.note(Past {
                hash: hash.clone(),
                region: region.to_owned(),
                why,
                at_ms,
            });
        }
    }

    /// Why a region does not join with a token whose hash is this; `found` is the token, where it
    /// is on record.
    pub(crate) fn token_refused(
        &self,
        hash: &str,
        region: &str,
        found: Option<&TokenRecord>,
    ) -> CloudError {
        let at = |ms| Timestamp::from_ms(ms).iso8601();
        let ours = found.filter(|token| token.region == region);
        let why = match (ours, self.past_tokens.of(hash, region)) {
            (Some(token), _) if self.clock.now().ms() >= token.expires_ms => {
                format!("expired at {}", at(token.expires_ms))
            }
            (Some(_), _) => "was used with another key, or its region is closed".to_owned(),
            (None, Some((Ended::Used, ms))) => {
                format!(
                    "was used: region {region} joined with it and is open since {}",
                    at(ms)
                )
            }
            (None, Some((Ended::Replaced, ms))) => {
                format!("was replaced by another one at {}", at(ms))
            }
            (None, Some((Ended::Closed, ms))) => {
                format!("is void: region {region} was closed at {}", at(ms))
            }
            (None, None) => {
                "is not on record: it was used or replaced, or is for another region or cloud"
                    .to_owned()
            }
        };
        CloudError::Refused(format!("the join token {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_remembered_and_for_so_long() {
        let past = |n: u64, at_ms| Past {
            hash: format!("h{n}"),
            region: "second".to_owned(),
            why: Ended::Replaced,
            at_ms,
        };
        let all = PastTokens::default();
        for n in 0..=KEPT_MAX as u64 {
            all.note(past(n, n));
        }
        assert_eq!(all.of("h0", "second"), None, "the oldest went");
        assert_eq!(all.of("h1", "second"), Some((Ended::Replaced, 1)));
        assert_eq!(all.of("h1", "third"), None);
        assert_eq!(all.0.lock().len(), KEPT_MAX);
        all.note(past(9_999, KEPT_MS + 500));
        assert_eq!(all.of("h499", "second"), None);
        assert_eq!(all.of("h500", "second"), Some((Ended::Replaced, 500)));
    }
}
