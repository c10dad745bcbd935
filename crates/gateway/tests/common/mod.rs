//! A gateway on a loopback port, over the memory engine, with two accounts.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

#[allow(dead_code)]
pub mod client;
#[allow(dead_code)]
pub mod cloud;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use gateway::{Gateway, GatewayConfig, Parts};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use types::{
    AccountId, BucketDeed, BucketId, BucketName, Clock, DeedError, Deeds, NewDeed, Place, RegionId,
    SystemClock, SystemRandom, deed::BoxFuture,
};

/// The region of the tests.
pub const REGION: &str = "me-east-1";

/// Deeds in memory.
#[derive(Default)]
pub struct TestDeeds {
    deeds: Mutex<BTreeMap<BucketName, Arc<BucketDeed>>>,
    next: AtomicU64,
}

#[allow(dead_code)]
impl TestDeeds {
    /// Knows this deed from now on.
    pub fn learn(&self, deed: &BucketDeed) {
        let deed = Arc::new(deed.clone());
        self.deeds.lock().insert(deed.name.clone(), deed);
    }
}

impl Deeds for TestDeeds {
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        self.deeds.lock().get(name).cloned()
    }
    fn list(
        &self,
        owner: &AccountId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<BucketDeed>> {
        let deeds = self.deeds.lock();
        let wanted = deeds.values().filter(|d| {
            d.owner == *owner
                && d.name.starts_with(prefix)
                && after.is_none_or(|after| &*d.name > after)
        });
        wanted.take(limit).cloned().collect()
    }
    fn all(&self) -> Vec<Arc<BucketDeed>> {
        self.deeds.lock().values().cloned().collect()
    }
    fn create(
        &self,
        _: types::Actor,
        new: NewDeed,
    ) -> BoxFuture<'_, Result<Arc<BucketDeed>, DeedError>> {
        let mut deeds = self.deeds.lock();
        let result = match deeds.get(&new.name) {
            Some(deed) => Err(DeedError::Exists(new.name, Box::new((**deed).clone()))),
            None => {
                let deed = Arc::new(BucketDeed {
                    id: BucketId(self.next.fetch_add(1, Ordering::Relaxed) + 1),
                    name: new.name.clone(),
                    owner: new.owner,
                    home: new.home,
                    created: SystemClock.now(),
                    epoch: 1,
                    placement: new.placement,
                });
                deeds.insert(new.name, deed.clone());
                Ok(deed)
            }
        };
        Box::pin(std::future::ready(result))
    }
    fn remove(
        &self,
        _: types::Actor,
        name: BucketName,
        id: BucketId,
    ) -> BoxFuture<'_, Result<(), DeedError>> {
        let mut deeds = self.deeds.lock();
        let result = if deeds.get(&name).is_some_and(|d| d.id == id) {
            deeds.remove(&name);
            Ok(())
        } else {
            Err(DeedError::NotFound(name))
        };
        Box::pin(std::future::ready(result))
    }
}

/// A gateway that serves.
pub struct TestServer {
    /// Where.
    pub address: SocketAddr,
    /// The gateway itself, for its metrics.
    #[allow(dead_code)]
    pub gateway: Arc<Gateway>,
    /// Everything that is counted.
    #[allow(dead_code)]
    pub registry: Registry,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    serving: tokio::task::JoinHandle<()>,
}

impl TestServer {
    /// Opens a gateway with this configuration.
    #[allow(dead_code)]
    pub async fn open(config: GatewayConfig) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let deeds: Arc<dyn Deeds> = Arc::new(TestDeeds::default());
        let region = RegionId::new(REGION);
        let objects = Arc::new(objects::Objects::new(
            store::memory::Memory::engine(),
            deeds.clone(),
            clock.clone(),
            Arc::new(SystemRandom),
            region.clone(),
        ));
        let mut registry = Registry::default();
        let gateway = Arc::new(Gateway::new(
            Parts {
                objects,
                deeds,
                keys: Arc::new(keys::TestKeys),
                clock,
                random: Arc::new(SystemRandom),
                place: Place::unknown(region),
                regions: None,
                any_location: false,
                config,
            },
            &mut registry,
        ));
        Self::serve(gateway, registry)
    }

    /// Serves this gateway.
    pub fn serve(gateway: Arc<Gateway>, registry: Registry) -> Self {
        let listener = gateway::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(gateway.clone().serve(listener, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            gateway,
            registry,
            stop: Some(stop),
            serving,
        }
    }

    /// A bucket that belongs to an account, without any request.
    #[allow(dead_code)]
    pub async fn grant_bucket(&self, name: &str, account: &str) {
        let name = BucketName::new(name).unwrap();
        let deeds = &self.gateway.deeds;
        deeds
            .create(
                types::Actor::System,
                NewDeed {
                    name,
                    owner: AccountId::new(account),
                    home: RegionId::new(REGION),
                    placement: types::Placement::default(),
                },
            )
            .await
            .unwrap();
    }

    /// Asks the gateway to close and waits until it has drained.
    #[allow(dead_code)]
    pub async fn close(mut self) {
        drop(self.stop.take());
        self.serving.await.unwrap();
    }
}

mod keys {
    use access::{SigningKey, SigningKeys};
    use hmac::{Hmac, KeyInit, Mac};
    use types::{AccountId, RegionId};

    /// Two accounts with a key each; the secret is the access key backwards.
    pub struct TestKeys;

    fn hmac(key: &[u8], text: &str) -> [u8; 32] {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }

    impl SigningKeys for TestKeys {
        fn signing_key(
            &self,
            access_key: &str,
            day: &str,
            region: &RegionId,
            service: &str,
        ) -> Option<SigningKey> {
            let account = match access_key {
                "ALICEALICEALICEALICE" => "000000000001",
                "BOBBOBBOBBOBBOBBOBBO" => "000000000002",
                _ => return None,
            };
            let secret: String = access_key.chars().rev().collect();
            let key = hmac(format!("AWS4{secret}").as_bytes(), day);
            let key = hmac(&hmac(&hmac(&key, region), service), "aws4_request");
            Some(SigningKey {
                account: AccountId::new(account),
                kind: access::CallerKind::Customer,
                guard: Default::default(),
                who: access::Who::Root,
                key: key.into(),
            })
        }
    }
}
