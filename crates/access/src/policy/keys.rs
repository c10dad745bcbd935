//! The keys that conditions ask about, and their values for a request. Each value has a field of
//! its own, filled from what was understood of the request: there is no map that a header of a
//! client's choice could get into.

use std::net::IpAddr;

use types::Timestamp;

use super::{evaluate::Steps, text::Chars};

/// Names and values of tags.
pub type Tags<'a> = &'a [(&'a str, &'a str)];

/// What a decision needs that was not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// The tags of the version that is addressed ([`Conditions::existing_object_tags`]).
    ExistingObjectTags,
    /// The object's tags in the request's body ([`Conditions::request_object_tags`]).
    RequestObjectTags,
    /// The tags of the bucket, user or role ([`Conditions::resource_tags`]).
    ResourceTags,
    /// The tags in the request's body ([`Conditions::request_tags`]).
    RequestTags,
    /// The access control list and the owner of the object ([`super::Acl`]).
    Acl,
    /// The region where the bucket will be ([`Conditions::location_unread`]).
    Location,
    /// Who is to own objects, in the request's body ([`Conditions::ownership_unread`]).
    Ownership,
}

/// The value of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Text(Chars<'a>),
    Number(i64),
    Flag(bool),
    Time(Timestamp),
    /// A time as seconds since the epoch.
    Epoch(Timestamp),
    Address(IpAddr),
}

impl<'a> Value<'a> {
    pub fn text(text: &'a str) -> Self {
        Self::Text(Chars::of(text))
    }

    /// As text.
    pub fn chars(&self) -> Chars<'a> {
        match self {
            Self::Text(chars) => *chars,
            Self::Number(number) => Chars::number((*number).into()),
            Self::Flag(true) => Chars::of("true"),
            Self::Flag(false) => Chars::of("false"),
            Self::Time(at) => super::values::written(*at),
            Self::Epoch(at) => Chars::number(at.s().into()),
            Self::Address(address) => Chars::address(address.to_canonical()),
        }
    }
}

/// The values of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Absent,
    NotLoaded(Need),
    One(Value<'a>),
    Texts(&'a [&'a str]),
    /// The names of the tags.
    TagKeys(Tags<'a>),
    /// Two tags have the key, in different case: which one counts nobody can say.
    Ambiguous,
}

trait Field<'a>: Sized {
    fn found(&self) -> Found<'a>;
    /// What somebody states in place of a request's value; `None` if it can be none.
    fn stated(values: &'a [&'a str]) -> Option<Self>;
}

/// The only one of several.
fn one<'a>(values: &[&'a str]) -> Option<&'a str> {
    match values {
        [one] => Some(one),
        _ => None,
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    let ms = super::values::time(text.as_bytes())?;
    u64::try_from(ms).ok().map(Timestamp::from_ms)
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

macro_rules! fields {
    ($($type:ty => $make:expr, $read:expr;)*) => {
        $(impl<'a> Field<'a> for Option<$type> {
            fn found(&self) -> Found<'a> {
                self.map_or(Found::Absent, $make)
            }
            fn stated(values: &'a [&'a str]) -> Option<Self> {
                let read: fn(&'a [&'a str]) -> Self = $read;
                read(values).map(Some)
            }
        })*
    };
}

fields! {
    &'a str => |text| Found::One(Value::text(text)), one;
    &'a [u8] => |bytes| Found::One(Value::Text(Chars::Whole(bytes))),
        |values| one(values).map(str::as_bytes);
    i64 => |number| Found::One(Value::Number(number)), |values| one(values)?.parse().ok();
    bool => |flag| Found::One(Value::Flag(flag)), |values| flag(one(values)?);
    Timestamp => |at| Found::One(Value::Time(at)), |values| instant(one(values)?);
    IpAddr => |address| Found::One(Value::Address(address)), |values| one(values)?.parse().ok();
    &'a [&'a str] => Found::Texts, Some;
}

