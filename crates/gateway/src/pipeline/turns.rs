//! A request's places: whose turn it is, and what it occupies until when.

use access::Via;
use http::Response;
use types::AccountId;

use super::{Trail, has_body, slow_down};
use crate::{
    admission::{Admission, Crowded, Turn},
    body::ResponseBody,
    fault::Fault,
    held::Held,
    limits::SMALL_BYTES_MAX,
    payload::Pace,
    request::Request,
    server::Gateway,
};

/// Marks an answer that the client takes piece by piece, and whose it is.
#[derive(Clone)]
pub(crate) struct Taking(pub(crate) Turn);

impl Gateway {
    /// Requests of other regions have places of their own: two regions whose places were all taken
    /// by requests that wait for a place at the other would wait for each other without end.
    pub(super) fn admission(&self, direct: bool) -> &Admission {
        match direct {
            true => &self.admission,
            false => &self.passed_admission,
        }
    }

    /// Waits for the account's turn. Only the head has been read; what the client goes on sending
    /// stays with the system, which makes it wait.
    pub(super) async fn enter(
        &self,
        account: &AccountId,
        size: Option<u64>,
        direct: bool,
        trail: &mut Trail,
    ) -> Result<(), Crowded> {
        let admission = self.admission(direct);
        let payer = admission.payer(account);
        trail.payer = Some(payer);
        if size.is_none_or(|size| size > SMALL_BYTES_MAX) {
            trail.places.large = Some(admission.large(payer).await?);
        }
        trail.places.work = Some(admission.work(payer).await?);
        Ok(())
    }

    /// Room for an answer that the client takes piece by piece. It is no work from here on.
    pub(super) async fn make_room(&self, direct: bool, trail: &mut Trail) -> Result<(), Fault> {
        if let Some(place) = &trail.places.work {
            place.step_out();
        }
        if let (None, Some(payer)) = (&trail.places.large, trail.payer) {
            let place = self.admission(direct).large(payer).await;
            trail.places.large = Some(place.map_err(|_| slow_down())?);
        }
        Ok(())
    }

    /// How the client of a request may be waited for that has a body.
    pub(super) fn pace(
        &self,
        request: &Request<'_>,
        via: &Via,
        trail: &Trail,
        at_work: bool,
    ) -> Pace {
        if !has_body(request.method()) {
            return self.config.body_idle.into();
        }
        let admission = self.admission(*via == Via::Client);
        let place = trail.places.work.as_ref();
        let turn = place.map(|place| admission.turn(place));
        Pace::new(&self.config, turn, at_work)
    }

    /// Counts what is sent, and keeps the places until an answer that streams has been sent.
    pub(super) fn hold(&self, answer: &mut Response<ResponseBody>, direct: bool, trail: Trail) {
        let Some(operation) = trail.operation else {
            return;
        };
        let sent = self.metrics.sent(operation);
        let streams = matches!(
            answer.body(),
            ResponseBody::Stream(_) | ResponseBody::Forwarded(_)
        );
        if streams && let Some(place) = &trail.places.work {
            place.step_out();
            let turn = self.admission(direct).turn(place);
            answer.extensions_mut().insert(Taking(turn));
        }
        match answer.body_mut() {
            ResponseBody::Stream(stream) => stream.hold(Held {
                sent: sent.clone(),
                _places: trail.places,
            }),
            ResponseBody::Full(Some(bytes)) => {
                sent.inc_by(bytes.len() as u64);
            }
            ResponseBody::Forwarded(answer) => answer.hold(Held {
                sent: sent.clone(),
                _places: trail.places,
            }),
            ResponseBody::Full(None) | ResponseBody::Empty | ResponseBody::Head(_) => {}
        }
    }
}
