//! Texts of users: names, metadata, tags. All of it may be hostile.

use maud::{Markup, html};

use crate::words::{END_ISOLATE, ISOLATE, is_right_to_left};

/// Characters in a table before the middle is left out.
const SHOWN_MAX: usize = 96;

/// Whether a character cannot be seen, or changes how its neighbours are seen. U+200C and U+200D
/// stay: Persian and emoji need them.
pub fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'
        | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}'
        | '\u{200f}' | '\u{2065}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
        | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A text with what cannot be seen as visible escapes.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (front, back) = (text.trim_start().len(), text.trim_end().len());
    for (at, c) in text.char_indices() {
        let edge = at < text.len() - front || at >= back;
        match c {
            c if edge && c.is_whitespace() && !is_hidden(c) => out.push('\u{2423}'),
            c if is_hidden(c) => out.push_str(&format!("\u{27e8}U+{:04X}\u{27e9}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A line of code of a user: its spaces stay as they are.
pub fn visible_code(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\t' => out.push(c),
            c if is_hidden(c) => out.push_str(&format!("\u{27e8}U+{:04X}\u{27e9}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A text of ours that may have texts of users as values. What [`crate::words`] puts around a value
/// to keep its direction stays; all else is as in [`visible`].
pub fn ours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(ISOLATE) {
        let Some((value, after)) = after.split_once(END_ISOLATE) else {
            break;
        };
        out.push_str(&inside(before));
        out.push(ISOLATE);
        out.push_str(&visible(value));
        out.push(END_ISOLATE);
        rest = after;
    }
    out.push_str(&inside(rest));
    out
}

/// [`visible`], but for blanks at the edges: something comes before or after them.
fn inside(text: &str) -> String {
    let begin = text.len() - text.trim_start_matches(' ').len();
    let end = text.trim_end_matches(' ').len().max(begin);
    let (before, after) = (&text[..begin], &text[end..]);
    [before, &visible(&text[begin..end]), after].concat()
}

/// For `dir` of what shows a text: by its first letter where any is of a script from right to left,
/// and from left to right otherwise. `2026/` has no letter, and is no name from right to left.
pub fn direction(text: &str) -> Option<&'static str> {
    match text {
        "" => None,
        text if text.chars().any(is_right_to_left) => Some("auto"),
        _ => Some("ltr"),
    }
}

/// A user's text, whole.
pub fn name(text: &str) -> Markup {
    html! { bdi dir=[direction(text)] { (visible(text)) } }
}

/// The same, short: a long one without its middle, and whole in its title.
pub fn short(text: &str) -> Markup {
    let whole = visible(text);
    let count = whole.chars().count();
    if count <= SHOWN_MAX {
        return html! { bdi dir=[direction(text)] { (whole) } };
    }
    let side = SHOWN_MAX / 2;
    let first: String = whole.chars().take(side).collect();
    let last: String = whole.chars().skip(count - side).collect();
    html! { bdi dir=[direction(text)] title=(label(text)) { (first) "\u{2026}" (last) } }
}

/// Characters of a user's text in what only some see: titles and labels of fields.
const LABEL_MAX: usize = 200;

/// A user's text for a title or a label: its beginning, if it is long.
pub fn label(text: &str) -> String {
    let whole = visible(text);
    match whole.char_indices().nth(LABEL_MAX) {
        Some((end, _)) => [whole.get(..end).unwrap_or_default(), "\u{2026}"].concat(),
        None => whole,
    }
}

/// A text of ours that is always left to right: keys, ids, endpoints, code.
pub fn code(text: &str) -> Markup {
    html! { code { bdi dir="ltr" { (visible(text)) } } }
}

/// The name of a file to be saved: the last part of a key, without what a file system or a header
/// would take for something else.
pub fn file_name(key: &str) -> String {
    let last = key
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let fine = last
        .chars()
        .filter(|c| !is_hidden(*c) && !matches!(c, '/' | '\\'));
    let name: String = fine.take(200).collect();
    match name.trim_matches(['.', ' ']).is_empty() {
        true => "object".to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_shown() {
        assert_eq!(visible("a\u{202e}b"), "a⟨U+202E⟩b");
        assert_eq!(visible("\0\r"), "⟨U+0000⟩⟨U+000D⟩");
        assert_eq!(visible(" a b "), "␣a b␣");
        assert_eq!(visible("   "), "␣␣␣");
        let persian = "می\u{200c}خواهم";
        assert_eq!(visible(persian), persian);
    }

    #[test]
    fn only_what_is_put_around_a_value_is_not_shown() {
        let text = "a \u{2068}b\u{202e}\u{2068}c\u{2069} d\u{2069}";
        let shown = ours(text);
        assert_eq!(shown, "a \u{2068}b⟨U+202E⟩⟨U+2068⟩c\u{2069} d⟨U+2069⟩");
        assert_eq!(ours("a\u{2068}b"), "a⟨U+2068⟩b");
        assert_eq!(ours("a\u{2069}b "), "a⟨U+2069⟩b ");
    }

    #[test]
    fn a_name_has_the_direction_of_its_letters() {
        assert_eq!(direction("2026/"), Some("ltr"));
        assert_eq!(direction("سجل.txt"), Some("auto"));
        assert_eq!(direction(""), None);
        assert_eq!(name("2026/").into_string(), "<bdi dir=\"ltr\">2026/</bdi>");
    }

    #[test]
    fn a_row_of_a_long_hidden_name_is_short() {
        let name = "\u{1}".repeat(1024);
        assert!(label(&name).chars().count() <= LABEL_MAX + 1);
        assert!(short(&name).into_string().len() < 2_000);
    }

    #[test]
    fn markup_of_users_is_text() {
        for text in [
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "</title>",
        ] {
            for shown in [name(text), short(&text.repeat(20)), code(text)] {
                let shown = shown.into_string();
                assert!(
                    !shown.contains("<script") && !shown.contains("<img"),
                    "{shown}"
                );
                assert!(!shown.contains("</title"), "{shown}");
            }
        }
    }

    #[test]
    fn a_file_is_never_named_as_a_path() {
        assert_eq!(file_name("a/b/c.txt"), "c.txt");
        assert_eq!(file_name("a/b/"), "b");
        assert_eq!(file_name("a\\..\\c\u{202e}txt"), "a..ctxt");
        for nothing in ["..", "/", "", "\0"] {
            assert_eq!(file_name(nothing), "object");
        }
    }
}
