//! `dhow bucket`.

use std::process::ExitCode;

use admin::{bodies, client::AdminClient, failure::Failure};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::{
    moving::Move,
    placing::Enough,
    promoting,
    shown::{print_json, text},
    table, uploads,
    which::Which,
};

/// Show and change where buckets are stored: their homes, replicas and jurisdictions.
///
/// Objects are for S3 clients, and so is the end of a bucket: aws s3 rb s3://NAME
#[derive(Subcommand)]
pub enum Bucket {
    /// Create a bucket with its placement.
    Create(Create),
    /// Change the placement of a bucket.
    Place(Place),
    /// Give a bucket another home that keeps a replica of it, when its home is lost.
    Promote {
        /// Its name.
        name: String,
        /// The new home; unless given the first of the successors that its owner chose that answers
        /// and is open, or else the most complete of its other replicas.
        #[arg(long, value_name = "REGION")]
        to: Option<String>,
        /// How it is done.
        #[command(flatten)]
        how: promoting::How,
    },
    /// Move a bucket's home to another region while both work, without losing a write.
    Move(Move),
    /// List the buckets and where they are.
    List {
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Show a bucket, its placement, and how its replicas are doing.
    Show {
        /// Its name.
        name: String,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
}

/// Which regions accept writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Writes {
    /// The home; replicas forward writes to it.
    Home,
    /// Every region with a readable replica; all regions end with the same versions.
    Any,
}

impl Writes {
    fn word(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Any => "any",
        }
    }
}

/// What a home takes that no other region renews.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Unrenewed {
    /// Writes without conditions.
    Plain,
    /// No writes.
    None,
    /// All writes: after a promotion two regions may decide on conditions for a while.
    All,
}

impl Unrenewed {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::None => "none",
            Self::All => "all",
        }
    }
}

