//! Named texts of a record, in little room: thousands of users have one policy each, and a map of
//! the library takes more for one entry than the entry itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names and texts, in order of name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub(crate) struct Texts(Box<[(Box<str>, Box<str>)]>);

impl Texts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (&**name, &**text))
    }

    /// As a map, which can be changed.
    pub(crate) fn to_map(&self) -> BTreeMap<String, String> {
        let owned = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        self.iter().map(owned).collect()
    }
}

impl From<BTreeMap<String, String>> for Texts {
    fn from(map: BTreeMap<String, String>) -> Self {
        let boxed = |(name, text): (String, String)| (name.into(), text.into());
        Self(map.into_iter().map(boxed).collect())
    }
}

impl From<Texts> for BTreeMap<String, String> {
    fn from(texts: Texts) -> Self {
        texts.to_map()
    }
}
