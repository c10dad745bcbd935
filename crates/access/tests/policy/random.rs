//! The evaluator against the model, on random cases.

use std::collections::BTreeMap;

use access::policy::Decision;
use serde_json::Value;

use crate::{
    generate::{Random, Sample, in_words},
    model,
};

/// How many cases; the environment may ask for more.
fn cases(default: usize) -> usize {
    let asked = std::env::var("DHOW_POLICY_CASES").ok();
    asked.map_or(default, |cases| {
        cases.parse().expect("DHOW_POLICY_CASES is a number")
    })
}

fn differ(sample: &Sample) -> Option<(String, String)> {
    let compiled = sample.compile()?;
    let own = in_words(&sample.decide(&compiled));
    let expected = model::decide(&sample.case);
    (own != expected).then_some((own, expected))
}

/// Each document with each of its parts taken away.
fn smaller(document: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let Value::Array(statements) = &document["Statement"] else {
        return all;
    };
    let with = |statements: Vec<Value>| {
        let mut copy = document.clone();
        copy["Statement"] = Value::Array(statements);
        copy
    };
    for n in 0..statements.len() {
        if statements.len() > 1 {
            let mut fewer = statements.clone();
            fewer.remove(n);
            all.push(with(fewer));
        }
        for own in parts_less(&statements[n]) {
            let mut changed = statements.clone();
            changed[n] = own;
            all.push(with(changed));
        }
    }
    all
}

/// A value with an entry of a list, or a condition, taken away.
fn parts_less(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Array(values) if values.len() > 1 => {
            for n in 0..values.len() {
                let mut fewer = values.clone();
                fewer.remove(n);
                all.push(Value::Array(fewer));
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if name == "Condition" || (members.len() > 1 && name.contains(':')) {
                    let mut fewer = members.clone();
                    fewer.remove(name);
                    all.push(Value::Object(fewer));
                }
                for own in parts_less(member) {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), own);
                    all.push(Value::Object(changed));
                }
            }
        }
        _ => {}
    }
    all
}

/// Cases that are a little smaller.
fn candidates(sample: &Sample) -> Vec<Sample> {
    let mut all = Vec::new();
    let mut push = |change: &dyn Fn(&mut model::Case)| {
        let mut copy = sample.clone();
        change(&mut copy.case);
        all.push(copy);
    };
    push(&|case| case.guard = None);
    push(&|case| case.bucket = None);
    push(&|case| case.boundary = None);
    push(&|case| case.sessions.clear());
    push(&|case| case.identity.clear());
    push(&|case| case.acl.clear());
    push(&|case| case.object_owner = None);
    push(&|case| (case.restrict, case.ignore) = (false, false));
    let case = &sample.case;
    for (n, list) in [&case.identity, &case.sessions].into_iter().enumerate() {
        for at in 0..list.len() {
            push(&|case| {
                let list = if n == 0 {
                    &mut case.identity
                } else {
                    &mut case.sessions
                };
                list.remove(at);
            });
            for own in smaller(&list[at]) {
                push(&|case| {
                    let list = if n == 0 {
                        &mut case.identity
                    } else {
                        &mut case.sessions
                    };
                    list[at] = own.clone();
                });
            }
        }
    }
    for own in case.bucket.iter().flat_map(smaller) {
        push(&|case| case.bucket = Some(own.clone()));
    }
    for own in case.guard.iter().flat_map(smaller) {
        push(&|case| case.guard = Some(own.clone()));
    }
    for own in case.boundary.iter().flat_map(smaller) {
        push(&|case| case.boundary = Some(own.clone()));
    }
    all
}

/// The smallest case that still differs.
fn shrunk(mut sample: Sample) -> Sample {
    loop {
        let next = candidates(&sample)
            .into_iter()
            .find(|own| own.case != sample.case && differ(own).is_some());
        match next {
            Some(next) => sample = next,
            None => return sample,
        }
    }
}

/// How often the documents of a case are asked.
const ASKED: usize = 5;

