//! What new buckets begin with, as the configuration says it.

use access::{NewBuckets, Ownership, PublicAccessBlock};
use admin::failure::Failure;
use serde::Deserialize;

/// What new buckets begin with whose account says nothing of that.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Buckets {
    /// Who owns what is written: `BucketOwnerEnforced`, `BucketOwnerPreferred` or `ObjectWriter`.
    pub new_ownership: String,
    /// The switches of the public access block that are on.
    pub new_public_access_block: Vec<String>,
}

impl Default for Buckets {
    fn default() -> Self {
        let names = PublicAccessBlock::ALL.names().into_iter();
        Self {
            new_ownership: Ownership::default().name().to_owned(),
            new_public_access_block: names.map(str::to_owned).collect(),
        }
    }
}

impl Buckets {
    /// As the gateway takes it.
    ///
    /// # Errors
    /// Names what is no mode, or no switch.
    pub fn read(&self) -> Result<NewBuckets, Failure> {
        let ownership = Ownership::of_name(&self.new_ownership).ok_or_else(|| {
            let known = Ownership::ALL.map(Ownership::name).join(", ");
            Failure::new(format!("`new_ownership` under [buckets] is one of {known}"))
        })?;
        let block =
            PublicAccessBlock::of_names(&self.new_public_access_block).ok_or_else(|| {
                let known = PublicAccessBlock::ALL.names().join(", ");
                Failure::new(format!(
                    "`new_public_access_block` under [buckets] lists some of {known}"
                ))
            })?;
        Ok(NewBuckets { ownership, block })
    }
}
