//! How the fields of bodies and answers are described.

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number, not negative.
    Count,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list.
    List(&'static Kind),
    /// An object with these fields.
    Fields(&'static [Field]),
    /// An answer of [`crate::fields::ANSWERS`].
    Named(&'static str),
    /// That, or null.
    OrNull(&'static Kind),
    /// An object of which no more is said.
    Object,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is always there.
    pub required: bool,
    /// What it means; empty when the name says it.
    pub about: &'static str,
}

pub(crate) const fn must(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: true,
        about,
    }
}

pub(crate) const fn may(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required: false,
        about,
    }
}