macro_rules! keys {
    (
        fields { $($(#[$doc:meta])* $field:ident: $type:ty = $own:ident $name:literal;)* }
        derived { $($derived:ident $derived_name:literal $derived_family:ident;)* }
    ) => {
        /// What a request says beside who asks for what, and on what. What is `None` is absent,
        /// but for tags, where it is *not loaded*: a decision that depends on them answers
        /// [`super::Decision::Needs`], and empty tags are `Some(&[])`.
        #[derive(Debug, Clone, Copy, Default)]
        pub struct Conditions<'a> {
            $($(#[$doc])* pub $field: Option<$type>,)*
            /// `s3:ExistingObjectTag/…`: the tags of the version that is addressed. For what is on
            /// no existing object they are `Some(&[])`.
            pub existing_object_tags: Option<Tags<'a>>,
            /// `s3:RequestObjectTag/…` and `s3:RequestObjectTagKeys`: the tags that the request
            /// gives an object.
            pub request_object_tags: Option<Tags<'a>>,
            /// `aws:ResourceTag/…`, `s3:BucketTag/…`, `iam:ResourceTag/…`: the tags of the bucket
            /// (only with ABAC on), user or role.
            pub resource_tags: Option<Tags<'a>>,
            /// `aws:RequestTag/…` and `aws:TagKeys`: the tags that the request gives a bucket, user
            /// or role, or a session.
            pub request_tags: Option<Tags<'a>>,
            /// `s3:LocationConstraint` is not known yet: the request's body, which was not read,
            /// says it.
            pub location_unread: bool,
            /// The same of `s3:x-amz-object-ownership`.
            pub ownership_unread: bool,
            /// What an identity provider says in its token: keys such as
            /// `accounts.example.com:aud` and their values. Only for
            /// `sts:AssumeRoleWithWebIdentity`.
            pub claims: &'a [(&'a str, &'a [&'a str])],
            /// Steps of comparing that this decision shares with others.
            pub steps: Option<&'a Steps>,
        }

        /// A key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Key {
            $($own,)*
            $($derived,)*
        }

        const NAMES: &[(Key, &str, bool)] = &[
            $((Key::$own, $name, false),)*
            $((Key::$derived, $derived_name, $derived_family),)*
        ];

        impl<'a> Conditions<'a> {
            /// The value of a key that has a field.
            pub(super) fn field(&self, key: Key) -> Option<Found<'a>> {
                match key {
                    $(Key::$own => Some(Field::found(&self.$field)),)*
                    _ => None,
                }
            }

            /// Takes what somebody states for a key that has a field; `None` if that can be no
            /// value of it.
            pub(super) fn state(&mut self, key: Key, values: &'a [&'a str]) -> Option<()> {
                match key {
                    $(Key::$own => self.$field = Field::stated(values)?,)*
                    Key::EpochTime => self.current_time = Field::stated(values)?,
                    _ => return None,
                }
                Some(())
            }

            /// Whether requests have values of a key that are theirs, and not those of the caller
            /// or the resource.
            pub(super) fn has_field(key: Key) -> bool {
                matches!(key, Key::EpochTime $(| Key::$own)*)
            }
        }
    };
}

