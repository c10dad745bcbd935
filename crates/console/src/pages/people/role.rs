//! One role: who may use it, and what its sessions may do.

use maud::{Markup, html};

use super::{
    Kind, crumbs,
    held::{self, Holder, section},
};
use crate::{
    call::Call,
    fields::decoded,
    pages::editor::{code, pretty},
    reply::{Answer, Page},
    s3::Node,
    ui::{href::Href, parts, text, time},
};

/// The page of one.
pub async fn show(call: &Call<'_>) -> Answer {
    let name = super::named(call)?;
    let holder = Holder {
        kind: Kind::Role,
        name,
    };
    let found = holder.ask(call, ("Get", ""), &[]).await?;
    let role = found.take("Role").unwrap_or_default();
    let body = html! {
        (parts::saved(call))
        (facts(call, &role))
        (section(call, &call.t("Who may use it"), "trust", Ok(trust(call, name, &role))))
        div.cards {
            (held::policies(call, holder).await)
            (held::boundary(call, holder, &role).await)
            (held::tags(call, holder, &role))
        }
    };
    let simulate = Href::to("/simulate").with(&[("who", &["role/", name].concat())]);
    let actions = html! {
        a.button href=(simulate) { (call.t("What may it do?")) }
        (super::removal::button(call, holder.kind.field(), name))
    };
    Page::new(name, body)
        .at(crumbs(&[(&call.t("Roles"), Href::to("/roles"))], name))
        .with(actions)
        .into()
}

fn facts(call: &Call<'_>, role: &Node) -> Markup {
    let longest = role.text("MaxSessionDuration").parse::<u64>().unwrap_or(0) / 60;
    let longest = call.with(
        "{minutes} minutes at most",
        &[("minutes", &longest.to_string())],
    );
    parts::facts(&[
        (
            &call.t("What it is for"),
            text::name(role.text("Description")),
        ),
        (&call.t("ARN"), text::code(role.text("Arn"))),
        (&call.t("Unique id"), text::code(role.text("RoleId"))),
        (&call.t("Sessions last"), html! { (longest) }),
        (&call.t("Created"), time::iso(role.text("CreateDate"))),
    ])
}

fn trust(call: &Call<'_>, name: &str, role: &Node) -> Markup {
    let text = pretty(&decoded(role.text("AssumeRolePolicyDocument")));
    let to = Href::to("/document").with(&[("of", "trust"), ("name", name)]);
    html! {
        (code(&call.t("Trust policy"), &text))
        p { a.button href=(to) { (call.t("Change who may use it")) } }
    }
}
