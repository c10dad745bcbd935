//! XML, written fast and read strictly.

use crate::fault::{Fault, FaultKind};
use quick_xml::{Reader, events::Event};

/// The namespace of S3's documents.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 32;
/// Most elements that are read: a CompleteMultipartUpload of 10,000 parts with ten checksums each
/// has fewer.
const ELEMENTS_MAX: usize = 140_000;

/// Writes a document straight into one buffer.
#[derive(Debug)]
pub struct XmlWriter {
    out: Vec<u8>,
}

impl XmlWriter {
    /// Begins a document with the usual declaration.
    pub fn new(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { out }
    }
    /// Begins a document whose root has S3's namespace.
    pub fn document(root: &str, capacity: usize) -> Self {
        let mut xml = Self::new(capacity);
        for piece in ["<", root, " xmlns=\"", NAMESPACE, "\">"] {
            xml.raw(piece);
        }
        xml
    }
    /// Begins an element.
    pub fn open(&mut self, name: &str) -> &mut Self {
        self.out.push(b'<');
        self.raw(name);
        self.out.push(b'>');
        self
    }
    /// Ends an element.
    pub fn close(&mut self, name: &str) -> &mut Self {
        self.raw("</");
        self.raw(name);
        self.out.push(b'>');
        self
    }
    /// An element without content.
    pub fn empty(&mut self, name: &str) -> &mut Self {
        self.out.push(b'<');
        self.raw(name);
        self.raw("/>");
        self
    }
    /// An element with text, which is escaped.
    pub fn element(&mut self, name: &str, text: &str) -> &mut Self {
        self.open(name);
        self.text(text);
        self.close(name)
    }
    /// An element with text, if there is any.
    pub fn optional(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.element(name, text);
        }
        self
    }
    /// An element whose text needs no escaping because of its type: numbers, booleans, ids.
    pub fn display(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        use std::io::Write;
        self.open(name);
        // Writing into a Vec cannot fail.
        let _ = write!(self.out, "{value}");
        self.close(name)
    }
    /// Text that needs no escaping because of its type: numbers, booleans, ids, ETags.
    pub fn plain(&mut self, value: impl std::fmt::Display) -> &mut Self {
        use std::io::Write;
        // Writing into a Vec cannot fail.
        let _ = write!(self.out, "{value}");
        self
    }
    /// Bytes as they are: markup, or text that is known to need no escaping.
    pub fn raw(&mut self, markup: &str) -> &mut Self {
        self.out.extend_from_slice(markup.as_bytes());
        self
    }
    /// Escaped text. Control characters become numeric references, as S3 writes them, though
    /// XML 1.0 forbids most of them: `encoding-type=url` is the way around.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let bytes = text.as_bytes();
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let escaped: &[u8] = match byte {
                b'&' => b"&amp;",
                b'<' => b"&lt;",
                b'>' => b"&gt;",
                b'"' => b"&quot;",
                0..=0x1F => {
                    self.out.extend_from_slice(&bytes[from..at]);
                    self.reference(*byte);
                    from = at + 1;
                    continue;
                }
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[from..at]);
            self.out.extend_from_slice(escaped);
            from = at + 1;
        }
        self.out.extend_from_slice(&bytes[from..]);
        self
    }
    fn reference(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        self.raw("&#x");
        if byte > 15 {
            self.out.push(HEX[usize::from(byte >> 4)]);
        }
        self.out.push(HEX[usize::from(byte & 15)]);
        self.out.push(b';');
    }
    /// Ends the document's root and hands the document over.
    pub fn finish(mut self, root: &str) -> Vec<u8> {
        self.close(root);
        self.out
    }
    /// The bytes so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

/// An element of a document that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// The name without its namespace prefix.
    pub name: String,
    /// The text directly inside, with references resolved; not trimmed.
    pub text: String,
    /// The elements inside, in order.
    pub children: Vec<Element>,
}

impl Element {
    /// The only child of this name; more than one is `MalformedXML`.
    pub fn one(&self, name: &str) -> Result<Option<&Element>, Fault> {
        let mut found = self.children.iter().filter(|c| c.name == name);
        let first = found.next();
        match found.next() {
            Some(_) => Err(malformed()),
            None => Ok(first),
        }
    }
    /// The text of the only child of this name; a child with elements inside is `MalformedXML`.
    pub fn text_of(&self, name: &str) -> Result<Option<&str>, Fault> {
        match self.one(name)? {
            Some(child) if !child.children.is_empty() => Err(malformed()),
            child => Ok(child.map(|c| c.text.as_str())),
        }
    }
    /// The text of a child that must be there.
    pub fn required(&self, name: &str) -> Result<&str, Fault> {
        self.text_of(name)?.ok_or_else(malformed)
    }
    /// All children of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }
    /// Refuses children other than these: for documents where an element that we do not know
    /// would change what is asked for.
    pub fn only(&self, names: &[&str]) -> Result<(), Fault> {
        if self
            .children
            .iter()
            .all(|c| names.contains(&c.name.as_str()))
        {
            Ok(())
        } else {
            Err(malformed())
        }
    }
}

