//! The aws-chunked framing: the result does not depend on how the wire cuts it, and no more comes
//! out than went in.
#![no_main]

use bytes::Bytes;
use gateway::chunked::{Decoder, Step};
use libfuzzer_sys::fuzz_target;

fn decode(body: &[u8], expected: u64, cut: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(expected, None, Some(Vec::new()));
    let mut out = Vec::new();
    for piece in body.chunks(cut) {
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

fuzz_target!(|data: &[u8]| {
    let Some((head, body)) = data.split_first_chunk::<3>() else { return };
    let expected = u64::from(u16::from_le_bytes([head[0], head[1]]));
    let whole = decode(body, expected, body.len().max(1));
    let cut = decode(body, expected, usize::from(head[2]).max(1));
    assert_eq!(whole, cut, "the cut of the wire changed the body");
    if let Some(out) = whole {
        assert_eq!(out.len() as u64, expected);
        assert!(out.len() <= body.len());
    }
});
