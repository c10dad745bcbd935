//! One account, for whoever runs the cloud: its first key, and the guard policy that says what all
//! of it may do at most.

use access::grants::{Action, Grant};
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};
use types::AccountId;

use crate::{
    call::Call,
    fault::Fault,
    pages::{accounts, keys, value},
    reply::{Answer, Page, Reply},
    ui::{
        parts::{self, Tone, note},
        text, time,
    },
};

/// The most bytes of a guard policy's text that a form takes.
const POLICY_BYTES_MAX: usize = 20 << 10;

/// The account that the address or the form names.
async fn named(call: &Call<'_>) -> Result<Value, Fault> {
    let id = call.form.some("id").or_else(|| call.query.some("id"));
    let id = id.ok_or_else(|| Fault::Bad(call.t("The form names no account.")))?;
    let all = call.admin(&Method::GET, "accounts", None).await?;
    let found = all.as_array().into_iter().flatten();
    let found = found.into_iter().find(|one| value::text(one, "id") == id);
    let missing = || Fault::Missing(call.t("There is no such account."));
    found.cloned().ok_or_else(missing)
}

/// Shows it.
pub async fn show(call: &Call<'_>) -> Answer {
    let account = named(call).await?;
    shown(call, &account, None).await?.into()
}

async fn shown(
    call: &Call<'_>,
    account: &Value,
    refused: Option<(&str, &Fault)>,
) -> Result<Page, Fault> {
    let (id, name) = (value::text(account, "id"), value::text(account, "name"));
    let grant = |action| call.caller.map_or(Grant::No, |caller| caller.grant(action));
    let changes = grant(Action::ChangeAccounts) == Grant::All;
    let root = value::yes(account, "root");
    let body = html! {
        (parts::saved(call))
        section.card {
            h2 { (call.t("Account")) }
            (parts::facts(&[
                (&call.t("Name"), text::name(name)),
                (&call.t("Number"), text::code(id)),
                (&call.t("For"), accounts::kind(call, account)),
                (&call.t("State"), accounts::state(call, account)),
                (&call.t("Its buckets stay in"), accounts::guard(call, account)),
                (&call.t("Created"), time::iso(value::text(account, "created"))),
            ]))
        }
        @if changes && !root {
            div.cards {
                (guard_policy(call, id, refused))
                (new_key(call, account))
            }
        }
    };
    let path = html! {
        ol { li { a href="/accounts" { (call.t("Accounts")) } } li { (text::short(name)) } }
    };
    let mut page = Page::new(name, body).at(path);
    if changes && !root {
        page = page.with(accounts::switch(call, account));
    }
    if refused.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    Ok(page)
}

/// What all of the account may do at most; with what was typed, and why it was refused. Other
/// regions than that which keeps the registry may not know it.
fn guard_policy(call: &Call<'_>, id: &str, refused: Option<(&str, &Fault)>) -> Markup {
    let registry = call.console.backend.registry();
    if !registry.keeps() {
        let keeper = call.console.backend.keeper();
        return html! {
            section.card {
                h2 { (call.t("Guard policy")) }
                p { (call.with(GUARDED_ELSEWHERE, &[("region", &keeper)])) }
            }
        };
    }
    let stored = registry.guard_policy(&AccountId::new(id));
    let stored = stored.as_deref().unwrap_or_default();
    let typed = refused.map_or(stored, |(typed, _)| typed);
    let route = "/accounts/guard";
    html! {
        section.card {
            h2 { (call.t("Guard policy")) }
            p { (call.t(GUARDS)) }
            @if let Some((_, fault)) = refused {
                (note(Tone::Bad, &html! { p role="alert" { (parts::reason(call, fault)) } }))
            } @else if stored.is_empty() {
                p { (call.t("There is none: the account may do all that its own policies let it.")) }
            }
            form.stack method="post" action=(route) {
                (call.token(route))
                input type="hidden" name="id" value=(id);
                div {
                    label for="policy" { (call.t("Policy")) }
                    textarea #policy name="policy" required spellcheck="false" dir="ltr"
                        aria-invalid=[refused.map(|_| "true")]
                        placeholder=(EXAMPLE) { (typed) }
                }
                div.actions { button.primary { (call.t("Set the guard policy")) } }
            }
            @if !stored.is_empty() {
                (parts::button(call, route, &[("id", id), ("remove", "1")], "danger",
                    &call.t("Remove the guard policy")))
            }
        }
    }
}

const GUARDED_ELSEWHERE: &str =
    "Region {region} keeps the registry: see and set the guard policy there.";

const GUARDS: &str = "It says what the account and everybody in it may do at most, in every region. It \
                      allows nothing by itself.";
const EXAMPLE: &str = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \
                       \"Effect\": \"Allow\",\n      \"Action\": \"s3:*\",\n      \
                       \"Resource\": \"*\"\n    }\n  ]\n}";

/// Sets or removes a guard policy.
pub async fn set_guard(call: &Call<'_>) -> Answer {
    let account = named(call).await?;
    let id = value::text(&account, "id");
    let typed = call.form.get("policy").unwrap_or_default();
    if typed.len() > POLICY_BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    let asked = match call.form.some("remove") {
        Some(_) => json!({ "remove": true }),
        None => json!({ "policy": typed }),
    };
    let path = format!("accounts/{}/guard-policy", access::sign::encode(id));
    match call.admin(&Method::POST, &path, Some(&asked)).await {
        Ok(_) => Ok(Reply::See(accounts::page(id).and(&[("saved", "1")]))),
        Err(fault @ Fault::Bad(_)) => shown(call, &account, Some((typed, &fault))).await?.into(),
        Err(fault) => Err(fault),
    }
}

fn new_key(call: &Call<'_>, account: &Value) -> Markup {
    let route = "/accounts/key";
    let customer = accounts::is_customer(account);
    html! {
        section.card {
            h2 { (call.t("New key")) }
            p { (call.t(FIRST_KEY)) }
            form.stack method="post" action=(route) {
                (call.token(route))
                input type="hidden" name="id" value=(value::text(account, "id"));
                div {
                    label for="description" { (call.t("What it is for")) }
                    input #description name="description" maxlength="200" required;
                }
                @if customer {
                    label.check {
                        input type="checkbox" name="admin" value="1" checked;
                        span { (call.t("It administers this account: keys, users and placements")) }
                    }
                }
                div.actions { button.primary { (call.t("Make a key")) } }
            }
        }
    }
}

const FIRST_KEY: &str = "Whoever has it makes the account's other keys, if it administers the account. \
                         Give it to nobody else, and by a way that others do not read.";

/// Makes a key of the account, and shows its secret once.
pub async fn make_key(call: &Call<'_>) -> Answer {
    let account = named(call).await?;
    let id = value::text(&account, "id");
    let new = json!({
        "account": id,
        "description": call.form.get("description").unwrap_or_default(),
        "admin": call.form.some("admin").is_some(),
    });
    let made = call.admin(&Method::POST, "keys", Some(&new)).await?;
    let pair = (
        value::text(&made, "access_key"),
        value::text(&made, "secret_key"),
    );
    keys::shown_once(call, pair, &accounts::page(id))
}
