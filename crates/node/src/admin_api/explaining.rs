//! Why a request is allowed or refused, for whoever administers the account that asks.

use std::sync::Arc;

use access::{
    BucketAccess,
    policy::{Document, DocumentKind},
};
use admin::bodies::Explain;
use cloud::{CloudError, KeyStatus, SentUser, UserInfo};
use serde_json::{Value, json};
use types::{AccessKeyId, AccountId, BucketDeed, BucketId, BucketName, Deeds, Placement};

use super::{
    Admin, Answer, Call, Refused,
    answers::{bad, parse, refused, to_json},
    hints,
};
use crate::why::{Check, Here, Judged, Question, Says, Verdict, Wanted, given, is_of_s3, judge};

fn context(asked: &Explain) -> Result<Vec<(String, String)>, Refused> {
    let pair = |text: &String| {
        let pair = text.split_once('=');
        let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| bad("the context is a list of KEY=VALUE"))
    };
    asked.context.iter().map(pair).collect()
}

/// Who asks, and whether their key opens anything.
struct Caller {
    account: Option<AccountId>,
    /// Or the role.
    user: Option<SentUser>,
    /// What bounds the session of the role.
    session: Option<Vec<String>>,
    checks: Vec<Check>,
}

impl Admin {
    /// What would be decided of a request of the account, or of a user of it.
    pub(super) async fn explain(&self, call: &Call, id: &str) -> Answer {
        let account = self.region.registry.account_meant(id);
        call.of_account(&account)?;
        let asked: Explain = parse(&call.body)?;
        self.keeps()?;
        let mut caller = self.caller(&account, &asked)?;
        if let Some(user) = &caller.user {
            let hint = self.is_administrator(&account, user, caller.session.as_ref());
            caller.checks.extend(hint);
        }
        let mut question = Question {
            bucket: None,
            account: caller.account.as_ref().map(AccountId::to_string),
            user: caller.user,
            session: caller.session,
            action: asked.action.clone(),
            resource: asked.resource.clone(),
            given: context(&asked)?,
        };
        given(&question).map_err(|why| bad(&why))?;
        let mut judged = match is_of_s3(&question.action) {
            false if !iam::is_action(&question.action) => {
                let name = types::text::shown(&question.action, 128);
                return Err(bad(&format!(
                    "there is no action {name}: docs/actions.md and docs/access.md list them"
                )));
            }
            false => self.judge_here(&question, None)?,
            true => {
                let wanted = Wanted::read(&question).map_err(|why| bad(&why))?;
                match wanted.bucket() {
                    None => self.judge_here(&question, None)?,
                    Some(bucket) => {
                        let all = call.may().is_ok();
                        self.about_bucket((&account, all), bucket, &mut question)
                            .await?
                    }
                }
            }
        };
        for (n, check) in caller.checks.into_iter().enumerate() {
            if check.says == Says::Refuses {
                judged.verdict = Verdict::Refused;
                judged.reason = format!("{}: {}", check.what, check.why);
            }
            judged.checks.insert(n, check);
        }
        let mut shown = to_json(judged)?;
        if let Value::Object(fields) = &mut shown {
            fields.insert("action".into(), json!(question.action));
            fields.insert("resource".into(), json!(question.resource));
        }
        Ok(shown)
    }

