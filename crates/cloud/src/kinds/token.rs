//! Join tokens: `t/<SHA-256 of the token's secret>`, in the registry's region only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Record;
use crate::{CloudError, MasterKey, state::State};

/// The right of one region to join, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    #[serde(rename = "v")]
    pub format: u32,
    /// Who may join with it.
    pub region: String,
    /// Milliseconds since the epoch.
    pub expires_ms: u64,
    /// Whether it gives a new key to a region that has joined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rekeys: bool,
    /// The new key, once it was shown with the token: the token is good for that one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Record for TokenRecord {
    const PREFIX: &'static str = "t/";
    const SECRET: bool = true;
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        ("t/00ff", r#"{"v":1,"region":"second","expires_ms":9}"#),
        (
            "t/01ff",
            r#"{"v":1,"region":"second","expires_ms":9,"rekeys":true,"key":"00ff"}"#,
        ),
    ];
    type Table = BTreeMap<String, Self>;

    fn put(state: &mut State, _: &MasterKey, hash: &str, value: &[u8]) -> Result<(), CloudError> {
        state.tokens.insert(hash.to_owned(), Self::read(value)?);
        Ok(())
    }

    fn remove(state: &mut State, hash: &str) -> Result<(), CloudError> {
        state.tokens.remove(hash);
        Ok(())
    }
}
