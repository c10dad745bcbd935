//! The guard policy of an account: what the cloud's owner lets everybody of the account do at most.

use crate::policy::{self, Document, DocumentKind, PolicyError};

/// The guard policy of an account, compiled. It binds the account itself, its users, roles and all
/// of their sessions, and grants nothing. By default there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardPolicy {
    document: Option<Document>,
    wants_existing_tags: bool,
}

impl GuardPolicy {
    /// No guard policy.
    pub const NONE: &'static Self = &Self {
        document: None,
        wants_existing_tags: false,
    };

    /// Reads a text that is to be set.
    ///
    /// # Errors
    /// Where it is no guard policy: it names a principal, or is too large, or is no policy.
    pub fn check(text: &str) -> Result<(), PolicyError> {
        Document::parse(text, DocumentKind::Guard).map(drop)
    }

    /// Compiles a text that was set. One that cannot be compiled, such as one of a later release,
    /// and one whose text is not known here, denies everything.
    #[must_use]
    pub fn compile(text: Option<&str>) -> Self {
        let read = text.map(|text| Document::interned(text, DocumentKind::Guard));
        let document = match read {
            Some(Ok(document)) => document,
            Some(Err(_)) | None => Document::unreadable(DocumentKind::Guard),
        };
        Self {
            document: Some(document),
            wants_existing_tags: text.is_some_and(policy::may_want_existing_tags),
        }
    }

    /// The document, if there is one.
    pub fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.document.is_none()
    }

    /// Whether a decision may need the tags of the object that is addressed.
    pub fn wants_existing_tags(&self) -> bool {
        self.wants_existing_tags
    }
}
