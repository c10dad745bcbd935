//! Versions of TLS.

/// The version of TLS that a connection uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// 1.0 (RFC 2246): only a proxy in front can have it.
    V1_0,
    /// 1.1 (RFC 4346): as 1.0.
    V1_1,
    /// 1.2 (RFC 5246).
    V1_2,
    /// 1.3 (RFC 8446).
    V1_3,
}

impl TlsVersion {
    const ALL: [Self; 4] = [Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3];

    /// Its number, as policies write it.
    pub const fn number(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }

    /// The version of that number.
    pub fn of_number(number: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_by_its_number() {
        for version in TlsVersion::ALL {
            assert_eq!(TlsVersion::of_number(version.number()), Some(version));
        }
        for other in ["", "1", "1.4", "1.30", " 1.3", "TLSv1.3"] {
            assert_eq!(TlsVersion::of_number(other), None);
        }
    }
}
