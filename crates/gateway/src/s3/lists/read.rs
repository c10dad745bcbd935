//! What a request asks for of a list: by a canned one, by grants in headers, or by a document.

use access::{AccessList, Grant, Grantee, Permission, acl::GRANTS_MAX};
use http::HeaderMap;
use types::AccountId;

use super::{ANONYMOUS, permission, write};
use crate::{
    call::Call,
    fault::{Fault, FaultKind},
    s3::xml::{self, Element},
    server::Gateway,
};

const CANNED: &str = "x-amz-acl";
/// Headers of grants, and what each grants.
const HEADERS: [(&str, Permission); 5] = [
    ("x-amz-grant-full-control", Permission::FullControl),
    ("x-amz-grant-read", Permission::Read),
    ("x-amz-grant-read-acp", Permission::ReadAcp),
    ("x-amz-grant-write", Permission::Write),
    ("x-amz-grant-write-acp", Permission::WriteAcp),
];

/// The lists that have names ("Canned ACL" in the S3 user guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Canned {
    Private,
    PublicRead,
    PublicReadWrite,
    AuthenticatedRead,
    AwsExecRead,
    BucketOwnerRead,
    BucketOwnerFullControl,
    LogDeliveryWrite,
}

const NAMES: [(&str, Canned); 8] = [
    ("private", Canned::Private),
    ("public-read", Canned::PublicRead),
    ("public-read-write", Canned::PublicReadWrite),
    ("authenticated-read", Canned::AuthenticatedRead),
    ("aws-exec-read", Canned::AwsExecRead),
    ("bucket-owner-read", Canned::BucketOwnerRead),
    ("bucket-owner-full-control", Canned::BucketOwnerFullControl),
    ("log-delivery-write", Canned::LogDeliveryWrite),
];

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Canned(Canned),
    Grants(Vec<Grant>),
}

impl Asked {
    /// Whether it asks for no more than holds where lists play no part. S3 refuses `private`
    /// there; but it says what holds, and rclone, s3fs and other tools send it with each write.
    pub(super) fn holds_anyway(&self, owner: &AccountId) -> Result<(), Fault> {
        match self {
            Self::Nothing | Self::Canned(Canned::BucketOwnerFullControl | Canned::Private) => {
                Ok(())
            }
            Self::Grants(grants) if *grants == AccessList::of_owner(owner).grants => Ok(()),
            Self::Canned(_) | Self::Grants(_) => {
                Err(FaultKind::AccessControlListNotSupported.into())
            }
        }
    }

    /// Whether it grants anything to everybody.
    pub(super) fn is_public(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Canned(canned) => matches!(
                canned,
                Canned::PublicRead | Canned::PublicReadWrite | Canned::AuthenticatedRead
            ),
            Self::Grants(grants) => {
                let public = |g: &Grant| {
                    matches!(g.grantee, Grantee::AllUsers | Grantee::AuthenticatedUsers)
                };
                grants.iter().any(public)
            }
        }
    }

    /// The grants of a bucket.
    pub(super) fn grants_of_bucket(&self, owner: &AccountId) -> Result<Vec<Grant>, Fault> {
        match self {
            Self::Nothing => Ok(AccessList::of_owner(owner).grants),
            Self::Grants(grants) => Ok(grants.clone()),
            Self::Canned(Canned::LogDeliveryWrite) => {
                let mut grants = AccessList::of_owner(owner).grants;
                for permission in [Permission::Write, Permission::ReadAcp] {
                    grants.push(Grant {
                        grantee: Grantee::LogDelivery,
                        permission,
                    });
                }
                Ok(grants)
            }
            Self::Canned(canned) => Ok(canned.grants(owner)),
        }
    }

    /// The grants of an object that `owner` owns.
    pub(super) fn grants_of_object(
        &self,
        owner: &AccountId,
        bucket_owner: &AccountId,
    ) -> Result<Vec<Grant>, Fault> {
        let given = |canned: Canned, permission| {
            let mut grants = canned.grants(owner);
            if access::is_of_another(owner, bucket_owner) {
                grants.push(Grant {
                    grantee: Grantee::Account(bucket_owner.clone()),
                    permission,
                });
            }
            grants
        };
        match self {
            Self::Nothing => Ok(AccessList::of_owner(owner).grants),
            Self::Grants(grants) => Ok(grants.clone()),
            Self::Canned(Canned::LogDeliveryWrite) => {
                Err(Fault::argument(CANNED, "log-delivery-write", ""))
            }
            Self::Canned(canned @ Canned::BucketOwnerRead) => Ok(given(*canned, Permission::Read)),
            Self::Canned(canned @ Canned::BucketOwnerFullControl) => {
                Ok(given(*canned, Permission::FullControl))
            }
            Self::Canned(canned) => Ok(canned.grants(owner)),
        }
    }
}

