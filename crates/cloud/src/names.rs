//! Names for which signing keys are derived: ids of regions, and the aliases that the registry's
//! region takes in signatures. They are one set, since two holders of one name have one key.

use types::{RegionId, look_alike};

use crate::{CloudError, Registry};

/// Whether the aliases of the registry's region (`names`, its own id first) leave the ids of the
/// `regions` on record alone.
pub(crate) fn check_aliases<'r>(
    names: &[RegionId],
    regions: impl Iterator<Item = &'r str>,
) -> Result<(), CloudError> {
    let own = names.first();
    let aliases = || names.iter().skip(1).filter(|alias| Some(*alias) != own);
    for region in regions.filter(|id| own.is_none_or(|own| **own != **id)) {
        if let Some(alias) = aliases().find(|alias| look_alike(alias, region)) {
            return Err(CloudError::Refused(format!(
                "`{alias}` is an alias of the registry's region, so region {region} cannot have that \
                 name: its keys would be good there. Start the registry's region with other \
                 aliases first (`region_aliases`, or --region-alias), without `{alias}`"
            )));
        }
    }
    Ok(())
}

impl Registry {
    /// Whether a region may be called so: no alias of the registry's region and no other region is
    /// called the same, or so that a person could take one for the other.
    pub(crate) fn check_name(&self, id: &str) -> Result<(), CloudError> {
        if self.own() == id {
            return Ok(());
        }
        check_aliases(&self.regions, std::iter::once(id))?;
        let state = self.state.read();
        let mut others = state.regions.keys().filter(|other| *other != id);
        match others.find(|other| look_alike(other, id)) {
            None => Ok(()),
            Some(other) => Err(CloudError::Invalid(format!(
                "`{id}` looks like region {other}: choose a name that nobody takes for it"
            ))),
        }
    }
}
