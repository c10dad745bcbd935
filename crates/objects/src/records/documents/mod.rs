//! Documents of a bucket: what a client sets for the bucket as a whole, each kind by itself. The
//! configuration has what writes are ordered with; a document can change without any write being
//! decided anew.

mod checks;

use std::{collections::BTreeMap, sync::Arc};

use types::VersionId;

use self::checks::{Checks, LIST, NONE, OWNERSHIP, POLICY};
pub(crate) use self::checks::{Stored, block, may_set, ownership};
use super::{
    Fields,
    codec::{Reader, Writer},
    list::LIST_BYTES_MAX,
};
use crate::Result;

/// A document's row.
const VERSION: u8 = 1;
const WHAT: &str = "a document of a bucket";
/// Where documents travel among the fields of a configuration: the critical ones, so a region of an
/// earlier release refuses the configuration rather than act without its policy.
const FIELDS_FROM: u8 = 128;

/// A row of the table of documents.
#[derive(Debug, Clone, Copy)]
pub struct KindRow {
    /// Which kind. Its number is the tag of its rows, and of the field in which it is sent.
    pub kind: DocumentKind,
    /// In messages and logs.
    pub name: &'static str,
    /// Bytes of it, at most, as it is stored.
    pub limit: usize,
    /// Whether it says who has access. A home takes such a document only from a region of its own
    /// operator: another could grant itself what it likes.
    pub grants: bool,
    /// What is asked before one is set.
    pub(crate) checks: &'static Checks,
}

macro_rules! kinds {
    (
        $($(#[$doc:meta])*
            $kind:ident = $tag:literal $name:literal $limit:expr,
            grants $grants:literal, checks $checks:ident;)*
    ) => {
        /// The kinds of documents. The number is the kind's in rows and on the wire: it is never
        /// used again for something else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DocumentKind {
            $($(#[$doc])* $kind = $tag,)*
        }

        static ROWS: &[KindRow] = &[$(KindRow {
            kind: DocumentKind::$kind,
            name: $name,
            limit: $limit,
            grants: $grants,
            checks: &$checks,
        },)*];
    };
}

kinds! {
    /// The bucket policy ([`StoredPolicy`]).
    Policy = 1 "bucket policy" 128 << 10, grants true, checks POLICY;
    /// Which public access is refused: one byte of four switches.
    PublicAccessBlock = 2 "public access block" 1, grants true, checks NONE;
    /// What pages of other origins may do.
    Cors = 3 "CORS configuration" 64 << 10, grants true, checks NONE;
    /// Who pays for requests: one byte.
    RequestPayment = 4 "request payment" 1, grants true, checks NONE;
    /// Whether transfer acceleration was asked for: one byte.
    Accelerate = 5 "transfer acceleration" 1, grants false, checks NONE;
    /// Who owns what is written, and whether access control lists count: one byte.
    Ownership = 6 "ownership controls" 1, grants true, checks OWNERSHIP;
    /// The access control list of the bucket itself.
    List = 7 "access control list" LIST_BYTES_MAX, grants true, checks LIST;
}

impl DocumentKind {
    /// All kinds.
    pub fn rows() -> &'static [KindRow] {
        ROWS
    }

    /// What is known of the kind.
    pub fn row(self) -> &'static KindRow {
        let found = ROWS.iter().find(|row| row.kind == self);
        found.unwrap_or(&ROWS[0])
    }

    fn of(tag: u8) -> Option<Self> {
        let found = ROWS.iter().find(|row| row.kind as u8 == tag);
        found.map(|row| row.kind)
    }
}

/// A document as it was set last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its bytes; `None` once it was deleted.
    pub bytes: Option<Arc<[u8]>>,
    /// When, by the clock that names versions: of two that were set in different regions the later
    /// one counts.
    pub set: VersionId,
}

impl Document {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        self.write(&mut out);
        out.finish()
    }

    pub(crate) fn decode(kind: DocumentKind, bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, WHAT)?;
        let document = Self::read(kind, &mut r)?;
        r.end()?;
        Ok(document)
    }

    fn write(&self, out: &mut Writer) {
        out.raw(self.set.bytes());
        match &self.bytes {
            None => out.u8(0),
            Some(bytes) => out.u8(1).count(bytes.len()).raw(bytes),
        };
    }

    fn read(kind: DocumentKind, r: &mut Reader<'_>) -> Result<Self> {
        let set = VersionId::from_bytes(r.sixteen()?);
        let bytes = match r.u8()? {
            0 => None,
            1 => {
                let len = r.count(1)?;
                Some(r.raw(len)?.into())
            }
            _ => return Err(r.damaged()),
        };
        let document = Self { bytes, set };
        match document.bytes.as_ref().map_or(0, |b| b.len()) <= kind.row().limit {
            true => Ok(document),
            false => Err(r.damaged()),
        }
    }
}

