//! One group: its users and its policies.

use maud::{Markup, html};

use super::{
    Kind, crumbs,
    held::{self, Holder, section},
    lists,
};
use crate::{
    call::Call,
    reply::{Answer, Page, Reply},
    s3::Node,
    ui::{href::Href, parts, text, time},
};

/// Users of a page.
const ROWS: &str = "50";

/// The page of one.
pub async fn show(call: &Call<'_>) -> Answer {
    let name = super::named(call)?;
    let holder = Holder {
        kind: Kind::Group,
        name,
    };
    let after = call.query.some("after").unwrap_or_default();
    let fields = [("Marker", after), ("MaxItems", ROWS)];
    let found = holder.ask(call, ("Get", ""), &fields).await?;
    let empty = Node::default();
    let group = found.child("Group").unwrap_or(&empty);
    let body = html! {
        (parts::saved(call))
        (parts::facts(&[
            (&call.t("ARN"), text::code(group.text("Arn"))),
            (&call.t("Unique id"), text::code(group.text("GroupId"))),
            (&call.t("Created"), time::iso(group.text("CreateDate"))),
        ]))
        (section(call, &call.t("Users"), "users", Ok(users(call, name, &found))))
        div.cards { (held::policies(call, holder).await) }
    };
    Page::new(name, body)
        .at(crumbs(&[(&call.t("Groups"), Href::to("/groups"))], name))
        .with(super::removal::button(call, holder.kind.field(), name))
        .into()
}

fn users(call: &Call<'_>, name: &str, found: &Node) -> Markup {
    let users = found.members("Users");
    html! {
        @if users.is_empty() { p { (call.t("None.")) } }
        @else {
            ul.rows {
                @for user in users {
                    @let user = user.text("UserName");
                    li {
                        a href=(Kind::User.page(user)) { (text::short(user)) }
                        (parts::button(call, "/people/leave",
                            &[("group", name), ("user", user), ("back", "group")],
                            "small", &call.t("Remove")))
                    }
                }
            }
        }
        (lists::next(call, &Kind::Group.page(name), found))
        form.bar method="post" action="/people/join" {
            (call.token("/people/join"))
            input type="hidden" name="group" value=(name);
            input type="hidden" name="back" value="group";
            label.hide for="user" { (call.t("Name of the user")) }
            input #user name="user" required maxlength="64" autocomplete="off"
                autocapitalize="none" spellcheck="false" placeholder=(call.t("Name of the user"));
            button { (call.t("Add to the group")) }
        }
    }
}

async fn change(call: &Call<'_>, action: &str) -> Answer {
    let field = |name| call.form.get(name).unwrap_or_default();
    let (group, user) = (field("group"), field("user"));
    let fields = [("GroupName", group), ("UserName", user)];
    call.iam(action, &fields).await?;
    Ok(Reply::See(match field("back") {
        "user" => Kind::User.page(user),
        _ => Kind::Group.page(group),
    }))
}

/// Adds a user.
pub async fn join(call: &Call<'_>) -> Answer {
    change(call, "AddUserToGroup").await
}

/// Removes one.
pub async fn leave(call: &Call<'_>) -> Answer {
    change(call, "RemoveUserFromGroup").await
}
