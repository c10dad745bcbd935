//! The reference fleet: fourteen facilities on every major continent, as the fastest-growing cloud
//! of 2016 had them (South China Morning Post, 22 November 2016), with coordinates of their cities.

/// A region of the fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FleetRegion {
    /// Its id.
    pub id: &'static str,
    /// Its city.
    pub city: &'static str,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// ISO 3166-1 alpha-2.
    pub jurisdiction: &'static str,
    /// Who runs it.
    pub operator: &'static str,
}

/// Who runs regions, by id and name.
pub const OPERATORS: [(&str, &str); 4] = [
    ("own", "The cloud's owner"),
    ("yvolv", "YVOLV"),
    ("vodafone", "Vodafone"),
    ("softbank", "SoftBank"),
];

const fn at(
    id: &'static str,
    city: &'static str,
    latitude: f64,
    longitude: f64,
    jurisdiction: &'static str,
    operator: &'static str,
) -> FleetRegion {
    FleetRegion {
        id,
        city,
        latitude,
        longitude,
        jurisdiction,
        operator,
    }
}

/// The fleet. The first region keeps the registry; a fleet of fewer has one on each of several
/// continents first.
pub const WORLD: [FleetRegion; 14] = [
    at("cn-hangzhou", "Hangzhou", 30.27, 120.16, "CN", "own"),
    at("eu-central-1", "Frankfurt", 50.11, 8.68, "DE", "vodafone"),
    at("me-east-1", "Dubai", 25.20, 55.27, "AE", "yvolv"),
    at("ap-northeast-1", "Tokyo", 35.68, 139.69, "JP", "softbank"),
    at("us-east-1", "Virginia", 38.95, -77.45, "US", "own"),
    at("ap-southeast-2", "Sydney", -33.87, 151.21, "AU", "own"),
    at("ap-southeast-1", "Singapore", 1.35, 103.82, "SG", "own"),
    at("us-west-1", "Silicon Valley", 37.35, -121.95, "US", "own"),
    at("cn-hongkong", "Hong Kong", 22.32, 114.17, "HK", "own"),
    at("cn-qingdao", "Qingdao", 36.07, 120.38, "CN", "own"),
    at("cn-beijing", "Beijing", 39.90, 116.41, "CN", "own"),
    at("cn-shenzhen", "Shenzhen", 22.54, 114.06, "CN", "own"),
    at("cn-shanghai", "Shanghai", 31.23, 121.47, "CN", "own"),
    at("cn-zhangjiakou", "Zhangjiakou", 40.77, 114.89, "CN", "own"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_is_whole() {
        let ids: std::collections::BTreeSet<_> = WORLD.iter().map(|r| r.id).collect();
        assert_eq!(ids.len(), 14);
        for region in WORLD {
            let country = types::Jurisdiction::parse(region.jurisdiction);
            assert!(country.is_some_and(|j| j.is_country()), "{}", region.id);
            assert!(OPERATORS.iter().any(|(id, _)| *id == region.operator));
            assert!(region.latitude.abs() <= 90.0 && region.longitude.abs() <= 180.0);
        }
        assert_eq!(WORLD.iter().filter(|r| r.jurisdiction == "CN").count(), 6);
    }
}
