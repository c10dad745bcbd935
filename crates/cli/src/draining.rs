//! `dhow region drain`: no new buckets and replicas, then its buckets move to other regions, one
//! after another. Each step is one change of a deed, so it can be ended at any time and begun
//! again.

use std::process::ExitCode;

use admin::{bodies::Place, client::AdminClient, failure::Failure};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    moving,
    placing::{self, Enough},
    promoting, region_shown,
    shown::{print_json, text},
    uploads,
    which::Which,
};

/// What is to become of a region's buckets.
#[derive(Args)]
pub struct Drain {
    /// The region.
    id: String,
    /// Also move away what the region has: each bucket's home goes to the replica that its owner
    /// chose, and the region's own replica is removed once another region has all of it. A bucket
    /// for which no other replica is allowed stays, and the command fails; so does one whose home
    /// has multipart uploads in progress, which do not move. Ctrl-C ends it between two steps or in
    /// a wait; the same command goes on from there.
    #[arg(long = "move")]
    moves: bool,
    /// With --move: the region that gets a replica in place of the one that goes. Without it a
    /// bucket that has no other readable replica stays, and others are left with a replica less.
    #[arg(long, value_name = "REGION", requires = "moves")]
    to: Option<String>,
    /// With --move: also while multipart uploads are in progress: they are lost.
    #[arg(long, requires = "moves")]
    abort_uploads: bool,
    /// Say what would move, how much, and what would stay and why; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// One bucket of the region.
struct Resident {
    name: String,
    /// Its writes are ordered here.
    is_home: bool,
    /// Replicas take writes too, so none of them can go.
    writes_any: bool,
    /// Other regions that can read it.
    readable: Vec<String>,
    /// All others that hold it.
    others: Vec<String>,
}

/// What would be done with it.
struct Plan {
    /// The region that gets a replica first, with how many versions and bytes go there.
    copy: Option<(String, u64, u64)>,
    /// The next home, when it has its home here.
    home: Option<String>,
    /// Uploads in progress at the home, where that is here.
    uploads: Option<Value>,
    /// They may be lost.
    abort_uploads: bool,
}

impl Resident {
    fn read(bucket: &Value, region: &str) -> Option<Self> {
        let home = text(bucket, "home");
        let copies = bucket.get("replicas").and_then(Value::as_array);
        let copies = copies.into_iter().flatten();
        let is_sealed = |r: &&Value| r.get("sealed_by").is_some_and(|s| !s.is_null());
        let elsewhere = |name: &String| name != region;
        let held: Vec<String> = std::iter::once(home.clone())
            .chain(copies.clone().map(|r| text(r, "region")))
            .collect();
        let unsealed = copies.filter(|r| !is_sealed(r)).map(|r| text(r, "region"));
        let readable = std::iter::once(home.clone()).chain(unsealed);
        held.iter().any(|r| r == region).then(|| Self {
            name: text(bucket, "name"),
            is_home: home == region,
            writes_any: text(bucket, "writes") == "any",
            readable: readable.filter(elsewhere).collect(),
            others: held.iter().filter(|r| elsewhere(r)).cloned().collect(),
        })
    }

    fn path(&self, verb: &str) -> String {
        format!("buckets/{}/{verb}", self.name)
    }

    /// What would be done, or why nothing can be.
    fn plan(&self, client: &AdminClient, drain: &Drain, shown: &Value) -> Result<Plan, Failure> {
        let (region, to) = (drain.id.as_str(), drain.to.as_deref());
        if self.is_home && self.writes_any {
            return Err(Failure::new(format!(
                "it takes writes everywhere: let the home alone take them first (dhow bucket \
                 place {} --writes home)",
                self.name
            )));
        }
        if self.is_home {
            uploads::check(shown, drain.abort_uploads)?;
        }
        let place = |body: Place| client.post(&self.path("place"), &body);
        let copy = match to {
            Some(to) if !self.others.iter().any(|r| r == to) => {
                let would = place(added(to, true))?;
                let number = |of: &str| would.pointer(of).and_then(Value::as_u64);
                let count = |of: &str| number(of).unwrap_or_default();
                Some((
                    to.to_owned(),
                    count("/moves/versions"),
                    count("/moves/bytes"),
                ))
            }
            _ => None,
        };
        let home = match (self.is_home, self.readable.is_empty(), &copy) {
            (false, _, _) => None,
            (true, true, Some((to, _, _))) => Some(to.clone()),
            (true, true, None) => {
                return Err(Failure::new(
                    "it has no other replica that a region can read: name a region that is to have \
                     it, with --to",
                ));
            }
            (true, false, _) => {
                let body = promoting::body(None, [true, drain.abort_uploads, true]);
                let would = client.post(&self.path("promote"), &body)?;
                Some(text(&would, "home"))
            }
        };
        if !self.is_home {
            place(removed(region, true))?;
        }
        Ok(Plan {
            copy,
            home,
            uploads: shown.get("uploads").cloned().filter(|_| self.is_home),
            abort_uploads: drain.abort_uploads,
        })
    }

