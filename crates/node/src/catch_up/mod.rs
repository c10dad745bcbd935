//! Brings a registry that was put back to an older state up to date, from another region, while its
//! own region is stopped.

mod shown;

use std::{collections::HashMap, sync::Arc, time::Duration};

use admin::failure::Failure;
use cloud::{CatchUpPlan, CaughtUp, CloudError, LogAsk, LogPage, LogSource, Registry};
use http::{Method, Request};
use peer::{Peer, collect, full};
use serde_json::Value;
use types::{RegionId, SystemClock, deed::BoxFuture};

use crate::{
    config::Config,
    link::{Link, paths},
    stopped::Stopped,
};

/// A page has at most about 1.5 MiB, or one change.
const ANSWER_BYTES_MAX: usize = 24 << 20;
/// How long a region may take for one page.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was missing, and what was done about it.
pub struct CatchUp {
    plan: CatchUpPlan,
    done: Option<CaughtUp>,
}

impl CatchUp {
    /// Whether anything is to be done.
    fn is_due(plan: &CatchUpPlan) -> bool {
        plan.missing() > 0 || plan.resumes
    }

    /// For people, who have seen what was missing before they agreed.
    pub fn text(&self) -> String {
        match &self.done {
            Some(done) => shown::result(done),
            None if Self::is_due(&self.plan) => "Nothing was changed.\n".to_owned(),
            None => shown::shown(&self.plan),
        }
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        shown::in_json(&self.plan, self.done.as_ref())
    }
}

/// The other regions, over the peer protocol.
struct Others {
    link: Link,
    addresses: HashMap<RegionId, String>,
}

impl Others {
    fn of(registry: &Registry, link: Link) -> Self {
        let all = registry.all_regions().into_iter().filter_map(|region| {
            let address = region.peer_address()?.to_owned();
            Some((RegionId::new(&region.id), address))
        });
        Self {
            addresses: all.collect(),
            link,
        }
    }

    async fn page(&self, region: &RegionId, ask: &LogAsk) -> Result<LogPage, CloudError> {
        let unavailable = |e: &dyn std::fmt::Display| CloudError::Unavailable(e.to_string());
        let address = self.addresses.get(region).cloned();
        let address = address.ok_or_else(|| unavailable(&"it has no address on record"))?;
        let peer = Peer {
            region: region.clone(),
            address,
        };
        let ask = serde_json::to_vec(ask).map_err(|e| unavailable(&e))?;
        let request = Request::builder().method(Method::POST).uri(paths::LOG);
        let request = request.body(full(ask)).map_err(|e| unavailable(&e))?;
        let asked = self.link.client.request_within(PATIENCE, &peer, request);
        let answer = asked.await.map_err(|e| unavailable(&e))?;
        let status = answer.status();
        let body = collect(answer.into_body(), ANSWER_BYTES_MAX, PATIENCE).await;
        let body = body.map_err(|e| unavailable(&e))?;
        match status.is_success() {
            true => serde_json::from_slice(&body).map_err(|e| unavailable(&e)),
            false => Err(CloudError::Refused(types::text::of_peer(&body))),
        }
    }
}

impl LogSource for Others {
    fn ask<'a>(
        &'a self,
        region: &'a RegionId,
        ask: LogAsk,
    ) -> BoxFuture<'a, Result<LogPage, CloudError>> {
        Box::pin(async move { self.page(region, &ask).await })
    }
}

/// Asks the other regions what is missing in the registry of this folder. If `agrees` says so of
/// that, takes it over.
///
/// # Errors
/// The folder is in use, or is no folder of the registry's region; as
/// [`Registry::plan_catch_up`] and [`Registry::catch_up`].
pub async fn catch_up(
    config: &Config,
    agrees: impl FnOnce(&str) -> bool,
) -> Result<CatchUp, Failure> {
    let instead = "run this on the data folder of the registry's region";
    let stopped = Stopped::open(config, instead).await?;
    let caught_up = of_stopped(config, &stopped, agrees).await;
    stopped.close().await?;
    caught_up
}

async fn of_stopped(
    config: &Config,
    stopped: &Stopped,
    agrees: impl FnOnce(&str) -> bool,
) -> Result<CatchUp, Failure> {
    let registry = &stopped.registry;
    let life = Duration::from_secs(config.cloud.certificate_life_s);
    let country = &config.cloud.jurisdiction;
    let link = Link::keeper(&stopped.dir, &stopped.region, country, life, &SystemClock)?;
    let tls = Arc::clone(&link.tls);
    let following = tokio::spawn(Link::follow_revocations(tls, Arc::clone(registry)));
    let others = Others::of(registry, link);
    let caught_up = async {
        let plan = registry.plan_catch_up(&others).await?;
        let done = match CatchUp::is_due(&plan) && agrees(&shown::shown(&plan)) {
            true => Some(registry.catch_up(&others, &plan).await?),
            false => None,
        };
        Ok(CatchUp { plan, done })
    };
    let caught_up = caught_up.await;
    following.abort();
    // It has the registry too, which is to be closed.
    let _ = following.await;
    caught_up
}
