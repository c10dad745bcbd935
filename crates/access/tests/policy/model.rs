//! The rules as a person would write them down: slow, on JSON and strings, without any code of the
//! evaluator.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::OWN;

/// A value of the request.
#[derive(Debug, Clone, PartialEq)]
pub enum Have {
    One(String),
    Many(Vec<String>),
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Who {
    /// `anonymous`, `root`, `user`, `role`, `federated` or `service`.
    pub kind: &'static str,
    pub account: String,
    /// The ARN of the user or role, also that of a session's.
    pub entity: String,
    /// Its unique id.
    pub id: String,
    /// The ARN of the session.
    pub session: String,
    pub provider: String,
    /// Of a service.
    pub service: String,
}

/// A question, and all documents.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Case {
    pub who: Who,
    pub action: String,
    pub resource: String,
    pub context: BTreeMap<String, Have>,
    pub guard: Option<Value>,
    pub bucket: Option<Value>,
    pub identity: Vec<Value>,
    pub boundary: Option<Value>,
    pub sessions: Vec<Value>,
    /// `account`, `authenticated`, `all`.
    pub acl: Vec<&'static str>,
    pub object_owner: Option<String>,
    pub restrict: bool,
    pub ignore: bool,
    /// Unique ids that are known.
    pub ids: BTreeMap<String, String>,
}

/// `allow`, `explicit`, or `implicit` and what lacks.
pub fn decide(case: &Case) -> String {
    let who = &case.who;
    let signed = !["anonymous", "service"].contains(&who.kind);
    let bucket = case.bucket.iter().collect::<Vec<_>>();
    let guard = case.guard.iter().filter(|_| signed).collect::<Vec<_>>();
    let boundary = case.boundary.iter().collect::<Vec<_>>();
    let identity = case.identity.iter().collect::<Vec<_>>();
    let sessions = case.sessions.iter().collect::<Vec<_>>();
    // 1
    let of_principals = [&guard, &identity, &boundary, &sessions];
    let denied = of_principals
        .iter()
        .flat_map(|documents| documents.iter())
        .any(|document| !matching(case, document, "Deny", false).is_empty());
    let by_bucket = bucket
        .iter()
        .any(|d| !matching(case, d, "Deny", true).is_empty());
    if denied || by_bucket {
        return "explicit".into();
    }
    let allows = |documents: &[&Value]| {
        let mut documents = documents.iter();
        documents.any(|document| !matching(case, document, "Allow", false).is_empty())
    };
    // 2
    if !guard.is_empty() && !allows(&guard) {
        return "implicit guard".into();
    }
    // 3
    let mut grants: Vec<&str> = bucket
        .iter()
        .flat_map(|d| matching(case, d, "Allow", true))
        .collect();
    let public = bucket.iter().any(|document| is_public(document));
    if case.restrict && public && who.account != OWN && who.kind != "service" {
        grants.clear();
    }
    let mut acl = case.acl.clone();
    if case.ignore {
        acl.retain(|grant| *grant == "account");
    }
    let by_owner = who.account == OWN && case.action == "s3:DeleteObject";
    let owner = match &case.object_owner {
        Some(owner) if !by_owner => owner.clone(),
        _ => OWN.to_owned(),
    };
    if owner != OWN {
        grants.clear();
    }
    let ident = allows(&identity);
    let bounded = case.boundary.is_some() && !allows(&boundary);
    let narrow = match case.sessions.is_empty() {
        true => who.kind == "federated",
        false => !allows(&sessions),
    };
    let root = who.kind == "root";
    let group = acl.contains(&"all") || (signed && acl.contains(&"authenticated"));
    let lacks = |what: &str| format!("implicit {what}");
    let cap = match (bounded, narrow) {
        (true, _) => Some("boundary"),
        (false, true) => Some("session"),
        (false, false) => None,
    };
    match who.kind {
        // 6, 7
        "anonymous" if grants.contains(&"direct") || acl.contains(&"all") => "allow".into(),
        "service" if grants.contains(&"direct") => "allow".into(),
        "anonymous" | "service" => lacks("resource"),
        // 4
        _ if who.account == owner => {
            let reached = ident || grants.contains(&"role");
            if root || grants.contains(&"direct") || (reached && cap.is_none()) || group {
                "allow".into()
            } else if !reached {
                lacks("identity")
            } else {
                lacks(cap.unwrap())
            }
        }
        // 5
        _ => {
            let theirs = root || (ident && cap.is_none());
            let ours = !grants.is_empty() || group || acl.contains(&"account");
            match (theirs, ours) {
                (true, true) => "allow".into(),
                (true, false) => lacks("resource"),
                (false, _) if !ident => lacks("identity"),
                (false, _) => lacks(cap.unwrap()),
            }
        }
    }
}

fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    }
}

fn texts(value: &Value) -> Vec<String> {
    listed(value)
        .into_iter()
        .map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

/// What each statement of this effect that matches is worth.
fn matching(case: &Case, document: &Value, effect: &str, principals: bool) -> Vec<&'static str> {
    let variables = document["Version"] == "2012-10-17";
    let mut worth = Vec::new();
    for statement in listed(&document["Statement"]) {
        if statement["Effect"] != effect || !has_action(case, statement) {
            continue;
        }
        let own = match principals {
            true => meant(case, statement, effect == "Deny"),
            false => Some("direct"),
        };
        let Some(own) = own else { continue };
        // A variable without a value anywhere: the statement is none.
        let Some(resources) = has_resource(case, statement, variables) else {
            continue;
        };
        let Some(conditions) = has_conditions(case, statement, variables) else {
            continue;
        };
        if resources && conditions {
            worth.push(own);
        }
    }
    worth
}

fn has_action(case: &Case, statement: &Value) -> bool {
    let any = |value: &Value| {
        texts(value).iter().any(|pattern| {
            let pattern: Vec<_> = symbols(&pattern.to_lowercase(), true, false, case).unwrap();
            fits(&pattern, &case.action.to_lowercase())
        })
    };
    match statement.get("Action") {
        Some(actions) => any(actions),
        None => !any(&statement["NotAction"]),
    }
}

/// What a statement is worth to who asks.
fn meant(case: &Case, statement: &Value, deny: bool) -> Option<&'static str> {
    let who = &case.who;
    let everybody = if who.kind == "service" {
        "account"
    } else {
        "direct"
    };
    let entity = if who.kind == "user" { "direct" } else { "role" };
    let named = |value: &Value| -> Vec<&'static str> {
        let mut parts = Vec::new();
        if value == "*" {
            parts.push("*");
        }
        for (kind, texts_) in value.as_object().into_iter().flatten() {
            for text in texts(texts_) {
                let account =
                    text == who.account || text == format!("arn:aws:iam::{}:root", who.account);
                let known = case.ids.get(&text).is_some_and(|id| *id == who.id);
                match kind.as_str() {
                    "AWS" if text == "*" => parts.push("*"),
                    "AWS" if !who.account.is_empty() && account => parts.push("account"),
                    "AWS" if !who.id.is_empty() && known => parts.push("entity"),
                    "AWS" if !who.session.is_empty() && text == who.session => {
                        parts.push("session")
                    }
                    "Service" if text == who.service => parts.push("service"),
                    "Federated" if text == who.provider => parts.push("provider"),
                    _ => {}
                }
            }
        }
        parts
    };
    if let Some(not) = statement.get("NotPrincipal") {
        let parts = named(not);
        let chain: &[&str] = match who.kind {
            "root" => &["account"],
            "user" => &["account", "entity"],
            "service" => &["service"],
            "role" | "federated" => &["account", "entity", "session"],
            _ => &["nobody"],
        };
        let spared = parts.contains(&"*")
            || match deny {
                true => chain.iter().all(|part| parts.contains(part)),
                false => !parts.is_empty(),
            };
        return (!spared).then_some(everybody);
    }
    let parts = named(&statement["Principal"]);
    let worth = parts.iter().map(|part| match *part {
        "*" => everybody,
        "account" => "account",
        "entity" => entity,
        "provider" => "role",
        _ => "direct",
    });
    let order = ["account", "role", "direct"];
    worth.max_by_key(|worth| order.iter().position(|own| own == worth))
}

/// A pattern, one character after another.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Symbol {
    Any,
    One,
    Is(char),
}

/// The pattern of a text; `None` if a variable in it has no value.
fn symbols(text: &str, wild: bool, variables: bool, case: &Case) -> Option<Vec<Symbol>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if variables && rest.starts_with("${") {
            let end = rest.find('}').unwrap();
            let inner = &rest[2..end];
            rest = &rest[end + 1..];
            let value = match inner {
                "*" | "?" | "$" => inner.to_owned(),
                _ => {
                    let (key, default) = match inner.split_once(',') {
                        Some((key, default)) => (key, Some(default.trim().trim_matches('\''))),
                        None => (inner, None),
                    };
                    match get(case, key.trim()) {
                        Some(Have::One(value)) => value,
                        Some(Have::Many(_)) => panic!("several values: {key}"),
                        None => default?.to_owned(),
                    }
                }
            };
            out.extend(value.chars().map(Symbol::Is));
            continue;
        }
        rest = &rest[c.len_utf8()..];
        out.push(match c {
            '*' if wild => Symbol::Any,
            '?' if wild => Symbol::One,
            c => Symbol::Is(c),
        });
    }
    Some(out)
}

