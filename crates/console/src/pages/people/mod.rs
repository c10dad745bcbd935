//! Users, groups, roles and managed policies of the account, by IAM's API.

pub mod group;
pub mod held;
pub mod lists;
pub mod managed;
pub mod removal;
pub mod role;
pub mod user;

use maud::{Markup, html};

use crate::{
    call::Call,
    fault::Fault,
    ui::{href::Href, text},
};

/// What can have policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user.
    User,
    /// A group of users.
    Group,
    /// A role.
    Role,
}

impl Kind {
    /// By its name in forms.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::User, Self::Group, Self::Role];
        all.into_iter().find(|kind| kind.field() == name)
    }

    /// Its name in forms.
    pub const fn field(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    /// Its name in IAM's actions.
    const fn word(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
        }
    }

    /// The field of IAM's forms that names one.
    pub const fn name_field(self) -> &'static str {
        match self {
            Self::User => "UserName",
            Self::Group => "GroupName",
            Self::Role => "RoleName",
        }
    }

    /// The list of all in IAM's answers.
    const fn list_field(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
            Self::Role => "Roles",
        }
    }

    /// The list of those that have a managed policy.
    const fn entities_field(self) -> &'static str {
        match self {
            Self::User => "PolicyUsers",
            Self::Group => "PolicyGroups",
            Self::Role => "PolicyRoles",
        }
    }

    /// An action of IAM on it.
    pub fn action(self, verb: &str, what: &str) -> String {
        [verb, self.word(), what].concat()
    }

    /// The page of all.
    pub fn list(self) -> Href {
        Href::to(match self {
            Self::User => "/users",
            Self::Group => "/groups",
            Self::Role => "/roles",
        })
    }

    /// What that page is called.
    pub fn list_name(self, call: &Call<'_>) -> String {
        let name = match self {
            Self::User => call.t("Users"),
            Self::Group => call.t("Groups"),
            Self::Role => call.t("Roles"),
        };
        name.into_owned()
    }

    /// The page of one.
    pub fn page(self, name: &str) -> Href {
        let list = self.list();
        Href::to(&[list.as_str(), "/show"].concat()).with(&[("name", name)])
    }
}

/// Whom a form is about.
fn target<'c>(call: &'c Call<'_>) -> Result<(Kind, &'c str), Fault> {
    let kind = call.form.get("of").and_then(Kind::named);
    let kind = kind.ok_or_else(|| Fault::Bad(call.t("There is no such kind.")))?;
    let name = call.form.some("name");
    let name = name.ok_or_else(|| Fault::Bad(call.t("The form names nobody.")))?;
    Ok((kind, name))
}

/// Whom a page is about.
fn named<'c>(call: &'c Call<'_>) -> Result<&'c str, Fault> {
    let name = call.query.some("name");
    name.ok_or_else(|| Fault::Missing(call.t("The address names nobody.")))
}

/// Where a page is: the pages above it, and itself.
pub fn crumbs(above: &[(&str, Href)], here: &str) -> Markup {
    html! {
        ol {
            @for (name, href) in above { li { a href=(href) { (text::short(name)) } } }
            li { (text::short(here)) }
        }
    }
}
