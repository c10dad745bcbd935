//! Random cases, of few words, so that what is alike but not the same meets often.

use std::{collections::BTreeMap, net::IpAddr, sync::LazyLock};

use access::policy::{
    Acl, AclGrants, ActionName, Conditions, Decision, Document, DocumentKind, Documents, Lacks,
    Principal, Request, Target, UserRef, decide,
};
use serde_json::{Value, json};
use types::Timestamp;

use crate::{
    common::{BUCKET, OTHER, OWN, PROVIDER},
    model::{Case, Have, Who},
};

/// Numbers from a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }

    fn some<'t>(&mut self, from: &[&'t str], most: usize) -> Vec<&'t str> {
        (0..=self.below(most)).map(|_| self.pick(from)).collect()
    }
}

const USERS: [(&str, &str, &str); 3] = [
    ("/", "ann", "AIDAANN00000000000000"),
    ("/staff/", "ann", "AIDASTAFFANN000000000"),
    ("/", "annie", "AIDAANNIE000000000000"),
];
const ROLES: [(&str, &str, &str); 2] = [
    ("/", "reader", "AROAREADER00000000000"),
    ("/jobs/", "readers", "AROAREADERS0000000000"),
];
const SESSIONS: [&str; 2] = ["today", "today2"];
const GUESTS: [&str; 2] = ["guest", "ann"];
const SERVICES: [&str; 2] = ["logging.s3.amazonaws.com", "s3.amazonaws.com"];
const KEYS: [&str; 14] = [
    "a", "a/", "a/b", "a/b/c", "ab", "a//b", "b/a", "A/b", "a*b", "é/b", "a/ann/b", "a/é", "a?b",
    "ann",
];
const ACTIONS: [&str; 7] = [
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:ListBucket",
    "s3:GetBucketPolicy",
    "iam:GetUser",
];
const TEXTS: [&str; 15] = [
    "*", "a*", "a?pha", "a", "a/", "a/b", "alpha", "Alpha", "ALPHA", "al*", "", "é", "É", "ann",
    "true",
];
const TAGS: [&str; 3] = ["team", "Team", "level"];
const TIMES: [&str; 5] = [
    "2026-11-28T00:00:00Z",
    "2026-11-29T00:00:00Z",
    "2026-11-29T00:00:01Z",
    "2026-11-29T12:00:00Z",
    "2026-11-30T00:00:00Z",
];
const ADDRESSES: [&str; 6] = [
    "10.0.0.1",
    "10.0.1.1",
    "203.0.113.7",
    "203.0.113.128",
    "2001:db8::1",
    "2001:db9::1",
];

/// What is said beside principal, action and resource, as the model and as the evaluator have it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub time: Option<String>,
    pub address: Option<String>,
    pub secure: Option<bool>,
    pub prefix: Option<String>,
    pub delimiter: Option<String>,
    pub max_keys: Option<i64>,
    pub agent: Option<String>,
    pub source_arn: Option<String>,
    pub existing: Vec<(String, String)>,
    pub asked: Vec<(String, String)>,
    pub principal: Vec<(String, String)>,
}

fn maybe(random: &mut Random, from: &[&str]) -> Option<String> {
    (!random.one_in(3)).then(|| random.pick(from).to_owned())
}

fn tags(random: &mut Random, names: &[&str]) -> Vec<(String, String)> {
    let mut tags = BTreeMap::new();
    for _ in 0..random.below(3) {
        tags.insert(
            random.pick(names).to_owned(),
            random.pick(&TEXTS).to_owned(),
        );
    }
    tags.into_iter().collect()
}

impl Facts {
    fn random(random: &mut Random) -> Self {
        let arns = arns();
        let arns: Vec<&str> = arns.iter().map(String::as_str).collect();
        Self {
            time: maybe(random, &TIMES),
            address: maybe(random, &ADDRESSES),
            secure: (!random.one_in(3)).then(|| random.one_in(2)),
            prefix: maybe(random, &TEXTS),
            delimiter: maybe(random, &["/", ""]),
            max_keys: (!random.one_in(3)).then(|| random.below(4) as i64),
            agent: maybe(random, &TEXTS),
            source_arn: maybe(random, &arns),
            existing: tags(random, &TAGS),
            asked: tags(random, &TAGS),
            // These have no case.
            principal: tags(random, &["team", "level"]),
        }
    }

