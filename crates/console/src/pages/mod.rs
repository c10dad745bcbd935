//! The pages: one file each, and one row in `routes.rs`.

pub mod connect;
pub mod create;
pub mod delete;
pub mod fault;
pub mod home;
pub mod keys;
pub mod object;
pub mod objects;
pub mod preview;
pub mod rules;
pub mod sessions;
pub mod share;
pub mod signin;
pub mod upload;
