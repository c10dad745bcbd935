//! Tags of users, roles, managed policies and identity providers. A key in another case is the same
//! key (IAM User Guide, "Tags for IAM resources").

use std::collections::{BTreeMap, BTreeSet};

use types::Actor;

use crate::{CloudError, Registry};

const TAGS_MAX: usize = 50;
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 256;
/// What keys begin with that nobody sets.
const RESERVED: &str = "aws:";

/// Whether these can be the tags of one user, role, policy, provider or session.
pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), CloudError> {
    if tags.len() > TAGS_MAX {
        return Err(CloudError::Limit(format!("at most {TAGS_MAX} tags")));
    }
    let good = |text: &str| {
        text.chars()
            .all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c))
    };
    let mut lower = BTreeSet::new();
    for (key, value) in tags {
        let fits =
            (1..=KEY_MAX).contains(&key.chars().count()) && value.chars().count() <= VALUE_MAX;
        if !fits || !good(key) || !good(value) {
            return Err(CloudError::Invalid(format!(
                "a tag has a key of 1 to {KEY_MAX} and a value of up to {VALUE_MAX} letters, \
                 digits, spaces, or one of _ . : / = + - @"
            )));
        }
        let plain = key.to_ascii_lowercase();
        if plain.starts_with(RESERVED) {
            return Err(CloudError::Tags(format!(
                "keys of tags that begin with {RESERVED} are reserved"
            )));
        }
        if !lower.insert(plain) {
            return Err(CloudError::Tags(format!(
                "two tags have the key {key} in different case"
            )));
        }
    }
    Ok(())
}

/// Puts `new` beside the others, in place of those with the same keys. Of two new ones with the
/// same key none may count: a policy has decided by one of them.
pub(crate) fn add_tags(
    tags: &mut BTreeMap<String, String>,
    new: BTreeMap<String, String>,
) -> Result<(), CloudError> {
    check_tags(&new)?;
    for (key, value) in new {
        tags.retain(|own, _| !own.eq_ignore_ascii_case(&key));
        tags.insert(key, value);
    }
    check_tags(tags)
}

/// Removes the tags of these keys, those that are there.
pub(crate) fn remove_tags(tags: &mut BTreeMap<String, String>, keys: &[String]) {
    tags.retain(|own, _| !keys.iter().any(|key| key.eq_ignore_ascii_case(own)));
}

impl Registry {
    /// Puts tags on a managed policy, beside the others.
    pub async fn tag_policy(
        &self,
        actor: &Actor,
        id: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let mut record = self.policy_record(id)?;
        add_tags(&mut record.tags, tags)?;
        let of = (id, &*record.account);
        self.put_row(turn, actor, "policy.tag", of, &record).await
    }

    /// Removes the tags of these keys from a managed policy.
    pub async fn untag_policy(
        &self,
        actor: &Actor,
        id: &str,
        keys: &[String],
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let mut record = self.policy_record(id)?;
        remove_tags(&mut record.tags, keys);
        let of = (id, &*record.account);
        self.put_row(turn, actor, "policy.untag", of, &record).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        of.iter().map(owned).collect()
    }

    #[test]
    fn a_key_in_another_case_is_the_same() {
        let mut own = tags(&[("Team", "a"), ("cost", "1")]);
        add_tags(&mut own, tags(&[("TEAM", "b")])).unwrap();
        assert_eq!(own, tags(&[("TEAM", "b"), ("cost", "1")]));
        let both = add_tags(&mut own, tags(&[("dept", "a"), ("Dept", "b")]));
        assert!(matches!(both, Err(CloudError::Tags(_))));
        assert_eq!(own.len(), 2);
        remove_tags(&mut own, &["team".into(), "none".into()]);
        assert_eq!(own, tags(&[("cost", "1")]));
        let both = check_tags(&tags(&[("a", "1"), ("A", "2")]));
        assert!(matches!(both, Err(CloudError::Tags(_))));
    }

    #[test]
    fn reserved_and_long_ones_are_refused() {
        for key in ["aws:a", "AWS:created-by"] {
            let refused = check_tags(&tags(&[(key, "1")]));
            assert!(matches!(refused, Err(CloudError::Tags(_))), "{key}");
        }
        for key in ["", &*"k".repeat(129), "a\nb"] {
            assert!(check_tags(&tags(&[(key, "1")])).is_err(), "{key:?}");
        }
        assert!(check_tags(&tags(&[("aws", "1"), ("my:aws:a", "")])).is_ok());
        let many = (0..=TAGS_MAX).map(|n| (n.to_string(), String::new()));
        let refused = check_tags(&many.collect());
        assert!(matches!(refused, Err(CloudError::Limit(_))));
    }
}
