//! Files of messages, in the format of GNU gettext that tools for translators read and write
//! (`msgid`, `msgid_plural`, `msgstr`, `msgstr[n]`). They are part of the program.

use std::{borrow::Cow, iter::Peekable, str::Lines};

use super::Messages;

/// One message of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The English text.
    pub english: String,
    /// The English text for other counts than 1, where the message has a count.
    pub others: Option<String>,
    /// Its translations. Empty ones are missing.
    pub texts: Vec<String>,
}

/// The messages of a file that are translated.
pub fn messages(file: &'static str) -> Messages {
    let done = entries(file).into_iter().filter(Entry::is_done);
    let pairs = done.map(|entry| {
        let texts = entry.texts.into_iter().map(Cow::Owned).collect();
        (Cow::Owned(entry.english), texts)
    });
    pairs.collect()
}

impl Entry {
    /// Whether all of it is translated. The head of a file is no message.
    pub fn is_done(&self) -> bool {
        let has_all = !self.texts.is_empty() && self.texts.iter().all(|text| !text.is_empty());
        !self.english.is_empty() && has_all
    }
}

/// All entries, the head of the file among them. What cannot be read ends the list: a test reads
/// every file.
pub fn entries(file: &str) -> Vec<Entry> {
    let mut lines = file.lines().peekable();
    let mut all: Vec<Entry> = Vec::new();
    while let Some(line) = lines.next() {
        let Some((keyword, text)) = line.split_once(' ') else {
            continue;
        };
        let text = whole(text, &mut lines);
        match (keyword, all.last_mut()) {
            ("msgid", _) => all.push(Entry {
                english: text,
                ..Entry::default()
            }),
            ("msgid_plural", Some(entry)) => entry.others = Some(text),
            ("msgstr", Some(entry)) => entry.texts.push(text),
            (form, Some(entry)) if form.starts_with("msgstr[") => entry.texts.push(text),
            _ => {}
        }
    }
    all
}

/// A text that may go on in the lines below.
fn whole(first: &str, lines: &mut Peekable<Lines<'_>>) -> String {
    let mut text = unquoted(first);
    while let Some(more) = lines.next_if(|line| line.starts_with('"')) {
        text.push_str(&unquoted(more));
    }
    text
}

fn unquoted(line: &str) -> String {
    let inner = line.trim().strip_prefix('"');
    let inner = inner.and_then(|inner| inner.strip_suffix('"'));
    let mut out = String::new();
    let mut chars = inner.unwrap_or_default().chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_gettext_is_read() {
        let file = "# A comment\nmsgid \"\"\nmsgstr \"\"\n\"Language: de\\n\"\n\n\
                    #: pages/home.rs\nmsgid \"A \\\"name\\\"\"\nmsgstr \"\"\n\"Ein \"\n\"Name\"\n\n\
                    msgid \"1 row\"\nmsgid_plural \"{count} rows\"\n\
                    msgstr[0] \"1 Zeile\"\nmsgstr[1] \"{count} Zeilen\"\n\n\
                    msgid \"Missing\"\nmsgstr \"\"\n";
        let all = entries(file);
        assert_eq!(all.len(), 4);
        assert_eq!(all[0].texts, ["Language: de\n"]);
        assert_eq!(all[1].english, "A \"name\"");
        assert_eq!(all[1].texts, ["Ein Name"]);
        assert_eq!(all[2].others.as_deref(), Some("{count} rows"));
        assert_eq!(all[2].texts, ["1 Zeile", "{count} Zeilen"]);
        let done: Vec<bool> = all.iter().map(Entry::is_done).collect();
        assert_eq!(done, [false, true, true, false]);
    }
}
