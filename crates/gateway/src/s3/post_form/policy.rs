//! The policy of a form: what its author, who signed it, lets others upload ("Creating a POST
//! policy", S3 API reference).

use serde::Deserialize;
use serde_json::Value;
use types::Timestamp;

use super::Fields;
use crate::fault::{Fault, FaultKind};

/// Fields that need no condition: those of signatures, of version 4 and 2, and the file.
const FREE: [&str; 5] = [
    "x-amz-signature",
    "file",
    "policy",
    "awsaccesskeyid",
    "signature",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    expiration: String,
    conditions: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Eq,
    StartsWith,
}

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    how: Match,
    /// In lower case, without `$`.
    field: String,
    value: String,
}

/// A policy that has been read; nothing of it holds before its signature was verified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    expiration: Timestamp,
    conditions: Vec<Condition>,
    /// Smallest and largest file, in bytes.
    length: Option<(u64, u64)>,
}

fn invalid(what: &str) -> Fault {
    Fault::with(
        FaultKind::InvalidPolicyDocument,
        format!("Invalid Policy: {what}"),
    )
}

fn denied(what: impl std::fmt::Display) -> Fault {
    Fault::with(
        FaultKind::AccessDenied,
        format!("Invalid according to Policy: {what}"),
    )
}

impl Policy {
    /// Reads the JSON; `InvalidPolicyDocument`.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Fault> {
        let document: Document =
            serde_json::from_slice(json).map_err(|_| invalid("Invalid JSON."))?;
        let expiration = Timestamp::parse_iso8601(&document.expiration)
            .ok_or_else(|| invalid("Invalid 'expiration' value."))?;
        let mut policy = Self {
            expiration,
            conditions: Vec::with_capacity(document.conditions.len()),
            length: None,
        };
        for condition in &document.conditions {
            policy.add(condition)?;
        }
        Ok(policy)
    }

    fn add(&mut self, condition: &Value) -> Result<(), Fault> {
        let bad = || invalid("Invalid Condition.");
        match condition {
            Value::Object(pairs) => {
                let mut pairs = pairs.iter();
                let (Some((field, value)), None) = (pairs.next(), pairs.next()) else {
                    return Err(invalid(
                        "Invalid Simple-Condition: Simple-Conditions must have exactly one \
                         property specified.",
                    ));
                };
                let value = value.as_str().ok_or_else(bad)?;
                self.push(Match::Eq, field, value);
            }
            Value::Array(items) => {
                let [operator, first, second] = items.as_slice() else {
                    return Err(bad());
                };
                let operator = operator.as_str().ok_or_else(bad)?;
                if operator.eq_ignore_ascii_case("content-length-range") {
                    return self.limit(first, second);
                }
                let how = if operator.eq_ignore_ascii_case("eq") {
                    Match::Eq
                } else if operator.eq_ignore_ascii_case("starts-with") {
                    Match::StartsWith
                } else {
                    return Err(bad());
                };
                let field = first.as_str().and_then(|f| f.strip_prefix('$'));
                let field = field.ok_or_else(bad)?;
                self.push(how, field, second.as_str().ok_or_else(bad)?);
            }
            _ => return Err(bad()),
        }
        Ok(())
    }

    fn push(&mut self, how: Match, field: &str, value: &str) {
        self.conditions.push(Condition {
            how,
            field: field.to_ascii_lowercase(),
            value: value.to_owned(),
        });
    }

    /// Where there are several ranges, each must hold.
    fn limit(&mut self, min: &Value, max: &Value) -> Result<(), Fault> {
        let number = |v: &Value| match v {
            Value::String(text) => text.parse().ok(),
            v => v.as_u64(),
        };
        let (Some(min), Some(max)) = (number(min), number(max)) else {
            return Err(invalid("Invalid content-length-range."));
        };
        let (low, high) = self.length.unwrap_or((0, u64::MAX));
        self.length = Some((low.max(min), high.min(max)));
        Ok(())
    }

    /// Whether the form keeps to the policy; the file's size may be as returned.
    ///
    /// `fields` must hold the bucket of the URL as `bucket`: the policy is for one bucket, and not
    /// for whichever the form is sent to.
    pub(crate) fn check(
        &self,
        fields: &Fields,
        now: Timestamp,
    ) -> Result<Option<(u64, u64)>, Fault> {
        if now >= self.expiration {
            return Err(denied("Policy expired."));
        }
        for condition in &self.conditions {
            let given = fields.get(&condition.field).unwrap_or_default();
            if !condition.holds(given) {
                return Err(denied(format_args!(
                    "Policy Condition failed: {}",
                    condition.text()
                )));
            }
        }
        let covered = |name: &str| {
            FREE.contains(&name)
                || name.starts_with("x-ignore-")
                || self.conditions.iter().any(|c| c.field == name)
        };
        let extra: Vec<&str> = fields.names().filter(|name| !covered(name)).collect();
        if !extra.is_empty() {
            return Err(denied(format_args!(
                "Extra input fields: {}",
                extra.join(", ")
            )));
        }
        Ok(self.length)
    }
}

