//! The table of pages. Routing, the menu, refusals and the tests of every route and role follow
//! from it.

use access::{
    RequestFacts,
    grants::{Action, Grant},
};
use http::Method;
use types::{BucketName, Timestamp, deed::BoxFuture};

use crate::{
    call::{Call, Caller},
    pages,
    reply::Answer,
};

/// Who may open a page. What it shows, the APIs decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Everybody, signed in or not.
    Everybody,
    /// Whoever is signed in.
    SignedIn,
    /// Whoever's account has buckets.
    KeepsData,
    /// Whoever's account may have users. Which of them the caller sees, IAM decides.
    Users,
    /// The same of groups.
    Groups,
    /// The same of roles.
    Roles,
    /// The same of managed policies.
    Policies,
    /// The same of what policies decide.
    Simulates,
    /// The same of the public access block of the account.
    AccountBlock,
    /// Whoever has this grant of the admin API, anywhere.
    Do(Action),
}

impl May {
    /// Whether a caller may open the page.
    pub fn allows(self, caller: &Caller) -> bool {
        if types::planted("console-pages-for-all") {
            return true;
        }
        match self {
            Self::Everybody | Self::SignedIn => true,
            Self::KeepsData
            | Self::Users
            | Self::Groups
            | Self::Roles
            | Self::Policies
            | Self::Simulates
            | Self::AccountBlock => caller.keeps_data(),
            Self::Do(action) => caller.grant(action) != Grant::No,
        }
    }

    /// Whether the menu names the page to a caller, who is asked for as `facts` say. A user who may
    /// not list what it lists finds it not there; IAM would say why.
    pub fn is_named(self, caller: &Caller, facts: &RequestFacts, now: Timestamp) -> bool {
        let (action, what) = match self {
            Self::Users => ("iam:ListUsers", "user"),
            Self::Groups => ("iam:ListGroups", "group"),
            Self::Roles => ("iam:ListRoles", "role"),
            Self::Policies => ("iam:ListPolicies", "policy"),
            Self::Simulates => ("iam:SimulatePrincipalPolicy", "user"),
            Self::AccountBlock => {
                let action = "s3:GetAccountPublicAccessBlock";
                return self.allows(caller) && caller.may(action, "*", facts, now);
            }
            Self::Everybody | Self::SignedIn | Self::KeepsData | Self::Do(_) => {
                return self.allows(caller);
            }
        };
        let arn = format!("arn:aws:iam::{}:{what}/*", caller.account.id);
        self.allows(caller) && caller.may(action, &arn, facts, now)
    }
}

/// Where a page stands in the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Menu {
    /// Not at all.
    None,
    /// Below this heading, under this name.
    Under(&'static str, &'static str),
}

/// How a handler looks.
pub type Handler = for<'a> fn(&'a Call<'a>) -> BoxFuture<'a, Answer>;

/// One page, or one thing to do.
pub struct Route {
    /// `GET` for pages, which change nothing, and `POST` for what changes something.
    pub method: Method,
    /// With at most one `{bucket}`, or a `{provider}`.
    pub path: &'static str,
    /// Who may.
    pub may: May,
    /// In the menu.
    pub menu: Menu,
    /// Whether its page loads from the data endpoint or sends to it.
    pub data: bool,
    /// What it does.
    pub handler: Handler,
}

impl Route {
    /// Whether `path` is one of this route; with the bucket that it names.
    fn captures(&self, path: &str) -> Option<Option<BucketName>> {
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        let mut bucket = None;
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(bucket),
                (Some("{bucket}"), Some(name)) => bucket = Some(BucketName::new(name).ok()?),
                (Some("{provider}"), Some(_)) => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return None,
            }
        }
    }
}

macro_rules! routes {
    ($($method:ident $path:literal $may:expr, $menu:expr, $data:literal, $handler:path;)*) => {
        /// Every page.
        pub static ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            may: $may,
            menu: $menu,
            data: $data,
            handler: {
                fn handler<'a>(call: &'a Call<'a>) -> BoxFuture<'a, Answer> {
                    Box::pin($handler(call))
                }
                handler
            },
        },)*];
    };
}

use May::{Everybody, KeepsData, SignedIn};
use Menu::{None as Nowhere, Under};

