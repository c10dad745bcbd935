//! What the engine and the process report to Prometheus, read at each scrape.

use std::{
    collections::HashMap,
    fmt::Error,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};

use replication::ReplicaState;
use types::{Deeds, Judge};

use crate::region::Region;

/// Read by `dhow doctor` too.
pub const NOT_RENEWED: &str = "dhow_homes_not_renewed";
/// The same.
pub const PROMISES: &str = "dhow_promise_milliseconds";

struct Engine(Arc<Region>);

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Collector for Engine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let fenced = self.0.upkeep.health().fenced.is_some();
        let mut gauges = vec![(
            "dhow_engine_fenced",
            "1 after a failed sync.",
            u64::from(fenced),
        )];
        gauges.push((
            "dhow_folder_behind",
            "1 while this data folder lacks what an earlier start of the region had.",
            u64::from(self.0.neighbours.is_behind()),
        ));
        gauges.push((
            "dhow_registry_behind",
            "1 while other regions have more of the registry than this region, which serves nothing.",
            u64::from(self.0.neighbours.doubt_of_registry().is_some()),
        ));
        gauges.push((
            "dhow_registry_unsure",
            "1 while the registry may be an old copy and no other region has asked for it.",
            u64::from(self.0.registry.is_unsure()),
        ));
        gauges.extend(self.repairs());
        gauges.extend(self.renewals());
        if let Some(kib) = resident_kib() {
            gauges.push(("dhow_resident_bytes", "Memory of the process.", kib << 10));
        }
        for figure in self.0.upkeep.figures() {
            let name = format!("dhow_{}", figure.name);
            encode(&mut encoder, &name, figure.help, figure.value)?;
        }
        for (name, help, value) in gauges {
            encode(&mut encoder, name, help, value)?;
        }
        self.promises(&mut encoder)?;
        self.copies(&mut encoder)?;
        self.asides(&mut encoder)?;
        self.rules(&mut encoder)
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

impl Engine {
    /// Figures of damage and its repair.
    fn repairs(&self) -> [(&'static str, &'static str, u64); 3] {
        let repairs = self.0.replication.repairs();
        [
            (
                "dhow_damage_found",
                "Damaged versions found since start, by reads and scrubs.",
                repairs.found.load(Ordering::Relaxed),
            ),
            (
                "dhow_damage_repaired",
                "Damaged versions that got their bytes back since start.",
                repairs.repaired.load(Ordering::Relaxed),
            ),
            (
                "dhow_damage_not_repaired",
                "Repairs since start after which a version stayed damaged.",
                repairs.failed.load(Ordering::Relaxed),
            ),
        ]
    }

    /// How buckets are renewed whose home is here.
    fn renewals(&self) -> [(&'static str, &'static str, u64); 2] {
        let promises = self.0.replication.promises();
        let mut deeds = self.0.registry.all();
        deeds.retain(|deed| deed.home == self.0.id && promises.may_decide(deed).is_err());
        [
            (
                NOT_RENEWED,
                "Buckets with their home here that nobody renews: conditions are not decided.",
                deeds.len() as u64,
            ),
            (
                "dhow_promises_held",
                "Regions whose promise to this one has not ended.",
                promises.held_now() as u64,
            ),
        ]
    }

    /// How long each promise lasts that counts for buckets whose home is here.
    fn promises(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.replication.promises().left();
        if all.is_empty() {
            return Ok(());
        }
        let kind = ConstGauge::new(0i64).metric_type();
        let help = "For how long a region has promised that no home here is replaced; 0 for not.";
        let mut family = encoder.encode_descriptor(PROMISES, help, None, kind)?;
        for (region, left) in all {
            let labels = [("region", &*region)];
            let metric = family.encode_family(&labels)?;
            let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            ConstGauge::new(left).encode(metric)?;
        }
        Ok(())
    }

