//! Who may do what through the admin API, and which pages of the console they have.

use types::AccountId;

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

    /// Whether a caller in this role, whose account is `own`, may do `action` to what belongs to
    /// `account`.
    pub fn may_to_account(&self, action: Action, own: &AccountId, account: &AccountId) -> bool {
        match grant(self, action) {
            Grant::All => true,
            Grant::OwnAccount => own == account,
            Grant::OwnRegions | Grant::No => false,
        }
    }

    /// The same of a list of what belongs to `asked`, or with `None` to all accounts: whose part of
    /// it the caller gets, where `Some(None)` is all of it and `None` is a refusal.
    pub fn within_account(
        &self,
        action: Action,
        own: &AccountId,
        asked: Option<AccountId>,
    ) -> Option<Option<AccountId>> {
        match grant(self, action) {
            Grant::All => Some(asked),
            Grant::OwnAccount if asked.as_ref().is_none_or(|asked| asked == own) => {
                Some(Some(own.clone()))
            }
            Grant::OwnAccount | Grant::OwnRegions | Grant::No => None,
        }
    }

    /// What a caller in this role may see of a region that this operator runs.
    pub fn view_of_region(&self, operator: &str) -> View {
        match self {
            Self::Customer | Self::TenantAdmin => View::Placing,
            Self::RegionalOperator(own) if *own != operator => View::WithoutLoad,
            Self::RegionalOperator(_) | Self::CloudOperator | Self::Auditor => View::All,
        }
    }

    /// Whether a caller in this role may do `action` to a region that this operator runs; a region
    /// that does not exist belongs to none.
    pub fn may_to_region(&self, action: Action, operator: Option<&str>) -> bool {
        match (grant(self, action), self) {
            (Grant::All, _) => true,
            (Grant::OwnRegions, Self::RegionalOperator(own)) => operator == Some(own),
            _ => false,
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

/// How much of a region's record a role may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What a tenant needs to place buckets.
    Placing,
    /// All but how much the region is asked: that is not for its operator's competitors.
    WithoutLoad,
    /// All.
    All,
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
    fn a_grant_reaches_as_far_as_it_says() {
        use Action as A;
        let (own, other) = (AccountId::new("1"), AccountId::new("2"));
        let (admin, operator) = (Role::TenantAdmin, Role::RegionalOperator("o".into()));
        for (role, action, to_own, to_other) in [
            (&admin, A::ListKeys, true, false),
            (&Role::CloudOperator, A::ListKeys, true, true),
            (&Role::Customer, A::ListKeys, false, false),
            // Regions are no account's.
            (&operator, A::DrainRegion, false, false),
        ] {
            assert_eq!(role.may_to_account(action, &own, &own), to_own, "{role:?}");
            assert_eq!(
                role.may_to_account(action, &own, &other),
                to_other,
                "{role:?}"
            );
            let within =
                |asked: Option<&AccountId>| role.within_account(action, &own, asked.cloned());
            let all = match (to_own, to_other) {
                (_, true) => Some(None),
                (true, false) => Some(Some(own.clone())),
                (false, false) => None,
            };
            assert_eq!(within(None), all, "{role:?}");
            assert_eq!(
                within(Some(&own)),
                to_own.then(|| Some(own.clone())),
                "{role:?}"
            );
            assert_eq!(
                within(Some(&other)),
                to_other.then(|| Some(other.clone())),
                "{role:?}"
            );
        }
        for (role, action, of_own, of_other, of_none) in [
            (&operator, A::DrainRegion, true, false, false),
            (&operator, A::ChangeRegions, false, false, false),
            (&Role::CloudOperator, A::DrainRegion, true, true, true),
            (&admin, A::ListKeys, false, false, false),
        ] {
            let may = |operator| role.may_to_region(action, operator);
            let found = (may(Some("o")), may(Some("p")), may(None));
            assert_eq!(found, (of_own, of_other, of_none), "{role:?}");
        }
        let views = [&admin, &Role::Customer, &operator, &Role::Auditor];
        let of = |run_by| views.map(|role| role.view_of_region(run_by));
        assert_eq!(
            of("o"),
            [View::Placing, View::Placing, View::All, View::All]
        );
        let of_other = [View::Placing, View::Placing, View::WithoutLoad, View::All];
        assert_eq!(of("p"), of_other);
    }
}
