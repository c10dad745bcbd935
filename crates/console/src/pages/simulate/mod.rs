//! The simulator: who may do what, and which statement of which policy decides it. It asks, and
//! changes nothing, so all of it is in the address and can be sent to a colleague.

mod ask;

use maud::{Markup, html};

use self::ask::{Asked, Looked, Question, Says, Verdict, Who};
use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page},
    s3::Node,
    ui::{
        parts::{self, Tone, badge, note},
        text,
    },
};

/// Values of condition keys of one question.
const CONTEXT_MAX: usize = 20;
/// Users and roles to choose from.
const PEOPLE: &str = "1000";

/// The page, with an answer if something is asked.
pub async fn show(call: &Call<'_>) -> Answer {
    let asked = call.query.some("action").is_some();
    let told = match asked {
        true => Some(answer(call).await),
        false => None,
    };
    let body = html! {
        p { (call.t("Would a request be allowed? It is decided here as requests are decided, and nothing is done.")) }
        div.sides {
            (form(call).await)
            div.beside {
                @match &told {
                    Some(Ok(told)) => { (shown(call, told)) }
                    Some(Err(fault)) => {
                        (note(Tone::Bad, &html! { p role="alert" { (parts::reason(call, fault)) } }))
                    }
                    None => { (hint(call)) }
                }
            }
        }
    };
    let mut page = Page::new(call.t("Simulator"), body);
    if let Some(Err(fault)) = &told {
        page.status = fault.status();
    }
    page.into()
}

fn field<'c>(call: &'c Call<'_>, name: &str) -> &'c str {
    call.query.get(name).unwrap_or_default().trim()
}

async fn answer(call: &Call<'_>) -> Result<Asked, Fault> {
    let bad = |why: &'static str| Fault::Bad(call.t(why));
    let who = Who::read(field(call, "who"));
    let who = who.ok_or_else(|| bad("Say who asks: user/NAME or role/NAME."))?;
    let action = field(call, "action");
    if !is_action(action) {
        return Err(bad("There is no such action. One of S3 is s3:GetObject."));
    }
    let resource = match field(call, "resource") {
        "" => return Err(bad("Say what it is on.")),
        arn if arn.starts_with("arn:") || arn == "*" => arn.to_owned(),
        short => ["arn:aws:s3:::", short.trim_start_matches("s3://")].concat(),
    };
    let lines = field(call, "context").lines().map(str::trim);
    let pairs = lines.filter(|line| !line.is_empty()).map(|line| {
        let pair = line.split_once('=').map(|(k, v)| (k.trim(), v.trim()));
        pair.ok_or_else(|| bad("What is known of the request is KEY=VALUE, each on a line."))
    });
    let context: Vec<(&str, &str)> = pairs.collect::<Result<_, _>>()?;
    if context.len() > CONTEXT_MAX {
        return Err(bad("That is more than can be said of one request."));
    }
    let question = Question {
        who,
        action,
        resource,
        context,
    };
    ask::ask(call, &question).await
}

async fn form(call: &Call<'_>) -> Markup {
    html! {
        form.stack method="get" action="/simulate" {
            (people(call).await)
            div {
                label for="action" { (call.t("What is done")) }
                input #action name="action" list="actions" required dir="ltr" autocomplete="off"
                    autocapitalize="none" spellcheck="false" placeholder="s3:GetObject"
                    value=(field(call, "action"));
                datalist #actions {
                    @for name in actions() { option value=(name) {} }
                }
            }
            div {
                label for="resource" { (call.t("On what")) }
                input #resource name="resource" required dir="ltr" autocomplete="off"
                    autocapitalize="none" spellcheck="false" placeholder="BUCKET/KEY"
                    value=(field(call, "resource")) aria-describedby="resource-hint";
                p.hint #resource-hint { (call.t("A bucket, a bucket and a key, or an ARN.")) }
            }
            div {
                label for="context" { (call.t("What is known of the request")) }
                textarea.short #context name="context" rows="4" dir="ltr" spellcheck="false"
                    aria-describedby="context-hint" placeholder="aws:SourceIp=203.0.113.7" {
                    (field(call, "context"))
                }
                p.hint #context-hint {
                    (call.t("Condition keys, each KEY=VALUE on a line. It may be empty."))
                }
            }
            div.actions { button.primary { (call.t("Decide")) } }
        }
    }
}

/// All actions of S3 that policies can name.
fn actions() -> Vec<String> {
    let own = access::Action::rows().iter().map(|row| row.action.name());
    let mut names: Vec<String> = own.filter(|name| name.starts_with("s3:")).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether it may be one: those of S3 are known, and a mistake in a name is no refusal.
fn is_action(name: &str) -> bool {
    match name.split_once(':') {
        None => false,
        Some((service, _)) if service.eq_ignore_ascii_case("s3") => actions()
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name)),
        Some(_) => true,
    }
}

