//! Deleting a user, group, role or managed policy, with what it has: shown first, and then nothing
//! but what was shown.

use access::sign::payload_sha256;
use http::StatusCode;
use maud::{Markup, html};

use super::{Kind, held::ALL, managed};
use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        parts::{self, Tone, note},
        text,
    },
};

/// What goes one after the other at most.
const STEPS_MAX: usize = 200;

/// What is to be deleted.
#[derive(Debug, Clone, Copy)]
enum Doomed<'c> {
    Holder(Kind, &'c str),
    /// By its ARN.
    Managed(&'c str),
}

impl<'c> Doomed<'c> {
    fn of(call: &'c Call<'_>) -> Result<Self, Fault> {
        let field = |name| call.form.some(name).unwrap_or_default();
        match (field("of"), field("name")) {
            (_, "") => Err(Fault::Bad(call.t("The form names nobody."))),
            ("managed", arn) => Ok(Self::Managed(arn)),
            (of, name) => {
                let kind = Kind::named(of);
                let kind = kind.ok_or_else(|| Fault::Bad(call.t("There is no such kind.")))?;
                Ok(Self::Holder(kind, name))
            }
        }
    }

    /// The name that is typed to confirm.
    fn name(&self) -> &'c str {
        match self {
            Self::Holder(_, name) => name,
            Self::Managed(arn) => arn.rsplit('/').next().unwrap_or(arn),
        }
    }

    fn page(&self) -> Href {
        match self {
            Self::Holder(kind, name) => kind.page(name),
            Self::Managed(arn) => managed::page(arn),
        }
    }

    fn list(&self) -> Href {
        match self {
            Self::Holder(kind, _) => kind.list(),
            Self::Managed(_) => Href::to("/policies"),
        }
    }
}

/// One request to IAM, and what it is about.
struct Step {
    what: &'static str,
    /// A user's text.
    which: String,
    action: String,
    fields: Vec<(&'static str, String)>,
}

/// The button of a page that leads here.
pub fn button(call: &Call<'_>, of: &str, name: &str) -> Markup {
    let fields = [("of", of), ("name", name)];
    parts::button(call, "/people/delete", &fields, "danger", &call.t("Delete"))
}

/// Asks for the name, and deletes what was shown.
pub async fn delete(call: &Call<'_>) -> Answer {
    let doomed = Doomed::of(call)?;
    let steps = steps(call, doomed).await?;
    if steps.len() > STEPS_MAX {
        return Err(Fault::Bad(call.t(MANY)));
    }
    let (seen, typed) = (call.form.some("seen"), call.form.some("typed"));
    let Some(seen) = seen else {
        return page(call, doomed, &steps, None).into();
    };
    if !is_as_seen(seen, &steps) {
        let said = (call.t(MOVED), StatusCode::CONFLICT);
        return page(call, doomed, &steps, Some((&said.0, said.1))).into();
    }
    if typed != Some(doomed.name()) {
        let said = (call.t(OTHER), StatusCode::BAD_REQUEST);
        return page(call, doomed, &steps, Some((&said.0, said.1))).into();
    }
    for (n, step) in steps.iter().enumerate() {
        let fields: Vec<(&str, &str)> = step.fields.iter().map(|(k, v)| (*k, &**v)).collect();
        if let Err(fault) = call.iam(&step.action, &fields).await {
            return stopped(call, doomed, (n, &steps), &fault).into();
        }
    }
    Ok(Reply::See(doomed.list()))
}

const MANY: &str = "It has more than can go at once. Detach and remove some of it first.";
const MOVED: &str = "Something of this has changed since you looked at it. Nothing was deleted.";
const OTHER: &str = "The name that you typed is another one. Nothing was deleted.";

/// Whether what would go is what was shown.
fn is_as_seen(seen: &str, steps: &[Step]) -> bool {
    seen == digest(steps) || types::planted("console-removal-unseen")
}

fn digest(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        text.push_str(&step.action);
        for (name, value) in &step.fields {
            for part in [name, value.as_str()] {
                text.push_str(&format!("\0{}:{part}", part.len()));
            }
        }
    }
    payload_sha256(text.as_bytes())
}

