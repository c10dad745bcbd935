//! What a user, group or role has: policies, a boundary, tags. Parts of their pages.

use maud::{Markup, html};

use super::Kind;
use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Reply},
    s3::Node,
    ui::{
        parts::{self, Tone, badge},
        text,
    },
};

/// Members of a list of what one has; the registry allows fewer.
pub const ALL: &str = "1000";

/// Whom a form or a part of a page is about.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'h> {
    /// A user, a group or a role.
    pub kind: Kind,
    /// Its name.
    pub name: &'h str,
}

impl<'h> Holder<'h> {
    /// The holder that a form names.
    pub fn of(call: &'h Call<'_>) -> Result<Self, Fault> {
        let (kind, name) = super::target(call)?;
        Ok(Self { kind, name })
    }

    /// Asks IAM for an action on it.
    pub async fn ask(
        &self,
        call: &Call<'_>,
        (verb, what): (&str, &str),
        more: &[(&str, &str)],
    ) -> Result<Node, Fault> {
        let mut fields = vec![(self.kind.name_field(), self.name)];
        fields.extend_from_slice(more);
        call.iam(&self.kind.action(verb, what), &fields).await
    }

    /// The fields that name it in a form, and more.
    pub fn fields<'f>(&'f self, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
        let mut fields = vec![("of", self.kind.field()), ("name", self.name)];
        fields.extend_from_slice(more);
        fields
    }

    /// The hidden fields of a form that is sent to `route`.
    pub fn hidden(&self, call: &Call<'_>, route: &str) -> Markup {
        html! {
            (call.token(route))
            @for (name, value) in self.fields(&[]) {
                input type="hidden" name=(name) value=(value);
            }
        }
    }

    /// Back to its page, which shows what there is now.
    pub fn see(&self) -> Answer {
        Ok(Reply::See(self.kind.page(self.name)))
    }
}

/// A part of a page under its heading.
pub fn section(call: &Call<'_>, name: &str, id: &str, body: Result<Markup, Fault>) -> Markup {
    html! {
        section.card id=(id) {
            h2 { (name) }
            (parts::or_why(call, body))
        }
    }
}

/// Policies of its own, and those that are attached.
pub async fn policies(call: &Call<'_>, holder: Holder<'_>) -> Markup {
    html! {
        (section(call, &call.t("Managed policies"), "attached", attached(call, holder).await))
        (section(call, &call.t("Policies of its own"), "inline", inline(call, holder).await))
    }
}

async fn inline(call: &Call<'_>, holder: Holder<'_>) -> Result<Markup, Fault> {
    let found = holder
        .ask(call, ("List", "Policies"), &[("MaxItems", ALL)])
        .await?;
    let names = found.members("PolicyNames");
    let Holder { kind, name } = holder;
    Ok(html! {
        @if names.is_empty() { p { (call.t("None.")) } }
        @else {
            ul.plain-list {
                @for policy in names {
                    @let to = crate::ui::href::Href::to("/document")
                        .with(&[("of", kind.field()), ("name", name), ("policy", policy.own())]);
                    li { a href=(to) { (text::short(policy.own())) } }
                }
            }
        }
        form.bar method="get" action="/document" {
            input type="hidden" name="of" value=(kind.field());
            input type="hidden" name="name" value=(name);
            label.hide for="policy" { (call.t("Name of the new policy")) }
            input #policy name="policy" required maxlength="128" autocomplete="off"
                autocapitalize="none" spellcheck="false"
                placeholder=(call.t("Name of the new policy"));
            button { (call.t("Write a policy")) }
        }
    })
}

async fn attached(call: &Call<'_>, holder: Holder<'_>) -> Result<Markup, Fault> {
    let what = ["Attached", holder.kind.action("", "Policies").as_str()].concat();
    let fields = [(holder.kind.name_field(), holder.name), ("MaxItems", ALL)];
    let found = call.iam(&["List", &what].concat(), &fields).await?;
    let rows = found.members("AttachedPolicies");
    let has = |arn: &str| rows.iter().any(|row| row.text("PolicyArn") == arn);
    let all = call.iam("ListPolicies", &[("MaxItems", ALL)]).await;
    let free = all.as_ref().map_or(&[][..], |all| all.members("Policies"));
    let free: Vec<&Node> = free
        .iter()
        .filter(|policy| !has(policy.text("Arn")))
        .collect();
    Ok(html! {
        @if rows.is_empty() { p { (call.t("None.")) } }
        @else {
            ul.rows {
                @for row in rows {
                    @let arn = row.text("PolicyArn");
                    li {
                        a href=(super::managed::page(arn)) { (text::short(row.text("PolicyName"))) }
                        (parts::button(call, "/people/detach", &holder.fields(&[("arn", arn)]),
                            "small", &call.t("Detach")))
                    }
                }
            }
        }
        @if !free.is_empty() {
            form.bar method="post" action="/people/attach" {
                (holder.hidden(call, "/people/attach"))
                (choice(&call.t("Managed policy"), "attach-arn", "arn", &free))
                button { (call.t("Attach")) }
            }
        } @else if rows.is_empty() {
            p.hint { a href="/policies" { (call.t("Make a managed policy first")) } }
        }
    })
}

