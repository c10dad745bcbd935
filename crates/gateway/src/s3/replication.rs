//! Replication configurations in XML: both forms of a rule, that with `Filter` and the older one
//! with `Prefix` alone.

use objects::{Rule, Rules};
use types::{BucketName, Timestamp};

use super::xml::{Element, XmlWriter};
use crate::fault::{Fault, FaultKind};

/// The root element.
pub const ROOT: &str = "ReplicationConfiguration";
/// "You can have up to 1,000 rules" (S3 User Guide, "Replication configuration").
const RULES_MAX: usize = 1000;
const ID_CHARS_MAX: usize = 255;
const PREFIX_BYTES_MAX: usize = 1024;
const ARN: &str = "arn:aws:s3:::";

fn invalid(message: &str) -> Fault {
    Fault::with(FaultKind::InvalidRequest, message)
}

fn malformed() -> Fault {
    FaultKind::MalformedXML.into()
}

/// Reads a configuration. Whether the destinations will do is not looked at here.
///
/// # Errors
/// `MalformedXML`, `InvalidRequest`, `InvalidArgument`; `NotImplemented` names the element that
/// asks for what is not there.
pub fn read(root: &Element) -> Result<Rules, Fault> {
    root.only(&["Role", "Rule"])?;
    let role = root.required("Role")?.trim().to_owned();
    let mut rules: Vec<Rule> = Vec::new();
    for (n, element) in root.all("Rule").enumerate() {
        if n == RULES_MAX {
            return Err(invalid("There may be at most 1,000 rules"));
        }
        rules.push(rule(element, n)?);
    }
    if rules.is_empty() {
        return Err(malformed());
    }
    for (n, rule) in rules.iter().enumerate() {
        let before = rules.iter().take(n);
        for other in before {
            if other.id == rule.id {
                return Err(invalid("Rule Id must be unique."));
            }
            let same = other.destination == rule.destination && other.priority == rule.priority;
            if same && rule.filtered && other.filtered {
                return Err(invalid("Found duplicate priority for one destination"));
            }
        }
    }
    Ok(Rules { role, rules })
}

/// `Status` of an element: whether it is Enabled.
fn enabled(element: &Element) -> Result<bool, Fault> {
    match element.text_of("Status")? {
        Some("Enabled") => Ok(true),
        Some("Disabled") => Ok(false),
        _ => Err(malformed()),
    }
}

/// An element with a `Status` that may be missing.
fn switch(rule: &Element, name: &str) -> Result<Option<bool>, Fault> {
    rule.one(name)?.map(enabled).transpose()
}

fn rule(element: &Element, n: usize) -> Result<Rule, Fault> {
    element.only(&[
        "ID",
        "Priority",
        "Prefix",
        "Filter",
        "Status",
        "SourceSelectionCriteria",
        "ExistingObjectReplication",
        "Destination",
        "DeleteMarkerReplication",
    ])?;
    if let Some(criteria) = element.one("SourceSelectionCriteria")? {
        for child in &criteria.children {
            if enabled(child)? {
                return Err(Fault::not_implemented(&child.name));
            }
        }
    }
    let id = match element.text_of("ID")? {
        Some(id) if id.chars().count() > ID_CHARS_MAX => {
            return Err(Fault::argument("ID", id, "ID length should not exceed 255"));
        }
        Some(id) if !id.is_empty() => id.to_owned(),
        // S3 makes one up.
        _ => format!("rule-{}", n + 1),
    };
    let filter = element.one("Filter")?;
    let (prefix, tags) = match (filter, element.text_of("Prefix")?) {
        (Some(_), Some(_)) => return Err(malformed()),
        (Some(filter), None) => read_filter(filter)?,
        (None, prefix) => (prefix.unwrap_or_default().to_owned(), Vec::new()),
    };
    if prefix.len() > PREFIX_BYTES_MAX {
        return Err(Fault::argument("Prefix", &prefix, "The prefix is too long"));
    }
    let markers = switch(element, "DeleteMarkerReplication")?;
    let priority = priority(element, filter.is_some(), markers, &tags)?;
    let destination = element.one("Destination")?.ok_or_else(malformed)?;
    Ok(Rule {
        id,
        priority,
        enabled: enabled(element)?,
        prefix,
        tags,
        filtered: filter.is_some(),
        // Rules of the older form always take delete markers along.
        delete_markers: markers.unwrap_or(filter.is_none()),
        existing: switch(element, "ExistingObjectReplication")?.unwrap_or(false),
        destination: read_destination(destination)?,
        since: Timestamp::default(),
    })
}

