//! The bytes of every kind of row, as they have always been.

use access::Who;
use types::{Actor, RegionId, SeededRandom, Timestamp};

use super::*;
use crate::change::Draft;

fn master() -> MasterKey {
    MasterKey::generate(&SeededRandom::new(7))
}

#[test]
fn rows_of_every_kind_have_the_bytes_that_they_always_had() {
    let mut state = State::default();
    for kind in KINDS {
        assert!(!kind.golden.is_empty(), "{}", kind.prefix);
        for (key, value) in kind.golden {
            let (found, _) = Kind::of_key(key).unwrap();
            assert_eq!(found.prefix, kind.prefix, "{key}");
            assert_eq!((kind.again)(value.as_bytes()).unwrap(), *value, "{key}");
            state.put(&master(), key, value.as_bytes()).unwrap();
        }
    }
    // What the rows say is what is in memory.
    assert!(state.accounts["000000000002"].suspended);
    assert_eq!(state.keys["DHOWONE"].secret, "the secret of one");
    assert_eq!(state.keys["DHOWTHREE"].secret, "the secret of three");
    assert_eq!(state.keys.of_account["000000000001"].len(), 3);
    assert_eq!(state.keys.of_user["AIDAONE"].len(), 1);
    let holder = state.holder(&state.keys["DHOWTHREE"].record).unwrap();
    assert!(matches!(holder, Who::User(user) if user.name == "Alice"));
    let told = &state.verifiers["DHOWTHREE"].who;
    assert!(matches!(told, Who::User(user) if user.id == "AIDAONE"));
    let alice = state.users.named("000000000001", "aLICE").unwrap();
    assert_eq!(alice.record.id, "AIDAONE");
    assert_eq!(state.users.of("000000000001").count(), 3);
    let readers = state.policies.named("000000000001", "READERS").unwrap();
    assert_eq!(readers.text(), r#"{"Version":"2012-10-17"}"#);
    assert_eq!(state.policies.of("000000000001").count(), 2);
    let staff = state.groups.named("000000000001", "staff").unwrap();
    assert!(state.users_with(&staff.id).contains("AIDATHREE"));
    assert_eq!(state.groups.of("000000000001").count(), 1);
    assert!(state.keys.named.contains_key("DHOWONE"));
    assert!(state.verifiers["DHOWONE"].has_day("20261129"));
    let deed = &state.deeds["papers"];
    assert_eq!(deed.placement.copy_since(&RegionId::new("second")), 4);
    assert_eq!(state.deeds.by_owner[&deed.owner].len(), 2);
    assert_eq!(state.regions["second"].issued.len(), 1);
    assert_eq!(state.operators["op"].name, "An operator");
    assert!(state.tokens["01ff"].rekeys);
    assert_eq!((state.chained, state.length()), (5, 1));
    assert!(state.receipt.is_some());
    let writer = state.roles.named("000000000001", "WRITER").unwrap();
    assert!(state.roles_with(&readers.id).contains("AROATWO"));
    assert_eq!(writer.role.id, "AROATWO");
    assert_eq!(state.roles.of("000000000001").count(), 2);
    assert_eq!(state.role("AROATHREE").unwrap().name, "Reader");
    assert_eq!(state.token_keys[&2969], [7; 32]);
    let issuer = "https://id.example.com/team";
    let provider = state.providers.of_issuer("000000000001", issuer).unwrap();
    assert_eq!((&*provider.id, provider.clients.len()), ("OIDP-ONE", 1));
    assert_eq!(state.aliases.account("acme-prod"), Some("000000000001"));
    assert!(!state.guard_policy("000000000002").is_none());
    assert!(state.guard_policy("000000000003").is_none());
}

#[test]
fn rows_that_are_removed_leave_nothing_in_memory() {
    let mut state = State::default();
    let rows = || KINDS.iter().flat_map(|kind| kind.golden);
    for (key, value) in rows() {
        state.put(&master(), key, value.as_bytes()).unwrap();
    }
    for (key, _) in rows() {
        let kept = ["e/", "m/", "l/", "c/"].iter().any(|p| key.starts_with(p));
        assert_eq!(state.remove(key).is_err(), kept, "{key}");
    }
    assert!(state.accounts.is_empty() && state.keys.is_empty() && state.deeds.is_empty());
    assert!(state.policies.is_empty() && state.groups.is_empty());
    assert!(state.roles.is_empty() && state.told_roles.is_empty());
    assert!(state.roles.of("000000000001").count() == 0 && state.token_keys.is_empty());
    assert!(state.providers.is_empty() && state.aliases.is_empty());
    assert!(state.aliases.account("acme-prod").is_none());
    assert_eq!(state.policies.of("000000000001").count(), 0);
    assert_eq!(state.groups.of("000000000001").count(), 0);
    assert!(state.keys.of_user.is_empty() && state.users.is_empty());
    assert_eq!(state.users.of("000000000001").count(), 0);
    assert!(state.keys.of_account.is_empty() && state.verifiers.is_empty());
    assert!(state.regions.is_empty() && state.operators.is_empty() && state.tokens.is_empty());
    assert!(state.deeds.by_owner.values().all(|owned| owned.is_empty()));
}

#[test]
fn a_row_of_no_kind_is_refused_and_counts_as_secret() {
    for key in [
        "",
        "a",
        "y/1",
        "A/1",
        "c/",
        "c/chain",
        "c/chains2",
        "c/receipt/1",
    ] {
        assert!(Kind::of_key(key).is_err(), "{key}");
        assert!(
            State::default().put(&master(), key, b"{}").is_err(),
            "{key}"
        );
    }
    let row = |key: &str| RowChange {
        key: key.into(),
        now: RowNow::Value("{}".into()),
    };
    let rows = ["y/1", "k/1", "t/1", "n/1"].map(row);
    let draft = Draft {
        actor: Actor::System,
        action: "test",
        subject: "test".into(),
        detail: serde_json::json!({}),
        rows: rows.into(),
    };
    let sealed = draft.seal(None, Timestamp::from_ms(1)).unwrap();
    let shown = sealed
        .rows
        .iter()
        .map(|r| matches!(r.now, RowNow::Value(_)));
    assert_eq!(shown.collect::<Vec<_>>(), [false, false, false, true]);
}

#[test]
fn a_format_that_is_newer_is_refused() {
    let newer = r#"{"v":2,"id":"op","name":"An operator","created_ms":1}"#;
    let refused = Operator::read(newer.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("newer Dhow (format 2)"), "{refused}");
}
