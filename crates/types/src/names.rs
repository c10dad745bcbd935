//! Names that customers give: buckets and object keys.

use std::{fmt, ops::Deref, sync::Arc};

use crate::limits::KEY_BYTES_MAX;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a bucket name.
    #[error("the bucket name must be 3 to 63 lower-case letters, digits, dots or hyphens")]
    Bucket,
    /// The key is empty.
    #[error("the object key is empty")]
    KeyEmpty,
    /// The key has more than 1,024 bytes.
    #[error("the object key is longer than 1024 bytes")]
    KeyTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// The key is not UTF-8.
    #[error("the object key is not UTF-8")]
    KeyNotUtf8,
}

/// The cloud-wide name of a bucket, by the rules of S3's "General purpose bucket naming rules".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Checks the rules: 3-63 of `a-z 0-9 . -`, starting and ending with a letter or digit, no
    /// `..`, not an IPv4 address, no reserved prefix or suffix.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let b = name.as_bytes();
        let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = (3..=63).contains(&b.len())
            && b.iter().all(|&c| edge(c) || c == b'.' || c == b'-')
            && edge(b[0])
            && edge(b[b.len() - 1])
            && !name.contains("..")
            && name.parse::<std::net::Ipv4Addr>().is_err()
            && !["xn--", "sthree-", "amzn-s3-demo-"]
                .iter()
                .any(|p| name.starts_with(p))
            && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
                .iter()
                .any(|s| name.ends_with(s));
        if good {
            Ok(Self(name.into()))
        } else {
            Err(NameError::Bucket)
        }
    }
}

impl Deref for BucketName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an object inside its bucket: any UTF-8 of 1-1024 bytes, an opaque string. It is
/// never a path and never normalised.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// Checks the length.
    pub fn new(key: &str) -> Result<Self, NameError> {
        match key.len() {
            0 => Err(NameError::KeyEmpty),
            n if n > KEY_BYTES_MAX => Err(NameError::KeyTooLong { bytes: n }),
            _ => Ok(Self(key.into())),
        }
    }
    /// Checks that the bytes are UTF-8, and the length.
    pub fn from_utf8(bytes: &[u8]) -> Result<Self, NameError> {
        Self::new(std::str::from_utf8(bytes).map_err(|_| NameError::KeyNotUtf8)?)
    }
}

impl Deref for ObjectKey {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_rules() {
        for good in ["abc", "my-bucket", "a.b.c", "1bucket", &"x".repeat(63)] {
            assert!(BucketName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "ab",
            "Abc",
            "a_b_c",
            "-abc",
            "abc-",
            ".abc",
            "a..b",
            "192.168.5.4",
            "xn--abc",
            "abc-s3alias",
            "a b c",
            "",
            "../etc",
            &"x".repeat(64),
        ] {
            assert!(BucketName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_opaque() {
        for good in [
            "..",
            "//",
            "/a",
            "a/../b",
            "\u{1}",
            "\0",
            "ü",
            &"k".repeat(1024),
        ] {
            assert_eq!(&*ObjectKey::new(good).unwrap(), good);
        }
        assert_eq!(ObjectKey::new(""), Err(NameError::KeyEmpty));
        assert_eq!(
            ObjectKey::new(&"k".repeat(1025)),
            Err(NameError::KeyTooLong { bytes: 1025 })
        );
        assert_eq!(
            ObjectKey::from_utf8(&[0xC0, 0xAF]),
            Err(NameError::KeyNotUtf8)
        );
    }
}
