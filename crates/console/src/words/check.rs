//! Tests of the files of messages against the texts that the sources use.
//!
//! `UPDATE=1 cargo test -p console@0.1.0 messages` adds what is missing to every file, to be
//! translated, and takes out what is no longer used.
//! `cargo test -p console@0.1.0 messages -- --nocapture` lists what is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{
    LANGUAGES,
    po::{self, Entry},
};

/// New texts come before their translations: so many of a hundred may be missing.
const MISSING_PERCENT_MAX: usize = 3;

/// What the sources say.
#[derive(Default)]
struct Used {
    /// Texts that are asked for, with the text for other counts than 1.
    texts: BTreeMap<String, Option<String>>,
    /// All literals: a text may also be in a table, and be asked for by a variable.
    literals: BTreeSet<String>,
}

/// A string in a source file.
struct Literal {
    at: usize,
    text: String,
}

/// All strings in Rust code, as the compiler reads them, but for those in comments.
fn literals(code: &str) -> Vec<Literal> {
    let bytes = code.as_bytes();
    let (mut at, mut all) = (0, Vec::new());
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += code[at..].find('\n').unwrap_or(code.len() - at);
            }
            b'\'' if bytes.get(at + 1) == Some(&b'\\') => at += 4,
            b'\'' if bytes.get(at + 2) == Some(&b'\'') => at += 3,
            b'"' => {
                let (text, end) = literal(code, at + 1);
                all.push(Literal { at, text });
                at = end;
            }
            _ => at += 1,
        }
    }
    all
}

/// The string that begins at `at`, and where it ends.
fn literal(code: &str, mut at: usize) -> (String, usize) {
    let mut text = String::new();
    loop {
        let mut rest = code[at..].chars();
        let c = rest.next().expect("a string ends");
        at += c.len_utf8();
        match c {
            '"' => return (text, at),
            '\\' => {
                let escaped = rest.next().expect("a string ends");
                at += escaped.len_utf8();
                match escaped {
                    '\n' => at += code[at..].len() - code[at..].trim_start().len(),
                    'u' => {
                        let end = code[at..].find('}').expect("an escape ends");
                        let hex = code[at..at + end].trim_start_matches('{');
                        let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
                        text.extend(c);
                        at += end + 1;
                    }
                    'n' => text.push('\n'),
                    other => text.push(other),
                }
            }
            c => text.push(c),
        }
    }
}

/// Whether a text in a table reads like a sentence.
fn is_sentence(text: &str) -> bool {
    let mut words = text.split(' ');
    let first = words.next().unwrap_or_default();
    let second = words.next().unwrap_or_default();
    first.starts_with(|c: char| c.is_ascii_uppercase())
        && first.len() + second.len() < text.len()
        && words.next().is_some()
        && second
            .trim_end_matches(',')
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic())
        && !text.contains(['=', '<', '\n', '\\'])
}

impl Used {
    fn read(&mut self, code: &str) {
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let all = literals(code);
        let mut all = all.iter();
        while let Some(one) = all.next() {
            self.literals.insert(one.text.clone());
            let before = code[..one.at].trim_end();
            if in_count(before) {
                let others = all.next().map(|others| others.text.clone());
                self.literals.extend(others.clone());
                self.texts.insert(one.text.clone(), others);
                continue;
            }
            let named = before.strip_suffix('=').and_then(|before| {
                let (_, name) = before.trim_end().strip_suffix(": &str")?.rsplit_once(' ')?;
                Some(name)
            });
            let asked = |name: &str| ["t", "with"].map(|way| format!(".{way}({name}"));
            let is_asked = [".t(", ".with(", "Under("]
                .iter()
                .any(|way| before.ends_with(way))
                || before.ends_with(',') && in_menu(before)
                || named.is_some_and(|name| asked(name).iter().any(|way| code.contains(way)))
                || is_sentence(&one.text);
            if is_asked && one.text.chars().any(char::is_alphabetic) {
                self.texts.entry(one.text.clone()).or_default();
            }
        }
    }

