//! Asks what would be decided: the admin API explains it where the caller may ask that, and else
//! IAM simulates it. Both decide with the code that decides requests.

use access::grants::{Action, Grant};
use http::Method;
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    pages::{editor::of_bucket, value},
    s3::Node,
};

/// Who is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who<'q> {
    /// A user of the account.
    User(&'q str),
    /// A session of a role of the account.
    Role(&'q str),
    /// The account itself.
    Account,
    /// Who signs nothing.
    Anybody,
}

impl<'q> Who<'q> {
    /// As the page's field says it.
    pub fn read(text: &'q str) -> Option<Self> {
        match text.split_once('/') {
            Some(("user", name)) => Some(Self::User(name)),
            Some(("role", name)) => Some(Self::Role(name)),
            _ if text == "account" => Some(Self::Account),
            _ if text == "anybody" => Some(Self::Anybody),
            _ => None,
        }
    }
}

/// A question.
pub struct Question<'q> {
    /// Who would ask.
    pub who: Who<'q>,
    /// Such as `s3:GetObject`.
    pub action: &'q str,
    /// On what, as an ARN.
    pub resource: String,
    /// Values of condition keys.
    pub context: Vec<(&'q str, &'q str)>,
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Allowed,
    /// It may not.
    Refused,
    /// That depends on what was not seen.
    Unknown,
}

/// What a document or check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It stands in nobody's way.
    Passes,
    /// It allows it.
    Allows,
    /// It denies it, whatever others say.
    Denies,
    /// It refuses it for another reason than a policy.
    Refuses,
    /// It says nothing about it.
    Nothing,
    /// There is none.
    None,
    /// It was not seen.
    Unknown,
}

/// What was looked at.
pub struct Looked {
    /// What.
    pub what: String,
    /// What it says.
    pub says: Says,
    /// Why.
    pub why: String,
    /// Each statement in a line.
    pub statements: Vec<(bool, String)>,
}

/// The answer.
pub struct Asked {
    /// What is decided.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// What was looked at.
    pub looked: Vec<Looked>,
    /// Condition keys without a value that policies ask about.
    pub missing: Vec<String>,
}

/// Whether the caller may ask the admin API, which sees more.
pub fn explains(call: &Call<'_>) -> bool {
    let grant = call
        .caller
        .map(|caller| caller.grant(Action::ExplainAccess));
    grant.is_some_and(|grant| grant != Grant::No)
}

/// Asks.
pub async fn ask(call: &Call<'_>, question: &Question<'_>) -> Result<Asked, Fault> {
    match question.who {
        Who::Role(name) => simulate(call, question, ("role", name)).await,
        Who::User(name) if !explains(call) => simulate(call, question, ("user", name)).await,
        _ => explain(call, question).await,
    }
}

async fn explain(call: &Call<'_>, question: &Question<'_>) -> Result<Asked, Fault> {
    let account = access::sign::encode(&call.who()?.account.id);
    let context = question.context.iter();
    let context: Vec<String> = context
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut body = json!({
        "action": question.action,
        "resource": question.resource,
        "context": context,
    });
    match question.who {
        Who::User(name) => body["user"] = json!(name),
        Who::Anybody => body["anonymous"] = json!(true),
        Who::Role(_) | Who::Account => {}
    }
    let path = format!("accounts/{account}/explain");
    let told = call.admin(&Method::POST, &path, Some(&body)).await?;
    let checks = value::list(&told, "checks").iter();
    let actions = value::list(&told, "actions");
    let documents = actions.iter().flat_map(|action| {
        let name = value::text(action, "action");
        // What a request does beside is said as such.
        let beside = (actions.len() > 1).then(|| format!("{name}: "));
        let all = value::list(action, "documents").iter();
        all.map(move |check| looked(check, beside.as_deref().unwrap_or_default()))
    });
    Ok(Asked {
        verdict: match value::text(&told, "verdict") {
            "allowed" => Verdict::Allowed,
            "refused" => Verdict::Refused,
            _ => Verdict::Unknown,
        },
        reason: value::text(&told, "reason").to_owned(),
        looked: checks
            .map(|check| looked(check, ""))
            .chain(documents)
            .collect(),
        missing: value::texts(&told, "missing")
            .into_iter()
            .map(str::to_owned)
            .collect(),
    })
}

fn looked(check: &Value, before: &str) -> Looked {
    let statement = |own: &Value| {
        let number = value::number(own, "number");
        let (effect, why) = (value::text(own, "effect"), value::text(own, "why"));
        let sid = match value::text(own, "sid") {
            "" => String::new(),
            sid => format!(" ({sid})"),
        };
        let notes = value::texts(own, "notes");
        let notes: String = notes.iter().map(|note| format!("; {note}")).collect();
        let applies = value::yes(own, "applies");
        (applies, format!("{number} {effect}{sid}: {why}{notes}"))
    };
    Looked {
        what: [before, value::text(check, "what")].concat(),
        says: match value::text(check, "says") {
            "passes" => Says::Passes,
            "allows" => Says::Allows,
            "denies" => Says::Denies,
            "refuses" => Says::Refuses,
            "nothing" => Says::Nothing,
            "none" => Says::None,
            _ => Says::Unknown,
        },
        why: value::text(check, "why").to_owned(),
        statements: value::list(check, "statements")
            .iter()
            .map(statement)
            .collect(),
    }
}

