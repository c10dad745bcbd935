//! What the gateway's code names of S3 outside the folder of that dialect: another dialect would
//! have to be named in each of these places too.

/// The folder of the dialect.
const FOLDER: &str = "crates/gateway/src/s3/";
/// What is S3's.
const NAMES: [&str; 3] = ["s3::", "S3", "x-amz-"];
/// Files that name S3, with the lines that do, and the reason. A ratchet: it only ever gets
/// shorter.
const ALLOWED: &[(&str, usize, &str)] = &[
    (
        "crates/gateway/src/beside.rs",
        1,
        "what is not S3 is named by that",
    ),
    (
        "crates/gateway/src/chunked.rs",
        3,
        "bodies in signed chunks",
    ),
    (
        "crates/gateway/src/console.rs",
        6,
        "headers that pages of the console read",
    ),
    ("crates/gateway/src/dialect.rs", 3, "the list of dialects"),
    (
        "crates/gateway/src/documents.rs",
        1,
        "a text that names a header",
    ),
    (
        "crates/gateway/src/fault/from_errors.rs",
        1,
        "a detail of a wrong digest",
    ),
    (
        "crates/gateway/src/fuzzing.rs",
        2,
        "forms and signed chunks",
    ),
    (
        "crates/gateway/src/lib.rs",
        1,
        "what other crates use of S3",
    ),
    (
        "crates/gateway/src/payload.rs",
        5,
        "bodies in signed chunks",
    ),
    (
        "crates/gateway/src/pipeline/verify_head.rs",
        1,
        "the service that signatures are for",
    ),
];

/// Finds files of the gateway that name S3 in more lines than they may, and rows of the table that
/// allow more than there is.
pub fn check(name: &str, text: &str, findings: &mut Vec<String>) {
    if !name.starts_with("crates/gateway/src/")
        || name.starts_with(FOLDER)
        || super::is_test_file(name)
    {
        return;
    }
    let code = super::code_part(text).into_iter();
    let code = code.map(|(_, line)| line.split("//").next().unwrap_or_default());
    let count = code.filter(|line| is_named(line)).count();
    let allowed = ALLOWED.iter().find(|(file, _, _)| *file == name);
    let allowed = allowed.map_or(0, |(_, lines, _)| *lines);
    if count > allowed {
        findings.push(format!(
            "{name}: {count} lines name S3, {allowed} may: what one dialect has belongs in {FOLDER}"
        ));
    }
    if count < allowed {
        findings.push(format!(
            "xtask/src/tidy/dialects.rs: {name} names S3 in {count} lines: write that down"
        ));
    }
}

fn is_named(line: &str) -> bool {
    NAMES.iter().any(|name| line.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_of_s3_is_found() {
        let mut found = Vec::new();
        let text = "// S3\nuse crate::s3::headers;\nlet a = \"x-amz-acl\";\nlet b = 1;\n";
        check("crates/gateway/src/new.rs", text, &mut found);
        assert_eq!(found.len(), 1, "{found:?}");
        check("crates/gateway/src/s3/new.rs", text, &mut found);
        check("crates/objects/src/new.rs", text, &mut found);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
