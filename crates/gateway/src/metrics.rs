//! What the S3 listener counts. The series of an operation exist from its first request on and are
//! then reached by index, so that a request pays for a few atomic additions.

use std::{sync::OnceLock, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::operations::{OPERATIONS, Operation};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    operation: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    operation: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Of one operation, each made when it is first counted.
#[derive(Default)]
struct PerOperation {
    status: [OnceLock<Counter>; 4],
    received: OnceLock<Counter>,
    sent: OnceLock<Counter>,
    latency: OnceLock<Histogram>,
}

struct Families {
    status: Family<StatusLabel, Counter>,
    errors: Family<ErrorLabel, Counter>,
    received: Family<OperationLabel, Counter>,
    sent: Family<OperationLabel, Counter>,
    latency: Family<OperationLabel, Histogram>,
}

impl Families {
    fn new(registry: &mut Registry) -> Self {
        let families = Self {
            status: Family::default(),
            errors: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            latency: Family::new_with_constructor(latency as fn() -> Histogram),
        };
        registry.register(
            "requests",
            "Answered requests of known callers",
            families.status.clone(),
        );
        registry.register(
            "errors",
            "Of these, those that were answered with an error, by its code",
            families.errors.clone(),
        );
        registry.register_with_unit(
            "received",
            "Bytes of request bodies",
            Unit::Bytes,
            families.received.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Bytes of answers' bodies",
            Unit::Bytes,
            families.sent.clone(),
        );
        registry.register_with_unit(
            "latency",
            "Time from the request's head to the answer's head",
            Unit::Seconds,
            families.latency.clone(),
        );
        families
    }
}

/// The counters.
pub struct Metrics {
    operations: Vec<PerOperation>,
    families: Families,
    strangers: Family<CodeLabel, Counter>,
    unrouted: Family<CodeLabel, Counter>,
    /// Requests that another region answered.
    pub forwarded: Counter,
    /// Regions to which a request was to be forwarded, and that did not answer.
    pub unanswered: Counter,
    /// Connections open now.
    pub connections: Gauge,
    /// Connections that did not come to TLS.
    pub handshakes_failed: Counter,
    /// Requests being worked on now, and those that wait.
    pub in_flight: Gauge,
    /// Requests that wait for their account's turn now.
    pub waiting: Gauge,
}

// From 100 us (a small answer from memory) to about a minute (a large body), each bound 2.5x.
fn latency() -> Histogram {
    Histogram::new([
        1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0, 30.0, 60.0,
    ])
}

impl Metrics {
    /// Registers everything under `dhow_s3_`.
    pub fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("dhow_s3");
        let families = Families::new(registry);
        let strangers = Family::<CodeLabel, Counter>::default();
        let unrouted = Family::<CodeLabel, Counter>::default();
        let (connections, in_flight) = (Gauge::default(), Gauge::default());
        let handshakes_failed = Counter::default();
        let waiting = Gauge::default();
        registry.register(
            "strangers",
            "Refused requests without a known caller's valid signature, or on a bucket of \
             somebody else; never counted to a bucket's owner",
            strangers.clone(),
        );
        registry.register(
            "unrouted",
            "Requests that were refused before their operation was known",
            unrouted.clone(),
        );
        let passed = Family::<OutcomeLabel, Counter>::default();
        let outcome = |outcome| passed.get_or_create(&OutcomeLabel { outcome }).clone();
        let (answered, unanswered) = (outcome("answered"), outcome("unanswered"));
        registry.register("passed", "Requests forwarded to other regions", passed);
        registry.register("connections", "Open connections", connections.clone());
        registry.register(
            "handshakes_failed",
            "Connections that ended before a TLS handshake did",
            handshakes_failed.clone(),
        );
        registry.register("in_flight", "Requests being worked on", in_flight.clone());
        registry.register(
            "waiting",
            "Requests that wait for their account's turn",
            waiting.clone(),
        );
        Self {
            operations: OPERATIONS.iter().map(|_| PerOperation::default()).collect(),
            families,
            strangers,
            unrouted,
            forwarded: answered,
            unanswered,
            connections,
            handshakes_failed,
            in_flight,
            waiting,
        }
    }

    /// Counts an answered request of a known caller; `code` is the error's, or empty.
    pub fn answered(
        &self,
        operation: &Operation,
        status: http::StatusCode,
        code: &'static str,
        took: Duration,
    ) {
        let (counters, families) = (&self.operations[operation.id], &self.families);
        let operation = operation.name;
        let class = usize::from(status.as_u16() / 100).clamp(2, 5) - 2;
        let counted = counters.status[class].get_or_init(|| {
            let status = CLASSES[class];
            let label = StatusLabel { operation, status };
            families.status.get_or_create(&label).clone()
        });
        counted.inc();
        let latency = counters.latency.get_or_init(|| {
            let label = OperationLabel { operation };
            families.latency.get_or_create(&label).clone()
        });
        latency.observe(took.as_secs_f64());
        if !code.is_empty() {
            let label = ErrorLabel { operation, code };
            families.errors.get_or_create(&label).inc();
        }
    }

    /// Answered requests of known callers since the start.
    pub fn answered_in_all(&self) -> u64 {
        let counters = self.operations.iter().flat_map(|one| &one.status);
        let counted = counters.filter_map(|status| status.get());
        counted.map(Counter::get).sum()
    }

    /// Counts a refusal of somebody whom the bucket's owner does not answer for.
    pub fn stranger(&self, code: &'static str) {
        self.strangers.get_or_create(&CodeLabel { code }).inc();
    }

    /// Counts a request of a known caller that fits no operation.
    pub fn unrouted(&self, code: &'static str) {
        self.unrouted.get_or_create(&CodeLabel { code }).inc();
    }

    /// The counter of bytes that came in bodies of an operation's requests.
    pub fn received(&self, operation: &Operation) -> &Counter {
        let counter = &self.operations[operation.id].received;
        counter.get_or_init(|| by_operation(&self.families.received, operation))
    }

    /// The counter of bytes that went out in bodies of an operation's answers.
    pub fn sent(&self, operation: &Operation) -> &Counter {
        let counter = &self.operations[operation.id].sent;
        counter.get_or_init(|| by_operation(&self.families.sent, operation))
    }
}

fn by_operation(family: &Family<OperationLabel, Counter>, operation: &Operation) -> Counter {
    let operation = operation.name;
    family.get_or_create(&OperationLabel { operation }).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_names_operations_and_strangers() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let get = OPERATIONS.iter().find(|o| o.name == "GetObject").unwrap();
        metrics.answered(
            get,
            http::StatusCode::PARTIAL_CONTENT,
            "",
            Duration::from_millis(3),
        );
        let (missing, took) = (http::StatusCode::NOT_FOUND, Duration::from_millis(1));
        metrics.answered(get, missing, "NoSuchKey", took);
        metrics.sent(get).inc_by(5);
        metrics.stranger("AccessDenied");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "dhow_s3_requests_total{operation=\"GetObject\",status=\"2xx\"} 1",
            "dhow_s3_sent_bytes_total{operation=\"GetObject\"} 5",
            "dhow_s3_errors_total{operation=\"GetObject\",code=\"NoSuchKey\"} 1",
            "dhow_s3_latency_seconds_count{operation=\"GetObject\"} 2",
            "dhow_s3_strangers_total{code=\"AccessDenied\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        // What was never asked for has no series.
        assert!(
            !text.contains("PutObject") && !text.contains("5xx"),
            "{text}"
        );
    }
}
