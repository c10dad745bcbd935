//! What is counted and logged of a request.

use std::time::Instant;

use http::StatusCode;
use prometheus_client::metrics::gauge::Gauge;

use super::Trail;
use crate::{fault::FaultKind, server::Gateway};

impl Gateway {
    pub(super) fn record(
        &self,
        trail: &Trail,
        kind: Option<FaultKind>,
        status: StatusCode,
        began: Instant,
        request_id: &str,
    ) {
        let took = began.elapsed();
        let code = kind.map_or("", FaultKind::name);
        let operation = trail.operation.map_or("", |o| o.name);
        match trail.operation {
            Some(operation) if trail.known => {
                self.metrics.answered(operation, status, code, took);
            }
            _ if trail.known => self.metrics.unrouted(code),
            _ => self.metrics.stranger(code),
        }
        let (status, took_us) = (status.as_u16(), took.as_micros() as u64);
        if status >= 500 && status != 501 && status != 503 {
            tracing::error!(
                request_id,
                operation,
                status,
                code,
                took_us,
                "request failed"
            );
        } else {
            let source = trail.source.map(tracing::field::display);
            tracing::debug!(
                request_id, operation, source, status, code, took_us, "request"
            );
        }
    }
}

/// Counts a request while it is worked on, also when its client hangs up half way.
pub(super) struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    pub(super) fn enter(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