fn get(case: &Case, key: &str) -> Option<Have> {
    // Names of tags on objects have a case.
    for family in ["s3:ExistingObjectTag/", "s3:RequestObjectTag/"] {
        if key.len() > family.len() && key[..family.len()].eq_ignore_ascii_case(family) {
            let name = &key[family.len()..];
            return case.context.get(&format!("{family}{name}")).cloned();
        }
    }
    let mut context = case.context.iter();
    let found = context.find(|(own, _)| own.eq_ignore_ascii_case(key));
    found.map(|(_, have)| have.clone())
}

fn fits(pattern: &[Symbol], text: &str) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return text.is_empty();
    };
    let next = text.chars().next();
    let after = |c: char| &text[c.len_utf8()..];
    match (first, next) {
        (Symbol::Any, None) => fits(rest, text),
        (Symbol::Any, Some(c)) => fits(rest, text) || fits(pattern, after(c)),
        (Symbol::One, Some(c)) => fits(rest, after(c)),
        (Symbol::Is(own), Some(c)) => *own == c && fits(rest, after(c)),
        (Symbol::One | Symbol::Is(_), None) => false,
    }
}

/// The first five segments by themselves, the last against all the rest.
fn arn_fits(pattern: &[Symbol], text: &str) -> bool {
    let mut segments: Vec<Vec<Symbol>> = vec![Vec::new()];
    for symbol in pattern {
        match symbol {
            Symbol::Is(':') if segments.len() < 6 => segments.push(Vec::new()),
            symbol => segments.last_mut().unwrap().push(*symbol),
        }
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let mut both = segments.iter().zip(&parts);
    segments.len() == 6 && parts.len() == 6 && both.all(|(pattern, part)| fits(pattern, part))
}

/// `None` if a variable has no value.
fn has_resource(case: &Case, statement: &Value, variables: bool) -> Option<bool> {
    let (value, not) = match statement.get("Resource") {
        Some(value) => (value, false),
        None => (&statement["NotResource"], true),
    };
    let mut any = false;
    for text in texts(value) {
        let pattern = symbols(&text, true, variables, case)?;
        any |= text == "*" || arn_fits(&pattern, &case.resource);
    }
    Some(any != not)
}

/// `None` if a variable has no value.
fn has_conditions(case: &Case, statement: &Value, variables: bool) -> Option<bool> {
    let mut all = true;
    for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
        for (key, values) in keys.as_object().unwrap() {
            all &= holds(case, operator, key, &texts(values), variables)?;
        }
    }
    Some(all)
}

fn holds(
    case: &Case,
    operator: &str,
    key: &str,
    values: &[String],
    variables: bool,
) -> Option<bool> {
    let mut operator = operator.to_lowercase();
    let mut take = |part: &str, end: bool| {
        let found = match end {
            true => operator.strip_suffix(part),
            false => operator.strip_prefix(part),
        };
        let found = found.map(str::to_owned);
        found.map(|rest| operator = rest).is_some()
    };
    let every = take("forallvalues:", false);
    let any = take("foranyvalue:", false);
    let if_exists = take("ifexists", true);
    let negated = operator.contains("not");
    let base = operator.replace("not", "");
    let mut patterns = Vec::new();
    for value in values {
        let wild = matches!(base.as_str(), "stringlike" | "arnlike" | "arnequals");
        let text = base.starts_with("string") || base.starts_with("arn");
        patterns.push(symbols(value, wild, variables && text, case)?);
    }
    let have = match get(case, key) {
        Some(Have::Many(values)) if values.is_empty() => None,
        have => have,
    };
    if base == "null" {
        return Some(
            values
                .iter()
                .any(|value| (value == "true") == have.is_none()),
        );
    }
    let Some(have) = have else {
        return Some(if_exists || every || (!any && negated));
    };
    let (haves, set) = match have {
        Have::One(one) => (vec![one], false),
        Have::Many(many) => (many, true),
    };
    // Of one value of the request.
    let satisfied = |have: &String| -> bool {
        let equal = |n: usize| compare(&base, have, &values[n], &patterns[n]);
        let all: Option<Vec<bool>> = (0..values.len()).map(equal).collect();
        // What is none of the kind never holds.
        all.is_some_and(|all| all.contains(&true) != negated)
    };
    Some(match (every, any, set && negated) {
        (true, _, _) | (false, false, true) => haves.iter().all(satisfied),
        _ => haves.iter().any(satisfied),
    })
}