    /// Does it. From one step to the next the bucket is whole in some other lawful region.
    fn go(&self, client: &AdminClient, region: &str, plan: &Plan) -> Result<(), Failure> {
        let place = |body: Place| client.post(&self.path("place"), &body);
        if let Some((to, _, _)) = &plan.copy {
            place(added(to, false))?;
            placing::wait(client, &self.name, Some(to), Enough::Nearly)?;
        }
        if let Some(home) = &plan.home {
            moving::move_home(client, &self.name, (region, home), plan.abort_uploads)?;
        }
        place(removed(region, false))?;
        Ok(())
    }
}

fn added(to: &str, dry_run: bool) -> Place {
    Place {
        add: vec![to.to_owned()],
        dry_run,
        ..Place::default()
    }
}

fn removed(from: &str, dry_run: bool) -> Place {
    Place {
        remove: vec![from.to_owned()],
        dry_run,
        ..Place::default()
    }
}

impl Plan {
    fn words(&self, resident: &Resident, region: &str) -> String {
        let mut words = Vec::new();
        if let Some((to, versions, bytes)) = &self.copy {
            words.push(format!(
                "a replica to {to} ({versions} versions, {bytes} bytes)"
            ));
        }
        if let Some(home) = &self.home {
            let uploads = json!({ "uploads": self.uploads });
            words.push(match uploads::shown(&uploads) {
                some if self.uploads_lost() => {
                    format!("its home to {home} without the multipart uploads ({some})")
                }
                _ => format!("its home to {home}"),
            });
        }
        let stay = resident.others.join(", ");
        words.push(match stay.is_empty() {
            true => format!("nothing in {region}"),
            false => format!("nothing in {region} (it is in {stay})"),
        });
        words.join(", then ")
    }

    fn uploads_lost(&self) -> bool {
        let uploads = self.uploads.as_ref();
        let count = uploads.and_then(|found| found.get("uploads")?.as_u64());
        count > Some(0)
    }

    fn json(&self, name: &str) -> Value {
        json!({
            "bucket": name,
            "home": self.home,
            "replica": self.copy.as_ref().map(|(to, _, _)| to),
            // The name that it had until 0.1, for one more release.
            "copy": self.copy.as_ref().map(|(to, _, _)| to),
            "versions": self.copy.as_ref().map_or(0, |(_, versions, _)| *versions),
            "bytes": self.copy.as_ref().map_or(0, |(_, _, bytes)| *bytes),
            "uploads": self.uploads,
        })
    }
}

impl Drain {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let client = self.which.client()?;
        let path = format!("regions/{}", self.id);
        let mut shown = client.call("GET", &path, None)?;
        // One that drains already goes on.
        if !self.dry_run && text(&shown, "status") != "draining" {
            shown = client.call("POST", &format!("{path}/drain"), None)?;
        }
        let residents = self.residents(&client)?;
        if !self.moves && !self.dry_run {
            match self.json {
                true => print_json(&shown),
                false => {
                    region_shown::print_one(&shown);
                    self.print_next(residents.len());
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let told = self.each(&client, &residents);
        let stays = told.iter().filter(|t| t.get("error").is_some()).count();
        if let (Value::Object(fields), true) = (&mut shown, self.json) {
            fields.insert("dry_run".into(), json!(self.dry_run));
            fields.insert("moves".into(), json!(told));
        }
        match self.json {
            true => print_json(&shown),
            false if self.dry_run => println!("Nothing has changed."),
            false => self.print_next(stays),
        }
        Ok(match stays {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    fn residents(&self, client: &AdminClient) -> Result<Vec<Resident>, Failure> {
        let all = client.call("GET", "buckets", None)?;
        let all = all.as_array().into_iter().flatten();
        Ok(all.filter_map(|b| Resident::read(b, &self.id)).collect())
    }

    /// Plans each bucket, and moves it unless this is a dry run.
    fn each(&self, client: &AdminClient, residents: &[Resident]) -> Vec<Value> {
        let total = residents.len();
        let mut told = Vec::new();
        for (n, resident) in residents.iter().enumerate() {
            let name = &resident.name;
            let shown = client.call("GET", &format!("buckets/{name}"), None);
            let shown = shown.unwrap_or_default();
            let planned = resident.plan(client, self, &shown);
            let done = planned.and_then(|plan| {
                if !self.json {
                    println!(
                        "{}/{total}  {name}: {}",
                        n + 1,
                        plan.words(resident, &self.id)
                    );
                }
                if !self.dry_run {
                    resident.go(client, &self.id, &plan)?;
                }
                Ok(plan)
            });
            told.push(match done {
                Ok(plan) => plan.json(name),
                Err(why) => {
                    if !self.json {
                        println!("{}/{total}  {name}: stays ({why})", n + 1);
                    }
                    json!({
                        "bucket": name,
                        "error": why.to_string(),
                        "uploads": shown.get("uploads").filter(|_| resident.is_home),
                    })
                }
            });
        }
        told
    }

    fn print_next(&self, left: usize) {
        let id = &self.id;
        match left {
            0 => {
                println!("\nNothing is left in {id}. `dhow region close {id}` closes it for good.")
            }
            n => println!(
                "\nBuckets in {id}: {n}. `dhow region drain {id} --move --dry-run` says what \
                 would become of them."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lies_where_its_deed_says() {
        let bucket = json!({
            "name": "papers",
            "home": "a",
            "replicas": [
                { "region": "b", "sealed_by": null },
                { "region": "c", "sealed_by": "a" },
            ],
        });
        let read = |region| Resident::read(&bucket, region);
        let home = read("a").unwrap();
        assert!(home.is_home);
        assert_eq!(
            (home.readable, home.others),
            (vec!["b".into()], vec!["b".into(), "c".into()])
        );
        let copy = read("c").unwrap();
        assert!(!copy.is_home);
        assert_eq!(copy.readable, ["a", "b"]);
        assert!(read("d").is_none());
    }
}
