//! The closed loops: one task for each connection, sharing a counter and a deadline.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use access::sign::{Signer, Unsigned, encode, encode_path};
use types::{Clock as _, SystemClock};

use crate::{
    BenchArgs, BenchError, Histogram, Op, Report, Target,
    client::{Answer, Connection, Want},
};

/// The first bytes of an object hold its number; see [`Plan::first`].
const FIRST: usize = 8;
/// Bodies up to this leave in one write with their head.
const TOGETHER: usize = 64 * 1024;
/// Whoever does not answer for so long counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What some connections saw.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) latencies: Histogram,
    pub(crate) bytes: u64,
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Tally {
    fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.bytes += other.bytes;
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
    }
}

/// One phase: which operation, over which objects, until when.
struct Plan<'a> {
    args: &'a BenchArgs,
    target: &'a Target,
    op: Op,
    /// Objects that are there.
    objects: u64,
    /// The body of every object, but for its first bytes.
    body: &'a [u8],
    /// The number of the next request of all connections, and of the next new object.
    next: AtomicU64,
    done: AtomicU64,
    requests: u64,
    deadline: Option<Instant>,
    /// When connections send; without it, as soon as they can.
    pace: Option<Pace>,
}

/// A rate over some connections: each sends in its turn.
#[derive(Clone, Copy)]
struct Pace {
    rate: u32,
    connections: u32,
    began: Instant,
}

impl Pace {
    fn turns(self, connection: u64) -> Turns {
        let between = Duration::from_secs(1) / self.rate;
        let first = between * u32::try_from(connection).unwrap_or(u32::MAX);
        Turns {
            due: self.began + first,
            period: Duration::from_secs(1) * self.connections / self.rate,
        }
    }
}

/// When one connection sends. Late turns are made up for.
struct Turns {
    due: Instant,
    period: Duration,
}

impl Turns {
    fn next(&mut self) -> Instant {
        let due = self.due;
        self.due += self.period;
        due
    }
}

impl Plan<'_> {
    /// The number of the next request, until the phase is over.
    fn take(&self) -> Option<u64> {
        if self.deadline.is_some_and(|at| Instant::now() >= at) {
            return None;
        }
        let n = self.next.fetch_add(1, Relaxed);
        (n < self.requests).then_some(n)
    }
    /// What object `n` begins with.
    fn first(&self, n: u64) -> [u8; FIRST] {
        n.to_be_bytes()
    }
}

fn connection(plan: &Plan<'_>) -> Connection {
    let connection = match plan.op {
        Op::Put | Op::Head | Op::Delete => Connection::for_short_answers(plan.target.address),
        Op::Get | Op::List | Op::Mixed => Connection::new(plan.target.address),
    };
    connection.over(plan.target.tls.as_ref())
}

/// One connection's state.
struct Worker<'a> {
    plan: &'a Plan<'a>,
    /// Which connection it is, from 0.
    number: u64,
    connection: Connection,
    signer: Option<Signer>,
    random: u64,
    head: Vec<u8>,
    path: String,
    query: String,
}

impl<'a> Worker<'a> {
    fn new(plan: &'a Plan<'a>, n: u64) -> Self {
        let keys = plan.target.keys.as_ref();
        Self {
            plan,
            number: n,
            connection: connection(plan),
            signer: keys.map(|(key, secret, region)| Signer::new(key, secret, region)),
            random: (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            head: Vec::with_capacity(1024),
            path: String::new(),
            query: String::new(),
        }
    }

    /// Xorshift: the choice of keys needs no more.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn key(&self, n: u64) -> String {
        format!("{}{n:09}", self.plan.args.prefix)
    }

