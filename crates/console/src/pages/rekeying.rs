//! A region's own key and certificates: taking certificates back, and the token with which a region
//! that has lost its key, or whose key others may have, gets another one.

use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    pages::{
        by_name::{self, Asks},
        value,
    },
    reply::{Answer, Page, Reply},
    ui::{
        parts::{self, Tone, note},
        text,
    },
};

/// The buttons for whoever may do either, where the region has a certificate.
pub fn buttons(call: &Call<'_>, region: &Value) -> Markup {
    let id = value::text(region, "id");
    let good = |one: &&Value| !value::yes(one, "revoked");
    let has = value::list(region, "certificates")
        .iter()
        .any(|one| good(&one));
    html! {
        div.actions {
            (parts::button(call, "/regions/rekey", &[("id", id)], "", &call.t("Give it a new key")))
            @if has {
                (parts::button(call, "/regions/revoke", &[("id", id)], "danger",
                    &call.t("Take its certificates back")))
            }
        }
    }
}

fn named<'c>(call: &'c Call<'_>) -> Result<&'c str, Fault> {
    let id = call.form.some("id");
    id.ok_or_else(|| Fault::Bad(call.t("The form names no region.")))
}

fn path(call: &Call<'_>, id: &str) -> Markup {
    html! {
        ol {
            li { a href="/regions" { (call.t("Regions")) } }
            li { a href=(by_name::region(id)) { (text::code(id)) } }
        }
    }
}

const OTHER: &str = "The name that you typed is not the region's. Nothing was changed.";

/// Takes back all certificates of a region, once its name was typed.
pub async fn revoke(call: &Call<'_>) -> Answer {
    let id = named(call)?;
    if call.form.get("name") == Some(id) {
        let at = format!("regions/{}/revoke", access::sign::encode(id));
        call.admin(&Method::POST, &at, Some(&json!({}))).await?;
        return Ok(Reply::See(by_name::region(id)));
    }
    let asks = Asks {
        route: "/regions/revoke",
        id,
        says: REVOKED,
        other: OTHER,
        does: call.t("Take the certificates back"),
    };
    by_name::page(call, call.t("Take certificates back"), &asks).into()
}

const REVOKED: &str = "Other regions refuse the region at once: it follows nothing and forwards \
                       nothing until it has a new key. Do this if others may have its key, or if \
                       it must not take part any more.";

/// Makes the token for a new key, once the region's name was typed, and shows it this once.
pub async fn rekey(call: &Call<'_>) -> Answer {
    let id = named(call)?;
    if call.form.get("name") != Some(id) {
        let asks = Asks {
            route: "/regions/rekey",
            id,
            says: REKEYED,
            other: OTHER,
            does: call.t("Make the token"),
        };
        return by_name::page(call, call.t("Give a region a new key"), &asks).into();
    }
    let at = format!("regions/{}/rekey", access::sign::encode(id));
    let told = call.admin(&Method::POST, &at, Some(&json!({}))).await?;
    let token = value::text(&told, "token");
    let lines = format!("export DHOW_REKEY={token}\ndhow up --data ./{id}\n");
    let hours = (value::number(&told, "valid_s") / 3600).to_string();
    let values = [("region", id), ("hours", &*hours)];
    let body = html! {
        (note(Tone::Warn, &html! { p { (call.with(ONCE, &values)) } }))
        h2 { (call.t("On the machine of the region")) }
        pre tabindex="0" { code dir="ltr" { (lines) } }
        div.actions {
            button.primary type="button" data-copy=(lines) data-done=(call.t("Copied")) {
                (call.t("Copy the lines"))
            }
            a.button href=(by_name::region(id)) { (call.t("I have kept it")) }
        }
    };
    Page::new(call.t("The token for a new key"), body)
        .at(path(call, id))
        .into()
}

const REKEYED: &str = "The token lets the region take part with a new key. Its old certificates \
                       are refused once it has come with it. Stop its process before.";
const ONCE: &str = "{region} comes back once with this token, within {hours} hours, and with a new \
                    key. The token is shown this once. Whoever has it can come in place of the \
                    region.";
