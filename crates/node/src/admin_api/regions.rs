//! Regions and operators.

use std::time::Duration;

use access::grants::View;
use admin::bodies::{Allow, NewOperator, NewRegion, Rekey, Revoke};
use cloud::{RegionStatus, token_hash};
use peer::JoinToken;
use serde_json::{Value, json};
use types::{CertificateSerial, RegionId};

use super::{
    Admin, Answer, Call, Refused,
    answers::{bad, parse, refused, to_json},
};
use crate::link::is_off;

/// How long a join token is good for, unless said otherwise.
const TOKEN_VALID_S: u64 = 24 * 3600;

/// Of a region, what tenants do not see: how other regions reach it, its certificates, and how much
/// all tenants together have there.
const OF_OPERATORS: [&str; 16] = [
    "peer",
    "public_key",
    "certificates",
    "addresses",
    "refused",
    "withheld",
    "waits_for",
    "clock_ahead_ms",
    "clock_off",
    "cut_off",
    "last_seen",
    "last_seen_ago_s",
    "follows",
    "buckets",
    "drain",
    "load",
];

impl Admin {
    pub(super) fn list_operators(&self, call: &Call) -> Answer {
        call.may()?;
        to_json(self.region.registry.operators())
    }

    pub(super) fn get_operator(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        let registry = &self.region.registry;
        let found = registry.operators().into_iter().find(|o| o.id == *id);
        let operator = found.ok_or_else(|| refused(cloud::CloudError::NoOperator(id.into())))?;
        let regions = registry.all_regions();
        let of = regions.iter().filter(|r| r.operator == operator.id);
        let of: Vec<Value> = of.map(|r| self.shown_to(call, r)).collect();
        Ok(json!({ "operator": operator, "regions": of }))
    }

    pub(super) async fn add_operator(&self, call: &Call) -> Answer {
        call.may()?;
        let new: NewOperator = parse(&call.body)?;
        let registry = &self.region.registry;
        let made = registry.add_operator(&call.actor, &new.id, &new.name).await;
        to_json(made.map_err(refused)?)
    }

    pub(super) fn list_regions(&self, call: &Call) -> Answer {
        call.may()?;
        let regions = self.region.registry.all_regions();
        Ok(regions.iter().map(|r| self.shown_to(call, r)).collect())
    }

    pub(super) fn get_region(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        let found = self.region.registry.region(id);
        let region = found.ok_or_else(|| refused(cloud::CloudError::NoRegion(id.into())))?;
        Ok(self.shown_to(call, &region))
    }

    /// Drains a region or opens it again.
    pub(super) async fn set_region(&self, call: &Call, id: &str, status: RegionStatus) -> Answer {
        let registry = &self.region.registry;
        call.of_region(registry.region(id).as_deref())?;
        let changed = registry.set_region_status(&call.actor, id, status).await;
        self.drains.wake();
        Ok(self.shown(&*changed.map_err(refused)?))
    }

    pub(super) async fn close_region(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        if *id == *self.region.id {
            return Err(bad("the registry's own region cannot be closed"));
        }
        let registry = &self.region.registry;
        let closed = RegionStatus::Closed;
        let changed = registry.set_region_status(&call.actor, id, closed).await;
        Ok(self.shown(&*changed.map_err(refused)?))
    }

    pub(super) async fn revoke(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        let Revoke { serial } = parse(&call.body)?;
        let serial = serial.map(|text| CertificateSerial::parse(&text));
        let serial = serial.transpose().map_err(|e| bad(&e.to_string()))?;
        let registry = &self.region.registry;
        let revoked = registry
            .revoke_certificates(&call.actor, id, serial.as_ref())
            .await;
        Ok(json!({ "revoked": revoked.map_err(refused)? }))
    }

    pub(super) async fn plan(&self, call: &Call) -> Answer {
        call.may()?;
        let new: NewRegion = parse(&call.body)?;
        let registry = &self.region.registry;
        registry.may_plan(&new.plan).map_err(refused)?;
        let peer = self.own_peer()?;
        let held = registry.all_regions().len();
        if new.dry_run {
            return Ok(json!({
                "dry_run": true,
                "region": new.plan,
                "regions_now": held,
                "moves": { "objects": 0, "bytes": 0 },
                "note": "a new region holds nothing until a bucket is placed there",
            }));
        }
        let token = self.token(&peer, &new.plan.id)?;
        let valid = Duration::from_secs(new.valid_s.unwrap_or(TOKEN_VALID_S));
        let hash = token_hash(&token.secret);
        let planned = registry
            .plan_region(&call.actor, &new.plan, &hash, valid)
            .await
            .map_err(refused)?;
        Ok(json!({
            "region": self.shown(&planned),
            "token": token.to_text().map_err(|e| bad(&e.to_string()))?,
            "valid_s": valid.as_secs(),
        }))
    }

    /// Where others reach this region.
    fn own_peer(&self) -> Result<String, Refused> {
        let registry = &self.region.registry;
        let own = registry
            .region(&self.region.id)
            .filter(|r| !r.peer.is_empty());
        let Some(own) = own else {
            return Err(bad(
                "this region has no listener for others; start it with --peer HOST:PORT",
            ));
        };
        // What is on record may be from before the last start.
        let running = self.region.dir.running().map(|running| running.peer);
        let peer = running.filter(|peer| !peer.is_empty());
        Ok(peer.unwrap_or_else(|| own.peer.clone()))
    }

