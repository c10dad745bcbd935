//! Asking for promises, every few seconds, and finding out what is true where a region said that a
//! bucket has a newer epoch.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::{Method, Request};
use peer::{Peer, collect, full};
use tokio::time::{Instant, sleep_until, timeout};
use types::{RegionId, deed::BoxFuture};

use crate::{
    Transport,
    promises::{Fence, PROMISE_PATH, PROMISED_BYTES_MAX, PromiseAsk, Promised, Promises},
};

/// Fences that are checked at once; the others follow.
const AT_ONCE: usize = 64;
/// Between two rounds at least.
const PAUSE: Duration = Duration::from_millis(100);
/// After news that others act on too.
const AFTER_OTHERS: Duration = Duration::from_millis(60);
/// The registry's region that says that a bucket has a newer epoch is about to put it on record.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

impl Promises {
    /// Asks until the task is dropped: five times within the life of a promise, sooner while one is
    /// missing that was not asked for long in vain, and at once when a deed makes another region's
    /// promise count.
    pub async fn renew(self: Arc<Self>, client: Arc<dyn Transport>) {
        let every = self.length() / 5;
        let mut watch = self.regions.watch();
        let mut wanted = self.wanted();
        let mut retry = PAUSE;
        loop {
            let begun = Instant::now();
            self.ask_all(&client, &wanted, every).await;
            self.rounds.send_modify(|rounds| *rounds += 1);
            self.check_fences(every).await;
            let all = wanted.iter().all(|region| self.holds(region));
            retry = match all {
                true => PAUSE,
                false => every.min(retry * 2),
            };
            let pause = if all { every } else { retry };
            let next = begun + pause.max(PAUSE);
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(next) => break,
                    changed = watch.changed() => if changed.is_err() {
                        return;
                    }
                }
                let now = self.wanted();
                let more = now.difference(&wanted).any(|region| !self.holds(region));
                wanted = now;
                if more {
                    retry = PAUSE;
                    // Others act on the same news; this comes after them, always.
                    let next = Instant::now() + AFTER_OTHERS;
                    sleep_until(next.max(begun + PAUSE)).await;
                    break;
                }
            }
        }
    }

    async fn ask_all(
        &self,
        client: &Arc<dyn Transport>,
        wanted: &BTreeSet<RegionId>,
        within: Duration,
    ) {
        let mut asking: Vec<BoxFuture<'_, ()>> = Vec::new();
        for region in wanted {
            asking.push(Box::pin(async move {
                // One that does not answer must not hold up the next round.
                match timeout(within, self.ask(client, region, within)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => tracing::debug!(%region, why, "no promise"),
                    Err(_) => tracing::debug!(%region, "no promise in time"),
                }
            }));
        }
        join_all(asking).await;
    }

    async fn ask(
        &self,
        client: &Arc<dyn Transport>,
        region: &RegionId,
        within: Duration,
    ) -> Result<(), String> {
        let address = self.regions.address(region).ok_or("no address")?;
        let to = Peer {
            region: region.clone(),
            address,
        };
        let ask = PromiseAsk {
            known: self.regions.known(),
        };
        let ask = serde_json::to_vec(&ask).map_err(|e| e.to_string())?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(PROMISE_PATH)
            .body(full(ask))
            .map_err(|e| e.to_string())?;
        let asked = Instant::now();
        let answer = client.ask(within, &to, request).await;
        let answer = answer.map_err(|e| e.to_string())?;
        if !answer.status().is_success() {
            return Err(answer.status().to_string());
        }
        let body = collect(answer.into_body(), PROMISED_BYTES_MAX, within).await;
        let body = body.map_err(|e| e.to_string())?;
        let promised: Promised = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        self.hold(region, asked, &promised);
        Ok(())
    }

    /// Asks the registry about buckets of which another region said that they have a newer epoch.
    async fn check_fences(&self, within: Duration) {
        let fences = self.fences();
        let mut asking: Vec<BoxFuture<'_, ()>> = Vec::new();
        for fence in fences.iter().take(AT_ONCE) {
            asking.push(Box::pin(async move {
                // What is not known in time is asked again.
                let _ = timeout(within, self.check_fence(fence)).await;
            }));
        }
        join_all(asking).await;
    }

    async fn check_fence(&self, fence: &Fence) {
        let name = &fence.deed.name;
        let known = self.regions.deed(name).filter(|d| d.id == fence.deed.id);
        if known.is_none_or(|known| known.epoch >= fence.epoch) {
            return self.lift(fence, false);
        }
        let keeper = self.keeper.as_ref() == Some(&fence.from);
        if keeper && fence.at.elapsed() < RECORDED_WITHIN {
            return;
        }
        match self.regions.fresh_epoch(&fence.deed).await {
            Some(epoch) if epoch < fence.epoch => {
                let (bucket, region) = (name, &fence.from);
                tracing::error!(%bucket, %region, claimed = fence.epoch, epoch, "a region named an epoch that the registry does not know: it is not believed for a while");
                self.lift(fence, true);
            }
            _ => {}
        }
    }
}
