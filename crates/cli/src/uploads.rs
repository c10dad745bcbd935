//! What becomes of multipart uploads in progress when a bucket's home goes to another region.

use admin::failure::Failure;
use serde_json::Value;

use crate::shown::text;

/// How many are in progress, as the admin API says.
fn count(uploads: &Value) -> u64 {
    let count = uploads.get("uploads").and_then(Value::as_u64);
    count.unwrap_or_default()
}

fn words(uploads: &Value) -> String {
    let number = |field: &str| uploads.get(field).and_then(Value::as_u64);
    let of = |field: &str| number(field).unwrap_or_default();
    let more = uploads.get("more") == Some(&Value::Bool(true));
    format!(
        "{}{} in progress, with {} bytes in {} parts",
        if more { "more than " } else { "" },
        count(uploads),
        of("bytes"),
        of("parts")
    )
}

/// For `dhow bucket show`; empty where the home does not say.
pub fn shown(bucket: &Value) -> String {
    match bucket.get("uploads") {
        Some(uploads) if count(uploads) > 0 => words(uploads),
        Some(uploads) if uploads.is_object() => "none in progress".to_owned(),
        _ => String::new(),
    }
}

/// A bucket as it is shown, before its home is to go: it stays while uploads are in progress,
/// unless they may be aborted.
pub fn check(bucket: &Value, abort: bool) -> Result<(), Failure> {
    let (name, home) = (text(bucket, "name"), text(bucket, "home"));
    match bucket.get("uploads") {
        Some(uploads) if count(uploads) > 0 && !abort => Err(Failure::new(format!(
            "the multipart uploads of {name} at its home, region {home}, would be lost: {}",
            words(uploads)
        ))
        .hint(format!(
            "have them completed or aborted (`aws s3api list-multipart-uploads --bucket {name}` \
             lists them), or go on without them with --abort-uploads"
        ))),
        _ => Ok(()),
    }
}

/// What is lost with a change of the home, which the admin API names in `moved`; `from` is the home
/// before. `None` where nothing is.
pub fn lost(moved: &Value, from: &str, dry_run: bool) -> Option<String> {
    let verb = if dry_run { "would be" } else { "are" };
    match moved.get("uploads") {
        Some(Value::Null) => Some(format!(
            "Multipart uploads in progress at {from}, if there are any, {verb} lost: it does not \
             say."
        )),
        Some(uploads) if count(uploads) > 0 => Some(format!(
            "Multipart uploads at {from} {verb} lost: {}.",
            words(uploads)
        )),
        _ => None,
    }
}

/// The same, said unless the answer is for scripts, which have it there.
pub fn say_lost(moved: &Value, from: &str, dry_run: bool, json: bool) {
    if let Some(words) = lost(moved, from, dry_run).filter(|_| !json) {
        println!("{words}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bucket_stays_while_uploads_are_in_progress() {
        let some = json!({ "uploads": 2, "parts": 3, "bytes": 9, "more": false });
        let none = json!({ "uploads": 0, "parts": 0, "bytes": 0, "more": false });
        let bucket = |uploads: &Value| json!({ "name": "b", "home": "h", "uploads": uploads });
        let why = check(&bucket(&some), false).unwrap_err().to_string();
        assert!(why.contains("of b at its home, region h"), "{why}");
        assert!(
            why.contains("2 in progress, with 9 bytes in 3 parts"),
            "{why}"
        );
        assert!(why.contains("--abort-uploads"), "{why}");
        assert!(check(&bucket(&some), true).is_ok());
        assert!(check(&bucket(&none), false).is_ok());
        // The change itself asks again.
        assert!(check(&json!({ "name": "b", "home": "h" }), false).is_ok());
        assert!(lost(&bucket(&some), "h", false).is_some());
        assert!(lost(&bucket(&Value::Null), "h", false).is_some());
        assert_eq!(lost(&bucket(&none), "h", false), None);
        assert_eq!(lost(&json!({}), "h", false), None);
    }
}
