//! What is around every page.

use access::{SessionOf, Who, grants::Role};
use maud::{DOCTYPE, Markup, html};
use types::Timestamp;

use crate::{
    call::{Call, Caller},
    reply::Page,
    routes::{Menu, ROUTES, Route, is_own},
    session::Look,
    ui::{
        parts::{self, Tone},
        text,
    },
    words::LANGUAGES,
};

/// The whole document.
pub fn page(call: &Call<'_>, page: Page) -> Markup {
    let asset = |name: &str| call.console.assets.path(name).to_owned();
    let look = call
        .caller
        .map_or(Look::System, |caller| caller.session.look);
    let region = &*call.console.settings.region;
    let words = call.words.language();
    html! {
        (DOCTYPE)
        html lang=(words.lang) dir=(words.dir) data-theme=(look.name())
            data-base=(call.console.settings.base) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (text::ours(&page.title)) " \u{b7} Dhow " (region) }
                link rel="icon" href=(asset("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(asset("console.css"));
                script type="module" src=(asset("app.js")) {}
            }
            @match call.caller {
                Some(caller) => { (signed_in(call, caller, page)) }
                None => { (signed_out(call, page)) }
            }
        }
    }
}

fn signed_out(call: &Call<'_>, page: Page) -> Markup {
    html! {
        body.outside {
            main #main {
                p.brand { (mark()) "Dhow" }
                h1 { bdi dir=[text::direction(&page.title)] { (text::ours(&page.title)) } }
                (page.body)
                (languages(call))
                (foot(call))
            }
        }
    }
}

fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            path d="M3 17h18l-2.5 4h-12z" {}
            path d="M11 2c5 3 7.500 7.500 8 13H11z" {}
            path d="M9.500 6C6.500 8.500 5 11.500 4.500 15h5z" {}
        }
    }
}

fn signed_in(call: &Call<'_>, caller: &Caller, page: Page) -> Markup {
    let region = &*call.console.settings.region;
    let since = away_since(call);
    let page = match since {
        Some(_) => switched_off(call, page),
        None => page,
    };
    html! {
        body {
            a.skip href="#main" { (call.t("Skip to the content")) }
            header.top {
                a.brand href="/" { (mark()) span { "Dhow" } }
                span.region title=(call.t("The region that answers")) { (text::code(region)) }
                details.who {
                    summary {
                        span { (text::short(&caller.account.name)) }
                        small { (who(call, caller)) " \u{25be}" }
                    }
                    div.menu {
                        p { (text::code(&caller.key)) }
                        (looks(call, caller))
                        (languages(call))
                        button.plain type="button" data-keys-open hidden { (call.t(KEYS)) }
                        (parts::button(call, "/signout", &[], "plain", &call.t("Sign out")))
                    }
                }
            }
            div.frame {
                (menu(call, caller))
                main #main tabindex="-1" {
                    @if let Some(path) = &page.path { nav.path aria-label=(call.t("Path")) { (path) } }
                    div.head {
                        h1 { bdi dir=[text::direction(&page.title)] { (text::ours(&page.title)) } }
                        @if let Some(actions) = &page.actions { div.actions { (actions) } }
                    }
                    (away(call, since))
                    (page.body)
                    (foot(call))
                }
            }
            (keys(call))
        }
    }
}

/// How long the registry may be silent before pages say so. It is asked all the time.
const SILENT_MS: u64 = 60_000;

/// Since when the registry's region is silent, if it is.
fn silent_since(keeps: bool, heard: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    heard.filter(|at| !keeps && now.ms().saturating_sub(at.ms()) > SILENT_MS)
}

/// Since when the registry's region does not answer, if it does not.
fn away_since(call: &Call<'_>) -> Option<Timestamp> {
    let registry = call.console.backend.registry();
    let now = call.console.clock.now();
    silent_since(registry.keeps(), registry.answered_at(), now)
}

