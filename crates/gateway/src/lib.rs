//! The gateway: listeners, limits, one request pipeline, and the dialects.
//!
//! Every request passes limits -> parse -> identify -> permit -> act -> answer -> record.
//! Invariants: the gateway never touches `store`, never decides a permission itself (that is
//! `access`), and holds no rule about objects (that is `objects`).

mod acknowledged;
pub mod admission;
mod arrival;
mod ask;
mod beside;
pub mod body;
pub mod call;
mod change;
pub mod chunked;
mod console;
mod cors;
mod dialect;
mod documents;
mod elsewhere;
pub mod fault;
mod form;
mod forwarded;
mod forwarding;
#[doc(hidden)]
pub mod fuzzing;
mod head_lines;
pub mod health;
mod held;
mod hosts;
mod http2;
pub mod identify;
pub mod limits;
pub mod metrics;
pub mod operations;
pub mod passing;
pub mod payload;
mod pipeline;
mod proof;
pub mod query;
mod reason;
pub mod regions;
mod relayed;
mod request;
pub mod request_id;
pub mod s3;
pub mod serve;
pub mod server;
mod shares;
mod small_listener;
pub mod target;
mod watchdog;

pub use arrival::{NOT_YET_IN, name_late};
pub use beside::{Beside, BesideApi};
pub use change::SignedChange;
pub use forwarded::facts as forwarded_facts;
pub use hosts::Hosts;
pub use limits::GatewayConfig;
pub use passing::{AnswerBody, PassedBody};
pub use regions::{Introduced, PassError, Proven, Regions, RuleRefused};
pub use s3::not_s3;
pub use serve::listen;
pub use server::{Gateway, Parts};
pub use small_listener::{ServedAt, SmallLimits, serve_small};
