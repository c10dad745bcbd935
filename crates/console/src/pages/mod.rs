//! The pages: one file each, and one row in `routes.rs`.

pub mod accounts;
pub mod audit;
pub mod bulk;
pub mod connect;
pub mod create;
pub mod delete;
pub mod editor;
pub mod enter;
pub mod fault;
pub mod home;
pub mod jobs;
pub mod keys;
pub mod language;
pub mod object;
pub mod objects;
pub mod people;
pub mod placement;
pub mod preview;
pub mod regions;
pub mod rules;
pub mod sessions;
pub mod share;
pub mod signin;
pub mod simulate;
pub mod upload;
pub mod value;