    /// For the model.
    fn context(&self) -> BTreeMap<String, Have> {
        let mut context = BTreeMap::new();
        let mut put = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                context.insert(key.to_owned(), Have::One(value.clone()));
            }
        };
        put("aws:CurrentTime", &self.time);
        put("aws:SourceIp", &self.address);
        put(
            "aws:SecureTransport",
            &self.secure.map(|flag| flag.to_string()),
        );
        put("s3:prefix", &self.prefix);
        put("s3:delimiter", &self.delimiter);
        put(
            "s3:max-keys",
            &self.max_keys.map(|number| number.to_string()),
        );
        put("aws:UserAgent", &self.agent);
        put("aws:SourceArn", &self.source_arn);
        let seconds = self.time.as_ref().map(|time| {
            let at: jiff::Timestamp = time.parse().unwrap();
            at.as_second().to_string()
        });
        put("aws:EpochTime", &seconds);
        for (family, tags) in [
            ("s3:ExistingObjectTag/", &self.existing),
            ("s3:RequestObjectTag/", &self.asked),
        ] {
            for (name, value) in tags {
                put(&format!("{family}{name}"), &Some(value.clone()));
            }
        }
        let names = self.asked.iter().map(|(name, _)| name.clone()).collect();
        context.insert("s3:RequestObjectTagKeys".to_owned(), Have::Many(names));
        context
    }
}

/// All ARNs of users and roles.
fn arns() -> &'static [String] {
    static ARNS: LazyLock<Vec<String>> = LazyLock::new(all_arns);
    &ARNS
}

fn all_arns() -> Vec<String> {
    let mut arns = Vec::new();
    for account in [OWN, OTHER] {
        for (path, name, _) in USERS {
            arns.push(format!("arn:aws:iam::{account}:user{path}{name}"));
        }
        for (path, name, _) in ROLES {
            arns.push(format!("arn:aws:iam::{account}:role{path}{name}"));
        }
    }
    arns
}

/// Their unique ids; those of each account are others.
pub fn ids() -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for (n, account) in [OWN, OTHER].iter().enumerate() {
        for (path, name, id) in USERS {
            ids.insert(
                format!("arn:aws:iam::{account}:user{path}{name}"),
                format!("{id}{n}"),
            );
        }
        for (path, name, id) in ROLES {
            ids.insert(
                format!("arn:aws:iam::{account}:role{path}{name}"),
                format!("{id}{n}"),
            );
        }
    }
    ids
}

/// Who asks, with its parts.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    pub who: Who,
    pub path: &'static str,
    pub name: &'static str,
    pub session: &'static str,
}

