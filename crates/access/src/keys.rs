//! The seam to whoever keeps access keys. A region asks for signing keys that are derived for
//! itself and for one day, never for the customer's secret.

use std::fmt;

use types::{AccountId, RegionId, Timestamp};

use crate::{
    CallerKind, GuardPolicy, NewBuckets, PublicAccessBlock, SessionToken, TokenFault, Who,
    signature::{HmacKey, OldKey, PublicKey, Service},
};

/// HMAC-SHA256 key at the end of SigV4's chain: secret -> day -> region -> service ->
/// `aws4_request` ("Create a signed AWS API request", step 3).
#[derive(Clone)]
pub struct SigningKey {
    /// The account that the access key belongs to.
    pub account: AccountId,
    /// What that account is for.
    pub kind: CallerKind,
    /// The account's guard policy.
    pub guard: GuardPolicy,
    /// Who of the account holds it.
    pub who: Who,
    /// The derived key.
    pub key: HmacKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, …)", self.account)
    }
}

/// What verifies asymmetric signatures of an access key, whatever the day and region.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    /// The account that the access key belongs to.
    pub account: AccountId,
    /// What that account is for.
    pub kind: CallerKind,
    /// The account's guard policy.
    pub guard: GuardPolicy,
    /// Who of the account holds it.
    pub who: Who,
    /// The key.
    pub key: PublicKey,
}

/// What verifies signatures with HMAC-SHA1 of an access key, in every region that has it.
#[derive(Debug, Clone)]
pub struct OldSigner {
    /// The account that the access key belongs to.
    pub account: AccountId,
    /// What that account is for.
    pub kind: CallerKind,
    /// The account's guard policy.
    pub guard: GuardPolicy,
    /// Who of the account holds it.
    pub who: Who,
    /// The key.
    pub key: OldKey,
}

/// Why a signature with HMAC-SHA1 is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoOldKey {
    /// Whoever verifies such signatures can make them, so only regions that the cloud's owner runs
    /// do.
    #[error("this region is not run by the owner of the cloud")]
    Region,
    /// The account has not asked for them.
    #[error("the account does not take signatures of version 2")]
    Off,
    /// The access key is not known, or disabled.
    #[error("unknown access key")]
    Unknown,
}

/// Answers from memory, for this region only.
pub trait SigningKeys: Send + Sync + 'static {
    /// The signing key of an access key for `day` (`YYYYMMDD`), `region` and `service`; `None`
    /// when the access key is unknown or disabled, or the region is not ours.
    fn signing_key(
        &self,
        access_key: &str,
        day: &str,
        region: &RegionId,
        service: &str,
    ) -> Option<SigningKey>;

    /// The same of a session's key, by the token that the client shows with it; `Ok(None)` when
    /// whom it is of is unknown here, gone or suspended.
    ///
    /// # Errors
    /// The token is no good.
    fn session_key(
        &self,
        _token: &SessionToken,
        _access_key: &str,
        _day: &str,
        _region: &RegionId,
        _service: &str,
    ) -> Result<Option<SigningKey>, TokenFault> {
        Err(TokenFault::Invalid)
    }

    /// The public key of an access key; `None` when the access key is unknown or disabled, or its
    /// public key is not known here.
    fn public_key(&self, _access_key: &str) -> Option<VerifyingKey> {
        None
    }

    /// What verifies signatures with HMAC-SHA1 of an access key.
    ///
    /// # Errors
    /// They are not taken here, or not of this key.
    fn old_signer(&self, _access_key: &str) -> Result<OldSigner, NoOldKey> {
        Err(NoOldKey::Off)
    }

    /// Whether it is a suspended account whose key, or session by this token, it is: as far as that
    /// is known here.
    fn is_suspended(&self, _access_key: &str, _token: Option<&SessionToken>) -> bool {
        false
    }

    /// Whether the account takes asymmetric signatures only, where buckets and objects are asked
    /// for.
    fn requires_asymmetric(&self, _: &AccountId) -> bool {
        false
    }

    /// Which public access the account refuses, in all of its buckets.
    fn account_block(&self, _: &AccountId) -> PublicAccessBlock {
        PublicAccessBlock::NONE
    }

    /// What new buckets of the account begin with; `None` where it is for the region to say.
    fn new_buckets(&self, _: &AccountId) -> Option<NewBuckets> {
        None
    }

    /// The canonical id of an account, as access control lists name it; `None` where this region
    /// does not know it.
    fn canonical_id(&self, _: &AccountId) -> Option<String> {
        None
    }

    /// The account that has this canonical id.
    fn account_of(&self, _: &str) -> Option<AccountId> {
        None
    }

    /// Notes that a long-term key has signed a request that was verified. Waits for nothing.
    fn note_use(&self, _access_key: &str, _service: Service, _at: Timestamp) {}
}
