//! Why following stopped for now.

/// A failure of replication. All but `Refused` are tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// The other region does not answer, or not in time.
    #[error(transparent)]
    Peer(#[from] peer::PeerError),
    /// The other region refuses; says why.
    #[error("refused by the other region: {}", types::text::of_peer(.0.as_bytes()))]
    Refused(String),
    /// The placement does not allow it, as this region knows it.
    #[error("not allowed here: {0}")]
    Placement(#[from] access::Refusal),
    /// Another start of a region answers than before: it may lack what that one sent.
    #[error("another start of region {0} answers: what was read of it is compared first")]
    AnotherStart(types::RegionId),
    /// What came cannot be read.
    #[error("the other region's answer cannot be read: {}", types::text::of_peer(.0.as_bytes()))]
    Malformed(String),
    /// The objects here.
    #[error(transparent)]
    Objects(#[from] objects::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_region_says_forges_no_line_of_the_log() {
        let said = "no\r\n2026 WARN all buckets are lost\u{1b}[2J\u{9b}2J\u{202e}".to_owned();
        for error in [
            ReplicationError::Refused(said.clone()),
            ReplicationError::Malformed(said.clone()),
        ] {
            let text = error.to_string();
            assert!(types::text::is_plain_text(&text, 1000), "{text:?}");
        }
    }
}