/// The priority of a rule; one with a filter must have it, and say what becomes of delete markers.
fn priority(
    element: &Element,
    filtered: bool,
    markers: Option<bool>,
    tags: &[(String, String)],
) -> Result<i32, Fault> {
    let text = element.text_of("Priority")?;
    if filtered && text.is_none() {
        return Err(invalid(
            "Priority must be specified for this version of rule",
        ));
    }
    if filtered && markers.is_none() {
        return Err(invalid(
            "DeleteMarkerReplication must be specified for this version of rule",
        ));
    }
    if markers == Some(true) && !tags.is_empty() {
        return Err(invalid(
            "Delete marker replication is not supported if any Tag filter is specified",
        ));
    }
    match text {
        None => Ok(0),
        Some(text) => {
            let number = text.trim().parse().ok().filter(|p| *p >= 0);
            number.ok_or_else(malformed)
        }
    }
}

type Filter = (String, Vec<(String, String)>);

fn read_filter(filter: &Element) -> Result<Filter, Fault> {
    filter.only(&["Prefix", "Tag", "And"])?;
    match filter.children.as_slice() {
        [] => Ok((String::new(), Vec::new())),
        [one] if one.name == "And" => {
            one.only(&["Prefix", "Tag"])?;
            let prefix = one.text_of("Prefix")?.unwrap_or_default().to_owned();
            let tags: Vec<_> = one.all("Tag").map(read_tag).collect::<Result<_, _>>()?;
            let mut names: Vec<&String> = tags.iter().map(|(name, _)| name).collect();
            names.sort();
            match names.windows(2).any(|pair| pair[0] == pair[1]) {
                true => Err(invalid("Duplicate Tag Keys are not allowed.")),
                false => Ok((prefix, tags)),
            }
        }
        [one] if one.name == "Tag" => Ok((String::new(), vec![read_tag(one)?])),
        [one] => Ok((one.text.clone(), Vec::new())),
        _ => Err(malformed()),
    }
}

fn read_tag(tag: &Element) -> Result<(String, String), Fault> {
    tag.only(&["Key", "Value"])?;
    Ok((
        tag.required("Key")?.to_owned(),
        tag.required("Value")?.to_owned(),
    ))
}

fn read_destination(element: &Element) -> Result<BucketName, Fault> {
    element.only(&[
        "Bucket",
        "Account",
        "StorageClass",
        "AccessControlTranslation",
        "EncryptionConfiguration",
        "ReplicationTime",
        "Metrics",
    ])?;
    for name in [
        "AccessControlTranslation",
        "EncryptionConfiguration",
        "Account",
    ] {
        if element.one(name)?.is_some() {
            return Err(Fault::not_implemented(name));
        }
    }
    if switch(element, "ReplicationTime")? == Some(true) {
        return Err(Fault::not_implemented("ReplicationTime"));
    }
    // Metrics are there in any case.
    switch(element, "Metrics")?;
    match element.text_of("StorageClass")? {
        None | Some("STANDARD") => {}
        Some(_) => return Err(Fault::not_implemented("StorageClass")),
    }
    let arn = element.required("Bucket")?.trim();
    let name = arn
        .strip_prefix(ARN)
        .and_then(|name| BucketName::new(name).ok());
    name.ok_or_else(|| Fault::argument("Bucket", arn, "Invalid bucket ARN"))
}

/// Writes a configuration as it was given.
pub fn write(rules: &Rules) -> Vec<u8> {
    let mut xml = XmlWriter::document(ROOT, 1024);
    xml.element("Role", &rules.role);
    for rule in &rules.rules {
        xml.open("Rule").element("ID", &rule.id);
        match rule.filtered {
            true => {
                xml.display("Priority", rule.priority).open("Filter");
                write_filter(&mut xml, rule);
                xml.close("Filter");
            }
            false => {
                xml.element("Prefix", &rule.prefix);
            }
        }
        let word = |on| if on { "Enabled" } else { "Disabled" };
        xml.element("Status", word(rule.enabled));
        if rule.existing {
            xml.open("ExistingObjectReplication")
                .element("Status", "Enabled")
                .close("ExistingObjectReplication");
        }
        xml.open("Destination")
            .element("Bucket", &format!("{ARN}{}", rule.destination))
            .close("Destination");
        if rule.filtered {
            xml.open("DeleteMarkerReplication")
                .element("Status", word(rule.delete_markers))
                .close("DeleteMarkerReplication");
        }
        xml.close("Rule");
    }
    xml.finish(ROOT)
}

