//! How much an answer of the registry may have.

use crate::{DerivedKeys, principals::SentUser};

/// What is left for users' policies in one answer.
pub(crate) struct Room(pub(crate) usize);

impl Room {
    pub(crate) fn takes(&mut self, keys: &DerivedKeys) -> bool {
        self.has(keys.user.as_ref().map_or(0, SentUser::bytes))
    }

    pub(crate) fn has(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.0;
        self.0 = self.0.saturating_sub(bytes);
        fits
    }
}
