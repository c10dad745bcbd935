//! Measures S3 endpoints: `dhow bench` against any, and beside its peers.
//!
//! Closed loop: each connection sends its next request as soon as the last is answered. Requests
//! are signed with UNSIGNED-PAYLOAD, so that neither side hashes more than S3 must.

mod args;
mod client;
mod histogram;
mod load;
mod target;

use std::collections::BTreeMap;

use serde::Serialize;

pub use args::{BenchArgs, Op, Target, parse_size, parse_time};
pub use histogram::Histogram;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The arguments do not say where to or as whom.
    #[error("{0}")]
    Target(String),
    /// The preparation was refused.
    #[error("{what}: the endpoint answered {status} {code}")]
    Refused {
        /// What was tried.
        what: String,
        /// HTTP status.
        status: u16,
        /// The code in the answer, if there is one.
        code: String,
    },
    /// The connection failed during preparation.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Half stay within.
    pub p50: f64,
    /// 90 of 100 stay within.
    pub p90: f64,
    /// 99 of 100 stay within.
    pub p99: f64,
    /// 999 of 1000 stay within.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which operation.
    pub op: Op,
    /// Bytes of an object.
    pub size: u64,
    /// How many connections.
    pub connections: u32,
    /// Seconds of the measurement, without preparation.
    pub seconds: f64,
    /// Requests answered well.
    pub requests: u64,
    /// Of these, a second.
    pub per_second: f64,
    /// Object bytes moved a second, in MiB.
    pub mib_per_second: f64,
    /// Of the good answers.
    pub latency_ms: Latency,
    /// Failures, by S3 code, or status, or the kind of IO error; `WrongBytes` under --verify.
    pub errors: BTreeMap<String, u64>,
}

impl Report {
    fn new(args: &BenchArgs, seconds: f64, tally: &load::Tally) -> Self {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |share| ms(tally.latencies.quantile(share));
        Self {
            op: args.op,
            size: args.size,
            connections: args.connections,
            seconds,
            requests: tally.latencies.count(),
            per_second: tally.latencies.count() as f64 / seconds,
            mib_per_second: tally.bytes as f64 / seconds / f64::from(1 << 20),
            latency_ms: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: ms(tally.latencies.max()),
                mean: tally.latencies.mean() / 1000.0,
            },
            errors: tally.errors.clone(),
        }
    }

    /// For people, in a few lines.
    pub fn text(&self) -> String {
        let l = &self.latency_ms;
        let mut text = format!(
            "{:?}: {} requests in {:.1} s over {} connections\n\
             {:.0} a second, {:.1} MiB/s\n\
             latency in ms: p50 {:.3}, p90 {:.3}, p99 {:.3}, p99.9 {:.3}, max {:.3}\n",
            self.op,
            self.requests,
            self.seconds,
            self.connections,
            self.per_second,
            self.mib_per_second,
            l.p50,
            l.p90,
            l.p99,
            l.p999,
            l.max,
        );
        for (code, count) in &self.errors {
            text.push_str(&format!("failed: {count} x {code}\n"));
        }
        text
    }
}

/// Runs the measurement; blocks until it ends. Progress goes to standard error, the report to the
/// caller. Must not be called on an async thread.
pub fn run(args: &BenchArgs) -> Result<Report, BenchError> {
    let target = target::find(args)?;
    load::run(args, &target)
}
