//! What pages are made of. Raw HTML is written here and nowhere else.

pub mod away;
pub mod href;
pub mod map;
pub mod number;
pub mod parts;
pub mod shell;
pub mod text;
pub mod time;
