//! The name of a region inside certificates.

use types::RegionId;

/// What follows a region's id in the one DNS name of its certificate. `.internal` is reserved for
/// private use (ICANN, 2024), so no public authority can issue for it.
const SUFFIX: &str = ".region.dhow.internal";

/// Whether a region's id can be in a certificate: a DNS label of RFC 1035 section 2.3.1 in lower
/// case, that is 1 to 63 letters, digits and hyphens, with no hyphen at either end.
pub fn is_region_label(id: &str) -> bool {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&id.len())
        && id.bytes().all(inside)
        && !id.starts_with('-')
        && !id.ends_with('-')
}

/// The one name in the certificate of `region`, such as `me-east-1.region.dhow.internal`; `None`
/// when the id is no DNS label.
pub fn region_dns_name(region: &RegionId) -> Option<String> {
    is_region_label(region).then(|| format!("{region}{SUFFIX}"))
}

/// The region that a certificate's DNS name identifies; the exact text form only.
pub(crate) fn region_of(dns_name: &str) -> Option<RegionId> {
    let label = dns_name.strip_suffix(SUFFIX)?;
    is_region_label(label).then(|| RegionId::new(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_stand_for_a_region() {
        let region = RegionId::new("me-east-1");
        let name = region_dns_name(&region).unwrap();
        assert_eq!(name, "me-east-1.region.dhow.internal");
        assert_eq!(region_of(&name), Some(region));
        for bad in [
            "",
            ".region.dhow.internal",
            "*.region.dhow.internal",
            "a.b.region.dhow.internal",
            "A.region.dhow.internal",
            "-a.region.dhow.internal",
            "a-.region.dhow.internal",
            "a.region.dhow.internal.",
            "a.region.dhow.internal.example.com",
            "a_b.region.dhow.internal",
            "a\0b.region.dhow.internal",
        ] {
            assert_eq!(region_of(bad), None, "{bad:?}");
        }
        assert!(region_dns_name(&RegionId::new(&"a".repeat(63))).is_some());
        assert_eq!(region_dns_name(&RegionId::new(&"a".repeat(64))), None);
    }
}
