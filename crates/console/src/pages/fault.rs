//! What is shown instead of a page that cannot be: what is wrong, who can change it, and the id
//! under which it can be looked up.

use access::grants::{Action, roles_with};
use http::Method;
use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Page},
    routes::{May, Menu, Route, is_own},
    ui::{
        href::Href,
        parts::{Tone, note},
        shell, text,
    },
};

/// A route that is not in the table, so that the page stands nowhere in the menu.
pub fn route() -> &'static Route {
    static ROUTE: Route = Route {
        method: Method::GET,
        path: "",
        may: May::Everybody,
        menu: Menu::None,
        data: false,
        handler: |_| Box::pin(async { Answer::Err(Fault::SignedOut) }),
    };
    &ROUTE
}

/// The page of a fault.
pub fn page(call: &Call<'_>, fault: &Fault) -> Page {
    let (title, body) = match fault {
        Fault::Missing(what) => (call.t("Not found"), said(what, &call.t(MISSING))),
        Fault::Refused(why) => (call.t("Access denied"), said(why, &call.t(REFUSED))),
        Fault::NoGrant(action) => (call.t("Access denied"), no_grant(call, *action)),
        Fault::Law { home, endpoint } => (
            call.t("Not shown in this region"),
            law(call, home, endpoint),
        ),
        Fault::Elsewhere { keeper, endpoint } => (
            call.t("Done in another region"),
            elsewhere(call, keeper, endpoint),
        ),
        Fault::Bad(why) => (call.t("That cannot be done"), said(why, &call.t(BAD))),
        Fault::Changed => (call.t("Something has changed"), said(&call.t(CHANGED), "")),
        Fault::NotImplemented(what) => {
            (call.t("Not in this version"), said(what, &call.t(NOT_YET)))
        }
        Fault::Busy(why) => (call.t("Not now"), said(why, &call.t(BUSY))),
        Fault::Failed(why) => (call.t("This did not work"), said(why, &call.t(FAILED))),
        Fault::SignedOut => (
            call.t("Signed out"),
            said(&call.t("Sign in to see this page."), ""),
        ),
        Fault::Misdirected => (call.t("Another address"), misdirected(call)),
        Fault::Method(_) => (call.t("Not a page"), said(&call.t(METHOD), "")),
        Fault::TooLarge => (call.t("Too large"), said(&call.t(TOO_LARGE), "")),
    };
    let mut page = Page::new(title, body);
    page.status = match fault {
        Fault::SignedOut => http::StatusCode::FORBIDDEN,
        fault => fault.status(),
    };
    page
}

const MISSING: &str = "It may have been deleted, or the link may be wrong.";
const REFUSED: &str = "Whoever administers your account can change what your key may do.";
const BAD: &str = "Nothing was changed. Go back, and change what was sent.";
const CHANGED: &str = "What this page was about has changed since you looked at it. Nothing was \
                       done. Look at it again.";
const NOT_YET: &str = "The API of this version cannot do it.";
const BUSY: &str = "Nothing was changed. Try again in a moment.";
const FAILED: &str = "Whoever runs the region finds the reason in its log, by the request's id \
                      below.";
const METHOD: &str = "There is no page at this address. It is where a form is sent.";
const TOO_LARGE: &str = "A form may have 64 KiB. Nothing was done.";

fn said(why: &str, what: &str) -> Markup {
    html! {
        (note(Tone::Bad, &html! { p { bdi dir=[text::direction(why)] { (text::ours(why)) } } }))
        @if !what.is_empty() { p { (what) } }
        p { a.button href="/" { span.back aria-hidden="true" {} "Dhow" } }
    }
}

/// Which grant is missing, who has it, and what the caller is.
fn no_grant(call: &Call<'_>, action: Action) -> Markup {
    let roles: Vec<String> = roles_with(action)
        .map(|role| shell::kind(call, &role))
        .collect();
    let own = call.caller.map(|caller| shell::who(call, caller));
    let values = [
        ("grant", &*format!("{action:?}")),
        ("roles", &roles.join(&call.t(", "))),
        ("own", own.as_deref().unwrap_or_default()),
    ];
    let is_root = call.caller.is_some_and(|caller| caller.identity.is_root());
    let who = match is_root {
        true => OF_ACCOUNTS,
        false => OF_USERS,
    };
    said(&call.with(NO_GRANT, &values), &call.t(who))
}

const NO_GRANT: &str = "Your key has no grant for this page. It needs {grant}, which these roles \
                        have: {roles}. You are signed in as {own}.";
const OF_ACCOUNTS: &str = "The role of a key follows from its account, and from whether the key \
                           was made to administer it. Whoever administers your account makes such \
                           keys; the cloud's operator makes accounts.";
const OF_USERS: &str = "Users, and sessions of roles, have no grants of the admin API. Sign in \
                        with a key of the account itself.";

/// The way to another region's console, and to this page there.
fn way(call: &Call<'_>, region: &str, endpoint: &str) -> Markup {
    let next = page_of(call.here);
    let operator = |id: &str| Some(call.console.backend.registry().region(id)?.operator.clone());
    let own = operator(&call.console.settings.region);
    html! {
        @match Href::region(endpoint) {
            Some(to) => {
                p {
                    a.button.primary href=(to.with(&[("next", next)])) rel="noopener noreferrer" {
                        (call.with("Open the console of {region}", &[("region", region)]))
                    }
                }
                p.hint { (call.t("You sign in there with the same access key.")) }
                @if operator(region) != own { p.hint { (call.t(PARTNER)) } }
            }
            None => {
                p.hint { (call.t("Its endpoint is not on record.")) }
            }
        }
    }
}

const PARTNER: &str = "Another operator runs that region. With a link of the command line (dhow \
                       console login), no page of it gets your secret.";

/// The page that was asked for; of a form, the page that has it.
fn page_of(here: &str) -> &str {
    if is_own(here) {
        return here;
    }
    let mut path = here.split(['?', '#']).next().unwrap_or_default();
    while let Some((before, _)) = path.rsplit_once('/') {
        path = before;
        if is_own(path) {
            return path;
        }
    }
    ""
}

fn law(call: &Call<'_>, home: &str, endpoint: &str) -> Markup {
    html! {
        (note(Tone::Warn, &html! {
            p { (call.with(LAW, &[("here", &call.console.settings.region), ("home", home)])) }
        }))
        (way(call, home, endpoint))
    }
}

const LAW: &str = "Region {here} does not store this bucket, so it may not show the names of its \
                   objects. Its home is region {home}.";

fn elsewhere(call: &Call<'_>, keeper: &str, endpoint: &str) -> Markup {
    html! {
        (note(Tone::Warn, &html! {
            p { (call.with(ELSEWHERE, &[("keeper", keeper)])) }
        }))
        (way(call, keeper, endpoint))
    }
}

const ELSEWHERE: &str = "Accounts, keys and placements are changed in region {keeper}, which keeps \
                         the registry.";

fn misdirected(call: &Call<'_>) -> Markup {
    let origin = &call.console.settings.origin;
    html! {
        p { (call.t("This console answers at one address only:")) }
        p { a.button.primary href=(origin) { (origin) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_leads_to_the_page_that_has_the_form() {
        for (here, page) in [
            ("/b/photos/place?a=b", "/b/photos/place?a=b"),
            ("/b/photos/place/act", "/b/photos/place"),
            ("/keys/create", "/keys"),
            ("/b/photos/rules/versioning?x=1", "/b/photos/rules"),
            ("/signout", ""),
        ] {
            assert_eq!(page_of(here), page, "{here}");
        }
    }
}