    fn token(&self, peer: &str, region: &str) -> Result<JoinToken, Refused> {
        let fingerprint = match &self.region.link.authority {
            Some(authority) => authority.fingerprint(),
            None => return Err(bad("tokens are made in the registry's region")),
        };
        JoinToken::create(fingerprint, peer, &self.region.id, &RegionId::new(region))
            .map_err(|e| bad(&e.to_string()))
    }

    pub(super) async fn rekey(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        let Rekey { valid_s } = parse(&call.body)?;
        let token = self.token(&self.own_peer()?, id)?;
        let valid = Duration::from_secs(valid_s.unwrap_or(TOKEN_VALID_S));
        let hash = token_hash(&token.secret);
        let registry = &self.region.registry;
        let region = registry.rekey_region(&call.actor, id, &hash, valid).await;
        Ok(json!({
            "region": self.shown(&*region.map_err(refused)?),
            "token": token.to_text().map_err(|e| bad(&e.to_string()))?,
            "valid_s": valid.as_secs(),
        }))
    }

    pub(super) async fn allow(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        let Allow { addresses } = parse(&call.body)?;
        let registry = &self.region.registry;
        let allowed = registry.allow_addresses(&call.actor, id, &addresses).await;
        Ok(self.shown(&*allowed.map_err(refused)?))
    }

    pub(super) async fn step_back(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        let registry = &self.region.registry;
        let changed = registry.step_back(&call.actor, id).await;
        Ok(self.shown(&*changed.map_err(refused)?))
    }

    /// Why the region is not reached where it says that it is.
    fn unreached(&self, region: &cloud::RegionRecord) -> String {
        if let Some((_, why)) = self.region.registry.unreached(&region.id) {
            return why;
        }
        let known = !region.peer.is_empty() && region.status != RegionStatus::Closed;
        let not_listed = |what: &str, text: &str| {
            let text = types::text::shown(text, 300);
            format!("its {what} {text} is not in its list of addresses")
        };
        if region.is_cut_off() {
            let what = not_listed("address", &region.peer);
            return format!("{what}: no other region connects to it");
        }
        match known && region.id != *self.region.id && region.endpoint_host().is_none() {
            true => {
                let what = not_listed("endpoint", &region.endpoint);
                format!("{what}: no customer is redirected to it")
            }
            false => String::new(),
        }
    }

    /// How far a region's clock is ahead of the other regions', in milliseconds.
    fn clock_ahead_ms(&self, region: &RegionId) -> Option<i64> {
        let clocks = &self.region.neighbours.clocks;
        match *region == self.region.id {
            true => Some(clocks.own()),
            false => clocks.of(region),
        }
    }

    /// A region as the caller may see it: what a tenant needs to place buckets, and all for others.
    fn shown_to(&self, call: &Call, region: &cloud::RegionRecord) -> Value {
        let mut shown = self.shown(region);
        let Some(fields) = shown.as_object_mut() else {
            return shown;
        };
        match call.role.view_of_region(&region.operator) {
            View::Placing => {
                for field in OF_OPERATORS {
                    fields.remove(field);
                }
            }
            View::WithoutLoad => {
                fields.remove("load");
            }
            View::All => {}
        }
        shown
    }

    pub(super) fn shown(&self, region: &cloud::RegionRecord) -> Value {
        let id = RegionId::new(&region.id);
        let seen = self.region.seen(&id);
        let clock = self.clock_ahead_ms(&id);
        let (last, now) = (seen.and_then(|seen| seen.last), self.region.clock.now());
        json!({
            "id": region.id,
            "city": region.city,
            "latitude": region.latitude,
            "longitude": region.longitude,
            "jurisdiction": region.jurisdiction,
            "operator": region.operator,
            "status": region.status,
            "endpoint": region.endpoint,
            "peer": region.peer,
            "public_key": region.public_key,
            "certificates": region.issued.iter().map(|one| json!({
                "serial": one.serial,
                "expires": types::Timestamp::from_ms(one.not_after_ms).iso8601(),
                "revoked": region.revoked_serials.contains(&one.serial),
            })).collect::<Vec<_>>(),
            "addresses": region.addresses,
            "features": region.features().names(),
            "refused": self.unreached(region),
            "withheld": self.region.registry.withheld(&region.id).unwrap_or_default(),
            "waits_for": self.region.registry.waits_for(region).unwrap_or_default(),
            "clock_ahead_ms": clock,
            "clock_off": clock.is_some_and(is_off),
            "reachable": seen.map(|seen| seen.answers && !region.is_cut_off()),
            "cut_off": region.is_cut_off(),
            "last_seen": last.map(|at| at.iso8601()),
            "last_seen_ago_s": last.map(|at| now.s().saturating_sub(at.s())),
            "follows": self.region.registry.heard_from(&id),
            "buckets": self.region.registry.held_by(&region.id),
            "drain": self.drain_in_short(region),
            "load": seen.and_then(|seen| Some(json!({
                "requests_per_minute": seen.load?.requests_per_minute,
                "replicas": seen.load?.replicas,
                "behind_s": seen.load?.behind_s,
                "at": seen.load_at?.iso8601(),
            }))),
            "keeps_registry": region.id == *self.region.link.membership.keeper,
        })
    }
}
