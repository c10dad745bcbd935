//! The access keys of the account: when each was last used; make, disable, enable, delete. The
//! secret of a new key is shown once.

use access::grants::{Action, Grant};
use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        parts::{self, Tone, badge, note},
        shell, text, time,
    },
};

/// The list.
pub async fn show(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let path = format!("keys?account={}", access::sign::encode(&who.account.id));
    let keys = call.admin(&Method::GET, &path, None).await?;
    let keys = keys.as_array().cloned().unwrap_or_default();
    let changes = who.grant(Action::ChangeKeys) != Grant::No;
    let body = html! {
        p { (call.t("Make a key for each program, so that one can be disabled without the others.")) }
        (parts::table(&call.t("Access keys"), &rows(call, &keys, changes)))
        p.hint { (call.t(ROUGHLY)) }
        @if changes { (form(call)) }
    };
    Page::new(call.t("Access keys"), body).into()
}

/// Below a table with last uses.
pub const ROUGHLY: &str =
    "Last use is known to within five minutes. Signing in here uses a key, too.";

/// When a key was used last: the time, the region that verified the signature, and the service
/// that it was for. `None`: never, as far as is known.
pub fn last_use(call: &Call<'_>, used: Option<(Markup, &str, &str)>) -> Markup {
    html! {
        @match used {
            None => (call.t("never")),
            Some((at, region, service)) => {
                (at) br;
                span.hint { (text::code(region)) ", " (text::code(service)) }
            }
        }
    }
}

fn used(call: &Call<'_>, key: &Value) -> Markup {
    let Some(used) = key.get("last_used") else {
        return html! { "\u{2013}" };
    };
    let at = used.get("at_ms").and_then(Value::as_u64);
    let used = at.map(|at| (time::ms(at), field(used, "region"), field(used, "service")));
    last_use(call, used)
}

fn field<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn rows(call: &Call<'_>, keys: &[Value], changes: bool) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Access key")) }
                    th scope="col" { (call.t("State")) }
                    @if changes { th scope="col" { (call.t("Action")) } }
                    th scope="col" { (call.t("For")) }
                    th scope="col" { (call.t("Last used")) }
                    th scope="col" { (call.t("Administers")) }
                    th scope="col" { (call.t("Created")) }
                }
            }
            tbody { @for key in keys { (row(call, key, changes)) } }
        }
    }
}

fn row(call: &Call<'_>, key: &Value, changes: bool) -> Markup {
    let (id, active) = (field(key, "access_key"), field(key, "status") == "active");
    let own = call.caller.is_some_and(|caller| *caller.key == *id);
    let created = key.get("created_ms").and_then(Value::as_u64).unwrap_or(0);
    html! {
        tr {
            th scope="row" {
                (text::code(id)) " "
                @if own { (badge(Tone::Plain, &call.t("this session's"))) }
            }
            td {
                @if active { (badge(Tone::Good, &call.t("active"))) }
                @else { (badge(Tone::Warn, &call.t("disabled"))) }
            }
            @if changes {
                td {
                    @if active {
                        (parts::button(call, "/keys/disable", &[("key", id)], "small", &call.t("Disable")))
                    } @else {
                        div.actions {
                            (parts::button(call, "/keys/enable", &[("key", id)], "small", &call.t("Enable")))
                            (parts::button(call, "/keys/delete", &[("key", id)], "small danger", &call.t("Delete")))
                        }
                    }
                }
            }
            td.name { (text::short(field(key, "description"))) }
            td { (used(call, key)) }
            td { (shell::role_named(call, field(key, "role"))) }
            td { (time::ms(created)) }
        }
    }
}

fn form(call: &Call<'_>) -> Markup {
    html! {
        section.card {
            h2 { (call.t("New key")) }
            form.stack method="post" action="/keys/create" {
                (call.token("/keys/create"))
                div {
                    label for="description" { (call.t("What it is for")) }
                    input #description name="description" maxlength="200" required;
                }
                label.check {
                    input type="checkbox" name="admin" value="1";
                    span { (call.t("It administers this account: keys, users and placements")) }
                }
                div.actions { button.primary { (call.t("Make a key")) } }
            }
        }
    }
}

/// Makes a key and shows its secret.
pub async fn create(call: &Call<'_>) -> Answer {
    let who = call.who()?;
    let new = json!({
        "account": who.account.id,
        "description": call.form.get("description").unwrap_or_default(),
        "admin": call.form.some("admin").is_some(),
    });
    let made = call.admin(&Method::POST, "keys", Some(&new)).await?;
    let (id, secret) = (field(&made, "access_key"), field(&made, "secret_key"));
    shown_once(call, (id, secret), &Href::to("/keys"))
}

/// Shows the secret of a new key, this once.
pub fn shown_once(call: &Call<'_>, (id, secret): (&str, &str), back: &Href) -> Answer {
    let both = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    let body = html! {
        (note(Tone::Warn, &html! { p { (call.t(ONCE)) } }))
        (parts::facts(&[
            (&call.t("Access key"), text::code(id)),
            (&call.t("Secret key"), text::code(secret)),
        ]))
        h2 { (call.t("For ~/.aws/credentials")) }
        pre tabindex="0" { code dir="ltr" { (both) } }
        div.actions {
            button.primary type="button" data-copy=(both) data-done=(call.t("Copied")) {
                (call.t("Copy both"))
            }
            a.button href=(back) { (call.t("I have kept it")) }
        }
    };
    Page::new(call.t("A new key"), body).into()
}

const ONCE: &str = "The secret key is shown this once. Nobody can show it again: keep it now.";

fn named<'c>(call: &'c Call<'_>) -> Result<&'c str, Fault> {
    let key = call.form.some("key");
    key.ok_or_else(|| Fault::Bad(call.t("The form names no key.")))
}

async fn act(call: &Call<'_>, method: &Method, what: &str) -> Answer {
    let id = access::sign::encode(named(call)?);
    call.admin(method, &format!("keys/{id}{what}"), None)
        .await?;
    Ok(Reply::See(Href::to("/keys")))
}

/// Disables a key, and with it its sessions. That can be undone.
pub async fn disable(call: &Call<'_>) -> Answer {
    act(call, &Method::POST, "/disable").await
}

/// Enables a key again.
pub async fn enable(call: &Call<'_>) -> Answer {
    act(call, &Method::POST, "/enable").await
}

/// Asks whether a disabled key is to go for good, and deletes it once that is confirmed.
pub async fn delete(call: &Call<'_>) -> Answer {
    let id = named(call)?;
    if call.form.get("sure") == Some("1") {
        return act(call, &Method::DELETE, "").await;
    }
    let body = html! {
        (note(Tone::Bad, &html! { p { (call.t(GONE)) } }))
        form.stack method="post" action="/keys/delete" {
            (call.token("/keys/delete"))
            input type="hidden" name="key" value=(id);
            label.check {
                input type="checkbox" name="sure" value="1" required;
                span { (call.t("Yes, delete the key")) " " (text::code(id)) }
            }
            div.actions {
                button.danger { (call.t("Delete the key")) }
                a.button href="/keys" { (call.t("Keep it")) }
            }
        }
    };
    Page::new(call.t("Delete a key"), body).into()
}

const GONE: &str = "A key that is deleted does not come back. Links that were made with it have \
                    ended since it was disabled.";
