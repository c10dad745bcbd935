//! `dhow bucket move`: the home goes to another region while both work, and waits as a drain does.

use std::process::ExitCode;

use admin::{
    bodies::{Place, Promote},
    client::AdminClient,
    failure::Failure,
};
use clap::Args;
use serde_json::Value;

use crate::{
    placing::{self, Enough},
    promoting,
    shown::{print_json, text},
    uploads,
    which::Which,
};

/// Move a bucket's home to another region while both work, without losing a write.
///
/// For going back after a promotion, and for moving closer to those who write. The region gets a
/// replica first if it has none. Once that follows closely, the home takes no writes until the
/// region has all of them, for 20 s at most. Then the home moves, and the home before keeps a
/// replica. Multipart uploads in progress do not move: while the home has some the command is
/// refused. If you end the command, the same command goes on from there: where the region is the
/// home already it waits until all replicas follow it.
#[derive(Args)]
pub struct Move {
    /// The bucket.
    name: String,
    /// The region that is to be its home.
    #[arg(long, value_name = "REGION")]
    to: String,
    /// Also while multipart uploads are in progress at the home before: they are lost.
    #[arg(long)]
    abort_uploads: bool,
    /// Say what would be; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// What `to` has of a bucket.
enum Has {
    Home,
    Replica,
    Nothing,
}

impl Move {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let client = self.which.client()?;
        let path = format!("buckets/{}", self.name);
        let bucket = client.call("GET", &path, None)?;
        let (home, to) = (text(&bucket, "home"), self.to.as_str());
        let has = self.has(&bucket, &home)?;
        let place = |dry_run: bool| {
            let body = Place {
                add: vec![to.to_owned()],
                dry_run,
                ..Place::default()
            };
            client.post(&format!("{path}/place"), &body)
        };
        // What cannot be is refused before anything is announced.
        if matches!(has, Has::Nothing) {
            place(true)?;
        }
        self.say(&match has {
            Has::Home => format!("{} has its home in {to} already.", self.name),
            Has::Replica => format!("{}: its home goes from {home} to {to}.", self.name),
            Has::Nothing => format!(
                "{}: {to} gets a replica, then its home goes there from {home}.",
                self.name
            ),
        });
        match has {
            Has::Home if self.dry_run => return self.done(&bucket),
            // An earlier try may have ended before the home of then had handed over. Which region
            // that was, the deed does not say: all replicas follow once it has.
            Has::Home => {
                let bucket = placing::wait(&client, &self.name, None, Enough::Follows)?;
                self.say("All replicas follow it.");
                return self.done(&bucket);
            }
            _ => uploads::check(&bucket, self.abort_uploads)?,
        }
        match has {
            Has::Nothing if !self.dry_run => drop(place(false)?),
            Has::Home | Has::Replica | Has::Nothing => {}
        }
        if self.dry_run {
            uploads::say_lost(&bucket, &home, true, self.json);
            self.say("Nothing has changed.");
            return self.done(&bucket);
        }
        placing::wait(&client, &self.name, Some(to), Enough::Nearly)?;
        let (mut moved, lost) = move_home(&client, &self.name, (&home, to), self.abort_uploads)?;
        moved["uploads"] = lost.clone();
        uploads::say_lost(&moved, &home, false, self.json);
        self.say(&format!(
            "{} has its home in {to}; {home} keeps a replica (`dhow bucket place {} \
             --remove-replica {home}` takes it away).",
            self.name, self.name
        ));
        self.done(&moved)
    }

    fn say(&self, words: &str) {
        if !self.json {
            println!("{words}");
        }
    }

    fn done(&self, bucket: &Value) -> Result<ExitCode, Failure> {
        if self.json {
            print_json(bucket);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn has(&self, bucket: &Value, home: &str) -> Result<Has, Failure> {
        if home == self.to {
            return Ok(Has::Home);
        }
        if text(bucket, "writes") == "any" {
            return Err(Failure::new(format!(
                "{} takes writes in every region, so no region can hand over all of them",
                self.name
            ))
            .hint(format!(
                "let the home alone take them first: dhow bucket place {} --writes home",
                self.name
            )));
        }
        let replicas = bucket.get("replicas").and_then(Value::as_array);
        let mut replicas = replicas.into_iter().flatten();
        let Some(replica) = replicas.find(|r| text(r, "region") == self.to) else {
            return Ok(Has::Nothing);
        };
        match replica.get("sealed_by").is_some_and(|by| !by.is_null()) {
            false => Ok(Has::Replica),
            true => Err(Failure::new(format!(
                "{} keeps a sealed replica, which it cannot read, and so cannot be the home",
                self.to
            ))
            .hint("remove that replica first, and name the region again")),
        }
    }
}

/// Moves a home that answers to a replica that follows closely, once that has all that the home
/// acknowledged, and waits until the home before follows. Answers the bucket, and which uploads
/// were in progress at the home before; that is refused unless they may be aborted.
pub fn move_home(
    client: &AdminClient,
    name: &str,
    (from, to): (&str, &str),
    abort_uploads: bool,
) -> Result<(Value, Value), Failure> {
    placing::wait(client, name, Some(to), Enough::Nearly)?;
    // The home still answers, hence by force.
    let body = Promote {
        planned: true,
        ..promoting::body(Some(to.to_owned()), [true, abort_uploads, false])
    };
    let moved = promoting::promote(client, name, &body)?;
    let lost = moved.get("uploads").cloned().unwrap_or_default();
    let bucket = placing::wait(client, name, Some(from), Enough::Follows)?;
    Ok((bucket, lost))
}
