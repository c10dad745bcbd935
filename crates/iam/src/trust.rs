//! What may surprise in a trust policy.

use serde_json::Value;

/// Operators that hold for some values alone, without what may stand before and behind their names.
const PINNING: [&str; 3] = ["stringequals", "stringequalsignorecase", "stringlike"];

/// One value, or a list of them.
fn values(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether a condition says who the token has to be about: a set of values for `:sub` of which none
/// is a wildcard alone.
fn says_who(condition: Option<&Value>) -> bool {
    let operators = condition.and_then(Value::as_object).into_iter().flatten();
    operators.into_iter().any(|(operator, keys)| {
        let operator = operator.to_ascii_lowercase();
        let operator = operator
            .strip_prefix("foranyvalue:")
            .unwrap_or(operator.as_str());
        let keys = keys.as_object().into_iter().flatten();
        PINNING.contains(&operator)
            && keys.into_iter().any(|(key, wanted)| {
                let wanted = values(wanted);
                let is_any = |text: &&str| !text.is_empty() && text.bytes().all(|c| c == b'*');
                key.to_ascii_lowercase().ends_with(":sub")
                    && !(operator == "stringlike" && wanted.iter().any(is_any))
            })
    })
}

/// Statements of a trust policy that let in everybody who has a token of an identity provider,
/// because they do not ask whom the token is about (`:sub`): their places, from 0, and the ARNs of
/// the providers.
pub fn open_to_all_of(trust: &str) -> Vec<(usize, String)> {
    let read: Value = serde_json::from_str(trust).unwrap_or_default();
    let statements = match &read["Statement"] {
        Value::Array(all) => all.iter().collect(),
        one => vec![one],
    };
    let mut found = Vec::new();
    for (at, statement) in statements.into_iter().enumerate() {
        if statement["Effect"] != "Allow" || says_who(statement.get("Condition")) {
            continue;
        }
        let providers = values(&statement["Principal"]["Federated"]).into_iter();
        found.extend(providers.map(|provider| (at, provider.to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(condition: &str) -> bool {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[
                {{"Effect":"Allow","Principal":{{"AWS":"1"}},"Action":"sts:AssumeRole"}},
                {{"Effect":"Allow","Principal":{{"Federated":["arn:p"]}},
                 "Action":"sts:AssumeRoleWithWebIdentity"{condition}}}]}}"#
        );
        let found = open_to_all_of(&text);
        assert!(found.is_empty() || found == [(1, "arn:p".to_owned())]);
        !found.is_empty()
    }

    #[test]
    fn who_the_token_is_about_has_to_be_said() {
        assert!(open(""));
        for condition in [
            r#"{"StringEquals":{"id.example.com:aud":"dhow"}}"#,
            r#"{"StringLike":{"id.example.com:sub":"*"}}"#,
            r#"{"StringLike":{"id.example.com:sub":["anna","**"]}}"#,
            r#"{"StringNotEquals":{"id.example.com:sub":"anna"}}"#,
            r#"{"StringEqualsIfExists":{"id.example.com:sub":"anna"}}"#,
            r#"{"ForAllValues:StringEquals":{"id.example.com:sub":"anna"}}"#,
            r#"{"Null":{"id.example.com:sub":"false"}}"#,
        ] {
            assert!(open(&format!(r#","Condition":{condition}"#)), "{condition}");
        }
        for condition in [
            r#"{"StringEquals":{"id.example.com:sub":"anna"}}"#,
            r#"{"stringlike":{"ID.example.com:SUB":["anna","repo:acme/*"]}}"#,
            r#"{"ForAnyValue:StringEquals":{"id.example.com:sub":["anna"]}}"#,
        ] {
            assert!(
                !open(&format!(r#","Condition":{condition}"#)),
                "{condition}"
            );
        }
        assert!(open_to_all_of("").is_empty());
        let denies = r#"{"Statement":{"Effect":"Deny","Principal":{"Federated":"arn:p"}}}"#;
        assert!(open_to_all_of(denies).is_empty());
        let one = r#"{"Statement":{"Effect":"Allow","Principal":{"Federated":"arn:p"}}}"#;
        assert_eq!(open_to_all_of(one), [(0, "arn:p".to_owned())]);
    }
}
