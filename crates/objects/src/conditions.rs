//! Conditions of reads and writes.
//!
//! Reads follow RFC 9110 section 13.2.2: If-Match before If-Unmodified-Since, If-None-Match
//! before If-Modified-Since, each date only where its ETag condition is absent.

use types::{ETag, Timestamp};

use crate::{Error, Result, records::RecordView};

/// A list of entity tags, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETagMatch {
    /// Any object at all.
    Any,
    /// One of these. A text that is no ETag of ours matches nothing and is left out.
    OneOf(Vec<ETag>),
}

impl ETagMatch {
    /// Reads `*`, or tags (weak or not, quoted or not) separated by commas.
    pub fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        let tag = |t: &str| {
            let t = t.trim();
            ETag::parse(t.strip_prefix("W/").unwrap_or(t))
        };
        Self::OneOf(text.split(',').filter_map(tag).collect())
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
}

/// What the conditions of a read say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    Failed(&'static str),
    NotModified(&'static str),
}

impl ReadConditions {
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
}

impl WriteConditions {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
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
