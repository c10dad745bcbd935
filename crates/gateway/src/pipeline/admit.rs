//! Whether a request may be acted on, and where.

use std::sync::Arc;

use access::{Action, Facts, Identity, Permit, Proof, Refusal, RequestFacts, Via, policy::Steps};
use http::header;
use hyper::body::Incoming;
use objects::BucketDocuments;
use types::RegionId;

use super::{Trail, about::About, has_body, source::Source, verify_head::VerifiedHead};
use crate::{
    acknowledged::Touched,
    ask::Details,
    call::Call,
    elsewhere::Way,
    fault::{Fault, FaultKind},
    forwarding::Outgoing,
    identify::Identified,
    limits,
    operations::Operation,
    payload::Pace,
    request::Request,
    server::Gateway,
};

/// Where a request goes from here.
#[allow(clippy::large_enum_variant)] // the usual one must not cost an allocation
pub(super) enum Admitted<'g> {
    Here(Call<'g>),
    Pass(Box<Outgoing>),
}

/// What was decided of a request.
struct Who {
    operation: &'static Operation,
    via: Via,
    facts: RequestFacts,
    permit: Permit,
    pace: Pace,
    documents: Option<Arc<BucketDocuments>>,
    unread: Option<Box<Details>>,
}

impl Gateway {
    /// Everything else before the handler: whether they may, and where.
    pub(super) fn admit(
        &self,
        known: VerifiedHead<'_>,
        identity: Identity,
        source: Source,
        (mut via, about): (Via, About),
        trail: &mut Trail,
    ) -> Result<Admitted<'_>, Fault> {
        let (request, operation, deed) = (&known.request, about.operation, &about.deed);
        // Nothing of a body that is not read needs a proof.
        if let Via::Region(_, proof @ Proof::Head) = &mut via
            && !(has_body(request.method()) && operation.reads_body())
        {
            *proof = Proof::Whole;
        }
        let (length, came) = (request.length(), known.identified.facts());
        let dialect = request.dialect();
        let mut ask = dialect.ask(operation, request, &identity, source.key(), came);
        about.details.add_to(&mut ask);
        let action = ask.action;
        let facts = Facts {
            deed: deed.as_ref(),
            access: about.access(),
            account_block: self.account_block(deed.as_ref(), about.access()),
            here: &self.place_for(&via),
            via: &via,
        };
        let decided = access::authorize(&ask, &facts);
        match (deed, &decided) {
            (Some(_), Err(Refusal::Anonymous | Refusal::NotOwner)) => trail.known = false,
            (Some(_), Ok(_)) => trail.known = true,
            _ => {}
        }
        let way = self.way(operation, &ask, &facts, decided)?;
        request.dialect().check(operation, request)?;
        let touches = || Touched::by(operation, request.target().key.as_ref());
        let way = match deed.as_ref() {
            Some(deed) if !operation.writes() && via == Via::Client && self.acknowledged.any() => {
                self.way_to_read(way, &ask, deed, &touches())?
            }
            _ => way,
        };
        let permit = match way {
            Way::Here(permit) => permit,
            Way::Forward(holders) => {
                let way = (holders, self.pace(request, &via, trail, false));
                let touched = touches();
                let mut outgoing = self.outgoing(known, source, way, (operation, action))?;
                outgoing.touched = touched;
                self.metrics.received(operation).inc_by(length);
                return Ok(Admitted::Pass(Box::new(outgoing)));
            }
        };
        known.identified.check_replay(self, request)?;
        let pace = self.pace(request, &via, trail, true);
        let who = Who {
            operation,
            facts: known.identified.facts(),
            via,
            unread: permit.is_unread().then(|| Box::new(about.details)),
            permit,
            pace,
            documents: about.documents,
        };
        let call = self.call(known, source, who)?;
        if length > 0 {
            self.metrics.received(operation).inc_by(length);
        }
        Ok(Admitted::Here(call))
    }

    /// A request for the handler.
    fn call(&self, known: VerifiedHead<'_>, source: Source, who: Who) -> Result<Call<'_>, Fault> {
        let (body, form) = match source {
            Source::Form(form) => {
                let form = *form;
                (Some(form.body), Some((form.key, Box::new(form.reply))))
            }
            Source::Wire(incoming) => {
                let body = self.body(
                    who.operation,
                    known.identified,
                    &known.request,
                    incoming,
                    who.pace,
                )?;
                (body, None)
            }
        };
        let changes_deeds = matches!(who.operation.name, "CreateBucket" | "DeleteBucket");
        let head = changes_deeds.then(|| known.request.relayed().into_boxed_slice());
        let dialect = known.request.dialect();
        let (target, query, headers) = known.request.into_parts();
        let (key, form) = match form {
            Some((key, reply)) => (Some(key), Some(reply)),
            None => (target.key, None),
        };
        Ok(Call {
            gateway: self,
            dialect,
            operation: who.operation,
            via: who.via,
            facts: who.facts,
            permit: who.permit,
            documents: who.documents,
            bucket: target.bucket,
            key,
            query,
            headers,
            body,
            head,
            form,
            unread: who.unread,
            steps: Steps::new(limits::STEPS_MAX),
        })
    }

    /// A request for another region. Forms are sent there by their client: what a form means for
    /// its answer is known here only.
    fn outgoing(
        &self,
        known: VerifiedHead<'_>,
        source: Source,
        (holders, pace): (Vec<RegionId>, Pace),
        (operation, action): (&Operation, Action),
    ) -> Result<Outgoing, Fault> {
        let request = known.request;
        let bucket = request.target().bucket.as_ref();
        let deed = bucket.and_then(|b| self.deeds.get(b));
        let deed = deed.ok_or(FaultKind::NoSuchBucket)?;
        let Source::Wire(incoming) = source else {
            return Err(self.redirect(&deed));
        };
        let facts = known.identified.facts();
        let head = self.relay(&request, &deed, &holders, (operation, action), facts)?;
        let body = match has_body(request.method()) && operation.reads_body() {
            true => {
                check_length(operation, &request)?;
                Some(known.identified.into_passing(&request, incoming, pace)?)
            }
            false => None,
        };
        Ok(Outgoing {
            dialect: request.dialect(),
            deed,
            holders,
            method: request.method().clone(),
            head,
            body,
            touched: Touched::Nothing,
            writes: operation.writes(),
        })
    }

    /// The body of a request that may have one, verified as it is read.
    fn body(
        &self,
        operation: &Operation,
        identified: Identified,
        request: &Request<'_>,
        incoming: Incoming,
        pace: Pace,
    ) -> Result<Option<Box<dyn types::Body>>, Fault> {
        let wanted = !identified.is_relayed() || operation.reads_body();
        if !has_body(request.method()) || !wanted {
            return Ok(None);
        }
        check_length(operation, request)?;
        identified.into_body(request, incoming, pace).map(Some)
    }
}

/// Clients say beforehand how long an object or a part is.
fn check_length(operation: &Operation, request: &Request<'_>) -> Result<(), Fault> {
    let headers = request.headers();
    let known =
        headers.contains_key(header::CONTENT_LENGTH) || request.dialect().says_length(headers);
    if known || !matches!(operation.name, "PutObject" | "UploadPart") {
        return Ok(());
    }
    Err(FaultKind::MissingContentLength.into())
}
