//! Sign-ins at the console of the region that keeps the registry, as the audit log has them.

use serde_json::Value;
use types::{Actor, RegionId};

use crate::{CloudError, Registry, change::Draft};

/// Bytes of what one entry says, as JSON.
const DETAIL_BYTES_MAX: usize = 16 << 10;

impl Registry {
    /// Puts on record who signed in to the console of this region lately, and how many were
    /// refused. It counts as what the region does itself.
    ///
    /// # Errors
    /// `Invalid`: it says too much. `SlowDown`: the region has changed too much lately.
    /// `Elsewhere`: the registry is not kept here.
    pub async fn note_sign_ins(&self, detail: Value) -> Result<(), CloudError> {
        if detail.to_string().len() > DETAIL_BYTES_MAX {
            return Err(CloudError::Invalid("too many sign-ins in one entry".into()));
        }
        let own = RegionId::new(self.own());
        let turn = self.turn().await;
        let draft = Draft {
            subject: own.to_string(),
            actor: Actor::Region(own),
            action: "console.sign_ins",
            detail,
            rows: Vec::new(),
        };
        self.change(turn, draft).await
    }
}
