//! What can be wrong between the regions of a cloud: asked of the running region's metrics, which
//! need no key, or read from the folder of one that is stopped.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use admin::data_dir::DataDir;
use types::Timestamp;

use crate::{
    doctor::{Finding, Level},
    figures::{CLOCK_AHEAD, CLOCKS_AHEAD, CUT_OFF, LACKING, WITHHELD},
    link::{self, Membership, is_off},
    metrics::{NOT_RENEWED, PROMISES},
};

/// How long a region, or the way to one, is waited for.
const WAIT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// A certificate of customers with less time left is to be renewed.
const TLS_SOON_S: u64 = 14 * 86_400;
/// A certificate that is renewed in time has more left.
const EXPIRES_SOON_S: u64 = 5 * 86_400;
/// A running region gets an answer of the registry about twice a minute.
const HEARD_OLD_S: u64 = 600;
/// A replica that is behind for longer is worth a warning.
const LAG_LONG_MS: u64 = 60_000;

/// What a region's metrics say.
pub struct Samples(Vec<(String, String, f64)>);

impl Samples {
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let value = value.parse().ok()?;
            Some((
                name.to_owned(),
                labels.trim_end_matches('}').to_owned(),
                value,
            ))
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(line).collect())
    }

    /// The metrics of the region that runs at `url`.
    ///
    /// Buckets that are `hidden` are not named.
    pub fn read(url: &str, hidden: &HashSet<String>) -> Result<Self, String> {
        let address = url.trim_start_matches("http://");
        let text = get(address).map_err(|e| e.to_string())?;
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.split(' ').nth(1) == Some("200") => {
                Ok(Self::parse(body).without(hidden))
            }
            _ => Err("it does not answer with metrics".to_owned()),
        }
    }

    /// The same without these names of buckets.
    fn without(mut self, hidden: &HashSet<String>) -> Self {
        const BUCKET: &str = "bucket=\"";
        for (_, labels, _) in &mut self.0 {
            let Some((before, rest)) = labels.split_once(BUCKET) else {
                continue;
            };
            if let Some((name, after)) = rest.split_once('"')
                && hidden.contains(name)
            {
                *labels = [before, BUCKET, "a sealed replica\"", after].concat();
            }
        }
        self
    }

    /// One figure that has no labels.
    pub fn one(&self, name: &str) -> Option<u64> {
        let found = self.0.iter().find(|(of, ..)| of == name);
        found.map(|(.., value)| *value as u64)
    }

    /// The values of a label for which a figure is as asked.
    fn labels(&self, name: &str, label: &str, is: impl Fn(f64) -> bool) -> Vec<String> {
        let all = self.figures(name, label).into_iter();
        let found = all.filter(|(_, value)| is(*value));
        found.map(|(of, _)| of).collect()
    }

    /// The values of a label, each with its figure.
    fn figures(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let start = format!("{label}=\"");
        let named = |labels: &String| {
            let (_, rest) = labels.split_once(&start)?;
            Some(rest.split('"').next().unwrap_or_default().to_owned())
        };
        let found = self.0.iter().filter(|(of, ..)| of == name);
        found
            .filter_map(|(_, labels, value)| Some((named(labels)?, *value)))
            .collect()
    }

    /// One figure without labels that may be less than zero.
    fn signed(&self, name: &str) -> Option<i64> {
        let found = self.0.iter().find(|(of, ..)| of == name);
        found.map(|(.., value)| *value as i64)
    }
}

