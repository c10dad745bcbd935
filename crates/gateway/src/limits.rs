//! The front door's own limits, each with its default.

use std::time::Duration;

/// Limits and names of the front door.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Host names under which `bucket.name` addresses a bucket. Default: `localhost`.
    pub domains: Vec<String>,
    /// Region names accepted in signatures beside the own one. Default: `us-east-1`, `auto`.
    pub region_aliases: Vec<String>,
    /// Connections open at once; more wait in the kernel's queue. Default 4096.
    pub connections_max: usize,
    /// Requests being worked on at once; as many again that other regions pass on. Default 1024.
    pub requests_max: usize,
    /// Requests that may wait for one of those places; more are answered SlowDown. Default 1024.
    pub queue_max: usize,
    /// How long a request waits for a place before SlowDown. Default 1 s.
    pub queue_wait: Duration,
    /// Requests of one account at once. Default 512.
    pub account_requests_max: usize,
    /// How long a client may take to send the head of a request. Default 10 s.
    pub head_timeout: Duration,
    /// How long a connection may rest between requests. Default 60 s.
    pub keep_alive_idle: Duration,
    /// How long a client may stop sending a body. Default 30 s.
    pub body_idle: Duration,
    /// How long a client may stop taking an answer. Default 60 s.
    pub write_idle: Duration,
    /// How long another region may neither take nor send anything of a request that is passed on
    /// to it. Default 30 s.
    pub pass_idle: Duration,
    /// How long requests under way may go on when the server stops. Default 10 s.
    pub drain: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            domains: vec!["localhost".to_owned()],
            region_aliases: vec!["us-east-1".to_owned(), "auto".to_owned()],
            connections_max: 4096,
            requests_max: 1024,
            queue_max: 1024,
            queue_wait: Duration::from_secs(1),
            account_requests_max: 512,
            head_timeout: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(60),
            body_idle: Duration::from_secs(30),
            write_idle: Duration::from_secs(60),
            pass_idle: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// What a connection reads at once, at most. A piece of a body keeps the whole buffer that it was
/// read into: with hyper's own 400 KiB 64 uploads at once took more memory, and were no faster
/// (docs/benchmarks-limits.md).
pub(crate) const CONNECTION_BUFFER_BYTES: usize = 128 << 10;
/// Longest request head: sum of the bytes of names and values.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Documents above [`types::limits::XML_BYTES_MAX`] that are in memory at once; more wait.
pub(crate) const LARGE_DOCUMENTS_MAX: usize = 8;
/// How long a client may take over what such a document has beyond that size, so that those who
/// wait are served.
pub(crate) const LARGE_DOCUMENT_TIME: Duration = Duration::from_secs(30);
/// Most bytes of a refused request's body that are read, so that the client sees the answer.
pub const DRAIN_BYTES_MAX: u64 = 256 << 10;
