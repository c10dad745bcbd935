//! What is refused when it is written, and where.

use access::policy::{Document, DocumentKind, PolicyFault};

use crate::common::BUCKET;

fn refused(
    text: &str,
    kind: DocumentKind<'_>,
    message: &str,
    place: (Option<usize>, usize, usize),
) {
    let error = match Document::parse(text, kind) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error,
    };
    assert_eq!(error.message(), message, "{text}");
    let (line, column) = (error.line().unwrap_or(0), error.column().unwrap_or(0));
    assert_eq!((error.statement(), line, column), place, "{text} {error}");
    assert_eq!(error.fault(), PolicyFault::Malformed);
}

/// In a bucket's policy, all on one line.
fn of_bucket(text: &str, message: &str, statement: impl Into<Option<usize>>, column: usize) {
    let place = (statement.into(), 1, column);
    refused(text, DocumentKind::Bucket(BUCKET), message, place);
}

const NOT_JSON: &str = "Policies must be valid JSON and the first byte must be '{'";

#[test]
fn documents_that_are_none_are_refused_where_they_are_wrong() {
    for (text, message, column) in [
        ("", NOT_JSON, 1),
        ("[]", NOT_JSON, 1),
        (" {}", NOT_JSON, 1),
        ("{\"Statement\": [}", NOT_JSON, 16),
        ("{}", "Missing required field Statement", 1),
        (
            "{\"Statement\": []}",
            "Missing required field Statement",
            15,
        ),
        (
            "{\"Version\": \"2012-10-17\", \"Version\": 1}",
            NOT_JSON,
            27,
        ),
        (
            "{\"Version\": \"2013-10-17\"}",
            "The policy must contain a valid version string",
            13,
        ),
        ("{\"version\": \"2012-10-17\"}", "Unknown field version", 2),
        ("{\"Id\": 1}", "Unknown field Id", 2),
    ] {
        of_bucket(text, message, None, column);
    }
}

#[test]
fn lines_and_statements_are_counted() {
    let text = "{\n  \"Statement\": [\n    {\"Effect\": \"Allow\", \"Principal\": \"*\",\n      \
                \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::photos/*\"},\n    \
                {\"Sid\": \"é\", \"Effect\": \"allow\"}\n  ]\n}\n";
    let kind = DocumentKind::Bucket(BUCKET);
    refused(text, kind, "Invalid effect: allow", (Some(2), 5, 28));
}
