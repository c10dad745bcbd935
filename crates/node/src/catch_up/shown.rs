//! What is missing in a registry, and what was done about it, for people and for scripts.

use std::collections::BTreeMap;

use cloud::{CatchUpPlan, CaughtUp, LostRow};
use serde_json::{Value, json};
use types::{RegionId, Timestamp};

/// What is missing, for people.
pub(super) fn shown(plan: &CatchUpPlan) -> String {
    let mut lines = Vec::new();
    match &plan.from {
        Some((region, end)) => {
            let at = |ms| Timestamp::from_ms(ms).iso8601();
            lines.push(format!(
                "{} entries of the audit log are missing here: {} to {}, of {} to {}. Region {region} \
                 has them, and shows the receipt of this registry for them.",
                plan.missing(),
                plan.length,
                end - 1,
                at(plan.between_ms.0),
                at(plan.between_ms.1),
            ));
            for (action, count) in &plan.actions {
                lines.push(format!("  {count:>6}  {action}"));
            }
            lines.extend(lost(&plan.lost));
        }
        None if plan.resumes => lines.push(
            "An earlier run was interrupted when it had taken everything over: what is left is to \
             disable what was lost."
                .to_owned(),
        ),
        None => lines.push(format!(
            "No region that answers has more than the {} entries that are here.",
            plan.length
        )),
    }
    let others = |what: &str, all: &[(RegionId, String)]| {
        let line = |(region, why): &(RegionId, String)| format!("{what} {region}: {why}");
        all.iter().map(line).collect::<Vec<_>>()
    };
    lines.extend(others("Does not answer, and may have more:", &plan.silent));
    lines.extend(others("Nothing is taken from", &plan.unproven));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Which kind of thing a row is, for people.
fn kind(key: &str) -> &'static str {
    match key.get(..2) {
        Some("k/") => "access key",
        Some("u/") => "user",
        Some("g/") => "group",
        Some("p/") => "policy",
        Some("q/") => "role",
        Some("i/") => "identity provider",
        Some("b/") => "account alias",
        Some("t/") => "join token",
        Some("x/") => "guard policy of account",
        _ => "row",
    }
}

fn lost(rows: &BTreeMap<String, LostRow>) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["No region has the content of these, which are lost:".to_owned()];
    lines.extend(rows.iter().map(|(key, lost)| {
        let older = match lost.is_there {
            true => ", of which an older state is here",
            false => "",
        };
        let id = types::text::shown(key.get(2..).unwrap_or_default(), 128);
        let action = types::text::shown(&lost.action, 64);
        format!(
            "  {} {id} ({action}, entry {}{older})",
            kind(key),
            lost.entry
        )
    }));
    lines
}

/// What was done, for people.
pub(super) fn result(done: &CaughtUp) -> String {
    let mut lines = vec![format!(
        "{} entries were taken over. Start the region now: it compares itself with the others.",
        done.entries
    )];
    let mut named = |what: &str, ids: &[String]| {
        if !ids.is_empty() {
            lines.push(format!("{what}: {}", ids.join(", ")));
        }
    };
    let removed: Vec<String> = done
        .removed
        .iter()
        .map(|key| format!("{} {}", kind(key), key.get(2..).unwrap_or_default()))
        .collect();
    named("Lost, to be made anew", &removed);
    named(
        "Disabled keys, to be looked at (`dhow key enable`)",
        &done.disabled,
    );
    named(
        "Left active, since nobody could administer without them",
        &done.left,
    );
    named(
        "Suspended accounts, whose users, groups, policies, roles or providers are those of the \
         backup: set them right, then `dhow account resume`",
        &done.suspended,
    );
    named(
        "Nobody of these accounts may do anything until their guard policy is set again",
        &done.guarded,
    );
    lines.into_iter().map(|line| line + "\n").collect()
}

pub(super) fn in_json(plan: &CatchUpPlan, done: Option<&CaughtUp>) -> Value {
    let pairs = |all: &[(RegionId, String)]| -> Vec<Value> {
        let one = |(region, why): &(RegionId, String)| json!({ "region": &**region, "why": why });
        all.iter().map(one).collect()
    };
    json!({
        "length": plan.length,
        "missing": plan.missing(),
        "from": plan.from.as_ref().map(|(region, _)| &**region),
        "actions": plan.actions,
        "lost": plan.lost,
        "silent": pairs(&plan.silent),
        "unproven": pairs(&plan.unproven),
        "resumes": plan.resumes,
        "done": done.map(|done| json!({
            "entries": done.entries,
            "removed": done.removed,
            "disabled": done.disabled,
            "left_active": done.left,
            "suspended": done.suspended,
            "without_guard_policy": done.guarded,
        })),
    })
}
