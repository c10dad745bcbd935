//! The state of the region, for Prometheus: what it stores, its disk, the other regions, its
//! certificate. Read at each scrape.

use std::{fmt::Error, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};
use types::{RegionId, Timestamp};

use crate::{region::Region, stored::Amount};

/// Read by `dhow doctor` too.
pub const LACKING: &str = "dhow_region_lacks_features";

/// The same.
pub const WITHHELD: &str = "dhow_region_withheld";
/// The same.
pub const CUT_OFF: &str = "dhow_region_address_refused";
/// The same.
pub const CLOCK_AHEAD: &str = "dhow_clock_ahead_milliseconds";
/// The same.
pub const CLOCKS_AHEAD: &str = "dhow_region_clock_ahead_milliseconds";

struct Standing {
    region: Arc<Region>,
    reserve_bytes: u64,
    started: Timestamp,
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Standing")
    }
}

/// Adds these figures to a registry.
pub fn register(registry: &mut Registry, region: &Arc<Region>, reserve_bytes: u64) {
    registry.register_collector(Box::new(Standing {
        region: Arc::clone(region),
        reserve_bytes,
        started: region.clock.now(),
    }));
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// One figure without labels.
fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    let gauge = gauge(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

/// One figure for each value of a label.
fn each(
    encoder: &mut DescriptorEncoder<'_>,
    about: (&str, &str),
    label: &str,
    values: &[(String, u64)],
) -> Result<(), Error> {
    let signed = |value: &u64| i64::try_from(*value).unwrap_or(i64::MAX);
    let values = values.iter().map(|(of, value)| (of.clone(), signed(value)));
    each_signed(encoder, about, label, &values.collect::<Vec<_>>())
}

/// The same of figures that may be less than zero.
fn each_signed(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    label: &str,
    values: &[(String, i64)],
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, gauge(0).metric_type())?;
    for (of, value) in values {
        let labels = [(label, of.as_str())];
        ConstGauge::new(*value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        self.process(encoder)?;
        self.disk(encoder)?;
        self.stored(encoder)?;
        self.cloud(encoder)?;
        self.clocks(encoder)
    }
}

impl Standing {
    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let info = ("dhow_build_info", "Version and region; always 1.");
        let mut family = encoder.encode_descriptor(info.0, info.1, None, gauge(1).metric_type())?;
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("region", &*self.region.id),
        ];
        gauge(1).encode(family.encode_family(&labels)?)?;
        let started = ("dhow_start_timestamp_seconds", "When the process started.");
        one(encoder, started.0, started.1, self.started.s())?;
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            one(
                encoder,
                "dhow_open_files",
                "Files and sockets that are open.",
                files.count() as u64,
            )?;
        }
        Ok(())
    }

    fn disk(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        if let Ok(Some(room)) = self.region.upkeep.room() {
            let free = "Bytes that are free on the data folder's disk, the reserve among them.";
            one(encoder, "dhow_disk_free_bytes", free, room.free_bytes)?;
            let size = "Bytes of that disk.";
            one(encoder, "dhow_disk_size_bytes", size, room.total_bytes)?;
        }
        let reserve = "Free bytes below which writes answer 507 (engine.reserve_mib).";
        one(
            encoder,
            "dhow_disk_reserve_bytes",
            reserve,
            self.reserve_bytes,
        )
    }

    /// Absent until the first count has ended.
    fn stored(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some((sums, ended)) = self.region.watched.stored.sums() else {
            return Ok(());
        };
        type Figure = fn(&Amount) -> u64;
        let figures: [(&str, &str, Figure); 4] = [
            (
                "dhow_stored_buckets",
                "Buckets that this region holds.",
                |a| a.buckets,
            ),
            (
                "dhow_stored_objects",
                "Keys with a current object in them.",
                |a| a.objects,
            ),
            (
                "dhow_stored_versions",
                "Versions in them, without delete markers.",
                |a| a.versions,
            ),
            ("dhow_stored_bytes", "Bytes of these versions.", |a| a.bytes),
        ];
        for (name, help, figure) in figures {
            let values = sums
                .iter()
                .map(|(holds, sum)| ((*holds).to_owned(), figure(sum)));
            each(encoder, (name, help), "holds", &values.collect::<Vec<_>>())?;
        }
        let counted = "When these were last counted.";
        one(
            encoder,
            "dhow_stored_counted_timestamp_seconds",
            counted,
            ended.s(),
        )
    }

    fn cloud(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let region = &self.region;
        let (mut reachable, mut last) = (Vec::new(), Vec::new());
        for other in region.registry.all_regions() {
            let id = RegionId::new(&other.id);
            let seen = region.seen(&id).filter(|_| id != region.id);
            if let Some(seen) = seen {
                reachable.push((id.to_string(), u64::from(seen.answers)));
                last.extend(seen.last.map(|at| (id.to_string(), at.s())));
            }
        }
        let help = "1 if the other region answered when it was last asked, every five seconds.";
        each(
            encoder,
            ("dhow_region_reachable", help),
            "region",
            &reachable,
        )?;
        let help = "Buckets in the region whose placement needs what its release does not know.";
        let lacking = region.registry.lacking().into_iter();
        let lacking: Vec<_> = lacking
            .map(|one| (one.region.to_string(), one.buckets))
            .collect();
        each(encoder, (LACKING, help), "region", &lacking)?;
        let help = "Questions for changes of the region that the registry refused since the last \
            one that it answered, as its release does not know what it must.";
        let withheld = region.registry.withheld_questions();
        each(encoder, (WITHHELD, help), "region", &withheld)?;
        let help = "When the other region last answered.";
        let name = "dhow_region_last_seen_timestamp_seconds";
        each(encoder, (name, help), "region", &last)?;
        let help = "When the region's certificate expires; it renews it long before.";
        let expires = region.link.tls.not_after().s();
        one(
            encoder,
            "dhow_certificate_expires_timestamp_seconds",
            help,
            expires,
        )?;
        let help = "When the registry last answered; now, where it is kept here.";
        let heard = match region.upstream {
            None => Some(region.clock.now()),
            Some(_) => region.registry.answered_at(),
        };
        if let Some(heard) = heard {
            one(
                encoder,
                "dhow_registry_heard_timestamp_seconds",
                help,
                heard.s(),
            )?;
        }
        let help = "Buckets that answer only their own accounts, since the registry or their homes \
                    have not answered for too long.";
        let stale = region.neighbours.stale_buckets();
        one(encoder, "dhow_access_stale_buckets", help, stale as u64)?;
        let help = "1 where the region's address on record is not in its list of addresses: no \
            region connects to it.";
        let all = region.registry.all_regions().into_iter();
        let refused = all.filter(|record| record.is_cut_off());
        let refused: Vec<_> = refused.map(|record| (record.id.clone(), 1)).collect();
        each(encoder, (CUT_OFF, help), "region", &refused)
    }

    fn clocks(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let (region, clocks) = (&self.region, &self.region.neighbours.clocks);
        let doubt = region.neighbours.is_clock_off();
        let help = "1 while writes are refused since the clock is off the other regions'.";
        one(encoder, "dhow_clock_off", help, u64::from(doubt))?;
        let help = "How far the clock here is ahead of the other regions'; less than 0 when it is \
            behind, 0 while it is as they are.";
        let own = ConstGauge::new(clocks.own());
        let metric = encoder.encode_descriptor(CLOCK_AHEAD, help, None, own.metric_type())?;
        own.encode(metric)?;
        let help = "How far the other region's clock is ahead of the others'; less than 0 when it \
            is behind.";
        let all = region.registry.all_regions().into_iter();
        let ahead = all.filter_map(|record| {
            let id = RegionId::new(&record.id);
            clocks.of(&id).map(|ahead| (record.id.clone(), ahead))
        });
        let ahead: Vec<_> = ahead.collect();
        each_signed(encoder, (CLOCKS_AHEAD, help), "region", &ahead)
    }
}
