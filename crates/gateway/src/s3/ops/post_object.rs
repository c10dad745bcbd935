//! PostObject: an upload by an HTML form. A request that is no form ends here; a form's fields
//! decide what the answer to a stored object is.

use http::{Response, StatusCode, header};
use objects::{PutInput, WriteConditions};

use crate::{
    body::ResponseBody,
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    s3::{headers, lists, multipart, object_headers, xml::XmlWriter},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let Some(form) = call.form.take() else {
        return Err(Fault::new(FaultKind::PreconditionFailed).detail(
            "Condition",
            "Bucket POST must be of the enclosure-type multipart/form-data",
        ));
    };
    let key = call.object_key()?.clone();
    let mut attributes = object_headers::attributes(call)?;
    attributes.set_list(lists::of_new(call)?.as_ref());
    let input = PutInput {
        attributes,
        md5: multipart::content_md5(call)?,
        checksum: multipart::checksum(call)?,
        trailer: None,
        conditions: WriteConditions::default(),
        body: call.take_body(),
    };
    let put = call.gateway.objects.put(&call.permit, &key, input).await;
    // Of a file that the form itself forbids, `objects` only knows that it ended early.
    let put = put.map_err(|error| form.fault.get().cloned().unwrap_or_else(|| error.into()))?;
    let stored = Stored {
        redirect: form.redirect.as_deref(),
        status: form.status.as_deref(),
        location: &object_headers::location(call, &key)?,
        bucket: &call.deed()?.name,
        key: &key,
        etag: &put.etag.quoted(),
    };
    let mut answer = stored.answer()?;
    object_headers::write_checksum(answer.headers_mut(), put.checksum)?;
    object_headers::write_version(answer.headers_mut(), put.version)?;
    Ok(answer)
}

/// What a form asked to be answered, and with what.
pub(crate) struct Stored<'a> {
    /// `success_action_redirect`.
    pub(crate) redirect: Option<&'a str>,
    /// `success_action_status`.
    pub(crate) status: Option<&'a str>,
    /// Where the object is now.
    pub(crate) location: &'a str,
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    /// In quotes.
    pub(crate) etag: &'a str,
}

impl Stored<'_> {
    /// 303 to the redirect if it is a web address, or else the status that was asked for; 204 by
    /// default and for statuses that S3 does not know.
    pub(crate) fn answer(&self) -> Answer {
        let mut answer = match (self.redirect_target(), self.status) {
            (Some(target), _) => {
                let mut answer = with_status(StatusCode::SEE_OTHER, ResponseBody::Empty);
                headers::set(answer.headers_mut(), header::LOCATION, &target)?;
                return Ok(answer);
            }
            (None, Some("200")) => with_status(StatusCode::OK, ResponseBody::Empty),
            (None, Some("201")) => {
                let body = ResponseBody::full(self.document());
                let mut answer = with_status(StatusCode::CREATED, body);
                headers::set_xml(answer.headers_mut());
                answer
            }
            (None, _) => with_status(StatusCode::NO_CONTENT, ResponseBody::Empty),
        };
        headers::set(answer.headers_mut(), header::LOCATION, self.location)?;
        headers::set(answer.headers_mut(), header::ETAG, self.etag)?;
        Ok(answer)
    }

    fn redirect_target(&self) -> Option<String> {
        let target = self.redirect?;
        let uri: http::Uri = target.parse().ok()?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return None;
        }
        let join = if uri.query().is_some() { '&' } else { '?' };
        let encode = access::sign::encode;
        Some(format!(
            "{target}{join}bucket={}&key={}&etag={}",
            encode(self.bucket),
            encode(self.key),
            encode(self.etag)
        ))
    }

    fn document(&self) -> Vec<u8> {
        let mut xml = XmlWriter::new(256);
        xml.open("PostResponse")
            .element("Location", self.location)
            .element("Bucket", self.bucket)
            .element("Key", self.key)
            .element("ETag", self.etag);
        xml.finish("PostResponse")
    }
}

fn with_status(status: StatusCode, body: ResponseBody) -> Response<ResponseBody> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(redirect: Option<&str>, status: Option<&str>) -> (u16, String, u64) {
        let stored = Stored {
            redirect,
            status,
            location: "http://h/bkt/a%20b",
            bucket: "bkt",
            key: "a b",
            etag: "\"e\"",
        };
        let answer = stored.answer().unwrap();
        let location = answer.headers()[header::LOCATION]
            .to_str()
            .unwrap()
            .to_owned();
        (answer.status().as_u16(), location, answer.body().len())
    }

    #[test]
    fn the_form_decides_the_answer() {
        let here = "http://h/bkt/a%20b".to_owned();
        assert_eq!(answer(None, None), (204, here.clone(), 0));
        assert_eq!(answer(None, Some("200")), (200, here.clone(), 0));
        assert_eq!(answer(None, Some("999")), (204, here.clone(), 0));
        let (status, location, len) = answer(None, Some("201"));
        assert!(status == 201 && location == here && len > 100);
        let (status, location, _) = answer(Some("https://x.example/done?a=1"), Some("201"));
        assert_eq!(status, 303);
        let expected = "https://x.example/done?a=1&bucket=bkt&key=a%20b&etag=%22e%22";
        assert_eq!(location, expected);
    }

    #[test]
    fn s27_a_redirect_is_a_web_address_or_nothing() {
        for bad in [
            "javascript:alert(1)",
            "/relative",
            "http://x/\r\nset-cookie: a=b",
            "",
        ] {
            assert_eq!(answer(Some(bad), None).0, 204, "{bad}");
        }
    }
}
