//! The one place where answers of other regions are held against what was asked: which kinds of
//! changes, how many, which positions and rows. docs/peers-bounds.md lists every value.

use objects::ShippedChange;

use crate::{ReplicationError, frames::Answer, wire::What};

/// The longest row: a customer's key with every byte escaped, and a version.
const ROW_BYTES_MAX: usize = 4096;

/// Checks an answer with changes.
///
/// # Errors
/// `Malformed`: it is no answer to this question.
pub(crate) fn check(what: &What, sealed: bool, answer: &Answer) -> Result<(), ReplicationError> {
    let malformed = |why: &str| Err(ReplicationError::Malformed(why.to_owned()));
    let row = answer.row.as_ref();
    if row.is_some_and(|row| row.is_empty() || row.len() > ROW_BYTES_MAX) {
        return malformed("a row that cannot be");
    }
    if row.is_some() && !matches!(what, What::Snapshot { .. } | What::Gone { .. }) {
        return malformed("a row that was not asked for");
    }
    if !answer.changes.iter().all(|(_, change)| fits(what, change)) {
        return malformed("a change of a kind that was not asked for");
    }
    match what {
        What::Head if answer.changes.len() > 1 => malformed("more than one configuration"),
        What::Version { .. } if answer.changes.len() > 1 => malformed("more than one version"),
        What::ByRule { versions, .. }
            if answer.changes.len() > versions.len() || answer.position > versions.len() as u64 =>
        {
            malformed("more versions than were asked for")
        }
        What::Changes { after, .. } | What::Own { after, .. } => {
            let mut last = *after;
            for (at, _) in &answer.changes {
                if *at < last || *at == *after || *at > answer.position {
                    return malformed("a change at a place where none can be");
                }
                last = *at;
            }
            Ok(())
        }
        What::Snapshot { from } | What::Gone { from } => match row {
            Some(row) if !moves_on(from, row, sealed) => malformed("a row that does not move on"),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Whether a row comes after the one that was asked from. Those of a sealed replica have no order.
fn moves_on(from: &str, row: &[u8], sealed: bool) -> bool {
    let from = hex::decode(from).unwrap_or_default();
    match sealed {
        true => row != &from[..],
        false => row > &from[..],
    }
}

/// Whether a change of this kind may be part of the answer.
fn fits(what: &What, change: &ShippedChange) -> bool {
    match what {
        What::Head => matches!(change, ShippedChange::Config(_)),
        What::Changes { .. } => !matches!(change, ShippedChange::Attributes { .. }),
        What::Own { .. } => !matches!(change, ShippedChange::Config(_)),
        What::Removals { .. } | What::Gone { .. } => {
            matches!(change, ShippedChange::Removed { .. })
        }
        What::Snapshot { .. } | What::Version { .. } | What::ByRule { .. } => {
            matches!(change, ShippedChange::Version(_))
        }
        // Not answered with changes.
        _ => false,
    }
}
