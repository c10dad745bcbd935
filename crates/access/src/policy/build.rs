//! Puts the lists of a compiled document together.

use std::collections::HashMap;

use super::{
    document::{DocumentKind, Part},
    error::Fault,
    keys::Key,
    text::{ONE, STAR, VAR},
};

/// Most statements of a document.
pub(super) const STATEMENTS_MAX: usize = 200;
/// Most principals, patterns and values of a document.
const PATTERNS_MAX: usize = 500;
/// Most `*` of a document that are not the end of their pattern: those take time.
const STARS_MAX: usize = 64;

pub(super) struct Builder<'a> {
    pub kind: DocumentKind<'a>,
    /// Whether `${…}` is a variable.
    pub variables_allowed: bool,
    pub words: Vec<u32>,
    pub text: Vec<u8>,
    known: HashMap<Vec<u8>, Part>,
    patterns: usize,
    stars: usize,
    /// Those of the statement that is being compiled, as words.
    pub variables: Vec<[u32; 3]>,
}

/// What in a text is not literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub wildcards: bool,
    pub variables: bool,
}

impl<'a> Builder<'a> {
    pub fn new(kind: DocumentKind<'a>) -> Self {
        Self {
            kind,
            variables_allowed: false,
            words: Vec::new(),
            text: Vec::new(),
            known: HashMap::new(),
            patterns: 0,
            stars: 0,
            variables: Vec::new(),
        }
    }

    fn too_large(&self) -> Fault {
        Fault::too_large(too_large(self.kind))
    }

    /// Counts a pattern or value that stands at the offset.
    pub fn count(&mut self, at: usize) -> Result<(), Fault> {
        self.patterns += 1;
        match self.patterns > PATTERNS_MAX {
            true => Err(Fault::new(at, too_large(self.kind))
                .detail(format!("more than {PATTERNS_MAX} patterns and values"))
                .into_too_large()),
            false => Ok(()),
        }
    }

    /// Keeps a text.
    pub fn keep(&mut self, bytes: &[u8]) -> Result<Part, Fault> {
        if bytes.is_empty() {
            return Ok(Part::default());
        }
        if let Some(part) = self.known.get(bytes) {
            return Ok(*part);
        }
        let part = part(self.text.len(), bytes.len()).ok_or_else(|| self.too_large())?;
        self.text.extend_from_slice(bytes);
        self.known.insert(bytes.to_vec(), part);
        Ok(part)
    }

    /// Keeps entries.
    pub fn entries<const N: usize>(&mut self, entries: &[[u32; N]]) -> Result<Part, Fault> {
        let part = part(self.words.len(), entries.len()).ok_or_else(|| self.too_large())?;
        self.words.extend(entries.iter().flatten());
        Ok(part)
    }

    /// The pattern of a text, as bytes. `wrong` is the sentence if it is none.
    pub fn pattern(
        &mut self,
        at: usize,
        text: &str,
        meaning: Meaning,
        wrong: &str,
    ) -> Result<Vec<u8>, Fault> {
        self.count(at)?;
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.bytes().next() {
            let variable = meaning.variables && self.variables_allowed && rest.starts_with("${");
            let (unit, len) = match first {
                b'$' if variable => {
                    rest = self.variable(at, rest, wrong, &mut out)?;
                    continue;
                }
                b'*' if meaning.wildcards => (STAR, 1),
                b'?' if meaning.wildcards => (ONE, 1),
                byte => (byte, 1),
            };
            out.push(unit);
            // Only ASCII was looked at, so bytes of other characters are copied as they are.
            match rest.is_char_boundary(len) {
                true => rest = &rest[len..],
                false => {
                    let width = rest.chars().next().map_or(1, char::len_utf8);
                    out.extend_from_slice(&rest.as_bytes()[1..width]);
                    rest = &rest[width..];
                }
            }
        }
        self.stars += stars(&out);
        match self.stars > STARS_MAX {
            true => {
                Err(Fault::new(at, wrong)
                    .detail(format!("more than {STARS_MAX} * inside of patterns")))
            }
            false => Ok(out),
        }
    }

    /// Takes `${…}`; answers what follows it.
    fn variable<'t>(
        &mut self,
        at: usize,
        text: &'t str,
        wrong: &str,
        out: &mut Vec<u8>,
    ) -> Result<&'t str, Fault> {
        let fault = |why: &str| Fault::new(at, wrong).detail(why);
        let inner = &text[2..];
        for literal in ["*", "?", "$"] {
            if let Some(rest) = inner.strip_prefix(literal)
                && let Some(rest) = rest.strip_prefix('}')
            {
                out.extend_from_slice(literal.as_bytes());
                return Ok(rest);
            }
        }
        let end = inner.find([',', '}']);
        let end = end.ok_or_else(|| fault("a variable does not end"))?;
        let (name, mut rest) = (inner[..end].trim(), &inner[end..]);
        let mut default = None;
        if let Some(after) = rest.strip_prefix(',') {
            let quoted = after.trim_start().strip_prefix('\'');
            let (value, after) = quoted
                .and_then(|quoted| quoted.split_once('\''))
                .ok_or_else(|| fault("a variable's default is not in single quotes"))?;
            default = Some(value);
            rest = after.trim_start();
        }
        let rest = rest
            .strip_prefix('}')
            .ok_or_else(|| fault("a variable does not end"))?;
        let (key, tag) = Key::parse(name);
        if key == Key::Claim && (matches!(self.kind, DocumentKind::Bucket(_)) || name.is_empty()) {
            return Err(fault("a variable of an unknown key"));
        }
        if key.is_set() {
            return Err(fault("a key with several values is no variable"));
        }
        let entry = [
            key as u32 | u32::from(default.is_some()) << 8,
            self.keep(tag.as_bytes())?.word(),
            self.keep(default.unwrap_or_default().as_bytes())?.word(),
        ];
        let known = self.variables.iter().position(|own| *own == entry);
        let number = known.unwrap_or(self.variables.len());
        if known.is_none() {
            self.variables.push(entry);
        }
        out.push(VAR);
        // There are fewer variables than patterns' bytes, which a part's length bounds.
        out.extend_from_slice(&(number as u16).to_le_bytes());
        Ok(rest)
    }
}

/// The sentence for a document that is too large.
pub(super) fn too_large(kind: DocumentKind<'_>) -> String {
    let most = kind.bytes_max();
    format!("Normalized policy document exceeds the maximum allowed size of {most} bytes")
}

/// How many stars a pattern has that are not its end.
fn stars(pattern: &[u8]) -> usize {
    let inner = pattern.strip_suffix(&[STAR]).unwrap_or(pattern);
    // The number of a variable is no star: that many variables do not fit into a document.
    inner.iter().filter(|byte| **byte == STAR).count()
}

fn part(start: usize, len: usize) -> Option<Part> {
    // The end has to be a number of a list, too.
    u16::try_from(start + len).ok()?;
    Some(Part {
        start: u16::try_from(start).ok()?,
        len: u16::try_from(len).ok()?,
    })
}
