//! Resources in statements, and what a request is on.

use super::{
    build::Builder,
    compile::PATTERN,
    document::{DocumentKind, Inner, Part},
    error::Fault,
    text::{Chars, NoVariables, ONE, STAR, VAR, Variables, glob, header, wild},
};

pub(super) const WRONG: &str = "Policy has invalid resource";

/// What a request is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// S3 as a whole: `arn:aws:s3:::*`.
    Service,
    /// A bucket.
    Bucket(&'a str),
    /// A key of a bucket, decoded and otherwise as it was sent.
    Object {
        /// Which bucket.
        bucket: &'a str,
        /// Which key.
        key: &'a str,
    },
    /// What another service has, by its ARN; `*` for an action that is on nothing by itself.
    Arn(&'a str),
}

impl std::fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service => f.write_str("arn:aws:s3:::*"),
            Self::Bucket(bucket) => write!(f, "arn:aws:s3:::{bucket}"),
            Self::Object { bucket, key } => write!(f, "arn:aws:s3:::{bucket}/{key}"),
            Self::Arn(arn) => f.write_str(arn),
        }
    }
}

impl<'a> Target<'a> {
    /// Of an ARN.
    pub fn of_arn(arn: &'a str) -> Self {
        match arn.strip_prefix("arn:aws:s3:::") {
            Some("*") => Self::Service,
            Some(rest) => match rest.split_once('/') {
                Some((bucket, key)) => Self::Object { bucket, key },
                None => Self::Bucket(rest),
            },
            None => Self::Arn(arn),
        }
    }

    /// What follows the fifth colon, if it is S3's.
    fn rest(&self) -> Option<Chars<'a>> {
        match self {
            Self::Service => Some(Chars::of("*")),
            Self::Bucket(bucket) => Some(Chars::of(bucket)),
            Self::Object { bucket, key } => Some(Chars::pieces(&[bucket, "/", key])),
            Self::Arn(_) => None,
        }
    }
}

/// Everything.
const ANY: u32 = 0;
/// The rest of an ARN of S3, whole.
const EXACT: u32 = 1;
/// The same, of which only the beginning counts.
const PREFIX: u32 = 2;
/// The same, a pattern.
const GLOB: u32 = 3;
/// A whole ARN of another service, a pattern.
const ARN: u32 = 4;

/// A resource as it is kept, and what it may be.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub entries: Vec<[u32; 2]>,
    pub buckets: bool,
    pub objects: bool,
}

pub(super) fn compile(builder: &mut Builder<'_>, at: usize, text: &str) -> Result<Compiled, Fault> {
    let wrong = || Fault::new(at, WRONG).detail(format!("{text:?}"));
    let bucket = match builder.kind {
        DocumentKind::Bucket(bucket) => Some(bucket),
        _ => None,
    };
    if text == "*" && bucket.is_none() {
        return Ok(Compiled {
            entries: vec![[ANY, 0]],
            ..Compiled::default()
        });
    }
    let segments: Vec<&str> = text.splitn(6, ':').collect();
    let [scheme, partition, service, region, account, rest] = segments[..] else {
        return Err(wrong());
    };
    let head = [partition, service, region, account];
    if scheme != "arn" || rest.is_empty() || head.iter().any(|part| part.contains('$')) {
        return Err(wrong());
    }
    let mut compiled = Compiled::default();
    if let Some(bucket) = bucket {
        let within = rest.strip_prefix(bucket).ok_or_else(wrong)?;
        if head != ["aws", "s3", "", ""] {
            return Err(wrong());
        }
        (compiled.buckets, compiled.objects) = match within.bytes().next() {
            None => (true, false),
            Some(b'/') => (false, true),
            Some(b'*') => (true, true),
            Some(_) => return Err(wrong()),
        };
    }
    let own = ["aws", "s3", "", ""];
    if head.iter().zip(own).all(|(part, own)| is(part, own)) {
        let pattern = builder.pattern(at, rest, PATTERN, WRONG)?;
        compiled.entries.push(of_s3(builder, &pattern)?);
    }
    if service != "s3" {
        let pattern = builder.pattern(at, text, PATTERN, WRONG)?;
        compiled.entries.push([ARN, builder.keep(&pattern)?.word()]);
    }
    Ok(compiled)
}

/// Whether a segment's pattern matches a text.
fn is(pattern: &str, text: &str) -> bool {
    glob(
        &wild(pattern.as_bytes()),
        &NoVariables::new(),
        &Chars::of(text),
        0,
    )
}

fn of_s3(builder: &mut Builder<'_>, pattern: &[u8]) -> Result<[u32; 2], Fault> {
    let special = |byte: &u8| matches!(*byte, STAR | ONE | VAR);
    let (kind, text) = match pattern.iter().position(special) {
        None => (EXACT, pattern),
        Some(at) if at + 1 == pattern.len() && pattern.ends_with(&[STAR]) => {
            (PREFIX, &pattern[..at])
        }
        Some(_) => (GLOB, pattern),
    };
    // The length of the bucket's name, if that is there literally and whole.
    let literal = pattern.iter().take_while(|byte| !special(byte));
    let slash = literal.into_iter().position(|byte| *byte == b'/');
    let name = slash.and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
    Ok([kind | u32::from(name) << 8, builder.keep(text)?.word()])
}

/// Whether a resource of a statement is what the request is on.
pub(super) fn matches<'a, V: Variables<'a>>(
    inner: &Inner,
    entry: &[u32],
    target: &Target<'_>,
    variables: &V,
) -> bool {
    let &[word, text] = entry else {
        return false;
    };
    let text = inner.bytes(Part::of(text));
    let (kind, name) = (word & 0xff, (word >> 8) as usize);
    match (kind, target) {
        (ANY, _) => return true,
        (ARN, Target::Arn(arn)) => {
            let arn = Chars::of(arn);
            return header(&arn).is_some_and(|stays| glob(text, variables, &arn, stays));
        }
        (ARN, _) | (_, Target::Arn(_)) => return false,
        _ => {}
    }
    // The bucket's name by itself, where both sides have a key.
    if let (Target::Object { bucket, key }, Some((own, rest))) = (target, split(text, name)) {
        let key = key.as_bytes();
        return own == bucket.as_bytes()
            && match kind {
                EXACT => rest == key,
                PREFIX => key.starts_with(rest),
                _ => glob(rest, variables, &Chars::Whole(key), 0),
            };
    }
    let Some(chars) = target.rest() else {
        return false;
    };
    match kind {
        EXACT => text.iter().copied().eq(chars.bytes()),
        PREFIX => text
            .iter()
            .enumerate()
            .all(|(n, own)| chars.get(n) == Some(*own)),
        _ => glob(text, variables, &chars, 0),
    }
}

/// The bucket's name and what follows the slash, if the name is known to be `len` long.
fn split(text: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let (name, rest) = text.split_at_checked(len).filter(|_| len > 0)?;
    Some((name, rest.get(1..)?))
}
