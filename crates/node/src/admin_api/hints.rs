//! What whoever asks about a user or role should know, although the answer does not depend on it.

use cloud::SentUser;
use types::AccountId;

use super::Admin;
use crate::why::{Check, Question, Says, Verdict};

impl Admin {
    /// Says so if a user, or a session of a role, may change its own policies. Then it may do
    /// everything: it is an administrator in effect.
    pub(super) fn is_administrator(
        &self,
        account: &AccountId,
        user: &SentUser,
        session: Option<&Vec<String>>,
    ) -> Option<Check> {
        let (kind, own) = match session {
            None => ("User", "user"),
            Some(_) => ("Role", "role"),
        };
        let arn = |kind: &str, path: &str, name: &str| {
            format!("arn:aws:iam::{account}:{kind}{path}{name}")
        };
        let itself = arn(own, &user.path, &user.name);
        let mut ways = vec![
            (format!("iam:Put{kind}Policy"), itself.clone()),
            (format!("iam:Attach{kind}Policy"), itself),
        ];
        if session.is_none() {
            for group in self.region.registry.groups_of_user(&user.id) {
                ways.push(("iam:PutGroupPolicy".into(), group.arn.clone()));
                ways.push(("iam:AttachGroupPolicy".into(), group.arn));
            }
        }
        let managed = arn("policy", "/", "");
        let attached = user.policies.iter().map(|policy| &policy.name);
        let attached = attached.filter(|name| name.starts_with(&managed));
        ways.extend(attached.map(|name| ("iam:CreatePolicyVersion".into(), name.clone())));
        let (action, on) = ways.into_iter().find(|(action, on)| {
            let question = Question {
                bucket: None,
                account: Some(account.to_string()),
                user: Some(user.clone()),
                session: session.cloned(),
                action: action.clone(),
                resource: on.clone(),
                given: Vec::new(),
            };
            let judged = self.judge_here(&question, None);
            judged.is_ok_and(|judged| judged.verdict == Verdict::Allowed)
        })?;
        let as_far = match (&user.boundary, session.map(Vec::is_empty)) {
            (None, None | Some(true)) => {
                "so it may do everything: it is an administrator in effect"
            }
            _ => {
                "so it may do all that its boundary and session policies allow: it is an \
                 administrator in effect"
            }
        };
        let why = format!("it may change its own rights ({action} on {on}), {as_far}");
        Some(Check::new("administrator", Says::Passes, why))
    }
}

/// Says who is let in by a trust policy that does not ask whom a token is about.
pub(super) fn of_trust(trust: &str) -> Vec<Check> {
    let open = iam::open_to_all_of(trust).into_iter();
    let check = |(at, provider): (usize, String)| {
        let place = provider.split_once(":oidc-provider/");
        let place = place.map_or(provider.as_str(), |(_, place)| place);
        let why = format!(
            "statement {} lets in everybody who has a token of {place}: it has no condition on \
             {place}:sub",
            at + 1
        );
        Check::new("trust policy", Says::Passes, why)
    };
    open.map(check).collect()
}