/// A choice of all users and roles, where the caller may list them, and else a field.
async fn people(call: &Call<'_>) -> Markup {
    let all = [("MaxItems", PEOPLE)];
    let users = call.iam("ListUsers", &all).await;
    let roles = call.iam("ListRoles", &all).await;
    let now = field(call, "who");
    let mut names = Vec::new();
    let mut add = |found: &Node, list: &str, (kind, name): (&str, &str)| {
        let all = found.members(list).iter();
        names.extend(all.map(|one| [kind, "/", one.text(name)].concat()));
    };
    if let (Ok(users), Ok(roles)) = (&users, &roles) {
        add(users, "Users", ("user", "UserName"));
        add(roles, "Roles", ("role", "RoleName"));
    }
    let special = match ask::explains(call) {
        true => vec![
            ("account", call.t("The account itself")),
            ("anybody", call.t("Anybody, without a key")),
        ],
        false => Vec::new(),
    };
    let listed = names.iter().any(|name| name == now) || special.iter().any(|(id, _)| *id == now);
    html! {
        div {
            label for="who" { (call.t("Who asks")) }
            @if names.is_empty() && special.is_empty() {
                input #who name="who" required dir="ltr" autocomplete="off" autocapitalize="none"
                    spellcheck="false" placeholder="user/NAME" value=(now);
            } @else {
                select #who name="who" {
                    @if !listed && !now.is_empty() {
                        option value=(now) selected { (text::visible(now)) }
                    }
                    @for name in &names {
                        option value=(name) selected[name == now] { (text::visible(name)) }
                    }
                    @for (id, name) in &special {
                        option value=(id) selected[*id == now] { (name) }
                    }
                }
            }
        }
    }
}

fn hint(call: &Call<'_>) -> Markup {
    html! {
        section.card {
            h2 { (call.t("What is asked")) }
            ul {
                li { (call.t("the policies of the user, of its groups, or of the role")) }
                li { (call.t("the permissions boundary, which only takes away")) }
                li { (call.t("the policy of the bucket, if it is one of your account")) }
            }
            p.hint { (call.t("A Deny wins against every Allow. What nobody allows is refused.")) }
        }
    }
}

fn shown(call: &Call<'_>, told: &Asked) -> Markup {
    let (tone, word) = match told.verdict {
        Verdict::Allowed => (Tone::Good, call.t("Allowed")),
        Verdict::Refused => (Tone::Bad, call.t("Refused")),
        Verdict::Unknown => (Tone::Warn, call.t("Not known")),
    };
    html! {
        (note(tone, &html! {
            p.lead role="status" { strong { (word) } }
            p { (text::name(&sentence(&told.reason))) }
        }))
        @if !told.missing.is_empty() {
            (note(Tone::Warn, &html! {
                p { (call.t("Policies ask for this too, and it was not said:")) }
                ul { @for key in &told.missing { li { (text::code(key)) } } }
            }))
        }
        @if !told.looked.is_empty() {
            section.card {
                h2 { (call.t("What was looked at")) }
                ul.looked { @for one in &told.looked { li { (looked(call, one)) } } }
            }
        }
    }
}

/// A reason as a sentence.
fn sentence(reason: &str) -> String {
    let mut chars = reason.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let rest = chars.as_str();
    let end = match rest.ends_with(['.', '!', '?']) || reason.is_empty() {
        true => "",
        false => ".",
    };
    [&first, rest, end].concat()
}

fn looked(call: &Call<'_>, one: &Looked) -> Markup {
    let (tone, word) = match one.says {
        Says::Passes => (Tone::Good, call.t("passes")),
        Says::Allows => (Tone::Good, call.t("allows")),
        Says::Denies => (Tone::Bad, call.t("denies")),
        Says::Refuses => (Tone::Bad, call.t("refuses")),
        Says::Nothing => (Tone::Plain, call.t("says nothing")),
        Says::None => (Tone::Plain, call.t("none")),
        Says::Unknown => (Tone::Warn, call.t("not seen")),
    };
    html! {
        div { (badge(tone, &word)) " " strong { (text::name(&one.what)) } }
        p { (text::name(&one.why)) }
        @if !one.statements.is_empty() {
            ul.statements {
                @for (applies, statement) in &one.statements {
                    li.applies[*applies] { (text::name(statement)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_sentence() {
        assert_eq!(sentence("no policy allows it"), "No policy allows it.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(""), "");
    }

    #[test]
    fn actions_are_those_that_policies_name() {
        let all = actions();
        assert!(all.contains(&"s3:GetObject".to_owned()) && all.len() > 40);
        assert!(all.iter().all(|name| name.starts_with("s3:")));
        assert!(is_action("s3:getobject") && is_action("iam:ListUsers"));
        assert!(!is_action("s3:GetObjects") && !is_action("GetObject") && !is_action(""));
    }
}