/// What cannot be changed while the registry's region does not answer.
fn away(call: &Call<'_>, since: Option<Timestamp>) -> Markup {
    let keeper = call.console.backend.keeper();
    html! {
        @if let Some(since) = since {
            @let values = [("region", &*keeper), ("time", &super::time::text(&since.iso8601()))];
            div id=(super::away::NOTE) {
                (parts::note(Tone::Warn, &html! { p role="status" { (call.with(AWAY, &values)) } }))
            }
        }
    }
}

/// A page whose buttons do nothing that need the registry, while its region does not answer.
fn switched_off(call: &Call<'_>, page: Page) -> Page {
    let keeper = call.console.backend.keeper();
    let why = html! { (call.with(NOT_NOW, &[("region", &keeper)])) };
    let off = |part| super::away::switched_off(part, &why);
    Page {
        body: off(page.body),
        actions: page.actions.map(off),
        ..page
    }
}

const NOT_NOW: &str =
    "Not possible while region {region}, which keeps the registry, does not answer.";

const AWAY: &str = "Region {region}, which keeps the registry, has not answered since {time}. \
                    Accounts, keys, users and buckets are shown as they were then, and cannot be \
                    changed until it answers. Objects can.";

const KEYS: &str = "Keys of the keyboard";

/// What keys do, which a script opens. They can be switched off (WCAG 2.2, 2.1.4).
fn keys(call: &Call<'_>) -> Markup {
    let all = [
        ("/", call.t("Go to the filter")),
        ("j k", call.t("Next and previous row")),
        ("x", call.t("Choose the row")),
        ("u", call.t("Upload files")),
        ("g b", call.t("Buckets")),
        ("g r", call.t("Regions")),
        ("g a", call.t("Audit log")),
        ("g s", call.t("Sessions")),
        ("?", call.t("Keys of the keyboard")),
    ];
    html! {
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { (call.t(KEYS)) }
            dl.keys {
                @for (keys, what) in &all {
                    div {
                        dt { @for key in keys.split(' ') { kbd dir="ltr" { (key) } " " } }
                        dd { (what) }
                    }
                }
            }
            label.check {
                input type="checkbox" data-keys;
                span { (call.t("These keys do something in this browser")) }
            }
            div.actions { button.primary type="button" data-keys-close { (call.t("Close")) } }
        }
    }
}

fn looks(call: &Call<'_>, caller: &Caller) -> Markup {
    let next = next(call);
    let looks = [
        (Look::System, call.t("System")),
        (Look::Light, call.t("Light")),
        (Look::Dark, call.t("Dark")),
    ];
    html! {
        form.looks method="post" action="/look" {
            (call.token("/look"))
            input type="hidden" name="next" value=(next);
            span.label { (call.t("Colours")) }
            div {
                @for (look, name) in looks {
                    button name="look" value=(look.name())
                        aria-pressed=(caller.session.look == look) { (name) }
                }
            }
        }
    }
}

/// Who is signed in, below the account: the role of its own key, the user, or the session.
pub fn who(call: &Call<'_>, caller: &Caller) -> String {
    match caller.identity.who() {
        Some(Who::User(user)) => call.with("user {name}", &[("name", &user.name)]),
        Some(Who::Session(session)) => {
            let role = match &session.of {
                SessionOf::Role(role) => role.name.as_str(),
                _ => "",
            };
            let values = [("role", role), ("name", &*session.name)];
            call.with("{name}, in role {role}", &values)
        }
        _ => role(call, &caller.role),
    }
}

/// What a role is called.
pub fn role(call: &Call<'_>, role: &Role) -> String {
    match role {
        Role::Customer => call.t("customer").into_owned(),
        Role::TenantAdmin => call.t("tenant admin").into_owned(),
        Role::CloudOperator => call.t("cloud operator").into_owned(),
        Role::Auditor => call.t("auditor").into_owned(),
        Role::RegionalOperator(operator) => {
            call.with("operator of {operator}", &[("operator", operator)])
        }
    }
}