    fn of_sources() -> Self {
        let mut used = Self::default();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name != "check.rs") {
                    used.read(&fs::read_to_string(path).unwrap());
                }
            }
        }
        used
    }
}

/// Whether the first text of `count(("one", "others")` comes here.
fn in_count(before: &str) -> bool {
    let mut parts = before.split_whitespace().rev();
    let (last, first) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    [first, last].concat().ends_with("count((")
}

/// Whether the second text of `Under("heading", "name")` comes here.
fn in_menu(before: &str) -> bool {
    let begins = before.rfind("Under(");
    begins.is_some_and(|at| !before[at..].contains(')') && before[at..].matches('"').count() == 2)
}

fn file(lang: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("messages/{lang}.po"))
}

/// The names of the values in a text.
fn values(text: &str) -> BTreeSet<&str> {
    let parts = text.split('{').skip(1);
    parts
        .filter_map(|part| Some(part.split_once('}')?.0))
        .collect()
}

/// What is wrong with a translation.
fn problem(entry: &Entry, forms: usize, used: &Used) -> Option<&'static str> {
    let (english, others) = (&entry.english, entry.others.as_ref());
    if !used.literals.contains(english) {
        return Some("is not used");
    }
    if used
        .texts
        .get(english)
        .is_some_and(|own| own.as_ref() != others)
    {
        return Some("has another text for other counts");
    }
    if entry.texts.len() != if others.is_some() { forms } else { 1 } {
        return Some("has not the forms of the language");
    }
    let whole = values(others.unwrap_or(english));
    for text in entry.texts.iter().filter(|text| !text.is_empty()) {
        let own = values(text);
        // A form for one count may say it in words.
        let lacks_count = whole
            .iter()
            .filter(|name| others.is_none() || **name != "count");
        if !own.is_subset(&whole) || !lacks_count.copied().all(|name| own.contains(name)) {
            return Some("has other values");
        }
        let markup = text.contains("</") || text.contains("&#") || text.contains("/>");
        if markup
            || text
                .split('<')
                .skip(1)
                .any(|tag| tag.starts_with(char::is_alphabetic))
        {
            return Some("has HTML");
        }
        if text.trim() != text && english.trim() == english {
            return Some("has blanks at its edges");
        }
    }
    None
}

fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{text}\"")
}

/// An entry as it is written.
fn written(english: &str, others: Option<&str>, forms: usize) -> String {
    let mut text = format!("msgid {}\n", quoted(english));
    match others {
        None => text.push_str("msgstr \"\""),
        Some(others) => {
            text.push_str(&format!("msgid_plural {}", quoted(others)));
            for form in 0..forms {
                text.push_str(&format!("\nmsgstr[{form}] \"\""));
            }
        }
    }
    text
}

/// Takes out what is not used, and adds what is missing, in the order of the English texts.
fn update(path: &Path, forms: usize, used: &Used) {
    let file = fs::read_to_string(path).unwrap();
    let (head, rest) = file.split_once("\n\n").unwrap();
    let blocks = rest.split("\n\n").filter_map(|block| {
        let entry = po::entries(block).pop()?;
        let kept = used.literals.contains(&entry.english);
        kept.then(|| (entry.english, block.trim_end().to_owned()))
    });
    let mut all: BTreeMap<String, String> = blocks.collect();
    for (english, others) in &used.texts {
        let new = || written(english, others.as_deref(), forms);
        all.entry(english.clone()).or_insert_with(new);
    }
    let blocks = all.into_values().map(|block| ["\n\n", &block].concat());
    let text = [head, &blocks.collect::<String>(), "\n"].concat();
    fs::write(path, text).unwrap();
}

