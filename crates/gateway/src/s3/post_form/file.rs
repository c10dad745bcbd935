//! The file of a form as a body: ends where the boundary begins, wherever the pieces of the
//! connection happen to be cut.

use bytes::{Buf, Bytes};
use types::{Body, BodyError, body::NextChunk};

use crate::{
    fault::{Fault, FaultKind},
    form::LateFault,
};

/// Most bytes behind the file; they are read and say nothing.
const REST_BYTES_MAX: usize = 256 << 10;

enum Step {
    Data(Bytes),
    More,
    End,
}

/// The bytes of the file.
pub(super) struct FileBody {
    pub(super) inner: Box<dyn Body>,
    /// CR LF, two hyphens and the boundary. CR only begins it, so that a match that fails cannot
    /// hide the beginning of another.
    pub(super) delimiter: Vec<u8>,
    /// What is there and not yet looked at.
    pub(super) piece: Bytes,
    /// Bytes of the delimiter that have come.
    pub(super) matched: usize,
    /// Bytes handed over.
    pub(super) passed: u64,
    /// Smallest and largest file.
    pub(super) length: Option<(u64, u64)>,
    pub(super) fault: LateFault,
}

impl FileBody {
    fn step(&mut self) -> Step {
        let delimiter = &self.delimiter;
        if self.matched > 0 {
            let wanted = &delimiter[self.matched..];
            let n = wanted.len().min(self.piece.len());
            if self.piece[..n] != wanted[..n] {
                let held = Bytes::copy_from_slice(&delimiter[..self.matched]);
                self.matched = 0;
                return Step::Data(held);
            }
            self.matched += n;
            self.piece.advance(n);
            return match self.matched == delimiter.len() {
                true => Step::End,
                false => Step::More,
            };
        }
        let mut from = 0;
        while let Some(at) = self.piece[from..].iter().position(|b| *b == b'\r') {
            let at = from + at;
            let n = delimiter.len().min(self.piece.len() - at);
            if self.piece[at..at + n] == delimiter[..n] {
                let data = self.piece.split_to(at);
                self.piece.advance(n);
                self.matched = n;
                return Step::Data(data);
            }
            from = at + 1;
        }
        match self.piece.is_empty() {
            true => Step::More,
            false => Step::Data(std::mem::take(&mut self.piece)),
        }
    }

    async fn advance(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            match self.step() {
                Step::Data(data) if data.is_empty() => {}
                Step::Data(data) => return Some(self.count(data)),
                Step::End => return self.finish().await.err().map(Err),
                Step::More => match self.inner.next().await {
                    Some(Ok(piece)) => self.piece = piece,
                    Some(Err(error)) => return Some(Err(error)),
                    None => return Some(Err(self.malformed())),
                },
            }
        }
    }

    fn count(&mut self, data: Bytes) -> Result<Bytes, BodyError> {
        self.passed += data.len() as u64;
        match self.length {
            Some((_, max)) if self.passed > max => {
                let error = Fault::new(FaultKind::EntityTooLarge)
                    .detail("ProposedSize", self.passed.to_string())
                    .detail("MaxSizeAllowed", max.to_string());
                let _ = self.fault.set(error);
                Err(BodyError::TooLarge { max })
            }
            _ => Ok(data),
        }
    }

    /// What follows the file: the line of the boundary must be whole, and the body must end.
    async fn finish(&mut self) -> Result<(), BodyError> {
        let (mut line, mut rest) = (Vec::with_capacity(2), 0);
        loop {
            let taken = (2 - line.len()).min(self.piece.len());
            line.extend_from_slice(&self.piece[..taken]);
            rest += self.piece.len();
            if line.len() == 2 && !matches!(line.as_slice(), b"--" | b"\r\n" | [b' ' | b'\t', _]) {
                return Err(self.malformed());
            }
            if rest > REST_BYTES_MAX {
                return Err(self.malformed());
            }
            match self.inner.next().await {
                Some(piece) => self.piece = piece?,
                None if line.len() < 2 => return Err(self.malformed()),
                None => break,
            }
        }
        match self.length {
            Some((min, _)) if self.passed < min => {
                let error = Fault::new(FaultKind::EntityTooSmall)
                    .detail("ProposedSize", self.passed.to_string())
                    .detail("MinSizeAllowed", min.to_string());
                let _ = self.fault.set(error);
                Err(BodyError::Incomplete {
                    expected: min,
                    got: self.passed,
                })
            }
            _ => Ok(()),
        }
    }

    fn malformed(&self) -> BodyError {
        let _ = self.fault.set(FaultKind::MalformedPOSTRequest.into());
        BodyError::Malformed("the form does not end as it should")
    }
}

impl Body for FileBody {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(self.advance())
    }

    /// Only the boundary shows it.
    fn len_hint(&self) -> Option<u64> {
        None
    }
}
