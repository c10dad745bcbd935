//! Conditions of reads and writes.
//!
//! Reads follow RFC 9110 section 13.2.2: If-Match before If-Unmodified-Since, If-None-Match
//! before If-Modified-Since, each date only where its ETag condition is absent.

use access::Permit;
use types::{AccountId, ETag, Timestamp, VersionId};

use crate::{
    Error, Result,
    records::{ObjectAttributes, ObjectRecord, RecordView},
};

/// A list of entity tags, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETagMatch {
    /// Any object at all.
    Any,
    /// One of these. A text that is no ETag of ours matches nothing and is left out.
    OneOf(Vec<ETag>),
}

impl ETagMatch {
    /// Reads `*`, or tags (weak or not, quoted or not) separated by commas. For `If-None-Match`,
    /// which compares weakly (RFC 9110, 13.1.2).
    pub fn parse(text: &str) -> Self {
        Self::read(text, |tag| {
            ETag::parse(tag.strip_prefix("W/").unwrap_or(tag))
        })
    }
    /// The same for `If-Match`, which compares strongly (RFC 9110, 13.1.1): a weak tag is that of
    /// another representation of the object, and matches nothing.
    pub fn parse_strong(text: &str) -> Self {
        Self::read(text, |tag| match tag.starts_with("W/") {
            true => None,
            false => ETag::parse(tag),
        })
    }
    fn read(text: &str, tag: impl Fn(&str) -> Option<ETag>) -> Self {
        match text.trim() {
            "*" => Self::Any,
            text => Self::OneOf(text.split(',').filter_map(|t| tag(t.trim())).collect()),
        }
    }
    /// Whether the object's tag is among them.
    pub fn matches(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.contains(etag),
        }
    }
}

/// Conditions of a read or of a copy's source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// If-Match.
    pub if_match: Option<ETagMatch>,
    /// If-None-Match.
    pub if_none_match: Option<ETagMatch>,
    /// If-Modified-Since.
    pub if_modified_since: Option<Timestamp>,
    /// If-Unmodified-Since.
    pub if_unmodified_since: Option<Timestamp>,
    /// If-Range.
    pub if_range: Option<IfRange>,
}

/// What a range is asked for of (RFC 9110, 13.1.5). Where it is not that any more, all of the
/// object is the answer: its bytes do not fit to those that the client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfRange {
    /// The object with this tag.
    Tag(ETag),
    /// The object that was last modified at just this second.
    Date(Timestamp),
    /// Nothing that could be: a weak tag, or a text that is neither tag nor date.
    Never,
}

impl IfRange {
    /// Reads one tag, or a date.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let date = || Timestamp::parse_http_date(text).map(Self::Date);
        let tag = match text.starts_with('"') {
            true => ETag::parse(text).map(Self::Tag),
            false => None,
        };
        tag.or_else(date).unwrap_or(Self::Never)
    }
}

/// What the conditions of a read say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    Failed(&'static str),
    NotModified(&'static str),
}

impl ReadConditions {
    /// Whether a range may be answered by a part of the object.
    pub(crate) fn range_holds(&self, etag: &ETag, modified: Timestamp) -> bool {
        match self.if_range {
            None => true,
            Some(IfRange::Tag(tag)) => tag == *etag,
            Some(IfRange::Date(at)) => at.s() == modified.s(),
            Some(IfRange::Never) => false,
        }
    }

    /// Dates of HTTP have whole seconds, so times compare by those.
    pub(crate) fn check(&self, etag: &ETag, modified: Timestamp) -> Verdict {
        match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) if !tags.matches(etag) => return Verdict::Failed("If-Match"),
            (None, Some(at)) if modified.s() > at.s() => {
                return Verdict::Failed("If-Unmodified-Since");
            }
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) if tags.matches(etag) => Verdict::NotModified("If-None-Match"),
            (None, Some(at)) if modified.s() <= at.s() => Verdict::NotModified("If-Modified-Since"),
            _ => Verdict::Go,
        }
    }
}

/// Conditions of a write on the current version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteConditions {
    /// If-Match: the current version must be this one.
    pub if_match: Option<ETagMatch>,
    /// If-None-Match: there must be no current version (`*`), or not of this tag.
    pub if_none_match: Option<ETagMatch>,
    /// The current version, or the one that is named, must be in this state ([`state_of`]). Unlike
    /// an ETag it differs between versions of the same bytes, and changes with tags and access
    /// control list.
    pub state: Option<String>,
    /// The account whose objects alone may go, where only the bucket's access control list permits
    /// the write ([`access::Permit::only_over`]).
    pub only_over: Option<Option<AccountId>>,
}

