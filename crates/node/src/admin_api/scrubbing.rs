//! The pass over every stored byte of this region.

use std::sync::Arc;

use admin::bodies::StartScrub;
use http::StatusCode;
use serde_json::json;

use super::{
    Admin, Answer, Call, Refused,
    answers::{parse, to_json},
};
use crate::scrub::ScrubJob;

impl Admin {
    fn may_scrub(&self, call: &Call) -> Result<(), Refused> {
        let own = self.region.registry.region(&self.region.id);
        call.of_region(own.as_deref())
    }

    pub(super) fn scrub_state(&self, call: &Call) -> Answer {
        self.may_scrub(call)?;
        to_json(self.scrub.state())
    }

    pub(super) fn start_scrub(&self, call: &Call) -> Answer {
        self.may_scrub(call)?;
        let StartScrub { repair } = parse(&call.body)?;
        match ScrubJob::start(&self.scrub, Arc::clone(&self.region), repair) {
            true => Ok(json!({})),
            false => Err((StatusCode::CONFLICT, "a scrub is under way already".into())),
        }
    }
}
