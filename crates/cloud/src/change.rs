//! A change of the registry: the rows that it writes and removes, and the entry of the audit log
//! that says so. The entry holds a digest of the rows, so that whoever trusts the chain can trust
//! the rows, also where a secret's row is only named and not shown.

use std::fmt::Display;

use proof::chain::{Entry, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use types::Actor;

use crate::{
    CloudError, MasterKey,
    kinds::{Kind, Record},
    state::State,
};

/// What has become of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RowNow {
    /// It was written: JSON.
    Value(String),
    /// It was written; only the SHA-256 of its value (hex) is shown here.
    Hidden(String),
    /// It was removed.
    Removed,
}

/// One row of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowChange {
    pub key: String,
    pub now: RowNow,
}

impl RowChange {
    /// `id` is the key without its kind's prefix.
    pub(crate) fn put<R: Record>(id: impl Display, record: &R) -> Result<Self, CloudError> {
        Ok(Self {
            key: R::key(id),
            now: RowNow::Value(record.write()?),
        })
    }
    pub(crate) fn remove<R: Record>(id: impl Display) -> Self {
        Self {
            key: R::key(id),
            now: RowNow::Removed,
        }
    }
    fn bytes(&self) -> usize {
        self.key.len()
            + match &self.now {
                RowNow::Value(text) | RowNow::Hidden(text) => text.len(),
                RowNow::Removed => 0,
            }
    }

    /// As the audit log and other regions may see it.
    fn shown(&self) -> Self {
        match &self.now {
            RowNow::Value(value) if is_secret(&self.key) => Self {
                key: self.key.clone(),
                now: RowNow::Hidden(sha256(value)),
            },
            _ => self.clone(),
        }
    }
}

/// Whether rows with such a key stay in the registry's region.
fn is_secret(key: &str) -> bool {
    Kind::of_key(key).map_or(true, |(kind, _)| kind.secret)
}

/// Bytes of one change as it is kept, in JSON: as many as a row of every engine may have, far fewer
/// than an answer between regions.
pub(crate) const CHANGE_BYTES_MAX: usize = store::VALUE_BYTES_MAX;
/// What a change has beside its rows and texts: hashes, numbers, names of fields.
const FRAME_BYTES: usize = 600;

/// A change, as it is kept (`e/<20 digits>`) and as other regions get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub entry: Entry,
    pub rows: Vec<RowChange>,
}

/// What a change is about, before it has its place in the chain.
pub(crate) struct Draft {
    pub actor: Actor,
    pub action: &'static str,
    pub subject: String,
    pub detail: Value,
    pub rows: Vec<RowChange>,
}

impl Draft {
    /// Puts the change into its place behind `last`.
    pub(crate) fn seal(
        &self,
        last: Option<&Entry>,
        at: types::Timestamp,
    ) -> Result<Change, CloudError> {
        let mut detail = self.detail.clone();
        if let Value::Object(fields) = &mut detail {
            fields.insert("rows_sha256".to_owned(), digest(&self.rows).into());
        }
        let entry = Entry::next(
            last,
            at,
            &self.actor.to_string(),
            self.action,
            &self.subject,
            &detail,
        );
        Ok(Change {
            entry: entry.map_err(|e| CloudError::Record(e.to_string()))?,
            rows: self.rows.iter().map(RowChange::shown).collect(),
        })
    }

    /// Refuses a change that no region could receive: nothing behind it would reach any of them.
    ///
    /// # Errors
    /// [`CloudError::Limit`].
    pub(crate) fn fits(&self) -> Result<(), CloudError> {
        let rows: Vec<_> = self.rows.iter().map(RowChange::shown).collect();
        let texts = [
            self.actor.to_string(),
            self.subject.clone(),
            self.detail.to_string(),
        ];
        let written = serde_json::to_vec(&(rows, texts));
        let written = written.map_err(|e| CloudError::Record(e.to_string()))?;
        let bytes = written.len() + FRAME_BYTES;
        match bytes <= CHANGE_BYTES_MAX || types::planted("changes-of-any-length") {
            true => Ok(()),
            false => Err(CloudError::Limit(format!(
                "this change ({} of {}) would have {bytes} bytes, and one has {CHANGE_BYTES_MAX} at \
                 most: no other region could receive it, nor any change after it",
                self.action,
                types::text::shown(&self.subject, 64),
            ))),
        }
    }
}

