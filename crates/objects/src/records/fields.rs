//! Fields that later layouts add to a record, each with a tag, so that a new one needs no new
//! layout.

use super::codec::{Reader, Writer};
use crate::{Error, Result};

/// Tags from here on are critical: who does not know one may not serve, change, remove or send
/// what has it. Fields below are kept and sent as they are by who does not know them.
const CRITICAL: u8 = 128;

/// Tagged fields, in rising order of their tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(u8, Vec<u8>)>);

impl Fields {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of one field.
    pub fn get(&self, tag: u8) -> Option<&[u8]> {
        let found = self.0.iter().find(|(t, _)| *t == tag);
        found.map(|(_, bytes)| bytes.as_slice())
    }

    /// Sets a field, in place of one with the same tag.
    pub fn set(&mut self, tag: u8, bytes: Vec<u8>) {
        match self.0.binary_search_by_key(&tag, |(t, _)| *t) {
            Ok(at) => self.0[at].1 = bytes,
            Err(at) => self.0.insert(at, (tag, bytes)),
        }
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, tag: u8) -> Option<Vec<u8>> {
        let at = self.0.binary_search_by_key(&tag, |(t, _)| *t).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Bytes of all fields.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// A count, then each field: its tag (one byte), the length of its bytes (four), its bytes.
    pub(super) fn write(&self, out: &mut Writer) {
        out.count(self.0.len());
        for (tag, bytes) in &self.0 {
            out.u8(*tag).count(bytes.len()).raw(bytes);
        }
    }

    /// Reads them. `Error::Record` where the order is wrong, or a critical field is not in `known`.
    pub(super) fn read(r: &mut Reader<'_>, known: &[u8]) -> Result<Self> {
        let mut fields: Vec<(u8, Vec<u8>)> = Vec::new();
        for _ in 0..r.count(5)? {
            let tag = r.u8()?;
            if fields.last().is_some_and(|(last, _)| *last >= tag) {
                return Err(r.damaged());
            }
            if tag >= CRITICAL && !known.contains(&tag) {
                return Err(Error::Record(format!(
                    "it has the field {tag}, which this release of Dhow does not know: upgrade it"
                )));
            }
            let len = r.count(1)?;
            fields.push((tag, r.raw(len)?.to_vec()));
        }
        Ok(Self(fields))
    }
}
