//! Circles among the modules of one crate: whoever reads one of them has to read all.
//!
//! A module uses another one where it imports from it or names it by its path. A module and those
//! inside it are one. What a module's tests use does not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Circles that are still there: the crate, and the modules of which it consists. A ratchet: it only
/// ever gets shorter.
const CIRCLES: &[(&str, &[&str])] = &[
    ("access", &["signature::v2", "signature::verify"]),
    ("check", &["history", "lines"]),
    ("console", &["ui::number", "words"]),
    ("console", &["call", "routes", "s3"]),
    (
        "console",
        &["jobs::copying", "jobs::purging", "jobs::run", "jobs::state"],
    ),
    ("console", &["pages::placement", "pages::regions"]),
    (
        "console",
        &[
            "pages::people::held",
            "pages::people::managed",
            "pages::people::removal",
        ],
    ),
    ("listener", &["authority", "certificates"]),
    ("node", &["config", "proxies", "tls"]),
    ("node", &["completeness", "region", "stored"]),
    ("node", &["admin_api", "iam_forms"]),
    ("node", &["doctor", "doctor_cloud"]),
    (
        "objects",
        &["get", "object_lists", "orphans", "sweep", "versions"],
    ),
    ("replication", &["promises", "seats"]),
    ("sim", &["net", "registry"]),
    (
        "sim",
        &["checks", "clients", "leases", "poison", "starts", "world"],
    ),
    (
        "store",
        &[
            "embedded::committer",
            "embedded::maintenance",
            "embedded::opening",
            "embedded::shared",
        ],
    ),
];

/// Modules at the centre of a crate, which most of its modules use and which uses them. A circle
/// around one is as large as its crate; to cut it is work of its own.
const CENTRES: &[(&str, &str)] = &[
    ("access", "policy::evaluate"),
    ("cloud", "registry"),
    ("gateway", "server"),
];

type Module = Vec<String>;

/// Finds each circle that the tables do not have, and modules in the tables that are in none.
pub fn check(root: &Path, folder: &Path, findings: &mut Vec<String>) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let circles = circles(&read(root, &folder.join("src")));
    let known = CIRCLES.iter().filter(|(of, _)| *of == name);
    let known: Vec<&[&str]> = known.map(|(_, modules)| *modules).collect();
    let is_around = |circle: &[String]| {
        let mut centres = CENTRES.iter().filter(|(of, _)| *of == name);
        centres.any(|(_, centre)| circle.iter().any(|module| module == centre))
    };
    for circle in &circles {
        let within = |known: &&[&str]| circle.iter().all(|module| known.contains(&&**module));
        if !is_around(circle) && !known.iter().any(within) {
            findings.push(format!(
                "crates/{name}: modules use each other in a circle: {}",
                circle.join(", ")
            ));
        }
    }
    let in_one = |module: &str| circles.iter().flatten().any(|one| one == module);
    for module in known.iter().flat_map(|modules| modules.iter()) {
        if !in_one(module) {
            findings.push(format!(
                "xtask/src/tidy/circles.rs: `{name}` has no circle with {module}: remove it there"
            ));
        }
    }
}

/// The modules of a crate, each with its code.
fn read(root: &Path, folder: &Path) -> BTreeMap<Module, String> {
    let mut modules = BTreeMap::new();
    for path in super::files(folder, "rs") {
        let name = path.strip_prefix(root).unwrap_or(&path);
        let inside = path
            .strip_prefix(folder)
            .unwrap_or(&path)
            .with_extension("");
        let mut module: Module = inside
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let last = module.last().map(String::as_str);
        if matches!(last, Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let of_tests = module.iter().any(|part| part.ends_with("_tests"));
        if of_tests || super::is_test_file(&name.display().to_string()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        modules.insert(module, code(&text));
    }
    modules
}

/// Without comments and tests.
fn code(text: &str) -> String {
    let lines = super::code_part(text).into_iter().map(|(_, line)| line);
    let lines = lines.map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut parts = code.split("#[cfg(test)]\n");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let start = part.trim_start();
        let import = start.starts_with("use ") || start.starts_with("pub(crate) use ");
        kept.push_str(match part.split_once(';') {
            Some((_, rest)) if import => rest,
            _ => part,
        });
    }
    kept
}

/// Groups of modules that reach each other, sorted.
fn circles(modules: &BTreeMap<Module, String>) -> Vec<Vec<String>> {
    let uses: BTreeMap<&Module, BTreeSet<&Module>> = modules
        .iter()
        .map(|(module, code)| (module, used(module, code, modules)))
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = uses
        .keys()
        .map(|module| (*module, reach(module, &uses)))
        .collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, all) in &reached {
        let circle: Vec<String> = all
            .iter()
            .filter(|other| reached[**other].contains(*module))
            .map(|other| other.join("::"))
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn reach<'m>(
    from: &'m Module,
    uses: &BTreeMap<&'m Module, BTreeSet<&'m Module>>,
) -> BTreeSet<&'m Module> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for used in &uses[module] {
            if reached.insert(*used) {
                open.push(used);
            }
        }
    }
    reached
}