impl WriteConditions {
    /// The same for what a permit permits.
    pub(crate) fn within(mut self, permit: &Permit) -> Self {
        self.only_over = permit.only_over().map(Option::<&AccountId>::cloned);
        self
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none() && self.state.is_none()
    }
    /// What a state says. A delete marker counts as no object.
    pub(crate) fn check_state(&self, current: Option<&ObjectRecord>) -> Result<()> {
        let Some(wanted) = &self.state else {
            return Ok(());
        };
        let object = current.filter(|current| !current.delete_marker);
        let object = object.ok_or(Error::NoSuchKey {
            delete_marker: None,
        })?;
        is_state(wanted, object)
    }

    /// The same for a version that is named, which may be a delete marker.
    pub(crate) fn check_state_of(&self, named: &ObjectRecord) -> Result<()> {
        match &self.state {
            Some(wanted) if !types::planted("null-versions-unseen") => is_state(wanted, named),
            _ => Ok(()),
        }
    }

    /// A delete marker counts as no object.
    pub(crate) fn check(&self, current: Option<&RecordView>) -> Result<()> {
        let object = current.filter(|c| !c.delete_marker);
        match (&self.if_match, object) {
            (Some(_), None) => {
                return Err(Error::NoSuchKey {
                    delete_marker: None,
                });
            }
            (Some(tags), Some(object)) if !tags.matches(&object.etag) => {
                return Err(Error::PreconditionFailed("If-Match"));
            }
            _ => {}
        }
        match (&self.if_none_match, object) {
            (Some(tags), Some(object)) if tags.matches(&object.etag) => {
                Err(Error::PreconditionFailed("If-None-Match"))
            }
            _ => Ok(()),
        }
    }
}

fn is_state(wanted: &str, record: &ObjectRecord) -> Result<()> {
    match state_of(record.version, &record.attributes)? == wanted {
        true => Ok(()),
        false => Err(Error::PreconditionFailed("x-dhow-if-state")),
    }
}

/// The state of a version in text: its own id, which no other version of any bytes has, and when
/// its tags and its access control list were set last. Three times 32 hex digits or `0`, with
/// hyphens between them. The first 12 digits are the milliseconds since 1970 of its write.
///
/// # Errors
/// The list cannot be read.
pub fn state_of(id: VersionId, attributes: &ObjectAttributes) -> Result<String> {
    let list = attributes.list()?.map(|list| list.set);
    let part = |set: Option<VersionId>| set.map_or_else(|| "0".to_owned(), |set| set.to_string());
    Ok([id.to_string(), part(attributes.tagged), part(list)].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn tags_compare_strongly_for_if_match_and_weakly_for_if_none_match() {
        let tag = ETag::parse(TAG).unwrap();
        for (text, weak, strong) in [
            (format!("\"{TAG}\""), true, true),
            (TAG.to_owned(), true, true),
            (format!("W/\"{TAG}\""), true, false),
            (format!("\"x\", \"{TAG}\""), true, true),
            (format!("\"x\", W/\"{TAG}\""), true, false),
            (" * ".to_owned(), true, true),
            ("\"x\"".to_owned(), false, false),
            (String::new(), false, false),
        ] {
            assert_eq!(ETagMatch::parse(&text).matches(&tag), weak, "{text}");
            assert_eq!(
                ETagMatch::parse_strong(&text).matches(&tag),
                strong,
                "{text}"
            );
        }
    }

    #[test]
    fn a_range_is_of_the_object_that_if_range_names() {
        let tag = ETag::parse(TAG).unwrap();
        let modified = Timestamp::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        for (text, holds) in [
            (format!("\"{TAG}\""), true),
            (format!("W/\"{TAG}\""), false),
            ("\"00000000000000000000000000000000\"".to_owned(), false),
            ("Wed, 21 Oct 2015 07:28:00 GMT".to_owned(), true),
            ("Wed, 21 Oct 2015 07:28:01 GMT".to_owned(), false),
            ("Wed, 21 Oct 2015 07:27:59 GMT".to_owned(), false),
            ("*".to_owned(), false),
            (String::new(), false),
        ] {
            let conditions = ReadConditions {
                if_range: Some(IfRange::parse(&text)),
                ..ReadConditions::default()
            };
            assert_eq!(conditions.range_holds(&tag, modified), holds, "{text}");
        }
    }
}
