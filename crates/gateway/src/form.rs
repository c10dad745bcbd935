//! An upload by a form: who sends it stands in the body, in front of the file.

use std::sync::{Arc, OnceLock};

use access::{AuthType, Identity};
use http::HeaderMap;
use types::{Body, ObjectKey};

use crate::fault::Fault;

/// Why the file was refused, where that is the form's own mistake: the body's reader only learns
/// that the body failed.
pub(crate) type LateFault = Arc<OnceLock<Fault>>;

/// What a form says of the answer to it.
#[derive(Debug)]
pub struct Reply {
    /// `success_action_redirect`.
    pub(crate) redirect: Option<String>,
    /// `success_action_status`.
    pub(crate) status: Option<String>,
    /// What was wrong with the file, when reading it failed.
    pub(crate) fault: LateFault,
}

/// A form whose sender is known and whose fields keep to its policy.
pub(crate) struct Form {
    pub(crate) identity: Identity,
    /// How it is signed.
    pub(crate) auth: AuthType,
    pub(crate) key: ObjectKey,
    /// The fields, as the headers that PutObject has for them.
    pub(crate) headers: HeaderMap,
    /// The file.
    pub(crate) body: Box<dyn Body>,
    pub(crate) reply: Reply,
}
