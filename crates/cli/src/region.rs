//! `dhow region`.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use admin::{
    bodies::{Allow, NewRegion, Promote, RegionPlan, Rekey},
    client::AdminClient,
    failure::Failure,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    certificates::Revoke,
    draining::Drain,
    promoting, region_shown,
    shown::{print_json, text},
    topology::WORLD,
    uploads,
    which::Which,
};

/// How often a command that waits looks again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Plan, open, drain and close regions, and move buckets away from one that is lost.
#[derive(Subcommand)]
pub enum Region {
    /// Say what opening a region would do; changes nothing.
    Plan(Plan),
    /// Plan a region and get the token with which it joins, once.
    ///
    /// Start the new region with the token in DHOW_JOIN and a `--peer HOST:PORT`; it makes its
    /// keys, gets its certificate, follows the registry and passes the checks of admission. With
    /// --wait this command watches it.
    Open {
        /// Which region.
        #[command(flatten)]
        plan: Plan,
        /// How long the token is good for, in hours.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=720))]
        valid_hours: u64,
        /// Say what would happen; change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Watch until the region is open. Ctrl-C stops watching; the plan stays.
        #[arg(long)]
        wait: bool,
    },
    /// List the regions.
    List {
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Show a region.
    Show(One),
    /// Stop new buckets and replicas in a region, and move away what it has.
    Drain(Drain),
    /// Let a drained region take new buckets and replicas again.
    Reopen(One),
    /// Get the token with which a region gets a new key.
    ///
    /// For a region whose key somebody else may have. Its operator starts it once with
    /// the token in DHOW_REKEY (or `cloud.rekey`): it makes a new key, and at that moment every
    /// certificate that the region had is revoked, whoever renewed it.
    Rekey {
        /// Its id.
        id: String,
        /// How long the token is good for, in hours.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=720))]
        valid_hours: u64,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Revoke a certificate of a region: other regions refuse it from then on, also on connections
    /// that are open.
    ///
    /// For a certificate that the region did not ask for. Whoever has the region's key can still
    /// renew another one that the region has: `dhow region rekey` gives the region a new key.
    Revoke(Revoke),
    /// Say at which hosts and networks a region may be reached.
    ///
    /// The list takes the place of the one before. With --where-it-is there is no list: the region
    /// may be reached where it is now. What a region announces that is not in its list is refused,
    /// and what it announced before stays in use as far as the list has it.
    Allow {
        /// Its id.
        id: String,
        /// HOST, HOST:PORT, or a network such as 203.0.113.0/24 or 203.0.113.0/24:7443; more than
        /// once for more than one.
        #[arg(
            long = "address",
            value_name = "ADDRESS",
            required_unless_present = "where_it_is"
        )]
        addresses: Vec<String>,
        /// Take the list away.
        #[arg(long, conflicts_with = "addresses")]
        where_it_is: bool,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Accept that a region runs an older release than before.
    ///
    /// The registry keeps what a region's release knows, and answers no questions of one that
    /// knows less than it said before. After this it takes what the region announces next. Start
    /// the older release first.
    StepBack(One),
    /// Close a region for good: no other region accepts it any more. Refused while it is in the
    /// placement of any bucket. On a terminal you are asked first: a closed region is not opened
    /// again, and no other region can have its id.
    Close {
        /// Which region.
        #[command(flatten)]
        one: One,
        /// Do it without asking. Only a terminal is asked.
        #[arg(long)]
        yes: bool,
    },
    /// Give every bucket whose home is REGION another home that keeps a replica of it.
    ///
    /// For a region that is lost. Refused while the region still answers, unless forced. The
    /// region that comes back finds itself fenced, hands over what it alone had, and every
    /// divergent key is in the audit log. `dhow bucket move` brings a bucket back. On a terminal
    /// the choice is shown first, and you are asked.
    Promote(PromoteAll),
}

/// A region whose buckets get other homes.
#[derive(Args)]
pub struct PromoteAll {
    /// The region that is lost.
    region: String,
    /// The new home. When absent the first of the successors that the bucket's owner chose that
    /// answers, or else the most complete of its other replicas; of equal ones that in the same
    /// country, then that of the same operator.
    #[arg(long, value_name = "REGION")]
    to: Option<String>,
    #[command(flatten)]
    how: promoting::How,
}

impl PromoteAll {
    fn run(self) -> Result<ExitCode, Failure> {
        let (region, how) = (self.region, self.how);
        let client = how.which.client()?;
        must_be_known(&client, &region)?;
        let all = client.call("GET", "buckets", None)?;
        let body = how.body(self.to);
        let buckets: Vec<_> = homed(&all, &region)
            .into_iter()
            .map(|b| (b, None))
            .collect();
        let all = buckets.len();
        let buckets = match how.asks() {
            false => buckets,
            true => match shown_first(&client, buckets, &body) {
                Some(agreed) => agreed,
                None => return Ok(ExitCode::FAILURE),
            },
        };
        // Those that stay are not asked for again.
        let stay = buckets.len() < all;
        let code = promote(&client, &region, buckets, &body, how.json)?;
        Ok(if stay { ExitCode::FAILURE } else { code })
    }
}

/// A region as it is planned.
#[derive(Args)]
pub struct Plan {
    /// Its id, such as me-east-1. Regions of the reference fleet bring their city, coordinates,
    /// country and operator along.
    id: String,
    /// The country: an ISO 3166-1 code such as AE.
    #[arg(long, value_name = "COUNTRY")]
    jurisdiction: Option<String>,
    /// Who runs it.
    #[arg(long, value_name = "OPERATOR")]
    operator: Option<String>,
    /// The city, for people.
    #[arg(long)]
    city: Option<String>,
    /// Degrees north.
    #[arg(long, allow_negative_numbers = true)]
    latitude: Option<f64>,
    /// Degrees east.
    #[arg(long, allow_negative_numbers = true)]
    longitude: Option<f64>,
    /// Where it may be reached: HOST, HOST:PORT, or a network; more than once for more than one.
    /// Where it is when it joins unless given.
    #[arg(long = "address", value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// One region.
#[derive(Args)]
pub struct One {
    /// Its id.
    id: String,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Plan {
    fn plan(&self) -> Result<RegionPlan, Failure> {
        let known = WORLD.iter().find(|r| r.id == self.id);
        let text = |given: &Option<String>, known: Option<&str>| {
            given.clone().or(known.map(str::to_owned))
        };
        let plan = RegionPlan {
            id: self.id.clone(),
            city: text(&self.city, known.map(|r| r.city)).unwrap_or_default(),
            latitude: self
                .latitude
                .or(known.map(|r| r.latitude))
                .unwrap_or_default(),
            longitude: self
                .longitude
                .or(known.map(|r| r.longitude))
                .unwrap_or_default(),
            jurisdiction: text(&self.jurisdiction, known.map(|r| r.jurisdiction))
                .unwrap_or_default()
                .to_ascii_uppercase(),
            operator: text(&self.operator, known.map(|r| r.operator)).unwrap_or_default(),
            addresses: self.addresses.clone(),
        };
        if known.is_some() {
            return Ok(plan);
        }
        if plan.jurisdiction.is_empty() || plan.operator.is_empty() {
            return Err(Failure::new(format!(
                "{} is not in the reference fleet, so nothing is known of it",
                self.id
            ))
            .hint(
                "give its --jurisdiction (such as AE) and --operator (such as own), and for the map \
                 its --city, --latitude and --longitude",
            ));
        }
        if self.latitude.is_none() || self.longitude.is_none() {
            eprintln!(
                "The map shows {} at 0, 0: --latitude and --longitude say where it is.",
                self.id
            );
        }
        Ok(plan)
    }

    /// Whether the operator is the reference fleet's, and was not named.
    fn operator_is_assumed(&self) -> bool {
        self.operator.is_none()
    }

    /// Sends the plan. Where the reference fleet names an operator who is not on record, the error
    /// says what to do.
    fn post(&self, body: &NewRegion) -> Result<Value, Failure> {
        let operator = &body.plan.operator;
        let client = self.which.client()?;
        client.post("regions", body).map_err(|failure| {
            let unknown = failure
                .to_string()
                .contains(&format!("no operator {operator};"));
            match unknown && self.operator_is_assumed() {
                false => failure,
                true => Failure::new(format!(
                    "in the reference fleet {operator} runs {}, and no operator of that id is on \
                     record here",
                    self.id
                ))
                .hint(format!(
                    "say who runs it (--operator own), or put that operator on record first: dhow \
                     operator add {operator}"
                )),
            }
        })
    }

    fn dry_run(&self) -> Result<(), Failure> {
        let body = NewRegion {
            plan: self.plan()?,
            dry_run: true,
            valid_s: None,
        };
        let told = self.post(&body)?;
        if self.json {
            print_json(&told);
            return Ok(());
        }
        let region = told.get("region").cloned().unwrap_or_default();
        let (city, country) = (text(&region, "city"), text(&region, "jurisdiction"));
        let place = match city.is_empty() {
            true => country,
            false => format!("{city} ({country})"),
        };
        let operator = text(&region, "operator");
        println!(
            "Region {} would open in {place}, run by {operator}.",
            self.id
        );
        println!("Nothing moves: {}.", text(&told, "note"));
        Ok(())
    }

    fn open(&self, valid_hours: u64, wait: bool) -> Result<(), Failure> {
        let body = NewRegion {
            plan: self.plan()?,
            dry_run: false,
            valid_s: Some(valid_hours * 3600),
        };
        // What was planned before, by whoever may see it, is not replaced without a word.
        let before = self
            .which
            .client()?
            .call("GET", &format!("regions/{}", self.id), None);
        if let Ok(before) = &before
            && text(before, "status") == "planned"
        {
            eprintln!(
                "Replaces the plan of {}: {} {}, run by {}.",
                self.id,
                text(before, "city"),
                text(before, "jurisdiction"),
                text(before, "operator"),
            );
        }
        let planned = self.post(&body)?;
        let token = text(&planned, "token");
        if self.json {
            print_json(&planned);
        } else {
            print!("{}", how_to_join(&self.id, &token, valid_hours));
        }
        if !wait {
            return Ok(());
        }
        let client = self.which.client()?;
        let began = Instant::now();
        let patience = Duration::from_secs(valid_hours * 3600);
        let mut last = String::new();
        loop {
            let shown = client.call("GET", &format!("regions/{}", self.id), None)?;
            let status = text(&shown, "status");
            if status != last {
                eprintln!("{:>5} s  {status}", began.elapsed().as_secs());
                last.clone_from(&status);
            }
            match &*status {
                "open" => return Ok(()),
                "closed" => {
                    let why = format!("region {} was closed before it opened", self.id);
                    return Err(Failure::new(why));
                }
                "planned" if began.elapsed() > patience => {
                    return Err(Failure::new(format!(
                        "region {} has not joined within the {valid_hours} hours of its token",
                        self.id
                    ))
                    .hint("the same command makes another token"));
                }
                _ => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

/// What the new region's operator does with a token, by command and as a service. The token goes
/// through the environment: arguments are seen in the list of processes.
fn how_to_join(id: &str, token: &str, valid_hours: u64) -> String {
    format!(
        r#"Region {id} is planned. It joins once, within {valid_hours} hours. On its machine:

  export DHOW_JOIN={token}
  dhow up --data ./{id} --listen HOST:9000 --peer HOST:9003 --tls

or as a service, with DHOW_JOIN in its environment and this as dhow.toml
(`dhow serve --config dhow.toml`; docs/three-machines.md has all of it):

  data = "/var/lib/dhow"
  region = "{id}"
  listen = "0.0.0.0:9000"
  [cloud]
  peer = "0.0.0.0:9003"
  peer_address = "HOST:9003"           # where other regions reach it
  endpoint = "https://HOST:9000"       # where customers reach it
  [tls]
  make = true                          # or a certificate that you have: docs/tls.md

Whoever has the token can join as {id}: keep it secret. A token that was made for {id} before is
not good any more.
"#
    )
}

impl One {
    fn call(&self, verb: Option<&str>) -> Result<(), Failure> {
        let client = self.which.client()?;
        let shown = match verb {
            None => client.call("GET", &format!("regions/{}", self.id), None)?,
            Some(verb) => client.call("POST", &format!("regions/{}/{verb}", self.id), None)?,
        };
        if self.json {
            print_json(&shown);
            return Ok(());
        }
        match verb {
            Some("close") => println!("Region {} is closed. It is not opened again.", self.id),
            Some("open") => println!("Region {} is open: it takes buckets again.", self.id),
            _ => region_shown::print_one(&shown),
        }
        Ok(())
    }
}

/// Asks for a token that gives a region a new key.
fn rekey(id: &str, valid_hours: u64, json: bool, which: &Which) -> Result<(), Failure> {
    let client = which.client()?;
    let body = Rekey {
        valid_s: Some(valid_hours * 3600),
    };
    let told = client.post(&format!("regions/{id}/rekey"), &body)?;
    if json {
        print_json(&told);
        return Ok(());
    }
    println!("Region {id} gets a new key when it is started, within {valid_hours} hours, with\n");
    println!("  export DHOW_REKEY={}\n", text(&told, "token"));
    println!("in its environment. From then on all certificates that it has are");
    println!(
        "revoked. Whoever has the token can become {id}: give it to its operator only. A token"
    );
    println!("that was made for {id} before is not good any more.");
    Ok(())
}

/// Says where a region may be reached.
fn allow(id: &str, addresses: Vec<String>, json: bool, which: &Which) -> Result<(), Failure> {
    let path = format!("regions/{id}/allow");
    let shown = which.client()?.post(&path, &Allow { addresses })?;
    match json {
        true => print_json(&shown),
        false => region_shown::print_one(&shown),
    }
    Ok(())
}

/// The buckets that have their home in `region`.
fn homed(all: &Value, region: &str) -> Vec<String> {
    let buckets = all.as_array().into_iter().flatten();
    let here = buckets.filter(|b| text(b, "home") == region);
    here.map(|bucket| text(bucket, "name")).collect()
}

impl Region {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Plan(plan) => plan.dry_run()?,
            Self::Open {
                plan,
                valid_hours,
                dry_run,
                wait,
            } => match dry_run {
                true => plan.dry_run()?,
                false => plan.open(valid_hours, wait)?,
            },
            Self::List { json, which } => {
                let all = which.client()?.call("GET", "regions", None)?;
                match json {
                    true => print_json(&all),
                    false => region_shown::print_table(all.as_array().map_or(&[], Vec::as_slice)),
                }
            }
            Self::Show(one) => one.call(None)?,
            Self::Drain(drain) => return drain.run(),
            Self::Revoke(revoke) => return revoke.run(),
            Self::Reopen(one) => one.call(Some("open"))?,
            Self::StepBack(one) => one.call(Some("step-back"))?,
            Self::Close { one, yes } => {
                let question = format!("Close region {} for good?", one.id);
                if !yes && promoting::asks() && !promoting::agreed(&question) {
                    return Ok(ExitCode::FAILURE);
                }
                one.call(Some("close"))?;
            }
            Self::Rekey {
                id,
                valid_hours,
                json,
                which,
            } => rekey(&id, valid_hours, json, &which)?,
            Self::Allow {
                id,
                addresses,
                where_it_is: _,
                json,
                which,
            } => allow(&id, addresses, json, &which)?,
            Self::Promote(all) => return all.run(),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A region that the cloud does not have must not pass for one that is no bucket's home.
fn must_be_known(client: &AdminClient, region: &str) -> Result<(), Failure> {
    let all = client.call("GET", "regions", None)?;
    let known = all.as_array().into_iter().flatten();
    match known.into_iter().any(|r| text(r, "id") == region) {
        true => Ok(()),
        false => Err(Failure::new(format!("no region {region}"))
            .hint("`dhow region list` shows those there are")),
    }
}

/// A bucket, and the home that was shown for it.
type Chosen = (String, Option<String>);

/// Shows what would become of each bucket, and asks; what was shown is what is done then.
fn shown_first(client: &AdminClient, buckets: Vec<Chosen>, body: &Promote) -> Option<Vec<Chosen>> {
    let mut agreed = Vec::new();
    for (bucket, _) in buckets {
        match promoting::shown(client, &bucket, body) {
            Ok(home) => agreed.push((bucket, Some(home))),
            Err(why) => eprintln!("{bucket}: stays ({why})"),
        }
    }
    let question = match agreed.len() {
        1 => "Give this bucket its new home?".to_owned(),
        many => format!("Give these {many} buckets their new homes?"),
    };
    (agreed.is_empty() || promoting::agreed(&question)).then_some(agreed)
}

fn promote(
    client: &AdminClient,
    region: &str,
    buckets: Vec<Chosen>,
    body: &Promote,
    json: bool,
) -> Result<ExitCode, Failure> {
    let dry_run = body.dry_run;
    let total = buckets.len();
    let mut told = Vec::new();
    for (at, (bucket, to)) in buckets.into_iter().enumerate() {
        let mut body = body.clone();
        body.to = to.or(body.to);
        let moved = match dry_run {
            true => client.post(&format!("buckets/{bucket}/promote"), &body),
            false => promoting::promote(client, &bucket, &body),
        };
        let outcome = moved.map_err(|e| e.to_string());
        if !json {
            match &outcome {
                Ok(moved) => {
                    let done = match dry_run {
                        true => promoting::choice(moved),
                        false => format!("has its home in {}", text(moved, "home")),
                    };
                    println!("{}/{total}  {bucket}: {done}", at + 1);
                    uploads::say_lost(moved, region, dry_run, json);
                }
                Err(why) => println!("{}/{total}  {bucket}: stays ({why})", at + 1),
            }
        }
        told.push((bucket, outcome));
    }
    let failed = told.iter().filter(|(_, outcome)| outcome.is_err()).count();
    if json {
        let one = |(bucket, outcome): &(String, Result<Value, String>)| match outcome {
            Ok(moved) => {
                let mut one = json!({
                    "bucket": bucket,
                    "home": text(moved, "home"),
                    "uploads": moved.get("uploads"),
                });
                if let Some(waited) = moved.get("waited_ms") {
                    one["waited_ms"] = waited.clone();
                }
                one
            }
            Err(why) => json!({ "bucket": bucket, "error": why }),
        };
        let buckets: Vec<_> = told.iter().map(one).collect();
        print_json(&json!({ "region": region, "dry_run": dry_run, "buckets": buckets }));
    } else if total == 0 {
        println!("No bucket has its home in {region}.");
    }
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
