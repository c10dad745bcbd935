//! Headers that ask for what is not there yet. None is ignored: a client that asked for
//! encryption, a lock or a public ACL must not believe that it got it.

use http::HeaderMap;

use super::{ErrorCode, S3Error};

/// Whole families of headers that are not there yet.
const FAMILIES: &[&str] = &[
    "x-amz-grant-",
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-object-lock-",
];

/// Single headers that are not there yet.
const SINGLE: &[&str] = &[
    "x-amz-bucket-object-lock-enabled",
    "x-amz-bypass-governance-retention",
    "x-amz-confirm-remove-self-bucket-access",
    "x-amz-fwd-status",
    "x-amz-if-match-initiated-time",
    "x-amz-if-match-last-modified-time",
    "x-amz-if-match-size",
    "x-amz-mfa",
    "x-amz-rename-source",
    "x-amz-request-payer",
    "x-amz-restore-output-path",
    "x-amz-security-token-policy",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
];

/// Refuses a request that asks for what is not there yet, naming the header.
pub fn check(headers: &HeaderMap) -> Result<(), S3Error> {
    for (name, value) in headers {
        let name = name.as_str();
        // Nearly every header of a GET fails the first comparison.
        let Some(rest) = name.strip_prefix("x-amz-") else {
            continue;
        };
        if rest.starts_with("meta-") {
            continue;
        }
        let fine = match rest {
            "acl" => value == "private",
            "storage-class" if value == "STANDARD" => true,
            "storage-class" => {
                return Err(S3Error::new(ErrorCode::InvalidStorageClass).detail(
                    "StorageClassRequested",
                    String::from_utf8_lossy(value.as_bytes()),
                ));
            }
            "object-ownership" => value == "BucketOwnerEnforced",
            "server-side-encryption-bucket-key-enabled" => value == "false",
            _ => !SINGLE.contains(&name) && !FAMILIES.iter().any(|family| name.starts_with(family)),
        };
        if !fine {
            return Err(S3Error::not_implemented(name).detail("Header", name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_is_not_there_is_named_not_ignored() {
        for (name, value, code) in [
            ("x-amz-acl", "private", None),
            ("x-amz-acl", "public-read", Some("NotImplemented")),
            ("x-amz-grant-read", "id=1", Some("NotImplemented")),
            (
                "x-amz-server-side-encryption",
                "AES256",
                Some("NotImplemented"),
            ),
            (
                "x-amz-server-side-encryption-customer-key",
                "x",
                Some("NotImplemented"),
            ),
            (
                "x-amz-object-lock-mode",
                "COMPLIANCE",
                Some("NotImplemented"),
            ),
            ("x-amz-storage-class", "STANDARD", None),
            (
                "x-amz-storage-class",
                "GLACIER",
                Some("InvalidStorageClass"),
            ),
            ("x-amz-request-payer", "requester", Some("NotImplemented")),
            ("x-amz-meta-x-amz-acl", "public-read", None),
            ("x-amz-date", "20151021T072800Z", None),
            ("x-amz-copy-source", "/b/k", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            let found = check(&headers).err().map(|e| e.code.name());
            assert_eq!(found, code, "{name}: {value}");
        }
    }
}