impl Condition {
    fn holds(&self, given: &str) -> bool {
        match self.how {
            Match::Eq => given == self.value,
            // A list of types is as good as each of them.
            Match::StartsWith if self.field == "content-type" => given
                .split(',')
                .all(|one| one.trim_start().starts_with(&self.value)),
            Match::StartsWith => given.starts_with(&self.value),
        }
    }

    /// As it stands in the policy.
    fn text(&self) -> String {
        let operator = match self.how {
            Match::Eq => "eq",
            Match::StartsWith => "starts-with",
        };
        let quote = |text: &str| Value::from(text).to_string();
        format!(
            "[{}, {}, {}]",
            quote(operator),
            quote(&format!("${}", self.field)),
            quote(&self.value)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2030-01-01T00:00:00Z";

    fn check(
        expiration: &str,
        conditions: &str,
        fields: &[(&str, &str)],
    ) -> Result<Option<(u64, u64)>, String> {
        let json = format!(r#"{{"expiration":"{expiration}","conditions":[{conditions}]}}"#);
        let text = |e: Fault| format!("{}: {}", e.kind.name(), e.message.unwrap_or_default());
        let mut all = Fields::default();
        for (name, value) in fields {
            assert!(all.add(name, (*value).to_owned()));
        }
        Policy::parse(json.as_bytes())
            .and_then(|p| p.check(&all, Timestamp::parse_iso8601(NOW).unwrap()))
            .map_err(text)
    }

    const GOOD: &str = r#"{"bucket":"bkt"},["starts-with","$key","up/"],
        ["eq","$Content-Type","text/plain"],{"X-Amz-Meta-A":"1"},["content-length-range",1,"9"]"#;
    const FORM: [(&str, &str); 8] = [
        ("bucket", "bkt"),
        ("key", "up/a"),
        ("content-type", "text/plain"),
        ("x-amz-meta-a", "1"),
        ("policy", "p"),
        ("x-amz-signature", "s"),
        ("file", ""),
        ("x-ignore-me", "x"),
    ];

    #[test]
    fn s14_a_form_that_keeps_to_its_policy_passes() {
        assert_eq!(check("2030-01-01T00:00:01Z", GOOD, &FORM), Ok(Some((1, 9))));
    }

    #[test]
    fn s14_each_condition_violated_once_is_refused() {
        for (name, value, condition) in [
            ("bucket", "other", r#"["eq", "$bucket", "bkt"]"#),
            ("key", "else/a", r#"["starts-with", "$key", "up/"]"#),
            ("key", "Up/a", r#"["starts-with", "$key", "up/"]"#),
            (
                "content-type",
                "text/html",
                r#"["eq", "$content-type", "text/plain"]"#,
            ),
            ("x-amz-meta-a", "2", r#"["eq", "$x-amz-meta-a", "1"]"#),
        ] {
            let mut form = FORM;
            form.iter_mut().find(|f| f.0 == name).unwrap().1 = value;
            let expected = format!(
                "AccessDenied: Invalid according to Policy: Policy Condition failed: {condition}"
            );
            assert_eq!(check("2030-01-02T00:00:00Z", GOOD, &form), Err(expected));
            let without: Vec<_> = FORM.into_iter().filter(|f| f.0 != name).collect();
            assert!(check("2030-01-02T00:00:00Z", GOOD, &without).is_err());
        }
    }

    #[test]
    fn s14_an_expired_policy_is_refused() {
        for expiration in ["2029-12-31T23:59:59Z", NOW, "1970-01-01T00:00:00.000Z"] {
            assert_eq!(
                check(expiration, GOOD, &FORM),
                Err("AccessDenied: Invalid according to Policy: Policy expired.".into())
            );
        }
    }

    #[test]
    fn s14_fields_without_a_condition_are_refused() {
        let mut form = FORM.to_vec();
        form.push(("acl", "private"));
        form.push(("x-amz-meta-b", ""));
        assert_eq!(
            check("2030-01-02T00:00:00Z", GOOD, &form),
            Err(
                "AccessDenied: Invalid according to Policy: Extra input fields: acl, x-amz-meta-b"
                    .into()
            )
        );
        // Also the bucket of the URL is a field: a policy that names none is for none.
        let all = r#"["starts-with","$key",""]"#;
        assert_eq!(
            check(
                "2030-01-02T00:00:00Z",
                all,
                &[("bucket", "bkt"), ("key", "k")]
            ),
            Err("AccessDenied: Invalid according to Policy: Extra input fields: bucket".into())
        );
    }

    #[test]
    fn every_type_of_a_list_must_start_as_the_policy_says() {
        let conditions = r#"["starts-with","$Content-Type","image/"]"#;
        let form = |value| {
            check(
                "2031-01-01T00:00:00Z",
                conditions,
                &[("content-type", value)],
            )
        };
        assert!(form("image/png").is_ok());
        assert!(form("image/png, image/gif").is_ok());
        assert!(form("image/png,text/html").is_err());
    }

    #[test]
    fn s14_ranges_narrow_each_other() {
        let ranges = r#"["content-length-range",1,10],["Content-Length-Range",5,20]"#;
        assert_eq!(
            check("2031-01-01T00:00:00Z", ranges, &[]),
            Ok(Some((5, 10)))
        );
    }

    #[test]
    fn s14_other_documents_are_invalid() {
        for bad in [
            r#"{"a":"1","b":"2"}"#,
            r#"{}"#,
            r#"{"a":1}"#,
            r#"["eq","key","x"]"#,
            r#"["eq","$key"]"#,
            r#"["eq","$key","x","y"]"#,
            r#"["ends-with","$key","x"]"#,
            r#"["content-length-range",-1,2]"#,
            r#"["content-length-range",1,"x"]"#,
            r#""eq""#,
            "1",
        ] {
            let found = check("2031-01-01T00:00:00Z", bad, &[]).unwrap_err();
            assert!(found.starts_with("InvalidPolicyDocument"), "{bad}: {found}");
        }
        for bad in [
            "",
            "[]",
            r#"{"conditions":[]}"#,
            r#"{"expiration":"2031-01-01T00:00:00Z"}"#,
            r#"{"expiration":"tomorrow","conditions":[]}"#,
            r#"{"expiration":"2031-01-01T00:00:00Z","conditions":[],"conditions":[]}"#,
            r#"{"expiration":"2031-01-01T00:00:00Z","conditions":[],"x":1}"#,
        ] {
            let code = Policy::parse(bad.as_bytes()).unwrap_err().kind;
            assert_eq!(code, FaultKind::InvalidPolicyDocument, "{bad}");
        }
    }
}
