//! Where data may rest: countries (ISO 3166-1 alpha-2 codes) and named groups of them.

/// The group of the member states of the European Union.
pub const EU: &str = "EU";

/// The 27 member states (europa.eu, "Country profiles"; Greece under its ISO code, not `EL`).
const EU_MEMBERS: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// Whether `country` belongs to the named `group`. The only group is `EU`.
pub fn is_member(group: &str, country: &str) -> bool {
    group == EU && EU_MEMBERS.contains(&country)
}

/// Whether `text` has the form of a country code and is not the name of a group: a region is in one
/// country. Whether there is such a country is not looked up.
pub fn is_country(text: &str) -> bool {
    text != EU && text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// Whether a deed that allows `allowed` lets data rest in `country`. An empty list sets no limit:
/// the deed's own regions are then the only rule. `is_member(group, country)` says what groups
/// there are; [`is_member`] is the usual one.
pub fn allows(allowed: &[String], country: &str, is_member: impl Fn(&str, &str) -> bool) -> bool {
    allowed.is_empty()
        || allowed
            .iter()
            .any(|a| a == country || is_member(a, country))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &[&str], country: &str) -> bool {
        let list: Vec<String> = list.iter().map(|s| (*s).to_owned()).collect();
        allows(&list, country, is_member)
    }

    #[test]
    fn countries_and_the_union_are_told_apart() {
        assert!(allowed(&["EU"], "DE"));
        assert!(allowed(&["AE", "EU"], "AE"));
        assert!(!allowed(&["EU"], "AE"));
        assert!(!allowed(&["EU"], "GB"), "left the Union in 2020");
        assert!(!allowed(&["EU"], "CH"));
        assert!(!allowed(&["DE"], "EU"));
        assert!(!allowed(&["DE"], "de"));
        assert!(allowed(&[], "AE"), "no limit set");
    }

    #[test]
    fn a_region_lies_in_one_country() {
        assert!(is_country("AE"));
        for wrong in ["EU", "ae", "A", "ARE", "", "D1"] {
            assert!(!is_country(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_union_has_27_members_in_order() {
        assert!(EU_MEMBERS.is_sorted());
        assert!(EU_MEMBERS.iter().all(|m| is_country(m)));
    }
}
