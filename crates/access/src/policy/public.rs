//! Whether a document lets the public in.

use super::{
    compile_principal::{Entry, Kind},
    document::{DENY, Inner, NOT_PRINCIPAL, Part, Statement, WORDS_CONDITION, WORDS_PRINCIPAL},
    keys::Key,
    operators::{self, Compare, Operator},
    text::{ONE, STAR, VAR},
};

/// Widest ranges of addresses that are no public.
const V4_BITS_MIN: u8 = 8;
const V6_BITS_MIN: u8 = 32;

/// Whether any statement lets in whom it does not bind to fixed principals or values.
pub(super) fn is_public(inner: &Inner) -> bool {
    let mut allows = inner.statements.iter().filter(|own| !own.is(DENY));
    allows.any(|statement| !is_bound(inner, statement))
}

fn is_bound(inner: &Inner, statement: &Statement) -> bool {
    let mut principals = inner.entries(statement.principals, WORDS_PRINCIPAL);
    let fixed = principals.all(|words| {
        let kind = Entry::of(inner, words).kind;
        kind != Kind::Anybody && kind != Kind::Provider
    });
    if fixed && !statement.is(NOT_PRINCIPAL) {
        return true;
    }
    let mut conditions = inner.entries(statement.conditions, WORDS_CONDITION);
    conditions.any(|words| binds(inner, words))
}

/// Keys of which a fixed value names who asks, or where from.
fn is_binding(key: Key) -> bool {
    matches!(
        key,
        Key::SourceArn
            | Key::SourceAccount
            | Key::SourceOwner
            | Key::SourceVpc
            | Key::SourceVpce
            | Key::PrincipalOrgId
            | Key::PrincipalAccount
            | Key::PrincipalArn
            | Key::UserId
            | Key::DataAccessPointArn
            | Key::DataAccessPointAccount
            | Key::KmsKeyId
    )
}

/// Whether a condition holds only for fixed values.
fn binds(inner: &Inner, words: &[u32]) -> bool {
    let &[head, _, kept] = words else {
        return false;
    };
    let (key, operator) = (Key::of((head & 0xff) as u8), Operator::of(head >> 8));
    // Each of these holds, too, when the key is absent.
    if operator.negated() || operator.if_exists || operator.every {
        return false;
    }
    let compare = operator.compare();
    let kept = inner.list(Part::of(kept), 1);
    let mut values = kept.chunks_exact(compare.words());
    match (key, compare) {
        (Key::SourceIp, Compare::Address) => values.all(|words| {
            let network = operators::network(words);
            let least = if network.v4 { V4_BITS_MIN } else { V6_BITS_MIN };
            network.bits >= least
        }),
        (key, Compare::Text | Compare::TextIgnoringCase | Compare::Pattern | Compare::Arn)
            if is_binding(key) =>
        {
            values.all(|words| {
                let part = Part::of(words.first().copied().unwrap_or(0));
                let value = inner.bytes(part);
                // Also what only looks like a wildcard or a variable: a policy counts as public
                // unless it plainly is not.
                let special = |byte: &u8| matches!(*byte, STAR | ONE | VAR | b'*' | b'?');
                !value.iter().any(special) && !value.windows(2).any(|two| two == b"${")
            })
        }
        _ => false,
    }
}
