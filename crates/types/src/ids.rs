//! Identifiers. Each is a type of its own, so that one cannot be used for another.

use std::{fmt, ops::Deref, sync::Arc};

use crate::{Random, Timestamp};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);
        impl $name {
            /// Takes the text as it is.
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }
        }
        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A tenant account: 12 decimal digits.
    AccountId
}
text_id! {
    /// The public half of an access key pair.
    AccessKeyId
}
text_id! {
    /// A region, such as `me-east-1`.
    RegionId
}

/// A bucket's own number, never used again, so that a bucket created anew under an old name
/// shares no row with its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketId(pub u64);

/// A version of an object: milliseconds (48 bits), a counter within the millisecond (16 bits),
/// the region's tag (32 bits) and randomness (32 bits). Versions made in several regions sort by
/// time, and the order is the same everywhere. The text form is 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId([u8; 16]);

impl VersionId {
    /// The 16 bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
    /// The 16 bytes, most significant first.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
    /// The last millisecond that a version can name, about the year 10889.
    pub const MS_MAX: u64 = (1 << 48) - 1;
    /// Puts a version together. `counter` orders versions of one millisecond. A time after
    /// [`VersionId::MS_MAX`] counts as that.
    pub fn new(at: Timestamp, counter: u16, region_tag: u32, random: u32) -> Self {
        let mut b = [0; 16];
        b[..6].copy_from_slice(&at.ms().min(Self::MS_MAX).to_be_bytes()[2..]);
        b[6..8].copy_from_slice(&counter.to_be_bytes());
        b[8..12].copy_from_slice(&region_tag.to_be_bytes());
        b[12..].copy_from_slice(&random.to_be_bytes());
        Self(b)
    }
    /// When the version was made, by its hybrid logical clock.
    pub fn at(&self) -> Timestamp {
        let mut ms = [0; 8];
        ms[2..].copy_from_slice(&self.0[..6]);
        Timestamp::from_ms(u64::from_be_bytes(ms))
    }
    /// Orders versions of one millisecond.
    pub fn counter(&self) -> u16 {
        u16::from_be_bytes([self.0[6], self.0[7]])
    }
    /// The tag of the region where the version was made.
    pub fn region_tag(&self) -> u32 {
        let mut tag = [0; 4];
        tag.copy_from_slice(&self.0[8..12]);
        u32::from_be_bytes(tag)
    }
    /// The bytes inverted: they sort newest first.
    pub fn newest_first(&self) -> [u8; 16] {
        self.0.map(|b| !b)
    }
    /// Reads the text form; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex16(text).map(Self)
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A version as clients name it: an id, or `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisplayVersion {
    /// Written while versioning was off or suspended.
    Null,
    /// Written while versioning was on.
    Id(VersionId),
}

impl DisplayVersion {
    /// Reads `null` or 32 hex digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            Some(Self::Null)
        } else {
            VersionId::parse(text).map(Self::Id)
        }
    }
}

impl fmt::Display for DisplayVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// A multipart upload: its time in milliseconds (64 bits) and randomness (64 bits), so that
/// uploads of one key sort by when they began. The text form is 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId([u8; 16]);

impl UploadId {
    /// A new id.
    pub fn new(at: Timestamp, random: &dyn Random) -> Self {
        let mut b = [0; 16];
        b[..8].copy_from_slice(&at.ms().to_be_bytes());
        random.fill(&mut b[8..]);
        Self(b)
    }
    /// The 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
    /// The 16 bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
    /// Reads the text form; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex16(text).map(Self)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse_hex16(text: &str) -> Option<[u8; 16]> {
    let t = text.as_bytes();
    if t.len() != 32 {
        return None;
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 16];
    for (o, pair) in out.iter_mut().zip(t.chunks_exact(2)) {
        *o = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_time_and_read_back() {
        let a = VersionId::new(Timestamp::from_ms(5), 9, u32::MAX, u32::MAX);
        let b = VersionId::new(Timestamp::from_ms(6), 0, 0, 0);
        assert!(a < b && a.newest_first() > b.newest_first());
        assert_eq!(VersionId::parse(&a.to_string()), Some(a));
        assert_eq!((a.at().ms(), a.counter()), (5, 9));
        let late = VersionId::new(Timestamp::from_ms(u64::MAX), 0, 0, 0);
        assert_eq!(late.at().ms(), VersionId::MS_MAX);
        for bad in [
            "",
            "null",
            &"g".repeat(32),
            &"A".repeat(32),
            &"0".repeat(31),
        ] {
            assert_eq!(VersionId::parse(bad), None, "{bad}");
        }
    }
}
