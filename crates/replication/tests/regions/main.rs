//! Regions in one process that hold one bucket, over mutual TLS on loopback sockets.
#![allow(clippy::unwrap_used)]

mod common;
mod configuration;
mod copies;
mod follow;
mod forged;
mod hostile;
mod links;
mod placement;
mod promises;
mod promotion;
mod put_back;
mod readers;
mod repair;
mod sealed;
mod stamps;