    fn caller(&self, account: &AccountId, asked: &Explain) -> Result<Caller, Refused> {
        let registry = &self.region.registry;
        let found = registry.account(account);
        let found = found.ok_or_else(|| refused(CloudError::NoAccount(account.clone())))?;
        let named = [&asked.user, &asked.role, &asked.access_key];
        let named = named.into_iter().flatten().count();
        if named + usize::from(asked.anonymous) > 1 {
            return Err(bad(
                "user, role, access_key and anonymous exclude each other",
            ));
        }
        if asked.role.is_none() && !asked.session_policies.is_empty() {
            return Err(bad(
                "session policies bound a session of a role: name the role",
            ));
        }
        if asked.anonymous {
            let why = "no signature: nobody's policies are asked";
            return Ok(Caller {
                account: None,
                user: None,
                session: None,
                checks: vec![Check::new("caller", Says::Passes, why)],
            });
        }
        let mut checks = vec![match found.suspended {
            true => Check::new(
                "account",
                Says::Refuses,
                "suspended: no key of it opens anything",
            ),
            false => Check::new("account", Says::Passes, format!("{} is active", found.name)),
        }];
        if let Some(name) = &asked.role {
            return self.session_of(account, name, (&asked.session_policies, checks));
        }
        let user = match (&asked.user, &asked.access_key) {
            (Some(name), _) => {
                let user = registry.user_named(account, name);
                let user = user.filter(|user| user.name == *name);
                Some(user.ok_or_else(|| refused(CloudError::NoUser(name.clone())))?)
            }
            (None, Some(key)) => self.holder(account, key, &mut checks)?,
            (None, None) => None,
        };
        if let (Some(user), None) = (&user, &asked.access_key) {
            checks.push(self.keys_of(user));
        }
        let told = user.and_then(|user| registry.told_of_user(&user.id));
        Ok(Caller {
            account: Some(account.clone()),
            user: told,
            session: None,
            checks,
        })
    }

    /// A session of a role: who may have one is not asked.
    fn session_of(
        &self,
        account: &AccountId,
        name: &str,
        (policies, mut checks): (&[String], Vec<Check>),
    ) -> Result<Caller, Refused> {
        let registry = &self.region.registry;
        let role = registry.role_named(account, name);
        let role = role.filter(|role| role.name == name);
        let trust = role.as_ref().map(|role| hints::of_trust(&role.trust));
        let role = role.and_then(|role| registry.told_of_role(&role.id));
        let missing = || CloudError::NoEntity(format!("there is no role {name}"));
        let role = role.ok_or_else(|| refused(missing()))?;
        for text in policies {
            Document::parse(text, DocumentKind::Session)
                .map_err(|error| bad(&format!("a session policy: {error}")))?;
        }
        let why = "who may have a session of the role is said by its trust policy, which is not \
                   asked here";
        checks.push(Check::new("session", Says::Passes, why));
        checks.extend(trust.into_iter().flatten());
        Ok(Caller {
            account: Some(account.clone()),
            user: Some(role),
            session: Some(policies.to_vec()),
            checks,
        })
    }

    /// Who holds a key of the account. One of another account is not there.
    fn holder(
        &self,
        account: &AccountId,
        key: &str,
        checks: &mut Vec<Check>,
    ) -> Result<Option<UserInfo>, Refused> {
        let (registry, id) = (&self.region.registry, AccessKeyId::new(key));
        let found = registry.key(&id).filter(|key| *key.account == **account);
        let found = found.ok_or_else(|| refused(CloudError::NoKey(id)))?;
        checks.push(match found.status {
            KeyStatus::Active => Check::new("access key", Says::Passes, format!("{key} is active")),
            KeyStatus::Disabled => {
                Check::new("access key", Says::Refuses, format!("{key} is disabled"))
            }
        });
        Ok(found.user.and_then(|id| registry.user(&id)))
    }

    /// Whether a user could sign at all: that it cannot is no matter of what it may do.
    fn keys_of(&self, user: &UserInfo) -> Check {
        let keys = self.region.registry.keys_of_user(&user.id);
        let active = keys.iter().filter(|key| key.status == KeyStatus::Active);
        let why = match (active.count(), keys.len()) {
            (_, 0) => format!("{} has no access key, and can sign nothing yet", user.name),
            (0, _) => format!("all access keys of {} are disabled", user.name),
            (active, all) => format!("{active} of {all} access keys of {} can sign", user.name),
        };
        Check::new("user", Says::Passes, why)
    }

