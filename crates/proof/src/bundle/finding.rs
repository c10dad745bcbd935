//! What can be wrong with a bundle.

use crate::chain::ChainError;

/// One thing that is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the text of each finding says what it and its fields are"
)]
pub enum Finding {
    #[error("the bundle has version {0}, which is not known")]
    Version(u32),
    #[error("the bundle was made at {made_at_ms} ms, before the {what} that it holds")]
    MadeBefore { made_at_ms: u64, what: String },

    #[error("the {what} is of {at_ms} ms, {wanted_ms} or later is wanted")]
    Stale {
        what: String,
        at_ms: u64,
        wanted_ms: u64,
    },
    #[error("{0} regions or digests, more than are judged")]
    TooMany(usize),

    #[error("audit chain: {0}")]
    Chain(#[from] ChainError),
    #[error("the chain was cut short: it ends with entry {ends}, {signed} was signed")]
    Truncated { ends: u64, signed: u64 },
    #[error("the chain goes on to entry {ends}, but only {signed} was signed")]
    NotSigned { ends: u64, signed: u64 },
    #[error("the chain is not the one that was signed: entry {number} has another hash")]
    Rewritten { number: u64 },
    #[error("the chain was forked: entry {number}, seen earlier, had another hash")]
    ForkedFromKnown { number: u64 },
    #[error("the chain was rolled back: it ends with entry {ends}, {known} was seen earlier")]
    RolledBack { ends: u64, known: u64 },

    #[error("the checkpoint's signature is wrong")]
    CheckpointSignature,
    #[error("the checkpoint is not signed by the trusted key")]
    CheckpointKey,
    #[error("the checkpoint is of the cloud {0:?}")]
    CheckpointCloud(String),
    #[error("the checkpoint is back-dated: signed at {at_ms} ms, its last entry {entry_ms} ms")]
    CheckpointBackDated { at_ms: u64, entry_ms: u64 },

    #[error("entry {number} cannot be read: {why}")]
    Detail { number: u64, why: String },
    #[error("entry {number} opens {region} with the key of {other}")]
    KeyShared {
        number: u64,
        region: String,
        other: String,
    },
    #[error("the bundle does not name {region} as the chain does")]
    RegionIdentity { region: String },

    #[error("the checkpoint signs no map, so it says nothing of single chains")]
    NoMap,
    #[error("the chain of {of} is not the one that was signed: an entry is missing, or another")]
    NotInMap { of: &'static str },
    #[error("the chain of {of}: entry {number} does not belong there, or not in this order")]
    NotOfChain { of: &'static str, number: u64 },
    #[error("the chain of {of} does not begin where it has to")]
    BeginsElsewhere { of: &'static str },
    #[error("entry {number} is not as it was seen earlier, or was not there, or is left out now")]
    NotAsSeen { number: u64 },
    #[error("regions speak of a bucket that is not there")]
    DigestsOfNothing,

    #[error("the chain has no deed of the bucket")]
    NoDeed,
    #[error("entry {number} creates a bucket that is there")]
    CreatedTwice { number: u64 },
    #[error("entry {number} is about a bucket that is not there, or another of that name")]
    NotThisBucket { number: u64 },
    #[error("entry {number}: the deed's epoch fell, or a new home came without a new epoch")]
    DeedEpoch { number: u64 },
    #[error("entry {number} places the bucket in {region}, which is not open")]
    PlacedInUnknown { number: u64, region: String },
    #[error("entry {number} places the bucket in {region} ({jurisdiction}), which it forbids")]
    PlacedForbidden {
        number: u64,
        region: String,
        jurisdiction: String,
    },

    #[error("digest of {region}: its signature is wrong")]
    DigestSignature { region: String },
    #[error("digest of {region}: signed with the key of {}", key_of(.holder))]
    DigestKey {
        region: String,
        holder: Option<String>,
    },
    #[error("digest of {region}: the region is not open")]
    DigestOfUnknown { region: String },
    #[error("digest of {region}: about another cloud or bucket")]
    DigestOfAnother { region: String },
    #[error("digest of {region}: its jurisdiction or operator is not as registered")]
    DigestIdentity { region: String },
    #[error("digest of {region}: there is more than one")]
    DigestRepeated { region: String },
    #[error("digest of {region}: of epoch {epoch}, the deed has {deed}")]
    DigestEpoch {
        region: String,
        epoch: u64,
        deed: u64,
    },
    #[error("digest of {region}: from {at_ms} ms, before the deed in force ({deed_ms} ms)")]
    DigestBackDated {
        region: String,
        at_ms: u64,
        deed_ms: u64,
    },
    #[error("digest of {region}: says it holds nothing, and yet something")]
    DigestIncoherent { region: String },

    #[error(
        "region {region} is in the placement, and has signed nothing: it may not have answered when the file was made"
    )]
    NoDigest { region: String },
    #[error("{region} is not of the placement and holds {count} versions")]
    HeldOutside { region: String, count: u64 },
    #[error("{region} ({jurisdiction}) holds {count} versions, which the deed forbids")]
    HeldForbidden {
        region: String,
        jurisdiction: String,
        count: u64,
    },
    #[error("{region} and the home {home} disagree at position {position}")]
    Disagree {
        region: String,
        home: String,
        position: u64,
    },
}

fn key_of(holder: &Option<String>) -> &str {
    holder.as_deref().unwrap_or("nobody who is registered")
}