/// The bucket that an ARN names.
fn bucket_of(resource: &str) -> Option<&str> {
    let rest = resource.strip_prefix("arn:aws:s3:::")?;
    rest.split('/')
        .next()
        .filter(|name| !name.contains(['*', '?']))
}

/// The policy of the bucket, if it is the caller's account's and this region may show it.
async fn policy_of_bucket(call: &Call<'_>, resource: &str) -> Result<Option<String>, Fault> {
    use types::Deeds;
    let registry = call.console.backend.registry();
    let name = bucket_of(resource).and_then(|name| types::BucketName::new(name).ok());
    let deed = name.and_then(|name| registry.get(&name));
    let own = call.who()?.account.account_id();
    let Some(deed) = deed.filter(|deed| access::is_owner(&own, deed)) else {
        return Ok(None);
    };
    of_bucket(call, &deed.name).await
}

async fn simulate(
    call: &Call<'_>,
    question: &Question<'_>,
    (kind, name): (&str, &str),
) -> Result<Asked, Fault> {
    let (action, field) = match kind {
        "role" => ("GetRole", "RoleName"),
        _ => ("GetUser", "UserName"),
    };
    let found = call.iam(action, &[(field, name)]).await?;
    let arn = found
        .children()
        .first()
        .map_or("", |found| found.text("Arn"))
        .to_owned();
    let policy = policy_of_bucket(call, &question.resource).await;
    let mut fields: Vec<(String, &str)> = [
        ("PolicySourceArn", &*arn),
        ("ActionNames.member.1", question.action),
        ("ResourceArns.member.1", &*question.resource),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Ok(Some(text)) = &policy {
        fields.push(("ResourcePolicy".to_owned(), text));
    }
    for (n, (key, value)) in question.context.iter().enumerate() {
        let member = format!("ContextEntries.member.{}", n + 1);
        fields.push((format!("{member}.ContextKeyName"), key));
        fields.push((format!("{member}.ContextKeyValues.member.1"), value));
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, *v)).collect();
    let told = call.iam("SimulatePrincipalPolicy", &fields).await?;
    let result = told.members("EvaluationResults").first();
    let result = result.ok_or_else(|| Fault::Failed("IAM simulated nothing".into()))?;
    let mut answer = simulated(call, result);
    if let Err(fault) = policy {
        answer.verdict = match answer.verdict {
            Verdict::Allowed => Verdict::Unknown,
            other => other,
        };
        answer.looked.push(Looked {
            what: call.t("policy of the bucket").into_owned(),
            says: Says::Unknown,
            why: match fault {
                Fault::Refused(why) => why.into_owned(),
                _ => call.t("It may not be shown here.").into_owned(),
            },
            statements: Vec::new(),
        });
    }
    Ok(answer)
}

fn simulated(call: &Call<'_>, result: &Node) -> Asked {
    let decision = result.text("EvalDecision");
    let bounded = result
        .child("PermissionsBoundaryDecisionDetail")
        .is_some_and(|detail| detail.text("AllowedByPermissionsBoundary") == "false");
    let matched = result.members("MatchedStatements").iter();
    let says = match decision {
        "allowed" => Says::Allows,
        _ => Says::Denies,
    };
    let looked = matched.map(|statement| {
        let line = |name| statement.child(name).map_or("", |place| place.text("Line"));
        let values = [
            ("first", line("StartPosition")),
            ("last", line("EndPosition")),
        ];
        Looked {
            what: match statement.text("SourcePolicyId") {
                "ResourcePolicy" => call.t("policy of the bucket").into_owned(),
                name => call.with("policy {name}", &[("name", name)]),
            },
            says,
            why: call.with("its statement in lines {first} to {last} decides", &values),
            statements: Vec::new(),
        }
    });
    let reason = match decision {
        "allowed" => call.t("a policy allows it, and none denies it"),
        "explicitDeny" => call.t("a policy denies it, whatever others allow"),
        _ if bounded => call.t("the permissions boundary does not allow it"),
        _ => call.t("no policy allows it"),
    };
    let missing = result.members("MissingContextValues").iter();
    Asked {
        verdict: match decision {
            "allowed" => Verdict::Allowed,
            _ => Verdict::Refused,
        },
        reason: reason.into_owned(),
        looked: looked.collect(),
        missing: missing.map(|key| key.own().to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_about_is_read() {
        assert_eq!(Who::read("user/a/b"), Some(Who::User("a/b")));
        assert_eq!(Who::read("role/x"), Some(Who::Role("x")));
        assert_eq!(Who::read("account"), Some(Who::Account));
        for none in ["", "users/a", "anna", "Account"] {
            assert_eq!(Who::read(none), None, "{none}");
        }
    }

    #[test]
    fn the_bucket_of_an_arn() {
        assert_eq!(bucket_of("arn:aws:s3:::a/b/c"), Some("a"));
        assert_eq!(bucket_of("arn:aws:s3:::a"), Some("a"));
        for none in ["arn:aws:s3:::a*/b", "*", "arn:aws:iam::1:user/x"] {
            assert_eq!(bucket_of(none), None, "{none}");
        }
    }
}
