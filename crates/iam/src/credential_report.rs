//! The report on all credentials of an account, as text in CSV ("Getting credential reports for
//! your AWS account"). It is made when it is asked for: it is never older than the answer, and
//! nothing of it is kept. An account has at most 5,000 users, which bounds it.

use base64::{Engine, engine::general_purpose::STANDARD};
use cloud::{KeyInfo, KeyStatus};
use types::{AccessKeyId, Timestamp};

use crate::{
    answer::{Node, time},
    call::{About, Call, Done},
    keys::NEVER,
};

const HEAD: &str = "user,arn,user_creation_time,password_enabled,password_last_used,\
    password_last_changed,password_next_rotation,mfa_active,access_key_1_active,\
    access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,\
    access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
    access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
    cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";
/// Keys of one holder that the report has room for.
const KEYS: usize = 2;

/// A field of CSV: names of users may have commas.
fn field(text: &str) -> String {
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn written(ms: u64) -> String {
    let text = Timestamp::from_ms(ms).iso8601();
    let whole = text.split_once('.').map_or(&*text, |(whole, _)| whole);
    format!("{whole}+00:00")
}

impl Call<'_> {
    pub(crate) fn generate_credential_report(&self) -> Done {
        self.may("*", &About::default())?;
        Ok(Some(Node::Fields(vec![("State", "COMPLETE".into())])))
    }

    pub(crate) fn get_credential_report(&self) -> Done {
        self.may("*", &About::default())?;
        let (registry, account) = (self.registry, self.caller.account);
        let created = registry
            .account(account)
            .map_or(0, |found| found.created_ms);
        let root = format!("arn:aws:iam::{account}:root");
        let own = registry.keys(Some(account));
        let own = own.into_iter().filter(|key| key.user.is_none()).collect();
        let mut lines = vec![HEAD.to_owned()];
        let none = "not_supported";
        lines.push(self.line(("<root_account>", &root, created), none, own));
        for user in registry.users(account) {
            let keys = registry.keys_of_user(&user.id);
            lines.push(self.line((&user.name, &user.arn, user.created_ms), NEVER, keys));
        }
        let text = lines.join("\n") + "\n";
        Ok(Some(Node::Fields(vec![
            ("Content", STANDARD.encode(text).into()),
            ("ReportFormat", "text/csv".into()),
            ("GeneratedTime", time(self.caller.conditions.now.ms())),
        ])))
    }

    /// A holder of keys: those that are active come first, and then the newest.
    fn line(
        &self,
        (name, arn, created_ms): (&str, &str, u64),
        password: &str,
        mut keys: Vec<KeyInfo>,
    ) -> String {
        keys.sort_by_key(|key| (key.status != KeyStatus::Active, u64::MAX - key.created_ms));
        let mut fields = vec![field(name), field(arn), written(created_ms)];
        // Nobody signs in with a password, and there is no second factor.
        fields.push("false".to_owned());
        fields.extend([password; 3].map(str::to_owned));
        fields.push("false".to_owned());
        let mut keys = keys.into_iter();
        for _ in 0..KEYS {
            match keys.next() {
                None => {
                    fields.push("false".to_owned());
                    fields.extend([NEVER; 4].map(str::to_owned));
                }
                Some(key) => {
                    fields.push((key.status == KeyStatus::Active).to_string());
                    fields.push(written(key.created_ms));
                    let used = self.registry.last_use(&AccessKeyId::new(&key.access_key));
                    match used {
                        None => fields.extend([NEVER; 3].map(str::to_owned)),
                        Some(used) => {
                            fields.extend([written(used.at_ms), used.region, used.service]);
                        }
                    }
                }
            }
        }
        // There are no certificates.
        fields.extend(["false", NEVER, "false", NEVER].map(str::to_owned));
        fields.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_name_is_no_border() {
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("a"), "a");
        assert_eq!(HEAD.split(',').count(), 22);
        assert!(!HEAD.contains(' '));
        assert_eq!(written(1000), "1970-01-01T00:00:01+00:00");
    }
}
