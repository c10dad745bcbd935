//! The aws-chunked framing, decoded without waiting and without copying.
//!
//! `hex-size[;chunk-signature=hex] CRLF data CRLF …`, a chunk of size 0, trailers, an empty line.
//!
//! Some clients (minio-go, and all that is built on it) end a trailer in LF and an empty line, with
//! the trailer's signature and another empty line behind: both forms are read.

use std::collections::VecDeque;

use access::signature::{ChunkLink, ChunkVerifier, SIGNATURE_HEX};
use bytes::{Buf, Bytes};
use sha2::{Digest, Sha256};
use types::{BodyError, ChecksumAlgorithm, ChecksumValue};

/// Longest line of framing.
const LINE_BYTES_MAX: usize = 1024;
/// Most lines of trailers.
const TRAILERS_MAX: usize = 4;
/// What may stand around a trailer's name and value.
const BLANK: [char; 2] = [' ', '\t'];
/// Smallest signed chunk but for the last one ("Signature calculations for the authorization
/// header: transferring payload in multiple chunks", S3 API reference).
const CHUNK_BYTES_MIN: u64 = 8 << 10;
/// A signed chunk up to this size is held until its signature is verified. The bytes of a larger
/// one go on as they arrive, and the body fails at the chunk's end: a body that fails never becomes
/// visible, and memory stays bounded.
const HELD_BYTES_MAX: u64 = 256 << 10;

/// What the decoder has for its caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Decoded bytes.
    Data(Bytes),
    /// The input is used up.
    More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the line with a chunk's size.
    Head,
    /// In a chunk's data, of which so much is left.
    Data { left: u64, hold: bool },
    /// In the line end behind the data.
    DataEnd,
    /// In the lines behind the last chunk.
    Trailer,
    /// Behind an empty line that followed a trailer which ended in LF: what is still to come is the
    /// trailer's signature, where there are signatures, and an empty line.
    Gap,
    /// Behind the last line.
    Done,
}

/// Who verifies the signatures of chunks.
pub enum Chain {
    /// This region, which has the key.
    Here(ChunkVerifier),
    /// Another one: they are gathered for it. See [`Decoder::take_links`].
    Gathered(Vec<ChunkLink>),
}

/// Signatures on their way through a body.
struct Signatures {
    chain: Chain,
    hasher: Sha256,
    /// What the chunk's head says.
    given: [u8; SIGNATURE_HEX],
}

/// Decodes one body.
pub struct Decoder {
    state: State,
    line: Vec<u8>,
    expected: u64,
    got: u64,
    signatures: Option<Signatures>,
    /// The size below which a signed chunk is the last one.
    chunk_min: u64,
    /// The number of the chunk that is read, and the size of the one before.
    number: u64,
    before: u64,
    /// Names of trailers that must come; `None` where none may.
    declared: Option<Vec<String>>,
    lines: usize,
    /// The line ended in LF alone, and so did the trailer before an empty line.
    bare: bool,
    gap: bool,
    /// Trailers in the canonical form that is signed.
    trailer: Vec<u8>,
    trailer_verified: bool,
    checksum: Option<ChecksumValue>,
    held: VecDeque<Bytes>,
    release: bool,
}

fn malformed<T>(what: &'static str) -> Result<T, BodyError> {
    Err(BodyError::Malformed(what))
}

