//! The vocabulary of Dhow: names, typed ids, limits, clock and randomness, ETags and checksum
//! values, and the kinds of failure that a request body can have.
//!
//! Invariants: this crate does no IO (reading the machine's clock and entropy pool apart) and
//! knows no wire format beyond the text form of its own values.

pub mod actor;
pub mod body;
pub mod checksum;
pub mod clock;
pub mod connections;
mod countries;
pub mod deed;
pub mod etag;
pub mod features;
pub mod ids;
pub mod in_vain;
pub mod judge;
pub mod limits;
pub mod names;
pub mod placement;
pub mod planted;
pub mod random;
pub mod region_name;
pub mod serial;
pub mod text;
pub mod time;
pub mod tls;

pub use actor::Actor;
pub use body::{Body, BodyError};
pub use checksum::{ChecksumAlgorithm, ChecksumKind, ChecksumValue};
pub use clock::{Clock, ShiftedClock, SystemClock, TestClock};
pub use connections::{ConnectionSlot, Connections};
pub use deed::{BucketDeed, DeedError, Deeds, NewDeed, OneDeed, SignedRequest};
pub use etag::ETag;
pub use features::Features;
pub use ids::{AccessKeyId, AccountId, BucketId, DisplayVersion, RegionId, UploadId, VersionId};
pub use in_vain::InVain;
pub use judge::{Judge, NotNow};
pub use names::{BucketName, NameError, ObjectKey};
pub use placement::{
    Forwarder, Holding, Jurisdiction, Place, Placement, Replica, Trust, Unrenewed, Writes,
};
pub use planted::planted;
pub use random::{Random, SeededRandom, SystemRandom};
pub use region_name::{RegionNameError, is_region_name, look_alike};
pub use serial::{CertificateSerial, NoSerial};
pub use text::is_plain_text;
pub use time::Timestamp;
pub use tls::TlsVersion;