/// Whether a value is what the document says; `None` if it is none of the kind.
fn compare(base: &str, have: &str, value: &str, pattern: &[Symbol]) -> Option<bool> {
    let literal: String = pattern
        .iter()
        .map(|symbol| match symbol {
            Symbol::Is(c) => *c,
            Symbol::Any => '*',
            Symbol::One => '?',
        })
        .collect();
    let order = |have: f64, value: f64| {
        let order = base
            .trim_start_matches("numeric")
            .trim_start_matches("date");
        match order {
            "equals" => have == value,
            "lessthan" => have < value,
            "lessthanequals" => have <= value,
            "greaterthan" => have > value,
            "greaterthanequals" => have >= value,
            other => panic!("{other}"),
        }
    };
    Some(match base {
        "stringequals" => have == literal,
        "stringequalsignorecase" => have.to_lowercase() == literal.to_lowercase(),
        "stringlike" => fits(pattern, have),
        "arnlike" | "arnequals" => {
            let six = have.split(':').count() >= 6;
            six && (value == "*" || arn_fits(pattern, have))
        }
        "bool" => match have.to_lowercase().as_str() {
            "true" | "false" => have.to_lowercase() == value.to_lowercase(),
            _ => return None,
        },
        "binaryequals" => {
            // All values of the tests are one word.
            let known = [("YQ==", "a"), ("dHJ1ZQ==", "true"), ("YWxwaGE=", "alpha")];
            known
                .iter()
                .any(|(base64, text)| *base64 == value && *text == have)
        }
        "ipaddress" => {
            let have = have.parse().ok()?;
            within(have, value)
        }
        base if base.starts_with("numeric") => {
            let plain = have.chars().all(|c| c.is_ascii_digit() || "-.".contains(c));
            let have = have.parse::<f64>().ok().filter(|_| plain)?;
            order(have, value.parse().unwrap())
        }
        base if base.starts_with("date") => order(seconds(have)?, seconds(value).unwrap()),
        other => panic!("{other}"),
    })
}

fn seconds(text: &str) -> Option<f64> {
    if text.chars().all(|c| c.is_ascii_digit()) {
        return text.parse().ok();
    }
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    let at: jiff::Timestamp = whole.parse().ok()?;
    Some(at.as_millisecond() as f64 / 1000.0)
}

fn within(have: std::net::IpAddr, network: &str) -> bool {
    use std::net::IpAddr;
    let (base, bits) = network.split_once('/').unwrap_or((network, ""));
    match (have, base.parse().unwrap()) {
        (IpAddr::V4(have), IpAddr::V4(base)) => {
            let bits: u32 = bits.parse().unwrap_or(32);
            (0..bits).all(|n| (have.to_bits() ^ base.to_bits()) >> (31 - n) & 1 == 0)
        }
        (IpAddr::V6(have), IpAddr::V6(base)) => {
            let bits: u32 = bits.parse().unwrap_or(128);
            (0..bits).all(|n| (have.to_bits() ^ base.to_bits()) >> (127 - n) & 1 == 0)
        }
        _ => false,
    }
}

/// Whether a bucket's policy lets the public in.
pub fn is_public(document: &Value) -> bool {
    let statements = listed(&document["Statement"]);
    let mut allows = statements.iter().filter(|own| own["Effect"] == "Allow");
    allows.any(|statement| !is_fixed(statement))
}

fn is_fixed(statement: &Value) -> bool {
    let principal = &statement["Principal"];
    let aws = texts(&principal["AWS"]);
    let open = statement.get("NotPrincipal").is_some()
        || principal == "*"
        || aws.contains(&"*".to_owned())
        || principal.get("Federated").is_some();
    if !open {
        return true;
    }
    let fixed = |value: &String| !value.contains(['*', '?']) && !value.contains("${");
    for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
        let operator = operator.to_lowercase();
        let operator = operator.trim_start_matches("foranyvalue:");
        for (key, values) in keys.as_object().unwrap() {
            let key = key.to_lowercase();
            let values = texts(values);
            let text = [
                "stringequals",
                "stringlike",
                "arnequals",
                "arnlike",
                "stringequalsignorecase",
            ];
            let names = ["aws:principalarn", "aws:principalaccount", "aws:userid"];
            if text.contains(&operator) && names.contains(&key.as_str()) && values.iter().all(fixed)
            {
                return true;
            }
            let narrow = |value: &String| {
                let bits = value
                    .split_once('/')
                    .map_or(128, |(_, bits)| bits.parse().unwrap());
                bits >= if value.contains(':') { 32 } else { 8 }
            };
            if operator == "ipaddress" && key == "aws:sourceip" && values.iter().all(narrow) {
                return true;
            }
        }
    }
    false
}