    /// How the replicas here follow their homes, and homes read what replicas take. Buckets are
    /// named: they are stored here.
    fn copies(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let names: HashMap<_, _> = self
            .0
            .registry
            .all()
            .into_iter()
            .map(|deed| (deed.id, deed.name.clone()))
            .collect();
        let all = self.0.replication.status().following();
        type Figure = fn(&replication::Following) -> u64;
        let figures: [(&str, &str, Figure); 4] = [
            (
                "dhow_replication_lag_milliseconds",
                "From when the last change was written at the source to when it was applied here.",
                |f| f.lag_ms,
            ),
            (
                "dhow_replication_applied",
                "Changes of the source applied here since start.",
                |f| f.applied,
            ),
            (
                "dhow_replication_seeded",
                "Versions that the snapshot has brought.",
                |f| f.seeded,
            ),
            (
                "dhow_replication_following",
                "1 while the source's log is followed; 0 while seeding or stopped.",
                |f| u64::from(f.state == ReplicaState::Following),
            ),
        ];
        for (name, help, figure) in figures {
            let kind = ConstGauge::new(0i64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (id, following) in &all {
                let Some(bucket) = names.get(id) else {
                    continue;
                };
                let labels = [("bucket", &**bucket), ("source", &*following.source)];
                let metric = family.encode_family(&labels)?;
                let value = i64::try_from(figure(following)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }

    /// Versions that are ahead of the clock here. Buckets are named: they are stored here.
    fn asides(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let asides = self.0.objects.asides();
        let deeds = self.0.registry.all().into_iter();
        let names: HashMap<_, _> = deeds.map(|deed| (deed.id, deed.name.clone())).collect();
        let kind = ConstGauge::new(0i64).metric_type();
        let mut family = encoder.encode_descriptor(
            "dhow_replication_set_aside",
            "Versions of another region that are ahead of the clock here and wait for their time.",
            None,
            kind,
        )?;
        for (id, source, count) in asides {
            let Some(bucket) = names.get(&id) else {
                continue;
            };
            let labels = [("bucket", &**bucket), ("source", &*source)];
            let metric = family.encode_family(&labels)?;
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(metric)?;
        }
        Ok(())
    }

    /// How replication rules are doing. Buckets are named: their home is here.
    fn rules(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let names: HashMap<_, _> = self
            .0
            .registry
            .all()
            .into_iter()
            .map(|deed| (deed.id, deed.name.clone()))
            .collect();
        let all = self.0.objects.rule_states().all();
        type Figure = fn(&objects::RuleProgress) -> u64;
        let figures: [(&str, &str, Figure); 6] = [
            (
                "dhow_rules_pending",
                "Changes that rules have not looked at.",
                |p| p.pending,
            ),
            (
                "dhow_rules_lag_milliseconds",
                "From when the last version was written to when it arrived by a rule.",
                |p| p.lag_ms,
            ),
            (
                "dhow_rules_shipped",
                "Versions that arrived by rules since start.",
                |p| p.shipped,
            ),
            (
                "dhow_rules_shipped_bytes",
                "Bytes of versions that arrived by rules since start.",
                |p| p.shipped_bytes,
            ),
            (
                "dhow_rules_failed",
                "Versions that could not be shipped by rules since start.",
                |p| p.failed,
            ),
            (
                "dhow_rules_refused",
                "1 while nothing can go to the destination.",
                |p| u64::from(p.refused.is_some()),
            ),
        ];
        for (name, help, figure) in figures {
            let kind = ConstGauge::new(0i64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (id, to, progress) in &all {
                let Some(bucket) = names.get(id) else {
                    continue;
                };
                let labels = [("bucket", &**bucket), ("destination", &**to)];
                let metric = family.encode_family(&labels)?;
                let value = i64::try_from(figure(progress)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }
}

/// Adds the engine's figures to a registry.
pub fn register(registry: &mut Registry, region: &Arc<Region>) {
    registry.register_collector(Box::new(Engine(Arc::clone(region))));
}

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
