//! `dhow account`.

use std::{path::PathBuf, process::ExitCode};

use admin::{bodies, failure::Failure};
use clap::Subcommand;
use serde_json::Value;

use crate::{
    of_account::{self, Of},
    shown::{in_address, print_json, text},
    table,
    which::Which,
};

/// Create and list accounts. Buckets and keys belong to accounts.
#[derive(Subcommand)]
pub enum Account {
    /// Create an account. It sees nothing of any other.
    Create {
        /// A name for people, such as a company's.
        name: String,
        /// A country or group (EU, EEA) that all buckets of the account keep to; may be given
        /// again.
        #[arg(long, value_name = "COUNTRY")]
        guard: Vec<String>,
        /// For people who look after the regions of this operator, in place of a customer.
        #[arg(long, value_name = "OPERATOR", conflicts_with = "auditor")]
        operator: Option<String>,
        /// For auditors, who read what is on record and change nothing, in place of a customer.
        #[arg(long)]
        auditor: bool,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Stop all keys of an account, in every region.
    Suspend(One),
    /// Let the keys of a suspended account work again.
    Resume(One),
    /// Show or change which public access the buckets of an account refuse, and what its new
    /// buckets begin with.
    Access(Access),
    /// Show, set or remove the guard policy of an account: what everybody of it may do at most, the
    /// account itself included. Only the owner of the cloud can.
    GuardPolicy(Guard),
    /// Show or change the alias of an account: a second name that tools of AWS show.
    Alias {
        /// The alias: 3 to 63 lower-case letters, digits and single hyphens. Without one, shows it.
        alias: Option<String>,
        /// Takes the alias away.
        #[arg(long, requires = "alias")]
        delete: bool,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// List the accounts: id, name and when each was created, the operator's own marked as root.
    List {
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
}

/// One account.
#[derive(clap::Args)]
pub struct One {
    /// Its id, or its name.
    #[arg(value_name = "ACCOUNT")]
    id: String,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl One {
    fn call(self, verb: &str, done: &str) -> Result<ExitCode, Failure> {
        let path = format!("accounts/{}/{verb}", in_address(&self.id)?);
        let changed = self.which.client()?.call("POST", &path, None)?;
        match self.json {
            true => print_json(&changed),
            false => println!("Account {} is {done}.", self.id),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The guard policy of an account.
#[derive(clap::Args)]
pub struct Guard {
    /// Its id, or its name.
    #[arg(value_name = "ACCOUNT")]
    id: String,
    /// Sets it: a file with a policy in the language of IAM, or `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["remove", "show"])]
    set: Option<PathBuf>,
    /// Removes it.
    #[arg(long, conflicts_with = "show")]
    remove: bool,
    /// Shows it, as it was written: what happens without `--set` and `--remove`.
    #[arg(long)]
    show: bool,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Guard {
    fn call(self) -> Result<ExitCode, Failure> {
        let body = bodies::SetGuardPolicy {
            policy: self.set.as_ref().map(of_account::read).transpose()?,
            remove: self.remove,
        };
        let path = format!("accounts/{}/guard-policy", in_address(&self.id)?);
        let shown = self.which.client()?.post(&path, &body)?;
        if self.json {
            print_json(&shown);
            return Ok(ExitCode::SUCCESS);
        }
        match (&self.set, self.remove, shown["policy"].as_str()) {
            (Some(_), ..) => println!("It binds everybody of account {} from now on.", self.id),
            (None, true, _) => println!("Removed."),
            (None, false, Some(policy)) => println!("{policy}"),
            (None, false, None) => println!("The account has no guard policy."),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An account's say over access to its buckets.
#[derive(clap::Args)]
pub struct Access {
    /// Its id, or its name.
    #[arg(value_name = "ACCOUNT")]
    id: String,
    /// Which public access all its buckets refuse, beside what each refuses itself: `all`, `none`,
    /// or switches of S3's public access block with commas between them.
    #[arg(long, value_name = "SWITCHES")]
    block: Option<String>,
    /// Who owns what is written into new buckets: BucketOwnerEnforced, BucketOwnerPreferred or
    /// ObjectWriter. `region` leaves to the region what new buckets begin with.
    #[arg(long, value_name = "MODE")]
    new_ownership: Option<String>,
    /// Which public access new buckets refuse: as `--block`.
    #[arg(long, value_name = "SWITCHES")]
    new_block: Option<String>,
    /// How requests for its buckets are signed: `v4a` takes asymmetric signatures of its access
    /// keys only, which no region can make; `any` takes each kind.
    #[arg(long, value_name = "KIND")]
    signatures: Option<String>,
    /// Whether AWS Signature Version 2 is taken too, for programs that know no other: `on` or
    /// `off`. Off unless asked for. Whoever verifies such a signature can make it, so only
    /// regions that the owner of the cloud runs take them; each of them, within the account's
    /// guard, gets keys of the account for it. A signature covers neither the body nor a region.
    /// Prefer new programs, and turn it off when the last old one is gone.
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    old_signatures: Option<String>,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Access {
    fn call(self) -> Result<ExitCode, Failure> {
        let switches = |text: &str| -> Vec<String> {
            let all = access::PublicAccessBlock::ALL.names();
            match text {
                "all" => all.iter().map(|name| (*name).to_owned()).collect(),
                "none" => Vec::new(),
                text => text.split(',').map(|name| name.trim().to_owned()).collect(),
            }
        };
        let unset = self.new_ownership.as_deref() == Some("region");
        let body = bodies::AccountAccess {
            public_access_block: self.block.as_deref().map(switches),
            unset_block: false,
            new_ownership: self.new_ownership.filter(|_| !unset),
            new_public_access_block: self.new_block.as_deref().map(switches),
            unset_new_buckets: unset,
            signatures: self.signatures,
            old_signatures: self.old_signatures.map(|wanted| wanted == "on"),
        };
        let path = format!("accounts/{}/access", in_address(&self.id)?);
        let shown = self.which.client()?.post(&path, &body)?;
        if self.json {
            print_json(&shown);
            return Ok(ExitCode::SUCCESS);
        }
        let named = |field: &str, unset: &str| match shown.get(field).and_then(Value::as_array) {
            None => unset.to_owned(),
            Some(names) if names.is_empty() => "none".to_owned(),
            Some(names) => {
                let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
                names.join(", ")
            }
        };
        let mode = match text(&shown, "new_ownership") {
            mode if mode.is_empty() => "as the region says".to_owned(),
            mode => mode,
        };
        println!("Account                      {}", text(&shown, "id"));
        println!("Canonical id                 {}", text(&shown, "canonical"));
        println!(
            "All buckets refuse           {}",
            named("public_access_block", "none")
        );
        println!("New buckets: ownership       {mode}");
        let refuse = named("new_public_access_block", "as the region says");
        println!("New buckets: refuse          {refuse}");
        println!(
            "Signatures                   {}",
            text(&shown, "signatures")
        );
        let old = match shown["old_signatures"].as_bool() {
            Some(true) => "taken in regions of the cloud's owner",
            _ => "refused",
        };
        println!("Old signatures (version 2)   {old}");
        Ok(ExitCode::SUCCESS)
    }
}

fn alias_of(of: &Of, alias: Option<&str>, delete: bool) -> Result<(), Failure> {
    match alias {
        None => {
            let found = of.list("ListAccountAliases", &[], "AccountAliases")?;
            if of.json {
                print_json(&Value::Array(found));
                return Ok(());
            }
            let alias = found.first().and_then(Value::as_str);
            println!("{}", alias.unwrap_or("The account has no alias."));
            Ok(())
        }
        Some(alias) => {
            let fields = [("AccountAlias", alias)];
            match delete {
                true => of.done("DeleteAccountAlias", &fields, "Deleted."),
                false => of.done("CreateAccountAlias", &fields, "It holds from now on."),
            }
        }
    }
}

impl Account {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Suspend(one) => return one.call("suspend", "suspended"),
            Self::Access(access) => return access.call(),
            Self::GuardPolicy(guard) => return guard.call(),
            Self::Alias { alias, delete, of } => alias_of(&of, alias.as_deref(), delete)?,
            Self::Resume(one) => return one.call("resume", "active again"),
            Self::Create {
                name,
                guard,
                operator,
                auditor,
                json,
                which,
            } => {
                let body = bodies::NewAccount {
                    name,
                    guard,
                    operator,
                    auditor,
                };
                let made = which.client()?.post("accounts", &body)?;
                let name = body.name;
                if json {
                    print_json(&made);
                } else {
                    let id = text(&made, "id");
                    println!("Account {id} ({name}) created.");
                    let plain = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
                    let called = if plain { &name } else { &id };
                    println!("Give it a key pair: dhow key create --account {called}");
                }
            }
            Self::List { json, which } => {
                let all = which.client()?.call("GET", "accounts", None)?;
                if json {
                    print_json(&all);
                    return Ok(ExitCode::SUCCESS);
                }
                let rows: Vec<_> = all
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|a| {
                        let root = a.get("root").and_then(Value::as_bool) == Some(true);
                        let flag = |field| a.get(field).and_then(Value::as_bool) == Some(true);
                        let operator = text(a, "operator");
                        let role = match (flag("auditor"), operator.is_empty()) {
                            _ if root => "root".to_owned(),
                            (true, _) => "auditor".to_owned(),
                            (_, false) => format!("operator of {operator}"),
                            _ if flag("suspended") => "customer, suspended".to_owned(),
                            _ => "customer".to_owned(),
                        };
                        [text(a, "id"), text(a, "name"), role, text(a, "created")]
                    })
                    .collect();
                table::print(["ACCOUNT", "NAME", "ROLE", "CREATED"], &rows);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