    /// With what the registry's region knows by itself.
    pub(super) fn judge_here(
        &self,
        question: &Question,
        deed: Option<&Arc<BucketDeed>>,
    ) -> Result<Judged, Refused> {
        let region = &self.region;
        let place = deed.and_then(|deed| region.registry.place(&deed.home));
        // As if the bucket had no documents: whoever calls this says that they were not seen.
        let none = BucketAccess::default();
        let here = Here {
            registry: &region.registry,
            place: &place.unwrap_or_else(|| region.place()),
            deed,
            access: deed.map(|_| &none),
            now: region.clock.now(),
        };
        judge(&here, question).map_err(|why| bad(&why))
    }

    async fn about_bucket(
        &self,
        (account, all): (&AccountId, bool),
        name: &BucketName,
        question: &mut Question,
    ) -> Result<Judged, Refused> {
        let deed = Deeds::get(&*self.region.registry, name);
        let deed = match deed {
            Some(deed) if access::is_owner(account, &deed) => deed,
            None if all => return Err(refused(CloudError::NoBucket(name.clone()))),
            // Whose it is, or that there is none, is nobody else's matter.
            found => return self.of_others((account, found.filter(|_| all)), name, question),
        };
        question.bucket = Some((deed.name.to_string(), deed.id.0));
        match self.region.why(&deed, question).await {
            Ok(judged) => Ok(judged),
            Err(why) => {
                let judged = self.judge_here(question, Some(&deed))?;
                let unseen = format!(
                    "{}, which has the bucket's documents, did not answer: {why}",
                    deed.home
                );
                Ok(blind(judged, "policy of the bucket", &unseen))
            }
        }
    }

    /// A bucket of another account: both accounts have to allow it, and what the other one says is
    /// not shown.
    fn of_others(
        &self,
        (account, deed): (&AccountId, Option<Arc<BucketDeed>>),
        name: &BucketName,
        question: &Question,
    ) -> Result<Judged, Refused> {
        if question.account.is_none() {
            let why = format!("account {account} has no bucket {name}: ask its owner");
            return Err((http::StatusCode::NOT_FOUND, why));
        }
        let place = self.region.place();
        let nobodys = || BucketDeed {
            id: BucketId(0),
            name: name.clone(),
            owner: AccountId::new(""),
            home: place.region.clone(),
            created: self.region.clock.now(),
            epoch: 1,
            placement: Placement::default(),
        };
        let known = deed.is_some();
        let deed = deed.unwrap_or_else(|| Arc::new(nobodys()));
        let mut judged = self.judge_here(question, Some(&deed))?;
        let own_side = judged.own_side.take();
        let depends = !known && asks_whose_it_is(question);
        judged.checks.clear();
        let unseen = format!(
            "account {account} has no bucket {name}: what the documents of another account say is \
             not shown, and both accounts have to allow it"
        );
        judged = blind(judged, "policy of the bucket", &unseen);
        match own_side {
            _ if depends => judged.reason = format!("a policy asks whose bucket it is; {unseen}"),
            Some(why) => {
                judged.verdict = Verdict::Refused;
                judged.reason = why;
            }
            None => {}
        }
        Ok(judged)
    }
}

/// Whether a policy of the user asks to whom the bucket belongs.
fn asks_whose_it_is(question: &Question) -> bool {
    let policies = question
        .user
        .iter()
        .flat_map(|user| user.policies.iter().chain(&user.boundary));
    let mut texts = policies.map(|policy| policy.text.to_ascii_lowercase());
    texts.any(|text| text.contains("resourceaccount") || text.contains("\\u"))
}

/// What is decided without documents that were not seen: never that it is allowed.
fn blind(mut judged: Judged, what: &str, why: &str) -> Judged {
    for action in &mut judged.actions {
        let denied = action
            .documents
            .iter()
            .any(|check| check.says == Says::Denies);
        if !denied {
            action.verdict = Verdict::Unknown;
        }
        action.documents.retain(|check| check.what != what);
        action.documents.push(Check::new(what, Says::Unknown, why));
    }
    judged
        .checks
        .retain(|check| check.what != "public access block" && check.what != "placement");
    let mut denied = judged.actions.iter();
    if !denied.any(|action| action.verdict == Verdict::Refused) {
        judged.verdict = Verdict::Unknown;
        why.clone_into(&mut judged.reason);
    }
    judged
}
