//! The checks. Each returns findings as `path:line: what is wrong`.

mod circles;
mod deciding;
mod dependencies;
mod dialects;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longest file, in lines of code (neither blank nor comment, before the first test module).
const FILE_LINES_MAX: usize = 600;
/// Longest function, in lines.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest line, in characters.
const LINE_CHARS_MAX: usize = 100;

/// Which crate may use which: lower layers only, siblings never. A new edge is a decision about
/// the architecture, so it is written here first (and in ARCHITECTURE.md).
const EDGES: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("digest", &["types"]),
    ("follow", &[]),
    ("proof", &["types"]),
    ("seal", &[]),
    ("peer", &["types"]),
    ("listener", &["types"]),
    ("store", &["types"]),
    ("access", &["types"]),
    ("objects", &["types", "digest", "access", "store", "seal"]),
    ("cloud", &["types", "access", "store", "proof", "follow"]),
    (
        "replication",
        &[
            "types", "access", "store", "objects", "peer", "seal", "follow",
        ],
    ),
    (
        "gateway",
        &["types", "digest", "access", "objects", "listener"],
    ),
    ("iam", &["types", "access", "cloud"]),
    ("console", &["types", "access", "cloud", "proof"]),
    ("admin", &["types", "access", "cloud", "listener"]),
    ("bench", &["types", "access", "listener"]),
    (
        "cli",
        &["types", "access", "iam", "listener", "proof", "admin"],
    ),
    (
        "node",
        &[
            "types",
            "access",
            "store",
            "objects",
            "cloud",
            "follow",
            "iam",
            "console",
            "gateway",
            "peer",
            "listener",
            "replication",
            "proof",
            "seal",
            "admin",
        ],
    ),
    ("dhow", &["bench", "admin", "cli", "node"]),
    ("check", &[]),
    (
        "sim",
        &[
            "types",
            "digest",
            "access",
            "store",
            "objects",
            "peer",
            "replication",
            "proof",
        ],
    ),
    ("xtask", &["check"]),
];

/// Files that may be longer, with the reason. A ratchet: it only ever gets shorter.
const LONG_FILES: &[(&str, &str)] = &[];

/// The only modules that may hold `unsafe`.
const UNSAFE_FILES: &[&str] = &[
    "crates/digest/src/simd",
    "crates/store/src/extents/writeback.rs",
];

/// Runs every check on the project at `root`.
pub fn check(root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    crate_edges(root, &mut findings);
    let mut words = words::Lines::default();
    for path in files(root, "rs") {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        if name.contains("xtask/src/tidy") {
            continue; // names what it forbids
        }
        length(&name, &text, &mut findings);
        functions(&name, &text, &mut findings);
        leftovers(&name, &text, &mut findings);
        comparisons(&name, &text, &mut findings);
        deciding::check(&name, &text, &mut findings);
        dialects::check(&name, &text, &mut findings);
        words.look(&name, &text);
    }
    words.report(&mut findings);
    for path in files(root, "md") {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        markdown(root, &path, &name, &text, &mut findings);
    }
    findings
}