    async fn run(mut self) -> Tally {
        let mut tally = Tally::default();
        let mut turns = self.plan.pace.map(|pace| pace.turns(self.number));
        loop {
            if let Some(turns) = &mut turns {
                let due = turns.next();
                if self.plan.deadline.is_some_and(|at| due >= at) {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
            }
            let Some(n) = self.plan.take() else { break };
            let start = Instant::now();
            let outcome = tokio::time::timeout(PATIENCE, self.one(n)).await;
            let micros = start.elapsed().as_micros() as u64;
            let failure = match outcome {
                Ok(Ok((answer, bytes))) if answer.status < 300 && answer.right => {
                    tally.latencies.add(micros);
                    tally.bytes += bytes;
                    self.plan.done.fetch_add(1, Relaxed);
                    continue;
                }
                Ok(Ok((answer, _))) if answer.status < 300 => "WrongBytes".to_owned(),
                Ok(Ok((answer, _))) => code(answer.status, self.connection.text()),
                Ok(Err(ref error)) => format!("{:?}", error.kind()),
                Err(_) => "NoAnswer".to_owned(),
            };
            if matches!(outcome, Err(_) | Ok(Err(_))) {
                self.connection = connection(self.plan);
                // Nobody gains from a tight loop of refused connections.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            *tally.errors.entry(failure).or_default() += 1;
        }
        tally
    }

    /// One request; the answer, and the object bytes that moved.
    async fn one(&mut self, n: u64) -> std::io::Result<(Answer, u64)> {
        let plan = self.plan;
        let size = plan.body.len() as u64;
        let any = self.random() % plan.objects.max(1);
        match plan.op {
            Op::Put => self.put(n).await.map(|a| (a, size)),
            Op::Mixed if self.random() % 100 < 15 => self.put(any).await.map(|a| (a, size)),
            Op::Get | Op::Mixed => self.get(any).await.map(|a| (a, a.len)),
            Op::Head => self.bare("HEAD", any, Want::None).await.map(|a| (a, 0)),
            Op::Delete => self.bare("DELETE", n, Want::Count).await.map(|a| (a, 0)),
            Op::List => self.list(any).await.map(|a| (a, 0)),
        }
    }

    async fn put(&mut self, n: u64) -> std::io::Result<Answer> {
        let plan = self.plan;
        let key = self.key(n);
        self.begin("PUT", &key, "", plan.body.len() as u64);
        let first = plan.first(n);
        let own = FIRST.min(plan.body.len());
        self.head.extend_from_slice(&first[..own]);
        let mut rest = &plan.body[own..];
        if rest.len() <= TOGETHER {
            self.head.extend_from_slice(rest);
            rest = &[];
        }
        self.connection
            .exchange(&self.head, rest, Want::Count)
            .await
    }

    async fn get(&mut self, n: u64) -> std::io::Result<Answer> {
        let plan = self.plan;
        let first = plan.first(n);
        let want = match plan.args.verify {
            true => Want::Compare(&first[..FIRST.min(plan.body.len())], plan.body),
            false => Want::Count,
        };
        self.bare("GET", n, want).await
    }

    async fn bare(&mut self, method: &str, n: u64, want: Want<'_>) -> std::io::Result<Answer> {
        let key = self.key(n);
        self.begin(method, &key, "", 0);
        self.connection.exchange(&self.head, &[], want).await
    }

    async fn list(&mut self, from: u64) -> std::io::Result<Answer> {
        // From where a whole page follows, if there is one.
        let from = from.min(self.plan.objects.saturating_sub(1001));
        let query = format!(
            "list-type=2&max-keys=1000&prefix={}&start-after={}",
            encode(&self.plan.args.prefix),
            encode(&self.key(from)),
        );
        self.begin("GET", "", &query, 0);
        self.connection.exchange(&self.head, &[], Want::Count).await
    }

    /// Writes the head of a request.
    fn begin(&mut self, method: &str, key: &str, query: &str, length: u64) {
        self.path.clear();
        self.path.push('/');
        self.path.push_str(&self.plan.args.bucket);
        if !key.is_empty() {
            self.path.push('/');
            self.path.push_str(&encode_path(key));
        }
        self.query.clear();
        self.query.push_str(query);
        let host = &self.plan.target.host;
        let head = &mut self.head;
        head.clear();
        let mark = if query.is_empty() { "" } else { "?" };
        let path = &self.path;
        // Writing to a Vec cannot fail.
        let _ = write!(
            head,
            "{method} {path}{mark}{query} HTTP/1.1\r\nhost: {host}\r\n"
        );
        if let Some(signer) = &mut self.signer {
            let payload = "UNSIGNED-PAYLOAD";
            let token = self.plan.args.session_token.as_deref();
            let token = token.map(|token| ("x-amz-security-token", token));
            let request = Unsigned {
                method,
                host,
                path,
                query,
                headers: token.as_slice(),
                payload,
            };
            let signed = signer.sign(&request, SystemClock.now());
            if let Some((name, token)) = token {
                let _ = write!(head, "{name}: {token}\r\n");
            }
            let _ = write!(
                head,
                "x-amz-content-sha256: {payload}\r\nx-amz-date: {}\r\nauthorization: {}\r\n",
                signed.date, signed.authorization,
            );
        }
        if method == "PUT" {
            let _ = write!(head, "content-length: {length}\r\n");
        }
        head.extend_from_slice(b"\r\n");
    }
}

/// The S3 code of a refusal, or its status.
fn code(status: u16, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or_else(|| status.to_string(), |(code, _)| code.to_owned())
}

/// Runs one phase on its own threads.
fn phase(plan: &Plan<'_>, name: &str, connections: u32) -> (Tally, f64) {
    let start = Instant::now();
    let threads = u64::from(plan.args.threads).min(u64::from(connections));
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|t| {
                scope.spawn(move || {
                    drive(plan, (t..u64::from(connections)).step_by(threads as usize))
                })
            })
            .collect();
        let mut told = Instant::now();
        while handles.iter().any(|h| !h.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() > Duration::from_secs(2) {
                told = Instant::now();
                eprintln!("{name}: {} done", plan.done.load(Relaxed));
            }
        }
        for handle in handles {
            match handle.join() {
                Ok(tally) => total.merge(&tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    (total, start.elapsed().as_secs_f64())
}

/// Drives some connections on this thread.
fn drive(plan: &Plan<'_>, numbers: impl Iterator<Item = u64>) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let mut total = Tally::default();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            total.errors.insert(format!("{:?}", error.kind()), 1);
            return total;
        }
    };
    let workers = numbers.map(|n| Worker::new(plan, n).run());
    for tally in runtime.block_on(futures_util::future::join_all(workers)) {
        total.merge(&tally);
    }
    total
}

/// Creates the bucket, unless it is there.
fn create_bucket(plan: &Plan<'_>) -> Result<(), BenchError> {
    let what = || {
        format!(
            "creating bucket {} at {}",
            plan.args.bucket, plan.target.host
        )
    };
    let io = |source| BenchError::Io {
        what: what(),
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io)?;
    let mut worker = Worker::new(plan, 0);
    worker.begin("PUT", "", "", 0);
    let exchange = worker.connection.exchange(&worker.head, &[], Want::Count);
    let answer = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, exchange).await })
        .map_err(|_| io(std::io::ErrorKind::TimedOut.into()))?
        .map_err(io)?;
    // A bucket of ours that exists answers 200 or 409, by server and region.
    let code = code(answer.status, worker.connection.text());
    if answer.status < 300 || code == "BucketAlreadyOwnedByYou" || code == "BucketAlreadyExists" {
        return Ok(());
    }
    Err(BenchError::Refused {
        what: what(),
        status: answer.status,
        code,
    })
}

