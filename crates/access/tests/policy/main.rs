//! Policies: what documents may say, and what they decide.

#![allow(clippy::unwrap_used)]

mod common;
mod generate;
mod holes;
mod malformed;
mod model;
mod operators;
mod random;
mod truth;