/// What a kind of roles is called, whatever regions they are for.
pub fn kind(call: &Call<'_>, kind: &Role) -> String {
    match kind {
        Role::RegionalOperator(_) => call.t("operator of a region").into_owned(),
        other => role(call, other),
    }
}

/// The same for a role that the admin API names.
pub fn role_named(call: &Call<'_>, name: &str) -> String {
    let known = [
        Role::Customer,
        Role::TenantAdmin,
        Role::CloudOperator,
        Role::Auditor,
    ];
    let operator = name.strip_prefix("operator of ");
    let operator = operator.map(|id| Role::RegionalOperator(id.to_owned()));
    let found = known.into_iter().find(|one| one.words() == name);
    found
        .or(operator)
        .map_or_else(|| text::visible(name), |found| role(call, &found))
}

/// Where a choice that concerns every page leads: to the page where it was made.
fn next<'c>(call: &'c Call<'_>) -> &'c str {
    if is_own(call.here) { call.here } else { "/" }
}

/// The other languages, each by its own name. Whoever chose one stays on the page.
fn languages(call: &Call<'_>) -> Markup {
    let next = next(call);
    let here = call.words.language().lang;
    html! {
        form.languages method="post" action="/language" {
            input type="hidden" name="next" value=(next);
            span.label { (call.t("Language")) }
            div {
                @for one in &LANGUAGES {
                    button.small name="language" value=(one.lang) lang=(one.lang) dir=(one.dir)
                        aria-pressed=(one.lang == here) { (one.name) }
                }
            }
        }
    }
}

/// The pages that the caller may open.
fn menu(call: &Call<'_>, caller: &Caller) -> Markup {
    let now = call.console.clock.now();
    // Accounts without buckets are led from the list of buckets to the regions.
    let may = |route: &&Route| {
        let shown = route.path != "/" || caller.keeps_data();
        shown && route.may.is_named(caller, &call.facts, now)
    };
    let shown: Vec<(&str, &'static str, &Route)> = ROUTES
        .iter()
        .filter(may)
        .filter_map(|route| match route.menu {
            Menu::Under(heading, name) => Some((heading, name, route)),
            Menu::None => None,
        })
        .collect();
    let mut headings: Vec<&'static str> = Vec::new();
    for route in ROUTES {
        if let Menu::Under(heading, _) = route.menu
            && shown.iter().any(|(one, ..)| *one == heading)
            && !headings.contains(&heading)
        {
            headings.push(heading);
        }
    }
    html! {
        nav.side aria-label=(call.t("Menu")) {
            @for heading in headings {
                div {
                    p { (call.words.t(heading)) }
                    ul {
                        @for (_, name, route) in shown.iter().filter(|(one, ..)| *one == heading) {
                            li {
                                a href=(route.path) aria-current=[is_here(call, route)] {
                                    (call.words.t(name))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn is_here(call: &Call<'_>, route: &Route) -> Option<&'static str> {
    if route.path == call.route.path {
        return Some("page");
    }
    // The pages of a bucket belong to the list of them.
    let below = route.path == "/" && call.route.path.starts_with("/b/");
    let below = below || route.path != "/" && call.route.path.starts_with(route.path);
    below.then_some("true")
}

fn foot(call: &Call<'_>) -> Markup {
    let now = call.console.clock.now();
    html! {
        footer {
            span { (call.t("Region")) " " (text::code(&call.console.settings.region)) }
            span { (call.t("as of")) " " (super::time::iso(&now.iso8601())) }
            span { (call.t("request")) " " (text::code(call.id)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_silent_for_a_minute_is_away() {
        let at = Timestamp::from_s;
        let since = |keeps, heard, now| silent_since(keeps, heard, at(now));
        assert_eq!(since(false, Some(at(100)), 161), Some(at(100)));
        assert_eq!(since(false, Some(at(100)), 160), None);
        assert_eq!(since(true, Some(at(100)), 1000), None);
        // A region that has just started has asked nobody yet.
        assert_eq!(since(false, None, 1000), None);
        assert_eq!(since(false, Some(at(100)), 90), None);
    }
}
