//! Which policy an editor is about: where its text comes from, and where it is saved.

use access::policy::DocumentKind;
use http::{Method, StatusCode};
use maud::{Markup, html};

use super::pretty::pretty;
use crate::{
    call::Call,
    fault::Fault,
    fields::decoded,
    pages::{
        objects::{self, Tab},
        people::{Kind, crumbs},
    },
    s3::S3Ask,
    ui::href::Href,
};

/// A policy that can be edited.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'c> {
    /// A bucket's.
    Bucket(&'c str),
    /// Of a user, group or role.
    Inline {
        /// Which kind.
        of: Kind,
        /// Whose.
        name: &'c str,
        /// The name of the policy.
        policy: &'c str,
    },
    /// Who may have a role.
    Trust(&'c str),
    /// A managed policy, by its ARN.
    Managed(&'c str),
    /// A managed policy that is to be made.
    NewManaged(&'c str),
    /// A role that is to be made.
    NewRole(&'c str),
}

impl<'c> Subject<'c> {
    /// What the path or the fields of the page name.
    pub fn of(call: &'c Call<'_>) -> Result<Self, Fault> {
        if call.bucket.is_some() {
            let shown = call.shown()?;
            let bucket = call.bucket.as_deref().unwrap_or_default();
            debug_assert_eq!(&*shown.deed.name, bucket);
            return Ok(Self::Bucket(bucket));
        }
        let field = |name| param(call, name).unwrap_or_default();
        let (of, name) = (field("of"), field("name"));
        if name.is_empty() {
            return Err(Fault::Bad(call.t("The form names nobody.")));
        }
        match (of, Kind::named(of)) {
            ("trust", _) => Ok(Self::Trust(name)),
            ("managed", _) => Ok(Self::Managed(name)),
            ("new-managed", _) => Ok(Self::NewManaged(name)),
            ("new-role", _) => Ok(Self::NewRole(name)),
            (_, Some(of)) => match field("policy") {
                "" => Err(Fault::Bad(call.t("The policy needs a name."))),
                policy => Ok(Self::Inline { of, name, policy }),
            },
            _ => Err(Fault::Missing(call.t("There is no such kind of policy."))),
        }
    }

    /// What it may say.
    pub fn kind(&self) -> DocumentKind<'c> {
        match self {
            Self::Bucket(bucket) => DocumentKind::Bucket(bucket),
            Self::Inline { .. } => DocumentKind::Identity,
            Self::Trust(_) | Self::NewRole(_) => DocumentKind::Trust,
            Self::Managed(_) | Self::NewManaged(_) => DocumentKind::Boundary,
        }
    }

    /// The fields that name it in a form.
    pub fn fields(&self) -> Vec<(&'static str, &'c str)> {
        match *self {
            Self::Bucket(_) => Vec::new(),
            Self::Inline { of, name, policy } => {
                vec![("of", of.field()), ("name", name), ("policy", policy)]
            }
            Self::Trust(name) => vec![("of", "trust"), ("name", name)],
            Self::Managed(arn) => vec![("of", "managed"), ("name", arn)],
            Self::NewManaged(name) => vec![("of", "new-managed"), ("name", name)],
            Self::NewRole(name) => vec![("of", "new-role"), ("name", name)],
        }
    }

    /// Where its forms are sent; `rest` begins with a slash or is empty.
    pub fn route(&self, rest: &str) -> Href {
        match self {
            Self::Bucket(bucket) => Href::bucket(bucket, &["/policy", rest].concat()),
            _ => Href::to(&["/document", rest].concat()),
        }
    }

    /// Its editor.
    pub fn editor(&self) -> Href {
        self.route("").with(&self.fields())
    }

    /// Where one comes from, and goes back to.
    pub fn back(&self) -> Href {
        match self {
            Self::Bucket(bucket) => Href::bucket(bucket, "/policy"),
            Self::Inline { of, name, .. } => of.page(name),
            Self::Trust(name) => Kind::Role.page(name),
            Self::Managed(arn) => Href::to("/policies/show").with(&[("arn", arn)]),
            Self::NewManaged(_) => Href::to("/policies"),
            Self::NewRole(_) => Href::to("/roles"),
        }
    }

    /// The heading.
    pub fn title(&self, call: &Call<'_>) -> String {
        match *self {
            Self::Bucket(bucket) => bucket.to_owned(),
            Self::Inline { policy, .. } => policy.to_owned(),
            Self::Trust(name) => call.with("Who may use role {name}", &[("name", name)]),
            Self::Managed(arn) => arn.rsplit('/').next().unwrap_or(arn).to_owned(),
            Self::NewManaged(name) => name.to_owned(),
            Self::NewRole(name) => call.with("Who may use role {name}", &[("name", name)]),
        }
    }

    /// What stands above the heading.
    pub fn path(&self, call: &Call<'_>) -> Markup {
        match *self {
            Self::Bucket(bucket) => objects::path(call, bucket, ""),
            Self::Inline { of, name, policy } => crumbs(
                &[(&of.list_name(call), of.list()), (name, of.page(name))],
                policy,
            ),
            Self::Trust(name) | Self::NewRole(name) => crumbs(
                &[
                    (&Kind::Role.list_name(call), Kind::Role.list()),
                    (name, Kind::Role.page(name)),
                ],
                &call.t("Trust policy"),
            ),
            Self::Managed(_) => crumbs(
                &[
                    (&call.t("Managed policies"), Href::to("/policies")),
                    (&self.title(call), self.back()),
                ],
                &call.t("New version"),
            ),
            Self::NewManaged(name) => {
                let list = (&*call.t("Managed policies"), Href::to("/policies"));
                crumbs(&[list], name)
            }
        }
    }

    /// What stands between the heading and the editor.
    pub fn tabs(&self, call: &Call<'_>) -> Markup {
        match self {
            Self::Bucket(bucket) => objects::tabs(call, bucket, Tab::Policy),
            _ => html! {},
        }
    }

    /// What such a policy is for.
    pub fn hint(&self, call: &Call<'_>) -> String {
        let hint =
            match self {
                Self::Bucket(_) => call.t(
                    "Who may do what with this bucket. Without one only its account has access.",
                ),
                Self::Inline { of: Kind::User, .. } => call
                    .t("What this user may do, beside what its groups and managed policies allow."),
                Self::Inline {
                    of: Kind::Group, ..
                } => call.t("What the users of this group may do."),
                Self::Inline { of: Kind::Role, .. } => call.t("What sessions of this role may do."),
                Self::Trust(_) | Self::NewRole(_) => {
                    call.t("Who may get a session of this role by sts:AssumeRole.")
                }
                Self::Managed(_) => call
                    .t("It becomes a new version, which counts at once wherever it is attached."),
                Self::NewManaged(_) => {
                    call.t("What those may do to whom it is attached. So far nobody has it.")
                }
            };
        hint.into_owned()
    }

    /// Whether there is something to delete.
    pub fn can_go(&self) -> bool {
        matches!(self, Self::Bucket(_) | Self::Inline { .. })
    }

    /// The text that counts now.
    pub async fn stored(&self, call: &Call<'_>) -> Result<Option<String>, Fault> {
        match *self {
            Self::Bucket(bucket) => of_bucket(call, bucket).await,
            Self::Inline { of, name, policy } => {
                let fields = [(of.name_field(), name), ("PolicyName", policy)];
                let found = call.iam(&of.action("Get", "Policy"), &fields).await;
                match found {
                    Ok(found) => Ok(Some(pretty(&decoded(found.text("PolicyDocument"))))),
                    // The user itself may be what is missing: the page before says so.
                    Err(Fault::Missing(_)) => Ok(None),
                    Err(other) => Err(other),
                }
            }
            Self::Trust(name) => {
                let found = call.iam("GetRole", &[("RoleName", name)]).await?;
                let role = found.child("Role");
                let text = role.map_or("", |role| role.text("AssumeRolePolicyDocument"));
                Ok(Some(pretty(&decoded(text))))
            }
            Self::Managed(arn) => {
                let found = call.iam("GetPolicy", &[("PolicyArn", arn)]).await?;
                let policy = found.child("Policy");
                let version = policy.map_or("", |policy| policy.text("DefaultVersionId"));
                let text = version_text(call, arn, version).await?;
                Ok(Some(text))
            }
            Self::NewManaged(_) | Self::NewRole(_) => Ok(None),
        }
    }

    /// Saves a text, and says where that is seen.
    pub async fn save(&self, call: &Call<'_>, text: &str) -> Result<Href, Fault> {
        match *self {
            Self::Bucket(bucket) => {
                let ask = S3Ask::bucket(&Method::PUT, bucket)
                    .query("policy", "")
                    .body(text.to_owned().into());
                call.s3(ask).await?;
            }
            Self::Inline { of, name, policy } => {
                let fields = [
                    (of.name_field(), name),
                    ("PolicyName", policy),
                    ("PolicyDocument", text),
                ];
                call.iam(&of.action("Put", "Policy"), &fields).await?;
            }
            Self::Trust(name) => {
                let fields = [("RoleName", name), ("PolicyDocument", text)];
                call.iam("UpdateAssumeRolePolicy", &fields).await?;
            }
            Self::Managed(arn) => {
                let fields = [
                    ("PolicyArn", arn),
                    ("PolicyDocument", text),
                    ("SetAsDefault", "true"),
                ];
                call.iam("CreatePolicyVersion", &fields).await?;
            }
            Self::NewManaged(name) => {
                let description = param(call, "description").unwrap_or_default();
                let fields = [
                    ("PolicyName", name),
                    ("Description", description),
                    ("PolicyDocument", text),
                ];
                let made = call.iam("CreatePolicy", &fields).await?;
                let arn = made.child("Policy").map_or("", |policy| policy.text("Arn"));
                return Ok(Subject::Managed(arn).back());
            }
            Self::NewRole(name) => {
                let description = param(call, "description").unwrap_or_default();
                let fields = [
                    ("RoleName", name),
                    ("Description", description),
                    ("AssumeRolePolicyDocument", text),
                ];
                call.iam("CreateRole", &fields).await?;
                return Ok(Kind::Role.page(name));
            }
        }
        Ok(self.back().and(&[("saved", "1")]))
    }

    /// Deletes it.
    pub async fn remove(&self, call: &Call<'_>) -> Result<Href, Fault> {
        match *self {
            Self::Bucket(bucket) => {
                let ask = S3Ask::bucket(&Method::DELETE, bucket).query("policy", "");
                call.s3(ask).await?;
            }
            Self::Inline { of, name, policy } => {
                let fields = [(of.name_field(), name), ("PolicyName", policy)];
                call.iam(&of.action("Delete", "Policy"), &fields).await?;
            }
            _ => return Err(Fault::Bad(call.t("It cannot be deleted."))),
        }
        Ok(self.back())
    }
}

/// A field of the form, or of the address where there is no form.
pub fn param<'c>(call: &'c Call<'_>, name: &str) -> Option<&'c str> {
    call.form.some(name).or_else(|| call.query.some(name))
}

/// The text of a version of a managed policy.
pub async fn version_text(call: &Call<'_>, arn: &str, version: &str) -> Result<String, Fault> {
    let fields = [("PolicyArn", arn), ("VersionId", version)];
    let found = call.iam("GetPolicyVersion", &fields).await?;
    let version = found.child("PolicyVersion");
    let text = version.map_or("", |version| version.text("Document"));
    Ok(pretty(&decoded(text)))
}

/// The policy of a bucket, if it has one.
pub async fn of_bucket(call: &Call<'_>, bucket: &str) -> Result<Option<String>, Fault> {
    let ask = S3Ask::bucket(&Method::GET, bucket)
        .query("policy", "")
        .or(StatusCode::NOT_FOUND);
    let answer = call.s3(ask).await?;
    let there = answer.0.status().is_success();
    Ok(there.then(|| pretty(&String::from_utf8_lossy(answer.0.body()))))
}
