//! What a region may be called. Ids of regions and the other names that signatures may carry are
//! one set of names: keys are derived from the name, so two holders of one name have one key.

use crate::RegionId;

/// Names that mean something else wherever a region can be named.
const RESERVED: [&str; 5] = ["auto", "aws-global", "all", "any", "none"];

/// Why a text is no region's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionNameError {
    /// It is not made of the right characters.
    #[error(
        "`{0}` is no region id: 1 to 63 lower-case letters, digits and hyphens, with a letter or \
         digit at both ends"
    )]
    Shape(String),
    /// It means something else.
    #[error("`{0}` cannot be a region's id: the name is reserved")]
    Reserved(String),
}

impl RegionId {
    /// Reads the id of a region that is to be.
    ///
    /// # Errors
    /// For anything else than 1 to 63 lower-case letters, digits and hyphens with a letter or digit
    /// at both ends, and for reserved names.
    pub fn parse(text: &str) -> Result<Self, RegionNameError> {
        if !is_region_name(text) {
            let shown = text.chars().take(80).flat_map(char::escape_default);
            return Err(RegionNameError::Shape(shown.collect()));
        }
        match RESERVED.iter().any(|r| look_alike(r, text)) {
            true => Err(RegionNameError::Reserved(text.to_owned())),
            false => Ok(Self::new(text)),
        }
    }
}

/// Whether `text` has the form of a region's id; reserved names have it too.
pub fn is_region_name(text: &str) -> bool {
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|c| edge(Some(c)) || *c == b'-')
}

/// Whether a person may take one name for the other: they differ at most in hyphens, in letters
/// and digits that look the same, and in case.
pub fn look_alike(a: &str, b: &str) -> bool {
    skeleton(a) == skeleton(b)
}

fn skeleton(name: &str) -> String {
    let one = |c: char| match c.to_ascii_lowercase() {
        'l' | 'i' => '1',
        'o' => '0',
        c => c,
    };
    let plain: String = name.chars().filter(|c| *c != '-').map(one).collect();
    plain.replace("rn", "m").replace("vv", "w")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_regions() {
        for good in ["me-east-1", "a", "1", "us-east-1", &"x".repeat(63)] {
            assert_eq!(&*RegionId::parse(good).unwrap(), good);
        }
        let long = "x".repeat(64);
        for bad in [
            "",
            "-",
            "-a",
            "a-",
            "--data",
            "Me-East-1",
            "me_east",
            "me east",
            "me.east",
            "mé-1",
            "a\n",
            "a\u{1b}[31m",
            &long,
            "auto",
            "aut0",
            "au-to",
            "none",
            "al1",
            "aws-global",
        ] {
            let refused = RegionId::parse(bad).unwrap_err().to_string();
            assert!(!refused.contains(char::is_control), "{refused:?}");
        }
    }

    #[test]
    fn names_that_look_the_same() {
        for (a, b) in [
            ("us-east-1", "us-east-1"),
            ("us-east-1", "US-EAST-1"),
            ("us-east-1", "us-east-l"),
            ("us-east-1", "us-east-i"),
            ("us-east-1", "useast1"),
            ("us-east-1", "us--east-1"),
            ("cn-hongkong", "cn-h0ngk0ng"),
            ("modern-1", "modem-1"),
        ] {
            assert!(look_alike(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("us-east-1", "us-east-2"),
            ("us-east-1", "us-west-1"),
            ("eu-central-1", "me-central-1"),
            ("ap-southeast-1", "ap-southeast-2"),
        ] {
            assert!(!look_alike(a, b), "{a} {b}");
        }
    }
}
