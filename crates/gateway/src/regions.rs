//! The seam to the other regions of the cloud: where they are, and how a request goes to one.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use types::{BucketDeed, BucketName, Place, RegionId, deed::BoxFuture};

use access::{
    Identity,
    signature::{ChunkLink, Statement},
};

use crate::passing::{AnswerBody, PassedBody};

/// Why a request that was to be forwarded has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// The region is not known, or no connection to it could be made: nothing was sent.
    #[error("the region cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke, or the region took too long, after something had been sent: whether
    /// it acted is not known.
    #[error("the region broke off: {0}")]
    Broken(String),
}

/// Whose signature another region relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proven {
    /// Of this caller, whose key and account are live here now.
    Caller(Identity),
    /// Of a key that is not known, is disabled, or is of an account that may not act.
    Nobody,
    /// Of nobody: it does not fit the request, the region or the bucket's owner.
    Forged,
    /// Nobody answers who could verify it.
    Unknown {
        /// Whoever has the key that it names, if that is live here.
        caller: Option<Identity>,
        /// Why not.
        why: String,
    },
}

/// Whose key a request was signed with that this region does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Introduced {
    /// This region knows it now.
    Known,
    /// Nobody's, or not the key of that signature.
    Nobody,
    /// Nobody can say now; says why.
    Unknown(String),
}

/// Why another region would not take versions by a replication rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleRefused {
    /// It does not answer now, or knows other deeds yet. Names it.
    NoAnswer(String),
    /// It may not, or its bucket keeps no versions. Says why.
    No(String),
}

/// What the gateway knows of, and wants from, the other regions of its cloud. All but `pass`
/// is answered from memory.
pub trait Regions: Send + Sync {
    /// Where a region of the cloud is; `None` for a name that no region has. This region itself is
    /// one of them.
    fn place(&self, region: &RegionId) -> Option<Place>;

    /// `among`, nearest first. Regions that are known not to answer may come last; none is added.
    fn nearest(&self, among: &[RegionId]) -> Vec<RegionId>;

    /// The host (and port) of a region's S3 endpoint, for redirects; `None` where it is not known.
    fn endpoint(&self, region: &RegionId) -> Option<String>;

    /// Sends a request to `to`, over a connection on which both regions have proved who they are,
    /// and answers as soon as the head of the answer is there. The receiver hands it to
    /// [`Gateway::respond_forwarded`].
    ///
    /// All that it says is in its headers; its URI says nothing. Its body brings the bytes as the
    /// customer framed them. When the body fails, the stream must be broken off such that the
    /// receiver sees a failure and never an end.
    ///
    /// [`Gateway::respond_forwarded`]: crate::Gateway::respond_forwarded
    fn pass<'a>(
        &'a self,
        to: &'a RegionId,
        request: Request<PassedBody>,
    ) -> BoxFuture<'a, Result<Response<AnswerBody>, PassError>>;

    /// Whose signature over a request for `bucket` the region `from` relays. The key for it is
    /// derived for that region, so only the registry's region has it.
    fn prove<'a>(
        &'a self,
        from: &'a RegionId,
        bucket: &'a BucketName,
        statement: &'a Statement,
    ) -> BoxFuture<'a, Proven>;

    /// Learns the key of a signature over a request to this region, where it is not known here: a
    /// region is given keys unasked of those only who have a bucket there. Where a client's address
    /// is named, it is limited how often that client is asked for.
    fn introduce<'a>(
        &'a self,
        _: &'a Statement,
        _from: Option<IpAddr>,
    ) -> BoxFuture<'a, Introduced> {
        Box::pin(async { Introduced::Nobody })
    }

    /// For each ARN of a user or role its unique id, and for each unique id its ARN of today; none
    /// for whom there is not. `bucket` is held here, and its policy names them.
    ///
    /// # Errors
    /// Nobody answers who could know; says why.
    fn other_names<'a>(
        &'a self,
        _bucket: &'a BucketName,
        names: Vec<String>,
    ) -> BoxFuture<'a, Result<Vec<Option<String>>, String>> {
        Box::pin(async move { Ok(vec![None; names.len()]) })
    }

    /// Seals why this region refused a request, so that only the registry's region reads it; `None`
    /// where that cannot be.
    fn seal_reason(&self, _text: &str) -> Option<String> {
        None
    }

    /// Whether these chunks follow the signature `previous` in the body of that request.
    ///
    /// # Errors
    /// Nobody answers who could know; says why.
    fn prove_chunks<'a>(
        &'a self,
        from: &'a RegionId,
        bucket: &'a BucketName,
        statement: &'a Statement,
        previous: &'a str,
        links: &'a [ChunkLink],
    ) -> BoxFuture<'a, Result<bool, String>>;

    /// Why this region's clock is not to be trusted, when it is not: writes are refused with these
    /// words.
    fn clock_doubt(&self) -> Option<String> {
        None
    }

    /// Why this region is not to act on any request now, when it is not. Each request asks.
    fn doubt(&self) -> Option<String> {
        None
    }

    /// Why this region is not to act as the bucket's home now, when it is not: requests that the
    /// home answers are refused with these words.
    fn home_doubt(&self, _: &BucketDeed) -> Option<String> {
        None
    }

    /// Why this region may not know any more who else than the bucket's own account has access: it
    /// has had no answer from the registry, or a replica from its home, for too long. Others are
    /// refused with these words.
    fn out_of_touch(&self, _: &BucketDeed) -> Option<String> {
        None
    }

    /// Whether every replica of the bucket has applied all that its home, which is here, had
    /// committed up to `position`.
    fn replicated(&self, deed: &BucketDeed, position: u64) -> bool;

    /// The readable replicas of the bucket, whose home is here, that are not known to have applied
    /// all up to `position`, each with up to where it has; `None` where its region is away.
    fn lagging(&self, _: &BucketDeed, _position: u64) -> Vec<(RegionId, Option<u64>)> {
        Vec::new()
    }

    /// Up to where in its home's change log this region's replica of the bucket has applied; `None`
    /// where there is no replica, or that is not known.
    fn applied(&self, _: &BucketDeed) -> Option<u64> {
        None
    }

    /// Asks the home of `destination`, which is another region, whether it would take versions of
    /// `source` by a replication rule.
    fn takes_by_rule<'a>(
        &'a self,
        _: &'a Arc<BucketDeed>,
        destination: &'a Arc<BucketDeed>,
    ) -> BoxFuture<'a, Result<(), RuleRefused>> {
        let region = destination.home.to_string();
        Box::pin(async move { Err(RuleRefused::NoAnswer(region)) })
    }

    /// Whether the home of a bucket that takes writes everywhere has read all that clients had
    /// changed here, at a replica, up to `position`.
    fn read_by_home(&self, _: &BucketDeed, _: u64) -> bool {
        false
    }

    /// The same, waited for: whether it came to that within so long.
    fn until_read_by_home<'a>(
        &'a self,
        _: &'a BucketDeed,
        _position: u64,
        _within: Duration,
    ) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(false))
    }
}
