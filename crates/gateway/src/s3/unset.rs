//! Documents of a bucket or an object that nobody can set yet: what S3 answers where none is set.
//! Tools read them before they do anything else; Terraform takes a refusal by name for a fault. A
//! document that says what holds anyway is taken; one that says anything else is refused with it.

use http::StatusCode;

use super::{
    ErrorCode, S3Call, S3Error, S3Result, listing, object_headers,
    xml::{self, Element, XmlWriter},
};
use crate::operations::Resource;

/// What is answered (the pages of these operations in the S3 API reference).
enum Answer {
    /// The code for "there is none".
    None(ErrorCode),
    /// A document of this root, with this inside.
    Document(&'static str, &'static str),
    /// Nothing: what is to be deleted is not there.
    Gone,
    /// The owner, and that only the owner has access.
    Acl,
    /// Success for a document of this root, if this finds in it only what holds anyway.
    Holds(&'static str, fn(&Element) -> Result<(), S3Error>),
    /// Success for the owner's full access, and no other.
    HoldsAcl,
}

const OWNED: &str = "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>";
const LAST_PAGE: &str = "<IsTruncated>false</IsTruncated>";

fn answer(operation: &str) -> Option<Answer> {
    use Answer as A;
    use ErrorCode as C;
    Some(match operation {
        "GetBucketAcl" | "GetObjectAcl" => A::Acl,
        "GetBucketOwnershipControls" => A::Document("OwnershipControls", OWNED),
        // Objects are not encrypted at rest. S3 says this of a bucket made before 2023.
        "GetBucketEncryption" => A::None(C::ServerSideEncryptionConfigurationNotFoundError),
        "GetBucketLifecycleConfiguration" => A::None(C::NoSuchLifecycleConfiguration),
        "GetBucketWebsite" => A::None(C::NoSuchWebsiteConfiguration),
        "GetBucketNotificationConfiguration" => A::Document("NotificationConfiguration", ""),
        "GetBucketLogging" => A::Document("BucketLoggingStatus", ""),
        "GetBucketAbac" => A::Document("AbacStatus", "<Status>Disabled</Status>"),
        "GetObjectLockConfiguration" => A::None(C::ObjectLockConfigurationNotFoundError),
        "GetObjectRetention" | "GetObjectLegalHold" => A::None(C::NoSuchObjectLockConfiguration),
        "ListBucketAnalyticsConfigurations" => {
            A::Document("ListBucketAnalyticsConfigurationResult", LAST_PAGE)
        }
        "ListBucketIntelligentTieringConfigurations" => A::Document(
            "ListBucketIntelligentTieringConfigurationsOutput",
            LAST_PAGE,
        ),
        "ListBucketInventoryConfigurations" => {
            A::Document("ListInventoryConfigurationsResult", LAST_PAGE)
        }
        "ListBucketMetricsConfigurations" => {
            A::Document("ListMetricsConfigurationsResult", LAST_PAGE)
        }
        "GetBucketAnalyticsConfiguration"
        | "GetBucketIntelligentTieringConfiguration"
        | "GetBucketInventoryConfiguration"
        | "GetBucketMetricsConfiguration" => A::None(C::NoSuchConfiguration),
        "DeleteBucketEncryption" | "DeleteBucketLifecycle" | "DeleteBucketWebsite" => A::Gone,
        "DeleteBucketAnalyticsConfiguration"
        | "DeleteBucketIntelligentTieringConfiguration"
        | "DeleteBucketInventoryConfiguration"
        | "DeleteBucketMetricsConfiguration" => A::None(C::NoSuchConfiguration),
        "PutBucketAcl" | "PutObjectAcl" => A::HoldsAcl,
        "PutBucketOwnershipControls" => A::Holds("OwnershipControls", enforced),
        "PutBucketNotificationConfiguration" => A::Holds("NotificationConfiguration", nothing),
        "PutBucketLogging" => A::Holds("BucketLoggingStatus", nothing),
        "PutBucketAbac" => A::Holds("AbacStatus", |root| {
            says(root, "Status", "Disabled", &["Enabled"])
        }),
        _ => return None,
    })
}

/// Answers an operation whose documents cannot be set yet.
pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let Some(answer) = answer(call.operation.name) else {
        return Err(S3Error::not_implemented(call.operation.name));
    };
    if call.operation.resource == Resource::Object {
        // There are none of what is not there.
        let key = call.object_key()?.clone();
        let version = object_headers::version(call)?;
        let objects = &call.gateway.objects;
        objects.attributes(&call.permit, &key, version).await?;
    }
    match answer {
        Answer::None(code) => Err(code.into()),
        Answer::Gone => Ok(call.empty(StatusCode::NO_CONTENT)),
        Answer::Document(root, inner) => {
            let mut xml = XmlWriter::document(root, 320 + inner.len());
            xml.raw(inner);
            Ok(call.xml(xml.finish(root)))
        }
        Answer::Acl => acl(call),
        Answer::Holds(root, holds) => {
            holds(&call.read_xml(&[root]).await?)?;
            Ok(call.empty(StatusCode::OK))
        }
        Answer::HoldsAcl => {
            // A canned ACL was looked at with the other headers.
            let canned = call.headers.contains_key("x-amz-acl");
            let body = call.read_body().await?;
            match (canned, body.is_empty()) {
                (true, true) => {}
                (true, false) => {
                    let text = "Specifying both Canned ACLs and Header Grants is not allowed";
                    return Err(S3Error::with(ErrorCode::InvalidRequest, text));
                }
                (false, true) => {
                    let text = "Your request was missing a required header";
                    let error = S3Error::with(ErrorCode::MissingSecurityHeader, text);
                    return Err(error.detail("MissingHeaderName", "x-amz-acl"));
                }
                (false, false) => {
                    let root = xml::parse(&body, &["AccessControlPolicy"])?;
                    owner_alone(&root, &call.deed()?.owner)?;
                }
            }
            Ok(call.empty(StatusCode::OK))
        }
    }
}

