//! While the region that keeps the registry does not answer, buttons that need it do nothing, and
//! say why: the page has the forms that it has otherwise, with their buttons switched off.

use maud::{Markup, PreEscaped};

use crate::routes::needs_registry;

/// The id of the note that says why.
pub const NOTE: &str = "away";

/// A part of a page with these buttons switched off; `why` is written below each form that is more
/// than a button. What users wrote is escaped in a page, so it is nothing that is taken for a tag.
pub fn switched_off(part: Markup, why: &Markup) -> Markup {
    let text = part.into_string();
    let mut forms = text.split("<form");
    let mut out = forms.next().unwrap_or_default().to_owned();
    for rest in forms {
        out.push_str("<form");
        match rest.split_once("</form>") {
            Some((form, after)) => {
                one(form, why, &mut out);
                out.push_str("</form>");
                out.push_str(after);
            }
            None => out.push_str(rest),
        }
    }
    PreEscaped(out)
}

/// A form, without its first and its last characters.
fn one(form: &str, why: &Markup, out: &mut String) {
    let (head, _) = form.split_once('>').unwrap_or((form, ""));
    if !head.contains(" method=\"post\"") {
        out.push_str(form);
        return;
    }
    let action = attribute(head, " action");
    let mut buttons = form.split("<button");
    out.push_str(buttons.next().unwrap_or_default());
    let mut off = false;
    for button in buttons {
        out.push_str("<button");
        let (tag, _) = button.split_once('>').unwrap_or((button, ""));
        let to = attribute(tag, " formaction").or(action);
        if to.is_some_and(needs_registry) && !changes_nothing(tag) {
            off = true;
            out.push_str(" disabled aria-describedby=\"");
            out.push_str(NOTE);
            out.push('"');
        }
        out.push_str(button);
    }
    if off && attribute(head, " class") != Some("inline") {
        out.push_str("<p class=\"hint\">");
        out.push_str(&why.0);
        out.push_str("</p>");
    }
}

/// Whether a button sends nothing, or sends its form only to have it shown again.
fn changes_nothing(button: &str) -> bool {
    attribute(button, " type") == Some("button") || attribute(button, " name") == Some("look")
}

/// The value of an attribute of a tag.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = tag.split_once(&[name, "=\""].concat())?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::*;

    fn off(part: Markup) -> String {
        switched_off(part, &html! { "why" }).into_string()
    }

    #[test]
    fn what_needs_the_registry_is_switched_off_and_says_why() {
        let page = off(html! {
            form.stack method="post" action="/keys/create" { button.primary { "Make" } }
            form.inline method="post" action="/accounts/resume" { button { "Resume" } }
        });
        let wanted = "<form class=\"stack\" method=\"post\" action=\"/keys/create\"><button disabled \
                      aria-describedby=\"away\" class=\"primary\">Make</button><p class=\"hint\">why\
                      </p></form><form class=\"inline\" method=\"post\" action=\"/accounts/resume\">\
                      <button disabled aria-describedby=\"away\">Resume</button></form>";
        assert_eq!(page, wanted);
    }

    #[test]
    fn all_else_stays() {
        for part in [
            html! { form method="post" action="/signout" { button { "Sign out" } } },
            html! { form method="post" action="/b/photos/delete" { button { "Delete" } } },
            html! { form action="/new" { button { "Show where" } } },
            html! {
                form method="post" action="/keys/create" { button type="button" { "Copy" } }
            },
            html! {
                form method="post" action="/new" { button name="look" value="1" { "Show" } }
            },
            html! { p { "<form method=\"post\" action=\"/keys/create\"><button>" } },
        ] {
            let before = part.0.clone();
            assert_eq!(off(part), before);
        }
        // Each button goes where it says.
        let both = off(html! {
            form method="post" action="/document/preview" {
                button { "Check" }
                button formaction="/document/save" { "Save" }
            }
        });
        assert!(
            both.contains("<button>Check") && both.contains("formaction=\"/document/save\">Save")
        );
        assert_eq!(both.matches(" disabled ").count(), 1);
    }
}