pub fn who(random: &mut Random, kinds: &[&'static str]) -> Parts {
    let kind = random.pick(kinds);
    let account = if random.one_in(3) { OTHER } else { OWN };
    let mut parts = Parts::default();
    parts.who.kind = kind;
    if kind == "service" {
        parts.who.service = random.pick(&SERVICES).to_owned();
        return parts;
    }
    if kind == "anonymous" {
        return parts;
    }
    parts.who.account = account.to_owned();
    let (of, table) = match kind {
        "role" => ("role", &ROLES[..]),
        _ => ("user", &USERS[..]),
    };
    let (path, name, _) = table[random.below(table.len())];
    (parts.path, parts.name) = (path, name);
    if kind == "root" {
        return parts;
    }
    parts.who.entity = format!("arn:aws:iam::{account}:{of}{path}{name}");
    parts.who.id = ids()[&parts.who.entity].clone();
    if kind == "role" {
        parts.session = random.pick(&SESSIONS);
        let session = parts.session;
        parts.who.session = format!("arn:aws:sts::{account}:assumed-role/{name}/{session}");
        if random.one_in(2) {
            parts.who.provider = PROVIDER.to_owned();
        }
    }
    if kind == "federated" {
        parts.session = random.pick(&GUESTS);
        let session = parts.session;
        parts.who.session = format!("arn:aws:sts::{account}:federated-user/{session}");
    }
    parts
}

impl Parts {
    /// What the model has of the principal in its context.
    fn context(&self, facts: &Facts, context: &mut BTreeMap<String, Have>) {
        let who = &self.who;
        let account = &who.account;
        let mut put = |key: &str, value: String| {
            context.insert(key.to_owned(), Have::One(value));
        };
        put("aws:ResourceAccount", OWN.to_owned());
        put(
            "aws:PrincipalIsAWSService",
            (who.kind == "service").to_string(),
        );
        let (kind, arn, id) = match who.kind {
            "anonymous" => ("Anonymous", String::new(), String::new()),
            "root" => (
                "Account",
                format!("arn:aws:iam::{account}:root"),
                account.clone(),
            ),
            "user" => ("User", who.entity.clone(), who.id.clone()),
            "role" => (
                "AssumedRole",
                who.entity.clone(),
                format!("{}:{}", who.id, self.session),
            ),
            "federated" => (
                "FederatedUser",
                who.session.clone(),
                format!("{account}:{}", self.session),
            ),
            _ => {
                put("aws:PrincipalServiceName", who.service.clone());
                return;
            }
        };
        put("aws:PrincipalType", kind.to_owned());
        if who.kind == "anonymous" {
            return;
        }
        put("aws:PrincipalArn", arn);
        put("aws:userid", id);
        put("aws:PrincipalAccount", account.clone());
        if who.kind == "user" {
            put("aws:username", self.name.to_owned());
        }
        if who.kind != "root" {
            for (name, value) in &facts.principal {
                put(&format!("aws:PrincipalTag/{name}"), value.clone());
            }
        }
    }
}

const ACTION_PATTERNS: [&str; 13] = [
    "*",
    "s3:*",
    "S3:getobject",
    "s3:GetObject",
    "s3:GetObject*",
    "s3:Get*",
    "s3:?etObject",
    "s3:PutObject",
    "s3:*Object",
    "s3:DeleteObject",
    "s3:ListBucket",
    "s3:GetBucketPolicy",
    "s3:*t",
];
const OTHER_PATTERNS: [&str; 4] = ["iam:*", "iam:GetUser", "IAM:get?ser", "sts:*"];
const RESOURCES: [&str; 19] = [
    "arn:aws:s3:::photos",
    "arn:aws:s3:::photos*",
    "arn:aws:s3:::photos/*",
    "arn:aws:s3:::photos/a*",
    "arn:aws:s3:::photos/a/*",
    "arn:aws:s3:::photos/a",
    "arn:aws:s3:::photos/a/b",
    "arn:aws:s3:::photos/*/b",
    "arn:aws:s3:::photos/a?b",
    "arn:aws:s3:::photos/?/b",
    "arn:aws:s3:::photos/*a*b*",
    "arn:aws:s3:::photos/${aws:username}",
    "arn:aws:s3:::photos/a/${aws:username}/*",
    "arn:aws:s3:::photos/${s3:prefix, 'a'}*",
    "arn:aws:s3:::photos/a${*}b",
    "arn:aws:s3:::photos/a${?}b",
    "arn:aws:s3:::photos/${aws:PrincipalTag/team, 'a'}/b",
    "arn:aws:s3:::photos/${s3:ExistingObjectTag/team}*",
    "arn:aws:s3:::photos/é/*",
];
const FREE_RESOURCES: [&str; 10] = [
    "*",
    "arn:aws:s3:::*",
    "arn:aws:s3:::photo",
    "arn:aws:s3:::p*s/a/*",
    "arn:aws:s3:::*/b",
    "arn:*:s3:::photos/*",
    "arn:aws:*:::photos/*",
    "arn:aws:s3:*:*:photos/*",
    "arn:aws:iam::*:user/*",
    "arn:aws:iam::111122223333:*/ann",
];

fn pattern_of(random: &mut Random, key: &str) -> String {
    let mut value = random.pick(&TEXTS).to_owned();
    let wild = random.one_in(4);
    let mut pick = |from: &[&str]| value = random.pick(from).to_owned();
    match key.to_lowercase().as_str() {
        "aws:sourceip" => pick(&ADDRESSES),
        "aws:currenttime" | "aws:epochtime" => pick(&TIMES),
        "aws:securetransport" | "aws:principalisawsservice" => pick(&["true", "false"]),
        "aws:principalarn" | "aws:sourcearn" => {
            let arns = arns();
            let mut arns: Vec<&str> = arns.iter().map(String::as_str).collect();
            arns.extend([
                "arn:aws:iam::*:user/*",
                "arn:aws:iam::111122223333:role/*",
                "arn:*:iam::1111????3333:*",
                "arn:aws:iam:*:user/ann",
                "arn:aws:iam::111122223333:root",
                "arn:aws:iam::111122223333:user/${aws:username}",
                "*",
            ]);
            pick(&arns);
        }
        "aws:principalaccount" | "aws:resourceaccount" => pick(&[OWN, OTHER, "1111*"]),
        "aws:principaltype" => pick(&["User", "AssumedRole", "user", "Anonymous", "*"]),
        "aws:userid" => pick(&["AIDAANN000000000000000", "AROA*:today", "111122223333*"]),
        "s3:max-keys" => pick(&["0", "1", "2", "1.5", "-1"]),
        "s3:requestobjecttagkeys" => pick(&["team", "Team", "level", "lev*", "${aws:username}"]),
        _ if wild => pick(&[
            "a*",
            "?lpha",
            "*",
            "${aws:username}",
            "${s3:prefix}",
            "${s3:prefix}",
            "${aws:PrincipalTag/team, 'alpha'}",
            "${aws:PrincipalTag/team, 'a*'}",
            "${*}",
            "al${*}",
            "ALPH?",
        ]),
        _ => {}
    }
    value
}

const CONDITION_KEYS: [&str; 24] = [
    "aws:SourceIp",
    "aws:sourceip",
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:SecureTransport",
    "aws:UserAgent",
    "aws:PrincipalArn",
    "aws:PrincipalAccount",
    "aws:PrincipalType",
    "aws:PrincipalIsAWSService",
    "aws:SourceArn",
    "aws:userid",
    "aws:username",
    "aws:PrincipalTag/team",
    "aws:principaltag/TEAM",
    "aws:ResourceAccount",
    "s3:prefix",
    "s3:delimiter",
    "s3:max-keys",
    "s3:ExistingObjectTag/team",
    "s3:ExistingObjectTag/Team",
    "s3:RequestObjectTag/level",
    "s3:RequestObjectTagKeys",
    "s3:requestobjecttagkeys",
];

/// An operator, a key and values that fit it.
fn condition(random: &mut Random) -> (String, String, Value) {
    let key = random.pick(&CONDITION_KEYS);
    let lower = key.to_lowercase();
    let base = match lower.as_str() {
        _ if random.one_in(12) => "Null",
        "aws:sourceip" if !random.one_in(6) => random.pick(&["IpAddress", "NotIpAddress"]),
        "aws:currenttime" | "aws:epochtime" if !random.one_in(6) => random.pick(&[
            "DateEquals",
            "DateNotEquals",
            "DateLessThan",
            "DateLessThanEquals",
            "DateGreaterThan",
            "DateGreaterThanEquals",
        ]),
        "aws:securetransport" | "aws:principalisawsservice" if !random.one_in(6) => "Bool",
        "aws:principalarn" | "aws:sourcearn" if !random.one_in(4) => {
            random.pick(&["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"])
        }
        "s3:max-keys" if !random.one_in(6) => random.pick(&[
            "NumericEquals",
            "NumericNotEquals",
            "NumericLessThan",
            "NumericLessThanEquals",
            "NumericGreaterThan",
            "NumericGreaterThanEquals",
        ]),
        _ if random.one_in(12) => random.pick(&[
            "Bool",
            "BinaryEquals",
            "NumericEquals",
            "NumericNotEquals",
            "IpAddress",
            "NotIpAddress",
            "ArnLike",
            "ArnNotLike",
            "DateLessThan",
        ]),
        _ => random.pick(&[
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
            "stringlike",
        ]),
    };
    let count = 1 + random.below(3);
    let mut values = Vec::new();
    while values.len() < count {
        let value = match base {
            "Null" | "Bool" => random.pick(&["true", "false"]).to_owned(),
            "BinaryEquals" => random.pick(&["YQ==", "dHJ1ZQ==", "YWxwaGE="]).to_owned(),
            "IpAddress" | "NotIpAddress" => random
                .pick(&[
                    "10.0.0.0/24",
                    "10.0.0.0/8",
                    "203.0.113.7",
                    "203.0.113.0/25",
                    "0.0.0.0/0",
                    "2001:db8::/32",
                    "::/0",
                    "10.0.0.0/7",
                ])
                .to_owned(),
            "ArnLike" | "ArnNotLike" | "ArnEquals" | "ArnNotEquals" => {
                pattern_of(random, "aws:PrincipalArn")
            }
            base if base.starts_with("Numeric") => pattern_of(random, "s3:max-keys"),
            base if base.starts_with("Date") => {
                let times = [&TIMES[..], &["2026-11-29", "1795910401"]].concat();
                random.pick(&times).to_owned()
            }
            _ => pattern_of(random, key),
        };
        values.push(value);
    }
    let mut operator = base.to_owned();
    if base != "Null" {
        if random.one_in(4) {
            operator.push_str("IfExists");
        }
        let set = if lower.ends_with("tagkeys") { 2 } else { 8 };
        if random.one_in(set) {
            let which = random.pick(&["ForAllValues:", "ForAnyValue:"]);
            operator.insert_str(0, which);
        }
    }
    let value = match values.len() {
        1 if random.one_in(2) => json!(values[0]),
        _ => json!(values),
    };
    (operator, key.to_owned(), value)
}

fn principal(random: &mut Random) -> Value {
    if random.one_in(4) {
        return json!("*");
    }
    let mut aws: Vec<String> = arns().to_vec();
    for account in [OWN, OTHER] {
        aws.push(account.to_owned());
        aws.push(account.to_owned());
        aws.push(format!("arn:aws:iam::{account}:root"));
        for (_, role, _) in ROLES {
            for session in SESSIONS {
                aws.push(format!(
                    "arn:aws:sts::{account}:assumed-role/{role}/{session}"
                ));
            }
        }
        for guest in GUESTS {
            aws.push(format!("arn:aws:sts::{account}:federated-user/{guest}"));
        }
    }
    aws.push("*".to_owned());
    let aws: Vec<&str> = aws.iter().map(String::as_str).collect();
    match random.below(8) {
        0 => json!({ "Service": random.pick(&SERVICES) }),
        1 => json!({ "Federated": PROVIDER }),
        2 => json!({ "AWS": random.some(&aws, 2), "Service": random.pick(&SERVICES) }),
        _ => json!({ "AWS": random.some(&aws, 5) }),
    }
}

fn statement(random: &mut Random, of_bucket: bool) -> Value {
    let mut statement = serde_json::Map::new();
    let effect = if random.one_in(3) { "Deny" } else { "Allow" };
    statement.insert("Effect".into(), json!(effect));
    if of_bucket {
        let name = if random.one_in(6) {
            "NotPrincipal"
        } else {
            "Principal"
        };
        statement.insert(name.into(), principal(random));
    }
    let mut actions = ACTION_PATTERNS.to_vec();
    let mut resources = RESOURCES.to_vec();
    if !of_bucket {
        actions.extend(OTHER_PATTERNS);
        resources.extend(FREE_RESOURCES);
    }
    let name = if random.one_in(8) {
        "NotAction"
    } else {
        "Action"
    };
    statement.insert(name.into(), json!(random.some(&actions, 3)));
    let name = if random.one_in(8) {
        "NotResource"
    } else {
        "Resource"
    };
    statement.insert(name.into(), json!(random.some(&resources, 3)));
    let mut conditions: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
    if random.one_in(2) {
        for _ in 0..=random.below(2) {
            let (operator, key, value) = condition(random);
            conditions.entry(operator).or_default().insert(key, value);
        }
        statement.insert("Condition".into(), json!(conditions));
    }
    Value::Object(statement)
}

fn document(random: &mut Random, of_bucket: bool) -> Value {
    let count = 1 + random.below(3);
    let statements: Vec<_> = (0..count).map(|_| statement(random, of_bucket)).collect();
    match random.below(6) {
        0 => json!({ "Version": "2008-10-17", "Statement": statements }),
        _ => json!({ "Version": "2012-10-17", "Statement": statements }),
    }
}

/// A case, and its parts as the evaluator has them.
#[derive(Debug, Clone)]
pub struct Sample {
    pub case: Case,
    pub parts: Parts,
    pub facts: Facts,
}

impl Sample {
    pub fn random(random: &mut Random) -> Self {
        let kinds = [
            "user",
            "user",
            "role",
            "role",
            "federated",
            "root",
            "anonymous",
            "service",
        ];
        let kind = random.pick(&kinds);
        let signed = !["anonymous", "service"].contains(&kind);
        let few = |random: &mut Random, most: usize| -> Vec<Value> {
            (0..random.below(most + 1))
                .map(|_| document(random, false))
                .collect()
        };
        let mut case = Case {
            bucket: (!random.one_in(4)).then(|| document(random, true)),
            ids: ids(),
            ..Case::default()
        };
        case.who.kind = kind;
        if signed && random.one_in(5) {
            case.guard = Some(document(random, false));
        }
        if signed && kind != "root" {
            case.identity = few(random, 2);
            case.boundary = random.one_in(4).then(|| document(random, false));
            if kind == "federated" || random.one_in(3) {
                case.sessions = few(random, 2);
            }
        }
        let mut sample = Self {
            case,
            parts: Parts::default(),
            facts: Facts::default(),
        };
        sample.ask_anew(random);
        sample
    }

    /// Another question to the same documents, by somebody of the same kind.
    pub fn ask_anew(&mut self, random: &mut Random) {
        self.parts = who(random, &[self.case.who.kind]);
        self.facts = Facts::random(random);
        let case = &mut self.case;
        case.who = self.parts.who.clone();
        case.context = self.facts.context();
        self.parts.context(&self.facts, &mut case.context);
        let mut action = random.pick(&ACTIONS);
        // The owner's own way to the policy is in the tables.
        if action == "s3:GetBucketPolicy" && case.who.kind == "root" {
            action = "s3:ListBucket";
        }
        case.action = action.to_owned();
        case.resource = match action {
            "iam:GetUser" => "arn:aws:iam::111122223333:user/ann".to_owned(),
            "s3:ListBucket" | "s3:GetBucketPolicy" => format!("arn:aws:s3:::{BUCKET}"),
            _ => format!("arn:aws:s3:::{BUCKET}/{}", random.pick(&KEYS)),
        };
        (case.restrict, case.ignore) = (random.one_in(4), random.one_in(4));
        case.acl.clear();
        case.object_owner = None;
        if random.one_in(3) {
            let all = ["account", "authenticated", "all"];
            case.acl = all.into_iter().filter(|_| random.one_in(3)).collect();
            if random.one_in(3) {
                case.object_owner = Some(random.pick(&[OWN, OTHER]).to_owned());
            }
        }
    }

    /// The documents, compiled; `None` if one is refused.
    pub fn compile(&self) -> Option<Compiled> {
        let ids = &self.case.ids;
        let other = |value: &Value, kind| Document::parse(&value.to_string(), kind).ok();
        let bucket = |value: &Value| {
            // As one that was saved before, by which all are known.
            let document = other(value, DocumentKind::Bucket(BUCKET))?;
            let known = |arn: &str| ids.contains_key(arn) || arn.contains(":assumed-role/");
            let all_known = document.principals().all(known);
            all_known.then(|| document.with_resolved(&|arn| ids.get(arn).cloned()))
        };
        let list = |values: &[Value], kind| -> Option<Vec<Document>> {
            values.iter().map(|value| other(value, kind)).collect()
        };
        let case = &self.case;
        Some(Compiled {
            guard: match &case.guard {
                Some(guard) => Some(other(guard, DocumentKind::Guard)?),
                None => None,
            },
            bucket: match &case.bucket {
                Some(value) => Some(bucket(value)?),
                None => None,
            },
            identity: list(&case.identity, DocumentKind::Identity)?,
            boundary: match &case.boundary {
                Some(boundary) => Some(other(boundary, DocumentKind::Boundary)?),
                None => None,
            },
            sessions: list(&case.sessions, DocumentKind::Session)?,
        })
    }

    /// What the evaluator decides.
    pub fn decide(&self, compiled: &Compiled) -> Decision {
        self.decide_with(compiled, true, true)
    }

    /// What it decides if tags or the access control list are not loaded.
    pub fn decide_with(&self, compiled: &Compiled, tags_loaded: bool, acl: bool) -> Decision {
        let (case, who, parts) = (&self.case, &self.case.who, &self.parts);
        fn pairs(tags: &[(String, String)]) -> Vec<(&str, &str)> {
            tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
        }
        let facts = &self.facts;
        let (existing, asked) = (pairs(&facts.existing), pairs(&facts.asked));
        let tags = pairs(&facts.principal);
        let user = UserRef {
            path: parts.path,
            name: parts.name,
            id: &who.id,
        };
        let account = who.account.as_str();
        let principal = match who.kind {
            "anonymous" => Principal::Anonymous,
            "service" => Principal::Service { name: &who.service },
            "root" => Principal::Root { account },
            "user" => Principal::User {
                account,
                user,
                tags: &tags,
            },
            "federated" => Principal::Federated {
                account,
                name: parts.session,
                user: Some(user),
                tags: &tags,
            },
            _ => Principal::RoleSession {
                account,
                path: parts.path,
                role: parts.name,
                id: &who.id,
                session: parts.session,
                provider: (!who.provider.is_empty()).then_some(who.provider.as_str()),
                tags: &tags,
            },
        };
        let time = facts.time.as_ref().map(|time| {
            let at: jiff::Timestamp = time.parse().unwrap();
            Timestamp::from_ms(at.as_millisecond() as u64)
        });
        let conditions = Conditions {
            current_time: time,
            source_ip: facts
                .address
                .as_ref()
                .map(|ip| ip.parse::<IpAddr>().unwrap()),
            secure_transport: facts.secure,
            user_agent: facts.agent.as_ref().map(|agent| agent.as_bytes()),
            source_arn: facts.source_arn.as_deref(),
            prefix: facts.prefix.as_deref(),
            delimiter: facts.delimiter.as_deref(),
            max_keys: facts.max_keys,
            existing_object_tags: tags_loaded.then_some(&existing),
            request_object_tags: tags_loaded.then_some(&asked),
            resource_tags: Some(&[]),
            request_tags: Some(&[]),
            ..Conditions::default()
        };
        let request = Request {
            principal: &principal,
            action: ActionName::parse(&case.action),
            target: Target::of_arn(&case.resource),
            conditions: &conditions,
        };
        let mut documents = compiled.documents(case);
        if !acl {
            documents.acl = Acl::NotLoaded;
        }
        decide(&request, &documents)
    }
}

/// The documents of a case.
pub struct Compiled {
    pub guard: Option<Document>,
    pub bucket: Option<Document>,
    pub identity: Vec<Document>,
    pub boundary: Option<Document>,
    pub sessions: Vec<Document>,
}

impl Compiled {
    fn documents<'a>(&'a self, case: &'a Case) -> Documents<'a> {
        let has = |grant| case.acl.contains(&grant);
        Documents {
            owner: OWN,
            guard: self.guard.as_ref(),
            resource: self.bucket.as_ref(),
            identity: &self.identity,
            boundary: self.boundary.as_ref(),
            sessions: &self.sessions,
            acl: Acl::Loaded {
                grants: AclGrants {
                    account: has("account"),
                    authenticated_users: has("authenticated"),
                    all_users: has("all"),
                },
                object_owner: case.object_owner.as_deref(),
            },
            restrict_public_buckets: case.restrict,
            ignore_public_acls: case.ignore,
        }
    }
}

/// A decision as the model says it.
pub fn in_words(decision: &Decision) -> String {
    match decision {
        Decision::Allow(_) => "allow".into(),
        Decision::ExplicitDeny(_) => "explicit".into(),
        Decision::ImplicitDeny(lacks) => {
            let lacks = match lacks {
                Lacks::Guard => "guard",
                Lacks::Identity => "identity",
                Lacks::Boundary => "boundary",
                Lacks::Session => "session",
                Lacks::Resource => "resource",
            };
            format!("implicit {lacks}")
        }
        Decision::Needs(need) => format!("needs {need:?}"),
    }
}
