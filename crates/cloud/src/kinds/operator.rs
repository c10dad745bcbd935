//! Operators: `o/<operator id>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Record;
use crate::{CloudError, MasterKey, state::State};

/// The legal party that runs a region's machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Format version.
    #[serde(rename = "v")]
    pub format: u32,
    /// Lower-case letters, digits and hyphens.
    pub id: String,
    /// For people.
    pub name: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
}

/// Whether `text` can name an operator.
pub(crate) fn is_id(text: &str) -> bool {
    let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(letter)
}

impl Record for Operator {
    const PREFIX: &'static str = "o/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "o/op",
        r#"{"v":1,"id":"op","name":"An operator","created_ms":1}"#,
    )];
    type Table = BTreeMap<String, Self>;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        state.operators.insert(id.to_owned(), Self::read(value)?);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.operators.remove(id);
        Ok(())
    }
}