// A family is followed by the name of a tag, or of a claim.
keys! {
    fields {
        /// `aws:CurrentTime` (and `aws:EpochTime`): when the head of the request was there.
        current_time: Timestamp = CurrentTime "aws:CurrentTime";
        /// `aws:RequestedRegion`: the id of the region that was called.
        requested_region: &'a str = RequestedRegion "aws:RequestedRegion";
        /// `aws:SourceIp`: the client's address.
        source_ip: IpAddr = SourceIp "aws:SourceIp";
        /// `aws:SecureTransport`: whether the client's connection has TLS. Always there.
        secure_transport: bool = SecureTransport "aws:SecureTransport";
        /// `aws:UserAgent`.
        user_agent: &'a [u8] = UserAgent "aws:UserAgent";
        /// `aws:Referer`.
        referer: &'a [u8] = Referer "aws:Referer";
        /// `aws:TokenIssueTime`: of sessions only.
        token_issue_time: Timestamp = TokenIssueTime "aws:TokenIssueTime";
        /// `aws:SourceIdentity`: of sessions only.
        source_identity: &'a str = SourceIdentity "aws:SourceIdentity";
        /// `aws:MultiFactorAuthPresent`: of sessions only.
        mfa_present: bool = MfaPresent "aws:MultiFactorAuthPresent";
        /// `aws:MultiFactorAuthAge`, in seconds.
        mfa_age: i64 = MfaAge "aws:MultiFactorAuthAge";
        /// `aws:SourceArn`: of services only.
        source_arn: &'a str = SourceArn "aws:SourceArn";
        /// `aws:SourceAccount`: of services only.
        source_account: &'a str = SourceAccount "aws:SourceAccount";
        /// `s3:prefix`, decoded. `prefix=` is there, and empty.
        prefix: &'a str = Prefix "s3:prefix";
        /// `s3:delimiter`, decoded.
        delimiter: &'a str = Delimiter "s3:delimiter";
        /// `s3:max-keys`: for listings always, 1000 when it was not sent.
        max_keys: i64 = MaxKeys "s3:max-keys";
        /// `s3:x-amz-acl`: the name as it was sent.
        acl: &'a str = Acl "s3:x-amz-acl";
        /// `s3:x-amz-grant-read`: the header as it was sent, and so with the four that follow.
        grant_read: &'a str = GrantRead "s3:x-amz-grant-read";
        /// `s3:x-amz-grant-write`.
        grant_write: &'a str = GrantWrite "s3:x-amz-grant-write";
        /// `s3:x-amz-grant-read-acp`.
        grant_read_acp: &'a str = GrantReadAcp "s3:x-amz-grant-read-acp";
        /// `s3:x-amz-grant-write-acp`.
        grant_write_acp: &'a str = GrantWriteAcp "s3:x-amz-grant-write-acp";
        /// `s3:x-amz-grant-full-control`.
        grant_full_control: &'a str = GrantFullControl "s3:x-amz-grant-full-control";
        /// `s3:x-amz-server-side-encryption`.
        server_side_encryption: &'a str = Encryption "s3:x-amz-server-side-encryption";
        /// `s3:x-amz-server-side-encryption-aws-kms-key-id`, as a whole ARN.
        kms_key_id: &'a str = KmsKeyId "s3:x-amz-server-side-encryption-aws-kms-key-id";
        /// `s3:x-amz-server-side-encryption-customer-algorithm`.
        customer_algorithm: &'a str = CustomerAlgorithm
            "s3:x-amz-server-side-encryption-customer-algorithm";
        /// `s3:x-amz-storage-class`.
        storage_class: &'a str = StorageClass "s3:x-amz-storage-class";
        /// `s3:x-amz-website-redirect-location`.
        website_redirect_location: &'a str = WebsiteRedirect "s3:x-amz-website-redirect-location";
        /// `s3:x-amz-copy-source`: `bucket/key`, decoded, without a leading slash and version.
        copy_source: &'a str = CopySource "s3:x-amz-copy-source";
        /// `s3:x-amz-metadata-directive`.
        metadata_directive: &'a str = MetadataDirective "s3:x-amz-metadata-directive";
        /// `s3:VersionId`, `null` included.
        version_id: &'a str = VersionId "s3:VersionId";
        /// `s3:LocationConstraint`: the region where the bucket will be.
        location_constraint: &'a str = LocationConstraint "s3:LocationConstraint";
        /// `s3:x-amz-object-ownership`.
        object_ownership: &'a str = ObjectOwnership "s3:x-amz-object-ownership";
        /// `s3:object-lock-mode`.
        object_lock_mode: &'a str = LockMode "s3:object-lock-mode";
        /// `s3:object-lock-retain-until-date`.
        object_lock_retain_until_date: Timestamp = LockUntil "s3:object-lock-retain-until-date";
        /// `s3:object-lock-legal-hold`.
        object_lock_legal_hold: &'a str = LegalHold "s3:object-lock-legal-hold";
        /// `s3:object-lock-remaining-retention-days`.
        object_lock_remaining_retention_days: i64 = LockDays
            "s3:object-lock-remaining-retention-days";
        /// `s3:if-match`.
        if_match: &'a str = IfMatch "s3:if-match";
        /// `s3:if-none-match`.
        if_none_match: &'a str = IfNoneMatch "s3:if-none-match";
        /// `s3:ObjectCreationOperation`: with every `s3:PutObject`, whether it makes an object.
        object_creation_operation: bool = Creation "s3:ObjectCreationOperation";
        /// `s3:signatureversion`.
        signature_version: &'a str = SignatureVersion "s3:signatureversion";
        /// `s3:authType`.
        auth_type: &'a str = AuthType "s3:authType";
        /// `s3:signatureAge`, in milliseconds.
        signature_age: i64 = SignatureAge "s3:signatureAge";
        /// `s3:x-amz-content-sha256`: the header.
        content_sha256: &'a str = ContentSha256 "s3:x-amz-content-sha256";
        /// `s3:TlsVersion`: `1.2` or `1.3`.
        tls_version: &'a str = TlsVersion "s3:TlsVersion";
        /// `s3:InventoryAccessibleOptionalFields`.
        inventory_fields: &'a [&'a str] = InventoryFields "s3:InventoryAccessibleOptionalFields";
        /// `sts:ExternalId`.
        external_id: &'a str = ExternalId "sts:ExternalId";
        /// `sts:RoleSessionName`.
        role_session_name: &'a str = RoleSessionName "sts:RoleSessionName";
        /// `sts:SourceIdentity`: what the request sets.
        requested_source_identity: &'a str = RequestedSourceIdentity "sts:SourceIdentity";
        /// `sts:TransitiveTagKeys`.
        transitive_tag_keys: &'a [&'a str] = TransitiveTagKeys "sts:TransitiveTagKeys";
        /// `sts:DurationSeconds`.
        duration_seconds: i64 = DurationSeconds "sts:DurationSeconds";
        /// `iam:PermissionsBoundary`: the ARN that the request sets, or that the target has.
        permissions_boundary: &'a str = PermissionsBoundary "iam:PermissionsBoundary";
        /// `iam:PolicyARN`: what the request attaches.
        policy_arn: &'a str = PolicyArn "iam:PolicyARN";
        /// `iam:PassedToService`.
        passed_to_service: &'a str = PassedToService "iam:PassedToService";
    }
    derived {
        EpochTime "aws:EpochTime" false;
        PrincipalArn "aws:PrincipalArn" false;
        PrincipalAccount "aws:PrincipalAccount" false;
        PrincipalType "aws:PrincipalType" false;
        PrincipalServiceName "aws:PrincipalServiceName" false;
        PrincipalIsService "aws:PrincipalIsAWSService" false;
        ViaService "aws:ViaAWSService" false;
        FederatedProvider "aws:FederatedProvider" false;
        UserId "aws:userid" false;
        UserName "aws:username" false;
        ResourceAccount "aws:ResourceAccount" false;
        S3ResourceAccount "s3:ResourceAccount" false;
        RequestObjectTagKeys "s3:RequestObjectTagKeys" false;
        TagKeys "aws:TagKeys" false;
        PrincipalTag "aws:PrincipalTag/" true;
        ExistingObjectTag "s3:ExistingObjectTag/" true;
        RequestObjectTag "s3:RequestObjectTag/" true;
        ResourceTag "aws:ResourceTag/" true;
        BucketTag "s3:BucketTag/" true;
        IamResourceTag "iam:ResourceTag/" true;
        RequestTag "aws:RequestTag/" true;
        // Known, but no request has them.
        SourceOwner "aws:SourceOwner" false;
        SourceVpc "aws:SourceVpc" false;
        SourceVpce "aws:SourceVpce" false;
        SourceVpcArn "aws:SourceVpcArn" false;
        VpcSourceIp "aws:VpcSourceIp" false;
        PrincipalOrgId "aws:PrincipalOrgID" false;
        PrincipalOrgPaths "aws:PrincipalOrgPaths" false;
        ResourceOrgId "aws:ResourceOrgID" false;
        ResourceOrgPaths "aws:ResourceOrgPaths" false;
        SourceOrgId "aws:SourceOrgID" false;
        SourceOrgPaths "aws:SourceOrgPaths" false;
        CalledVia "aws:CalledVia" false;
        CalledViaFirst "aws:CalledViaFirst" false;
        CalledViaLast "aws:CalledViaLast" false;
        PrincipalServiceNamesList "aws:PrincipalServiceNamesList" false;
        DataAccessPointArn "s3:DataAccessPointArn" false;
        DataAccessPointAccount "s3:DataAccessPointAccount" false;
        AccessPointNetworkOrigin "s3:AccessPointNetworkOrigin" false;
        AccessPointTag "s3:AccessPointTag/" true;
        AccessGrantsInstanceArn "s3:AccessGrantsInstanceArn" false;
        // What an identity provider says, by the whole key; or a key of some other service.
        Claim "" true;
    }
}