/// A choice among managed policies.
fn choice(label: &str, id: &str, name: &str, policies: &[&Node]) -> Markup {
    html! {
        label.hide for=(id) { (label) }
        select id=(id) name=(name) {
            @for policy in policies {
                option value=(policy.text("Arn")) { (text::visible(policy.text("PolicyName"))) }
            }
        }
    }
}

fn arn<'c>(call: &'c Call<'_>) -> Result<&'c str, Fault> {
    let arn = call.form.some("arn");
    arn.ok_or_else(|| Fault::Bad(call.t("The form names no policy.")))
}

/// Attaches a managed policy.
pub async fn attach(call: &Call<'_>) -> Answer {
    let holder = Holder::of(call)?;
    holder
        .ask(call, ("Attach", "Policy"), &[("PolicyArn", arn(call)?)])
        .await?;
    holder.see()
}

/// Detaches one.
pub async fn detach(call: &Call<'_>) -> Answer {
    let holder = Holder::of(call)?;
    holder
        .ask(call, ("Detach", "Policy"), &[("PolicyArn", arn(call)?)])
        .await?;
    holder.see()
}

/// What bounds a user or a role, and the form to change that.
pub async fn boundary(call: &Call<'_>, holder: Holder<'_>, record: &Node) -> Markup {
    let now = record.child("PermissionsBoundary");
    let now = now.map_or("", |boundary| boundary.text("PermissionsBoundaryArn"));
    let all = call.iam("ListPolicies", &[("MaxItems", ALL)]).await;
    let all = all.as_ref().map_or(&[][..], |all| all.members("Policies"));
    let others: Vec<&Node> = all
        .iter()
        .filter(|policy| policy.text("Arn") != now)
        .collect();
    let to = "/people/boundary";
    let body = html! {
        p.hint { (call.t("It takes away what it does not allow, and gives nothing.")) }
        @if now.is_empty() { p { (badge(Tone::Plain, &call.t("none"))) } }
        @else {
            ul.rows {
                li {
                    a href=(super::managed::page(now)) {
                        (text::short(now.rsplit('/').next().unwrap_or(now)))
                    }
                    (parts::button(call, to, &holder.fields(&[]), "small", &call.t("Take it away")))
                }
            }
        }
        @if !others.is_empty() {
            form.bar method="post" action=(to) {
                (holder.hidden(call, to))
                (choice(&call.t("Boundary"), "boundary-arn", "arn", &others))
                button { (call.t("Set as boundary")) }
            }
        }
    };
    section(call, &call.t("Permissions boundary"), "boundary", Ok(body))
}

/// Sets the boundary, or without one takes it away.
pub async fn set_boundary(call: &Call<'_>) -> Answer {
    let holder = Holder::of(call)?;
    match call.form.some("arn") {
        Some(arn) => {
            let fields = [("PermissionsBoundary", arn)];
            holder
                .ask(call, ("Put", "PermissionsBoundary"), &fields)
                .await?;
        }
        None => {
            holder
                .ask(call, ("Delete", "PermissionsBoundary"), &[])
                .await?;
        }
    }
    holder.see()
}

/// The tags, and the form for one more.
pub fn tags(call: &Call<'_>, holder: Holder<'_>, record: &Node) -> Markup {
    let tags = record.members("Tags");
    let body = html! {
        @if tags.is_empty() { p { (call.t("None.")) } }
        @else {
            ul.rows {
                @for tag in tags {
                    @let key = tag.text("Key");
                    li {
                        span { (text::short(key)) " = " (text::short(tag.text("Value"))) }
                        (parts::button(call, "/people/untag", &holder.fields(&[("key", key)]),
                            "small", &call.t("Remove")))
                    }
                }
            }
        }
        form.bar method="post" action="/people/tag" {
            (holder.hidden(call, "/people/tag"))
            label.hide for="key" { (call.t("Key of the tag")) }
            input #key name="key" required maxlength="128" autocomplete="off"
                placeholder=(call.t("Key of the tag"));
            label.hide for="value" { (call.t("Value")) }
            input #value name="value" maxlength="256" autocomplete="off"
                placeholder=(call.t("Value"));
            button { (call.t("Set the tag")) }
        }
    };
    section(call, &call.t("Tags"), "tags", Ok(body))
}

/// Sets a tag.
pub async fn tag(call: &Call<'_>) -> Answer {
    let holder = Holder::of(call)?;
    let (key, value) = (
        call.form.get("key").unwrap_or_default(),
        call.form.get("value").unwrap_or_default(),
    );
    let fields = [("Tags.member.1.Key", key), ("Tags.member.1.Value", value)];
    holder.ask(call, ("Tag", ""), &fields).await?;
    holder.see()
}

/// Takes one away.
pub async fn untag(call: &Call<'_>) -> Answer {
    let holder = Holder::of(call)?;
    let key = call.form.get("key").unwrap_or_default();
    holder
        .ask(call, ("Untag", ""), &[("TagKeys.member.1", key)])
        .await?;
    holder.see()
}
