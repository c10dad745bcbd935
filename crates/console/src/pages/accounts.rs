//! The accounts of the cloud, for whoever runs it: who there is, what binds them, a form for a new
//! one, and the switch that stops all requests of one.

use access::grants::{Action, Grant};
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    pages::value,
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        map,
        parts::{self, Tone, badge, note},
        text, time,
    },
};

/// The page of an account.
pub fn page(id: &str) -> Href {
    Href::to("/accounts/show").with(&[("id", id)])
}

/// The list.
pub async fn show(call: &Call<'_>) -> Answer {
    shown(call, None).await?.into()
}

async fn shown(call: &Call<'_>, refused: Option<&Fault>) -> Result<Page, Fault> {
    let accounts = call.admin(&Method::GET, "accounts", None).await?;
    let accounts = accounts.as_array().cloned().unwrap_or_default();
    let changes = call.who()?.grant(Action::ChangeAccounts) != Grant::No;
    let body = html! {
        @if let Some(fault) = refused {
            (note(Tone::Bad, &html! { p role="alert" { (parts::reason(call, fault)) } }))
        }
        (parts::table(&call.t("Accounts"), &table(call, &accounts, changes)))
        @if changes { (form(call).await?) }
    };
    let mut page = Page::new(call.t("Accounts"), body);
    if refused.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    Ok(page)
}

/// A new account: its name, whom it is for, and the countries that bind its buckets.
async fn form(call: &Call<'_>) -> Result<Markup, Fault> {
    let operators = call.admin(&Method::GET, "operators", None).await?;
    let operators = operators.as_array().map_or(&[][..], Vec::as_slice);
    let given = |name: &str| call.form.get(name).unwrap_or_default();
    let kind = call.form.some("kind").unwrap_or("customer");
    let operator_of = |id: &str| ["operator ", id].concat();
    Ok(html! {
        section.card {
            h2 { (call.t("New account")) }
            form.stack method="post" action="/accounts/create" {
                (call.token("/accounts/create"))
                div {
                    label for="name" { (call.t("Name")) }
                    input #name name="name" value=(given("name")) maxlength="128" required
                        autocomplete="off";
                }
                div {
                    label for="kind" { (call.t("For")) }
                    select #kind name="kind" {
                        option value="customer" selected[kind == "customer"] { (call.t("customer")) }
                        option value="auditor" selected[kind == "auditor"] { (call.t("auditor")) }
                        @for one in operators {
                            @let id = value::text(one, "id");
                            @let shown = text::label(id);
                            option value=(operator_of(id)) selected[kind == operator_of(id)] {
                                (call.with("regions of {operator}", &[("operator", &shown)]))
                            }
                        }
                    }
                }
                div {
                    label for="guard" { (call.t("Its buckets stay in")) }
                    input #guard name="guard" value=(given("guard")) maxlength="400" dir="ltr"
                        autocapitalize="none" spellcheck="false" aria-describedby="guard-hint";
                    p.hint #guard-hint { (call.t(GUARD)) }
                }
                div.actions { button.primary { (call.t("Create the account")) } }
            }
        }
    })
}

const GUARD: &str = "Codes of countries, or EU, with blanks between them. Empty: every country. All \
                     its buckets keep to it, and it cannot be changed here later.";

/// Creates an account.
pub async fn create(call: &Call<'_>) -> Answer {
    let given = |name: &str| call.form.get(name).unwrap_or_default().trim();
    let guard: Vec<&str> = given("guard").split([' ', ',']).collect();
    let guard: Vec<&str> = guard.into_iter().filter(|one| !one.is_empty()).collect();
    let mut new = json!({ "name": given("name"), "guard": guard });
    match given("kind") {
        "customer" => {}
        "auditor" => new["auditor"] = true.into(),
        kind => match kind.strip_prefix("operator ") {
            Some(operator) => new["operator"] = operator.into(),
            None => return Err(Fault::Bad(call.t("There is no such kind of account."))),
        },
    }
    match call.admin(&Method::POST, "accounts", Some(&new)).await {
        Ok(made) => Ok(Reply::See(page(value::text(&made, "id")))),
        Err(fault @ (Fault::Bad(_) | Fault::Missing(_))) => shown(call, Some(&fault)).await?.into(),
        Err(fault) => Err(fault),
    }
}

fn table(call: &Call<'_>, accounts: &[Value], changes: bool) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Name")) }
                    th scope="col" { (call.t("Number")) }
                    th scope="col" { (call.t("For")) }
                    th scope="col" { (call.t("State")) }
                    @if changes { th scope="col" { (call.t("Action")) } }
                    th scope="col" { (call.t("Its buckets stay in")) }
                    th scope="col" { (call.t("Created")) }
                }
            }
            tbody { @for account in accounts { (row(call, account, changes)) } }
        }
    }
}

