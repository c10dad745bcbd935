//! Dependencies that nothing uses: they cost builds, and show edges between crates that are not
//! there.

use std::{fs, path::Path};

/// Crates that are called otherwise in code than in the manifest.
const NAMES_IN_CODE: &[(&str, &str)] = &[("md-5", "md5")];

/// Finds each dependency of the crate in `folder` that its code does not name: `[dependencies]`
/// in `src`, `[dev-dependencies]` in all of it.
pub fn check(root: &Path, folder: &Path, manifest: &str, findings: &mut Vec<String>) {
    let name = folder.strip_prefix(root).unwrap_or(folder).display();
    let code = words_of(&folder.join("src"));
    let tests = ["tests", "benches", "examples"].map(|part| words_of(&folder.join(part)));
    let tests = tests.concat() + &code;
    for (dependency, dev) in declared(manifest) {
        let used = if dev { &tests } else { &code };
        if !is_named(used, &in_code(dependency)) {
            findings.push(format!(
                "{name}/Cargo.toml: nothing uses `{dependency}`: remove it"
            ));
        }
    }
}

/// The dependencies of a manifest, each with whether it is for tests only.
pub fn declared(manifest: &str) -> Vec<(&str, bool)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let dev = section == "[dev-dependencies]";
        let counts = dev || section == "[dependencies]" || section.starts_with("[target.");
        if counts && !name.is_empty() && !name.starts_with('#') {
            found.push((name, dev));
        }
    }
    found
}

fn in_code(dependency: &str) -> String {
    NAMES_IN_CODE
        .iter()
        .find(|(name, _)| *name == dependency)
        .map_or_else(|| dependency.replace('-', "_"), |(_, code)| (*code).into())
}

/// Whether `code` has a path into `name`, or imports it. Comments do not count.
fn is_named(code: &str, name: &str) -> bool {
    code.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .any(|line| {
            line.match_indices(name).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = &line[at + name.len()..];
                let begins = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
                let imported = line[..at].trim_end().ends_with("use");
                begins && (after.starts_with("::") || (imported && after.starts_with([';', ' '])))
            })
        })
}

fn words_of(folder: &Path) -> String {
    super::files(folder, "rs")
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_used_where_code_names_it() {
        assert!(is_named("use bytes::Bytes;\n", "bytes"));
        assert!(is_named("let x = http::Uri::default();\n", "http"));
        assert!(is_named("use mimalloc as _;\n", "mimalloc"));
        assert!(!is_named("let n = self.bytes.len();\n", "bytes"));
        assert!(!is_named("// use bytes::Bytes\n", "bytes"));
        assert!(!is_named("let n = kilobytes::of(3);\n", "bytes"));
    }

    #[test]
    fn sections_of_a_manifest_are_told_apart() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\n\
                        b = { workspace = true }\n# c\n[dev-dependencies]\nd = \"1\"\n\
                        [lints]\nworkspace = true\n";
        assert_eq!(
            declared(manifest),
            [("a", false), ("b", false), ("d", true)]
        );
    }
}
