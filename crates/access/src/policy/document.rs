//! A document as it is kept: compiled, immutable, and small. Its parts stand in three lists, and
//! point to each other by number.

use std::sync::Arc;

use super::names::ActionSet;

/// What a document is for, which decides what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind<'a> {
    /// The policy of the bucket of this name.
    Bucket(&'a str),
    /// A policy of a user, group or role, or a managed one.
    Identity,
    /// Who may have a role.
    Trust,
    /// What bounds a session.
    Session,
    /// What bounds a user or role: a managed policy.
    Boundary,
    /// What bounds an account.
    Guard,
}

/// What the kinds of documents differ in once they are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Of a bucket.
    Resource,
    /// Of a role.
    Trust,
    /// Of a principal.
    Principal,
}

impl DocumentKind<'_> {
    pub(super) fn slot(&self) -> Slot {
        match self {
            Self::Bucket(_) => Slot::Resource,
            Self::Trust => Slot::Trust,
            Self::Identity | Self::Session | Self::Boundary | Self::Guard => Slot::Principal,
        }
    }

    /// Most bytes, white space not counted.
    pub fn bytes_max(&self) -> usize {
        match self {
            Self::Bucket(_) => 20_480,
            Self::Identity => 10_240,
            Self::Trust | Self::Session => 2_048,
            Self::Boundary | Self::Guard => 6_144,
        }
    }
}

/// A document, compiled. A clone of it is the same document.
#[derive(Debug, Clone)]
pub struct Document(pub(super) Arc<Inner>);

/// Equal documents decide everything alike. Others may, too.
impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Document {}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inner {
    pub slot: Slot,
    pub public: bool,
    /// Length of the text, white space not counted.
    pub bytes: u32,
    /// Those that deny first, else as in the text.
    pub statements: Box<[Statement]>,
    /// Principals, resources, conditions and values.
    pub words: Box<[u32]>,
    /// All texts and patterns.
    pub text: Box<[u8]>,
}

/// Part of a list: where it begins, and how many entries it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub start: u16,
    pub len: u16,
}

impl Part {
    pub fn word(self) -> u32 {
        u32::from(self.start) | u32::from(self.len) << 16
    }

    pub fn of(word: u32) -> Self {
        Self {
            start: (word & 0xffff) as u16,
            len: (word >> 16) as u16,
        }
    }
}

/// A statement. Entries of its parts have as many words as their kind says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Statement {
    /// Which one it is in the text, from 0.
    pub number: u16,
    pub flags: u16,
    pub actions: ActionSet,
    /// Patterns of names of actions of other services.
    pub others: Part,
    pub principals: Part,
    pub resources: Part,
    pub conditions: Part,
    pub variables: Part,
    /// In the text.
    pub sid: Part,
}

/// It denies.
pub(super) const DENY: u16 = 1;
/// `NotAction`.
pub(super) const NOT_ACTION: u16 = 2;
/// `NotPrincipal`.
pub(super) const NOT_PRINCIPAL: u16 = 4;
/// `NotResource`.
pub(super) const NOT_RESOURCE: u16 = 8;
/// It has resources at all.
pub(super) const RESOURCES: u16 = 16;
/// The action `*`.
pub(super) const ANY_ACTION: u16 = 32;

impl Statement {
    pub fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// Words of an entry.
pub(super) const WORDS_OTHER: usize = 1;
pub(super) const WORDS_PRINCIPAL: usize = 3;
pub(super) const WORDS_RESOURCE: usize = 2;
pub(super) const WORDS_CONDITION: usize = 3;
pub(super) const WORDS_VARIABLE: usize = 3;

impl Inner {
    /// The words of a part whose entries have so many each.
    pub fn list(&self, part: Part, words: usize) -> &[u32] {
        let start = usize::from(part.start);
        let end = start + usize::from(part.len) * words;
        self.words.get(start..end).unwrap_or_default()
    }

    /// The entries of a part.
    pub fn entries(&self, part: Part, words: usize) -> std::slice::ChunksExact<'_, u32> {
        self.list(part, words).chunks_exact(words)
    }

    /// A text.
    pub fn bytes(&self, part: Part) -> &[u8] {
        let start = usize::from(part.start);
        self.text
            .get(start..start + usize::from(part.len))
            .unwrap_or_default()
    }

    pub fn str(&self, part: Part) -> &str {
        std::str::from_utf8(self.bytes(part)).unwrap_or_default()
    }
}

impl Document {
    /// What is used in place of a document that cannot be read, such as one of a later release: it
    /// denies everything to everybody.
    #[must_use]
    pub fn unreadable(kind: DocumentKind<'_>) -> Self {
        let slot = kind.slot();
        let principals = Part {
            start: 0,
            len: u16::from(slot != Slot::Principal),
        };
        let all = Statement {
            flags: DENY | ANY_ACTION,
            principals,
            ..Statement::default()
        };
        Self(Arc::new(Inner {
            slot,
            public: false,
            bytes: 0,
            statements: Box::new([all]),
            words: Box::new(super::compile_principal::ANYBODY),
            text: Box::default(),
        }))
    }

    /// How many statements it has.
    pub fn statements(&self) -> usize {
        self.0.statements.len()
    }

    /// The `Sid` of a statement, by its place in the text from 0.
    pub fn sid(&self, statement: usize) -> Option<&str> {
        let mut statements = self.0.statements.iter();
        let found = statements.find(|own| usize::from(own.number) == statement)?;
        Some(self.0.str(found.sid)).filter(|sid| !sid.is_empty())
    }

    /// The length of its text, white space not counted: what limits on several documents together
    /// count.
    pub fn bytes(&self) -> usize {
        self.0.bytes as usize
    }

    /// Whether it lets the public in: `GetBucketPolicyStatus`, and what the public access block
    /// refuses and restricts.
    pub fn is_public(&self) -> bool {
        self.0.public
    }

    /// How much memory it takes.
    pub fn memory(&self) -> usize {
        // The counts of the Arc come before.
        2 * size_of::<usize>()
            + size_of::<Inner>()
            + size_of_val(&*self.0.statements)
            + size_of_val(&*self.0.words)
            + self.0.text.len()
    }
}