fn get(address: &str) -> std::io::Result<String> {
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let head = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the address names no host");
    for one in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&one, WAIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Of a region that runs.
pub fn running(samples: &Samples, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if samples.one("dhow_engine_fenced") == Some(1) {
        findings.push(Finding::bad(
            "engine",
            Level::Fail,
            "a sync failed, and no writes are taken",
            "the kernel's log names the fault of the disk; repair the disk, and start the region again",
        ));
    }
    findings.extend(clocks(samples));
    if samples.one("dhow_registry_behind") == Some(1) {
        findings.push(Finding::bad(
            "registry",
            Level::Fail,
            "put back to an older state than other regions have: nothing is served here",
            "in the registry's region, stop it and run `dhow registry catch-up`, or restore the \
             newest copy of its data folder; \
             elsewhere, see that the registry's region can be reached (docs/damage.md)",
        ));
    }
    if samples.one("dhow_registry_unsure") == Some(1) {
        findings.push(Finding::bad(
            "registry",
            Level::Fail,
            "this folder is a copy, and no other region has shown what it has: nothing is changed",
            "see that another region reaches this one; if none is left, or this is known to be \
             the newest folder, start once with --registry-is-newest (docs/damage.md)",
        ));
    }
    findings.extend(peers(samples));
    findings.extend(cut_off(samples));
    findings.extend(features(samples));
    findings.extend(withheld(samples));
    findings.extend(homes(samples));
    let expires = samples.one("dhow_certificate_expires_timestamp_seconds");
    findings.extend(expires.map(|at| certificate(at, now, true)));
    let expires = samples.one(crate::tls::EXPIRES);
    let failing = samples.one(crate::acme::FAILING);
    findings.extend(expires.map(|at| tls_certificate(at, now, failing)));
    findings.extend(replicas(samples));
    findings.extend(rules(samples));
    if let Some(heard) = samples.one("dhow_registry_heard_timestamp_seconds") {
        let ago = now.s().saturating_sub(heard);
        let at = Timestamp::from_s(heard).iso8601();
        let found = format!("it last answered {at} ({})", types::text::ago(ago));
        findings.push(match ago >= HEARD_OLD_S {
            false => Finding::ok("registry", found),
            true => Finding::bad("registry", Level::Fail, found, REGISTRY_ADVICE),
        });
    }
    findings
}

const REGISTRY_ADVICE: &str = "see that the registry's region runs and can be reached: keys that \
    were disabled and buckets that were placed since are not known here, and in three days no \
    request is verified";

fn peers(samples: &Samples) -> Vec<Finding> {
    let known = |is: fn(f64) -> bool| samples.labels("dhow_region_reachable", "region", is);
    let lost = known(|value| value == 0.0);
    let well = known(|value| value > 0.0);
    let mut findings = Vec::new();
    if !well.is_empty() {
        findings.push(Finding::ok(
            "regions",
            format!("reaches {}", well.join(", ")),
        ));
    }
    if !lost.is_empty() {
        findings.push(Finding::bad(
            "regions",
            Level::Fail,
            format!("does not reach {}", lost.join(", ")),
            "see that it runs, and that its peer port is open to this machine and to no stranger; \
             `dhow region show` has the address on record",
        ));
    }
    findings
}

/// The clock here, and those of the other regions.
fn clocks(samples: &Samples) -> Vec<Finding> {
    const ADVICE: &str = "set the clock, and keep it set with NTP";
    let way = |ahead: i64| {
        let way = if ahead < 0 { "behind" } else { "ahead of" };
        format!("{} ms {way}", ahead.unsigned_abs())
    };
    let mut findings = Vec::new();
    if samples.one("dhow_clock_off") == Some(1) {
        let ahead = samples.signed(CLOCK_AHEAD).unwrap_or_default();
        let found = match is_off(ahead) {
            true => format!(
                "it is {} the other regions', and writes are refused",
                way(ahead)
            ),
            false => "it is off the other regions', and writes are refused".to_owned(),
        };
        findings.push(Finding::bad("clock", Level::Fail, found, ADVICE));
    }
    let others = samples.figures(CLOCKS_AHEAD, "region").into_iter();
    let off = others.filter(|(_, ahead)| is_off(*ahead as i64));
    let off: Vec<String> = off
        .map(|(region, ahead)| format!("that of {region} is {} the others'", way(ahead as i64)))
        .collect();
    if !off.is_empty() {
        let found = format!("{}: writes are refused there", off.join("; "));
        findings.push(Finding::bad("region clocks", Level::Warn, found, ADVICE));
    }
    findings
}

/// Whether every region is reached at the address that is on record.
fn cut_off(samples: &Samples) -> Option<Finding> {
    let refused = samples.labels(CUT_OFF, "region", |is| is > 0.0);
    (!refused.is_empty()).then(|| {
        Finding::bad(
            "addresses",
            Level::Fail,
            format!(
                "no region connects to {}: the address on record is not in the list of addresses",
                refused.join(", ")
            ),
            "`dhow region show NAME` has both; at the registry's region, give the whole list \
             anew with `dhow region allow NAME --address HOST:PORT`",
        )
    })
}

/// Whether every region knows what the buckets need that it holds.
fn features(samples: &Samples) -> Option<Finding> {
    let behind = samples.labels(LACKING, "region", |buckets| buckets > 0.0);
    (!behind.is_empty()).then(|| {
        Finding::bad(
            "features",
            Level::Warn,
            format!(
                "buckets are placed in {} that need what the release there does not know",
                behind.join(", ")
            ),
            "upgrade Dhow in that region, or change where these buckets are placed; `dhow region \
             show NAME --json` lists what it knows",
        )
    })
}

/// Whether the registry withholds changes from no region.
fn withheld(samples: &Samples) -> Option<Finding> {
    let behind = samples.labels(WITHHELD, "region", |refused| refused > 0.0);
    (!behind.is_empty()).then(|| {
        Finding::bad(
            "releases",
            Level::Warn,
            format!(
                "changes and keys are withheld from {}, whose release does not know what it must",
                behind.join(", ")
            ),
            "upgrade Dhow in that region, or accept the older release with `dhow region step-back \
             NAME`; `dhow region show NAME` says what is missing",
        )
    })
}

/// The certificate that customers are shown.
/// `failing` says how many orders at an ACME server failed in a row, where there is one.
fn tls_certificate(expires: u64, now: Timestamp, failing: Option<u64>) -> Finding {
    let at = Timestamp::from_s(expires).iso8601();
    let left = expires.saturating_sub(now.s());
    let advice = match failing {
        None => {
            "write a newer one, and its key, into the files that are configured: they are read \
             again within seconds"
        }
        Some(_) => {
            "the region's log says what the ACME server answers, and what to do (docs/tls.md)"
        }
    };
    let failed = failing.filter(|failed| *failed > 0);
    if expires == 0 {
        let found = format!(
            "none yet: {} orders at the ACME server failed",
            failed.unwrap_or(0)
        );
        return Finding::bad("TLS certificate", Level::Fail, found, advice);
    }
    if left == 0 {
        let found = format!("expired at {at}: clients refuse it");
        return Finding::bad("TLS certificate", Level::Fail, found, advice);
    }
    let found = format!("good until {at} ({} days)", left / 86_400);
    if let Some(failed) = failed {
        let found = format!("{found}; {failed} orders of a newer one at the ACME server failed");
        return Finding::bad("TLS certificate", Level::Warn, found, advice);
    }
    // What an ACME server issues may be good for days only, and is renewed in time.
    match left < TLS_SOON_S && failing.is_none() {
        false => Finding::ok("TLS certificate", found),
        true => Finding::bad("TLS certificate", Level::Warn, found, advice),
    }
}

/// Whether the buckets whose home is the region are renewed; nothing where no other region has to
/// do with it.
fn homes(samples: &Samples) -> Option<Finding> {
    let of = |is: fn(f64) -> bool| samples.labels(PROMISES, "region", is).join(", ");
    let (fresh, silent) = (of(|left| left > 0.0), of(|left| left <= 0.0));
    match samples.one(NOT_RENEWED)? {
        0 if silent.is_empty() && fresh.is_empty() => None,
        0 if silent.is_empty() => Some(Finding::ok("homes", format!("renewed by {fresh}"))),
        0 => Some(Finding::bad(
            "homes",
            Level::Warn,
            format!("all homes here are renewed, but there is no promise of {silent}"),
            "see that these regions can be reached: conditions are refused once no other promise \
             is left",
        )),
        count => Some(Finding::bad(
            "homes",
            Level::Fail,
            match silent.is_empty() {
                true => {
                    format!("{count} buckets wait until their former home decides nothing more")
                }
                false => format!(
                    "{count} buckets whose home is here are not renewed and refuse conditions (no \
                     promise of {silent})"
                ),
            },
            "see that these regions can be reached; where one is lost, promote another or take its \
             replicas away (docs/regions.md). `dhow bucket show` says what a bucket waits for",
        )),
    }
}

fn certificate(expires: u64, now: Timestamp, runs: bool) -> Finding {
    let at = Timestamp::from_s(expires).iso8601();
    let left = expires.saturating_sub(now.s());
    if expires <= now.s() {
        let advice = "other regions refuse it: start it with the token of `dhow region rekey`";
        return Finding::bad(
            "certificate",
            Level::Fail,
            format!("expired at {at}"),
            advice,
        );
    }
    let found = format!("good until {at} ({} days)", left / 86_400);
    match left < EXPIRES_SOON_S {
        false => Finding::ok("certificate", found),
        true if runs => Finding::bad(
            "certificate",
            Level::Warn,
            found,
            "it is renewed at the registry's region, which does not seem to answer: see that it does",
        ),
        true => Finding::bad(
            "certificate",
            Level::Warn,
            found,
            "start the region before that: it renews the certificate by itself",
        ),
    }
}

fn replicas(samples: &Samples) -> Option<Finding> {
    let mut behind = samples.labels("dhow_replication_following", "bucket", |value| value == 0.0);
    let late = |value: f64| value > LAG_LONG_MS as f64;
    behind.extend(samples.labels("dhow_replication_lag_milliseconds", "bucket", late));
    let behind = first_few(behind)?;
    Some(Finding::bad(
        "replicas",
        Level::Warn,
        format!("the replicas here of {behind} are behind their home"),
        "`dhow bucket show NAME` says how far; see that the home can be reached",
    ))
}

/// What replication rules cannot send.
fn rules(samples: &Samples) -> Vec<Finding> {
    let refused = samples.labels("dhow_rules_refused", "bucket", |value| value > 0.0);
    let failed = samples.labels("dhow_rules_failed", "bucket", |value| value > 0.0);
    let refused = first_few(refused).map(|of| {
        let found = format!("nothing of {of} is replicated to a destination");
        let advice = "`dhow bucket show NAME` says to which, and why";
        Finding::bad("rules", Level::Warn, found, advice)
    });
    let failed = first_few(failed).map(|of| {
        let found = format!("some versions of {of} could not be replicated, and others went on");
        let advice = "the log names each (\"a version cannot be replicated\"), and says why";
        Finding::bad("rules", Level::Warn, found, advice)
    });
    refused.into_iter().chain(failed).collect()
}

/// The first few of these buckets, and how many more there are; nothing if there are none.
fn first_few(mut buckets: Vec<String>) -> Option<String> {
    const SHOWN: usize = 5;
    buckets.sort();
    buckets.dedup();
    let more = buckets.len().saturating_sub(SHOWN);
    buckets.truncate(SHOWN);
    let named = buckets.join(", ");
    match more {
        _ if buckets.is_empty() => None,
        0 => Some(named),
        more => Some(format!("{named} and {more} more")),
    }
}

/// Of a region that joined a cloud and is stopped.
pub fn stopped(dir: &DataDir, now: Timestamp) -> Vec<Finding> {
    let Ok(Some(membership)) = Membership::read(dir) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    match link::certificate_expires(dir, &membership) {
        Ok(expires) => findings.push(certificate(expires.s(), now, false)),
        Err(error) => findings.push(Finding::bad(
            "certificate",
            Level::Fail,
            error.to_string(),
            "restore the file from a backup, or give the region a new key with `dhow region rekey`",
        )),
    }
    let (keeper, peer) = (&membership.keeper, &membership.keeper_peer);
    findings.push(match connect(peer) {
        Ok(_) => Finding::ok("registry", format!("{keeper} takes connections at {peer}")),
        Err(error) => Finding::bad(
            "registry",
            Level::Warn,
            format!("{keeper} cannot be reached at {peer}, where it was at the joining: {error}"),
            "see that it runs, and that its peer port is open to this machine",
        ),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&'static str, Level, String)> {
        let now = Timestamp::from_s(1_000_000);
        let all = running(&Samples::parse(text), now).into_iter();
        all.map(|f| (f.check, f.level, f.found)).collect()
    }

    #[test]
    fn each_trouble_that_the_metrics_tell_is_a_finding() {
        let well = "# TYPE x gauge\ndhow_region_reachable{region=\"a\"} 1\n\
                    dhow_certificate_expires_timestamp_seconds 9000000\ndhow_engine_fenced 0\n\
                    dhow_registry_heard_timestamp_seconds 999990\ndhow_clock_off 0\n\
                    dhow_clock_ahead_milliseconds 0\n\
                    dhow_region_clock_ahead_milliseconds{region=\"a\"} -2000\n\
                    dhow_region_address_refused{region=\"a\"} 0\n\
                    dhow_region_lacks_features{region=\"a\"} 0\n\
                    dhow_region_withheld{region=\"a\"} 0\n\
                    dhow_promise_milliseconds{region=\"a\"} 900\ndhow_homes_not_renewed 0\n\
                    dhow_replication_following{bucket=\"b\",source=\"a\"} 1\n\
                    dhow_rules_refused{bucket=\"b\",destination=\"c\"} 0\n\
                    dhow_rules_failed{bucket=\"b\",destination=\"d\"} 0\n";
        let checks: Vec<_> = found(well);
        assert!(
            checks.iter().all(|(_, level, _)| *level == Level::Ok),
            "{checks:?}"
        );
        for (from, to, check, text) in [
            ("a\"} 1", "a\"} 0", "regions", "does not reach a"),
            ("9000000", "999999", "certificate", "expired"),
            ("9000000", "1000100", "certificate", "0 days"),
            ("fenced 0", "fenced 1", "engine", "no writes"),
            ("999990", "990000", "registry", "2 h ago"),
            ("} -2000", "} -4001", "region clocks", "a is 4001 ms behind"),
            ("} -2000", "} 2001", "region clocks", "a is 2001 ms ahead"),
            (
                "refused{region=\"a\"} 0",
                "refused{region=\"a\"} 1",
                "addresses",
                "connects to a",
            ),
            ("off 0", "off 1", "clock", "refused"),
            (
                "lacks_features{region=\"a\"} 0",
                "lacks_features{region=\"a\"} 2",
                "features",
                "in a",
            ),
            (
                "withheld{region=\"a\"} 0",
                "withheld{region=\"a\"} 2",
                "releases",
                "from a",
            ),
            ("} 900", "} 0", "homes", "no promise of a"),
            ("renewed 0", "renewed 2", "homes", "2 buckets wait"),
            (
                "source=\"a\"} 1",
                "source=\"a\"} 0",
                "replicas",
                "of b are behind",
            ),
            ("=\"c\"} 0", "=\"c\"} 1", "rules", "nothing of b"),
            ("=\"d\"} 0", "=\"d\"} 7", "rules", "some versions of b"),
        ] {
            let checks = found(&well.replace(from, to));
            let named = checks
                .iter()
                .find(|(of, level, _)| *of == check && *level != Level::Ok);
            assert!(
                named.is_some_and(|(.., said)| said.contains(text)),
                "{check}: {checks:?}"
            );
        }
    }
}
