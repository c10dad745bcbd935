//! One user: keys, groups, policies, boundary and tags.

use maud::{Markup, html};

use super::{
    Kind, crumbs,
    held::{self, ALL, Holder, section},
};
use crate::{
    call::Call,
    fault::Fault,
    pages::keys,
    reply::{Answer, Page},
    s3::Node,
    ui::{
        href::Href,
        parts::{self, Tone, badge, note},
        text, time,
    },
};

/// Keys that a user has at most.
const KEYS_MAX: usize = 2;

/// The page of one.
pub async fn show(call: &Call<'_>) -> Answer {
    let name = super::named(call)?;
    let holder = Holder {
        kind: Kind::User,
        name,
    };
    let found = holder.ask(call, ("Get", ""), &[]).await?;
    let user = found.take("User").unwrap_or_default();
    let body = html! {
        (parts::saved(call))
        (parts::facts(&[
            (&call.t("ARN"), text::code(user.text("Arn"))),
            (&call.t("Unique id"), text::code(user.text("UserId"))),
            (&call.t("Created"), time::iso(user.text("CreateDate"))),
        ]))
        (section(call, &call.t("Access keys"), "keys", access_keys(call, holder).await))
        div.cards {
            (held::policies(call, holder).await)
            (section(call, &call.t("Groups"), "groups", groups(call, name).await))
            (held::boundary(call, holder, &user).await)
            (held::tags(call, holder, &user))
        }
    };
    let simulate = Href::to("/simulate").with(&[("who", &["user/", name].concat())]);
    let actions = html! {
        a.button href=(simulate) { (call.t("What may it do?")) }
        (super::removal::button(call, holder.kind.field(), name))
    };
    Page::new(name, body)
        .at(crumbs(&[(&call.t("Users"), Href::to("/users"))], name))
        .with(actions)
        .into()
}

async fn access_keys(call: &Call<'_>, holder: Holder<'_>) -> Result<Markup, Fault> {
    let fields = [("UserName", holder.name), ("MaxItems", ALL)];
    let found = call.iam("ListAccessKeys", &fields).await?;
    let keys = found.members("AccessKeyMetadata");
    let mut used = Vec::new();
    for key in keys {
        let fields = [("AccessKeyId", key.text("AccessKeyId"))];
        used.push(call.iam("GetAccessKeyLastUsed", &fields).await.ok());
    }
    let rows: Vec<(&Node, Option<Node>)> = keys.iter().zip(used).collect();
    Ok(html! {
        @if keys.is_empty() { p { (call.t("None: the user can sign nothing yet.")) } }
        @else {
            (parts::table(&call.t("Access keys"), &key_table(call, holder, &rows)))
            p.hint { (call.t(keys::ROUGHLY)) }
        }
        @if keys.len() < KEYS_MAX {
            (parts::button(call, "/people/key", &holder.fields(&[]), "", &call.t("Make a key")))
        } @else {
            p.hint { (call.t("A user has two keys at most: delete one to make another.")) }
        }
    })
}

/// What `GetAccessKeyLastUsed` answered; nothing where it refused.
fn used(call: &Call<'_>, answer: Option<&Node>) -> Markup {
    let Some(answer) = answer else {
        return html! { (call.t("not shown to you")) };
    };
    let used = answer.child("AccessKeyLastUsed");
    let used = used.filter(|used| !used.text("LastUsedDate").is_empty());
    let used = used.map(|used| {
        let at = time::iso(used.text("LastUsedDate"));
        (at, used.text("Region"), used.text("ServiceName"))
    });
    keys::last_use(call, used)
}

