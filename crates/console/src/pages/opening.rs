//! Opening a region on a live cloud, and closing one: a plan is checked and shown before it is
//! made, the token with which the region joins is shown once, and the region's page shows how far
//! it is.

use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    pages::{
        by_name::{self, Asks},
        phases::HOURS,
        regions, value,
    },
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        map,
        parts::{self, Tone, facts, note},
        text,
    },
};

const HOURS_MAX: u64 = 720;
/// The fields of a plan.
const FIELDS: [&str; 8] = [
    "id",
    "city",
    "latitude",
    "longitude",
    "jurisdiction",
    "operator",
    "addresses",
    "hours",
];

/// The form.
pub async fn show(call: &Call<'_>) -> Answer {
    form(call, None).await?.into()
}

async fn form(call: &Call<'_>, problem: Option<&Fault>) -> Result<Page, Fault> {
    let operators = call.admin(&Method::GET, "operators", None).await?;
    let operators = operators.as_array().map_or(&[][..], Vec::as_slice);
    let given = |name: &str| call.form.get(name).unwrap_or_default();
    let field = |name: &'static str, label: &str, hint: &str, kind: Kind| {
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(given(name)) required[kind.needed]
                    inputmode=[kind.mode] maxlength="200" autocapitalize="none" spellcheck="false"
                    dir=[kind.code.then_some("ltr")] aria-describedby={ (name) "-hint" };
                p.hint id={ (name) "-hint" } { (hint) }
            }
        }
    };
    let number = Kind::number();
    let body = html! {
        @if let Some(fault) = problem {
            (note(Tone::Bad, &html! { p role="alert" { (parts::reason(call, fault)) } }))
        }
        p { (call.t(ABOUT)) }
        form.stack method="post" action="/regions/plan" {
            (call.token("/regions/plan"))
            (field("id", &call.t("Region"), &call.t(ID), Kind::code(true)))
            (field("city", &call.t("City"), &call.t("For people, on the map."), Kind::text()))
            (field("latitude", &call.t("Degrees north"), &call.t("Negative in the south."), number))
            (field("longitude", &call.t("Degrees east"), &call.t("Negative in the west."), number))
            (field("jurisdiction", &call.t("Country"), &call.t(COUNTRY), Kind::code(true)))
            div {
                label for="operator" { (call.t("Operator")) }
                select #operator name="operator" required {
                    @for one in operators {
                        @let id = value::text(one, "id");
                        option value=(id) selected[id == given("operator")] {
                            (text::visible(id)) " " (text::visible(value::text(one, "name")))
                        }
                    }
                }
                p.hint { (call.t(OPERATOR)) }
            }
            (field("addresses", &call.t("Addresses"), &call.t(ADDRESSES), Kind::code(false)))
            div {
                label for="hours" { (call.t("The token is good for so many hours")) }
                input #hours name="hours" type="number" min="1" max=(HOURS_MAX)
                    value=(call.form.some("hours").unwrap_or(HOURS)) required;
            }
            div.actions {
                button.primary { (call.t("Check the plan")) }
                a.button href="/regions" { (call.t("Back")) }
            }
        }
    };
    let mut page = Page::new(call.t("Open a region"), body).at(path(call, None));
    if problem.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    Ok(page)
}

/// How a field is typed.
#[derive(Clone, Copy)]
struct Kind {
    needed: bool,
    code: bool,
    mode: Option<&'static str>,
}

impl Kind {
    const fn text() -> Self {
        Self {
            needed: false,
            code: false,
            mode: None,
        }
    }

    const fn code(needed: bool) -> Self {
        Self {
            needed,
            code: true,
            mode: None,
        }
    }

    const fn number() -> Self {
        Self {
            needed: true,
            code: true,
            mode: Some("text"),
        }
    }
}

const ABOUT: &str = "A new region holds nothing until a bucket is placed there. Nothing is changed \
                     before you have seen the plan.";
const ID: &str = "1 to 63 lower-case letters, digits and hyphens. It never changes.";
const COUNTRY: &str = "The code of the country whose law holds there, such as AE.";
const OPERATOR: &str = "Who runs its machines. The page of operators adds another one.";
const ADDRESSES: &str = "Where it may be reached by other regions: hosts, or networks such as \
                         203.0.113.0/24, with blanks between them. Empty: where it is when it joins.";

fn path(call: &Call<'_>, id: Option<&str>) -> Markup {
    html! {
        ol {
            li { a href="/regions" { (call.t("Regions")) } }
            @if let Some(id) = id { li { (text::code(id)) } }
        }
    }
}

/// The plan as the admin API takes it.
fn plan(call: &Call<'_>) -> Result<Value, Fault> {
    let given = |name: &str| call.form.get(name).unwrap_or_default().trim();
    let degrees = |name: &'static str| {
        let read: Result<f64, _> = given(name).parse();
        read.map_err(|_| Fault::Bad(call.t("Degrees are a number, such as 25.2.")))
    };
    let addresses: Vec<&str> = given("addresses").split_whitespace().collect();
    Ok(json!({
        "id": given("id"),
        "city": given("city"),
        "latitude": degrees("latitude")?,
        "longitude": degrees("longitude")?,
        "jurisdiction": given("jurisdiction"),
        "operator": given("operator"),
        "addresses": addresses,
    }))
}