impl Decoder {
    /// For a body of `expected` decoded bytes. `chain` where chunks are signed; `declared`
    /// where trailers may come, with those that must.
    pub fn new(expected: u64, chain: Option<Chain>, declared: Option<Vec<String>>) -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            expected,
            got: 0,
            signatures: chain.map(|chain| Signatures {
                chain,
                hasher: Sha256::new(),
                given: [0; SIGNATURE_HEX],
            }),
            chunk_min: CHUNK_BYTES_MIN,
            number: 0,
            before: u64::MAX,
            declared,
            lines: 0,
            bare: false,
            gap: false,
            trailer: Vec::new(),
            trailer_verified: false,
            checksum: None,
            held: VecDeque::new(),
            release: false,
        }
    }

    /// The same with signed chunks of any size.
    #[must_use]
    pub(crate) fn any_chunks(mut self) -> Self {
        self.chunk_min = 0;
        self
    }

    /// The signatures that were gathered since this was asked last.
    pub fn take_links(&mut self) -> Vec<ChunkLink> {
        match self.signatures.as_mut().map(|s| &mut s.chain) {
            Some(Chain::Gathered(links)) => std::mem::take(links),
            _ => Vec::new(),
        }
    }

    /// The checksum of the trailer; known at the end.
    pub fn checksum(&self) -> Option<ChecksumValue> {
        self.checksum
    }

    /// Takes from `input` what makes one step. After an error it must not be called again.
    pub fn step(&mut self, input: &mut Bytes) -> Result<Step, BodyError> {
        loop {
            if self.release {
                match self.held.pop_front() {
                    Some(piece) => return Ok(Step::Data(piece)),
                    None => self.release = false,
                }
            }
            if input.is_empty() {
                return Ok(Step::More);
            }
            match self.state {
                State::Data { left, hold } => {
                    if let Some(piece) = self.take_data(input, left, hold)? {
                        return Ok(Step::Data(piece));
                    }
                }
                State::Done => return malformed("there are bytes behind the end"),
                State::Head | State::DataEnd | State::Trailer | State::Gap => {
                    if self.take_line(input)? {
                        let line = std::mem::take(&mut self.line);
                        self.on_line(&line)?;
                        self.line = line;
                        self.line.clear();
                    }
                }
            }
        }
    }

    /// The connection has no more bytes.
    pub fn end(&self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            // S3 does not miss the last empty line.
            State::Trailer | State::Gap if self.line.is_empty() => self.check_end(),
            _ => malformed("it ends before its last chunk or trailer"),
        }
    }

    fn take_data(
        &mut self,
        input: &mut Bytes,
        left: u64,
        hold: bool,
    ) -> Result<Option<Bytes>, BodyError> {
        let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let piece = input.split_to(take);
        self.got += take as u64;
        if let Some(signatures) = &mut self.signatures {
            signatures.hasher.update(&piece);
        }
        let left = left - take as u64;
        self.state = State::Data { left, hold };
        if left == 0 {
            self.verify_chunk()?;
            self.state = State::DataEnd;
            self.release = true;
        }
        if hold {
            self.held.push_back(piece);
            return Ok(None);
        }
        Ok(Some(piece))
    }

    fn verify_chunk(&mut self) -> Result<(), BodyError> {
        let Some(signatures) = &mut self.signatures else {
            return Ok(());
        };
        let sha256 = signatures.hasher.finalize_reset().into();
        let good = match &mut signatures.chain {
            Chain::Here(verifier) => verifier.verify_chunk(&sha256, &signatures.given),
            Chain::Gathered(links) => {
                links.push(ChunkLink {
                    trailer: false,
                    sha256,
                    signature: signatures.given,
                });
                true
            }
        };
        match good {
            true => Ok(()),
            false => Err(BodyError::SignatureMismatch),
        }
    }

    /// Whether a whole line is now in `self.line`, without its end.
    fn take_line(&mut self, input: &mut Bytes) -> Result<bool, BodyError> {
        let end = input.iter().position(|b| *b == b'\n');
        let take = end.map_or(input.len(), |at| at + 1);
        if self.line.len() + take > LINE_BYTES_MAX {
            return malformed("a line is too long");
        }
        self.line.extend_from_slice(&input[..take]);
        input.advance(take);
        if end.is_none() {
            return Ok(false);
        }
        self.bare = !self.line.ends_with(b"\r\n");
        let end = if self.bare { 1 } else { 2 };
        let left = self.line.len() - end;
        match self.state {
            State::DataEnd if self.bare || left > 0 => {
                malformed("a chunk is longer than its head says")
            }
            _ if self.line[..left].contains(&b'\r') => malformed("a line holds a CR"),
            // Only lines of a trailer, and those that end it, may end in LF.
            State::Trailer | State::Gap => {
                self.line.truncate(left);
                Ok(true)
            }
            _ if self.bare => malformed("a line does not end in CR LF"),
            _ => {
                self.line.truncate(left);
                Ok(true)
            }
        }
    }

    fn on_line(&mut self, line: &[u8]) -> Result<(), BodyError> {
        match self.state {
            State::Head => self.on_head(line),
            State::DataEnd => {
                self.state = State::Head;
                Ok(())
            }
            State::Trailer if line.is_empty() && self.gap => {
                self.state = State::Gap;
                Ok(())
            }
            State::Trailer | State::Gap if line.is_empty() => self.on_end(),
            State::Trailer => {
                self.gap = self.bare;
                self.on_trailer(line)
            }
            State::Gap => self.on_trailer_signature(line),
            State::Data { .. } | State::Done => malformed("a line where none can be"),
        }
    }

    fn on_head(&mut self, line: &[u8]) -> Result<(), BodyError> {
        let mut parts = line.split(|b| *b == b';');
        let size = parse_size(parts.next().unwrap_or_default().trim_ascii_end())?;
        let signature = signature_in(parts.map(<[u8]>::trim_ascii))?;
        if let Some(signatures) = &mut self.signatures {
            let signature = signature.ok_or(BodyError::Malformed("a chunk has no signature"))?;
            let signature = signature.try_into();
            signatures.given = signature.map_err(|_| BodyError::SignatureMismatch)?;
        }
        if size > self.expected - self.got {
            return Err(BodyError::Incomplete {
                expected: self.expected,
                got: self.got.saturating_add(size),
            });
        }
        if size > 0 {
            if self.signatures.is_some() && self.before < self.chunk_min {
                return Err(BodyError::SmallChunk {
                    number: self.number + 1,
                    bytes: self.before,
                });
            }
            self.number += 1;
            self.before = size;
            let hold = self.signatures.is_some() && size <= HELD_BYTES_MAX;
            self.state = State::Data { left: size, hold };
            return Ok(());
        }
        self.verify_chunk()?;
        if self.got != self.expected {
            return Err(BodyError::Incomplete {
                expected: self.expected,
                got: self.got,
            });
        }
        self.state = State::Trailer;
        Ok(())
    }

    fn on_trailer(&mut self, line: &[u8]) -> Result<(), BodyError> {
        self.lines += 1;
        let wrong = |what| Err(BodyError::Trailer(what));
        if self.declared.is_none() {
            return wrong("there is a trailer where none was announced");
        }
        let text = std::str::from_utf8(line).ok().filter(|t| t.is_ascii());
        let Some((name, value)) = text.and_then(|t| t.split_once(':')) else {
            return wrong("a trailer is not a name and a value");
        };
        let (name, value) = (
            name.trim_matches(BLANK).to_ascii_lowercase(),
            value.trim_matches(BLANK),
        );
        if self.lines > TRAILERS_MAX || self.trailer_verified {
            return wrong("there are too many trailers");
        }
        if name == "x-amz-trailer-signature" {
            return self.verify_trailer(value);
        }
        let declared = self.declared.as_mut().map_or(&mut [][..], |d| &mut d[..]);
        let Some(at) = declared.iter().position(|d| *d == name) else {
            return wrong("a trailer was not declared in x-amz-trailer");
        };
        // It has come.
        declared[at].clear();
        let Some(algorithm) = ChecksumAlgorithm::from_header(&name) else {
            return wrong("a trailer is no checksum");
        };
        let checksum = ChecksumValue::parse(algorithm, value)
            .filter(|checksum| checksum.parts() == 0)
            .ok_or(BodyError::TrailerValue(algorithm.header()))?;
        self.checksum = Some(checksum);
        for piece in [&name, ":", value, "\n"] {
            self.trailer.extend_from_slice(piece.as_bytes());
        }
        Ok(())
    }

    fn verify_trailer(&mut self, signature: &str) -> Result<(), BodyError> {
        let Some(signatures) = &mut self.signatures else {
            return Err(BodyError::Trailer("an unsigned body has a signed trailer"));
        };
        let signature = signature.as_bytes();
        let good = match &mut signatures.chain {
            Chain::Here(verifier) => verifier.verify_trailer(&self.trailer, signature),
            Chain::Gathered(links) => match ChunkLink::of_trailer(&self.trailer, signature) {
                Some(link) => {
                    links.push(link);
                    true
                }
                None => false,
            },
        };
        if !good {
            return Err(BodyError::SignatureMismatch);
        }
        self.trailer_verified = true;
        Ok(())
    }

    /// The line between the empty ones.
    fn on_trailer_signature(&mut self, line: &[u8]) -> Result<(), BodyError> {
        let text = std::str::from_utf8(line)
            .ok()
            .and_then(|t| t.split_once(':'));
        match text {
            Some((name, value))
                if name.eq_ignore_ascii_case("x-amz-trailer-signature")
                    && !self.trailer_verified =>
            {
                self.verify_trailer(value.trim_matches(BLANK))
            }
            _ => Err(BodyError::Trailer("there is more behind the trailer")),
        }
    }

    fn on_end(&mut self) -> Result<(), BodyError> {
        self.check_end()?;
        self.state = State::Done;
        Ok(())
    }

    fn check_end(&self) -> Result<(), BodyError> {
        let mut declared = self.declared.iter().flatten();
        if declared.any(|name| !name.is_empty()) {
            return Err(BodyError::Trailer("a declared trailer did not come"));
        }
        if self.declared.is_some() && self.signatures.is_some() && !self.trailer_verified {
            return Err(BodyError::Trailer("the trailer has no signature"));
        }
        Ok(())
    }
}

/// The signature among the extensions of a chunk; an empty one is none.
fn signature_in<'l>(
    extensions: impl Iterator<Item = &'l [u8]>,
) -> Result<Option<&'l [u8]>, BodyError> {
    let mut found = None;
    for extension in extensions {
        let mut pair = extension.splitn(2, |b| *b == b'=').map(<[u8]>::trim_ascii);
        if pair.next() != Some(&b"chunk-signature"[..]) {
            continue;
        }
        let value = pair.next().unwrap_or_default();
        if found.replace(value).is_some() {
            return malformed("a chunk has two signatures");
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}

/// Up to 16 hex digits; no sign, no space.
fn parse_size(digits: &[u8]) -> Result<u64, BodyError> {
    if digits.is_empty() || digits.len() > 16 {
        return malformed("a chunk's size is not a number");
    }
    digits.iter().try_fold(0u64, |size, digit| {
        let digit = (*digit as char)
            .to_digit(16)
            .ok_or(BodyError::Malformed("a chunk's size is not a number"))?;
        Ok(size << 4 | u64::from(digit))
    })
}
