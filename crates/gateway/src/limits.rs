//! The gateway's own limits, each with its default.

use std::time::Duration;

use access::NewBuckets;

/// Limits and names of the gateway.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Host names under which `bucket.name` addresses a bucket. Default: `localhost`.
    pub domains: Vec<String>,
    /// Region names accepted in signatures beside the own one. Default: `us-east-1`, `auto`.
    pub region_aliases: Vec<String>,
    /// What new buckets begin with whose account says nothing of that. Default: lists are off, and
    /// all public access is refused.
    pub new_buckets: NewBuckets,
    /// Connections open at once; more wait in the kernel's queue. Default 8192.
    pub connections_max: usize,
    /// Requests being worked on at once, at least; more where that does not make each slower, up
    /// to `requests_max`. The others wait for their account's turn. Default 0: 16 for each core,
    /// and 32 at least.
    pub work: usize,
    /// Requests at once whose body or answer is larger than a connection's buffer; as many again
    /// that other regions forward. One account leaves a fifth of them to others. Default 1024.
    pub requests_max: usize,
    /// Of those, requests of one account. Default 1024.
    pub account_requests_max: usize,
    /// How long a request waits for its turn before SlowDown. Default 5 s.
    pub queue_wait: Duration,
    /// Bytes a second below which a client's body, or its taking of an answer, is ended once its
    /// account has the most of what others wait for; 0 for none. Default 4096.
    pub body_rate: u64,
    /// Over how long that is measured. Default 10 s.
    pub rate_window: Duration,
    /// How long a client may take to send the head of a request. Default 10 s.
    pub head_timeout: Duration,
    /// How long a connection may rest between requests. Default 60 s.
    pub keep_alive_idle: Duration,
    /// How long a client may stop sending a body. Default 30 s.
    pub body_idle: Duration,
    /// How long a client may stop taking an answer. Default 60 s.
    pub write_idle: Duration,
    /// How long another region may neither take nor send anything of a request that is forwarded to
    /// it. Default 30 s.
    pub forward_idle: Duration,
    /// How long requests under way may go on when the server stops. Default 10 s.
    pub drain: Duration,
    /// The origin of the region's own console, whose pages may send requests here, and to which
    /// browsers are led. Default: none.
    pub console: Option<String>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            domains: vec!["localhost".to_owned()],
            region_aliases: vec!["us-east-1".to_owned(), "auto".to_owned()],
            new_buckets: NewBuckets::default(),
            connections_max: 8192,
            work: 0,
            requests_max: 1024,
            account_requests_max: 1024,
            queue_wait: Duration::from_secs(5),
            body_rate: 4096,
            rate_window: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(60),
            body_idle: Duration::from_secs(30),
            write_idle: Duration::from_secs(60),
            forward_idle: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            console: None,
        }
    }
}

/// What a connection reads at once, at most. A piece of a body keeps the whole buffer that it was
/// read into: with hyper's own 400 KiB 64 uploads at once took more memory, and were no faster
/// (docs/benchmarks-limits.md).
pub(crate) const CONNECTION_BUFFER_BYTES: usize = 128 << 10;
/// Bodies and answers up to this are no more than what a connection keeps anyway.
pub(crate) const SMALL_BYTES_MAX: u64 = CONNECTION_BUFFER_BYTES as u64;
/// How long a request may wait for its client without giving its place at work to others.
pub(crate) const CLIENT_GRACE: Duration = Duration::from_millis(10);
/// Longest request head: sum of the bytes of names and values.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most lines of a request's head. User metadata has a limit of 2 KiB and no number of its own, and
/// S3 takes heads of 8 KiB: so many lines of `x-amz-meta-ab:1` fit in.
pub(crate) const HEADERS_MAX: usize = 600;
/// Documents above [`types::limits::XML_BYTES_MAX`] that are in memory at once; more wait.
pub(crate) const LARGE_DOCUMENTS_MAX: usize = 8;
/// Steps of comparing policies that a handler's decisions may take together: enough for 1,000 keys
/// and ordinary policies, some tens of milliseconds.
pub(crate) const STEPS_MAX: u32 = 4_000_000;
/// How long a client may take over a document that is read before anything is done: what was
/// decided by its head must not be much older than what is done.
pub(crate) const DOCUMENT_TIME: Duration = Duration::from_secs(60);
/// How long a client may take over what such a document has beyond that size, so that those who
/// wait are served.
pub(crate) const LARGE_DOCUMENT_TIME: Duration = Duration::from_secs(30);
/// Most bytes of a refused request's body that are read, so that the client sees the answer.
pub const DRAIN_BYTES_MAX: u64 = 256 << 10;
