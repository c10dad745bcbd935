//! Texts that people write for people. They end up in other people's terminals and logs.

use std::borrow::Cow;

/// How long ago something was, in the largest unit of which it is more than one: `4 s ago`,
/// `3 min ago`, `2 h ago`, `5 days ago`.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Whether `text` may be kept as a name or description: at most `max` bytes, and nothing that a
/// terminal obeys or that changes how the rest is read.
pub fn is_plain_text(text: &str, max: usize) -> bool {
    text.len() <= max && text.chars().all(is_plain)
}

/// `text` for a terminal or a log: what is not plain is spelled out, and no more than `max`
/// characters are shown.
pub fn shown(text: &str, max: usize) -> Cow<'_, str> {
    if text.chars().take(max + 1).count() <= max && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        match n < max {
            true if is_plain(c) => out.push(c),
            true => out.extend(c.escape_unicode()),
            false => {
                out.push('…');
                break;
            }
        }
    }
    Cow::Owned(out)
}

/// Characters of what another region says that are kept.
const OF_PEER_MAX: usize = 400;

/// What another region says, for a terminal or a log of this one: one short line.
pub fn of_peer(said: &[u8]) -> String {
    shown(&String::from_utf8_lossy(said), OF_PEER_MAX).into_owned()
}

/// Whether a terminal shows a character and obeys nothing:
/// no control characters, no separators of lines, and none of the marks that turn the direction of
/// writing or take no room (Unicode 16, categories Cc, Zl, Zp and the format characters in use).
pub fn is_plain(c: char) -> bool {
    let format = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !format
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago_is_said_in_one_unit() {
        for (seconds, said) in [
            (0, "0 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7199, "119 min ago"),
            (7200, "2 h ago"),
            (172_799, "47 h ago"),
            (172_800, "2 days ago"),
            (u64::MAX, "213503982334601 days ago"),
        ] {
            assert_eq!(ago(seconds), said);
        }
    }

    #[test]
    fn what_a_peer_says_is_one_short_line_that_a_terminal_does_not_obey() {
        let said = b"\x1b]0;title\x07\x1b[2J\xc2\x9b2J\xe2\x80\xaePROVEN\r\nWARN forged \xff";
        let kept = of_peer(said);
        assert!(kept.chars().all(is_plain), "{kept:?}");
        assert!(kept.contains("PROVEN") && kept.contains("forged"), "{kept}");
        let long = of_peer(&[b'x'; 100_000]);
        assert_eq!(long.chars().count(), OF_PEER_MAX + 1);
        assert_eq!(of_peer(b"the bucket is not here"), "the bucket is not here");
    }

    #[test]
    fn what_a_terminal_obeys_is_not_plain_and_is_shown_spelled_out() {
        for good in ["", "acme", "Zürich 東京", "a b-c_d.e/f", "🚀"] {
            assert!(is_plain_text(good, 128), "{good}");
            assert_eq!(shown(good, 128), good);
        }
        for bad in [
            "\u{1b}[2J",
            "a\nb",
            "a\rb",
            "\t",
            "\u{7}",
            "\u{9b}31m",
            "\u{7f}",
            "\0",
            "\u{85}",
            "\u{202e}txt.exe",
            "\u{2066}x",
            "\u{200b}",
            "\u{2028}",
            "\u{feff}",
        ] {
            assert!(!is_plain_text(bad, 128), "{bad:?}");
            let shown = shown(bad, 128);
            assert!(
                shown.chars().all(is_plain) && shown.contains("\\u{"),
                "{shown}"
            );
        }
        assert!(is_plain_text(&"x".repeat(128), 128) && !is_plain_text(&"x".repeat(129), 128));
        assert_eq!(shown(&"x".repeat(60_000), 10), "xxxxxxxxxx…");
    }
}