impl Key {
    /// The key of that name, and the name of the tag in it. A name that is none of the known ones
    /// is a claim's, or that of a key of another service.
    pub fn parse(name: &str) -> (Self, &str) {
        for (key, own, family) in NAMES {
            let head = name.get(..own.len());
            if own.is_empty() || !head.is_some_and(|head| head.eq_ignore_ascii_case(own)) {
                continue;
            }
            let rest = &name[own.len()..];
            if rest.is_empty() != *family {
                return (*key, rest);
            }
        }
        (Self::Claim, name)
    }

    /// Its name as the user guide writes it, without that of a tag.
    pub fn name(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(_, name, _)| name)
    }

    /// The key of that number.
    pub fn of(number: u8) -> Self {
        let row = NAMES.get(usize::from(number));
        row.map_or(Self::Claim, |(key, ..)| *key)
    }

    /// Whether it has several values.
    pub fn is_set(self) -> bool {
        matches!(
            self,
            Self::InventoryFields
                | Self::TransitiveTagKeys
                | Self::RequestObjectTagKeys
                | Self::TagKeys
                | Self::PrincipalOrgPaths
                | Self::ResourceOrgPaths
                | Self::SourceOrgPaths
                | Self::CalledVia
                | Self::PrincipalServiceNamesList
        )
    }
}