fn row(call: &Call<'_>, account: &Value, changes: bool) -> Markup {
    let id = value::text(account, "id");
    html! {
        tr {
            th scope="row" {
                a href=(page(id)) { (text::short(value::text(account, "name"))) }
            }
            td { (text::code(id)) }
            td { (kind(call, account)) }
            td { (state(call, account)) }
            @if changes {
                td {
                    @if value::yes(account, "root") { "\u{2013}" }
                    @else { (switch(call, account)) }
                }
            }
            td { (guard(call, account)) }
            td { (time::iso(value::text(account, "created"))) }
        }
    }
}

/// Whether its requests are taken.
pub fn state(call: &Call<'_>, account: &Value) -> Markup {
    match value::yes(account, "suspended") {
        true => badge(Tone::Bad, &call.t("suspended")),
        false => badge(Tone::Good, &call.t("active")),
    }
}

/// The button that changes that.
pub fn switch(call: &Call<'_>, account: &Value) -> Markup {
    let fields = [("id", value::text(account, "id"))];
    let (route, class, label) = match value::yes(account, "suspended") {
        true => ("/accounts/resume", "small", call.t("Resume")),
        false => ("/accounts/suspend", "small danger", call.t("Suspend")),
    };
    parts::button(call, route, &fields, class, &label)
}

/// The countries that all its buckets stay in.
pub fn guard(call: &Call<'_>, account: &Value) -> Markup {
    let guard = value::texts(account, "guard");
    html! {
        @if guard.is_empty() { (call.t("every country")) }
        @for (at, law) in guard.iter().enumerate() {
            @if at > 0 { ", " }
            (map::country(law))
        }
    }
}

/// Whether it is none of those that run or audit the cloud.
pub fn is_customer(account: &Value) -> bool {
    let runs = !value::text(account, "operator").is_empty();
    !runs && !value::yes(account, "root") && !value::yes(account, "auditor")
}

/// Whom it is for.
pub fn kind(call: &Call<'_>, account: &Value) -> Markup {
    if value::yes(account, "root") {
        return html! { (call.t("the cloud")) };
    }
    if value::yes(account, "auditor") {
        return html! { (call.t("auditor")) };
    }
    match value::text(account, "operator") {
        "" => html! { (call.t("customer")) },
        operator => {
            let operator = text::label(operator);
            html! { (call.with("regions of {operator}", &[("operator", &operator)])) }
        }
    }
}

fn named<'c>(call: &'c Call<'_>) -> Result<&'c str, Fault> {
    let id = call.form.some("id");
    id.ok_or_else(|| Fault::Bad(call.t("The form names no account.")))
}

async fn change(call: &Call<'_>, what: &str) -> Answer {
    let id = access::sign::encode(named(call)?);
    let path = format!("accounts/{id}/{what}");
    call.admin(&Method::POST, &path, None).await?;
    Ok(Reply::See(Href::to("/accounts")))
}

/// Accepts the requests of an account again.
pub async fn resume(call: &Call<'_>) -> Answer {
    change(call, "resume").await
}

/// Asks once more, and with the account's number typed refuses all its requests.
pub async fn suspend(call: &Call<'_>) -> Answer {
    let id = named(call)?;
    let typed = call.form.some("typed");
    if typed == Some(id) {
        return change(call, "suspend").await;
    }
    let body = html! {
        @if typed.is_some() {
            (note(Tone::Bad, &html! { p role="alert" { (call.t(OTHER)) } }))
        }
        (note(Tone::Warn, &html! { p { (call.t(STOPS)) } }))
        form.stack method="post" action="/accounts/suspend" {
            (call.token("/accounts/suspend"))
            input type="hidden" name="id" value=(id);
            div {
                label for="typed" {
                    (call.t("To confirm, type the account's number:")) " " (text::code(id))
                }
                input #typed name="typed" required autocomplete="off" inputmode="numeric";
            }
            div.actions {
                button.danger { (call.with("Suspend account {id}", &[("id", id)])) }
                a.button href="/accounts" { (call.t("Leave it active")) }
            }
        }
    };
    Page::new(call.t("Suspend an account"), body).into()
}

const STOPS: &str = "All requests of the account are refused in every region at once: of its keys, \
                     users and programs. Its data stays. You can resume it.";
const OTHER: &str = "The number that you typed is not the account's. Nothing was changed.";
