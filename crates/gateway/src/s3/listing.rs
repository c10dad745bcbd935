//! What the handlers of all listings share: page sizes, `encoding-type`, names in XML.

use types::{Timestamp, limits::PAGE_KEYS_MAX};

use super::xml::XmlWriter;
use crate::{fault::Fault, query::Query};

/// Reads `max-keys`, `max-uploads` or `max-parts`: 1000 when absent or larger; negative or not a
/// number is `InvalidArgument`.
pub(crate) fn page_size(query: &Query, name: &str) -> Result<usize, Fault> {
    let Some(text) = query.get(name).filter(|text| !text.is_empty()) else {
        return Ok(PAGE_KEYS_MAX);
    };
    let refused = |why| Err(Fault::argument(name, text, why));
    match text.parse::<i64>() {
        Ok(n @ 0..=0x7FFF_FFFF) => Ok((n as usize).min(PAGE_KEYS_MAX)),
        Ok(_) => refused(format!(
            "Argument {name} must be an integer between 0 and 2147483647"
        )),
        Err(_) => refused(format!(
            "Provided {name} not an integer or within integer range"
        )),
    }
}

/// A parameter that counts only when it is not empty.
pub(crate) fn non_empty<'q>(query: &'q Query, name: &str) -> Option<&'q str> {
    query.get(name).filter(|text| !text.is_empty())
}

/// How names are written into a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As XML text.
    Xml,
    /// Percent-encoded, as `encoding-type=url` asks for.
    Url,
}

impl Encoding {
    /// Reads `encoding-type`.
    pub(crate) fn of(query: &Query) -> Result<Self, Fault> {
        match query.get("encoding-type") {
            None | Some("") => Ok(Self::Xml),
            Some("url") => Ok(Self::Url),
            Some(other) => Err(Fault::argument(
                "encoding-type",
                other,
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    /// Says to the client that names are encoded.
    pub(crate) fn declare(self, xml: &mut XmlWriter) {
        if self == Self::Url {
            xml.element("EncodingType", "url");
        }
    }

    /// An element with a name.
    pub(crate) fn element(self, xml: &mut XmlWriter, element: &str, name: &str) {
        xml.open(element);
        match self {
            Self::Xml => xml.text(name),
            Self::Url => url(xml, name),
        };
        xml.close(element);
    }

    /// An element with a name, if there is one.
    pub(crate) fn optional(self, xml: &mut XmlWriter, element: &str, name: Option<&str>) {
        if let Some(name) = name {
            self.element(xml, element, name);
        }
    }

    /// The `CommonPrefixes` of a page.
    pub(crate) fn prefixes(self, xml: &mut XmlWriter, prefixes: &[String]) {
        for prefix in prefixes {
            xml.open("CommonPrefixes");
            self.element(xml, "Prefix", prefix);
            xml.close("CommonPrefixes");
        }
    }
}

/// Percent-encodes all but letters, digits and `-_.~/*`. A space becomes `%20`: some clients
/// take a `+` for a space and some do not, but all of them read this.
fn url<'x>(xml: &'x mut XmlWriter, name: &str) -> &'x mut XmlWriter {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'/' | b'*');
    let mut rest = name;
    while let Some(at) = rest.bytes().position(|b| !plain(b)) {
        xml.raw(&rest[..at]);
        let character = rest[at..].chars().next().map_or(1, char::len_utf8);
        for byte in rest[at..at + character].bytes() {
            let pair = [
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ];
            xml.raw(std::str::from_utf8(&pair).unwrap_or_default());
        }
        rest = &rest[at + character..];
    }
    xml.raw(rest)
}

/// Writes a time as S3 does, without allocating anew for times within one second.
#[derive(Default)]
pub(crate) struct Times {
    second: Option<u64>,
    text: String,
}

impl Times {
    /// An element with a time, to the second, as headers have it: clients compare the two.
    pub(crate) fn element(&mut self, xml: &mut XmlWriter, name: &str, at: Timestamp) {
        if self.second != Some(at.s()) {
            self.second = Some(at.s());
            self.text = Timestamp::from_s(at.s()).iso8601();
        }
        xml.open(name).raw(&self.text).close(name);
    }
}

/// The owner of what is listed, by its canonical id.
pub(crate) fn owner(xml: &mut XmlWriter, element: &str, id: &str) {
    xml.open(element).element("ID", id).close(element);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        let own = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        Query(pairs.iter().map(own).collect())
    }

    #[test]
    fn page_sizes() {
        let size = |text| page_size(&query(&[("max-keys", text)]), "max-keys");
        assert_eq!(page_size(&query(&[]), "max-keys").unwrap(), 1000);
        assert_eq!(size("").unwrap(), 1000);
        assert_eq!(size("0").unwrap(), 0);
        assert_eq!(size("7").unwrap(), 7);
        assert_eq!(size("1001").unwrap(), 1000);
        for bad in ["-1", "x", "2147483648", "1.5"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_encoded_so_that_every_client_reads_them() {
        let written = |encoding: Encoding, name| {
            let mut xml = XmlWriter::new(64);
            let from = xml_len(&xml);
            encoding.element(&mut xml, "K", name);
            String::from_utf8(xml.into_bytes()[from..].to_vec()).unwrap()
        };
        let name = "a b+c/ü~*%\n\u{1}&";
        assert_eq!(
            written(Encoding::Url, name),
            "<K>a%20b%2Bc/%C3%BC~*%25%0A%01%26</K>"
        );
        assert_eq!(
            written(Encoding::Xml, name),
            "<K>a b+c/ü~*%&#xA;&#x1;&amp;</K>"
        );
        assert!(Encoding::of(&query(&[("encoding-type", "base64")])).is_err());
    }

    fn xml_len(_: &XmlWriter) -> usize {
        XmlWriter::new(0).into_bytes().len()
    }

    #[test]
    fn times_of_one_second_are_written_alike() {
        let mut times = Times::default();
        for ms in [1_445_412_480_123, 1_445_412_480_007, 1_445_412_481_000, 0] {
            let at = Timestamp::from_ms(ms);
            let mut xml = XmlWriter::new(64);
            times.element(&mut xml, "T", at);
            let text = String::from_utf8(xml.into_bytes()).unwrap();
            assert!(
                text.ends_with(&format!("<T>{}</T>", Timestamp::from_s(at.s()).iso8601())),
                "{text}"
            );
        }
    }
}
