//! The documents of a bucket at the S3 API: one table, one handler. A kind is read from what the
//! client sends into the form in which it is stored, which no dialect has, and written from that.

mod cors;
mod policy;
mod words;

use std::{pin::Pin, sync::Arc};

use access::{Action, refusal_by_block};
use http::{HeaderValue, Response, StatusCode, header};
use objects::{DocumentKind, Error};

pub use self::words::read_switches;
use super::xml;
use crate::{
    body::ResponseBody,
    call::{Answer, Call, Read},
    fault::{Fault, FaultKind},
};

/// One kind of document, as S3 has it (the pages of its operations in the S3 API reference).
struct Row {
    kind: DocumentKind,
    /// The operations that get, set and delete it, each with its action.
    get: (&'static str, Action),
    put: (&'static str, Action),
    delete: Option<(&'static str, Action)>,
    /// The document where none was ever set, and where it was deleted.
    unset: Unset,
    deleted: Unset,
    /// The answer to a change.
    done: StatusCode,
    codec: Codec,
    /// What policies ask of a new one, which only the body says.
    read: Option<fn(&[u8]) -> Read<'static>>,
}

/// What is answered where there is no document.
enum Unset {
    /// This error.
    Error(FaultKind),
    /// A document that is stored so.
    As(&'static [u8]),
}

/// How a document is read and written.
enum Codec {
    /// XML with this root.
    Xml {
        root: &'static str,
        read: fn(&xml::Element) -> Result<Vec<u8>, Fault>,
        write: fn(&[u8], &mut xml::XmlWriter) -> Result<(), Fault>,
    },
    /// JSON, which takes names from elsewhere.
    Json {
        read: for<'c> fn(&'c mut Call<'_>) -> Waits<'c, Vec<u8>>,
        write: for<'c> fn(&'c mut Call<'_>, Arc<[u8]>) -> Waits<'c, String>,
    },
}

/// What comes later.
type Waits<'c, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'c>>;

/// Each kind that clients can set.
static ROWS: &[Row] = &[
    Row {
        kind: DocumentKind::Policy,
        get: ("GetBucketPolicy", Action::GetBucketPolicy),
        put: ("PutBucketPolicy", Action::PutBucketPolicy),
        delete: Some(("DeleteBucketPolicy", Action::DeleteBucketPolicy)),
        unset: Unset::Error(FaultKind::NoSuchBucketPolicy),
        deleted: Unset::Error(FaultKind::NoSuchBucketPolicy),
        done: StatusCode::NO_CONTENT,
        codec: Codec::Json {
            read: policy::read,
            write: policy::write,
        },
        read: None,
    },
    Row {
        kind: DocumentKind::PublicAccessBlock,
        get: ("GetPublicAccessBlock", Action::GetBucketPublicAccessBlock),
        put: ("PutPublicAccessBlock", Action::PutBucketPublicAccessBlock),
        delete: Some((
            "DeletePublicAccessBlock",
            Action::PutBucketPublicAccessBlock,
        )),
        unset: Unset::As(&[0b1111]),
        deleted: Unset::Error(FaultKind::NoSuchPublicAccessBlockConfiguration),
        done: StatusCode::OK,
        codec: Codec::Xml {
            root: "PublicAccessBlockConfiguration",
            read: words::read_block,
            write: words::write_block,
        },
        read: None,
    },
    Row {
        kind: DocumentKind::Ownership,
        get: (
            "GetBucketOwnershipControls",
            Action::GetBucketOwnershipControls,
        ),
        put: (
            "PutBucketOwnershipControls",
            Action::PutBucketOwnershipControls,
        ),
        delete: Some((
            "DeleteBucketOwnershipControls",
            Action::PutBucketOwnershipControls,
        )),
        unset: Unset::As(&[0]),
        deleted: Unset::Error(FaultKind::OwnershipControlsNotFoundError),
        done: StatusCode::OK,
        codec: Codec::Xml {
            root: "OwnershipControls",
            read: words::read_ownership,
            write: words::write_ownership,
        },
        read: Some(words::ownership),
    },
    Row {
        kind: DocumentKind::Cors,
        get: ("GetBucketCors", Action::GetBucketCORS),
        put: ("PutBucketCors", Action::PutBucketCORS),
        delete: Some(("DeleteBucketCors", Action::PutBucketCORS)),
        unset: Unset::Error(FaultKind::NoSuchCORSConfiguration),
        deleted: Unset::Error(FaultKind::NoSuchCORSConfiguration),
        done: StatusCode::OK,
        codec: Codec::Xml {
            root: "CORSConfiguration",
            read: cors::read,
            write: cors::write,
        },
        read: None,
    },
    Row {
        kind: DocumentKind::RequestPayment,
        get: ("GetBucketRequestPayment", Action::GetBucketRequestPayment),
        put: ("PutBucketRequestPayment", Action::PutBucketRequestPayment),
        delete: None,
        unset: Unset::As(&[0]),
        deleted: Unset::As(&[0]),
        done: StatusCode::OK,
        codec: Codec::Xml {
            root: "RequestPaymentConfiguration",
            read: words::read_payer,
            write: words::write_payer,
        },
        read: None,
    },
    Row {
        kind: DocumentKind::Accelerate,
        get: (
            "GetBucketAccelerateConfiguration",
            Action::GetAccelerateConfiguration,
        ),
        put: (
            "PutBucketAccelerateConfiguration",
            Action::PutAccelerateConfiguration,
        ),
        delete: None,
        unset: Unset::As(&[]),
        deleted: Unset::As(&[]),
        done: StatusCode::OK,
        codec: Codec::Xml {
            root: "AccelerateConfiguration",
            read: words::read_accelerate,
            write: words::write_accelerate,
        },
        read: None,
    },
];

/// What an operation does with its document.
enum Verb {
    Get,
    Put,
    Delete,
}

fn find(operation: &str) -> Option<(&'static Row, Action, Verb)> {
    ROWS.iter().find_map(|row| {
        let delete = row.delete.filter(|(name, _)| *name == operation);
        match operation {
            name if name == row.get.0 => Some((row, row.get.1, Verb::Get)),
            name if name == row.put.0 => Some((row, row.put.1, Verb::Put)),
            _ => delete.map(|(_, action)| (row, action, Verb::Delete)),
        }
    })
}

/// Whether the operation gets, sets or deletes one of these documents.
pub(super) fn has(operation: &str) -> bool {
    operation == policy::STATUS || find(operation).is_some()
}

/// Answers such an operation.
pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    if call.operation.name == policy::STATUS {
        return policy::status(call).await;
    }
    let Some((row, action, verb)) = find(call.operation.name) else {
        return Err(Fault::not_implemented(call.operation.name));
    };
    let bytes: Option<Arc<[u8]>> = match verb {
        Verb::Get => return get(call, row, action).await,
        Verb::Delete => None,
        Verb::Put => Some(Arc::from(match &row.codec {
            Codec::Xml { root, read, .. } => read(&call.read_xml(&[root]).await?)?,
            Codec::Json { read, .. } => read(call).await?,
        })),
    };
    if let (Some(read), Some(bytes)) = (row.read, &bytes) {
        call.permit_read(None, read(bytes)).await?;
    }
    let done = match bytes {
        Some(_) => row.done,
        None => StatusCode::NO_CONTENT,
    };
    set(call, action, (row.kind, bytes)).await?;
    Ok(call.empty(done))
}

/// Sets a document, or with `None` deletes it.
pub(super) async fn set(
    call: &mut Call<'_>,
    action: Action,
    document: (DocumentKind, Option<Arc<[u8]>>),
) -> Result<(), Fault> {
    let block = call.gateway.keys.account_block(&call.deed()?.owner);
    let objects = &call.gateway.objects;
    match objects
        .set_document(&call.permit, action, document, block)
        .await
    {
        Err(Error::PublicPolicy | Error::PublicList) => Err(public(call)),
        other => Ok(other?),
    }
}

async fn get(call: &mut Call<'_>, row: &Row, action: Action) -> Answer {
    let objects = &call.gateway.objects;
    let found = objects.document(&call.permit, action, row.kind).await?;
    let unset = match &found {
        None => &row.unset,
        Some(_) => &row.deleted,
    };
    let bytes = match (found.and_then(|document| document.bytes), unset) {
        (Some(bytes), _) => bytes,
        (None, Unset::As(bytes)) => Arc::from(*bytes),
        (None, Unset::Error(code)) => return Err((*code).into()),
    };
    match &row.codec {
        Codec::Xml { root, write, .. } => {
            let mut xml = xml::XmlWriter::document(root, 320 + 2 * bytes.len());
            write(&bytes, &mut xml)?;
            Ok(call.xml(xml.finish(root)))
        }
        Codec::Json { write, .. } => {
            let text = write(call, bytes).await?;
            let mut answer = Response::new(ResponseBody::full(text));
            let json = HeaderValue::from_static("application/json");
            answer.headers_mut().insert(header::CONTENT_TYPE, json);
            Ok(answer)
        }
    }
}

/// The answer to a client whose list or policy grants public access, where that is refused.
pub(crate) fn public(call: &Call<'_>) -> Fault {
    let identity = call.permit.identity();
    let own = identity.may_learn_why(call.permit.deed().map(|deed| &**deed));
    let key = call.key.as_ref();
    match (own, call.bucket.as_ref()) {
        (true, Some(bucket)) => {
            match refusal_by_block(identity, call.permit.action(), (bucket, key)) {
                Some(text) => Fault::with(FaultKind::AccessDenied, text),
                None => FaultKind::AccessDenied.into(),
            }
        }
        _ => FaultKind::AccessDenied.into(),
    }
}

fn malformed() -> Fault {
    FaultKind::MalformedXML.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{OPERATIONS, Status};

    #[test]
    fn every_row_is_of_operations_in_the_table_with_the_same_action() {
        for row in ROWS {
            let all = [Some(row.get), Some(row.put), row.delete];
            for (name, action) in all.into_iter().flatten() {
                let operation = OPERATIONS.iter().find(|o| o.name == name).unwrap();
                assert_eq!(operation.action, Some(action), "{name}");
                assert_eq!(operation.status, Status::Works, "{name}");
            }
        }
        for row in DocumentKind::rows() {
            // Lists also come in headers.
            let has = row.kind == DocumentKind::List || ROWS.iter().any(|r| r.kind == row.kind);
            assert!(has, "{}", row.name);
        }
    }
}