#[test]
fn messages_are_those_of_the_sources() {
    let used = Used::of_sources();
    assert!(
        used.texts.len() > 300,
        "{} texts are found",
        used.texts.len()
    );
    let mut wrong = Vec::new();
    for language in &LANGUAGES[1..] {
        let (lang, forms) = (language.lang, language.plural.0);
        let path = file(lang);
        if std::env::var_os("UPDATE").is_some() {
            update(&path, forms, &used);
        }
        let entries = po::entries(&fs::read_to_string(&path).unwrap());
        let messages = entries.iter().filter(|entry| !entry.english.is_empty());
        let mut done = BTreeSet::new();
        for entry in messages {
            if let Some(problem) = problem(entry, forms, &used) {
                wrong.push(format!("{lang}: {:?} {problem}", entry.english));
            }
            if entry.is_done() && !done.insert(&entry.english) {
                wrong.push(format!("{lang}: {:?} is there twice", entry.english));
            }
        }
        let texts = used.texts.keys();
        let missing: Vec<&String> = texts.filter(|text| !done.contains(text)).collect();
        for text in &missing {
            println!("{lang} lacks {text:?}");
        }
        if missing.len() * 100 > used.texts.len() * MISSING_PERCENT_MAX {
            wrong.push(format!(
                "{lang} lacks {} of {} texts: {missing:#?}",
                missing.len(),
                used.texts.len()
            ));
        }
    }
    let hint = "UPDATE=1 cargo test -p console@0.1.0 messages takes out what is not used";
    assert!(wrong.is_empty(), "{}\n{hint}", wrong.join("\n"));
}

#[test]
fn texts_are_found_in_sources() {
    let code = r#"
        // call.t("no text")
        const WHY: &str = "Because \
                           {it} is so.";
        const BODY: &str = "<a>";
        GET "/" SignedIn, Under("Storage", "Buckets"), false, pages::home::show;
        let shown = [(call.t("A \"quoted\" text"), '"'), ("b", "Refuse what lets everybody in")];
        call.with(WHY, &[("it", "it")]);
        call.count(
            ("1 row", "{count} rows"), 2, &[("x", "y")]);
        #[cfg(test)]
        mod tests { fn a() { call.t("of a test") } }
    "#;
    let mut used = Used::default();
    used.read(code);
    let texts: Vec<&str> = used.texts.keys().map(String::as_str).collect();
    assert_eq!(
        texts,
        [
            "1 row",
            "A \"quoted\" text",
            "Because {it} is so.",
            "Buckets",
            "Refuse what lets everybody in",
            "Storage",
        ]
    );
    assert_eq!(used.texts["1 row"].as_deref(), Some("{count} rows"));
    assert!(used.literals.contains("b") && !used.literals.contains("no text"));
}

#[test]
fn a_bad_translation_is_found() {
    let mut used = Used::default();
    used.read(r#"call.t("Of {a}"); call.count(("1 row", "{count} rows"), 2, &[]);"#);
    let found = |file: &str| problem(&po::entries(file)[0], 2, &used);
    assert_eq!(found("msgid \"Of {a}\"\nmsgstr \"Von {a}\""), None);
    for (bad, why) in [
        ("msgid \"Of\"\nmsgstr \"Von\"", "is not used"),
        ("msgid \"Of {a}\"\nmsgstr \"Von {b}\"", "has other values"),
        ("msgid \"Of {a}\"\nmsgstr \"Von\"", "has other values"),
        ("msgid \"Of {a}\"\nmsgstr \"<b>{a}</b>\"", "has HTML"),
        (
            "msgid \"Of {a}\"\nmsgstr \"{a} \"",
            "has blanks at its edges",
        ),
        (
            "msgid \"1 row\"\nmsgstr \"Zeile\"",
            "has another text for other counts",
        ),
        (
            "msgid \"1 row\"\nmsgid_plural \"{count} rows\"\nmsgstr[0] \"Zeile\"",
            "has not the forms of the language",
        ),
    ] {
        assert_eq!(found(bad), Some(why), "{bad}");
    }
    let plural = "msgid \"1 row\"\nmsgid_plural \"{count} rows\"\n";
    let forms = "msgstr[0] \"Eine Zeile\"\nmsgstr[1] \"{count} Zeilen\"";
    assert_eq!(found(&format!("{plural}{forms}")), None);
}
