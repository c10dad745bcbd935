//! Parts that many pages have.

use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    ui::{href::Href, text},
};

/// How a state is shown: a word, a shape and a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Somebody should look.
    Warn,
    /// Something is wrong.
    Bad,
    /// Neither.
    Plain,
}

/// A state.
pub fn badge(tone: Tone, word: &str) -> Markup {
    let (class, shape) = match tone {
        Tone::Good => ("badge good", "\u{25cf}"),
        Tone::Warn => ("badge warn", "\u{25b2}"),
        Tone::Bad => ("badge bad", "\u{25c6}"),
        Tone::Plain => ("badge", "\u{25cb}"),
    };
    html! { span class=(class) { span aria-hidden="true" { (shape) } " " (word) } }
}

/// Where nothing is: why, and what to do.
pub fn empty(why: &str, what: &Markup) -> Markup {
    html! { div.empty { p.lead { (why) } (what) } }
}

/// A note above or below something.
pub fn note(tone: Tone, body: &Markup) -> Markup {
    let class = match tone {
        Tone::Good => "note good",
        Tone::Warn => "note warn",
        Tone::Bad => "note bad",
        Tone::Plain => "note",
    };
    html! { div class=(class) { (body) } }
}

/// A form with one button, which does something at once.
pub fn button(
    call: &Call<'_>,
    route: &str,
    fields: &[(&str, &str)],
    class: &str,
    label: &str,
) -> Markup {
    html! {
        form.inline method="post" action=(route) {
            (call.token(route))
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button class=(class) { (label) }
        }
    }
}

/// That something was saved, on the page that follows after saving it.
pub fn saved(call: &Call<'_>) -> Markup {
    html! {
        @if call.query.some("saved").is_some() {
            (note(Tone::Good, &html! { p role="status" { (call.t("Saved.")) } }))
        }
    }
}

/// Why something did not work, in a line.
pub fn reason(call: &Call<'_>, fault: &Fault) -> Markup {
    let why = call.why(fault);
    html! { bdi dir=[text::direction(&why)] { (text::ours(&why)) } }
}

/// A part of a page, or in its place why it cannot be shown.
pub fn or_why(call: &Call<'_>, part: Result<Markup, Fault>) -> Markup {
    part.unwrap_or_else(|fault| note(Tone::Warn, &html! { p { (reason(call, &fault)) } }))
}

/// A table that scrolls by itself where it is wider than the window.
pub fn table(label: &str, table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// Pairs of a name and a value.
pub fn facts(pairs: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in pairs {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// The tabs of a bucket's pages.
pub fn tabs(call: &Call<'_>, label: &str, tabs: &[(&str, Href, bool)]) -> Markup {
    let _ = call;
    html! {
        nav.tabs aria-label=(label) {
            @for (name, href, here) in tabs {
                a href=(href) aria-current=[here.then_some("page")] { (name) }
            }
        }
    }
}
