//! A page that asks for a region's name before something is done that stops the region, or that
//! cannot be taken back.

use std::borrow::Cow;

use http::StatusCode;
use maud::{Markup, html};

use crate::{
    call::Call,
    reply::Page,
    ui::{
        href::Href,
        parts::{Tone, note},
        text,
    },
};

/// What is asked for.
pub struct Asks<'a> {
    /// Where the form is sent.
    pub route: &'a str,
    /// The region.
    pub id: &'a str,
    /// What would be.
    pub says: &'static str,
    /// What is said where another name was typed.
    pub other: &'static str,
    /// On the button.
    pub does: Cow<'a, str>,
}

/// The page of a region.
pub fn region(id: &str) -> Href {
    Href::to("/regions/show").with(&[("id", id)])
}

/// The page; where another name was typed, it says so (400).
pub fn page(call: &Call<'_>, title: Cow<'_, str>, asks: &Asks<'_>) -> Page {
    let wrong = call.form.some("name").is_some();
    let body = html! {
        @if wrong {
            (note(Tone::Bad, &html! { p role="alert" { (call.t(asks.other)) } }))
        }
        (note(Tone::Bad, &html! { p { (call.t(asks.says)) } }))
        (form(call, asks))
    };
    let mut page = Page::new(title, body).at(html! {
        ol {
            li { a href="/regions" { (call.t("Regions")) } }
            li { a href=(region(asks.id)) { (text::code(asks.id)) } }
        }
    });
    if wrong {
        page.status = StatusCode::BAD_REQUEST;
    }
    page
}

fn form(call: &Call<'_>, asks: &Asks<'_>) -> Markup {
    html! {
        form.stack method="post" action=(asks.route) {
            (call.token(asks.route))
            input type="hidden" name="id" value=(asks.id);
            div {
                label for="name" {
                    (call.t("To confirm, type the name of the region:")) " " (text::code(asks.id))
                }
                input #name name="name" required autocomplete="off" autocapitalize="none"
                    spellcheck="false" dir="ltr";
            }
            div.actions {
                button.danger { (asks.does) }
                a.button href=(region(asks.id)) { (call.t("Leave it")) }
            }
        }
    }
}