/// A step that did not work ends it: what is before it is gone, what is behind it is there.
fn stopped(
    call: &Call<'_>,
    doomed: Doomed<'_>,
    (done, steps): (usize, &[Step]),
    fault: &Fault,
) -> Page {
    let body = html! {
        (note(Tone::Bad, &html! {
            p role="alert" { (parts::reason(call, fault)) }
            @if let Some(step) = steps.get(done) { p { (one(call, step)) } }
        }))
        @if done > 0 {
            p { (call.t("These had gone before:")) }
            ul { @for step in steps.iter().take(done) { li { (one(call, step)) } } }
        }
        p { a.button href=(doomed.page()) { (call.t("See what is left")) } }
    };
    let mut page = Page::new(call.t("Not all was deleted"), body);
    page.status = fault.status();
    page
}

fn one(call: &Call<'_>, step: &Step) -> Markup {
    html! { (call.words.t(step.what)) " " (text::short(&step.which)) }
}

fn page(
    call: &Call<'_>,
    doomed: Doomed<'_>,
    steps: &[Step],
    said: Option<(&str, StatusCode)>,
) -> Page {
    let (of, whole) = match doomed {
        Doomed::Holder(kind, name) => (kind.field(), name),
        Doomed::Managed(arn) => ("managed", arn),
    };
    let body = html! {
        @if let Some((said, _)) = said { (note(Tone::Bad, &html! { p role="alert" { (said) } })) }
        (note(Tone::Warn, &html! { p { (call.t("It does not come back, and what signs or is allowed by it ends with the next request.")) } }))
        section.card {
            h2 { (call.t("What goes")) }
            ul { @for step in steps { li { (one(call, step)) } } }
        }
        form.stack method="post" action="/people/delete" {
            (call.token("/people/delete"))
            input type="hidden" name="of" value=(of);
            input type="hidden" name="name" value=(whole);
            input type="hidden" name="seen" value=(digest(steps));
            div {
                label for="typed" { (call.t("To confirm, type the name:")) " " (text::code(doomed.name())) }
                input #typed name="typed" required autocomplete="off" autocapitalize="none"
                    spellcheck="false";
            }
            div.actions {
                button.danger { (call.t("Delete all of this")) }
                a.button href=(doomed.page()) { (call.t("Keep it")) }
            }
        }
    };
    let title = call.with("Delete {name}", &[("name", doomed.name())]);
    let mut page = Page::new(title, body);
    page.status = said.map_or(StatusCode::OK, |(_, status)| status);
    page
}

/// All that goes, in the order in which IAM takes it.
async fn steps(call: &Call<'_>, doomed: Doomed<'_>) -> Result<Vec<Step>, Fault> {
    match doomed {
        Doomed::Holder(kind, name) => of_holder(call, kind, name).await,
        Doomed::Managed(arn) => of_managed(call, arn).await,
    }
}