/// What a document asks for, and is not there.
fn refused(element: &str, value: &str) -> S3Error {
    let what = match value {
        "" => element.to_owned(),
        _ => format!("{element} {value}"),
    };
    S3Error::not_implemented(&what).detail("Element", element)
}

fn malformed() -> S3Error {
    ErrorCode::MalformedXML.into()
}

/// A document that sets nothing.
fn nothing(root: &Element) -> Result<(), S3Error> {
    match root.children.first() {
        None => Ok(()),
        Some(child) => Err(refused(&child.name, "")),
    }
}

/// A document of one word: the one that holds, one that S3 has, or another.
fn says(root: &Element, name: &str, holds: &str, others: &[&str]) -> Result<(), S3Error> {
    root.only(&[name])?;
    match root.required(name)?.trim() {
        word if word == holds => Ok(()),
        word if others.contains(&word) => Err(refused(name, word)),
        _ => Err(malformed()),
    }
}

fn enforced(root: &Element) -> Result<(), S3Error> {
    root.only(&["Rule"])?;
    let rule = root.one("Rule")?.ok_or_else(malformed)?;
    let others = ["BucketOwnerPreferred", "ObjectWriter"];
    says(rule, "ObjectOwnership", "BucketOwnerEnforced", &others)
}

/// An ACL that gives the owner full control, and nobody anything else.
fn owner_alone(root: &Element, owner: &str) -> Result<(), S3Error> {
    root.only(&["Owner", "AccessControlList"])?;
    if let Some(named) = root.one("Owner")?
        && named.required("ID")?.trim() != owner
    {
        return Err(ErrorCode::AccessDenied.into());
    }
    let list = root.one("AccessControlList")?.ok_or_else(malformed)?;
    list.only(&["Grant"])?;
    let mut full = false;
    for grant in list.all("Grant") {
        grant.only(&["Grantee", "Permission"])?;
        let permission = grant.required("Permission")?.trim();
        let grantee = grant.one("Grantee")?.ok_or_else(malformed)?;
        let id = grantee.text_of("ID")?.map(str::trim);
        match (permission, id) {
            ("FULL_CONTROL", Some(id)) if id == owner => full = true,
            ("FULL_CONTROL" | "READ" | "WRITE" | "READ_ACP" | "WRITE_ACP", Some(id))
                if id == owner => {}
            ("FULL_CONTROL" | "READ" | "WRITE" | "READ_ACP" | "WRITE_ACP", _) => {
                return Err(refused("Grant", permission));
            }
            _ => return Err(malformed()),
        }
    }
    match full {
        true => Ok(()),
        // The owner would lose access.
        false => Err(refused(
            "AccessControlList",
            "without FULL_CONTROL of the owner",
        )),
    }
}

