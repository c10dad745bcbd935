//! The front door: listeners, limits, one request pipeline, and the dialects.
//!
//! Every request passes limits -> parse -> identify -> permit -> act -> answer -> record.
//! Invariants: the gateway never touches `store`, never decides a permission itself (that is
//! `access`), and holds no rule about objects (that is `objects`).

pub mod body;
pub mod operations;
pub mod s3;
pub mod server;