// Method, path, who may, in the menu, whether it needs the data endpoint, handler.
routes! {
    GET "/" SignedIn, Under("Storage", "Buckets"), false, pages::home::show;
    GET "/signin" Everybody, Nowhere, false, pages::signin::show;
    POST "/signin" Everybody, Nowhere, false, pages::signin::without_script;
    GET "/signin/sso" Everybody, Nowhere, false, pages::sso::begin;
    GET "/signin/return/{provider}" Everybody, Nowhere, false, pages::sso::end;
    GET "/signin/done" Everybody, Nowhere, false, pages::sso::finish;
    GET "/enter" Everybody, Nowhere, false, pages::enter::show;
    POST "/enter" Everybody, Nowhere, false, pages::enter::enter;
    GET "/sessions" SignedIn, Under("You", "Sessions"), false, pages::sessions::show;
    POST "/sessions/end" SignedIn, Nowhere, false, pages::sessions::end;
    POST "/sessions/others" SignedIn, Nowhere, false, pages::sessions::end_others;
    POST "/signout" SignedIn, Nowhere, false, pages::sessions::sign_out;
    POST "/language" Everybody, Nowhere, false, pages::language::choose;
    POST "/look" SignedIn, Nowhere, false, pages::sessions::look;
    GET "/open" KeepsData, Nowhere, false, pages::home::open;
    GET "/connect" KeepsData, Under("Storage", "Connect"), false, pages::connect::show;
    GET "/new" KeepsData, Nowhere, false, pages::create::show;
    POST "/new" KeepsData, Nowhere, false, pages::create::create;
    GET "/shares" KeepsData, Under("Storage", "Shares"), false, pages::shares::show;
    GET "/jobs" KeepsData, Under("Storage", "Jobs"), false, pages::jobs::show;
    GET "/jobs/state" KeepsData, Nowhere, false, pages::jobs::state;
    POST "/jobs/abort" KeepsData, Nowhere, false, pages::jobs::abort;
    GET "/keys" May::Do(Action::ListKeys), Under("Account", "Access keys"), false, pages::keys::show;
    POST "/keys/create" May::Do(Action::ChangeKeys), Nowhere, false, pages::keys::create;
    POST "/keys/disable" May::Do(Action::ChangeKeys), Nowhere, false, pages::keys::disable;
    POST "/keys/enable" May::Do(Action::ChangeKeys), Nowhere, false, pages::keys::enable;
    POST "/keys/delete" May::Do(Action::ChangeKeys), Nowhere, false, pages::keys::delete;
    GET "/users" May::Users, Under("Account", "Users"), false, pages::people::lists::users;
    GET "/users/show" May::Users, Nowhere, false, pages::people::user::show;
    GET "/groups" May::Groups, Under("Account", "Groups"), false, pages::people::lists::groups;
    GET "/groups/show" May::Groups, Nowhere, false, pages::people::group::show;
    GET "/roles" May::Roles, Under("Account", "Roles"), false, pages::people::lists::roles;
    GET "/roles/show" May::Roles, Nowhere, false, pages::people::role::show;
    GET "/policies" May::Policies, Under("Account", "Managed policies"), false, pages::people::lists::managed;
    GET "/policies/show" May::Policies, Nowhere, false, pages::people::managed::show;
    GET "/simulate" May::Simulates, Under("Account", "Simulator"), false, pages::simulate::show;
    GET "/public" May::AccountBlock, Under("Account", "Public access"), false, pages::block::show;
    POST "/public" KeepsData, Nowhere, false, pages::block::save;
    POST "/policies/default" May::Policies, Nowhere, false, pages::people::managed::set_default;
    POST "/policies/version/delete" May::Policies, Nowhere, false, pages::people::managed::delete_version;
    POST "/people/create" KeepsData, Nowhere, false, pages::people::lists::create;
    POST "/people/delete" KeepsData, Nowhere, false, pages::people::removal::delete;
    POST "/people/key" KeepsData, Nowhere, false, pages::people::user::make_key;
    POST "/people/key/set" KeepsData, Nowhere, false, pages::people::user::set_key;
    POST "/people/key/delete" KeepsData, Nowhere, false, pages::people::user::delete_key;
    POST "/people/join" KeepsData, Nowhere, false, pages::people::group::join;
    POST "/people/leave" KeepsData, Nowhere, false, pages::people::group::leave;
    POST "/people/attach" KeepsData, Nowhere, false, pages::people::held::attach;
    POST "/people/detach" KeepsData, Nowhere, false, pages::people::held::detach;
    POST "/people/boundary" KeepsData, Nowhere, false, pages::people::held::set_boundary;
    POST "/people/tag" KeepsData, Nowhere, false, pages::people::held::tag;
    POST "/people/untag" KeepsData, Nowhere, false, pages::people::held::untag;
    GET "/document" KeepsData, Nowhere, false, pages::editor::show;
    POST "/document/preview" KeepsData, Nowhere, false, pages::editor::preview;
    POST "/document/save" KeepsData, Nowhere, false, pages::editor::save;
    POST "/document/delete" KeepsData, Nowhere, false, pages::editor::delete;
    GET "/regions" May::Do(Action::ListRegions), Under("Cloud", "Regions"), false, pages::regions::show;
    GET "/regions/live" May::Do(Action::ListRegions), Nowhere, false, pages::regions::live;
    GET "/regions/show" May::Do(Action::ListRegions), Nowhere, false, pages::regions::one;
    GET "/regions/state" May::Do(Action::ListRegions), Nowhere, false, pages::phases::state;
    GET "/regions/plan" May::Do(Action::ChangeRegions), Nowhere, false, pages::opening::show;
    POST "/regions/plan" May::Do(Action::ChangeRegions), Nowhere, false, pages::opening::preview;
    POST "/regions/plan/act" May::Do(Action::ChangeRegions), Nowhere, false, pages::opening::act;
    POST "/regions/close" May::Do(Action::ChangeRegions), Nowhere, false, pages::opening::close;
    POST "/regions/drain" May::Do(Action::DrainRegion), Nowhere, false, pages::regions::start_drain;
    POST "/regions/open" May::Do(Action::DrainRegion), Nowhere, false, pages::regions::end_drain;
    POST "/regions/revoke" May::Do(Action::ChangeRegions), Nowhere, false, pages::rekeying::revoke;
    POST "/regions/rekey" May::Do(Action::ChangeRegions), Nowhere, false, pages::rekeying::rekey;
    GET "/operators" May::Do(Action::ListRegions), Nowhere, false, pages::operators::show;
    POST "/operators/add" May::Do(Action::ChangeRegions), Nowhere, false, pages::operators::add;
    GET "/scrub" May::Do(Action::Scrub), Nowhere, false, pages::scrub::show;
    GET "/scrub/state" May::Do(Action::Scrub), Nowhere, false, pages::scrub::state;
    POST "/scrub" May::Do(Action::Scrub), Nowhere, false, pages::scrub::start;
    GET "/promote" May::Do(Action::PromoteBuckets), Nowhere, false, pages::promote::show;
    POST "/promote" May::Do(Action::PromoteBuckets), Nowhere, false, pages::promote::preview;
    POST "/promote/act" May::Do(Action::PromoteBuckets), Nowhere, false, pages::promote::act;
    GET "/health" May::Do(Action::SeeHealth), Under("Cloud", "Health"), false, pages::health::show;
    GET "/held" May::Do(Action::SeeHealth), Under("Cloud", "Replicas held"), false, pages::held::show;
    GET "/placements" May::Do(Action::ListBuckets), Under("Cloud", "Placements"), false, pages::placement::list;
    GET "/accounts" May::Do(Action::ListAccounts), Under("Cloud", "Accounts"), false, pages::accounts::show;
    POST "/accounts/create" May::Do(Action::ChangeAccounts), Nowhere, false, pages::accounts::create;
    GET "/accounts/show" May::Do(Action::ListAccounts), Nowhere, false, pages::account::show;
    POST "/accounts/guard" May::Do(Action::ChangeAccounts), Nowhere, false, pages::account::set_guard;
    POST "/accounts/key" May::Do(Action::ChangeAccounts), Nowhere, false, pages::account::make_key;
    POST "/accounts/suspend" May::Do(Action::ChangeAccounts), Nowhere, false, pages::accounts::suspend;
    POST "/accounts/resume" May::Do(Action::ChangeAccounts), Nowhere, false, pages::accounts::resume;
    GET "/audit" May::Do(Action::ReadAudit), Under("Cloud", "Audit log"), false, pages::audit::show;
    GET "/audit/check" May::Do(Action::ReadAudit), Nowhere, false, pages::audit::check_state;
    POST "/audit/export" May::Do(Action::ReadAudit), Nowhere, false, pages::audit_export::download;
    POST "/audit/check" May::Do(Action::ReadAudit), Nowhere, false, pages::audit::check;
    GET "/b/{bucket}" KeepsData, Nowhere, true, pages::objects::show;
    GET "/b/{bucket}/o" KeepsData, Nowhere, true, pages::object::show;
    GET "/b/{bucket}/uploads" KeepsData, Nowhere, false, pages::unfinished::show;
    POST "/b/{bucket}/uploads/abort" KeepsData, Nowhere, false, pages::unfinished::abort;
    POST "/b/{bucket}/uploads/all" KeepsData, Nowhere, false, pages::unfinished::abort_all;
    GET "/b/{bucket}/rules" KeepsData, Nowhere, false, pages::rules::show;
    GET "/b/{bucket}/where" May::Do(Action::ListBuckets), Nowhere, false, pages::placement::show;
    GET "/b/{bucket}/where/state" May::Do(Action::ListBuckets), Nowhere, false, pages::progress::state;
    GET "/b/{bucket}/place" May::Do(Action::PlaceBuckets), Nowhere, false, pages::place::show;
    POST "/b/{bucket}/place" May::Do(Action::PlaceBuckets), Nowhere, false, pages::place::preview;
    POST "/b/{bucket}/place/act" May::Do(Action::PlaceBuckets), Nowhere, false, pages::place::act;
    GET "/b/{bucket}/proof" May::Do(Action::ProveResidency), Nowhere, false, pages::proof::show;
    POST "/b/{bucket}/proof" May::Do(Action::ProveResidency), Nowhere, false, pages::proof::make;
    POST "/b/{bucket}/proof/file" May::Do(Action::ProveResidency), Nowhere, false, pages::proof::file;
    POST "/b/{bucket}/rules/versioning" KeepsData, Nowhere, false, pages::rules::set_versioning;
    POST "/b/{bucket}/rules/public" KeepsData, Nowhere, false, pages::rules::set_block;
    GET "/b/{bucket}/policy" KeepsData, Nowhere, false, pages::editor::show;
    POST "/b/{bucket}/policy/preview" KeepsData, Nowhere, false, pages::editor::preview;
    POST "/b/{bucket}/policy/save" KeepsData, Nowhere, false, pages::editor::save;
    POST "/b/{bucket}/policy/delete" KeepsData, Nowhere, false, pages::editor::delete;
    POST "/b/{bucket}/rules/cors" KeepsData, Nowhere, false, pages::rules::set_cors;
    POST "/b/{bucket}/rules/replication" KeepsData, Nowhere, false, pages::rules::set_replication;
    POST "/b/{bucket}/rules/ownership" KeepsData, Nowhere, false, pages::rules::set_ownership;
    GET "/b/{bucket}/acl" KeepsData, Nowhere, false, pages::acl::show;
    POST "/b/{bucket}/acl" KeepsData, Nowhere, false, pages::acl::replace;
    POST "/b/{bucket}/acl/grant" KeepsData, Nowhere, false, pages::acl::add;
    POST "/b/{bucket}/acl/revoke" KeepsData, Nowhere, false, pages::acl::revoke;
    POST "/b/{bucket}/rules/tags" KeepsData, Nowhere, false, pages::tagging::of_bucket;
    POST "/b/{bucket}/tags" KeepsData, Nowhere, false, pages::tagging::of_object;
    GET "/b/{bucket}/metadata" KeepsData, Nowhere, false, pages::metadata::show;
    POST "/b/{bucket}/metadata" KeepsData, Nowhere, false, pages::metadata::save;
    GET "/b/{bucket}/purge" KeepsData, Nowhere, false, pages::purge::show;
    POST "/b/{bucket}/purge" KeepsData, Nowhere, false, pages::purge::begin;
    POST "/b/{bucket}/sign" KeepsData, Nowhere, false, pages::upload::sign;
    POST "/b/{bucket}/delete" KeepsData, Nowhere, false, pages::delete::preview;
    POST "/b/{bucket}/delete/act" KeepsData, Nowhere, false, pages::delete::act;
    GET "/b/{bucket}/bulk" KeepsData, Nowhere, false, pages::bulk::show;
    POST "/b/{bucket}/bulk" KeepsData, Nowhere, false, pages::bulk::begin;
    POST "/b/{bucket}/undelete" KeepsData, Nowhere, false, pages::delete::undelete;
    POST "/b/{bucket}/restore" KeepsData, Nowhere, false, pages::delete::restore;
    GET "/b/{bucket}/share" KeepsData, Nowhere, false, pages::share::show;
    POST "/b/{bucket}/share" KeepsData, Nowhere, false, pages::share::make;
    POST "/b/{bucket}/zip" KeepsData, Nowhere, false, pages::zip::download;
    GET "/b/{bucket}/download" KeepsData, Nowhere, false, pages::object::download;
}

