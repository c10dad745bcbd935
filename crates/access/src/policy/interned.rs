//! Documents of principals, each text compiled once: many users have the same policies, and a user
//! with two keys has them twice.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use sha2::{Digest, Sha256};

use super::{
    document::{Document, DocumentKind, Inner},
    error::PolicyError,
};

/// From so many texts on, those that nobody uses any more are dropped.
const FEW: usize = 1024;

/// A digest of kind and text. Nobody finds two texts with the same one.
type Name = [u8; 24];

#[derive(Default)]
struct Known {
    by_name: HashMap<Name, Weak<Inner>>,
    /// With so many they are looked through.
    sweep_at: usize,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

fn name(text: &str, kind: DocumentKind<'_>) -> Name {
    let mut digest = Sha256::new();
    digest.update([u8::from(kind == DocumentKind::Boundary)]);
    digest.update(text);
    let digest: [u8; 32] = digest.finalize().into();
    let mut name = Name::default();
    name.copy_from_slice(&digest[..size_of::<Name>()]);
    name
}

impl Document {
    /// The same as [`Self::parse`] for a policy of a user or what bounds one, and the same document
    /// for the same text.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn interned(text: &str, kind: DocumentKind<'_>) -> Result<Self, PolicyError> {
        let name = name(text, kind);
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().by_name.get(&name).and_then(Weak::upgrade) {
            return Ok(Self(found));
        }
        let made = Self::parse(text, kind)?;
        let mut known = known();
        if known.by_name.len() >= known.sweep_at {
            known
                .by_name
                .retain(|_, document| document.strong_count() > 0);
            known.by_name.shrink_to(FEW);
            known.sweep_at = (known.by_name.len() * 2).max(FEW);
        }
        known.by_name.insert(name, Arc::downgrade(&made.0));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_compiled_once_for_as_long_as_somebody_has_it() {
        let text = |n: usize| {
            format!(
                r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow",
                    "Action": "s3:GetObject", "Resource": "arn:aws:s3:::interned-{n}/*"}}}}"#
            )
        };
        let of = |n: usize, kind| Document::interned(&text(n), kind).unwrap();
        let kept = of(0, DocumentKind::Identity);
        for n in 0..3 * FEW {
            of(n, DocumentKind::Identity);
        }
        assert!(Arc::ptr_eq(&kept.0, &of(0, DocumentKind::Identity).0));
        assert!(!Arc::ptr_eq(&kept.0, &of(0, DocumentKind::Boundary).0));
        assert_eq!(
            kept,
            Document::parse(&text(0), DocumentKind::Identity).unwrap()
        );
        let known = KNOWN.lock().unwrap().by_name.len();
        assert!(known <= 2 * FEW, "{known}");
        assert!(Document::interned("{", DocumentKind::Identity).is_err());
    }
}