fn files(root: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if path.is_dir() {
                let skip = name.starts_with('.') || name == "target" || name == "dhow-data";
                if !skip {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn crate_edges(root: &Path, findings: &mut Vec<String>) {
    let ours: Vec<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut folders: Vec<PathBuf> = fs::read_dir(root.join("crates"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    folders.push(root.join("xtask"));
    folders.sort();
    for folder in folders {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_string();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let Some((_, allowed)) = EDGES.iter().find(|(n, _)| *n == name) else {
            findings.push(format!("crates/{name}: not in the table of crate edges"));
            continue;
        };
        let declared = dependencies::declared(&manifest);
        let used = declared
            .iter()
            .filter(|(_, dev)| !dev)
            .map(|(used, _)| *used);
        let used: Vec<&str> = used.filter(|used| ours.contains(used)).collect();
        for used in used.iter().filter(|used| !allowed.contains(used)) {
            findings.push(format!("crates/{name}/Cargo.toml: may not use `{used}`"));
        }
        for edge in allowed.iter().filter(|edge| !used.contains(edge)) {
            findings.push(format!("xtask/src/tidy.rs: `{name}` does not use `{edge}`"));
        }
        dependencies::check(root, &folder, &manifest, findings);
        circles::check(root, &folder, findings);
        if !manifest.contains("[lints]\nworkspace = true") {
            findings.push(format!(
                "crates/{name}/Cargo.toml: does not inherit the lints"
            ));
        }
    }
}

fn is_test_file(name: &str) -> bool {
    [
        "/tests/",
        "tests.rs",
        "/examples/",
        "/benches/",
        "fuzz/",
        "/conformance",
    ]
    .iter()
    .any(|part| name.contains(part))
}

fn code_part(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut previous = "";
    for (n, line) in text.lines().enumerate() {
        if previous.trim() == "#[cfg(test)]" && line.starts_with("mod ") && line.ends_with('{') {
            break;
        }
        lines.push((n + 1, line));
        previous = line;
    }
    lines
}

fn length(name: &str, text: &str, findings: &mut Vec<String>) {
    if is_test_file(name) || LONG_FILES.iter().any(|(file, _)| *file == name) {
        return;
    }
    let code = code_part(text)
        .iter()
        .map(|(_, line)| line.trim())
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count();
    if code > FILE_LINES_MAX {
        findings.push(format!(
            "{name}: {code} lines of code, {FILE_LINES_MAX} at most"
        ));
    }
}

fn functions(name: &str, text: &str, findings: &mut Vec<String>) {
    if is_test_file(name) {
        return;
    }
    let mut open: Option<(usize, usize)> = None; // (line, indentation)
    for (n, line) in code_part(text) {
        let indent = line.len() - line.trim_start().len();
        let start = line.trim_start();
        let is_fn = [
            "fn ",
            "pub fn ",
            "pub(crate) fn ",
            "async fn ",
            "pub async fn ",
        ]
        .iter()
        .chain(&[
            "pub(crate) async fn ",
            "pub(super) fn ",
            "pub(super) async fn ",
            "const fn ",
        ])
        .any(|head| start.starts_with(head));
        match open {
            None if is_fn && !line.trim_end().ends_with(['}', ';']) => open = Some((n, indent)),
            Some((begun, at)) if indent == at && start.starts_with('}') => {
                let lines = n - begun + 1;
                if lines > FUNCTION_LINES_MAX {
                    findings.push(format!(
                        "{name}:{begun}: {lines} lines in one function, {FUNCTION_LINES_MAX} at most"
                    ));
                }
                open = None;
            }
            // A signature without a body (in a trait) ends at its semicolon.
            Some((_, at)) if indent == at && start.ends_with(';') => open = None,
            _ => {}
        }
    }
}

fn leftovers(name: &str, text: &str, findings: &mut Vec<String>) {
    let allow_unsafe = UNSAFE_FILES.iter().any(|file| name.starts_with(file));
    for (n, line) in text.lines().enumerate() {
        let n = n + 1;
        for word in [
            "dbg!(",
            "todo!(",
            "unimplemented!(",
            "FIXME",
            "XXX",
            "#[ignore",
        ] {
            if line.contains(word) {
                findings.push(format!("{name}:{n}: leftover `{word}`"));
            }
        }
        let is_comment = line.trim_start().starts_with("//");
        if !is_comment && line.contains("unsafe {") && !allow_unsafe {
            findings.push(format!("{name}:{n}: `unsafe` outside the reviewed modules"));
        }
        let glob = line.trim_start().starts_with("use ") && line.contains("::*");
        let prelude = line.contains("super::*")
            || line.contains("prelude::*")
            || line.contains("arch::x86_64::*")
            || is_test_file(name);
        if glob && !prelude {
            findings.push(format!(
                "{name}:{n}: a glob import hides where names come from"
            ));
        }
        // The formatter cannot break strings, addresses and patterns of macros.
        let unbreakable = line.contains("http") || line.contains('"') || line.contains("prop_");
        if line.chars().count() > LINE_CHARS_MAX && !unbreakable && !line.starts_with("use ") {
            findings.push(format!(
                "{name}:{n}: longer than {LINE_CHARS_MAX} characters"
            ));
        }
    }
}

/// Secrets and signatures are compared in constant time (threat S9): `==` on something of that
/// name, in a crate that handles them, is a finding.
fn comparisons(name: &str, text: &str, findings: &mut Vec<String>) {
    let handles = [
        "crates/access/src",
        "crates/cloud/src",
        "crates/gateway/src",
        "crates/peer/src",
    ];
    if is_test_file(name) || !handles.iter().any(|folder| name.starts_with(folder)) {
        return;
    }
    for (n, line) in code_part(text) {
        let code = line.split("//").next().unwrap_or_default();
        for side in code.split(" == ").flat_map(|s| s.split(" != ")) {
            let compares = side.len() < code.len();
            let trim = |word: &str| word.trim_matches(|c| "(!&*){};,".contains(c)).to_owned();
            let mut words = side.split_whitespace();
            let ends = [words.next(), words.next_back()]
                .into_iter()
                .flatten()
                .map(trim);
            let secret = ends.into_iter().any(|word| {
                let last = word.rsplit('.').next().unwrap_or_default().to_owned();
                ["signature", "secret", "secret_key", "mac"].contains(&last.as_str())
            });
            if compares && secret {
                findings.push(format!("{name}:{n}: compare secrets with ct_eq, not =="));
            }
        }
    }
}

fn markdown(root: &Path, path: &Path, name: &str, text: &str, findings: &mut Vec<String>) {
    let mut fenced = false;
    let mut titles = 0;
    for (n, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        titles += usize::from(line.starts_with("# "));
        for link in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            let outside = target.is_empty() || target.contains("://") || target.contains(':');
            let base = path.parent().unwrap_or(root);
            if !outside && !base.join(target).exists() {
                findings.push(format!("{name}:{}: dead link to {target}", n + 1));
            }
        }
    }
    if titles != 1 {
        findings.push(format!("{name}: {titles} titles, one wanted"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_tidy() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let findings = check(&root);
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn s09_secrets_compared_with_equality_are_found() {
        let mut found = Vec::new();
        let code = "if expected == given.signature {\nif a == b {\nif *secret != other {\n";
        comparisons("crates/access/src/x.rs", code, &mut found);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn what_is_untidy_is_found() {
        let mut found = Vec::new();
        let long = format!("fn f() {{\n{}}}\n", "    let _ = 1;\n".repeat(80));
        functions("a.rs", &long, &mut found);
        assert_eq!(found.len(), 1, "{found:?}");
        length("a.rs", &"let x = 1;\n".repeat(601), &mut found);
        assert_eq!(found.len(), 2, "{found:?}");
        leftovers(
            "a.rs",
            "dbg!(1);\nuse a::*;\nlet x = unsafe { y };\n",
            &mut found,
        );
        assert_eq!(found.len(), 5, "{found:?}");
    }
}