impl<'a> Conditions<'a> {
    /// The value of a tag of a family, or of a claim. Keys of S3's tags have a case, those of IAM
    /// have none.
    pub(super) fn named(&self, key: Key, name: &str) -> Option<Found<'a>> {
        let (tags, need) = match key {
            Key::ExistingObjectTag => (self.existing_object_tags, Need::ExistingObjectTags),
            Key::RequestObjectTag => (self.request_object_tags, Need::RequestObjectTags),
            Key::ResourceTag | Key::BucketTag | Key::IamResourceTag => {
                (self.resource_tags, Need::ResourceTags)
            }
            Key::RequestTag => (self.request_tags, Need::RequestTags),
            Key::RequestObjectTagKeys => {
                return Some(keys(self.request_object_tags, Need::RequestObjectTags));
            }
            Key::TagKeys => return Some(keys(self.request_tags, Need::RequestTags)),
            Key::Claim => {
                // No provider of identities speaks for a service.
                let service = name.split_once(':').map_or("", |(service, _)| service);
                let mut services = ["aws", "s3", "iam", "sts", "kms"].iter();
                if services.any(|own| own.eq_ignore_ascii_case(service)) {
                    return Some(Found::Absent);
                }
                let mut claims = self.claims.iter();
                let claim = claims.find(|(own, _)| own.eq_ignore_ascii_case(name));
                return Some(claim.map_or(Found::Absent, |(_, values)| match values {
                    [one] => Found::One(Value::text(one)),
                    values => Found::Texts(values),
                }));
            }
            _ => return None,
        };
        let cased = matches!(key, Key::ExistingObjectTag | Key::RequestObjectTag);
        let unloaded = match types::planted("unloaded-tags-are-none") {
            true => Found::Absent,
            false => Found::NotLoaded(need),
        };
        Some(tags.map_or(unloaded, |tags| tag(tags, name, cased)))
    }
}

