//! All users, groups, roles and managed policies of the account, a page at a time.

use maud::{Markup, html};

use super::Kind;
use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page, Reply},
    s3::Node,
    ui::{
        href::Href,
        parts::{self, Tone, badge},
        text, time,
    },
};

/// Rows of a page.
const ROWS: &str = "50";

/// The users.
pub async fn users(call: &Call<'_>) -> Answer {
    list(call, Kind::User).await
}

/// The groups.
pub async fn groups(call: &Call<'_>) -> Answer {
    list(call, Kind::Group).await
}

/// The roles.
pub async fn roles(call: &Call<'_>) -> Answer {
    list(call, Kind::Role).await
}

async fn list(call: &Call<'_>, kind: Kind) -> Answer {
    let after = call.query.some("after").unwrap_or_default();
    let action = kind.action("List", "s");
    let found = call
        .iam(&action, &[("Marker", after), ("MaxItems", ROWS)])
        .await?;
    let rows = found.members(kind.list_field());
    let body = html! {
        p { (what(call, kind)) }
        @if rows.is_empty() && after.is_empty() {
            (parts::empty(&none(call, kind), &html! { p { (how(call, kind)) } }))
        } @else {
            (parts::table(&kind.list_name(call), &table(call, kind, rows)))
        }
        (next(call, &kind.list(), &found))
        (form(call, kind))
    };
    Page::new(kind.list_name(call), body).into()
}

/// The link to the next page of a list of IAM's.
pub fn next(call: &Call<'_>, list: &Href, found: &Node) -> Markup {
    html! {
        @if found.text("IsTruncated") == "true" {
            p.more {
                a.button rel="next" href=(list.and(&[("after", found.text("Marker"))])) {
                    (call.t("Next page"))
                }
                span.hint { (call.t("There are more.")) }
            }
        }
    }
}

fn what(call: &Call<'_>, kind: Kind) -> String {
    let what = match kind {
        Kind::User => {
            call.t("A user has keys of its own, and may do what policies allow. Make one for each person and program.")
        }
        Kind::Group => call.t("What a group may do, all its users may do."),
        Kind::Role => {
            call.t("A role has no keys. Whom its trust policy names can have a session of it for some hours.")
        }
    };
    what.into_owned()
}

fn none(call: &Call<'_>, kind: Kind) -> String {
    let none = match kind {
        Kind::User => call.t("No user yet."),
        Kind::Group => call.t("No group yet."),
        Kind::Role => call.t("No role yet."),
    };
    none.into_owned()
}

fn how(call: &Call<'_>, kind: Kind) -> String {
    let how = match kind {
        Kind::User => call.t(
            "Give the new user a policy or a group and then a key. Until then it may do nothing.",
        ),
        Kind::Group => call.t("Give the new group a policy, and then add users to it."),
        Kind::Role => call.t("Say first who may use it, then give it a policy."),
    };
    how.into_owned()
}

fn table(call: &Call<'_>, kind: Kind, rows: &[Node]) -> Markup {
    html! {
        table data-rows {
            thead {
                tr {
                    th scope="col" { (call.t("Name")) }
                    th scope="col" { (call.t("Path")) }
                    th scope="col" { (call.t("Created")) }
                }
            }
            tbody {
                @for row in rows {
                    @let name = row.text(kind.name_field());
                    tr {
                        th scope="row" { a href=(kind.page(name)) { (text::short(name)) } }
                        td.name { (text::short(row.text("Path"))) }
                        td { (time::iso(row.text("CreateDate"))) }
                    }
                }
            }
        }
    }
}

fn name_field(call: &Call<'_>) -> Markup {
    html! {
        div {
            label for="name" { (call.t("Name")) }
            input #name name="name" maxlength="128" required autocomplete="off"
                autocapitalize="none" spellcheck="false" aria-describedby="name-hint";
            p.hint #name-hint { (call.t("Letters, digits and +=,.@_- only.")) }
        }
    }
}

