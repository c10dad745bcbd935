//! Watches the lines of request heads on a connection: each ends in CR LF, the target has no `#`,
//! and the length is said once.
//!
//! The parser behind takes a bare LF for the end of a line, and other servers and proxies do not:
//! whoever stands between them could make one request look like two. It drops what a target has
//! from `#` on, which a proxy that decides by paths may compare; and the second of two equal
//! lengths. The parser reports none of it, so the bytes are followed as they come: heads line by
//! line, bodies by the length that their head says. Where the parser and this would disagree about
//! a body the parser refuses the request and closes the connection.

/// Bytes of a line that are kept: enough to see which header it is, and its value where that
/// matters. A length that takes more is refused: it has blanks or zeros in front that only hide it.
const KEPT: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a head.
    Head,
    /// In a body of this length.
    Body(u64),
    /// In the line with the size of a chunk.
    Size,
    /// In a chunk, with the line end behind it.
    Chunk(u64),
    /// In the lines behind the last chunk.
    Trailer,
}

/// Follows one connection.
#[derive(Debug)]
pub(crate) struct HeadLines {
    state: State,
    /// The begin of the line that the last piece broke off in.
    line: Vec<u8>,
    /// Bytes of that line, also those that were not kept, and whether the last one is a CR.
    long: usize,
    cr: bool,
    length: Option<u64>,
    chunked: bool,
    /// A line of this head has come.
    begun: bool,
    /// The target of this head has a `#`.
    fragment: bool,
    two_lengths: bool,
}

