//! The companies that run regions, and a form for another one.

use access::grants::{Action, Grant};
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    pages::{regions, value},
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        parts::{self, Tone, note},
        text, time,
    },
};

/// The list.
pub async fn show(call: &Call<'_>) -> Answer {
    shown(call, None).await?.into()
}

async fn shown(call: &Call<'_>, refused: Option<&Fault>) -> Result<Page, Fault> {
    let operators = call.admin(&Method::GET, "operators", None).await?;
    let operators = operators.as_array().map_or(&[][..], Vec::as_slice);
    let regions = regions::all(call).await?;
    let grant = |caller: &crate::call::Caller| caller.grant(Action::ChangeRegions);
    let adds = call.caller.map(grant) == Some(Grant::All);
    let body = html! {
        @if let Some(fault) = refused {
            (note(Tone::Bad, &html! { p role="alert" { (parts::reason(call, fault)) } }))
        }
        (parts::saved(call))
        (parts::table(&call.t("Operators"), &table(call, operators, &regions)))
        @if adds { (form(call)) }
    };
    let path = html! { ol { li { a href="/regions" { (call.t("Regions")) } } } };
    let mut page = Page::new(call.t("Operators"), body).at(path);
    if refused.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    Ok(page)
}

fn table(call: &Call<'_>, operators: &[Value], regions: &[Value]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Operator")) }
                    th scope="col" { (call.t("Name")) }
                    th scope="col" { (call.t("Regions")) }
                    th scope="col" { (call.t("Created")) }
                }
            }
            tbody {
                @for one in operators {
                    @let id = value::text(one, "id");
                    tr {
                        th scope="row" { (text::code(id)) }
                        td.name { (text::short(value::text(one, "name"))) }
                        td { (run_by(call, id, regions)) }
                        td { (time::ms(value::number(one, "created_ms"))) }
                    }
                }
            }
        }
    }
}

fn run_by(call: &Call<'_>, operator: &str, regions: &[Value]) -> Markup {
    let own = |region: &&Value| value::text(region, "operator") == operator;
    let ids = regions
        .iter()
        .filter(own)
        .map(|region| value::text(region, "id"));
    let ids: Vec<&str> = ids.collect();
    html! {
        @if ids.is_empty() { (call.t("none")) }
        @for (at, id) in ids.iter().enumerate() {
            @if at > 0 { ", " }
            a href=(Href::to("/regions/show").with(&[("id", id)])) { (text::code(id)) }
        }
    }
}

fn form(call: &Call<'_>) -> Markup {
    let given = |name: &str| call.form.get(name).unwrap_or_default();
    html! {
        section.card {
            h2 { (call.t("New operator")) }
            p { (call.t(ABOUT)) }
            form.stack method="post" action="/operators/add" {
                (call.token("/operators/add"))
                div {
                    label for="id" { (call.t("Operator")) }
                    input #id name="id" value=(given("id")) maxlength="63" required dir="ltr"
                        autocapitalize="none" spellcheck="false" aria-describedby="id-hint";
                    p.hint #id-hint { (call.t("Lower-case letters, digits and hyphens. It never changes.")) }
                }
                div {
                    label for="name" { (call.t("Name")) }
                    input #name name="name" value=(given("name")) maxlength="128" required;
                }
                div.actions { button.primary { (call.t("Add the operator")) } }
            }
        }
    }
}

const ABOUT: &str = "A company that runs regions. Its people sign in with keys of an account for its \
                     regions, and see and do nothing in the regions of others.";

/// Adds one.
pub async fn add(call: &Call<'_>) -> Answer {
    let given = |name: &str| call.form.get(name).unwrap_or_default().trim();
    let new = json!({ "id": given("id"), "name": given("name") });
    match call.admin(&Method::POST, "operators", Some(&new)).await {
        Ok(_) => Ok(Reply::See(Href::to("/operators").with(&[("saved", "1")]))),
        Err(fault @ Fault::Bad(_)) => shown(call, Some(&fault)).await?.into(),
        Err(fault) => Err(fault),
    }
}