fn key_table(call: &Call<'_>, holder: Holder<'_>, keys: &[(&Node, Option<Node>)]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Access key")) }
                    th scope="col" { (call.t("State")) }
                    th scope="col" { (call.t("Created")) }
                    th scope="col" { (call.t("Last used")) }
                    th scope="col" { (call.t("Action")) }
                }
            }
            tbody {
                @for (key, answer) in keys {
                    @let id = key.text("AccessKeyId");
                    @let used = used(call, answer.as_ref());
                    tr {
                        th scope="row" { (text::code(id)) }
                        @if key.text("Status") == "Active" {
                            td { (badge(Tone::Good, &call.t("active"))) }
                            td { (time::iso(key.text("CreateDate"))) }
                            td { (used) }
                            td {
                                (parts::button(call, "/people/key/set",
                                    &holder.fields(&[("key", id), ("status", "Inactive")]),
                                    "small", &call.t("Disable")))
                            }
                        } @else {
                            td { (badge(Tone::Warn, &call.t("disabled"))) }
                            td { (time::iso(key.text("CreateDate"))) }
                            td { (used) }
                            td {
                                div.actions {
                                    (parts::button(call, "/people/key/set",
                                        &holder.fields(&[("key", id), ("status", "Active")]),
                                        "small", &call.t("Enable")))
                                    (parts::button(call, "/people/key/delete",
                                        &holder.fields(&[("key", id)]),
                                        "small danger", &call.t("Delete")))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Makes a key and shows its secret.
pub async fn make_key(call: &Call<'_>) -> Answer {
    let holder = Holder::of(call)?;
    let made = call
        .iam("CreateAccessKey", &[("UserName", holder.name)])
        .await?;
    let key = made.take("AccessKey").unwrap_or_default();
    let (id, secret) = (key.text("AccessKeyId"), key.text("SecretAccessKey"));
    let back = holder.kind.page(holder.name);
    keys::shown_once(call, (id, secret), &back)
}

fn key<'c>(call: &'c Call<'_>) -> Result<&'c str, Fault> {
    let key = call.form.some("key");
    key.ok_or_else(|| Fault::Bad(call.t("The form names no key.")))
}

/// Disables a key, or enables it again.
pub async fn set_key(call: &Call<'_>) -> Answer {
    let (holder, id) = (Holder::of(call)?, key(call)?);
    let status = call.form.get("status").unwrap_or_default();
    let fields = [
        ("UserName", holder.name),
        ("AccessKeyId", id),
        ("Status", status),
    ];
    call.iam("UpdateAccessKey", &fields).await?;
    holder.see()
}

/// Asks whether a disabled key is to go for good, and deletes it once that is confirmed.
pub async fn delete_key(call: &Call<'_>) -> Answer {
    let (holder, id) = (Holder::of(call)?, key(call)?);
    if call.form.get("sure") == Some("1") {
        let fields = [("UserName", holder.name), ("AccessKeyId", id)];
        call.iam("DeleteAccessKey", &fields).await?;
        return holder.see();
    }
    let body = html! {
        (note(Tone::Bad, &html! { p { (call.t("A key that is deleted does not come back. What signs with it is refused.")) } }))
        form.stack method="post" action="/people/key/delete" {
            (holder.hidden(call, "/people/key/delete"))
            input type="hidden" name="key" value=(id);
            label.check {
                input type="checkbox" name="sure" value="1" required;
                span { (call.t("Yes, delete the key")) " " (text::code(id)) }
            }
            div.actions {
                button.danger { (call.t("Delete the key")) }
                a.button href=(holder.kind.page(holder.name)) { (call.t("Keep it")) }
            }
        }
    };
    Page::new(call.t("Delete a key"), body).into()
}

async fn groups(call: &Call<'_>, name: &str) -> Result<Markup, Fault> {
    let fields = [("UserName", name), ("MaxItems", ALL)];
    let found = call.iam("ListGroupsForUser", &fields).await?;
    let own = found.members("Groups");
    let all = call.iam("ListGroups", &[("MaxItems", ALL)]).await;
    let all = all.as_ref().map_or(&[][..], |all| all.members("Groups"));
    let is_in = |group: &Node| {
        let arn = group.text("Arn");
        own.iter().any(|own| own.text("Arn") == arn)
    };
    let free: Vec<&str> = all
        .iter()
        .filter(|group| !is_in(group))
        .map(|group| group.text("GroupName"))
        .collect();
    let back = [("user", name), ("back", "user")];
    Ok(html! {
        @if own.is_empty() { p { (call.t("None.")) } }
        @else {
            ul.rows {
                @for group in own {
                    @let group = group.text("GroupName");
                    li {
                        a href=(Kind::Group.page(group)) { (text::short(group)) }
                        (parts::button(call, "/people/leave",
                            &[("group", group), back[0], back[1]], "small", &call.t("Leave")))
                    }
                }
            }
        }
        @if !free.is_empty() {
            form.bar method="post" action="/people/join" {
                (call.token("/people/join"))
                @for (name, value) in back { input type="hidden" name=(name) value=(value); }
                label.hide for="group" { (call.t("Group")) }
                select #group name="group" {
                    @for group in free { option value=(group) { (text::visible(group)) } }
                }
                button { (call.t("Add to the group")) }
            }
        } @else if own.is_empty() {
            p.hint { a href="/groups" { (call.t("Make a group first")) } }
        }
    })
}
