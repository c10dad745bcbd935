//! The seam to the other regions of the cloud: where they are, and how a request goes to one.

use http::{Request, Response};
use types::{BucketDeed, Place, RegionId, deed::BoxFuture};

use access::Identity;

use crate::passing::{AnswerBody, PassedBody};

/// Why a request that was to be passed on has no answer.
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

/// What the front door knows of, and wants from, the other regions of its cloud. All but `pass`
/// is answered from memory.
pub trait Regions: Send + Sync {
    /// Where a region of the cloud lies; `None` for a name that no region has. This region itself
    /// is one of them.
    fn place(&self, region: &RegionId) -> Option<Place>;

    /// `among`, nearest first. Regions that are known not to answer may come last; none is added.
    fn nearest(&self, among: &[RegionId]) -> Vec<RegionId>;

    /// The host (and port) of a region's front door, for redirects; `None` where it is not known.
    fn endpoint(&self, region: &RegionId) -> Option<String>;

    /// Sends a request to `to`, over a connection on which both regions have proved who they are,
    /// with the caller whom this region has verified, and answers as soon as the head of the
    /// answer is there. The receiver hands it to [`Gateway::respond_passed`].
    ///
    /// The request's URI has path and query only. Its body brings the decoded bytes and, where
    /// `x-amz-trailer` announces one, a checksum as an HTTP trailer, which must be delivered. When
    /// the body fails, the stream must be broken off such that the receiver sees a failure and
    /// never an end.
    ///
    /// [`Gateway::respond_passed`]: crate::Gateway::respond_passed
    fn pass<'a>(
        &'a self,
        to: &'a RegionId,
        request: Request<PassedBody>,
        caller: &'a Identity,
    ) -> BoxFuture<'a, Result<Response<AnswerBody>, PassError>>;

    /// Why this region's clock is not to be believed, when it is not: writes are refused with these
    /// words.
    fn clock_doubt(&self) -> Option<String> {
        None
    }

    /// Whether every replica of the bucket has applied all that its home, which is here, had
    /// committed up to `position`.
    fn replicated(&self, deed: &BucketDeed, position: u64) -> bool;

    /// Whether the home of a bucket that takes writes everywhere has read all that clients had
    /// changed here, at a copy, up to `position`.
    fn read_by_home(&self, _: &BucketDeed, _: u64) -> bool {
        false
    }
}
