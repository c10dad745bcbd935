//! What is asked, and what the answer depends on. All of it is borrowed: a decision copies only
//! what its permit carries.

use std::sync::Arc;

use http::{HeaderMap, header};
use types::{BucketDeed, BucketName, DisplayVersion, ObjectKey, Place};

use crate::{
    AccessList, Action, BucketAccess, Identity, Initiator, PublicAccessBlock, RequestFacts, Via,
    policy::{Given, Steps},
};

/// A question: may this caller do this, on this?
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Who asks.
    pub principal: &'a Identity,
    /// What for.
    pub action: Action,
    /// On what.
    pub resource: Resource<'a>,
    /// What else the request says.
    pub context: Context<'a>,
}

/// What an action is to be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The service as a whole.
    Service,
    /// A bucket, and no key in it. For an action on keys: the bucket of a request that names its
    /// keys in its body, each of which is to be asked for by itself.
    Bucket(&'a BucketName),
    /// The keys of a bucket that begin with the prefix.
    Keys {
        /// Which bucket.
        bucket: &'a BucketName,
        /// Empty for all keys.
        prefix: &'a str,
    },
    /// A key.
    Object {
        /// In which bucket.
        bucket: &'a BucketName,
        /// Which key.
        key: &'a ObjectKey,
        /// The version that the request names.
        version: Option<DisplayVersion>,
    },
}

impl<'a> Resource<'a> {
    /// The bucket; `None` for the service.
    pub fn bucket(&self) -> Option<&'a BucketName> {
        match self {
            Self::Service => None,
            Self::Bucket(bucket) | Self::Keys { bucket, .. } | Self::Object { bucket, .. } => {
                Some(bucket)
            }
        }
    }
}

/// What a request says beside who asks for what.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// How it came.
    pub facts: RequestFacts,
    /// Its headers, as the customer sent them: also those of a head that another region relays.
    pub headers: Option<&'a HeaderMap>,
    /// Whether it makes an object: not a part of an upload, and not an upload that begins.
    pub creates: bool,
    /// What it copies: `bucket/key`, decoded.
    pub copy_source: Option<&'a str>,
    /// The home of the bucket that it makes; `None` where that is not known yet.
    pub location: Option<&'a str>,
    /// What a request for PutBucketOwnershipControls sets; `None` where that is not known yet, and
    /// `Some(None)` where it removes what is set.
    pub ownership: Option<Option<&'a str>>,
    /// The tags that it gives an object or a bucket; `None` where that is not known yet.
    pub given_tags: Option<&'a [(String, String)]>,
    /// Whether what it does depends on the state of the object.
    pub conditional: bool,
    /// Whether its body names an ETag that the object is compared with.
    pub compares: bool,
    /// The prefix of a listing, where it names one.
    pub prefix: Option<&'a str>,
    /// The delimiter of a listing, where it names one.
    pub delimiter: Option<&'a str>,
    /// How many keys a listing may name.
    pub max_keys: Option<i64>,
    /// The tags of the object as it is; `None` where nobody asked for them.
    pub existing_tags: Option<&'a [(String, String)]>,
    /// The access control list of the object as it is, and with it who owns it: `Some(None)` where
    /// that is the bucket's owner alone, or there is no such object; `None` where nobody asked for
    /// it.
    pub list: Option<Option<&'a AccessList>>,
    /// Who began the upload that is addressed: `Some(None)` where nobody is known to have; `None`
    /// where nobody asked for it.
    pub initiator: Option<Option<&'a Initiator>>,
    /// The account to which the bucket has to belong, as the request says.
    pub expected_owner: Option<&'a [u8]>,
    /// What somebody states in place of what a request would say: where it is only asked what
    /// would be decided. No request sets it.
    pub given: Option<&'a Given>,
    /// Steps of comparing that all decisions of one request share; `None` where there is one.
    pub steps: Option<&'a Steps>,
}

impl<'a> Context<'a> {
    /// The client's name for itself. Anybody can write anything there.
    pub fn user_agent(&self) -> Option<&'a [u8]> {
        Some(self.headers?.get(header::USER_AGENT)?.as_bytes())
    }

    /// The page from which the request was made, as the client says. As [`Self::user_agent`].
    pub fn referer(&self) -> Option<&'a [u8]> {
        Some(self.headers?.get(header::REFERER)?.as_bytes())
    }
}

/// What the region that decides knows.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The bucket's deed; `None` for the service and for a bucket that does not exist yet.
    pub deed: Option<&'a Arc<BucketDeed>>,
    /// What the bucket's documents say of access; `None` in a region that does not have them, or
    /// has not received them yet.
    pub access: Option<&'a BucketAccess>,
    /// Which public access the account refuses that owns the bucket.
    pub account_block: PublicAccessBlock,
    /// The region that decides.
    pub here: &'a Place,
    /// How the request reached it.
    pub via: &'a Via,
}
