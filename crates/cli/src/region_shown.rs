//! How regions are shown to people.

use serde_json::Value;

use crate::{certificates, shown::text, table};

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
        ("Waits for", text(shown, "waits_for")),
        ("Last seen", last_seen(shown)),
        ("Clock", clock(shown)),
        ("Endpoint", text(shown, "endpoint")),
        ("Peers", text(shown, "peer")),
        ("Addresses", addresses(shown)),
        ("Refused", text(shown, "refused")),
        ("Withheld", text(shown, "withheld")),
        ("Public key", text(shown, "public_key")),
        ("Certificates", certificates::lines(shown).join("; ")),
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

/// Whether a region that has joined did not pass the checks of admission.
fn waits(region: &Value) -> bool {
    text(region, "status") == "joining" && !text(region, "waits_for").is_empty()
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
    if region.get("cut_off").and_then(Value::as_bool) == Some(true) {
        return "REFUSED";
    }
    match region.get("reachable").and_then(Value::as_bool) {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    }
}

/// When a region last answered, and how long ago that was.
fn last_seen(region: &Value) -> String {
    let at = text(region, "last_seen");
    match seen_ago(region) {
        Some(ago) => format!("{ago} ({at})"),
        None => at,
    }
}

fn seen_ago(region: &Value) -> Option<String> {
    let seconds = region.get("last_seen_ago_s").and_then(Value::as_u64);
    seconds.map(types::text::ago)
}

/// How far a region's clock is off, if that is more than is allowed.
fn clock(region: &Value) -> String {
    let ahead = region.get("clock_ahead_ms").and_then(Value::as_i64);
    let off = is_off(region);
    match ahead {
        None => String::new(),
        Some(_) if !off => "as in the other regions".to_owned(),
        Some(ahead) => {
            let way = if ahead < 0 { "behind" } else { "ahead of" };
            let by = ahead.unsigned_abs();
            format!("{by} ms {way} the other regions': it refuses writes")
        }
    }
}

fn is_off(region: &Value) -> bool {
    region.get("clock_off").and_then(Value::as_bool) == Some(true)
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
        let marks = [
            (!text(r, "withheld").is_empty(), " (withheld)"),
            (is_off(r), " (clock off)"),
            (waits(r), " (waits)"),
        ];
        let marks = marks.iter().filter(|(is, _)| *is);
        let marks: String = marks.map(|(_, mark)| *mark).collect();
        let mark = if keeps { " (registry)" } else { "" };
        [
            format!("{}{mark}", text(r, "id")),
            text(r, "city"),
            text(r, "jurisdiction"),
            text(r, "operator"),
            format!("{}{marks}", status(r)),
            reachable(r).to_owned(),
            or_dash(seen_ago(r).unwrap_or_default()),
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
    for region in regions {
        if waits(region) {
            println!(
                "{} waits for: {}",
                text(region, "id"),
                text(region, "waits_for")
            );
        }
    }
}