fn keys<'a>(tags: Option<Tags<'a>>, need: Need) -> Found<'a> {
    tags.map_or(Found::NotLoaded(need), Found::TagKeys)
}

/// The value of a tag.
pub(super) fn tag<'a>(tags: Tags<'a>, name: &str, cased: bool) -> Found<'a> {
    let mut tags = tags.iter().filter(|(own, _)| match cased {
        true => *own == name,
        false => own.eq_ignore_ascii_case(name),
    });
    match (tags.next(), tags.next()) {
        (None, _) => Found::Absent,
        (Some(_), Some(_)) if !types::planted("first-tag-counts") => Found::Ambiguous,
        (Some((_, value)), _) => Found::One(Value::text(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        Document, DocumentKind, Documents, Principal, Request, Target, UserRef, decide,
    };

    #[test]
    fn each_key_is_found_by_its_name_in_any_case() {
        for (n, (key, name, family)) in NAMES.iter().enumerate() {
            assert_eq!((*key as usize, Key::of(n as u8)), (n, *key));
            let tag = if *family { "Some/Tag" } else { "" };
            let name = [name, tag].concat().to_uppercase();
            assert_eq!(Key::parse(&name).0, *key, "{name}");
        }
        assert_eq!(
            Key::parse("AWS:principaltag/a/B"),
            (Key::PrincipalTag, "a/B")
        );
        assert_eq!(Key::parse("aws:PrincipalTag/").0, Key::Claim);
        assert_eq!(Key::parse("s3:prefix/").0, Key::Claim);
    }

    /// A decision by one of them, while the other is kept, would let a user give itself any tag.
    #[test]
    fn of_two_tags_with_one_key_none_allows_and_both_deny() {
        let statement = |effect: &str, operator: &str, value: &str| {
            format!(
                r#"{{"Effect": "{effect}", "Action": "s3:PutBucketTagging", "Resource": "*",
                    "Condition": {{"{operator}": {{"aws:RequestTag/dept": "{value}"}}}}}}"#
            )
        };
        let always = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
        let decides = |statements: &[&str], tags: Tags<'_>| {
            let text = statements.join(",");
            let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{text}]}}"#);
            let document = Document::parse(&text, DocumentKind::Identity).unwrap();
            let documents = Documents {
                owner: "123456789012",
                identity: std::slice::from_ref(&document),
                ..Documents::default()
            };
            let user = UserRef {
                path: "/",
                name: "anna",
                id: "AIDAEXAMPLE",
            };
            let account = "123456789012";
            let request = Request {
                principal: &Principal::User {
                    account,
                    user,
                    tags: &[],
                },
                action: crate::Action::PutBucketTagging.into(),
                target: Target::Bucket("photos"),
                conditions: &Conditions {
                    request_tags: Some(tags),
                    ..Conditions::default()
                },
            };
            decide(&request, &documents).is_allowed()
        };
        let (one, two) = ([("dept", "dev")], [("Dept", "dev"), ("dept", "ops")]);
        let swapped = [two[1], two[0]];
        let allow = statement("Allow", "StringEquals", "dev");
        assert!(decides(&[&allow], &one));
        for tags in [&two, &swapped] {
            assert!(!decides(&[&allow], tags));
            for operator in [
                "StringNotEquals",
                "StringEqualsIfExists",
                "ForAnyValue:StringLike",
            ] {
                let allow = statement("Allow", operator, "dev");
                assert!(!decides(&[&allow], tags), "{operator}");
                let deny = statement("Deny", operator, "dev");
                assert!(!decides(&[&deny, always], tags), "{operator}");
                // What allows by something else still does.
                assert!(decides(&[&allow, always], tags), "{operator}");
            }
            let absent = statement("Deny", "Null", "true");
            assert!(decides(&[&absent, always], tags));
        }
    }
}
