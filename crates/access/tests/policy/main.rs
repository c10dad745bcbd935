//! Policies: what documents may say, and what they decide.

#![allow(clippy::unwrap_used)]

mod common;
mod generate;
mod malformed;
mod model;
mod random;
mod truth;