impl Canned {
    /// What it grants on buckets and objects alike.
    fn grants(self, owner: &AccountId) -> Vec<Grant> {
        let mut grants = AccessList::of_owner(owner).grants;
        let more: &[(Grantee, Permission)] = match self {
            Self::PublicRead => &[(Grantee::AllUsers, Permission::Read)],
            Self::PublicReadWrite => &[
                (Grantee::AllUsers, Permission::Read),
                (Grantee::AllUsers, Permission::Write),
            ],
            Self::AuthenticatedRead => &[(Grantee::AuthenticatedUsers, Permission::Read)],
            Self::Private
            | Self::AwsExecRead
            | Self::BucketOwnerRead
            | Self::BucketOwnerFullControl
            | Self::LogDeliveryWrite => &[],
        };
        grants.extend(more.iter().map(|(grantee, permission)| Grant {
            grantee: grantee.clone(),
            permission: *permission,
        }));
        grants
    }
}

/// Who is meant by a canonical id.
pub(super) struct Names<'a> {
    gateway: &'a Gateway,
    owner: AccountId,
}

impl<'a> Names<'a> {
    pub(super) fn of(call: &Call<'a>) -> Result<Self, Fault> {
        Ok(Self::with(call.gateway, &call.deed()?.owner))
    }

    pub(super) fn with(gateway: &'a Gateway, owner: &AccountId) -> Self {
        Self {
            gateway,
            owner: owner.clone(),
        }
    }

    fn account(&self, id: &str) -> Option<AccountId> {
        match id {
            ANONYMOUS => Some(access::acl::anonymous().clone()),
            id if id == self.gateway.canonical_id(&self.owner) => Some(self.owner.clone()),
            id => self.gateway.keys.account_of(id),
        }
    }

    fn grantee(&self, kind: &str, value: &str) -> Result<Grantee, Fault> {
        match kind {
            "id" => {
                let account = self.account(value).map(Grantee::Account);
                account.ok_or_else(|| Fault::argument("CanonicalUser/ID", value, "Invalid id"))
            }
            "uri" => match value {
                write::ALL_USERS => Ok(Grantee::AllUsers),
                write::AUTHENTICATED => Ok(Grantee::AuthenticatedUsers),
                write::LOG_DELIVERY => Ok(Grantee::LogDelivery),
                _ => Err(Fault::argument("uri", value, "Invalid group uri")),
            },
            // Accounts have no addresses.
            "emailAddress" => Err(FaultKind::UnresolvableGrantByEmailAddress.into()),
            _ => Err(Fault::argument(
                kind,
                value,
                "Argument format not recognized",
            )),
        }
    }
}

/// Whether a request names a list in its headers.
pub(super) fn names_any(headers: &HeaderMap) -> bool {
    let is_one = |name: &str| name == CANNED || HEADERS.iter().any(|(own, _)| *own == name);
    headers.keys().any(|name| is_one(name.as_str()))
}

