//! GetObject: a version of an object, or a range or part of it.

use access::Permit;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use objects::{
    GetRequest, ObjectContent, ObjectInfo, ObjectReader, ObjectView, RangeSpec, Replicas,
    ReplicationStatus,
};
use types::{BucketDeed, ObjectKey};

use crate::{
    body::{NextPiece, ObjectStream, ResponseBody, WhenEnded},
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    s3::{
        headers::{self, names},
        object_headers,
    },
    server::Gateway,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let request = request(call)?;
    let overrides = overrides(call)?;
    let view = call.gateway.objects.get(&call.permit, &key, &request).await;
    let mut view = view.map_err(|error| refused(call, error))?;
    let body = match view.content.take() {
        None => ResponseBody::Empty,
        Some(ObjectContent::Bytes(bytes)) => ResponseBody::full(bytes),
        Some(ObjectContent::Reader(reader)) => {
            ResponseBody::stream(view.len(), Box::new(Content(reader)))
        }
    };
    let replication = replication(call.gateway, &call.permit, &key, &view.info).await?;
    answer(call, &request, &view, overrides, replication, body)
}

/// Says which range was asked for, where it is not there.
pub(super) fn refused(call: &Call<'_>, error: objects::Error) -> Fault {
    let outside = matches!(error, objects::Error::InvalidRange { .. });
    let error = Fault::from(error);
    match call.header(&header::RANGE) {
        Ok(Some(range)) if outside => error.detail("RangeRequested", range),
        _ => error,
    }
}

/// Reads what GET and HEAD ask for.
pub(super) fn request(call: &Call<'_>) -> Result<GetRequest, Fault> {
    let range = call.header(&header::RANGE)?.and_then(RangeSpec::parse);
    let part = match call.query.get("partNumber") {
        None => None,
        Some(text) => {
            let number = text.parse().ok().filter(|n| (1..=10_000).contains(n));
            Some(number.ok_or_else(|| {
                Fault::argument(
                    "partNumber",
                    text,
                    "Part number must be an integer between 1 and 10000, inclusive",
                )
            })?)
        }
    };
    if part.is_some() && call.headers.contains_key(header::RANGE) {
        return Err(Fault::with(
            FaultKind::InvalidRequest,
            "Cannot specify both Range header and partNumber query parameter",
        ));
    }
    Ok(GetRequest {
        version: object_headers::version(call)?,
        conditions: object_headers::read_conditions(call)?,
        range,
        part,
    })
}

/// `response-*` parameters: they replace headers of the answer. What no header can carry (a line
/// break above all) is refused.
pub(super) fn overrides(call: &Call<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let mut found = Vec::new();
    for (parameter, value) in &call.query.0 {
        let name = match parameter.as_str() {
            "response-content-type" => header::CONTENT_TYPE,
            "response-content-language" => header::CONTENT_LANGUAGE,
            "response-expires" => header::EXPIRES,
            "response-cache-control" => header::CACHE_CONTROL,
            "response-content-disposition" => header::CONTENT_DISPOSITION,
            "response-content-encoding" => header::CONTENT_ENCODING,
            _ => continue,
        };
        let value = headers::chosen_value(value).ok_or_else(|| {
            let text = "Header value cannot be represented using ISO-8859-1.";
            Fault::argument(parameter, "", text)
        })?;
        found.push((name, value));
    }
    // Else a link to what others may write would choose what a browser takes it for.
    if !found.is_empty() && !call.permit.identity().is_signed() {
        return Err(Fault::with(
            FaultKind::InvalidRequest,
            "Request specific response headers cannot be used for anonymous GET requests.",
        ));
    }
    Ok(found)
}

/// Puts the answer of GET and HEAD together.
pub(super) fn answer(
    call: &Call<'_>,
    request: &GetRequest,
    view: &ObjectView,
    overrides: Vec<(HeaderName, HeaderValue)>,
    replication: Option<&'static str>,
    body: ResponseBody,
) -> Answer {
    let mut answer = Response::new(body);
    let out = answer.headers_mut();
    // The usual ones, with those that every answer gets.
    out.reserve(12);
    object_headers::write_info(out, &view.info)?;
    if let Some(status) = replication {
        headers::set(out, names::REPLICATION_STATUS, status)?;
    }
    write_checksum(call, request, view, out)?;
    if request.part.is_some() && view.info.parts > 0 {
        headers::set_number(out, names::PARTS_COUNT, view.info.parts.into());
    }
    for (name, value) in overrides {
        out.insert(name, value);
    }
    if let Some((start, end)) = view.range {
        let size = view.info.size;
        // The only part of an empty object has no first byte to name.
        if start < end {
            let text = format!("bytes {start}-{}/{size}", end - 1);
            headers::set(out, header::CONTENT_RANGE, &text)?;
        }
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(answer)
}

/// How far a version has got: to the bucket's replicas, and to other buckets by its rules. `None`
/// where there are neither.
pub(super) async fn replication(
    gateway: &Gateway,
    permit: &Permit,
    key: &ObjectKey,
    info: &ObjectInfo,
) -> Result<Option<&'static str>, Fault> {
    let status = gateway
        .objects
        .replication_status(permit, key, info, gateway);
    Ok(status.await?.map(|status| match status {
        ReplicationStatus::Replica => "REPLICA",
        ReplicationStatus::Pending => "PENDING",
        ReplicationStatus::Completed => "COMPLETED",
        ReplicationStatus::Failed => "FAILED",
    }))
}

/// A region without others knows of no replica.
impl Replicas for Gateway {
    fn replicated(&self, deed: &BucketDeed, position: u64) -> bool {
        let regions = self.regions.as_ref();
        regions.is_some_and(|regions| regions.replicated(deed, position))
    }

    fn read_by_home(&self, deed: &BucketDeed, position: u64) -> bool {
        let regions = self.regions.as_ref();
        regions.is_some_and(|regions| regions.read_by_home(deed, position))
    }
}

fn write_checksum(
    call: &Call<'_>,
    request: &GetRequest,
    view: &ObjectView,
    out: &mut HeaderMap,
) -> Result<(), Fault> {
    let mode = call.header(&names::CHECKSUM_MODE)?;
    // The checksum is of all bytes, which is what comes where a range does not count.
    let partial = request.part.is_none() && view.range.is_some();
    if !mode.is_some_and(|mode| mode.eq_ignore_ascii_case("enabled")) || partial {
        return Ok(());
    }
    match request.part {
        None => object_headers::write_checksum(out, view.info.checksum),
        Some(_) => object_headers::write_checksum_of(out, view.part_checksum, view.info.checksum),
    }
}

/// An object's bytes on their way to the client.
struct Content(ObjectReader);

impl ObjectStream for Content {
    fn ended(&self) -> Option<WhenEnded> {
        self.0.ended().map(|ended| Box::pin(ended) as WhenEnded)
    }

    fn next(mut self: Box<Self>) -> NextPiece {
        Box::pin(async move {
            let piece = match self.0.next().await {
                Ok(piece) => piece.map(Ok),
                Err(error) => {
                    tracing::error!(%error, "reading an object broke off");
                    Some(Err(std::io::Error::other("the object cannot be read")))
                }
            };
            (self as Box<dyn ObjectStream>, piece)
        })
    }
}
