//! What the fuzz targets call: properties of the parsers of bodies, for any bytes. Inputs are
//! judged with a fixed key and time, so that seeds can be signed.

use std::collections::VecDeque;

use access::{
    SigningKey, SigningKeys,
    signature::{ChunkVerifier, Facts, RegionNames},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use types::{AccountId, Body, BucketName, RegionId, Timestamp, body::NextChunk};

use crate::{
    chunked::{Chain, Decoder, Step},
    s3::post_form,
};

const KEY: [u8; 32] = [0xA5; 32];
/// 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp::from_s(1_800_000_000);

struct OneKey;

impl SigningKeys for OneKey {
    fn signing_key(&self, id: &str, _: &str, _: &RegionId, _: &str) -> Option<SigningKey> {
        (id == "AKIAFUZZ").then(|| SigningKey {
            account: AccountId::new("1"),
            kind: access::CallerKind::Customer,
            guard: Default::default(),
            who: access::Who::Root,
            key: KEY.into(),
        })
    }
}

struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(std::future::ready(self.0.pop_front().map(Ok)))
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

/// A form's key and file; `None` when it is refused.
fn read_form(body: &[u8], cut: usize) -> Option<(String, Vec<u8>)> {
    let mut head = HeaderMap::new();
    let kind = HeaderValue::from_static("multipart/form-data; boundary=edge");
    head.insert(header::CONTENT_TYPE, kind);
    let bucket = BucketName::new("bkt").ok()?;
    let own = RegionId::new("local-1");
    let facts = Facts {
        keys: &OneKey,
        regions: RegionNames {
            own: &own,
            aliases: &[],
        },
        now: NOW,
    };
    let pieces = body.chunks(cut.max(1)).map(Bytes::copy_from_slice);
    let pieces = Box::new(Pieces(pieces.collect()));
    // Nothing waits: the pieces are there.
    let form = post_form::read(pieces, &head, &bucket, &facts).now_or_never()?;
    let mut form = form.ok()?;
    let mut file = Vec::new();
    while let Some(piece) = form.body.next().now_or_never()? {
        file.extend_from_slice(&piece.ok()?);
    }
    Some((form.key.to_string(), file))
}

/// Forms with the boundary `edge`, behind a byte that says how the wire cuts them: the cut changes
/// nothing, and the file is a part of the body.
pub fn form(data: &[u8]) -> bool {
    let Some((cut, body)) = data.split_first() else {
        return false;
    };
    let whole = read_form(body, body.len());
    let pieces = read_form(body, usize::from(*cut));
    assert_eq!(whole, pieces, "the cut of the wire changed the form");
    let Some((_, file)) = whole else { return false };
    assert!(
        file.is_empty() || body.windows(file.len()).any(|w| w == file),
        "the file is not what was sent"
    );
    true
}

fn decode(body: &[u8], expected: u64, cut: usize) -> Option<Vec<u8>> {
    let scope = "20270115/local-1/s3/aws4_request";
    let verifier = ChunkVerifier::new(KEY.into(), "20270115T080000Z", scope, &"0".repeat(64));
    let declared = vec!["x-amz-checksum-crc32".to_owned()];
    let mut decoder =
        Decoder::new(expected, Some(Chain::Here(verifier)), Some(declared)).any_chunks();
    let mut out = Vec::new();
    for piece in body.chunks(cut.max(1)) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.step(&mut input) {
                Ok(Step::Data(data)) => out.extend_from_slice(&data),
                Ok(Step::More) => break,
                Err(_) => return None,
            }
        }
    }
    decoder.end().ok().map(|()| out)
}

/// Signed aws-chunked bodies, behind their decoded length (two bytes, little-endian) and a byte
/// that says how the wire cuts them: the cut changes nothing, and the length is as announced.
pub fn signed_chunks(data: &[u8]) -> bool {
    let Some((head, body)) = data.split_first_chunk::<3>() else {
        return false;
    };
    let expected = u64::from(u16::from_le_bytes([head[0], head[1]]));
    let whole = decode(body, expected, body.len());
    let pieces = decode(body, expected, usize::from(head[2]));
    assert_eq!(whole, pieces, "the cut of the wire changed the body");
    let Some(out) = whole else { return false };
    assert_eq!(out.len() as u64, expected);
    true
}