#[test]
fn the_evaluator_decides_as_the_model_does() {
    let (cases, mut random) = (cases(20_000), Random(20_261_129));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut done, mut refused) = (0, 0);
    while done < cases {
        let mut sample = Sample::random(&mut random);
        let Some(compiled) = sample.compile() else {
            refused += 1;
            continue;
        };
        for _ in 0..ASKED {
            let own = in_words(&sample.decide(&compiled));
            if own != model::decide(&sample.case) {
                let sample = shrunk(sample);
                let (own, expected) = differ(&sample).unwrap();
                panic!("{own}, but the model says {expected}: {:#?}", sample.case);
            }
            *seen.entry(own).or_default() += 1;
            done += 1;
            sample.ask_anew(&mut random);
        }
    }
    // What is refused when it is written is not decided, but it may not be most.
    assert!(refused * ASKED < cases, "{refused} of {done}");
    for (decision, count) in &seen {
        assert!(*count > cases / 500, "{decision}: {seen:?}");
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
}

/// Whether a document asks who it is by name.
fn names_principals(document: &Value) -> bool {
    let text = document.to_string().to_lowercase();
    let keys = ["aws:user", "aws:principala", "aws:principalty"];
    keys.iter().any(|key| text.contains(key))
}

/// A session with policies, and who it is of.
fn child_and_parent(random: &mut Random) -> Option<(Sample, Sample)> {
    let mut child = Sample::random(random);
    let kind = child.case.who.kind;
    if !["user", "role", "federated"].contains(&kind) || child.case.sessions.is_empty() {
        return None;
    }
    if kind == "federated" {
        // What names either by itself is not inherited.
        child.case.bucket = None;
        let case = &child.case;
        let mut all = case.identity.iter().chain(&case.sessions);
        let mut bounds = case.boundary.iter().chain(&case.guard);
        if all.any(names_principals) || bounds.any(names_principals) {
            return None;
        }
    }
    let mut parent = child.clone();
    parent.case.sessions.clear();
    Some((child, parent))
}

#[test]
fn a_session_never_gets_more_than_who_it_is_of() {
    let (cases, mut random) = (cases(10_000), Random(11_292_026));
    let (mut both, mut done) = (0, 0);
    while done < cases {
        let Some((mut child, mut parent)) = child_and_parent(&mut random) else {
            continue;
        };
        let (Some(narrow), Some(wide)) = (child.compile(), parent.compile()) else {
            continue;
        };
        for _ in 0..ASKED {
            child.ask_anew(&mut random);
            (parent.parts, parent.facts) = (child.parts.clone(), child.facts.clone());
            let (action, resource) = (child.case.action.clone(), child.case.resource.clone());
            (parent.case.action, parent.case.resource) = (action, resource);
            parent.case.acl = child.case.acl.clone();
            parent.case.object_owner = child.case.object_owner.clone();
            (parent.case.restrict, parent.case.ignore) = (child.case.restrict, child.case.ignore);
            parent.case.who = child.case.who.clone();
            if child.case.who.kind == "federated" {
                parent.case.who.kind = "user";
            }
            done += 1;
            if child.decide(&narrow).is_allowed() {
                both += 1;
                assert!(parent.decide(&wide).is_allowed(), "{:#?}", child.case);
            }
        }
    }
    assert!(both > cases / 50, "{both}");
}

/// What is not loaded is asked for if it matters, and never guessed.
#[test]
fn what_is_decided_without_tags_or_list_stays_decided() {
    let (cases, mut random) = (cases(10_000), Random(20_261_130));
    let (mut done, mut decided) = (0, [0, 0]);
    while done < cases {
        let mut sample = Sample::random(&mut random);
        let Some(compiled) = sample.compile() else {
            continue;
        };
        for _ in 0..ASKED {
            done += 1;
            let whole = sample.decide(&compiled);
            for (n, (tags, acl)) in [(false, true), (true, false)].into_iter().enumerate() {
                let part = sample.decide_with(&compiled, tags, acl);
                if matches!(part, Decision::Needs(_)) {
                    continue;
                }
                decided[n] += 1;
                let kind = std::mem::discriminant;
                assert_eq!(
                    kind(&part),
                    kind(&whole),
                    "{part:?} {whole:?} {:#?}",
                    sample.case
                );
            }
            sample.ask_anew(&mut random);
        }
    }
    assert!(decided[0] > cases / 2 && decided[0] < cases, "{decided:?}");
    assert!(decided[1] > cases / 4 && decided[1] < cases, "{decided:?}");
}