impl HeadLines {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            long: 0,
            cr: false,
            length: None,
            chunked: false,
            begun: false,
            fragment: false,
            two_lengths: false,
        }
    }

    /// Whether some head said its body's length twice, by `Content-Length` and by
    /// `Transfer-Encoding`. The parser keeps the second alone (RFC 9112, section 6.3), and not
    /// every proxy does.
    pub(crate) fn had_two_lengths(&self) -> bool {
        self.two_lengths
    }

    /// Takes the next bytes of the connection. Answers whether there was a head that others read in
    /// another way.
    pub(crate) fn ambiguous(&mut self, mut bytes: &[u8]) -> bool {
        let mut found = false;
        while !bytes.is_empty() {
            match self.state {
                State::Body(left) | State::Chunk(left) => {
                    let take = usize::try_from(left).map_or(bytes.len(), |l| l.min(bytes.len()));
                    bytes = &bytes[take..];
                    let left = left - take as u64;
                    self.state = match self.state {
                        State::Body(_) if left == 0 => State::Head,
                        State::Body(_) => State::Body(left),
                        _ if left == 0 => State::Size,
                        _ => State::Chunk(left),
                    };
                }
                State::Head | State::Size | State::Trailer => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.keep(bytes);
                        break;
                    };
                    let (piece, rest) = bytes.split_at(end);
                    bytes = &rest[1..];
                    found |= !self.end_line(piece);
                }
            }
        }
        found
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = KEPT.saturating_sub(self.line.len()).min(piece.len());
        self.line.extend_from_slice(&piece[..room]);
        self.look_for_fragment(piece);
        self.long += piece.len();
        self.cr = piece.last().map_or(self.cr, |last| *last == b'\r');
    }

    /// Looks at a piece of a head's first line.
    fn look_for_fragment(&mut self, piece: &[u8]) {
        if self.state == State::Head && !self.begun {
            self.fragment |= memchr::memchr(b'#', piece).is_some();
        }
    }

    /// Answers whether the line ends in CR LF and nobody reads it in another way. `piece` is what
    /// comes before the LF.
    fn end_line(&mut self, piece: &[u8]) -> bool {
        if self.long == 0 {
            // Nearly every line comes in one piece, and need not be copied.
            self.look_for_fragment(piece);
            let (line, ends) = match piece.split_last() {
                Some((b'\r', line)) => (line, true),
                _ => (piece, false),
            };
            return self.on_line(&line[..line.len().min(KEPT)], line.len()) && ends;
        }
        self.keep(piece);
        let ends = self.cr;
        let mut line = std::mem::take(&mut self.line);
        let whole = self.long - usize::from(ends);
        line.truncate(whole);
        let readable = self.on_line(&line, whole);
        line.clear();
        self.line = line;
        (self.long, self.cr) = (0, false);
        readable && ends
    }

    /// Takes the begin of a line of `whole` bytes. Answers whether it can be read in one way only.
    fn on_line(&mut self, line: &[u8], whole: usize) -> bool {
        let mut readable = true;
        match self.state {
            State::Head if line.is_empty() => self.end_head(),
            State::Head => readable = self.on_header(line, whole),
            State::Size => {
                let digits = line.iter().take_while(|b| b.is_ascii_hexdigit());
                readable = digits.clone().count() < KEPT;
                let size = digits.fold(0u64, |size, digit| {
                    let digit = char::from(*digit).to_digit(16).unwrap_or(0);
                    size.saturating_mul(16).saturating_add(u64::from(digit))
                });
                self.state = match size {
                    0 => State::Trailer,
                    size => State::Chunk(size.saturating_add(2)),
                };
            }
            State::Trailer if line.is_empty() => self.state = State::Head,
            State::Trailer | State::Body(_) | State::Chunk(_) => {}
        }
        readable || types::planted("hidden-lengths")
    }

    fn on_header(&mut self, line: &[u8], whole: usize) -> bool {
        if std::mem::replace(&mut self.begun, true) {
            return self.on_field(line, whole);
        }
        !std::mem::take(&mut self.fragment) || types::planted("fragments-are-dropped")
    }

    fn on_field(&mut self, line: &[u8], whole: usize) -> bool {
        let value = |name: &[u8]| {
            let front = line.get(..name.len())?;
            front
                .eq_ignore_ascii_case(name)
                .then(|| line[name.len()..].trim_ascii())
        };
        match line.first() {
            Some(b'c' | b'C') => {
                if let Some(value) = value(b"content-length:") {
                    let again = self.length.is_some();
                    let text = std::str::from_utf8(value).ok();
                    if let Some(length) = text.and_then(|text| text.parse().ok()) {
                        self.length = Some(length);
                    }
                    return whole <= KEPT && !again;
                }
            }
            Some(b't' | b'T') => self.chunked |= value(b"transfer-encoding:").is_some(),
            _ => {}
        }
        true
    }

    fn end_head(&mut self) {
        if !self.begun {
            // Empty lines before a request.
            return;
        }
        self.two_lengths |= self.chunked && self.length.is_some();
        self.state = match (self.chunked, self.length) {
            (true, _) => State::Size,
            (false, None | Some(0)) => State::Head,
            (false, Some(length)) => State::Body(length),
        };
        (self.length, self.chunked, self.begun) = (None, false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether there is a head that others read in another way, for every way in which the wire may
    /// cut the bytes.
    fn bare(bytes: &str) -> bool {
        let whole = HeadLines::new().ambiguous(bytes.as_bytes());
        for size in [1, 2, 3, 7, 60, 61, 64, 65] {
            let mut lines = HeadLines::new();
            let pieces = bytes.as_bytes().chunks(size);
            let cut = pieces.fold(false, |bare, piece| lines.ambiguous(piece) | bare);
            assert_eq!(cut, whole, "{bytes:?} by {size}");
        }
        whole
    }

    #[test]
    fn lines_of_heads_end_in_cr_lf() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "k".repeat(200));
        let long_bare = format!("GET /{} HTTP/1.1\nHost: h\r\n\r\n", "k".repeat(200));
        for (bytes, expected) in [
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", false),
            ("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", false),
            (&long, false),
            (&long_bare, true),
            ("GET / HTTP/1.1\nHost: h\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: h\r\n\n", true),
            ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\r\n\r\n", false),
            ("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ] {
            assert_eq!(bare(bytes), expected, "{bytes:?}");
        }
    }

    /// Blanks and zeros before a length must not keep it from being read, however they are cut.
    #[test]
    fn a_length_behind_many_blanks_or_zeros_is_refused() {
        let (blanks, zeros) = (" ".repeat(70), "0".repeat(70));
        for head in [
            format!("Content-Length:{blanks}5\r\n\r\na\nb\n\n"),
            format!("content-length: {zeros}5\r\n\r\na\nb\n\n"),
            format!("Content-Length: 5{blanks}\r\n\r\na\nb\n\n"),
            format!("Transfer-Encoding: chunked\r\n\r\n{zeros}3\r\na\nb\r\n0\r\n\r\n"),
            format!("Transfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n{zeros}\r\n\r\n"),
        ] {
            assert!(bare(&format!("PUT /a HTTP/1.1\r\n{head}")), "{head:?}");
        }
        // A comment behind a size is no length.
        let comment = format!("Transfer-Encoding: chunked\r\n\r\n3;{zeros}\r\na\nb\r\n0\r\n\r\n");
        assert!(!bare(&format!("PUT /a HTTP/1.1\r\n{comment}")));
    }

    #[test]
    fn a_target_has_no_fragment_and_a_length_is_said_once() {
        let long = "k".repeat(200);
        for (bytes, expected) in [
            ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", true),
            ("GET /a?b=c#d HTTP/1.1\r\nHost: h\r\n\r\n", true),
            ("GET http://h/a# HTTP/1.1\r\nHost: h\r\n\r\n", true),
            (&format!("\r\nGET /{long}#{long} HTTP/1.1\r\n\r\n"), true),
            ("GET /a%23b HTTP/1.1\r\nHost: h\r\nX-A: #\r\n\r\n", false),
            (
                "PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n#\n#GET /a HTTP/1.1\r\n\r\n",
                false,
            ),
            (
                "PUT /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
                true,
            ),
            (
                "PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPUT /a HTTP/1.1\r\n\
              Content-Length: 3\r\n\r\nabc",
                false,
            ),
        ] {
            assert_eq!(bare(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn bodies_may_hold_anything_and_the_next_head_is_seen() {
        let next = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let bad = "GET / HTTP/1.1\nHost: h\r\n\r\n";
        for front in [
            "PUT /a HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\n\n",
            "PUT /a HTTP/1.1\r\ncontent-LENGTH:  5 \r\n\r\na\nb\n\n",
            "PUT /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n0\r\n\r\n",
            "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n\n\n\n\n\n\n\n\n\n\n\r\n\
             0\r\nx: y\r\n\r\n",
            "PUT /a HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            assert!(!bare(front), "{front:?}");
            assert!(!bare(&format!("{front}{next}")), "{front:?}");
            assert!(bare(&format!("{front}{bad}")), "{front:?}");
            assert!(bare(&format!("{front}{front}{next}{bad}")), "{front:?}");
        }
    }
}
