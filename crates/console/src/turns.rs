//! How many pages are made at once: so that one account's pages, which may be large, leave the
//! others, and S3, their part of the machine.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use types::AccountId;

/// Pages at once.
const ALL: usize = 32;
/// Pages of one account at once.
const OF_ACCOUNT: usize = 6;
/// How long a page waits for its turn.
const WAIT: Duration = Duration::from_secs(30);

/// Whose turn it is.
pub struct Turns {
    of_account: usize,
    all: Arc<Semaphore>,
    of: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

/// A page's turn.
pub struct Turn {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Turns {
    /// Nobody has one.
    pub fn new() -> Self {
        Self::of(ALL, OF_ACCOUNT)
    }

    /// So many at once, and so many of one account.
    pub fn of(all: usize, of_account: usize) -> Self {
        Self {
            of_account,
            all: Arc::new(Semaphore::new(all)),
            of: Mutex::default(),
        }
    }

    fn own(&self, account: &AccountId) -> Arc<Semaphore> {
        let mut of = self.of.lock();
        // Nobody holds or wants what is only here.
        of.retain(|_, one| Arc::strong_count(one) > 1);
        let own = of.entry(account.clone());
        Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(self.of_account))))
    }

    /// Takes a turn; `None` if there is none now.
    pub fn take_now(&self, account: &AccountId) -> Option<Turn> {
        let own = self.own(account).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Turn {
            _own: own,
            _all: all,
        })
    }

    /// Waits for a turn; `None` if it takes too long.
    pub async fn take(&self, account: &AccountId) -> Option<Turn> {
        let own = self.own(account);
        let both = async {
            // First the own one: who waits for that holds none of the others'.
            let own = own.acquire_owned().await.ok()?;
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Turn {
                _own: own,
                _all: all,
            })
        };
        timeout(WAIT, both).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_account_has_so_many_turns_and_others_have_theirs() {
        let turns = Turns::new();
        let (one, other) = (AccountId::new("1"), AccountId::new("2"));
        let mut held = Vec::new();
        for _ in 0..OF_ACCOUNT {
            held.push(turns.take(&one).await.unwrap());
        }
        assert!(turns.take(&one).await.is_none());
        assert!(turns.take(&other).await.is_some());
        held.pop();
        assert!(turns.take(&one).await.is_some());
        drop(held);
        turns.take(&other).await.unwrap();
        assert_eq!(turns.of.lock().len(), 1);
    }
}