/// A policy as it is stored. One that cannot be read is no policy's text, which refuses everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredPolicy {
    /// As the client sent it.
    pub text: String,
    /// The users and roles that it names, each with its unique id when the policy was set.
    pub resolved: Vec<(String, String)>,
}

impl StoredPolicy {
    /// The bytes of the document.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.pairs(&self.resolved).text(&self.text);
        out.finish()
    }

    /// Reads them.
    ///
    /// # Errors
    /// `Record` for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, "a bucket policy")?;
        let (resolved, text) = (r.pairs()?, r.text()?);
        r.end()?;
        Ok(Self { text, resolved })
    }
}

/// The documents of a bucket that were ever set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents(pub(crate) BTreeMap<DocumentKind, Document>);

impl Documents {
    /// One of them; `None` where none was ever set.
    pub fn get(&self, kind: DocumentKind) -> Option<&Document> {
        self.0.get(&kind)
    }

    /// The bytes of one that is there.
    pub fn bytes(&self, kind: DocumentKind) -> Option<&Arc<[u8]>> {
        self.get(kind)?.bytes.as_ref()
    }

    /// Takes out all that say who has access; answers their names.
    pub fn without_grants(&mut self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.0.retain(|kind, _| {
            let row = kind.row();
            if row.grants {
                names.push(row.name);
            }
            !row.grants
        });
        names
    }

    /// Adds them to other fields of a configuration.
    pub(super) fn add_to(&self, fields: &mut Fields) {
        for (kind, document) in &self.0 {
            let mut out = Writer::new(VERSION);
            document.write(&mut out);
            fields.set(FIELDS_FROM + *kind as u8, out.finish());
        }
    }

    /// The fields in which they travel.
    pub(super) fn fields() -> Vec<u8> {
        ROWS.iter()
            .map(|row| FIELDS_FROM + row.kind as u8)
            .collect()
    }

    /// Takes them out of the fields of a configuration.
    pub(super) fn take_from(fields: &mut Fields) -> Result<Self> {
        let mut documents = Self::default();
        for row in ROWS {
            if let Some(bytes) = fields.take(FIELDS_FROM + row.kind as u8) {
                let document = Document::decode(row.kind, &bytes)?;
                documents.0.insert(row.kind, document);
            }
        }
        Ok(documents)
    }
}

/// Which kind a row is of, by what follows the prefix of its key.
pub(crate) fn kind_of(rest: &[u8]) -> Option<DocumentKind> {
    match rest {
        [tag] => DocumentKind::of(*tag),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Part;

    #[test]
    fn each_kind_has_one_row_and_keeps_its_tag() {
        let rows = DocumentKind::rows();
        let of = |(kind, tag): (DocumentKind, u8)| {
            let row = kind.row();
            assert_eq!(
                (row.kind, kind_of(&[tag])),
                (kind, Some(kind)),
                "{}",
                row.name
            );
            // The field in which it is sent has a tag of one byte, too.
            assert!(tag < u8::MAX - FIELDS_FROM && row.limit > 0, "{}", row.name);
            (tag, row.name)
        };
        let found: Vec<_> = rows
            .iter()
            .map(|row| of((row.kind, row.kind as u8)))
            .collect();
        // They are in the rows of every bucket: a new kind is added here, and none is changed.
        let ever = [
            (1, "bucket policy"),
            (2, "public access block"),
            (3, "CORS configuration"),
            (4, "request payment"),
            (5, "transfer acceleration"),
            (6, "ownership controls"),
            (7, "access control list"),
        ];
        assert_eq!(found, ever);
        let parts = Part::ALL.map(|part| (part as u8, part.name()));
        assert_eq!(parts, [(1, "versioning"), (2, "tags"), (3, "rules")]);
        assert_eq!(Documents::fields(), [129, 130, 131, 132, 133, 134, 135]);
    }
}
