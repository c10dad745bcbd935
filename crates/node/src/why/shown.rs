//! A decision and its documents, in words.

use access::{
    BucketAccess,
    policy::{
        Basis, Decision, DocumentReport, Explanation, Found, Lacks, Source, StatementReport,
        Verdict as Matches,
    },
};

use super::{Check, Question, Says, StatementSays};

/// What a document is called.
fn name(source: Source, question: &Question) -> String {
    let user = question.user.as_ref();
    match source {
        Source::Guard => "guard policy of the account".to_owned(),
        Source::Resource => match &question.bucket {
            Some((bucket, _)) => format!("policy of the bucket {bucket}"),
            None => "policy of the resource".to_owned(),
        },
        Source::Identity(n) => {
            let found = user.and_then(|user| user.policies.get(n));
            let called = found.map_or("?", |policy| &policy.name);
            match called.strip_prefix("arn:").is_some() {
                true => format!("policy {called}"),
                false => format!("policy {called} of the {}", question.kind()),
            }
        }
        Source::Boundary => {
            let found = user.and_then(|user| user.boundary.as_ref());
            format!("boundary {}", found.map_or("?", |policy| &policy.name))
        }
        Source::Session(n) => format!("session policy {}", n + 1),
    }
}

/// A statement by its place, and by its `Sid` if it has one.
fn statement(found: &Found, explanation: Option<&Explanation>) -> String {
    let reports = explanation.map(|e| &e.documents[..]).unwrap_or_default();
    let report = reports.iter().find(|r| r.source == found.document);
    let statements = report.map(|r| &r.statements[..]).unwrap_or_default();
    let sid = statements.iter().find(|s| s.statement == found.statement);
    let number = found.statement + 1;
    match sid.and_then(|s| s.sid.as_ref()) {
        Some(sid) => format!("statement {number} ({sid})"),
        None => format!("statement {number}"),
    }
}

/// Why it was decided so.
pub fn decision(
    decision: &Decision,
    explanation: Option<&Explanation>,
    question: &Question,
) -> String {
    let of = |found: &Found| {
        let statement = statement(found, explanation);
        format!("{statement} of the {}", name(found.document, question))
    };
    match decision {
        Decision::Allow(Basis::Statement(found)) => format!("{} allows it", of(found)),
        Decision::Allow(Basis::Root) => "the account itself needs no policy of its own".to_owned(),
        Decision::Allow(Basis::Acl) => "an access control list allows it".to_owned(),
        Decision::ExplicitDeny(found) => {
            format!("{} denies it, which nothing outweighs", of(found))
        }
        Decision::ImplicitDeny(Lacks::Identity) => match &question.user {
            Some(role) if question.session.is_some() => match role.policies.is_empty() {
                true => "the role has no policy".to_owned(),
                false => "no policy of the role allows it".to_owned(),
            },
            Some(user) if user.policies.is_empty() => {
                "the user has no policy, and is in no group that has one".to_owned()
            }
            _ => "no policy of the user or of its groups allows it".to_owned(),
        },
        Decision::ImplicitDeny(lacks) => lacks.to_string(),
        Decision::Needs(need) => format!("it depends on {need}, which were not given"),
    }
}

/// Each document, and those that could be there and are not.
pub fn documents(
    explanation: &Explanation,
    question: &Question,
    access: Option<&BucketAccess>,
) -> Vec<Check> {
    let mut all: Vec<Check> = explanation
        .documents
        .iter()
        .map(|report| document(report, question))
        .collect();
    let none = |what: &str, why: &str| Check::new(what, Says::None, why);
    if let Some(user) = &question.user {
        if user.policies.is_empty() {
            let what = format!("policies of the {}", question.kind());
            all.push(none(&what, "no policy, own or of a group"));
        }
        if user.boundary.is_none() {
            let kind = question.kind();
            let why = format!("nothing bounds the {kind}");
            all.push(none(&format!("boundary of the {kind}"), &why));
        }
    }
    if question.session.as_ref().is_some_and(Vec::is_empty) {
        all.push(none("session policy", "nothing bounds the session"));
    }
    match access {
        Some(access) if access.unreadable().is_some() => all.push(Check::new(
            "policy of the bucket",
            Says::Refuses,
            "it cannot be read by this release: only the account's own keys replace it",
        )),
        Some(access) if !access.has_policy() => {
            all.push(none("policy of the bucket", "the bucket has none"));
        }
        _ => {}
    }
    all
}

fn document(report: &DocumentReport, question: &Question) -> Check {
    let statements: Vec<StatementSays> = report.statements.iter().map(one).collect();
    let (says, by) = says(report);
    let why = match (report.counts, by) {
        (false, _) => "does not count here".to_owned(),
        (true, None) => match report.statements.len() {
            1 => "its statement is not about this".to_owned(),
            0 => "it has no statement".to_owned(),
            n => format!("none of its {n} statements is about this"),
        },
        (true, Some(own)) => {
            let sid = own.sid.as_ref().map(|sid| format!(" ({sid})"));
            format!("statement {}{}", own.statement + 1, sid.unwrap_or_default())
        }
    };
    Check {
        what: name(report.source, question),
        says,
        why,
        statements,
    }
}

/// What a document says as a whole, and the statement by which it does.
fn says(report: &DocumentReport) -> (Says, Option<&StatementReport>) {
    if !report.counts {
        return (Says::Nothing, None);
    }
    let find = |denies: bool, is: fn(&Matches) -> bool| {
        let mut statements = report.statements.iter();
        statements.find(|own| own.denies == denies && is(&own.verdict))
    };
    let matches = |verdict: &Matches| matches!(verdict, Matches::Matches(_) | Matches::TooCostly);
    let denies = |verdict: &Matches| match verdict {
        Matches::Matches(_) | Matches::TooCostly | Matches::Ambiguous => true,
        Matches::Differs(_) | Matches::Unknown(_) => false,
    };
    let unknown = |verdict: &Matches| matches!(verdict, Matches::Unknown(_));
    let found = [
        (Says::Denies, find(true, denies)),
        (Says::Unknown, find(true, unknown)),
        (Says::Allows, find(false, matches)),
        (Says::Unknown, find(false, unknown)),
    ];
    let mut found = found.into_iter().filter(|(_, own)| own.is_some());
    found.next().unwrap_or((Says::Nothing, None))
}

fn one(own: &StatementReport) -> StatementSays {
    let (applies, why) = match &own.verdict {
        Matches::Matches(_) | Matches::TooCostly => (Some(true), own.words()),
        Matches::Ambiguous => (Some(own.denies), own.words()),
        Matches::Differs(mismatch) => (Some(false), mismatch.to_string()),
        Matches::Unknown(need) => (None, format!("depends on {need}")),
    };
    StatementSays {
        number: own.statement + 1,
        sid: own.sid.clone(),
        effect: if own.denies { "Deny" } else { "Allow" }.to_owned(),
        applies,
        why,
        notes: own.warnings.clone(),
    }
}
