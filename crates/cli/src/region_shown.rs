//! How regions are shown to people.

use serde_json::Value;

use crate::{shown::text, table};

/// A region for people.
pub fn print_one(shown: &Value) {
    let degrees = |field: &str| shown.get(field).and_then(Value::as_f64).unwrap_or_default();
    for (name, value) in [
        ("Region", text(shown, "id")),
        ("City", text(shown, "city")),
        (
            "Place",
            format!("{:.2}, {:.2}", degrees("latitude"), degrees("longitude")),
        ),
        ("Country", text(shown, "jurisdiction")),
        ("Operator", text(shown, "operator")),
        ("Status", status(shown)),
        ("Reachable", reachable(shown).to_owned()),
        ("Last seen", or_dash(text(shown, "last_seen"))),
        ("Endpoint", text(shown, "endpoint")),
        ("Peers", text(shown, "peer")),
        ("Addresses", addresses(shown)),
        ("Refused", text(shown, "refused")),
        ("Withheld", text(shown, "withheld")),
        ("Public key", text(shown, "public_key")),
        (
            "Buckets",
            shown
                .get("buckets")
                .map(Value::to_string)
                .unwrap_or_default(),
        ),
    ] {
        println!("{name:<13} {}", or_dash(value));
    }
}

/// How far it is; of one that drains, also how far that is.
fn status(region: &Value) -> String {
    let status = text(region, "status");
    let drain = region.get("drain").map(|drain| text(drain, "state"));
    match drain.filter(|state| status == "draining" && !state.is_empty()) {
        Some(state) => format!("{status} ({state})"),
        None => status,
    }
}

/// Where it may be reached.
fn addresses(shown: &Value) -> String {
    let list = shown.get("addresses").and_then(Value::as_array);
    let list: Vec<&str> = list
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match list.is_empty() {
        true => "(where it was when it joined)".to_owned(),
        false => list.join(", "),
    }
}

/// Whether a region answers the one that was asked.
fn reachable(region: &Value) -> &'static str {
    match region.get("reachable").and_then(Value::as_bool) {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// Regions for people.
pub fn print_table(regions: &[Value]) {
    let row = |r: &Value| {
        let keeps = r.get("keeps_registry").and_then(Value::as_bool) == Some(true);
        let withheld = if text(r, "withheld").is_empty() {
            ""
        } else {
            " (withheld)"
        };
        let mark = if keeps { " (registry)" } else { "" };
        [
            format!("{}{mark}", text(r, "id")),
            text(r, "city"),
            text(r, "jurisdiction"),
            text(r, "operator"),
            format!("{}{withheld}", status(r)),
            reachable(r).to_owned(),
            or_dash(text(r, "last_seen")),
            or_dash(r.get("buckets").map(Value::to_string).unwrap_or_default()),
            or_dash(text(r, "endpoint")),
        ]
    };
    let rows: Vec<_> = regions.iter().map(row).collect();
    let head = [
        "REGION",
        "CITY",
        "COUNTRY",
        "OPERATOR",
        "STATUS",
        "REACHABLE",
        "LAST SEEN",
        "BUCKETS",
        "ENDPOINT",
    ];
    table::print(head, &rows);
}
