//! Words that comments do not use any more: CONTRIBUTING.md says why, and which ones we use.

use std::collections::BTreeMap;

/// A program does none of these, and data does not either.
const WORDS: &[&str] = &[
    "believe",
    "believed",
    "believes",
    "door",
    "doors",
    "forget",
    "forgets",
    "forgot",
    "forgotten",
    "hear",
    "heard",
    "hears",
    "lie",
    "lies",
    "mend",
    "mended",
    "mends",
    "tell",
    "tells",
    "told",
    // Found where they stay on one line.
    "at hand",
    "for ever",
    "in touch",
    "passed on",
    "passes on",
    "stand for",
    "stands for",
    "stood for",
    "there yet",
];
/// Crates with comments that still use such words, and in how many lines. A ratchet: a row only
/// ever gets smaller, and a crate without a row has no such line.
const LEFT: &[(&str, usize)] = &[];

/// Lines of comments with such a word, by crate.
#[derive(Default)]
pub struct Lines(BTreeMap<String, Vec<String>>);

impl Lines {
    /// Looks at the comments of a file.
    pub fn look(&mut self, name: &str, text: &str) {
        let Some((of, _)) = name.strip_prefix("crates/").and_then(|n| n.split_once('/')) else {
            return;
        };
        for (n, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                continue;
            };
            if let Some(word) = retired(comment) {
                let found = format!("{name}:{}: `{word}`", n + 1);
                self.0.entry(of.to_owned()).or_default().push(found);
            }
        }
    }

    /// Finds crates that have more such lines than they may.
    pub fn report(self, findings: &mut Vec<String>) {
        for (of, lines) in self.0 {
            let left = LEFT.iter().find(|(name, _)| *name == of);
            match left.map_or(0, |(_, lines)| *lines) {
                0 => findings.extend(lines.into_iter().map(|line| {
                    format!("{line} in a comment: CONTRIBUTING.md has a plain word for it")
                })),
                left if lines.len() > left => findings.push(format!(
                    "crates/{of}: {} lines of comments use words that CONTRIBUTING.md retires, \
                     {left} may",
                    lines.len()
                )),
                _ => {}
            }
        }
    }
}

/// The first such word of a comment, without what it quotes as code.
fn retired(comment: &str) -> Option<&'static str> {
    let mut prose = String::from(" ");
    for text in comment.split('`').step_by(2) {
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            if !word.is_empty() {
                prose.push_str(&word.to_lowercase());
                prose.push(' ');
            }
        }
    }
    let has = |word: &&&str| prose.contains(&format!(" {word} "));
    WORDS.iter().find(has).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retired_word_is_found_in_comments_alone() {
        let text =
            "//! The door.\n/// Told of [`Objects::mend`].\n// As `told` says.\nlet told = 1;\n";
        let mut lines = Lines::default();
        lines.look("crates/new/src/a.rs", text);
        lines.look("fuzz/src/a.rs", text);
        let mut found = Vec::new();
        lines.report(&mut found);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/new/src/a.rs:1: `door`"));
        assert!(found[1].starts_with("crates/new/src/a.rs:2: `told`"));
    }

    #[test]
    fn words_within_others_are_no_such_words() {
        assert_eq!(
            retired(" Families that handle indoor sensors for every one."),
            None
        );
        assert_eq!(retired(" What a marker stands for."), Some("stands for"));
    }
}
