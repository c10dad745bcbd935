//! Policies: what documents may say, and what they decide.

#![allow(clippy::unwrap_used)]

mod common;
mod malformed;
mod truth;
