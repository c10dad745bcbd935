//! Who asks: the head is read and its signature verified, and so are the fields of a form.

use access::{
    AuthType, Identity, PayloadMode, RequestFacts, UnreadableFacts, Via, signature::Service,
};
use http::HeaderValue;
use hyper::body::Incoming;

use super::source::Source;
use crate::{
    fault::{Fault, FaultKind},
    identify::{self, Identified},
    operations::Resource,
    payload::payload,
    proof::unproven,
    request::{Received, Request},
    server::Gateway,
};

/// A request whose head has been read and verified.
pub(super) struct VerifiedHead<'r> {
    pub(super) request: Request<'r>,
    pub(super) identified: Identified,
}

impl VerifiedHead<'_> {
    /// Whether the body must show who sends it.
    pub(super) fn is_form(&self) -> bool {
        self.identified.auth() == AuthType::PostPolicy
            && self.request.target().resource() == Resource::Bucket
            && self.request.is_bare()
    }
}

impl Gateway {
    /// Whether a caller is known. That a long-term key was used is noted where it was shown.
    pub(super) fn knows(&self, identity: &Identity, via: &Via) -> bool {
        if let (Some(key), Via::Client) = (identity.long_term_key(), via) {
            self.keys.note_use(key, Service::S3, self.clock.now());
        }
        identity.account().is_some()
    }

    /// Who asks, and for what, by the head alone.
    pub(super) async fn verify_head<'r>(
        &self,
        parts: &'r mut http::request::Parts,
        facts: RequestFacts,
    ) -> Result<VerifiedHead<'r>, Fault> {
        self.check_region()?;
        let received = Received::read(parts, &self.config.domains)?;
        let (request, identified) = identify::identify(self, received, facts).await?;
        Ok(VerifiedHead {
            request,
            identified,
        })
    }

    /// The same of a head that another region relays, and how far it is proven.
    pub(super) async fn meet_from<'r>(
        &self,
        parts: &'r mut http::request::Parts,
        from: types::Place,
        stated: Option<HeaderValue>,
        facts: Result<RequestFacts, UnreadableFacts>,
    ) -> Result<(VerifiedHead<'r>, Via), Fault> {
        let facts = facts.map_err(|error| unproven(error.to_string()))?;
        let meeting = self.verify_relayed_head(parts, &from, stated.as_ref());
        let (request, relayed) = meeting.await?;
        let via = Via::Region(from, relayed.proof);
        let identified = Identified::relayed(relayed, facts.read_at(self.clock.now()));
        let known = VerifiedHead {
            request,
            identified,
        };
        Ok((known, via))
    }

    /// Reads a form's fields, which say who sends it. A client that takes too long over them
    /// holds a place that others wait for, so there is a limit to that.
    pub(super) async fn read_form(
        &self,
        known: &mut VerifiedHead<'_>,
        incoming: Incoming,
    ) -> Result<Source, Fault> {
        let headers = known.request.headers();
        let Some(bucket) = known.request.target().bucket.clone() else {
            return Ok(Source::Wire(incoming));
        };
        let idle = self.config.body_idle;
        let mode = PayloadMode::Unsigned;
        let body = payload(incoming, headers, mode, None, idle)?;
        let facts = identify::judged_by(self);
        let dialect = known.request.dialect();
        let reading = dialect.read_form(body, headers, &bucket, &facts);
        let form = tokio::time::timeout(idle, reading).await;
        let mut form = form.map_err(|_| FaultKind::RequestTimeout)??;
        known.identified.found(form.auth);
        known.request.become_form(std::mem::take(&mut form.headers));
        Ok(Source::Form(Box::new(form)))
    }
}