/// What is changed in the registry: forms that are sent to what begins so do nothing while its
/// region does not answer.
const OF_REGISTRY: [&str; 16] = [
    "/new",
    "/keys/",
    "/public",
    "/people/",
    "/policies/",
    "/document/save",
    "/document/delete",
    "/regions/plan/act",
    "/regions/drain",
    "/regions/open",
    "/regions/close",
    "/regions/revoke",
    "/regions/rekey",
    "/operators/",
    "/promote/act",
    "/accounts/",
];

/// Whether what a form is sent to needs the region that keeps the registry.
pub fn needs_registry(path: &str) -> bool {
    let places = path.starts_with("/b/") && path.ends_with("/place/act");
    places || OF_REGISTRY.iter().any(|begins| path.starts_with(begins))
}

/// What cannot be taken back, or others suffer from: the key signs again, if it has not lately.
const DANGEROUS: [&str; 6] = [
    "/promote/act",
    "/regions/close",
    "/regions/revoke",
    "/regions/rekey",
    "/accounts/suspend",
    "/accounts/key",
];

/// Whether a route needs a signature of the key that is not old.
pub fn is_dangerous(route: &Route) -> bool {
    route.method == Method::POST && DANGEROUS.contains(&route.path)
}

/// What a path and a method mean.
pub enum Found {
    /// This page.
    Route(&'static Route, Option<BucketName>),
    /// There is a page, for this other method.
    Method(&'static str),
    /// There is none.
    Nothing,
}

/// Finds a page.
pub fn find(method: &Method, path: &str) -> Found {
    let mut other = None;
    for route in ROUTES {
        let Some(bucket) = route.captures(path) else {
            continue;
        };
        if route.method == *method {
            return Found::Route(route, bucket);
        }
        other = Some(match route.method {
            Method::POST => "POST",
            _ => "GET",
        });
    }
    other.map_or(Found::Nothing, Found::Method)
}

/// Whether a page may be gone to after signing in: a path of the table, and nothing else. So it
/// never leads to another host.
pub fn is_own(next: &str) -> bool {
    if types::planted("console-next-anywhere") {
        return true;
    }
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let plain = next
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    let one = next.starts_with('/') && !next.starts_with("//");
    // What a single sign-on goes through is no place to go to afterwards.
    let passes = path.starts_with("/signin/");
    plain && one && !passes && matches!(find(&Method::GET, path), Found::Route(..))
}

#[cfg(test)]
mod tests {
    use access::{CallerKind, Identity, Who, grants::Role};
    use types::{AccessKeyId, AccountId};

    use super::*;
    use crate::session::{NewSession, Sessions};

    fn caller(role: Role, fields: &str) -> Caller {
        let account = format!(
            r#"{{"v":1,"id":"1","name":"n","created_ms":0,"root":{}{fields}}}"#,
            role == Role::CloudOperator
        );
        let account: cloud::Account = serde_json::from_str(&account).unwrap();
        let key = AccessKeyId::new("K");
        let sessions = Sessions::new(10, 10);
        let new = NewSession {
            cookie: "c",
            secret: [7; 32],
            key: key.clone(),
            account: AccountId::new("1"),
            from: std::net::IpAddr::from([127, 0, 0, 1]),
            agent: "a browser",
            sts: None,
            proofs: Vec::new(),
        };
        sessions.begin(new, 0);
        Caller {
            identity: Identity::Key {
                access_key: key.clone(),
                account: AccountId::new("1"),
                kind: CallerKind::default(),
                guard: Default::default(),
                who: Who::Root,
            },
            key,
            account,
            role,
            session: sessions.of_cookie("c", 0).unwrap(),
        }
    }

    #[test]
    fn a_page_is_for_whom_its_grant_names() {
        let auditor = caller(Role::Auditor, r#","auditor":true"#);
        let customer = caller(Role::Customer, "");
        let operator = caller(Role::CloudOperator, "");
        for (may, of_auditor, of_customer) in [
            (May::SignedIn, true, true),
            (May::KeepsData, false, true),
            (May::Users, false, true),
            (May::Do(Action::ReadAudit), true, false),
            (May::Do(Action::ProveResidency), true, false),
            (May::Do(Action::PromoteBuckets), false, false),
            (May::Do(Action::SeeHealth), false, false),
        ] {
            assert_eq!(may.allows(&auditor), of_auditor, "{may:?}");
            assert_eq!(may.allows(&customer), of_customer, "{may:?}");
            assert!(may.allows(&operator), "{may:?}");
        }
    }

    #[test]
    fn paths_are_exact() {
        let bucket = |path: &str| match find(&Method::GET, path) {
            Found::Route(route, bucket) => Some((route.path, bucket.map(|b| b.to_string()))),
            _ => None,
        };
        assert_eq!(bucket("/"), Some(("/", None)));
        assert_eq!(
            bucket("/b/photos"),
            Some(("/b/{bucket}", Some("photos".to_owned())))
        );
        for none in [
            "",
            "//",
            "/b/",
            "/b/photos/",
            "/b/Bad_Name",
            "/sessions/",
            "/b/../x",
        ] {
            assert_eq!(bucket(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_dangerous_is_in_the_table() {
        let found = ROUTES.iter().filter(|route| is_dangerous(route)).count();
        assert_eq!(found, DANGEROUS.len());
    }

    #[test]
    fn what_needs_the_registry_is_in_the_table() {
        let posts = || ROUTES.iter().filter(|route| route.method == Method::POST);
        for begins in OF_REGISTRY {
            assert!(
                posts().any(|route| route.path.starts_with(begins)),
                "{begins}"
            );
        }
        // Whatever has this right changes the registry; previews do not.
        for route in posts() {
            let changes = matches!(
                route.may,
                May::Do(
                    Action::ChangeAccounts
                        | Action::ChangeRegions
                        | Action::ChangeKeys
                        | Action::PlaceBuckets
                )
            );
            let previews = matches!(route.path, "/regions/plan" | "/b/{bucket}/place");
            assert!(
                !changes || previews || needs_registry(route.path),
                "{}",
                route.path
            );
        }
    }

    #[test]
    fn what_changes_something_is_never_a_get() {
        assert!(matches!(
            find(&Method::GET, "/signout"),
            Found::Method("POST")
        ));
        assert!(matches!(find(&Method::POST, "/"), Found::Method("GET")));
        assert!(matches!(find(&Method::PUT, "/nothing"), Found::Nothing));
    }

    #[test]
    fn no_way_on_leads_elsewhere() {
        for good in ["/", "/b/photos?prefix=a%2F", "/sessions"] {
            assert!(is_own(good), "{good}");
        }
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https:evil.example",
            "https://evil.example/",
            "/nothing",
            "/signout",
            "/signin/sso?provider=a",
            "/signin/return/acme?code=a",
            "/b/photos?x=\r\nSet-Cookie:a",
            " /",
            "javascript:alert(1)",
            "/\t/evil.example",
        ] {
            assert!(!is_own(bad), "{bad}");
        }
    }

    #[test]
    fn no_two_routes_are_the_same() {
        let mut all: Vec<_> = ROUTES.iter().map(|r| (r.method.as_str(), r.path)).collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
