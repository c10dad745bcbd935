//! Who began an upload in parts.

use types::AccountId;

use crate::{Action, Identity};

/// Who began an upload, and may end it and list its parts unless a document denies it ("Multipart
/// upload API and permissions" in the S3 user guide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initiator {
    /// The account.
    pub account: AccountId,
    /// Who of the account, as `aws:userid` has it: the account's number, the unique id of a user,
    /// that of a role with the name of a session.
    pub user_id: String,
}

impl Initiator {
    /// Whether the caller is the one who began it, or the account of that one.
    pub fn is(&self, caller: &Identity) -> bool {
        let own = caller.initiator().is_some_and(|caller| caller == *self);
        let root = caller.is_root() && caller.is_of(&self.account);
        own || root || types::planted("uploads-of-anybody")
    }
}

/// Whether an action is open to who began the upload.
pub(crate) fn is_of_upload(action: Action) -> bool {
    matches!(
        action,
        Action::AbortMultipartUpload | Action::ListMultipartUploadParts
    )
}
