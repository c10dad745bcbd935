//! Policies: documents in the language of IAM, and what they say about a request.
//!
//! A [`Document`] is compiled when it is written or loaded, and is immutable. [`decide`] asks all
//! of a request's [`Documents`] and allocates nothing. An error while it decides is a refusal.
//!
//! ```
//! use access::{Action, policy};
//!
//! let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*",
//!     "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}}"#;
//! let document = policy::Document::parse(text, policy::DocumentKind::Bucket("photos"))?;
//! let documents = policy::Documents {
//!     owner: "123456789012",
//!     resource: Some(&document),
//!     ..policy::Documents::default()
//! };
//! let request = policy::Request {
//!     principal: &policy::Principal::Anonymous,
//!     action: Action::GetObject.into(),
//!     target: policy::Target::Object { bucket: "photos", key: "a.jpg" },
//!     conditions: &policy::Conditions::default(),
//! };
//! assert!(policy::decide(&request, &documents).is_allowed());
//! # Ok::<(), policy::PolicyError>(())
//! ```

mod applies;
mod build;
mod compile;
mod compile_principal;
mod decide;
mod document;
mod error;
mod evaluate;
mod explain;
mod given;
mod interned;
mod json;
mod keys;
mod names;
mod operators;
mod principal;
mod public;
mod resource;
mod span;
mod text;
mod values;

pub use compile_principal::shown;
pub use decide::{
    Acl, AclGrants, Basis, Decision, Documents, Found, Lacks, Source, decide, is_for_owner_only,
    sentence,
};
pub use document::{Document, DocumentKind};
pub use error::{PolicyError, PolicyFault};
pub use evaluate::{Request, Steps};
pub use explain::{
    DocumentReport, Explanation, Mismatch, StatementReport, Verdict, Worth, explain,
};
pub use given::{Given, Lent, NoValue};
pub use keys::{Conditions, Need, Tags};
pub use names::ActionName;
pub use principal::{Principal, UserRef};
pub use resource::Target;
pub use span::{TextPosition as TextPlace, span};

/// Whether a document may ask for the tags of the object that is addressed, by its text: what is
/// written with escapes may be anything.
pub(crate) fn may_want_existing_tags(text: &str) -> bool {
    text.contains("\\u") || text.to_ascii_lowercase().contains("existingobjecttag")
}
