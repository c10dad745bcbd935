//! Who may do what through the admin API, and which pages of the console they have.

use crate::Account;

/// Whose hand a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A key of a tenant: uses buckets, administers nothing.
    Customer,
    /// A key of a tenant that was made with `--admin`.
    TenantAdmin,
    /// Looks after the regions of one operator.
    RegionalOperator(String),
    /// A key of the root account.
    CloudOperator,
    /// Reads what is on record.
    Auditor,
}

impl Role {
    /// The role of a key of an account. `admin`: whether the key was made to administer it.
    pub fn of(account: &Account, admin: bool) -> Self {
        match (&account.operator, account.root, account.auditor) {
            (_, true, _) => Self::CloudOperator,
            (Some(operator), ..) => Self::RegionalOperator(operator.clone()),
            (None, _, true) => Self::Auditor,
            _ if admin => Self::TenantAdmin,
            _ => Self::Customer,
        }
    }

    /// For people, as docs/guide.md names it.
    pub fn words(&self) -> String {
        match self {
            Self::Customer => "customer".to_owned(),
            Self::TenantAdmin => "tenant admin".to_owned(),
            Self::RegionalOperator(operator) => format!("operator of {operator}"),
            Self::CloudOperator => "cloud operator".to_owned(),
            Self::Auditor => "auditor".to_owned(),
        }
    }
}

/// What the admin API can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub enum Action {
    /// The description of this API: read it.
    DescribeApi,
    /// Accounts: see them.
    ListAccounts,
    /// Create, suspend and resume accounts.
    ChangeAccounts,
    /// Keys: see them, never their secrets.
    ListKeys,
    /// Create, enable, disable and delete keys.
    ChangeKeys,
    /// Users and their policies: see and change them.
    ChangeIdentities,
    /// Why requests of an account are allowed or refused: its policies and its buckets' are shown.
    ExplainAccess,
    /// Regions and operators: see them.
    ListRegions,
    /// Plan, open and close regions, add operators, take certificates back.
    ChangeRegions,
    /// Stop new buckets and replicas in a region, and allow them again.
    DrainRegion,
    /// See deeds and the state of their replicas.
    ListBuckets,
    /// Create buckets, change their placement.
    PlaceBuckets,
    /// Give a bucket another home.
    PromoteBuckets,
    /// The audit log: read it.
    ReadAudit,
    /// Ask every region what it holds of a bucket.
    CheckResidency,
    /// Gather a proof of where a bucket is stored, which holds the whole audit log.
    ProveResidency,
    /// Verify every stored byte of a region.
    Scrub,
    /// How a region is doing: what is wrong with it, its disk, what it holds.
    SeeHealth,
}

/// How far a role's right to do something reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Not at all.
    No,
    /// For the caller's own account.
    OwnAccount,
    /// For regions of the caller's operator.
    OwnRegions,
    /// Everywhere.
    All,
}

/// How far `role` may do `action`. Whatever is not named here is refused.
pub fn grant(role: &Role, action: Action) -> Grant {
    use Action as A;
    match (role, action) {
        (Role::CloudOperator, _) => Grant::All,
        (_, A::DescribeApi | A::ListRegions) => Grant::All,
        (Role::Customer, A::ListBuckets) => Grant::OwnAccount,
        (
            Role::TenantAdmin,
            A::ListKeys
            | A::ChangeKeys
            | A::ChangeIdentities
            | A::ExplainAccess
            | A::ListBuckets
            | A::PlaceBuckets
            | A::CheckResidency,
        ) => Grant::OwnAccount,
        (Role::RegionalOperator(_), A::DrainRegion | A::Scrub | A::SeeHealth) => Grant::OwnRegions,
        (
            Role::Auditor,
            A::ListAccounts
            | A::ListKeys
            | A::ListBuckets
            | A::ReadAudit
            | A::CheckResidency
            | A::ProveResidency,
        ) => Grant::All,
        _ => Grant::No,
    }
}

/// The roles that may do `action`, for whatever it reaches.
pub fn roles_with(action: Action) -> impl Iterator<Item = Role> {
    let all = [
        Role::Customer,
        Role::TenantAdmin,
        Role::RegionalOperator(String::new()),
        Role::CloudOperator,
        Role::Auditor,
    ];
    let may = move |role: &Role| grant(role, action) != Grant::No;
    all.into_iter().filter(may)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Grant::{All, No, OwnAccount, OwnRegions};

    /// Written by hand; the code above is compared with it.
    #[test]
    fn the_grant_matrix() {
        use Action as A;
        let operator = Role::RegionalOperator("yvolv".into());
        let roles = [
            Role::Customer,
            Role::TenantAdmin,
            operator,
            Role::CloudOperator,
            Role::Auditor,
        ];
        // customer, tenant admin, regional operator, cloud operator, auditor
        let matrix = [
            (A::DescribeApi, [All, All, All, All, All]),
            (A::ListAccounts, [No, No, No, All, All]),
            (A::ChangeAccounts, [No, No, No, All, No]),
            (A::ListKeys, [No, OwnAccount, No, All, All]),
            (A::ChangeKeys, [No, OwnAccount, No, All, No]),
            (A::ChangeIdentities, [No, OwnAccount, No, All, No]),
            (A::ExplainAccess, [No, OwnAccount, No, All, No]),
            (A::ListRegions, [All, All, All, All, All]),
            (A::ChangeRegions, [No, No, No, All, No]),
            (A::DrainRegion, [No, No, OwnRegions, All, No]),
            (A::ListBuckets, [OwnAccount, OwnAccount, No, All, All]),
            (A::PlaceBuckets, [No, OwnAccount, No, All, No]),
            (A::PromoteBuckets, [No, No, No, All, No]),
            (A::ReadAudit, [No, No, No, All, All]),
            (A::CheckResidency, [No, OwnAccount, No, All, All]),
            (A::ProveResidency, [No, No, No, All, All]),
            (A::Scrub, [No, No, OwnRegions, All, No]),
            (A::SeeHealth, [No, No, OwnRegions, All, No]),
        ];
        for (action, expect) in matrix {
            for (role, expect) in roles.iter().zip(expect) {
                assert_eq!(grant(role, action), expect, "{role:?} {action:?}");
            }
        }
    }

    #[test]
    fn roles_follow_from_accounts_and_keys() {
        let account = |fields: &str| -> Account {
            let text = format!(r#"{{"v":1,"id":"1","name":"n","created_ms":0{fields}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let of = |fields: &str, admin| Role::of(&account(fields), admin);
        assert_eq!(of(r#","root":true"#, false), Role::CloudOperator);
        assert_eq!(of(r#","root":false"#, false), Role::Customer);
        assert_eq!(of(r#","root":false"#, true), Role::TenantAdmin);
        assert_eq!(of(r#","root":false,"auditor":true"#, true), Role::Auditor);
        let operator = of(r#","root":false,"operator":"o""#, true);
        assert_eq!(operator, Role::RegionalOperator("o".into()));
    }
}
