//! `dhow region drain`: no new buckets and replicas, then its buckets move to other regions. The
//! region that keeps the registry moves them; the command begins that, and watches.

use std::{
    collections::BTreeSet,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use admin::{
    bodies::{DrainRegion, PlanDrain},
    client::AdminClient,
    failure::Failure,
};
use clap::Args;
use serde_json::{Value, json};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::{
    drain_shown::{self, Steps},
    region_shown,
    shown::{print_json, text},
    which::Which,
};

/// How often it looks how far the drain is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the registry's region may not answer: it may be starting again.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// What is to become of a region's buckets.
#[derive(Args)]
pub struct Drain {
    /// The region.
    id: String,
    /// Also move away what the region has: each bucket's home goes to the replica that its owner
    /// chose, and the region's own replica is removed once another region has all of it. The
    /// region that keeps the registry does it, also after a restart; this command watches it until
    /// nothing more can move now. Ctrl-C ends the watching, not the drain. A bucket for which no
    /// other replica is allowed stays, and so does one whose home has multipart uploads in
    /// progress, which do not move. Then the command fails, and the drain tries them again, after
    /// 10 seconds at first and 10 minutes at most, or at once when the command is given again.
    #[arg(long = "move", conflicts_with_all = ["status", "abort"])]
    moves: bool,
    /// With --move: the region that gets a replica in place of the one that goes. Without it a
    /// bucket that has no other readable replica stays, and others are left with a replica less.
    #[arg(long, value_name = "REGION", requires = "moves")]
    to: Option<String>,
    /// With --move: also while multipart uploads are in progress: they are lost.
    #[arg(long, requires = "moves")]
    abort_uploads: bool,
    /// Say what would move, how much, and what would stay and why; change nothing.
    #[arg(long, conflicts_with_all = ["status", "abort"])]
    dry_run: bool,
    /// Say how far the drain is.
    #[arg(long, conflicts_with = "abort")]
    status: bool,
    /// End the drain between two steps. Buckets that have moved stay where they are; the region
    /// takes no new ones until it is reopened.
    #[arg(long)]
    abort: bool,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Drain {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let client = self.which.client()?;
        match (self.status || self.abort, self.dry_run, self.moves) {
            (true, ..) => self.look(&client),
            (false, true, _) => self.plan(&client),
            (false, false, true) => self.begin(&client),
            (false, false, false) => self.stop_new(&client),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("regions/{}{rest}", self.id)
    }

    /// Says how far it is, or ends it.
    fn look(&self, client: &AdminClient) -> Result<ExitCode, Failure> {
        let method = if self.abort { "DELETE" } else { "GET" };
        let drain = client.call(method, &self.path("/drain"), None)?;
        match self.json {
            true => print_json(&drain),
            false => drain_shown::print(&drain),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Only stops new buckets and replicas.
    fn stop_new(&self, client: &AdminClient) -> Result<ExitCode, Failure> {
        let mut shown = client.call("GET", &self.path(""), None)?;
        // One that drains already goes on.
        if text(&shown, "status") != "draining" {
            let path = self.path("/drain");
            shown = client.post(&path, &DrainRegion::default())?;
        }
        match self.json {
            true => print_json(&shown),
            false => {
                region_shown::print_one(&shown);
                let held = shown.get("buckets").and_then(Value::as_u64);
                drain_shown::print_next(&self.id, held.unwrap_or_default());
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says what would become of each bucket.
    fn plan(&self, client: &AdminClient) -> Result<ExitCode, Failure> {
        let shown = client.call("GET", &self.path(""), None)?;
        let (mut all, mut after) = (Vec::new(), Some(String::new()));
        while let Some(from) = after {
            let body = PlanDrain {
                to: self.to.clone(),
                abort_uploads: self.abort_uploads,
                after: from,
            };
            let page = client.post(&self.path("/drain-plan"), &body)?;
            let total = page.get("total").and_then(Value::as_u64);
            let moves = page.get("moves").and_then(Value::as_array);
            for one in moves.into_iter().flatten() {
                all.push(one.clone());
                if !self.json {
                    let (n, total) = (all.len(), total.unwrap_or_default());
                    println!("{n}/{total}  {}", drain_shown::words(one, &self.id));
                }
            }
            let next = page.get("next").and_then(Value::as_str);
            after = next.map(str::to_owned);
        }
        let stays = all.iter().filter(|one| one.get("error").is_some()).count();
        match self.json {
            true => print_json(&with_moves(shown, true, all)),
            false => println!("Nothing has changed."),
        }
        Ok(code(stays))
    }

    /// Begins the move, and watches it.
    fn begin(&self, client: &AdminClient) -> Result<ExitCode, Failure> {
        let body = DrainRegion {
            moves: true,
            to: self.to.clone(),
            abort_uploads: self.abort_uploads,
        };
        client.post(&self.path("/drain"), &body)?;
        let id = &self.id;
        let how = format!("`dhow region drain {id} --status` says how far it is, --abort ends it.");
        says_at_end(format!("\nThe drain of {id} goes on. {how}"));
        if !self.json {
            eprintln!("The drain of {id} has begun. Ctrl-C ends the watching only; {how}");
        }
        let drain = self.watch()?;
        let list = |name: &str| drain.get(name).and_then(Value::as_array).cloned();
        let (mut moves, stays) = (list("moves").unwrap_or_default(), list("stays"));
        moves.extend(stays.unwrap_or_default());
        let left = drain
            .get("left")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        // Or the region was reopened.
        let aborted = matches!(&*text(&drain, "state"), "aborted" | "none");
        match self.json {
            true => {
                let shown = self.client()?.call("GET", &self.path(""), None)?;
                print_json(&with_moves(shown, false, moves));
            }
            false if aborted => drain_shown::print(&drain),
            false => drain_shown::print_end(&drain, left),
        }
        Ok(code(left as usize))
    }

    /// The cloud, whose process may have started again.
    fn client(&self) -> Result<AdminClient, Failure> {
        self.which.client()
    }

    /// Shows what moves, until nothing more can now.
    fn watch(&self) -> Result<Value, Failure> {
        let (mut shown, mut steps) = (BTreeSet::new(), Steps::default());
        let mut silent: Option<Instant> = None;
        loop {
            let asked = self.client();
            let asked = asked.and_then(|client| client.call("GET", &self.path("/drain"), None));
            match asked {
                Ok(drain) => {
                    silent = None;
                    if !self.json {
                        self.print_moved(&drain, &mut shown);
                        steps.show(&drain);
                    }
                    if text(&drain, "state") != "moving" {
                        steps.end();
                        return Ok(drain);
                    }
                }
                Err(error) if silent.get_or_insert_with(Instant::now).elapsed() > SILENCE_MAX => {
                    steps.end();
                    let id = &self.id;
                    return Err(error.hint(format!(
                        "the drain goes on when the registry's region runs; `dhow region drain {id} \
                         --status` says how far it is"
                    )));
                }
                Err(_) => {}
            }
            sleep(LOOK_EVERY);
        }
    }

    fn print_moved(&self, drain: &Value, shown: &mut BTreeSet<String>) {
        let number = |name: &str| drain.get(name).and_then(Value::as_u64);
        let of = |name: &str| number(name).unwrap_or_default();
        let total = of("moved") + of("left");
        let moves = drain.get("moves").and_then(Value::as_array);
        for one in moves.into_iter().flatten() {
            if shown.insert(text(one, "bucket")) {
                let words = drain_shown::words(one, &self.id);
                println!("{}/{total}  {words}", shown.len());
            }
        }
    }
}

fn with_moves(mut region: Value, dry_run: bool, moves: Vec<Value>) -> Value {
    if let Value::Object(fields) = &mut region {
        fields.insert("dry_run".into(), json!(dry_run));
        fields.insert("moves".into(), json!(moves));
    }
    region
}

/// Fails while buckets stay.
fn code(stay: usize) -> ExitCode {
    match stay {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Says this when the command is ended with Ctrl-C.
fn says_at_end(words: String) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let waiting = runtime.and_then(|runtime| {
        let entered = runtime.enter();
        let interrupt = signal(SignalKind::interrupt())?;
        drop(entered);
        Ok((runtime, interrupt))
    });
    // Without it, Ctrl-C ends the command without a word.
    let Ok((runtime, mut interrupt)) = waiting else {
        return;
    };
    std::thread::spawn(move || {
        if runtime.block_on(interrupt.recv()).is_some() {
            eprintln!("{words}");
            std::process::exit(INTERRUPTED);
        }
    });
}

/// The status of a command that a signal ended, as shells give it.
const INTERRUPTED: i32 = 130;
