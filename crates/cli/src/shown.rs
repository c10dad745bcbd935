//! What commands show of an answer, and how they name an account in an address.

use admin::failure::Failure;
use serde_json::Value;

/// Prints JSON for scripts.
pub fn print_json(value: &Value) {
    println!("{}", plain_json(value));
}

/// JSON that a terminal obeys nothing of. Outside its strings there is nothing to spell out.
fn plain_json(value: &Value) -> String {
    let mut out = String::new();
    for c in format!("{value:#}").chars() {
        match c == '\n' || types::text::is_plain(c) {
            true => out.push(c),
            false => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

/// The longest text that is shown; a join token has 711 characters.
const TEXT_MAX: usize = 4096;

/// A field as text for a terminal: others may have written it.
pub fn text(value: &Value, field: &str) -> String {
    value
        .get(field)
        .and_then(Value::as_str)
        .map(|text| types::text::shown(text, TEXT_MAX).into_owned())
        .unwrap_or_default()
}

/// Prints a new key pair, which nothing shows again.
pub fn print_pair(access_key: &str, secret_key: &str) {
    println!("Access key  {access_key}\nSecret key  {secret_key}\nThe secret is not shown again.");
    println!(
        "Set AWS_REGION to the region of the endpoint as well: without it boto3 makes presigned\n\
         URLs with Signature Version 2, which is refused."
    );
}

/// The id or name of an account as a part of an address.
///
/// # Errors
/// A name that an address cannot carry as it is; says to give the id.
pub fn in_address(account: &str) -> Result<&str, Failure> {
    match access::sign::encode(account) == account {
        true => Ok(account),
        false => Err(Failure::new(format!(
            "the name `{account}` has characters that cannot be used here"
        ))
        .hint("give the account's id: `dhow account list` shows it")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn json_for_a_terminal_is_the_same_json_and_has_nothing_that_it_obeys() {
        let value = serde_json::json!({"name": "a\u{9b}2J\u{202e}\u{e0001}\u{1b}]0;x\n", "é": [1]});
        let text = super::plain_json(&value);
        let is_plain = |c| c == '\n' || types::text::is_plain(c);
        assert!(text.chars().all(is_plain), "{text}");
        let again: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(again, value);
        assert!(text.contains('é'));
    }
}
