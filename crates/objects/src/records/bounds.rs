//! What a version that another region hands over may be at most. Every honest one is within: the
//! same limits hold for clients, with room for what a sealed replica adds.

use types::limits::{
    BUCKET_TAGS_MAX, OBJECT_BYTES_MAX, OBJECT_TAGS_MAX, PART_NUMBER_MAX, PUT_BYTES_MAX,
    TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX,
};

use super::{ObjectAttributes, Shipped};

/// Bytes of headers and user metadata; a sealed replica has its whole head there.
const ATTRIBUTES_BYTES_MAX: usize = 128 << 10;
/// Bytes of content that travel with a change.
const INLINE_BYTES_MAX: usize = 1 << 20;
/// Sealing makes content longer, by much less than this.
const SEALED: u64 = 2;

pub(super) fn tags_are_within(tags: &[(String, String)], count: usize) -> bool {
    let one = |(key, value): &(String, String)| {
        key.chars().count() <= TAG_KEY_CHARS_MAX && value.chars().count() <= TAG_VALUE_CHARS_MAX
    };
    tags.len() <= count && tags.iter().all(one)
}

pub(super) fn bucket_tags_are_within(tags: &[(String, String)]) -> bool {
    tags_are_within(tags, BUCKET_TAGS_MAX)
}

pub(super) fn attributes_are_within(attributes: &ObjectAttributes) -> bool {
    let headers = attributes.headers.all().into_iter().flatten();
    let named = attributes.metadata.iter().flat_map(|(n, v)| [n, v]);
    let text: usize = headers.chain(named).map(String::len).sum();
    let bytes = text + attributes.fields.size();
    let listed = attributes.list().is_ok();
    listed && bytes <= ATTRIBUTES_BYTES_MAX && tags_are_within(&attributes.tags, OBJECT_TAGS_MAX)
}

pub(super) fn is_within(shipped: &Shipped) -> bool {
    let numbers = 1..=PART_NUMBER_MAX;
    let part = |part: &super::ShippedPart| {
        numbers.contains(&part.number) && part.size <= SEALED * PUT_BYTES_MAX
    };
    let inline = shipped.inline.as_ref().map_or(0, |bytes| bytes.len());
    // It is what a client is shown as the time of the version.
    shipped.modified <= shipped.version.at()
        && shipped.size <= SEALED * OBJECT_BYTES_MAX
        && shipped.etag.parts <= PART_NUMBER_MAX
        && shipped
            .checksum
            .is_none_or(|c| c.parts() <= PART_NUMBER_MAX)
        && inline <= INLINE_BYTES_MAX
        && shipped.parts.iter().all(part)
        && attributes_are_within(&shipped.attributes)
}
