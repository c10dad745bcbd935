//! The fields of a form, up to its file (RFC 7578).

use bytes::{Bytes, BytesMut};
use types::Body;

use crate::fault::{Fault, FaultKind};

/// Most bytes before the file's content ("POST Object", S3 API reference: 20 KB).
pub(super) const FIELDS_BYTES_MAX: usize = 20 << 10;

/// Fields by name, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// The value of a field; `name` in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The names, in lower case.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(n, _)| n.as_str())
    }

    /// Adds a field, unless it is there.
    pub(crate) fn add(&mut self, name: &str, value: String) -> bool {
        let name = name.to_ascii_lowercase();
        let new = self.get(&name).is_none();
        if new {
            self.0.push((name, value));
        }
        new
    }
}

/// A form up to where its file begins.
pub(super) struct Front {
    pub(super) fields: Fields,
    /// `filename` of the file.
    pub(super) filename: String,
    /// CR LF, two hyphens and the boundary.
    pub(super) delimiter: Vec<u8>,
    /// What has come of the file, and perhaps of what is behind it.
    pub(super) file: Bytes,
}

pub(super) fn malformed() -> Fault {
    FaultKind::MalformedPOSTRequest.into()
}

/// One file, not none and not two.
pub(super) fn no_file() -> Fault {
    Fault::argument(
        "file",
        "0",
        "POST requires exactly one file upload per request.",
    )
}

/// The boundary that a `Content-Type` names, as a delimiter.
pub(super) fn delimiter(content_type: &str) -> Option<Vec<u8>> {
    let (_, parameters) = content_type.split_once(';')?;
    let mut found = None;
    parameter_list(parameters, |name, value| {
        name.eq_ignore_ascii_case("boundary") && found.replace(value).is_some()
    })?;
    let boundary = found?;
    let good = (1..=70).contains(&boundary.len())
        && boundary.bytes().all(|b| (b' '..=b'~').contains(&b))
        && !boundary.ends_with(' ');
    good.then(|| [b"\r\n--", boundary.as_bytes()].concat())
}

/// Reads `; name=value; name="value"`, and hands over each pair until `refuse` says that it is
/// one too many. A backslash only escapes a quote: browsers do not escape those of paths.
fn parameter_list(mut text: &str, mut refuse: impl FnMut(&str, String) -> bool) -> Option<()> {
    loop {
        text = text.trim_start_matches([' ', '\t', ';']);
        if text.is_empty() {
            return Some(());
        }
        let (name, rest) = text.split_once('=')?;
        let value = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(';').unwrap_or(rest.len());
                text = &rest[end..];
                rest[..end].trim_end().to_owned()
            }
            Some(quoted) => {
                let mut value = String::new();
                let mut from = quoted;
                loop {
                    let end = from.find('"')?;
                    match from[..end].strip_suffix('\\') {
                        // The last of a path that ends in a backslash is no escape.
                        Some(front) if from[end + 1..].contains('"') => {
                            value.push_str(front);
                            value.push('"');
                        }
                        _ => {
                            value.push_str(&from[..end]);
                            text = &from[end + 1..];
                            break;
                        }
                    }
                    from = &from[end + 1..];
                }
                value
            }
        };
        if refuse(name.trim(), value) {
            return None;
        }
    }
}

/// Name and file name of a part.
fn part_head(head: &[u8]) -> Option<(String, Option<String>)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut found = None;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-transfer-encoding") {
            let plain = ["7bit", "8bit", "binary"];
            if !plain.iter().any(|p| value.trim().eq_ignore_ascii_case(p)) {
                return None;
            }
        }
        if !name.eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let (kind, parameters) = value.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("form-data") || found.is_some() {
            return None;
        }
        let (mut field, mut file) = (None, None);
        parameter_list(parameters, |name, value| match name {
            "name" => field.replace(value).is_some(),
            "filename" => file.replace(value).is_some(),
            _ => false,
        })?;
        found = Some((field.filter(|name| !name.is_empty())?, file));
    }
    found
}

fn find(haystack: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let mut at = from;
    loop {
        at += haystack.get(at..)?.iter().position(|b| *b == needle[0])?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

/// Reads parts out of what has come; `None` asks for more.
struct Reader {
    /// Begins with a CR LF of our own, so that the first boundary is like all others.
    buffer: BytesMut,
    /// Where the next boundary's CR LF stands.
    at: usize,
    delimiter: Vec<u8>,
    fields: Fields,
}

enum Part {
    Field,
    /// The file's name, and where its content begins.
    File(String, usize),
    More,
}

impl Reader {
    fn part(&mut self) -> Result<Part, Fault> {
        let start = self.at + self.delimiter.len();
        let have = self.buffer.len().min(start);
        if self.buffer[self.at..have] != self.delimiter[..have - self.at] {
            return Err(malformed());
        }
        let Some(line) = self.buffer.get(start..).filter(|l| l.len() >= 2) else {
            return Ok(Part::More);
        };
        if line.starts_with(b"--") {
            return Err(no_file());
        }
        let padding = line
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let Some(end) = line.get(padding..padding + 2) else {
            return Ok(Part::More);
        };
        if end != b"\r\n" {
            return Err(malformed());
        }
        let head = start + padding;
        let Some(head_end) = find(&self.buffer, head, b"\r\n\r\n") else {
            return Ok(Part::More);
        };
        let (name, filename) = part_head(&self.buffer[head..head_end]).ok_or_else(malformed)?;
        let content = head_end + 4;
        if name.eq_ignore_ascii_case("file") {
            return Ok(Part::File(filename.unwrap_or_default(), content));
        }
        // The line end before the boundary belongs to it, also where the value is empty.
        let Some(end) = find(&self.buffer, content, &self.delimiter) else {
            return Ok(Part::More);
        };
        let value = std::str::from_utf8(&self.buffer[content..end]).map_err(|_| malformed())?;
        if !self.fields.add(&name, value.to_owned()) {
            return Err(Fault::argument(
                &name,
                value,
                "A field of a form must not come twice.",
            ));
        }
        self.at = end;
        Ok(Part::Field)
    }
}

/// Reads up to the file.
pub(super) async fn read(body: &mut dyn Body, delimiter: Vec<u8>) -> Result<Front, Fault> {
    let mut reader = Reader {
        buffer: BytesMut::from(&b"\r\n"[..]),
        at: 0,
        delimiter,
        fields: Fields::default(),
    };
    let (filename, content) = loop {
        match reader.part()? {
            Part::File(name, content) => break (name, content),
            Part::Field if reader.at <= FIELDS_BYTES_MAX + 2 => {}
            Part::More if reader.buffer.len() <= FIELDS_BYTES_MAX + 2 => match body.next().await {
                Some(piece) => reader.buffer.extend_from_slice(&piece?),
                None => return Err(malformed()),
            },
            Part::Field | Part::More => {
                return Err(FaultKind::MaxPostPreDataLengthExceeded.into());
            }
        }
    };
    if content > FIELDS_BYTES_MAX + 2 {
        return Err(FaultKind::MaxPostPreDataLengthExceeded.into());
    }
    let file = reader.buffer.split_off(content).freeze();
    Ok(Front {
        fields: reader.fields,
        filename,
        delimiter: reader.delimiter,
        file,
    })
}
