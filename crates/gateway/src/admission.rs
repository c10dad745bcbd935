//! How many requests are worked on at once: over all, with a short queue, and per account.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::AccountId;

use crate::limits::GatewayConfig;

/// Counters of accounts. Two accounts may share one, and then share its limit: with this many,
/// that is rare among those that are busy at the same time, and no lock is needed.
const SLOTS: usize = 4096;

/// Admits requests.
#[derive(Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    wait: Duration,
    accounts: Arc<[AtomicUsize]>,
    account_max: usize,
    hasher: RandomState,
}

/// A place among the requests being worked on; given back when dropped.
#[derive(Debug)]
pub struct Place(#[allow(dead_code)] OwnedSemaphorePermit);

/// An account's share of the places; given back when dropped.
#[derive(Debug)]
pub struct AccountPlace {
    slots: Arc<[AtomicUsize]>,
    slot: usize,
}

impl Drop for AccountPlace {
    fn drop(&mut self) {
        self.slots[self.slot].fetch_sub(1, Ordering::Relaxed);
    }
}

/// There is no place: SlowDown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl Admission {
    /// With these limits.
    pub fn new(config: &GatewayConfig) -> Self {
        Self {
            places: Arc::new(Semaphore::new(config.requests_max)),
            waiting: AtomicUsize::new(0),
            waiting_max: config.queue_max,
            wait: config.queue_wait,
            accounts: (0..SLOTS).map(|_| AtomicUsize::new(0)).collect(),
            account_max: config.account_requests_max,
            hasher: RandomState::new(),
        }
    }

    /// A place for one more request, at once or after a short wait.
    pub async fn enter(&self) -> Result<Place, Crowded> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place(place));
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiting_max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Crowded);
        }
        let _waiting = Waiting(&self.waiting);
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.wait, place).await {
            Ok(Ok(place)) => Ok(Place(place)),
            _ => Err(Crowded),
        }
    }

    /// Counts the request to its account.
    pub fn enter_account(&self, account: &AccountId) -> Result<AccountPlace, Crowded> {
        let slot = self.hasher.hash_one(&**account) as usize % SLOTS;
        let place = AccountPlace {
            slots: Arc::clone(&self.accounts),
            slot,
        };
        if self.accounts[slot].fetch_add(1, Ordering::Relaxed) >= self.account_max {
            return Err(Crowded);
        }
        Ok(place)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_and_queue_are_limited() {
        let admission = Admission::new(&GatewayConfig {
            requests_max: 1,
            queue_max: 0,
            account_requests_max: 1,
            ..GatewayConfig::default()
        });
        let place = admission.enter().await.unwrap();
        assert_eq!(admission.enter().await.unwrap_err(), Crowded);
        drop(place);
        assert!(admission.enter().await.is_ok());
        let account = AccountId::new("000000000001");
        let place = admission.enter_account(&account).unwrap();
        assert_eq!(admission.enter_account(&account).unwrap_err(), Crowded);
        drop(place);
        assert!(admission.enter_account(&account).is_ok());
    }
}
