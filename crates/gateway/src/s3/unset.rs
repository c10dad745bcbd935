//! Documents of a bucket or an object that nobody can set yet: what S3 answers where none is set.
//! Tools read them before they do anything else; Terraform takes a refusal by name for a fault. A
//! document that says what holds anyway is taken; one that says anything else is refused with it.

use http::StatusCode;
use objects::ReadConditions;

use super::{
    object_headers,
    xml::{Element, XmlWriter},
};
use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    operations::Resource,
};

/// What is answered (the pages of these operations in the S3 API reference).
enum WhenUnset {
    /// The code for "there is none".
    None(FaultKind),
    /// A document of this root, with this inside.
    Document(&'static str, &'static str),
    /// Nothing: what is to be deleted is not there.
    Gone,
    /// Success for a document of this root, if this finds in it only what holds anyway.
    Holds(&'static str, fn(&Element) -> Result<(), Fault>),
}

const LAST_PAGE: &str = "<IsTruncated>false</IsTruncated>";

fn answer(operation: &str) -> Option<WhenUnset> {
    use FaultKind as C;
    use WhenUnset as A;
    Some(match operation {
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
        "PutBucketNotificationConfiguration" => A::Holds("NotificationConfiguration", nothing),
        "PutBucketLogging" => A::Holds("BucketLoggingStatus", nothing),
        "PutBucketAbac" => A::Holds("AbacStatus", |root| {
            says(root, "Status", "Disabled", &["Enabled"])
        }),
        _ => return None,
    })
}

/// Answers an operation whose documents cannot be set yet.
pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let Some(answer) = answer(call.operation.name) else {
        return Err(Fault::not_implemented(call.operation.name));
    };
    if call.operation.resource == Resource::Object {
        // There are none of what is not there.
        let key = call.object_key()?.clone();
        let version = object_headers::version(call)?;
        let objects = &call.gateway.objects;
        let any = ReadConditions::default();
        objects.attributes(&call.permit, &key, version, any).await?;
    }
    match answer {
        WhenUnset::None(code) => Err(code.into()),
        WhenUnset::Gone => Ok(call.empty(StatusCode::NO_CONTENT)),
        WhenUnset::Document(root, inner) => {
            let mut xml = XmlWriter::document(root, 320 + inner.len());
            xml.raw(inner);
            Ok(call.xml(xml.finish(root)))
        }
        WhenUnset::Holds(root, holds) => {
            holds(&call.read_xml(&[root]).await?)?;
            Ok(call.empty(StatusCode::OK))
        }
    }
}

/// What a document asks for, and is not there.
fn refused(element: &str, value: &str) -> Fault {
    let what = match value {
        "" => element.to_owned(),
        _ => format!("{element} {value}"),
    };
    Fault::not_implemented(&what).detail("Element", element)
}

fn malformed() -> Fault {
    FaultKind::MalformedXML.into()
}

/// A document that sets nothing.
fn nothing(root: &Element) -> Result<(), Fault> {
    match root.children.first() {
        None => Ok(()),
        Some(child) => Err(refused(&child.name, "")),
    }
}

/// A document of one word: the one that holds, one that S3 has, or another.
fn says(root: &Element, name: &str, holds: &str, others: &[&str]) -> Result<(), Fault> {
    root.only(&[name])?;
    match root.required(name)?.trim() {
        word if word == holds => Ok(()),
        word if others.contains(&word) => Err(refused(name, word)),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        operations::{OPERATIONS, Status},
        s3::xml,
    };

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
        let Some(WhenUnset::Holds(root, holds)) = answer(operation) else {
            panic!("{operation} takes no document");
        };
        let text = format!("<{root}>{inner}</{root}>");
        let error = match holds(&xml::parse(text.as_bytes(), &[root]).unwrap()) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let said = error.message.as_deref().unwrap_or_default();
        let what = said.split(" is not").next().unwrap_or_default();
        Err(format!("{} {what}", error.kind.name()).trim().to_owned())
    }

    #[test]
    fn a_document_that_says_what_holds_is_taken_and_no_other() {
        for (operation, inner, refused) in [
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
}