fn malformed() -> Fault {
    FaultKind::MalformedXML.into()
}

/// Reads a document whose root is one of `roots`. No DTD, no entities beyond the five of XML, at
/// most 32 levels; anything else is `MalformedXML`.
pub fn parse(bytes: &[u8], roots: &[&str]) -> Result<Element, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let root = read(text).ok_or_else(malformed)?;
    if roots.contains(&root.name.as_str()) {
        Ok(root)
    } else {
        Err(malformed())
    }
}

fn read(text: &str) -> Option<Element> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut count = 0;
    loop {
        let event = reader.read_event().ok()?;
        if let Event::Start(start) | Event::Empty(start) = &event {
            count += 1;
            if open.len() >= DEPTH_MAX || count > ELEMENTS_MAX || root.is_some() {
                return None;
            }
            open.push(Element {
                name: start.local_name().into_inner().to_owned(),
                ..Element::default()
            });
        }
        match event {
            Event::End(_) | Event::Empty(_) => {
                let done = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => root = Some(done),
                }
            }
            Event::Text(piece) => add_text(&mut open, &piece)?,
            Event::CData(piece) => add_text(&mut open, &piece)?,
            Event::GeneralRef(reference) => {
                let mut utf8 = [0; 4];
                let resolved = match &*reference {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "apos" => "'",
                    _ => reference.resolve_char_ref().ok()??.encode_utf8(&mut utf8),
                };
                open.last_mut()?.text.push_str(resolved);
            }
            Event::Start(_) | Event::Decl(_) | Event::Comment(_) => {}
            Event::DocType(_) | Event::PI(_) => return None,
            Event::Eof if open.is_empty() => return root,
            Event::Eof => return None,
        }
    }
}

/// Text outside the root may only be white space.
fn add_text(open: &mut [Element], piece: &str) -> Option<()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(piece),
        None if piece.trim().is_empty() => {}
        None => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        let nasty = "a&b<c>\"d\"'\u{1}é\r\n";
        let mut xml = XmlWriter::document("Root", 64);
        xml.element("Key", nasty).display("N", 7).empty("E");
        let bytes = xml.finish("Root");
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.contains("&#x1;é&#xD;&#xA;"), "{text}");
        let root = parse(text.replace("&#x1;", "").as_bytes(), &["Root"]).unwrap();
        assert_eq!(
            root.required("Key").unwrap(),
            nasty.replace('\u{1}', "").as_str()
        );
        assert_eq!(root.required("N").unwrap(), "7");
        assert_eq!(root.text_of("E").unwrap(), Some(""));
        assert_eq!(root.text_of("None").unwrap(), None);
    }

    #[test]
    fn s11_hostile_documents_are_refused() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        for bad in [
            "",
            "<a>",
            "<a></b>",
            "<a/><a/>",
            "<a/>text",
            "text<a/>",
            "<b/>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
            "<?php x?><a/>",
            "<a>&unknown;</a>",
            "<a>&#0;</a>",
            deep.as_str(),
        ] {
            assert!(parse(bad.as_bytes(), &["a"]).is_err(), "{bad}");
        }
        assert!(parse(b"<a>\xFF</a>", &["a"]).is_err());
        let many = format!("<a>{}</a>", "<b/>".repeat(140_001));
        assert!(parse(many.as_bytes(), &["a"]).is_err());
    }

    #[test]
    fn namespaces_comments_and_cdata_are_read() {
        let text =
            "<?xml version=\"1.0\"?><!-- x --><s:a xmlns:s=\"x\"><s:b>1<![CDATA[<2>]]></s:b></s:a>";
        let root = parse(text.as_bytes(), &["a"]).unwrap();
        assert_eq!(root.required("b").unwrap(), "1<2>");
        let twice = parse(b"<a><b/><b/></a>", &["a"]).unwrap();
        assert!(twice.required("b").is_err());
        assert!(twice.only(&["c"]).is_err());
    }
}
