//! The registry of a cloud: regions and their operators, accounts, access keys and deeds. One
//! region keeps it; the others follow, each with a durable copy. Every change is an entry of an
//! audit log that is chained by hash.
//!
//! Invariants: not on the path of a GET beyond a look in memory; a secret leaves this crate only
//! as a signing key derived for one region and day, or once, to whoever created it.

mod accounts;
mod admission;
mod aliases;
mod arrival;
mod asymmetric;
mod catch_up;
mod chains;
mod change;
mod clients;
mod common;
mod deeds;
mod departures;
mod divergence;
mod drains;
mod ended;
mod error;
mod evidence;
mod features;
mod follow;
mod follow_changes;
mod guard_policies;
mod guards;
mod introduce;
mod keys;
mod kinds;
mod link;
mod named;
mod names;
mod old;
mod pace;
mod past_tokens;
mod policies;
mod policy_usage;
mod principals;
mod providers;
mod proving;
mod reach;
mod reasons;
mod receipts;
mod regions;
mod registry;
mod rekey;
mod roles;
mod room;
mod rows;
mod seal;
mod sessions;
mod sign_ins;
mod standing;
mod state;
mod tags;
mod users;
mod uses;
mod verifiers;
mod warrant;
mod withdraw;
mod withheld;
mod words;

pub use accounts::{AccessChange, AccountKind};
pub use admission::SKEW_MAX_MS;
pub use catch_up::{CatchUpPlan, CaughtUp, LogAsk, LogPage, LogSource, LostRow};
pub use chains::{BucketChains, MapAfter};
pub use clients::{Clients, Pace};
pub use deeds::PlacementChange;
pub use departures::{Departure, Receipt};
pub use error::CloudError;
pub use evidence::{Order, Removal};
pub use features::Lacking;
pub use introduce::{Introduced, Introduction};
pub use keys::{KeyInfo, NewKey};
pub use kinds::{
    account::{Account, NewBucketsRecord},
    deed::{DeedRecord, NewDeedRecord},
    key::KeyStatus,
    operator::Operator,
    region::{
        DrainOrder, DrainRecord, DrainState, IssuedRecord, RegionPlan, RegionRecord, RegionStatus,
        check_position,
    },
};
pub use link::{Ask, Readiness, RegistryAnswer, SentChange, Upstream};
pub use pace::{ChangeLimits, Share};
pub use policies::{GroupInfo, Holder, NewEntity, PolicyInfo, VersionInfo};
pub use policy_usage::{PolicyHolders, Usage};
pub use principals::{SentPolicy, SentRole, SentUser};
pub use providers::{NewProvider, ProviderChange, ProviderInfo};
pub use reasons::REASON_MAX;
pub use regions::{Announcement, token_hash};
pub use registry::{Keeper, Opening, Registry};
pub use roles::{Assumable, NewRole, RoleChange, RoleInfo, check_session_tags};
pub use rows::{IndexRows, Rows};
pub use seal::MasterKey;
pub use sessions::{Grant, GrantOf, NewSession, SESSION_S_MAX, keys::SentTokenKey};
pub use users::{NewUser, UserChange, UserInfo};
pub use uses::{KeyUse, ReportedUse};
pub use verifiers::DerivedKeys;
pub use warrant::{ReadsRequests, Wanted, WantedChange};
pub use words::{OnWordRecord, RemovedOnWord};