fn acl(call: &S3Call<'_>) -> S3Result {
    let owner = &call.deed()?.owner;
    let mut xml = XmlWriter::document("AccessControlPolicy", 640);
    listing::owner(&mut xml, "Owner", owner);
    xml.open("AccessControlList").open("Grant");
    xml.raw(
        "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:type=\"CanonicalUser\">",
    );
    xml.element("ID", owner).element("DisplayName", owner);
    xml.close("Grantee").element("Permission", "FULL_CONTROL");
    xml.close("Grant").close("AccessControlList");
    Ok(call.xml(xml.finish("AccessControlPolicy")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{OPERATIONS, Status};

    #[test]
    fn every_operation_without_documents_has_an_answer_and_no_other() {
        for operation in OPERATIONS {
            let unset = operation.status == Status::Unset;
            assert_eq!(
                answer(operation.name).is_some(),
                unset,
                "{}",
                operation.name
            );
        }
    }

    fn put(operation: &str, inner: &str) -> Result<(), String> {
        let Some(Answer::Holds(root, holds)) = answer(operation) else {
            panic!("{operation} takes no document");
        };
        let text = format!("<{root}>{inner}</{root}>");
        let error = match holds(&xml::parse(text.as_bytes(), &[root]).unwrap()) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let said = error.message.as_deref().unwrap_or_default();
        let what = said.split(" is not").next().unwrap_or_default();
        Err(format!("{} {what}", error.code.name()).trim().to_owned())
    }

    #[test]
    fn a_document_that_says_what_holds_is_taken_and_no_other() {
        let preferred = OWNED.replace("BucketOwnerEnforced", "BucketOwnerPreferred");
        for (operation, inner, refused) in [
            ("PutBucketOwnershipControls", OWNED, None),
            (
                "PutBucketOwnershipControls",
                &preferred,
                Some("NotImplemented ObjectOwnership BucketOwnerPreferred"),
            ),
            ("PutBucketOwnershipControls", "", Some("MalformedXML")),
            ("PutBucketAbac", "<Status>Disabled</Status>", None),
            ("PutBucketLogging", "", None),
            (
                "PutBucketLogging",
                "<LoggingEnabled/>",
                Some("NotImplemented LoggingEnabled"),
            ),
            ("PutBucketNotificationConfiguration", "", None),
            (
                "PutBucketNotificationConfiguration",
                "<EventBridgeConfiguration/>",
                Some("NotImplemented EventBridgeConfiguration"),
            ),
        ] {
            let found = put(operation, inner);
            assert_eq!(found.err().as_deref(), refused, "{operation} {inner}");
        }
    }

    #[test]
    fn an_acl_gives_the_owner_all_and_nobody_anything() {
        let grant = |id: &str, permission: &str| {
            format!("<Grant><Grantee>{id}</Grantee><Permission>{permission}</Permission></Grant>")
        };
        let (me, all) = (
            "<ID>1</ID>",
            "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>",
        );
        let put = |grants: &str| {
            let text = format!(
                "<AccessControlPolicy><Owner><ID>1</ID></Owner><AccessControlList>{grants}\
                 </AccessControlList></AccessControlPolicy>"
            );
            let root = xml::parse(text.as_bytes(), &["AccessControlPolicy"]).unwrap();
            owner_alone(&root, "1").map_err(|error| error.code.name())
        };
        let mine = grant(me, "FULL_CONTROL");
        assert_eq!(put(&mine), Ok(()));
        assert_eq!(put(&(mine.clone() + &grant(me, "READ"))), Ok(()));
        assert_eq!(
            put(&(mine.clone() + &grant(all, "READ"))),
            Err("NotImplemented")
        );
        assert_eq!(
            put(&(mine + &grant("<ID>2</ID>", "READ"))),
            Err("NotImplemented")
        );
        assert_eq!(put(&grant(me, "READ")), Err("NotImplemented"));
        assert_eq!(put(""), Err("NotImplemented"));
        assert_eq!(put(&grant(me, "ALL")), Err("MalformedXML"));
    }
}
