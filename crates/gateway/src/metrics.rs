//! What the front door counts. Every series exists from the start and is reached by index, so
//! that a request pays for a few atomic additions.

use std::time::Duration;

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
struct CodeLabel {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

struct PerOperation {
    status: [Counter; 4],
    received: Counter,
    sent: Counter,
    latency: Histogram,
}

fn per_operation(
    status: &Family<StatusLabel, Counter>,
    received: &Family<OperationLabel, Counter>,
    sent: &Family<OperationLabel, Counter>,
    times: &Family<OperationLabel, Histogram>,
) -> Vec<PerOperation> {
    let series = |operation: &Operation| {
        let operation = operation.name;
        let label = OperationLabel { operation };
        PerOperation {
            status: CLASSES.map(|class| {
                let label = StatusLabel {
                    operation,
                    status: class,
                };
                status.get_or_create(&label).clone()
            }),
            received: received.get_or_create(&label).clone(),
            sent: sent.get_or_create(&label).clone(),
            latency: times.get_or_create(&label).clone(),
        }
    };
    OPERATIONS.iter().map(series).collect()
}

/// The counters.
pub struct Metrics {
    operations: Vec<PerOperation>,
    strangers: Family<CodeLabel, Counter>,
    unrouted: Family<CodeLabel, Counter>,
    /// Requests that another region answered.
    pub passed: Counter,
    /// Regions to which a request was to be passed on, and that did not answer.
    pub unanswered: Counter,
    /// Connections open now.
    pub connections: Gauge,
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
        let status = Family::<StatusLabel, Counter>::default();
        let received = Family::<OperationLabel, Counter>::default();
        let sent = Family::<OperationLabel, Counter>::default();
        let times =
            Family::<OperationLabel, Histogram>::new_with_constructor(latency as fn() -> Histogram);
        let strangers = Family::<CodeLabel, Counter>::default();
        let unrouted = Family::<CodeLabel, Counter>::default();
        let (connections, in_flight) = (Gauge::default(), Gauge::default());
        let waiting = Gauge::default();
        registry.register(
            "requests",
            "Answered requests of known callers",
            status.clone(),
        );
        registry.register_with_unit(
            "received",
            "Bytes of request bodies",
            Unit::Bytes,
            received.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Bytes of answers' bodies",
            Unit::Bytes,
            sent.clone(),
        );
        registry.register_with_unit(
            "latency",
            "Time from the request's head to the answer's head",
            Unit::Seconds,
            times.clone(),
        );
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
        registry.register("passed", "Requests passed on to other regions", passed);
        registry.register("connections", "Open connections", connections.clone());
        registry.register("in_flight", "Requests being worked on", in_flight.clone());
        registry.register(
            "waiting",
            "Requests that wait for their account's turn",
            waiting.clone(),
        );
        let operations = per_operation(&status, &received, &sent, &times);
        Self {
            operations,
            strangers,
            unrouted,
            passed: answered,
            unanswered,
            connections,
            in_flight,
            waiting,
        }
    }

    /// Counts an answered request of a known caller.
    pub fn answered(&self, operation: &Operation, status: http::StatusCode, took: Duration) {
        let counters = &self.operations[operation.id];
        let class = usize::from(status.as_u16() / 100).clamp(2, 5) - 2;
        counters.status[class].inc();
        counters.latency.observe(took.as_secs_f64());
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
        &self.operations[operation.id].received
    }

    /// The counter of bytes that went out in bodies of an operation's answers.
    pub fn sent(&self, operation: &Operation) -> &Counter {
        &self.operations[operation.id].sent
    }
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
            Duration::from_millis(3),
        );
        metrics.sent(get).inc_by(5);
        metrics.stranger("AccessDenied");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "dhow_s3_requests_total{operation=\"GetObject\",status=\"2xx\"} 1",
            "dhow_s3_sent_bytes_total{operation=\"GetObject\"} 5",
            "dhow_s3_strangers_total{code=\"AccessDenied\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