fn write_filter(xml: &mut XmlWriter, rule: &Rule) {
    let tag = |xml: &mut XmlWriter, (key, value): &(String, String)| {
        xml.open("Tag")
            .element("Key", key)
            .element("Value", value)
            .close("Tag");
    };
    match (rule.tags.as_slice(), rule.prefix.is_empty()) {
        ([], _) => {
            xml.element("Prefix", &rule.prefix);
        }
        ([one], true) => tag(xml, one),
        (tags, _) => {
            xml.open("And");
            if !rule.prefix.is_empty() {
                xml.element("Prefix", &rule.prefix);
            }
            for one in tags {
                tag(xml, one);
            }
            xml.close("And");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::xml;

    const TO: &str = "<Destination><Bucket>arn:aws:s3:::other</Bucket></Destination>";
    const OFF: &str = "<DeleteMarkerReplication><Status>Disabled</Status>\
                       </DeleteMarkerReplication>";

    fn config(rules: &str) -> Result<Rules, &'static str> {
        let text = format!("<{ROOT}><Role>r</Role>{rules}</{ROOT}>");
        let root = xml::parse(text.as_bytes(), &[ROOT]).unwrap();
        read(&root).map_err(|e| e.kind.name())
    }

    fn filtered(id: &str, filter: &str, more: &str) -> String {
        format!(
            "<Rule><ID>{id}</ID><Priority>1</Priority><Filter>{filter}</Filter>\
             <Status>Enabled</Status>{TO}{OFF}{more}</Rule>"
        )
    }

    #[test]
    fn what_is_written_reads_back() {
        let tag = "<Tag><Key>a</Key><Value>1</Value></Tag>";
        let second = tag.replace(">a<", ">b<");
        for filter in [
            String::new(),
            "<Prefix>logs/</Prefix>".to_owned(),
            tag.to_owned(),
            format!("<And><Prefix>p</Prefix>{tag}</And>"),
            format!("<And>{tag}{second}</And>"),
        ] {
            let rules = config(&filtered("x", &filter, "")).unwrap();
            let root = xml::parse(&write(&rules), &[ROOT]).unwrap();
            assert_eq!(read(&root).unwrap(), rules, "{filter}");
        }
        let old = format!("<Rule><Prefix>p</Prefix><Status>Disabled</Status>{TO}</Rule>");
        let rules = config(&old).unwrap();
        let rule = &rules.rules[0];
        assert!(rule.delete_markers && !rule.filtered && !rule.enabled);
        assert_eq!(
            read(&xml::parse(&write(&rules), &[ROOT]).unwrap()).unwrap(),
            rules
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let on = OFF.replace("Disabled", "Enabled");
        let tag = "<Tag><Key>a</Key><Value>1</Value></Tag>";
        let with_markers = filtered("x", tag, "").replace(OFF, &on);
        let to = |inner: &str| filtered("x", "", "").replace("</Destination>", inner);
        let many = filtered("same", "", "").repeat(2);
        let priority = filtered("a", "", "") + &filtered("b", "", "");
        for (rules, code) in [
            (String::new(), "MalformedXML"),
            ("<Rule/>".to_owned(), "MalformedXML"),
            (filtered("x", "<Colour/>", ""), "MalformedXML"),
            (filtered("x", "<Prefix/><Prefix/>", ""), "MalformedXML"),
            (filtered("x", "", "<Prefix>p</Prefix>"), "MalformedXML"),
            (with_markers, "InvalidRequest"),
            (filtered("x", "", "").replace(OFF, ""), "InvalidRequest"),
            (
                filtered("x", "", "").replace("<Priority>1</Priority>", ""),
                "InvalidRequest",
            ),
            (
                filtered("x", &format!("<And>{tag}{tag}</And>"), ""),
                "InvalidRequest",
            ),
            (filtered(&"x".repeat(256), "", ""), "InvalidArgument"),
            (
                filtered("x", "", "").replace("arn:aws:s3:::other", "other"),
                "InvalidArgument",
            ),
            (
                to("<StorageClass>GLACIER</StorageClass></Destination>"),
                "NotImplemented",
            ),
            (to("<Account>1</Account></Destination>"), "NotImplemented"),
            (
                to("<ReplicationTime><Status>Enabled</Status></ReplicationTime></Destination>"),
                "NotImplemented",
            ),
            (many, "InvalidRequest"),
            (priority, "InvalidRequest"),
        ] {
            assert_eq!(config(&rules).map(drop), Err(code), "{rules}");
        }
    }
}