impl Change {
    /// Whether this follows `last` and its rows are those that its entry speaks of.
    pub(crate) fn check(&self, last: Option<&Entry>) -> Result<(), CloudError> {
        let wrong = |why: String| CloudError::History(self.entry.number, why);
        let bytes = self.bytes();
        if bytes > CHANGE_BYTES_MAX {
            return Err(CloudError::Limit(format!(
                "entry {} of the audit log has {bytes} bytes with its rows, and {CHANGE_BYTES_MAX} \
                 are taken over at most",
                self.entry.number
            )));
        }
        let mut chain = last.map_or_else(Verifier::new, |last| Verifier::after(last.head()));
        chain.push(&self.entry).map_err(|e| wrong(e.to_string()))?;
        if last.is_some_and(|last| last.at_ms > self.entry.at_ms) {
            return Err(wrong("it is dated before the entry that it follows".into()));
        }
        let detail: Value =
            serde_json::from_str(&self.entry.detail).map_err(|e| wrong(e.to_string()))?;
        match detail.get("rows_sha256").and_then(Value::as_str) {
            Some(told) if told == digest(&self.rows) => Ok(()),
            _ => Err(wrong("its rows are not those that it speaks of".into())),
        }
    }
}

impl Change {
    /// About how long it is: its texts.
    pub(crate) fn bytes(&self) -> usize {
        let Entry {
            actor,
            subject,
            detail,
            ..
        } = &self.entry;
        let rows: usize = self.rows.iter().map(RowChange::bytes).sum();
        rows + actor.len() + subject.len() + detail.len()
    }

    /// The key without its prefix of the entry of this number.
    pub(crate) fn id(number: u64) -> String {
        format!("{number:020}")
    }
}

impl Record for Change {
    const PREFIX: &'static str = "e/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "e/00000000000000000000",
        concat!(
            r#"{"entry":{"v":1,"number":0,"at_ms":1,"actor":"system","action":"key."#,
            r#"create","subject":"DHOWONE","detail":"{\"account\":\"000000000001\","#,
            r#"\"rows_sha256\":\"b100c9a9bcfe32e658189993d00d6b068ea4cfb3a88560a659"#,
            r#"371d00cfe3d167\"}","previous":"0000000000000000000000000000000000000"#,
            r#"000000000000000000000000000","hash":"2fa7d48944ca08fab1d1de57279856d"#,
            r#"4507e4f608db06866272520f812ad9cf1"},"rows":[{"key":"k/DHOWONE","now""#,
            r#":{"hidden":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f6"#,
            r#"1caaff8a"}},{"key":"o/op","now":{"value":"{}"}},{"key":"t/00ff","now"#,
            r#"":"removed"}]}"#,
        ),
    )];
    type Table = Option<Entry>;

    /// An entry has no format version: it never changes.
    fn read(value: &[u8]) -> Result<Self, CloudError> {
        serde_json::from_slice(value).map_err(|e| CloudError::Record(e.to_string()))
    }

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let change = Self::read(value)
            .map_err(|e| CloudError::Record(format!("entry {id} of the audit log: {e}")))?;
        let entry = &change.entry;
        for row in &change.rows {
            if let Ok((kind, id)) = Kind::of_key(&row.key) {
                (kind.logged)(state, id, &row.now, entry.number);
            }
        }
        state.keys.logged(entry);
        state.last = Some(change.entry);
        Ok(())
    }
}

/// The digest of a row's value, as a change shows it.
pub(crate) fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// SHA-256 over each row's key, what became of it, and the digest of its value; every piece with
/// its length before it.
fn digest(rows: &[RowChange]) -> String {
    let mut hash = Sha256::new();
    let mut piece = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    for row in rows {
        piece(&row.key);
        match &row.now {
            RowNow::Value(value) => piece(&sha256(value)),
            RowNow::Hidden(value) => piece(value),
            RowNow::Removed => piece("removed"),
        }
    }
    hex::encode(hash.finalize())
}
