//! Taking a body in: hashed while it comes, small ones kept in memory, larger ones written to an
//! extent. Memory is bounded by the pieces that hasher and writer hold.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use digest::Hasher;
use store::BlobRef;
use types::{Body, BodyError, ChecksumAlgorithm, ChecksumValue};

use crate::{Error, Objects, Result, pins::Fresh};

/// Objects up to this size are stored beside their row.
pub(crate) const INLINE_BYTES_MAX: usize = 64 << 10;

/// A body and what the client says of it.
pub(crate) struct Intake {
    pub body: Box<dyn Body>,
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// A checksum that came in a header.
    pub checksum: Option<ChecksumValue>,
    /// The algorithm of the checksum that will come in the trailer.
    pub trailer: Option<ChecksumAlgorithm>,
    /// Computed in any case.
    pub also: Option<ChecksumAlgorithm>,
    /// Most bytes that are taken.
    pub max: u64,
    /// Most bytes that stay in memory.
    pub inline_max: usize,
}

/// Where the bytes are now.
pub(crate) enum TakenBytes {
    Memory(Bytes),
    Extent(BlobRef, Arc<Fresh>),
}

/// A body that was taken in and is what it claimed to be.
pub(crate) struct Taken {
    pub bytes: TakenBytes,
    pub len: u64,
    pub md5: [u8; 16],
    /// In the order: the client's, `also`.
    pub checksums: Vec<ChecksumValue>,
}

impl Objects {
    /// Takes a body in to its verified end.
    ///
    /// # Errors
    /// `TooLarge`, `BadDigest`, `Body`, failures of the engine; then nothing stays.
    pub(crate) async fn take_in(&self, mut intake: Intake) -> Result<Taken> {
        let hint = intake.body.len_hint();
        if let Some(bytes) = hint.filter(|n| *n > intake.max) {
            return Err(Error::TooLarge {
                bytes,
                max: intake.max,
            });
        }
        let mut hasher = Hasher::new(&algorithms(&intake), true);
        let (head, next) = read_head(&mut intake, hint).await?;
        let Some(next) = next else {
            hasher.update(&head);
            let digests = hasher.finish_now();
            return finish(&intake, digests, TakenBytes::Memory(head));
        };
        let fresh = self.pins.fresh();
        let mut writer = self.create_extent(&fresh, hint).await?;
        let mut next = Some(Ok(next));
        let mut len = head.len() as u64;
        if !head.is_empty() {
            hasher.feed(head.clone()).await;
            writer.write(head).await?;
        }
        while let Some(piece) = next {
            let piece: Bytes = piece?;
            len += piece.len() as u64;
            if len > intake.max {
                return Err(BodyError::TooLarge { max: intake.max }.into());
            }
            hasher.feed(piece.clone()).await;
            writer.write(piece).await?;
            next = intake.body.next().await;
        }
        // Digests are compared before the extent is made durable: a wrong body costs no sync.
        let digests = hasher.finish().await;
        let taken = finish(&intake, digests, TakenBytes::Memory(Bytes::new()))?;
        let blob = writer.finish().await?;
        Ok(Taken {
            bytes: TakenBytes::Extent(blob, fresh),
            ..taken
        })
    }
}

/// What is computed: each algorithm once, the client's before `also`.
fn algorithms(intake: &Intake) -> Vec<ChecksumAlgorithm> {
    let mut all = Vec::with_capacity(1);
    let header = intake.checksum.map(|c| c.algorithm());
    for algorithm in header.into_iter().chain(intake.trailer).chain(intake.also) {
        if !all.contains(&algorithm) {
            all.push(algorithm);
        }
    }
    all
}

/// What a client says of a body that has been read to its end.
pub(crate) struct Claims {
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// From a header.
    pub checksum: Option<ChecksumValue>,
    /// Announced for the trailer.
    pub trailer: Option<ChecksumAlgorithm>,
    /// Found in the trailer.
    pub trailing: Option<ChecksumValue>,
}

impl Claims {
    /// Compares with what the bytes are; answers their MD5, which must have been computed.
    ///
    /// # Errors
    /// `BadDigest`; `Body` when the announced trailer did not come.
    pub(crate) fn check(&self, digests: &digest::Digests) -> Result<[u8; 16]> {
        let md5 = digests
            .md5
            .ok_or_else(|| Error::Record("no MD5".to_owned()))?;
        if let Some(expected) = self.md5.filter(|claimed| *claimed != md5) {
            return Err(Error::BadMd5 {
                expected,
                computed: md5,
            });
        }
        if let Some(algorithm) = self.trailer
            && self.trailing.is_none_or(|t| t.algorithm() != algorithm)
        {
            return Err(BodyError::Trailer("the announced trailer is missing").into());
        }
        for claim in self.checksum.into_iter().chain(self.trailing) {
            let computed = digests.checksum(claim.algorithm());
            if computed.is_some_and(|c| c != claim) {
                return Err(Error::BadDigest(claim.algorithm().name()));
            }
        }
        Ok(md5)
    }
}

/// Reads until the body ends or is too large to stay in memory: then also the piece that made it
/// so, which may be all there is.
async fn read_head(intake: &mut Intake, hint: Option<u64>) -> Result<(Bytes, Option<Bytes>)> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let len = first.len() + rest.len();
        let whole = |first, rest: BytesMut| {
            if rest.is_empty() {
                first
            } else {
                rest.freeze()
            }
        };
        let Some(piece) = intake.body.next().await else {
            return Ok((whole(first, rest), None));
        };
        let piece = piece?;
        if len + piece.len() > intake.inline_max {
            return Ok((whole(first, rest), Some(piece)));
        }
        if rest.is_empty() && first.is_empty() {
            first = piece;
            continue;
        }
        if rest.is_empty() {
            let room = hint
                .map_or(intake.inline_max, |n| n as usize)
                .min(intake.inline_max);
            rest.reserve(room);
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&piece);
    }
}

fn finish(intake: &Intake, digests: digest::Digests, bytes: TakenBytes) -> Result<Taken> {
    let claims = Claims {
        md5: intake.md5,
        checksum: intake.checksum,
        trailer: intake.trailer,
        trailing: intake.body.trailing_checksum(),
    };
    let md5 = claims.check(&digests)?;
    Ok(Taken {
        bytes,
        len: digests.len,
        md5,
        checksums: digests.checksums,
    })
}
