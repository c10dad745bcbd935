//! Names of objects. The region that holds a sealed replica stores versions under tokens, which
//! only say which versions are of the same object, and sends sealed names when it asks for one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Broken, BucketSeal, tag};

/// Names are filled up to a multiple of this before they are sealed, so that the length of what
/// is sealed says little of theirs.
const PAD_BYTES: usize = 64;

const NAME: &[u8] = b"name";

impl BucketSeal {
    /// What replaces a key in the region that may not know it: 43 letters, digits, `-` and `_`.
    pub fn token(&self, key: &str) -> String {
        URL_SAFE_NO_PAD.encode(&tag(&self.tokens, key.as_bytes())[..])
    }

    /// A key as that region keeps it and gives it back.
    pub fn seal_name(&self, key: &str) -> Result<String, Broken> {
        let mut padded = key.as_bytes().to_vec();
        padded.push(1);
        padded.resize(padded.len().next_multiple_of(PAD_BYTES), 0);
        Ok(URL_SAFE_NO_PAD.encode(self.names.seal(NAME, &padded)?))
    }

    /// The key again.
    pub fn open_name(&self, sealed: &str) -> Result<String, Broken> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Broken)?;
        let padded = self.names.open(NAME, &sealed)?;
        let end = padded.iter().rposition(|b| *b != 0).ok_or(Broken)?;
        let (key, _) = padded.split_at(end);
        String::from_utf8(key.to_vec()).map_err(|_| Broken)
    }
}
