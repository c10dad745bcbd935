//! Who asks, as documents name it.

use super::{
    keys::{Found, Key, Tags, Value, tag},
    text::Chars,
};

/// A user, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserRef<'a> {
    /// `/`, or with a slash at both ends.
    pub path: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its unique id, which no later user of that name has.
    pub id: &'a str,
}

/// Who asks. Accounts are of 12 digits ([`types::AccountId`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal<'a> {
    /// Nobody that is known: no signature at all.
    Anonymous,
    /// The account itself, or a session that it got for itself.
    Root {
        /// Which account.
        account: &'a str,
    },
    /// A user, or a session that it got by `GetSessionToken`.
    User {
        /// Of which account.
        account: &'a str,
        /// Which user.
        user: UserRef<'a>,
        /// The user's tags.
        tags: Tags<'a>,
    },
    /// A session of a role.
    RoleSession {
        /// Of which account.
        account: &'a str,
        /// The role's path.
        path: &'a str,
        /// The role's name.
        role: &'a str,
        /// The role's unique id.
        id: &'a str,
        /// The name of the session.
        session: &'a str,
        /// The ARN of the provider of identities who vouched for it (`AssumeRoleWithWebIdentity`).
        provider: Option<&'a str>,
        /// The role's tags, and the session's over them.
        tags: Tags<'a>,
    },
    /// A session by `GetFederationToken`.
    Federated {
        /// Of which account.
        account: &'a str,
        /// The name of the session.
        name: &'a str,
        /// Whose session it is; `None`: the account's own.
        user: Option<UserRef<'a>>,
        /// The session's tags.
        tags: Tags<'a>,
    },
    /// Who has a token of a provider of identities, and asks for a role with it.
    WebIdentity {
        /// The provider's ARN.
        provider: &'a str,
    },
    /// A service of the cloud.
    Service {
        /// Such as `logging.s3.amazonaws.com`.
        name: &'a str,
    },
}

