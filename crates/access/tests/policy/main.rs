//! Policies: what documents may say, and what they decide.

#![allow(clippy::unwrap_used)]

mod common;
mod explain;
mod generate;
mod holes;
mod malformed;
mod model;
mod operators;
mod page;
mod random;
mod truth;
