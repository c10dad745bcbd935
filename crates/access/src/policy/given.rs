//! Values of condition keys that somebody states in place of those of a request: to learn what
//! would be decided.

use super::keys::{Conditions, Key, Tags};

/// Values of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given(Vec<Stated>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stated {
    key: Key,
    /// Of a tag.
    name: String,
    values: Vec<String>,
}

/// Why something is not the value of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    /// No request has such a key here.
    #[error("no request has a value for {0} here")]
    Unknown(String),
    /// It is the caller's, or the resource's.
    #[error("{0} is what the caller or the resource is, and cannot be stated")]
    OfCaller(String),
    /// The key has values of another type.
    #[error("{0} has no such value: {1}")]
    Type(String, String),
}

/// The tags that a key is about.
fn family(key: Key) -> Option<Family> {
    match key {
        Key::ExistingObjectTag => Some(Family::Existing),
        Key::RequestObjectTag => Some(Family::GivenToObject),
        Key::ResourceTag | Key::BucketTag | Key::IamResourceTag => Some(Family::Resource),
        Key::RequestTag => Some(Family::Given),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Existing,
    GivenToObject,
    Resource,
    Given,
}

impl Given {
    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// States a value of a key, such as `aws:SourceIp`; of a key with several values one more.
    ///
    /// # Errors
    /// It can have none, or not this one.
    pub fn add(&mut self, key: &str, value: &str) -> Result<(), NoValue> {
        let (own, name) = Key::parse(key);
        match own {
            Key::Claim => return Err(NoValue::Unknown(key.to_owned())),
            _ if Conditions::has_field(own) || family(own).is_some() => {}
            Key::PrincipalArn
            | Key::PrincipalAccount
            | Key::PrincipalType
            | Key::PrincipalServiceName
            | Key::PrincipalIsService
            | Key::PrincipalTag
            | Key::ViaService
            | Key::FederatedProvider
            | Key::UserId
            | Key::UserName
            | Key::ResourceAccount
            | Key::S3ResourceAccount => return Err(NoValue::OfCaller(key.to_owned())),
            _ => return Err(NoValue::Unknown(key.to_owned())),
        }
        let wrong = || NoValue::Type(key.to_owned(), value.to_owned());
        let found = self.0.iter_mut().find(|s| s.key == own && s.name == name);
        match found {
            Some(stated) if own.is_set() => stated.values.push(value.to_owned()),
            Some(_) => return Err(wrong()),
            None => {
                if Conditions::has_field(own) {
                    Conditions::default()
                        .state(own, &[value])
                        .ok_or_else(wrong)?;
                }
                self.0.push(Stated {
                    key: own,
                    name: name.to_owned(),
                    values: vec![value.to_owned()],
                });
            }
        }
        Ok(())
    }

    /// What conditions borrow.
    pub fn lend(&self) -> Lent<'_> {
        let tags = |of: Family| {
            let of = self
                .0
                .iter()
                .filter(|stated| family(stated.key) == Some(of));
            let tags: Vec<(&str, &str)> = of
                .map(|stated| (&*stated.name, stated.values.first().map_or("", |v| v)))
                .collect();
            (!tags.is_empty()).then_some(tags)
        };
        let fields = self.0.iter().filter(|stated| family(stated.key).is_none());
        Lent {
            fields: fields
                .map(|stated| (stated.key, stated.values.iter().map(|v| &**v).collect()))
                .collect(),
            existing: tags(Family::Existing),
            given_to_object: tags(Family::GivenToObject),
            resource: tags(Family::Resource),
            given: tags(Family::Given),
        }
    }
}

/// What is stated, lent to the conditions of a request.
#[derive(Debug)]
pub struct Lent<'g> {
    fields: Vec<(Key, Vec<&'g str>)>,
    existing: Option<Vec<(&'g str, &'g str)>>,
    given_to_object: Option<Vec<(&'g str, &'g str)>>,
    resource: Option<Vec<(&'g str, &'g str)>>,
    given: Option<Vec<(&'g str, &'g str)>>,
}

impl Lent<'_> {
    /// Puts them in place of what the conditions have. Tags of one kind replace all of that kind.
    pub fn state<'a>(&'a self, conditions: &mut Conditions<'a>) {
        for (key, values) in &self.fields {
            // Values of another type are not taken in the first place.
            let _ = conditions.state(*key, values);
        }
        let put = |field: &mut Option<Tags<'a>>, tags: &'a Option<Vec<(&str, &str)>>| {
            if let Some(tags) = tags {
                *field = Some(tags);
            }
        };
        put(&mut conditions.existing_object_tags, &self.existing);
        put(&mut conditions.request_object_tags, &self.given_to_object);
        put(&mut conditions.resource_tags, &self.resource);
        put(&mut conditions.request_tags, &self.given);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Conditions;

    #[test]
    fn a_key_has_values_of_its_type_only() {
        let mut given = Given::default();
        for (key, value) in [
            ("aws:SourceIp", "203.0.113.7"),
            ("AWS:CurrentTime", "2026-11-29T10:20:30Z"),
            ("s3:prefix", "a/"),
            ("s3:max-keys", "10"),
            ("aws:SecureTransport", "False"),
            ("sts:TransitiveTagKeys", "a"),
            ("sts:TransitiveTagKeys", "b"),
            ("s3:ExistingObjectTag/team", "red"),
        ] {
            assert_eq!(given.add(key, value), Ok(()), "{key}");
        }
        let type_of = |key: &str, value: &str| {
            let text = value.to_owned();
            Err(NoValue::Type(key.to_owned(), text))
        };
        for (key, value) in [
            ("aws:SourceIp", "203.0.113.8"),
            ("aws:MultiFactorAuthAge", "old"),
            ("aws:TokenIssueTime", "soon"),
        ] {
            assert_eq!(given.add(key, value), type_of(key, value), "{key}");
        }
        for key in ["aws:username", "aws:PrincipalTag/a", "s3:ResourceAccount"] {
            assert_eq!(given.add(key, "x"), Err(NoValue::OfCaller(key.to_owned())));
        }
        for key in ["aws:SourceVpc", "s3:nothing", "x"] {
            assert_eq!(given.add(key, "x"), Err(NoValue::Unknown(key.to_owned())));
        }
        let lent = given.lend();
        let mut conditions = Conditions::default();
        lent.state(&mut conditions);
        assert_eq!(conditions.source_ip, "203.0.113.7".parse().ok());
        assert_eq!(conditions.prefix, Some("a/"));
        assert_eq!(conditions.max_keys, Some(10));
        assert_eq!(conditions.secure_transport, Some(false));
        assert_eq!(conditions.transitive_tag_keys, Some(&["a", "b"][..]));
        assert_eq!(
            conditions.existing_object_tags,
            Some(&[("team", "red")][..])
        );
        assert_eq!(conditions.request_tags, None);
    }
}