/// The steps of one removal; `own` names what goes.
struct Steps {
    own: (&'static str, String),
    all: Vec<Step>,
}

impl Steps {
    fn add(
        &mut self,
        (what, which): (&'static str, &str),
        action: impl Into<String>,
        more: Option<(&'static str, &str)>,
    ) {
        let mut fields = vec![self.own.clone()];
        fields.extend(more.map(|(name, value)| (name, value.to_owned())));
        self.all.push(Step {
            what,
            which: which.to_owned(),
            action: action.into(),
            fields,
        });
    }
}

async fn of_holder(call: &Call<'_>, kind: Kind, name: &str) -> Result<Vec<Step>, Fault> {
    let own = (kind.name_field(), name);
    let mut steps = Steps {
        own: (own.0, name.to_owned()),
        all: Vec::new(),
    };
    let all = [own, ("MaxItems", ALL)];
    // One that is not there is said so here. Only a group's answer is a list.
    let asked = match kind {
        Kind::Group => &all[..],
        Kind::User | Kind::Role => &all[..1],
    };
    let itself = call.iam(&kind.action("Get", ""), asked).await?;
    for user in itself.members("Users") {
        let user = user.text("UserName");
        let more = Some(("UserName", user));
        steps.add(
            ("the place in it of user", user),
            "RemoveUserFromGroup",
            more,
        );
    }
    if kind == Kind::User {
        for key in call
            .iam("ListAccessKeys", &all)
            .await?
            .members("AccessKeyMetadata")
        {
            let id = key.text("AccessKeyId");
            steps.add(
                ("the access key", id),
                "DeleteAccessKey",
                Some(("AccessKeyId", id)),
            );
        }
        for group in call.iam("ListGroupsForUser", &all).await?.members("Groups") {
            let group = group.text("GroupName");
            let more = Some(("GroupName", group));
            steps.add(("its place in group", group), "RemoveUserFromGroup", more);
        }
    }
    let attached = ["ListAttached", &kind.action("", "Policies")].concat();
    for policy in call.iam(&attached, &all).await?.members("AttachedPolicies") {
        let what = (
            "what attaches the managed policy",
            policy.text("PolicyName"),
        );
        let more = Some(("PolicyArn", policy.text("PolicyArn")));
        steps.add(what, kind.action("Detach", "Policy"), more);
    }
    let inline = kind.action("List", "Policies");
    for policy in call.iam(&inline, &all).await?.members("PolicyNames") {
        let more = Some(("PolicyName", policy.own()));
        steps.add(
            ("its policy", policy.own()),
            kind.action("Delete", "Policy"),
            more,
        );
    }
    let what = match kind {
        Kind::User => "the user",
        Kind::Group => "the group",
        Kind::Role => "the role",
    };
    steps.add((what, name), kind.action("Delete", ""), None);
    Ok(steps.all)
}

async fn of_managed(call: &Call<'_>, arn: &str) -> Result<Vec<Step>, Fault> {
    let own = ("PolicyArn", arn);
    let found = call.iam("GetPolicy", &[own]).await?;
    let policy = found.take("Policy").unwrap_or_default();
    let mut steps = Steps {
        own: (own.0, arn.to_owned()),
        all: Vec::new(),
    };
    let entities = call.iam("ListEntitiesForPolicy", &[own]).await?;
    for kind in [Kind::User, Kind::Group, Kind::Role] {
        for holder in entities.members(kind.entities_field()) {
            let name = holder.text(kind.name_field());
            let more = Some((kind.name_field(), name));
            steps.add(
                ("what attaches it to", name),
                kind.action("Detach", "Policy"),
                more,
            );
        }
    }
    let versions = call
        .iam("ListPolicyVersions", &[own, ("MaxItems", ALL)])
        .await?;
    for version in versions.members("Versions") {
        if version.text("IsDefaultVersion") != "true" {
            let id = version.text("VersionId");
            steps.add(
                ("version", id),
                "DeletePolicyVersion",
                Some(("VersionId", id)),
            );
        }
    }
    let what = ("the managed policy", policy.text("PolicyName"));
    steps.add(what, "DeletePolicy", None);
    Ok(steps.all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(all: &[(&'static str, &str)]) -> Vec<Step> {
        let mut steps = Steps {
            own: ("UserName", "anna".to_owned()),
            all: Vec::new(),
        };
        for (name, value) in all {
            steps.add(("one", value), "Act", Some((name, value)));
        }
        steps.all
    }

    #[test]
    fn nothing_goes_but_what_was_shown() {
        let shown = digest(&steps(&[("PolicyName", "a"), ("PolicyName", "b")]));
        assert!(is_as_seen(
            &shown,
            &steps(&[("PolicyName", "a"), ("PolicyName", "b")])
        ));
        for other in [
            &[("PolicyName", "a")][..],
            &[
                ("PolicyName", "a"),
                ("PolicyName", "b"),
                ("PolicyName", "c"),
            ],
            &[("PolicyName", "a"), ("PolicyArn", "b")],
            &[("PolicyName", "ab"), ("PolicyName", "")],
            &[],
        ] {
            assert!(!is_as_seen(&shown, &steps(other)), "{other:?}");
        }
        assert!(!is_as_seen("", &steps(&[])));
    }
}