impl<'a> Principal<'a> {
    /// The account; strangers and services have none.
    pub fn account(&self) -> Option<&'a str> {
        match self {
            Self::Root { account }
            | Self::User { account, .. }
            | Self::RoleSession { account, .. }
            | Self::Federated { account, .. } => Some(account),
            Self::Anonymous | Self::WebIdentity { .. } | Self::Service { .. } => None,
        }
    }

    /// Its ARN, as a refusal names it; for a session the session's. `None` for who has none.
    pub fn arn(&self) -> Option<String> {
        let bytes: Vec<u8> = self
            .chars()
            .or_else(|| self.principal_arn())?
            .bytes()
            .collect();
        String::from_utf8(bytes).ok()
    }

    /// The ARN of a session. It has no path.
    pub(super) fn chars(&self) -> Option<Chars<'a>> {
        match self {
            Self::RoleSession {
                account,
                role,
                session,
                ..
            } => Some(Chars::pieces(&[
                "arn:aws:sts::",
                account,
                ":assumed-role/",
                role,
                "/",
                session,
            ])),
            Self::Federated { account, name, .. } => Some(Chars::pieces(&[
                "arn:aws:sts::",
                account,
                ":federated-user/",
                name,
            ])),
            _ => None,
        }
    }

    /// `aws:PrincipalArn`: for a session of a role that of the role.
    pub(super) fn principal_arn(&self) -> Option<Chars<'a>> {
        match self {
            Self::Root { account } => Some(Chars::pieces(&["arn:aws:iam::", account, ":root"])),
            Self::User { account, user, .. } => Some(user_arn(account, user)),
            Self::RoleSession {
                account,
                path,
                role,
                ..
            } => Some(Chars::pieces(&[
                "arn:aws:iam::",
                account,
                ":role",
                path,
                role,
            ])),
            Self::Federated { .. } => self.chars(),
            Self::Anonymous | Self::WebIdentity { .. } | Self::Service { .. } => None,
        }
    }

    /// The unique id and the ARN of the user or role, if it is one's.
    pub(super) fn entity(&self) -> Option<(&'a str, Chars<'a>)> {
        match self {
            Self::User { user, account, .. } => Some((user.id, user_arn(account, user))),
            Self::RoleSession { id, .. } => Some((id, self.principal_arn()?)),
            Self::Federated { user, account, .. } => {
                user.map(|user| (user.id, user_arn(account, &user)))
            }
            _ => None,
        }
    }

    /// The value of a key that is about the principal.
    pub(super) fn key(&self, key: Key, name: &str) -> Option<Found<'a>> {
        let one = |chars: Option<Chars<'a>>| {
            chars.map_or(Found::Absent, |chars| Found::One(Value::Text(chars)))
        };
        Some(match key {
            Key::PrincipalArn => one(self.principal_arn()),
            Key::PrincipalAccount => one(self.account().map(Chars::of)),
            Key::PrincipalType => one(self.kind().map(Chars::of)),
            Key::UserId => one(self.user_id()),
            Key::UserName => match self {
                Self::User { user, .. } => Found::One(Value::text(user.name)),
                _ => Found::Absent,
            },
            Key::PrincipalTag => match self {
                Self::User { tags, .. }
                | Self::RoleSession { tags, .. }
                | Self::Federated { tags, .. } => tag(tags, name, false),
                _ => Found::Absent,
            },
            Key::FederatedProvider => match self {
                Self::RoleSession { provider, .. } => one(provider.map(Chars::of)),
                Self::WebIdentity { provider } => Found::One(Value::text(provider)),
                _ => Found::Absent,
            },
            Key::PrincipalServiceName => match self {
                Self::Service { name } => Found::One(Value::text(name)),
                _ => Found::Absent,
            },
            Key::PrincipalIsService => {
                Found::One(Value::Flag(matches!(self, Self::Service { .. })))
            }
            Key::ViaService => Found::One(Value::Flag(false)),
            _ => return None,
        })
    }

    fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Anonymous => Some("Anonymous"),
            Self::Root { .. } => Some("Account"),
            Self::User { .. } => Some("User"),
            Self::RoleSession { .. } => Some("AssumedRole"),
            Self::Federated { .. } => Some("FederatedUser"),
            Self::WebIdentity { .. } | Self::Service { .. } => None,
        }
    }

    /// `aws:userid`; strangers and services have none.
    pub fn user_id_text(&self) -> Option<String> {
        String::from_utf8(self.user_id()?.bytes().collect()).ok()
    }

    fn user_id(&self) -> Option<Chars<'a>> {
        match self {
            Self::Root { account } => Some(Chars::of(account)),
            Self::User { user, .. } => Some(Chars::of(user.id)),
            Self::RoleSession { id, session, .. } => Some(Chars::pieces(&[id, ":", session])),
            Self::Federated { account, name, .. } => Some(Chars::pieces(&[account, ":", name])),
            Self::Anonymous | Self::WebIdentity { .. } | Self::Service { .. } => None,
        }
    }
}

fn user_arn<'a>(account: &'a str, user: &UserRef<'a>) -> Chars<'a> {
    Chars::pieces(&["arn:aws:iam::", account, ":user", user.path, user.name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_those_of_iam() {
        let account = "123456789012";
        let user = UserRef {
            path: "/a/b/",
            name: "ann",
            id: "AIDA1",
        };
        let cases = [
            (Principal::Anonymous, None),
            (
                Principal::Root { account },
                Some("arn:aws:iam::123456789012:root"),
            ),
            (
                Principal::User {
                    account,
                    user,
                    tags: &[],
                },
                Some("arn:aws:iam::123456789012:user/a/b/ann"),
            ),
            (
                Principal::RoleSession {
                    account,
                    path: "/p/",
                    role: "r",
                    id: "AROA1",
                    session: "s",
                    provider: None,
                    tags: &[],
                },
                Some("arn:aws:sts::123456789012:assumed-role/r/s"),
            ),
            (
                Principal::Federated {
                    account,
                    name: "f",
                    user: Some(user),
                    tags: &[],
                },
                Some("arn:aws:sts::123456789012:federated-user/f"),
            ),
        ];
        for (principal, arn) in cases {
            assert_eq!(principal.arn().as_deref(), arn);
        }
    }
}
