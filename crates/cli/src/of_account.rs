//! Commands about users, groups and policies of an account: each does an action of IAM.

use std::path::PathBuf;

use admin::{bodies::IamForm, failure::Failure};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    shown::{in_address, print_json, text},
    table,
    which::Which,
};

/// Of which account.
#[derive(Args)]
pub struct Of {
    /// The account: its id, or its name (`dhow account list`).
    #[arg(long, value_name = "ACCOUNT")]
    pub account: String,
    /// JSON, for scripts.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Which,
}

impl Of {
    /// Does one action of IAM.
    pub fn call(&self, action: &str, fields: &[(&str, &str)]) -> Result<Value, Failure> {
        let fields = fields.iter().copied().chain([("Action", action)]);
        let form = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let body = IamForm {
            form: form.collect(),
        };
        let path = format!("accounts/{}/iam", in_address(&self.account)?);
        self.which.client()?.post(&path, &body)
    }

    /// The same for what needs no answer but that it was done.
    pub fn done(&self, action: &str, fields: &[(&str, &str)], done: &str) -> Result<(), Failure> {
        let answer = self.call(action, fields)?;
        match self.json {
            true => print_json(&answer),
            false => println!("{done}"),
        }
        Ok(())
    }

    /// All pages of a list.
    pub fn list(
        &self,
        action: &str,
        fields: &[(&str, &str)],
        member: &str,
    ) -> Result<Vec<Value>, Failure> {
        let (mut all, mut marker): (Vec<Value>, Option<String>) = (Vec::new(), None);
        loop {
            let mut fields = fields.to_vec();
            fields.push(("MaxItems", "1000"));
            if let Some(marker) = &marker {
                fields.push(("Marker", marker));
            }
            let mut answer = self.call(action, &fields)?;
            if let Some(Value::Array(page)) = answer.get_mut(member) {
                all.append(page);
            }
            match answer.get("Marker").and_then(Value::as_str) {
                Some(next) => marker = Some(next.to_owned()),
                None => return Ok(all),
            }
        }
    }

    /// A list as JSON, or as a table of these fields.
    pub fn print<const N: usize>(&self, found: Vec<Value>, head: [&str; N], fields: [&str; N]) {
        if self.json {
            print_json(&Value::Array(found));
            return;
        }
        let rows: Vec<_> = found.iter().map(|v| fields.map(|f| text(v, f))).collect();
        table::print(head, &rows);
    }

    /// Prints the document at this place of an answer.
    pub fn show(&self, answer: &Value, at: &str) {
        let encoded = answer.pointer(at).and_then(Value::as_str);
        let document = decoded(encoded.unwrap_or_default());
        match self.json {
            true => print_json(&json!({ "PolicyDocument": document })),
            false => println!("{document}"),
        }
    }

    /// Says that a user, group or role was created, as the answer has it.
    pub fn created(&self, word: &str, name: &str, answer: &Value) {
        if self.json {
            return print_json(answer);
        }
        let arn = answer.pointer(&format!("/{word}/Arn"));
        println!(
            "{word} {} created.",
            arn.and_then(Value::as_str).unwrap_or(name)
        );
        let (kind, account) = (word.to_lowercase(), &self.account);
        println!(
            "It may do nothing yet: dhow {kind} policy put {name} POLICY FILE --account {account}"
        );
        println!(
            "Or give it a ready policy: dhow policy attach ReadOnlyAccess --{kind} {name} --account \
             {account}"
        );
    }
}

/// A list of names, each on a line.
pub fn print_names(of: &Of, names: Vec<Value>) {
    match of.json {
        true => print_json(&Value::Array(names)),
        false => names
            .iter()
            .filter_map(Value::as_str)
            .for_each(|name| println!("{name}")),
    }
}

/// A document as it was written: IAM's answers have it percent-encoded.
pub fn decoded(text: &str) -> String {
    let form = iam::Form::parse(format!("d={text}").as_bytes()).ok();
    let document = form.and_then(|form| form.get("d").map(str::to_owned));
    document.unwrap_or_else(|| text.to_owned())
}

/// The text of a file, or of standard input.
pub fn read(file: &PathBuf) -> Result<String, Failure> {
    let read = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    read.map_err(|e| Failure::new(format!("cannot read {}: {e}", file.display())))
}
