//! The CORS document ("Using cross-origin resource sharing (CORS)" in the S3 user guide).

use objects::{Cors, CorsRule};

use super::malformed;
use crate::{
    fault::Fault,
    s3::xml::{Element, XmlWriter},
};

pub(super) fn read(root: &Element) -> Result<Vec<u8>, Fault> {
    root.only(&["CORSRule"])?;
    let rules = root.all("CORSRule").map(read_rule);
    let cors = Cors {
        rules: rules.collect::<Result<_, _>>()?,
    };
    if cors.rules.is_empty()
        || cors
            .rules
            .iter()
            .any(|r| r.origins.is_empty() || r.methods.is_empty())
    {
        return Err(malformed());
    }
    cors.check()?;
    Ok(cors.encode())
}

fn read_rule(element: &Element) -> Result<CorsRule, Fault> {
    element.only(&[
        "ID",
        "AllowedOrigin",
        "AllowedMethod",
        "AllowedHeader",
        "ExposeHeader",
        "MaxAgeSeconds",
    ])?;
    let all = |name: &'static str| {
        let found = element.all(name);
        found.map(|e| e.text.trim().to_owned()).collect::<Vec<_>>()
    };
    let max_age = match element.text_of("MaxAgeSeconds")? {
        None => None,
        Some(text) => Some(text.trim().parse().map_err(|_| malformed())?),
    };
    Ok(CorsRule {
        id: element.text_of("ID")?.unwrap_or_default().to_owned(),
        origins: all("AllowedOrigin"),
        methods: all("AllowedMethod"),
        headers: all("AllowedHeader"),
        expose: all("ExposeHeader"),
        max_age,
    })
}

pub(super) fn write(bytes: &[u8], xml: &mut XmlWriter) -> Result<(), Fault> {
    for rule in &Cors::decode(bytes)?.rules {
        xml.open("CORSRule");
        if !rule.id.is_empty() {
            xml.element("ID", &rule.id);
        }
        for (name, list) in [
            ("AllowedHeader", &rule.headers),
            ("AllowedMethod", &rule.methods),
            ("AllowedOrigin", &rule.origins),
            ("ExposeHeader", &rule.expose),
        ] {
            for text in list {
                xml.element(name, text);
            }
        }
        if let Some(seconds) = rule.max_age {
            xml.display("MaxAgeSeconds", seconds);
        }
        xml.close("CORSRule");
    }
    Ok(())
}
