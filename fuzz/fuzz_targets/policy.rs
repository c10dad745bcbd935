//! Policies: no text is too strange, and what is accepted is accepted again and alike.
#![no_main]

use access::policy::{Document, DocumentKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for kind in [
        DocumentKind::Bucket("b"),
        DocumentKind::Identity,
        DocumentKind::Trust,
    ] {
        match Document::parse(text, kind) {
            Ok(document) => assert_eq!(Document::parse(text, kind), Ok(document)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
