//! The accounts of the cloud, for whoever runs it: who there is, what binds them, and the switch
//! that stops all requests of one.

use cloud::grants::{Action, Grant};
use http::Method;
use maud::{Markup, html};
use serde_json::Value;

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

/// The list.
pub async fn show(call: &Call<'_>) -> Answer {
    let accounts = call.admin(&Method::GET, "accounts", None).await?;
    let accounts = accounts.as_array().cloned().unwrap_or_default();
    let grant = call.who()?.grant(Action::ChangeAccounts);
    let body = html! {
        (parts::table(&call.t("Accounts"), &table(call, &accounts, grant != Grant::No)))
        p.hint { (call.t("A new account:")) " " code { "dhow account create NAME" } }
    };
    Page::new(call.t("Accounts"), body).into()
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
    let (id, suspended) = (value::text(account, "id"), value::yes(account, "suspended"));
    let root = value::yes(account, "root");
    let guard = value::texts(account, "guard");
    html! {
        tr {
            th scope="row" { (text::short(value::text(account, "name"))) }
            td { (text::code(id)) }
            td { (kind(call, account)) }
            td {
                @if suspended { (badge(Tone::Bad, &call.t("suspended"))) }
                @else { (badge(Tone::Good, &call.t("active"))) }
            }
            @if changes {
                td {
                    @if root { "\u{2013}" }
                    @else if suspended {
                        (parts::button(call, "/accounts/resume", &[("id", id)], "small", &call.t("Resume")))
                    } @else {
                        (parts::button(call, "/accounts/suspend", &[("id", id)], "small danger",
                            &call.t("Suspend")))
                    }
                }
            }
            td {
                @if guard.is_empty() { (call.t("every country")) }
                @for (at, law) in guard.iter().enumerate() {
                    @if at > 0 { ", " }
                    (map::country(law))
                }
            }
            td { (time::iso(value::text(account, "created"))) }
        }
    }
}

fn kind(call: &Call<'_>, account: &Value) -> Markup {
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