fn description_field(call: &Call<'_>) -> Markup {
    html! {
        div {
            label for="description" { (call.t("What it is for")) }
            input #description name="description" maxlength="1000" autocomplete="off";
        }
    }
}

fn form(call: &Call<'_>, kind: Kind) -> Markup {
    let (title, button) = match kind {
        Kind::User => (call.t("New user"), call.t("Create the user")),
        Kind::Group => (call.t("New group"), call.t("Create the group")),
        Kind::Role => (call.t("New role"), call.t("Go on to who may use it")),
    };
    html! {
        section.card {
            h2 { (title) }
            @if kind == Kind::Role {
                form.stack method="get" action="/document" {
                    input type="hidden" name="of" value="new-role";
                    input type="hidden" name="start" value="own";
                    (name_field(call))
                    (description_field(call))
                    div.actions { button.primary { (button) } }
                }
            } @else {
                form.stack method="post" action="/people/create" {
                    (call.token("/people/create"))
                    input type="hidden" name="of" value=(kind.field());
                    (name_field(call))
                    div {
                        label for="path" { (call.t("Path")) }
                        input #path name="path" value="/" maxlength="512" dir="ltr"
                            autocomplete="off" autocapitalize="none" spellcheck="false"
                            aria-describedby="path-hint";
                        p.hint #path-hint {
                            (call.t("For policies that are about many at once, such as /team/. Most need none."))
                        }
                    }
                    div.actions { button.primary { (button) } }
                }
            }
        }
    }
}

/// Makes a user or a group.
pub async fn create(call: &Call<'_>) -> Answer {
    let (kind, name) = super::target(call)?;
    if kind == Kind::Role {
        return Err(Fault::Bad(call.t("A role needs a trust policy first.")));
    }
    let path = call.form.get("path").unwrap_or_default();
    let fields = [(kind.name_field(), name), ("Path", path)];
    call.iam(&kind.action("Create", ""), &fields).await?;
    Ok(Reply::See(kind.page(name)))
}

/// The managed policies.
pub async fn managed(call: &Call<'_>) -> Answer {
    let after = call.query.some("after").unwrap_or_default();
    let found = call
        .iam(
            "ListPolicies",
            &[("Scope", "Local"), ("Marker", after), ("MaxItems", ROWS)],
        )
        .await?;
    let rows = found.members("Policies");
    let title = call.t("Managed policies");
    let body = html! {
        p { (call.t("A managed policy is attached to users, groups and roles. A new version counts for all of them at once.")) }
        @if rows.is_empty() && after.is_empty() {
            (parts::empty(&call.t("No managed policy yet."), &html! {
                p { (call.t("Make one for what several users or groups may do.")) }
            }))
        } @else {
            (parts::table(&title, &managed_table(call, rows)))
        }
        (next(call, &Href::to("/policies"), &found))
        section.card {
            h2 { (call.t("New managed policy")) }
            form.stack method="get" action="/document" {
                input type="hidden" name="of" value="new-managed";
                (name_field(call))
                (description_field(call))
                div.actions { button.primary { (call.t("Go on to its text")) } }
            }
        }
    };
    Page::new(title, body).into()
}

fn managed_table(call: &Call<'_>, rows: &[Node]) -> Markup {
    html! {
        table data-rows {
            thead {
                tr {
                    th scope="col" { (call.t("Name")) }
                    th scope="col" { (call.t("Attached to")) }
                    th scope="col" { (call.t("Version that counts")) }
                    th scope="col" { (call.t("Changed")) }
                }
            }
            tbody {
                @for row in rows {
                    @let (arn, attached) = (row.text("Arn"), row.text("AttachmentCount"));
                    tr {
                        th scope="row" {
                            a href=(super::managed::page(arn)) { (text::short(row.text("PolicyName"))) }
                        }
                        td {
                            @if attached == "0" { (badge(Tone::Plain, &call.t("nobody"))) }
                            @else { (attached) }
                        }
                        td { (text::code(row.text("DefaultVersionId"))) }
                        td { (time::iso(row.text("UpdateDate"))) }
                    }
                }
            }
        }
    }
}
