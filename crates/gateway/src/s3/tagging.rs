//! Tags in XML, of buckets and of objects alike.

use super::xml::{Element, XmlWriter};
use crate::fault::{Fault, FaultKind};

/// Tags in the order in which the client gave them.
pub type Tags = Vec<(String, String)>;

/// Reads `<Tagging>`. How many tags there may be, and how long, is for `objects` to say.
pub fn read(root: &Element) -> Result<Tags, Fault> {
    root.only(&["TagSet"])?;
    read_set(root.one("TagSet")?.ok_or(FaultKind::MalformedXML)?)
}

/// Reads the `<Tag>`s in an element that holds nothing else.
pub fn read_set(set: &Element) -> Result<Tags, Fault> {
    set.only(&["Tag"])?;
    let pair = |tag: &Element| {
        tag.only(&["Key", "Value"])?;
        Ok((
            tag.required("Key")?.to_owned(),
            tag.required("Value")?.to_owned(),
        ))
    };
    set.children.iter().map(pair).collect()
}

/// Writes `<Tagging>`.
pub fn write<'a>(tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut xml = XmlWriter::document("Tagging", 512);
    xml.open("TagSet");
    for (key, value) in tags {
        xml.open("Tag")
            .element("Key", key)
            .element("Value", value)
            .close("Tag");
    }
    xml.close("TagSet");
    xml.finish("Tagging")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::xml;

    #[test]
    fn reads_what_it_writes() {
        let tags = [("a", "1"), ("<b>", ""), ("ü", "x y")];
        let root = xml::parse(&write(tags), &["Tagging"]).unwrap();
        let read = read(&root).unwrap();
        let pairs: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, tags);
    }

    #[test]
    fn other_shapes_are_malformed() {
        for bad in [
            "<Tagging/>",
            "<Tagging><TagSet/><TagSet/></Tagging>",
            "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Tag><Key>a</Key><Key>b</Key><Value/></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Tag><Key>a</Key><Value/><X/></Tag></TagSet></Tagging>",
        ] {
            let root = xml::parse(bad.as_bytes(), &["Tagging"]).unwrap();
            assert!(read(&root).is_err(), "{bad}");
        }
    }
}