/// A bucket to be created.
#[derive(Args)]
pub struct Create {
    /// Its name, unique in the cloud.
    name: String,
    /// The account that is to own it; the root account when absent.
    #[arg(long, value_name = "ACCOUNT")]
    owner: Option<String>,
    /// The region where its writes are ordered; the registry's region when absent.
    #[arg(long, value_name = "REGION")]
    home: Option<String>,
    /// A region that keeps a replica. May be given again.
    #[arg(long, value_name = "REGION")]
    replica: Vec<String>,
    /// A country or group (EU, EEA) where its bytes may be stored and sent. May be given again. All
    /// are allowed when none is named.
    #[arg(long, value_name = "COUNTRY", value_delimiter = ',')]
    jurisdiction: Vec<String>,
    /// Which regions accept writes.
    #[arg(long, value_enum, default_value_t = Writes::Home)]
    writes: Writes,
    /// A region that keeps a sealed replica, which its operator cannot read.
    #[arg(long, value_name = "REGION")]
    sealed: Vec<String>,
    /// Let regions that hold nothing of it forward requests; they see what they forward. Those of
    /// another operator also need --trust-reads and --trust-writes.
    #[arg(long)]
    proxy: bool,
    /// A replica that is to become the home when the home is lost; given again, the next one.
    /// Without it the most complete replica.
    #[arg(long, value_name = "REGION")]
    successor: Vec<String>,
    /// A bucket of the same account whose replication rules may send versions here although another
    /// operator runs its home; may be given again.
    #[arg(long, value_name = "BUCKET")]
    accept_from: Vec<String>,
    /// A region that is trusted for reads while no region can be asked that can verify the
    /// customer's signature; @operator for all regions of the operator of the region that acts. May
    /// be given again.
    #[arg(long, value_name = "REGION")]
    trust_reads: Vec<String>,
    /// The same for writes, also for bodies that no signature covers.
    #[arg(long, value_name = "REGION")]
    trust_writes: Vec<String>,
    /// Which writes the home accepts while it cannot confirm that it is still the home.
    #[arg(long, value_enum, default_value_t = Unrenewed::Plain)]
    unrenewed: Unrenewed,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// A placement to be changed.
#[derive(Args)]
pub struct Place {
    /// The bucket.
    name: String,
    /// A region that is to keep a replica. May be given again.
    #[arg(long, value_name = "REGION")]
    add_replica: Vec<String>,
    /// A region that is to keep a sealed replica, which its operator cannot read. May be given
    /// again.
    #[arg(long, value_name = "REGION")]
    add_sealed: Vec<String>,
    /// A region that is to keep no replica any more: what it has is removed. May be given again.
    #[arg(long, value_name = "REGION")]
    remove_replica: Vec<String>,
    /// The new home; it must keep a replica already.
    #[arg(long, value_name = "REGION")]
    home: Option<String>,
    /// The countries or groups that are to be allowed, in place of those before; may be given
    /// again. `none` allows all.
    #[arg(long, value_name = "COUNTRY", value_delimiter = ',')]
    jurisdiction: Vec<String>,
    /// Whether regions that hold nothing of it may forward requests.
    #[arg(long, value_name = "BOOL")]
    proxy: Option<bool>,
    /// Which regions are to accept writes.
    #[arg(long, value_enum)]
    writes: Option<Writes>,
    /// A replica that is to become the home when the home is lost, in place of those before; given
    /// again, the next one. `none` takes the choice back.
    #[arg(long, value_name = "REGION")]
    successor: Vec<String>,
    /// A bucket of the same account whose replication rules may send versions here although another
    /// operator runs its home, in place of those before; may be given again. `none` ends it.
    #[arg(long, value_name = "BUCKET")]
    accept_from: Vec<String>,
    /// A region that is trusted for reads while no region can be asked that can verify the
    /// customer's signature, in place of those before; @operator for all regions of the operator of
    /// the region that acts. May be given again. `none` ends it.
    #[arg(long, value_name = "REGION")]
    trust_reads: Vec<String>,
    /// The same for writes, also for bodies that no signature covers.
    #[arg(long, value_name = "REGION")]
    trust_writes: Vec<String>,
    /// Which writes the home is to accept while it cannot confirm that it is still the home.
    #[arg(long, value_enum)]
    unrenewed: Option<Unrenewed>,
    /// With --home: also away from a home that still answers. With --remove-replica: also when the
    /// replica has not handed over yet what it alone may have.
    #[arg(long)]
    force: bool,
    /// With --home: also while multipart uploads are in progress at the old home, which are lost.
    #[arg(long, requires = "home")]
    abort_uploads: bool,
    /// Wait until every replica has all that the home has, and show how far they are. Ending the
    /// wait ends nothing else; to take a new replica back, remove it again.
    #[arg(long)]
    wait: bool,
    /// Say what would be; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

fn list(value: &Value, field: &str, of: impl Fn(&Value) -> String) -> String {
    let all = value.get(field).and_then(Value::as_array);
    let all: Vec<String> = all.into_iter().flatten().map(of).collect();
    match all.is_empty() {
        true => "-".to_owned(),
        false => all.join(", "),
    }
}

fn replicas(bucket: &Value) -> String {
    list(bucket, "replicas", |r| {
        match r.get("sealed_by").and_then(Value::as_str) {
            Some(holder) => format!("{} (sealed by {holder})", text(r, "region")),
            None => text(r, "region"),
        }
    })
}

fn jurisdictions(bucket: &Value) -> String {
    match list(bucket, "jurisdictions", |j| {
        j.as_str().unwrap_or_default().to_owned()
    }) {
        all if all == "-" => "all".to_owned(),
        some => some,
    }
}

fn words(bucket: &Value, field: &str) -> String {
    list(bucket, field, |s| s.as_str().unwrap_or_default().to_owned())
}

fn show(bucket: &Value) {
    for (name, value) in [
        ("Bucket", text(bucket, "name")),
        ("Owner", text(bucket, "owner")),
        ("Home", text(bucket, "home")),
        ("Replicas", replicas(bucket)),
        ("Jurisdictions", jurisdictions(bucket)),
        ("Successors", words(bucket, "successors")),
        ("Accepts rules from", words(bucket, "accepts")),
        ("Trusts for reads", words(bucket, "trust_reads")),
        ("Trusts for writes", words(bucket, "trust_writes")),
        ("Writes", text(bucket, "writes")),
        (
            "Proxy",
            bucket
                .get("proxy")
                .map(Value::to_string)
                .unwrap_or_default(),
        ),
        (
            "Epoch",
            bucket
                .get("epoch")
                .map(Value::to_string)
                .unwrap_or_default(),
        ),
        ("Created", text(bucket, "created")),
        ("Unrenewed", text(bucket, "unrenewed")),
    ] {
        println!("{name:<18} {value}");
    }
    // Only the answer of the home says it.
    if let Some(shown) = bucket.get("renewal") {
        println!("{:<18} {}", "Renewed", renewal(shown));
    }
    let uploads = uploads::shown(bucket);
    if !uploads.is_empty() {
        println!("{:<18} {uploads}", "Multipart uploads");
    }
    match bucket.get("replica_status").and_then(Value::as_array) {
        Some(replicas) => show_replicas(replicas),
        None => show_unknown_replicas(bucket),
    }
    let rules = bucket.get("rules").and_then(Value::as_array);
    show_rules(rules.map_or(&[][..], Vec::as_slice));
}

fn renewal(shown: &Value) -> String {
    let by = words(shown, "by");
    let number = |field: &str| shown.get(field).and_then(Value::as_u64);
    let renewed = shown.get("renewed") == Some(&Value::Bool(true));
    match (renewed, number("since_s"), number("left_ms")) {
        (true, Some(since), Some(left)) => {
            let left = left as f64 / 1000.0;
            format!("by {by}, for {since} s; lasts {left:.1} s more without them")
        }
        (true, Some(since), None) => format!("by {by}, for {since} s"),
        (true, None, _) => "yes: no other region could decide".to_owned(),
        (false, ..) => format!("no: {}", text(shown, "why")),
    }
}

fn show_rules(rules: &[Value]) {
    if rules.is_empty() {
        return;
    }
    println!();
    let row = |rule: &Value| {
        let number = |field: &str| rule.get(field).and_then(Value::as_u64);
        let state = match (text(rule, "refused"), number("pending")) {
            (why, _) if !why.is_empty() && why != "-" => why,
            _ if rule.get("scanning") == Some(&Value::Bool(true)) => {
                "looks at what was there before".to_owned()
            }
            (_, Some(0)) => "up to date".to_owned(),
            (_, Some(pending)) => format!("{pending} changes behind"),
            (_, None) => "-".to_owned(),
        };
        let count = |field: &str| number(field).unwrap_or_default().to_string();
        [
            text(rule, "destination"),
            state,
            count("shipped"),
            count("failed"),
        ]
    };
    let rows: Vec<_> = rules.iter().map(row).collect();
    table::print(["RULES TO", "STATE", "SENT", "FAILED"], &rows);
}

/// The replicas that there are, where the home does not say how they are doing.
fn show_unknown_replicas(bucket: &Value) {
    let why = text(bucket, "error");
    if why.is_empty() {
        return;
    }
    println!("\nHow the replicas are doing is not known, since the home does not say: {why}\n");
    let replicas = bucket.get("replicas").and_then(Value::as_array);
    let row = |replica: &Value| [text(replica, "region"), "not known".to_owned()];
    let rows: Vec<_> = replicas.into_iter().flatten().map(row).collect();
    table::print(["REPLICA", "STATE"], &rows);
    println!("\n`dhow region list` shows which regions answer.");
}

fn show_replicas(replicas: &[Value]) {
    if replicas.is_empty() {
        return;
    }
    println!();
    let row = |replica: &Value| {
        let number = |field: &str| replica.get(field).and_then(Value::as_u64);
        let state = match (number("applied"), number("behind")) {
            (None, _) => match number("seeded") {
                Some(seeded) => format!("seeding, {seeded} versions so far"),
                None => "not begun".to_owned(),
            },
            (Some(_), Some(0)) => "up to date".to_owned(),
            (Some(_), Some(behind)) => format!("{behind} changes behind"),
            (Some(at), None) => format!("at {at}"),
        };
        let connected = replica.get("connected").and_then(Value::as_bool) == Some(true);
        let connected = if connected { "yes" } else { "no" };
        let lagging = list(replica, "lagging", |k| {
            k.as_str().unwrap_or_default().to_owned()
        });
        [
            text(replica, "region"),
            state,
            connected.to_owned(),
            lagging,
        ]
    };
    let rows: Vec<_> = replicas.iter().map(row).collect();
    table::print(["REPLICA", "STATE", "CONNECTED", "KEYS THAT LAG"], &rows);
}

fn shown(value: &Value, json: bool) -> ExitCode {
    match json {
        true => print_json(value),
        false => show(value),
    }
    ExitCode::SUCCESS
}

impl Create {
    fn run(self) -> Result<ExitCode, Failure> {
        let body = bodies::NewBucket {
            name: self.name,
            owner: self.owner,
            home: self.home,
            replicas: self.replica,
            jurisdictions: self.jurisdiction,
            writes: Some(self.writes.word().to_owned()),
            sealed: self.sealed,
            proxy: self.proxy,
            successors: self.successor,
            accepts: self.accept_from,
            trust_reads: self.trust_reads,
            trust_writes: self.trust_writes,
            unrenewed: Some(self.unrenewed.word().to_owned()),
        };
        let made = self.which.client()?.post("buckets", &body)?;
        Ok(shown(&made, self.json))
    }
}

impl Place {
    fn run(self) -> Result<ExitCode, Failure> {
        let client = self.which.client()?;
        let mut from = String::new();
        if let Some(home) = &self.home {
            let bucket = client.call("GET", &format!("buckets/{}", self.name), None)?;
            from = text(&bucket, "home");
            if from != *home {
                uploads::check(&bucket, self.abort_uploads)?;
            }
        }
        // Nothing given leaves the list as it is, and `none` empties it.
        let list = |given: &[String]| match given {
            [] => None,
            [one] if one == "none" => Some(Vec::new()),
            given => Some(given.to_vec()),
        };
        let body = bodies::Place {
            add: self.add_replica.clone(),
            seal: self.add_sealed.clone(),
            remove: self.remove_replica.clone(),
            jurisdictions: list(&self.jurisdiction),
            proxy: self.proxy,
            writes: self.writes.map(|writes| writes.word().to_owned()),
            successors: list(&self.successor),
            accepts: list(&self.accept_from),
            trust_reads: list(&self.trust_reads),
            trust_writes: list(&self.trust_writes),
            unrenewed: self.unrenewed.map(|word| word.word().to_owned()),
            force: self.force,
            dry_run: self.dry_run,
        };
        let same = bodies::Place {
            force: self.force,
            dry_run: self.dry_run,
            ..bodies::Place::default()
        };
        if body == same && self.home.is_none() && !self.wait {
            return Err(Failure::new("nothing to change is named")
                .hint("`dhow bucket place --help` shows what can be changed"));
        }
        let mut placed = client.post(&format!("buckets/{}/place", self.name), &body)?;
        if let Some(home) = &self.home {
            let moved = self.promote(&client, &from, home)?;
            match (self.dry_run, placed.get_mut("bucket")) {
                (true, Some(would)) => {
                    for field in ["home", "epoch", "uploads"] {
                        would[field] = moved.get(field).cloned().unwrap_or_default();
                    }
                }
                _ => placed = moved,
            }
        }
        if self.wait && !self.dry_run {
            placed = crate::placing::wait(&client, &self.name, None, Enough::All)?;
        }
        if !self.dry_run || self.json {
            return Ok(shown(&placed, self.json));
        }
        println!("Nothing has changed. It would be:\n");
        show(&placed.get("bucket").cloned().unwrap_or_default());
        let moves = placed.get("moves").cloned().unwrap_or_default();
        let number = |field: &str| moves.get(field).and_then(Value::as_u64);
        if let (Some(versions), Some(bytes)) = (number("versions"), number("bytes")) {
            println!("\nTo each new replica: {versions} versions, {bytes} bytes.");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn promote(&self, client: &AdminClient, from: &str, to: &str) -> Result<Value, Failure> {
        let flags = [self.force, self.abort_uploads, self.dry_run];
        let body = promoting::body(Some(to.to_owned()), flags);
        let path = format!("buckets/{}/promote", self.name);
        let moved = match self.dry_run {
            true => client.post(&path, &body)?,
            false => promoting::promote(client, &self.name, &body)?,
        };
        uploads::say_lost(&moved, from, self.dry_run, self.json);
        Ok(moved)
    }
}

fn promote(name: &str, to: Option<String>, how: &promoting::How) -> Result<ExitCode, Failure> {
    let mut body = how.body(to);
    let client = how.which.client()?;
    let before = client.call("GET", &format!("buckets/{name}"), None)?;
    if how.asks() {
        let home = promoting::shown(&client, name, &body)?;
        if !promoting::agreed("Do it?") {
            return Ok(ExitCode::FAILURE);
        }
        body.to = Some(home);
    }
    let moved = match how.dry_run {
        true => client.post(&format!("buckets/{name}/promote"), &body)?,
        false => promoting::promote(&client, name, &body)?,
    };
    uploads::say_lost(&moved, &text(&before, "home"), how.dry_run, how.json);
    if how.dry_run && !how.json {
        println!("Nothing has changed. It {}:\n", promoting::choice(&moved));
    }
    Ok(shown(&moved, how.json))
}

impl Bucket {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::Place(place) => place.run(),
            Self::Move(one) => one.run(),
            Self::Promote { name, to, how } => promote(&name, to, &how),
            Self::List { json, which } => {
                let all = which.client()?.call("GET", "buckets", None)?;
                if json {
                    print_json(&all);
                    return Ok(ExitCode::SUCCESS);
                }
                let all = all.as_array().cloned().unwrap_or_default();
                let row = |b: &Value| {
                    [
                        text(b, "name"),
                        text(b, "owner"),
                        text(b, "home"),
                        replicas(b),
                        jurisdictions(b),
                    ]
                };
                let rows: Vec<_> = all.iter().map(row).collect();
                table::print(
                    ["BUCKET", "OWNER", "HOME", "REPLICAS", "JURISDICTIONS"],
                    &rows,
                );
                Ok(ExitCode::SUCCESS)
            }
            Self::Show { name, json, which } => {
                let path = format!("buckets/{name}");
                let found = which.client()?.call("GET", &path, None)?;
                Ok(shown(&found, json))
            }
        }
    }
}
