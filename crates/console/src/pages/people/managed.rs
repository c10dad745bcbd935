//! One managed policy: its text, its versions, and who has it.

use maud::{Markup, html};

use super::{Kind, crumbs, held::section};
use crate::{
    call::Call,
    fault::Fault,
    pages::editor::{code, version_text},
    reply::{Answer, Page, Reply},
    s3::Node,
    ui::{
        href::Href,
        parts::{self, Tone, badge},
        text, time,
    },
};

/// The page of one, by its ARN.
pub fn page(arn: &str) -> Href {
    Href::to("/policies/show").with(&[("arn", arn)])
}

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    let arn = call.query.some("arn");
    let arn = arn.ok_or_else(|| Fault::Missing(call.t("The address names no policy.")))?;
    let found = call.iam("GetPolicy", &[("PolicyArn", arn)]).await?;
    let policy = found.take("Policy").unwrap_or_default();
    let name = policy.text("PolicyName");
    let default = policy.text("DefaultVersionId");
    let seen = call.query.some("version").unwrap_or(default);
    let new = Href::to("/document").with(&[("of", "managed"), ("name", arn)]);
    let body = html! {
        (parts::saved(call))
        (parts::facts(&[
            (&call.t("What it is for"), text::name(policy.text("Description"))),
            (&call.t("ARN"), text::code(arn)),
            (&call.t("Created"), time::iso(policy.text("CreateDate"))),
            (&call.t("Changed"), time::iso(policy.text("UpdateDate"))),
        ]))
        (section(call, &call.with("Version {version}", &[("version", seen)]), "text",
            shown_text(call, arn, (seen, default)).await))
        div.cards {
            (section(call, &call.t("Versions"), "versions", versions(call, arn).await))
            (section(call, &call.t("Attached to"), "holders", holders(call, arn).await))
        }
    };
    let actions = html! {
        a.button.primary href=(new) { (call.t("Write a new version")) }
        (super::removal::button(call, "managed", arn))
    };
    let list = Href::to("/policies");
    Page::new(name, body)
        .at(crumbs(&[(&call.t("Managed policies"), list)], name))
        .with(actions)
        .into()
}

async fn shown_text(
    call: &Call<'_>,
    arn: &str,
    (seen, default): (&str, &str),
) -> Result<Markup, Fault> {
    let text = version_text(call, arn, seen).await?;
    Ok(html! {
        @if seen == default { p { (badge(Tone::Good, &call.t("counts"))) } }
        @else { p { (badge(Tone::Plain, &call.t("does not count"))) } }
        (code(&call.t("Document"), &text))
    })
}

async fn versions(call: &Call<'_>, arn: &str) -> Result<Markup, Fault> {
    let found = call
        .iam("ListPolicyVersions", &[("PolicyArn", arn)])
        .await?;
    Ok(parts::table(
        &call.t("Versions"),
        &html! {
            table.many {
                thead {
                    tr {
                        th scope="col" { (call.t("Version")) }
                        th scope="col" { (call.t("State")) }
                        th scope="col" { (call.t("Created")) }
                        th scope="col" { (call.t("Action")) }
                    }
                }
                tbody { @for version in found.members("Versions") { (row(call, arn, version)) } }
            }
        },
    ))
}

fn row(call: &Call<'_>, arn: &str, version: &Node) -> Markup {
    let id = version.text("VersionId");
    let counts = version.text("IsDefaultVersion") == "true";
    let fields = [("arn", arn), ("version", id)];
    html! {
        tr {
            th scope="row" { a href=(page(arn).and(&[("version", id)])) { (text::code(id)) } }
            td { @if counts { (badge(Tone::Good, &call.t("counts"))) } }
            td { (time::iso(version.text("CreateDate"))) }
            td {
                @if !counts {
                    div.actions {
                        (parts::button(call, "/policies/default", &fields, "small", &call.t("Let it count")))
                        (parts::button(call, "/policies/version/delete", &fields, "small danger", &call.t("Delete")))
                    }
                }
            }
        }
    }
}

async fn holders(call: &Call<'_>, arn: &str) -> Result<Markup, Fault> {
    let found = call
        .iam("ListEntitiesForPolicy", &[("PolicyArn", arn)])
        .await?;
    let of = |kind: Kind| found.members(kind.entities_field());
    let kinds = [Kind::User, Kind::Group, Kind::Role];
    let none = kinds.iter().all(|kind| of(*kind).is_empty());
    Ok(html! {
        @if none { p { (call.t("Nobody has it: it does nothing yet.")) } }
        @for kind in kinds {
            @if !of(kind).is_empty() {
                h3 { (kind.list_name(call)) }
                ul.rows {
                    @for holder in of(kind) {
                        @let name = holder.text(kind.name_field());
                        li { a href=(kind.page(name)) { (text::short(name)) } }
                    }
                }
            }
        }
    })
}

fn fields<'c>(call: &'c Call<'_>) -> [(&'static str, &'c str); 2] {
    let field = |name| call.form.get(name).unwrap_or_default();
    [("PolicyArn", field("arn")), ("VersionId", field("version"))]
}

async fn change(call: &Call<'_>, action: &str) -> Answer {
    let fields = fields(call);
    call.iam(action, &fields).await?;
    Ok(Reply::See(page(fields[0].1)))
}

/// Lets another version count.
pub async fn set_default(call: &Call<'_>) -> Answer {
    change(call, "SetDefaultPolicyVersion").await
}

/// Deletes a version that does not count.
pub async fn delete_version(call: &Call<'_>) -> Answer {
    change(call, "DeletePolicyVersion").await
}