fn hours(call: &Call<'_>) -> Result<u64, Fault> {
    let hours = call.form.get("hours").and_then(|hours| hours.parse().ok());
    let hours = hours.filter(|hours| (1..=HOURS_MAX).contains(hours));
    hours.ok_or_else(|| Fault::Bad(call.t("The token is good for 1 to 720 hours.")))
}

/// Checks the plan and shows it. Nothing is changed.
pub async fn preview(call: &Call<'_>) -> Answer {
    let checked = async {
        let (plan, _) = (plan(call)?, hours(call)?);
        let ask = json!({ "plan": plan, "dry_run": true });
        call.admin(&Method::POST, "regions", Some(&ask)).await
    };
    let told = match checked.await {
        Ok(told) => told,
        Err(fault @ (Fault::Bad(_) | Fault::Missing(_))) => {
            return form(call, Some(&fault)).await?.into();
        }
        Err(fault) => return Err(fault),
    };
    let region = told.get("region").cloned().unwrap_or_default();
    let id = value::text(&region, "id");
    let country = value::text(&region, "jurisdiction");
    let mark = map::Mark {
        shape: map::Shape::Ring,
        tone: "",
        ringed: false,
        href: None,
        ..regions::mark(call, &region)
    };
    let caption = call.with("{region} would be here.", &[("region", id)]);
    let route = "/regions/plan/act";
    let body = html! {
        (map::world(&caption, &[country], &[mark]))
        (facts(&[
            (&call.t("Region"), text::code(id)),
            (&call.t("City"), text::name(value::text(&region, "city"))),
            (&call.t("Country"), html! { (map::country(country)) " (" (text::visible(country)) ")" }),
            (&call.t("Operator"), text::name(value::text(&region, "operator"))),
        ]))
        p { (call.t("Nothing moves: the region is empty until a bucket is placed there.")) }
        form.stack method="post" action=(route) {
            (call.token(route))
            @for name in FIELDS {
                input type="hidden" name=(name) value=(call.form.get(name).unwrap_or_default());
            }
            div.actions {
                button.primary { (call.with("Plan {region} and make its token", &[("region", id)])) }
                a.button href="/regions" { (call.t("Leave it")) }
            }
        }
    };
    Page::new(call.t("The plan"), body)
        .at(path(call, Some(id)))
        .into()
}

/// Plans the region, and shows the token with which it joins.
pub async fn act(call: &Call<'_>) -> Answer {
    let hours = hours(call)?;
    let ask = json!({ "plan": plan(call)?, "valid_s": hours * 3600 });
    let told = call.admin(&Method::POST, "regions", Some(&ask)).await?;
    let (region, token) = (&told["region"], value::text(&told, "token"));
    let id = value::text(region, "id");
    let lines = format!(
        "export DHOW_JOIN={token}\ndhow up --data ./{id} --listen HOST:9000 --peer HOST:9003 --tls\n"
    );
    let values = [("region", id), ("hours", &hours.to_string())];
    let body = html! {
        (note(Tone::Warn, &html! { p { (call.with(ONCE, &values)) } }))
        h2 { (call.t("On the machine of the region")) }
        pre tabindex="0" { code dir="ltr" { (lines) } }
        p.hint { (call.t(SERVICE)) }
        div.actions {
            button type="button" data-copy=(lines) data-done=(call.t("Copied")) {
                (call.t("Copy the lines"))
            }
            a.button.primary href=(Href::to("/regions/show").with(&[("id", id)])) {
                (call.t("Watch it join"))
            }
        }
    };
    Page::new(call.t("The region is planned"), body)
        .at(path(call, Some(id)))
        .into()
}

const ONCE: &str = "{region} joins once, with this token, within {hours} hours. The token is shown \
                    this once. Whoever has it can join in place of the region: give it to its \
                    operator only.";
const SERVICE: &str = "As a service: the token in DHOW_JOIN, and the configuration of \
                       docs/three-machines.md.";

/// Asks whether a region is to be closed, and closes it once its name was typed.
pub async fn close(call: &Call<'_>) -> Answer {
    let id = call.form.some("id");
    let id = id.ok_or_else(|| Fault::Bad(call.t("The form names no region.")))?;
    if call.form.get("name") == Some(id) {
        let path = format!("regions/{}/close", access::sign::encode(id));
        call.admin(&Method::POST, &path, None).await?;
        return Ok(Reply::See(Href::to("/regions")));
    }
    let path = format!("regions/{}", access::sign::encode(id));
    let region = call.admin(&Method::GET, &path, None).await?;
    let opens = matches!(value::text(&region, "status"), "planned" | "joining");
    let (says, title) = match opens {
        true => (GIVEN_UP, call.t("Give up a region that is not open yet")),
        false => (CLOSED, call.t("Close a region")),
    };
    let asks = Asks {
        route: "/regions/close",
        id,
        says,
        other: NOT_CLOSED,
        does: call.t("Close the region"),
    };
    by_name::page(call, title, &asks).into()
}

const NOT_CLOSED: &str = "The name that you typed is not the region's. Nothing was closed.";
const GIVEN_UP: &str = "Its token and its certificates are refused from then on. Nothing is placed there \
                        yet. The name is not free again: plan another region under another \
                        name.";
const CLOSED: &str = "A region that is closed never opens again under this name, and its \
                      certificates are refused. Drain it before, so that nothing is placed there.";