/// Reads the headers.
pub(super) fn headers(headers: &HeaderMap, names: &Names<'_>) -> Result<Asked, Fault> {
    let text = |name: &'static str| match headers.get(name) {
        None => Ok(None),
        Some(value) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(_) => Err(Fault::argument(name, "", "Header value is not valid UTF-8")),
        },
    };
    let canned = text(CANNED)?;
    let mut grants = Vec::new();
    let mut named = false;
    for (name, permission) in HEADERS {
        if let Some(text) = text(name)? {
            named = true;
            read_grants(text, (name, permission), names, &mut grants)?;
        }
    }
    match (canned, named) {
        (None, false) => Ok(Asked::Nothing),
        (None, true) => Ok(Asked::Grants(grants)),
        (Some(_), true) => Err(Fault::with(
            FaultKind::InvalidRequest,
            "Specifying both Canned ACLs and Header Grants is not allowed",
        )),
        (Some(canned), false) => {
            let found = NAMES.iter().find(|(name, _)| *name == canned);
            let found = found.map(|(_, found)| Asked::Canned(*found));
            found.ok_or_else(|| Fault::argument(CANNED, canned, ""))
        }
    }
}

/// Reads `id="…", uri="…"`.
fn read_grants(
    text: &str,
    (name, permission): (&str, Permission),
    names: &Names<'_>,
    grants: &mut Vec<Grant>,
) -> Result<(), Fault> {
    let wrong = || Fault::argument(name, text, "Argument format not recognized");
    for one in text.split(',') {
        let (kind, value) = one.trim().split_once('=').ok_or_else(wrong)?;
        let value = value.trim();
        let value = match value.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or_else(wrong)?,
            None => value,
        };
        if grants.len() == GRANTS_MAX {
            return Err(FaultKind::MalformedACLError.into());
        }
        grants.push(Grant {
            grantee: names.grantee(kind.trim(), value)?,
            permission,
        });
    }
    Ok(())
}

/// Reads a document: whom it names as the owner, and the grants.
pub(super) fn document(
    body: &[u8],
    names: &Names<'_>,
) -> Result<(Option<String>, Vec<Grant>), Fault> {
    let malformed = |error: Fault| match error.kind {
        FaultKind::MalformedXML => FaultKind::MalformedACLError.into(),
        _ => error,
    };
    let root = xml::parse(body, &["AccessControlPolicy"]).map_err(malformed)?;
    read_document(&root, names).map_err(malformed)
}

fn read_document(root: &Element, names: &Names<'_>) -> Result<(Option<String>, Vec<Grant>), Fault> {
    root.only(&["Owner", "AccessControlList"])?;
    let owner = match root.one("Owner")? {
        Some(owner) => Some(owner.required("ID")?.trim().to_owned()),
        None => None,
    };
    let list = root.one("AccessControlList")?;
    let list = list.ok_or(FaultKind::MalformedACLError)?;
    list.only(&["Grant"])?;
    let mut grants = Vec::new();
    for grant in list.all("Grant") {
        if grants.len() == GRANTS_MAX {
            return Err(FaultKind::MalformedACLError.into());
        }
        grant.only(&["Grantee", "Permission"])?;
        let permission = permission(grant.required("Permission")?.trim());
        let grantee = grant.one("Grantee")?.ok_or(FaultKind::MalformedACLError)?;
        grants.push(Grant {
            grantee: read_grantee(grantee, names)?,
            permission: permission.ok_or(FaultKind::MalformedACLError)?,
        });
    }
    Ok((owner, grants))
}

/// By exactly one name.
fn read_grantee(element: &Element, names: &Names<'_>) -> Result<Grantee, Fault> {
    element.only(&["ID", "DisplayName", "URI", "EmailAddress"])?;
    let id = element.text_of("ID")?.map(|text| ("id", text));
    let uri = element.text_of("URI")?.map(|text| ("uri", text));
    let email = element.text_of("EmailAddress")?;
    let email = email.map(|text| ("emailAddress", text));
    match (id, uri, email) {
        (Some(one), None, None) | (None, Some(one), None) | (None, None, Some(one)) => {
            names.grantee(one.0, one.1.trim())
        }
        _ => Err(FaultKind::MalformedACLError.into()),
    }
}
