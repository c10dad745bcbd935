//! Requests that are signed for S3 and arrive at a listener that serves something else.

use bytes::Bytes;
use http::{HeaderMap, header};

use super::error;
use crate::fault::{Fault, FaultKind};

/// What to answer, with 400, to a request that is signed for S3 and arrived at this listener
/// instead: S3's error, which its clients show. `serves` says what the listener is for.
pub fn not_s3(headers: &HeaderMap, serves: &str) -> Option<Bytes> {
    let signed = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let text = format!(
        "This address serves {serves}, and not S3. The S3 endpoint has another port: `dhow env` \
         prints it on the machine of the region, and `dhow region list` for every region."
    );
    signed
        .contains("/s3/aws4_request")
        .then(|| error::document(&Fault::with(FaultKind::InvalidRequest, text)).into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_is_signed_for_s3_is_told_where_it_is() {
        let told = |scope: &str| {
            let value = format!("AWS4-HMAC-SHA256 Credential=A/20260101/r/{scope}/aws4_request");
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
            not_s3(&headers, "metrics").map(|body| String::from_utf8(body.to_vec()).unwrap())
        };
        assert!(told("s3").unwrap().contains("serves metrics, and not S3"));
        assert_eq!(told("dhow-admin"), None);
        assert_eq!(not_s3(&HeaderMap::new(), "metrics"), None);
    }
}
