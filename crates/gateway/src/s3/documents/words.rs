//! Documents of one byte.

use access::{Ownership, PublicAccessBlock};

use super::malformed;
use crate::{
    call::Read,
    fault::Fault,
    s3::xml::{Element, XmlWriter},
};

/// Whether a text says yes; nothing else than yes or no is taken.
fn is_true(text: &str) -> Result<bool, Fault> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(malformed()),
    }
}

const SWITCHES: [&str; 4] = [
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
];

/// The switches of a public access block. What is not named is off.
///
/// # Errors
/// There is another element, or a text that is neither yes nor no.
pub fn read_switches(root: &Element) -> Result<PublicAccessBlock, Fault> {
    root.only(&SWITCHES)?;
    let on = |name| is_true(root.text_of(name)?.unwrap_or("false"));
    Ok(PublicAccessBlock {
        block_acls: on(SWITCHES[0])?,
        ignore_acls: on(SWITCHES[1])?,
        block_policy: on(SWITCHES[2])?,
        restrict_buckets: on(SWITCHES[3])?,
    })
}

pub(super) fn read_block(root: &Element) -> Result<Vec<u8>, Fault> {
    Ok(vec![read_switches(root)?.byte()])
}

pub(super) fn write_block(bytes: &[u8], xml: &mut XmlWriter) -> Result<(), Fault> {
    let block = PublicAccessBlock::of_byte(bytes.first().copied());
    xml.display(SWITCHES[0], block.block_acls)
        .display(SWITCHES[1], block.ignore_acls)
        .display(SWITCHES[2], block.block_policy)
        .display(SWITCHES[3], block.restrict_buckets);
    Ok(())
}

/// The byte of the word that an element has.
fn read_word(root: &Element, name: &str, words: &[(&str, u8)]) -> Result<Vec<u8>, Fault> {
    root.only(&[name])?;
    let said = root.required(name)?.trim();
    let found = words.iter().find(|(word, _)| *word == said);
    found.map(|(_, byte)| vec![*byte]).ok_or_else(malformed)
}

fn write_word(bytes: &[u8], xml: &mut XmlWriter, name: &str, words: &[(&str, u8)]) {
    let found = words.iter().find(|(_, byte)| bytes == [*byte]);
    xml.optional(name, found.map(|(word, _)| *word));
}

/// Exactly one rule, of one word.
pub(super) fn read_ownership(root: &Element) -> Result<Vec<u8>, Fault> {
    root.only(&["Rule"])?;
    let rule = root.one("Rule")?.ok_or_else(malformed)?;
    rule.only(&["ObjectOwnership"])?;
    let mode = Ownership::of_name(rule.required("ObjectOwnership")?.trim());
    Ok(vec![mode.ok_or_else(malformed)?.byte()])
}

pub(super) fn write_ownership(bytes: &[u8], xml: &mut XmlWriter) -> Result<(), Fault> {
    let mode = Ownership::of_byte(bytes.first().copied());
    xml.open("Rule")
        .element("ObjectOwnership", mode.name())
        .close("Rule");
    Ok(())
}

/// What policies ask of who owns what is written.
pub(super) fn ownership(bytes: &[u8]) -> Read<'static> {
    Read::Ownership(Ownership::of_byte(bytes.first().copied()).name())
}

const PAYERS: [(&str, u8); 2] = [("BucketOwner", 0), ("Requester", 1)];
const STATES: [(&str, u8); 2] = [("Enabled", 1), ("Suspended", 2)];

pub(super) fn read_payer(root: &Element) -> Result<Vec<u8>, Fault> {
    read_word(root, "Payer", &PAYERS)
}

pub(super) fn write_payer(bytes: &[u8], xml: &mut XmlWriter) -> Result<(), Fault> {
    write_word(bytes, xml, "Payer", &PAYERS);
    Ok(())
}

pub(super) fn read_accelerate(root: &Element) -> Result<Vec<u8>, Fault> {
    read_word(root, "Status", &STATES)
}

/// Nothing where it was never set.
pub(super) fn write_accelerate(bytes: &[u8], xml: &mut XmlWriter) -> Result<(), Fault> {
    write_word(bytes, xml, "Status", &STATES);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::xml::parse;

    fn there_and_back(
        root: &str,
        inner: &str,
        read: fn(&Element) -> Result<Vec<u8>, Fault>,
        write: fn(&[u8], &mut XmlWriter) -> Result<(), Fault>,
    ) -> Option<String> {
        let text = format!("<{root}>{inner}</{root}>");
        let bytes = read(&parse(text.as_bytes(), &[root]).unwrap()).ok()?;
        let mut xml = XmlWriter::new(64);
        write(&bytes, &mut xml).unwrap();
        let text = String::from_utf8(xml.into_bytes()).unwrap();
        Some(text.split_once('\n').unwrap().1.to_owned())
    }

    #[test]
    fn what_is_read_is_written_and_nothing_else_is_read() {
        let block = |inner: &str| there_and_back("B", inner, read_block, write_block);
        let written = block("<BlockPublicPolicy>TRUE</BlockPublicPolicy>").unwrap();
        assert_eq!(
            written,
            "<BlockPublicAcls>false</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls>\
             <BlockPublicPolicy>true</BlockPublicPolicy>\
             <RestrictPublicBuckets>false</RestrictPublicBuckets>"
        );
        assert_eq!(block(&written), Some(written.clone()));
        assert_eq!(
            block("<BlockPublicPolicy>perhaps</BlockPublicPolicy>"),
            None
        );
        assert_eq!(block("<BlockAll>true</BlockAll>"), None);
        let payer = |inner: &str| there_and_back("R", inner, read_payer, write_payer);
        for word in ["BucketOwner", "Requester"] {
            let text = format!("<Payer>{word}</Payer>");
            assert_eq!(payer(&text), Some(text));
        }
        assert_eq!(payer("<Payer>Me</Payer>"), None);
        assert_eq!(payer(""), None);
        let state = |inner: &str| there_and_back("A", inner, read_accelerate, write_accelerate);
        assert_eq!(
            state("<Status>Suspended</Status>").unwrap(),
            "<Status>Suspended</Status>"
        );
        assert_eq!(state("<Status>On</Status>"), None);
    }
}
