//! Tags of objects and buckets.

use types::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX};

use crate::{Error, Result};

/// Checks the tags of a bucket, before there is one.
///
/// # Errors
/// As of [`Objects::set_bucket_tags`](crate::Objects::set_bucket_tags).
pub fn check_of_bucket(tags: &[(String, String)]) -> Result<()> {
    check(tags, types::limits::BUCKET_TAGS_MAX)
}

/// Checks number, lengths, characters and uniqueness ("Categorizing your storage using tags").
pub(crate) fn check(tags: &[(String, String)], max: usize) -> Result<()> {
    if tags.len() > max {
        return Err(Error::TooManyTags(max));
    }
    for (i, (key, value)) in tags.iter().enumerate() {
        let refuse = |text| {
            let key = key.clone();
            Err(Error::InvalidTag { key, text })
        };
        let key_len = key.chars().count();
        if key_len == 0 || key_len > TAG_KEY_CHARS_MAX || !key.chars().all(allowed) {
            return refuse("The TagKey you have provided is invalid");
        }
        let reserved = key
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
        if reserved {
            return refuse("System tags cannot be added/updated by requester");
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX || !value.chars().all(allowed) {
            return refuse("The TagValue you have provided is invalid");
        }
        if tags[..i].iter().any(|(other, _)| other == key) {
            return refuse("Cannot provide multiple Tags with the same key");
        }
    }
    Ok(())
}

/// Letters, digits and spaces of any script, and `+ - = . _ : / @`.
fn allowed(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "+-=._:/@".contains(c)
}
