//! Why following stopped for now.

/// A failure of replication. All but `Refused` are tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// The other region does not answer, or not in time.
    #[error(transparent)]
    Peer(#[from] peer::PeerError),
    /// The other region refuses; says why.
    #[error("refused by the other region: {0}")]
    Refused(String),
    /// The placement does not allow it, as this region knows it.
    #[error("not allowed here: {0}")]
    Placement(#[from] access::Refusal),
    /// What came cannot be read.
    #[error("the other region's answer cannot be read: {0}")]
    Malformed(String),
    /// The objects here.
    #[error(transparent)]
    Objects(#[from] objects::Error),
}