/// The modules that the code of `module` names, but for those that it is in and that are in it.
fn used<'m>(
    module: &Module,
    code: &str,
    modules: &'m BTreeMap<Module, String>,
) -> BTreeSet<&'m Module> {
    let mut found = BTreeSet::new();
    for path in paths(code) {
        let mut parts = path.iter().map(String::as_str).peekable();
        let mut at: Module = match parts.peek() {
            Some(&"crate") => {
                parts.next();
                Module::new()
            }
            _ => module.clone(),
        };
        while let Some(&up @ ("super" | "self")) = parts.peek() {
            parts.next();
            if up == "super" {
                at.pop();
            }
        }
        for part in parts {
            at.push(part.to_owned());
            if !modules.contains_key(&at) {
                at.pop();
                break;
            }
        }
        let within = at.starts_with(module) || module.starts_with(&at);
        if !within && let Some((target, _)) = modules.get_key_value(&at) {
            found.insert(target);
        }
    }
    found
}

/// Every path that is imported, and every other that begins at the crate or at a module above.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let begins = code[..at].ends_with(['\n', ' ', ')']) || at == 0;
        if begins && let Some(tree) = code[at + 4..].split(';').next() {
            flatten(&[], tree, &mut found);
        }
    }
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let path = code[at..].split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let path = path.into_iter().next().unwrap_or_default();
            found.push(names(path));
        }
    }
    found
}

fn names(path: &str) -> Vec<String> {
    let parts = path.split("::").map(str::trim);
    parts.filter(|p| !p.is_empty()).map(str::to_owned).collect()
}

/// The paths of an import with braces.
fn flatten(before: &[String], tree: &str, found: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        found.push([before, &names(path)].concat());
        return;
    };
    let before = [before, &names(head)].concat();
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut begun) = (0usize, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let one = inner[begun..at].trim();
                if !one.is_empty() {
                    flatten(&before, one, found);
                }
                begun = at + 1;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let modules = files.iter().map(|(name, text)| (names(name), code(text)));
        circles(&modules.collect())
    }

    #[test]
    fn circles_are_found_whichever_way_a_module_is_named() {
        for (one, other) in [
            ("use crate::b::Thing;\n", "use super::a;\n"),
            (
                "use crate::{\n    b::{X, Y},\n    c,\n};\n",
                "fn f() { crate::a::g() }\n",
            ),
            ("pub use super::b::X;\n", "use crate::a::{self, Z as W};\n"),
        ] {
            let all = [("a", one), ("b", other), ("c", "")];
            assert_eq!(found(&all), [["a", "b"]], "{one} {other}");
        }
    }

    #[test]
    fn tests_comments_and_what_is_inside_do_not_count() {
        for (one, other) in [
            ("use crate::b::X;\n", "// use crate::a::Y;\n"),
            (
                "use crate::b::X;\n",
                "#[cfg(test)]\nmod tests {\n use crate::a::Y;\n}\n",
            ),
            (
                "use crate::b::X;\n",
                "#[cfg(test)]\nuse crate::a::Y;\nfn f() {}\n",
            ),
            ("mod inner;\nuse inner::X;\n", ""),
        ] {
            let all = [("a", one), ("b", other), ("a::inner", "use super::Y;\n")];
            assert!(found(&all).is_empty(), "{one} {other}");
        }
    }
}
