//! The countries of ISO 3166-1.

/// Their alpha-2 codes (iso.org, "Country Codes Collection": 249 officially assigned ones), in order.
const CODES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN \
    BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ \
    DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL \
    GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM \
    JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME \
    MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP \
    NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD \
    SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// Whether a country has this code, in capital letters.
pub(crate) fn is_code(text: &str) -> bool {
    text.len() == 2 && CODES.split(' ').any(|code| code == text)
}

/// The code that is meant where people write another one.
pub(crate) fn meant_by(text: &str) -> Option<&'static str> {
    match text {
        "UK" | "GBR" => Some("GB"),
        "UAE" | "ARE" => Some("AE"),
        "EL" | "GRC" => Some("GR"),
        "USA" => Some("US"),
        "KSA" | "SAU" => Some("SA"),
        "DEU" | "GER" => Some("DE"),
        "FRA" => Some("FR"),
        "CHN" | "PRC" => Some("CN"),
        "SU" => Some("RU"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_249_codes_in_order() {
        let all: Vec<_> = CODES.split(' ').collect();
        assert_eq!(all.len(), 249);
        assert!(all.is_sorted() && all.iter().all(|code| code.len() == 2));
        assert!(is_code("AE") && !is_code("UK") && !is_code("AE AF") && !is_code(""));
    }
}
