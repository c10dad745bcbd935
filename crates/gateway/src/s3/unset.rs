//! Documents of a bucket or an object that nobody can set yet: what S3 answers where none is set.
//! Tools read them before they do anything else; Terraform takes a refusal by name for a fault.

use http::StatusCode;

use super::{ErrorCode, S3Call, S3Result, listing, object_headers, xml::XmlWriter};
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
}

const BLOCKED: &str = "<BlockPublicAcls>true</BlockPublicAcls>\
    <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
    <RestrictPublicBuckets>true</RestrictPublicBuckets>";
const OWNED: &str = "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>";
const LAST_PAGE: &str = "<IsTruncated>false</IsTruncated>";

fn answer(operation: &str) -> Option<Answer> {
    use Answer as A;
    use ErrorCode as C;
    Some(match operation {
        "GetBucketAcl" | "GetObjectAcl" => A::Acl,
        "GetBucketPolicy" | "GetBucketPolicyStatus" => A::None(C::NoSuchBucketPolicy),
        "GetPublicAccessBlock" => A::Document("PublicAccessBlockConfiguration", BLOCKED),
        "GetBucketOwnershipControls" => A::Document("OwnershipControls", OWNED),
        "GetBucketCors" => A::None(C::NoSuchCORSConfiguration),
        // Objects are not encrypted at rest. S3 says this of a bucket made before 2023.
        "GetBucketEncryption" => A::None(C::ServerSideEncryptionConfigurationNotFoundError),
        "GetBucketLifecycleConfiguration" => A::None(C::NoSuchLifecycleConfiguration),
        "GetBucketWebsite" => A::None(C::NoSuchWebsiteConfiguration),
        "GetBucketNotificationConfiguration" => A::Document("NotificationConfiguration", ""),
        "GetBucketLogging" => A::Document("BucketLoggingStatus", ""),
        "GetBucketRequestPayment" => {
            A::Document("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>")
        }
        "GetBucketAccelerateConfiguration" => A::Document("AccelerateConfiguration", ""),
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
        "DeleteBucketPolicy"
        | "DeleteBucketCors"
        | "DeleteBucketEncryption"
        | "DeleteBucketLifecycle"
        | "DeleteBucketWebsite" => A::Gone,
        _ => return None,
    })
}

/// Answers an operation whose documents cannot be set yet.
pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let Some(answer) = answer(call.operation.name) else {
        return Err(super::S3Error::not_implemented(call.operation.name));
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
}
