//! Requests that change the registry, read for it: by the code that reads them from customers, so
//! that the registry does what that code understood.

use access::{
    PayloadMode,
    signature::{Claim, Statement},
};
use http::{HeaderValue, header};
use sha2::{Digest, Sha256};
use types::{BucketName, Placement, RegionId, SignedRequest, Timestamp};

use crate::{
    dialect,
    fault::Fault,
    proof::Cover,
    relayed,
    request::{Received, Request, without_port},
    server::Gateway,
};

/// What a signed request wants of the registry. Nobody with the key has seen it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedChange {
    /// The signature.
    pub statement: Statement,
    /// When it was made.
    pub at: Timestamp,
    /// The bucket.
    pub bucket: BucketName,
    /// The host, where it is not known whether it names a bucket.
    pub host: Option<String>,
    /// Whom the customer takes for the bucket's owner.
    pub expected_owner: Option<String>,
    /// The homes that are named and the placement, where the bucket is to be made.
    pub create: Option<(Vec<String>, Placement)>,
}

impl Gateway {
    /// Reads a request that was sent to `region` and is to make or remove a bucket.
    ///
    /// # Errors
    /// Says why it is none, or why its signature does not cover it.
    pub fn read_change(
        &self,
        region: &RegionId,
        request: &SignedRequest,
    ) -> Result<SignedChange, String> {
        let mut parts = relayed::read(&request.head).ok_or("its head cannot be read")?;
        let dialect = dialect::of(&parts.headers);
        let told = |fault: Fault| dialect.message(&fault).to_owned();
        let endpoint = self.regions.as_ref().and_then(|r| r.endpoint(region));
        let endpoint = endpoint.map(|host| without_port(&host).to_owned());
        let mut domains = self.config.domains.clone();
        domains.extend(endpoint.clone());
        let received = Received::read(&mut parts, &domains).map_err(told)?;
        let (read, claim) = received.claim(self.clock.now()).map_err(told)?;
        let operation = dialect.route(&read).map_err(told)?;
        dialect.check(operation, &read).map_err(told)?;
        let bucket = read.target().bucket.clone().ok_or("it names no bucket")?;
        let create = match operation.name {
            "CreateBucket" => {
                check_body(&claim, &read, &request.body)?;
                let new = dialect.new_bucket(read.headers(), &request.body);
                let new = new.map_err(told)?;
                Some((new.homes, new.placement))
            }
            "DeleteBucket" => None,
            other => return Err(format!("it is a {other}")),
        };
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let host = read
            .headers()
            .get(header::HOST)
            .map(text)
            .map(|host| without_port(&host).to_owned());
        let host = host.filter(|host| {
            let known = endpoint.iter().chain(&self.config.domains);
            !read.target().by_host && !known.into_iter().any(|k| k.eq_ignore_ascii_case(host))
        });
        Ok(SignedChange {
            expected_owner: dialect.expected_owner(read.headers()).map(text),
            statement: claim.statement,
            at: claim.at,
            bucket,
            host,
            create,
        })
    }
}

/// A body that the signature covers must be the one. Of any other only the home counts, and no
/// region makes buckets with another home than itself.
fn check_body(claim: &Claim, read: &Request<'_>, body: &[u8]) -> Result<(), String> {
    let good = match (Cover::of(claim, read.headers()), claim.payload) {
        (_, PayloadMode::Sha256(digest)) => <[u8; 32]>::from(Sha256::digest(body)) == digest,
        (Cover::Checksum(checksum), _) => digest::checksum(checksum.algorithm(), body) == checksum,
        (Cover::Md5(md5), _) => digest::md5(body) == md5,
        (Cover::Signed | Cover::Nothing, _) => true,
    };
    match good {
        true => Ok(()),
        false => Err("its body is not the one that was signed".to_owned()),
    }
}
