//! Access keys of users, and of the account itself where it asks for its own.

use access::Who;
use cloud::{KeyInfo, KeyStatus, UserInfo};
use types::AccessKeyId;

use crate::{
    IamError,
    answer::{Node, missing, time},
    call::{About, Call, Done},
    users::one_of,
};

const fn status(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Active => "Active",
        KeyStatus::Disabled => "Inactive",
    }
}

/// As IAM says that there is no use, or no such thing.
pub(crate) const NEVER: &str = "N/A";

fn no_key(id: &str) -> IamError {
    missing(format!(
        "The Access Key with id {} cannot be found.",
        types::text::shown(id, 128)
    ))
}

impl Call<'_> {
    /// Whose keys a request is about: a user's, or with `None` those of the account itself, which
    /// only the account's own keys may ask for.
    fn holder(&self) -> Result<Option<UserInfo>, IamError> {
        match (self.form.get("UserName"), self.caller.who) {
            (None, Who::Root) => self.may_on_account().map(|()| None),
            _ => self.user(&About::default()).map(Some),
        }
    }

    fn named(holder: Option<&UserInfo>) -> Node {
        holder.map_or("root", |user| &user.name).into()
    }

    pub async fn create_access_key(&self) -> Done {
        let holder = self.holder()?;
        let Self {
            registry, caller, ..
        } = self;
        let (made, info) = match &holder {
            Some(user) => registry.create_user_key(caller.actor, &user.id).await?,
            None => {
                registry
                    .create_root_key(caller.actor, caller.account)
                    .await?
            }
        };
        let key = Node::Fields(vec![
            ("UserName", Self::named(holder.as_ref())),
            ("AccessKeyId", made.access_key.into()),
            ("Status", status(info.status).into()),
            ("SecretAccessKey", made.secret_key.into()),
            ("CreateDate", time(info.created_ms)),
        ]);
        Ok(Some(Node::Fields(vec![("AccessKey", key)])))
    }

    fn keys_of(&self, holder: Option<&UserInfo>) -> Vec<KeyInfo> {
        match holder {
            Some(user) => self.registry.keys_of_user(&user.id),
            None => {
                let mut keys = self.registry.keys(Some(self.caller.account));
                keys.retain(|key| key.user.is_none());
                keys
            }
        }
    }

    pub fn list_access_keys(&self) -> Done {
        let holder = self.holder()?;
        let shown = |key: KeyInfo| {
            let fields = vec![
                ("UserName", Self::named(holder.as_ref())),
                ("AccessKeyId", key.access_key.clone().into()),
                ("Status", status(key.status).into()),
                ("CreateDate", time(key.created_ms)),
            ];
            (key.access_key, Node::Fields(fields))
        };
        let keys = self.keys_of(holder.as_ref()).into_iter();
        let page = self.page("AccessKeyMetadata", keys.map(shown).collect())?;
        Ok(Some(Node::Fields(page)))
    }

    /// When a key of the account was last used, and for what.
    pub fn get_access_key_last_used(&self) -> Done {
        let id = self.form.need("AccessKeyId")?;
        let account = self.caller.account;
        let key = self.registry.key(&AccessKeyId::new(id));
        let key = key.filter(|key| *key.account == **account);
        let holder = key
            .as_ref()
            .and_then(|key| self.registry.user(key.user.as_ref()?));
        let anybody = self.user_arn("/", "*");
        let arn = match (&key, &holder) {
            (_, Some(user)) => user.arn.clone(),
            (Some(_), None) => format!("arn:aws:iam::{account}:root"),
            (None, None) => anybody.clone(),
        };
        let about = About::default();
        let named = format!("access key {}", types::text::shown(id, 128));
        // Who may not does not learn whose key it is, or that there is none.
        self.may_to((&arn, &about), (&anybody, &named, &about))?;
        let Some(key) = key else {
            return Err(no_key(id));
        };
        let used = self.registry.last_use(&AccessKeyId::new(&key.access_key));
        let mut last = Vec::new();
        let (region, service) = match used {
            Some(used) => {
                last.push(("LastUsedDate", time(used.at_ms)));
                (used.region, used.service)
            }
            None => (NEVER.to_owned(), NEVER.to_owned()),
        };
        last.push(("ServiceName", service.into()));
        last.push(("Region", region.into()));
        Ok(Some(Node::Fields(vec![
            ("UserName", Self::named(holder.as_ref())),
            ("AccessKeyLastUsed", Node::Fields(last)),
        ])))
    }

    /// The key that the form names, if it is one of that holder: a key of somebody else's is
    /// answered as one that is not there.
    fn key(&self) -> Result<AccessKeyId, IamError> {
        let id = self.form.need("AccessKeyId")?;
        let holder = self.holder()?;
        let keys = self.keys_of(holder.as_ref());
        let found = keys.iter().find(|key| key.access_key == id);
        if found.is_some_and(|key| key.admin && self.is_plain(&keys)) {
            return Err(IamError::new(
                "AccessDenied",
                403,
                "this key administers the account: only such a key, or the cloud's operator, \
                 changes it",
            ));
        }
        match found.is_some() {
            true if self.kept.is_some_and(|kept| **kept == *id) => Err(IamError::new(
                "UnmodifiableEntity",
                400,
                "`dhow` signs with this key, which is in credentials.json",
            )),
            true => Ok(AccessKeyId::new(id)),
            false => Err(no_key(id)),
        }
    }

    /// Whether the caller signs with one of these keys that does not administer the account.
    fn is_plain(&self, keys: &[KeyInfo]) -> bool {
        let types::Actor::Key { access_key, .. } = self.caller.actor else {
            return false;
        };
        let own = keys.iter().find(|key| *key.access_key == **access_key);
        own.is_some_and(|key| !key.admin)
    }

    pub async fn update_access_key(&self) -> Done {
        let text = one_of(self.form.need("Status")?, ["Active", "Inactive"], "Status")?;
        let key = self.key()?;
        let status = match text {
            "Active" => KeyStatus::Active,
            _ => KeyStatus::Disabled,
        };
        let actor = self.caller.actor;
        self.registry.set_key_status(actor, &key, status).await?;
        Ok(None)
    }

    pub async fn delete_access_key(&self) -> Done {
        let key = self.key()?;
        self.registry.delete_key(self.caller.actor, &key).await?;
        Ok(None)
    }
}
