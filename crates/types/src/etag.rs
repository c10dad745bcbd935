//! Entity tags: what S3 calls the ETag of an object.

use std::fmt;

/// The MD5 of the bytes, or, of an object put together from parts, the MD5 of the parts' MD5s and
/// the number of parts. The text form (without quotes) is hex, with `-N` when there are parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag {
    /// The digest.
    pub md5: [u8; 16],
    /// How many parts; 0 for an object that was put whole.
    pub parts: u16,
}

impl ETag {
    /// Of an object put whole.
    pub const fn whole(md5: [u8; 16]) -> Self {
        Self { md5, parts: 0 }
    }
    /// Reads the text form, with or without quotes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let t = text
            .strip_prefix('"')
            .and_then(|t| t.strip_suffix('"'))
            .unwrap_or(text);
        let (hex, parts) = match t.split_once('-') {
            Some((hex, n)) => (hex, n.parse().ok().filter(|n| *n > 0)?),
            None => (t, 0),
        };
        if hex.len() != 32 || !hex.is_ascii() {
            return None;
        }
        let mut md5 = [0; 16];
        for (i, b) in md5.iter_mut().enumerate() {
            *b = u8::from_str_radix(hex.get(i * 2..i * 2 + 2)?, 16).ok()?;
        }
        Some(Self { md5, parts })
    }
    /// The text form in double quotes, as headers and XML carry it.
    pub fn quoted(&self) -> String {
        if self.parts > 0 {
            return format!("\"{self}\"");
        }
        let mut text = String::with_capacity(34);
        text.push('"');
        text.push_str(std::str::from_utf8(&self.hex()).unwrap_or_default());
        text.push('"');
        text
    }

    fn hex(&self) -> [u8; 32] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0u8; 32];
        for (pair, b) in text.chunks_exact_mut(2).zip(self.md5) {
            pair[0] = HEX[usize::from(b >> 4)];
            pair[1] = HEX[usize::from(b & 15)];
        }
        text
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())?;
        if self.parts > 0 {
            write!(f, "-{}", self.parts)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back() {
        for e in [
            ETag::whole([7; 16]),
            ETag {
                md5: [0xAB; 16],
                parts: 12,
            },
        ] {
            assert_eq!(ETag::parse(&e.to_string()), Some(e));
            assert_eq!(ETag::parse(&e.quoted()), Some(e));
        }
        assert_eq!(ETag::parse("x"), None);
        assert_eq!(ETag::parse(&format!("{}-0", "0".repeat(32))), None);
    }
}