/// Prepares, measures, and tidies up.
pub(crate) fn run(args: &BenchArgs, target: &Target) -> Result<Report, BenchError> {
    let body: Vec<u8> = (0..args.size)
        .map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8)
        .collect();
    let objects = if args.objects > 0 {
        args.objects
    } else {
        args.existing
    };
    let plan = |op, requests, deadline| Plan {
        args,
        target,
        op,
        objects,
        body: &body,
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        requests,
        deadline,
        pace: None,
    };
    if !args.anonymous {
        create_bucket(&plan(Op::Put, 0, None))?;
    }
    if args.op != Op::Put && args.objects > 0 {
        let (tally, _) = phase(
            &plan(Op::Put, args.objects, None),
            "preload",
            args.connections.max(32),
        );
        if let Some((code, count)) = tally.errors.first_key_value() {
            let what = format!("storing the objects beforehand ({count} failed)");
            return Err(BenchError::Refused {
                what,
                status: 0,
                code: code.clone(),
            });
        }
    }
    // Each object can be deleted only once.
    let most = if args.op == Op::Delete {
        objects
    } else {
        u64::MAX
    };
    let requests = args.requests.unwrap_or(u64::MAX).min(most);
    let deadline = args.requests.is_none().then(|| Instant::now() + args.time);
    let mut measured = plan(args.op, requests, deadline);
    measured.pace = args.rate.map(|rate| Pace {
        rate,
        connections: args.connections,
        began: Instant::now(),
    });
    let (tally, seconds) = phase(&measured, "measure", args.connections);
    let report = Report::new(args, seconds, &tally);
    let stored = match args.op {
        Op::Put => measured.next.load(Relaxed).min(requests),
        _ => args.objects,
    };
    if !args.keep && !args.anonymous && args.op != Op::Delete {
        phase(
            &plan(Op::Delete, stored, None),
            "tidy up",
            args.connections.max(32),
        );
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_at_the_rate() {
        let began = Instant::now();
        for (rate, connections) in [(1, 32), (20_000, 32), (7, 3)] {
            let pace = Pace {
                rate,
                connections,
                began,
            };
            let mut due: Vec<Instant> = (0..u64::from(connections))
                .flat_map(|n| {
                    let mut turns = pace.turns(n);
                    [turns.next(), turns.next()]
                })
                .collect();
            due.sort();
            let exact = Duration::from_secs(1) / rate;
            for pair in due.windows(2) {
                let off = (pair[1] - pair[0]).abs_diff(exact);
                assert!(
                    off < Duration::from_micros(1),
                    "{rate} {connections}: {off:?}"
                );
            }
            assert_eq!(due[0], began);
        }
    }
}
