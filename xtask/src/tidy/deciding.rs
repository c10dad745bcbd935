//! Only `access` decides: outside of it nobody compares who owns a bucket or an object, or whose
//! account a caller is of. Each such rule has a name in `access/src/relation.rs`.

/// Files that compare owners, with the reason.
const COMPARE: &[(&str, &str)] = &[(
    "crates/console/src/pages/acl.rs",
    "shows the owner's account by a word in place of its id",
)];

/// What a compared expression ends with.
const OWNERS: &[&str] = &["owner", "bucket_owner", "account()"];

/// Finds comparisons of owners and of callers' accounts in a file.
pub fn check(name: &str, text: &str, findings: &mut Vec<String>) {
    let looked_at = name.starts_with("crates/") && name.contains("/src/");
    let excused = COMPARE.iter().any(|(file, _)| *file == name);
    if !looked_at || name.starts_with("crates/access/") || excused || super::is_test_file(name) {
        return;
    }
    for (n, line) in super::code_part(text) {
        if compares(line) {
            findings.push(format!(
                "{name}:{n}: owners and accounts of callers are compared in access/src/relation.rs"
            ));
        }
    }
}

fn compares(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let operators = code.match_indices("==").chain(code.match_indices("!="));
    operators.into_iter().any(|(at, operator)| {
        let after = &code[at + operator.len()..];
        is_owner(before_operator(&code[..at])) || is_owner(after_operator(after))
    })
}

/// The expression at the end of the text: back to a space, or to a parenthesis that is open.
fn before_operator(text: &str) -> &str {
    let text = text.trim_end();
    let mut depth = 0_i32;
    for (at, c) in text.char_indices().rev() {
        depth += i32::from(c == ')') - i32::from(c == '(');
        if depth < 0 || depth == 0 && c == ' ' {
            return &text[at + 1..];
        }
    }
    text
}

/// The expression at the beginning of the text.
fn after_operator(text: &str) -> &str {
    let text = text.trim_start();
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 || depth == 0 && " ,;{".contains(c) {
            return &text[..at];
        }
    }
    text
}

/// Whether an expression is an owner, or a caller's account.
fn is_owner(expression: &str) -> bool {
    let within = |text: &str| {
        let inner = text.strip_prefix("Some(")?.strip_suffix(')')?;
        Some(inner.trim_start_matches(['&', '*']).to_owned())
    };
    let bare = expression.trim_start_matches(['&', '*', '!', '|']);
    let bare = within(bare).unwrap_or_else(|| bare.to_owned());
    OWNERS.iter().any(|word| {
        let before = bare.strip_suffix(word);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_of_owners_are_found_and_others_are_not() {
        for line in [
            "if deed.owner == *account {",
            "deeds.retain(|d| of.is_none_or(|of| d.owner == *of));",
            "if ask.principal.account() != Some(&deed.owner) {",
            "let same = caller.is_some_and(|c| c.account() == Some(&id));",
            "let own = (account) == Some(&deed.owner);",
            "check(deed.owner != account);",
            "    && *owner != *account",
            "        == other.account()",
        ] {
            assert!(compares(line), "{line}");
        }
        for line in [
            "let owner = deed.owner.clone();",
            "id if id == self.canonical_id(&self.owner) => 1,",
            "if access::is_owner(&deed.owner, &other) == named {",
            "match deed.owner { _ => a == b }",
            "if deed.id == id { // its owner == account",
            "if a.owner_name == b {",
        ] {
            assert!(!compares(line), "{line}");
        }
        let mut found = Vec::new();
        let code = "fn f() { a.owner == b }\n#[cfg(test)]\nmod tests {\n a.owner == b\n}\n";
        for file in ["gateway/src/x.rs", "access/src/x.rs", "gateway/tests/x.rs"] {
            check(&format!("crates/{file}"), code, &mut found);
        }
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
