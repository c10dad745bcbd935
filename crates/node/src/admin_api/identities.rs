//! Users and policies of an account, for whoever administers it.

use access::GuardPolicy;
use admin::{bodies::IamForm, operations::Op};
use cloud::CloudError;
use http::StatusCode;
use iam::{Form, Iam};

use super::{
    Admin, Answer, Call,
    answers::{parse, refused},
    buckets::only_removes,
};

/// Whether a call takes rights away and gives none, however often it is done.
pub(super) fn tightens(op: Op, call: &Call) -> bool {
    match op {
        Op::SuspendAccount
        | Op::DisableKey
        | Op::DeleteKey
        | Op::RevokeCertificate
        | Op::CloseRegion => true,
        Op::PlaceBucket => only_removes(&call.body),
        Op::CallIam => {
            let form = parse(&call.body);
            form.is_ok_and(|IamForm { form }| Iam::only_tightens(&Form::of(form)))
        }
        _ => false,
    }
}

impl Admin {
    /// Does one action of IAM, as the account itself.
    pub(super) async fn call_iam(&self, call: &Call, id: &str) -> Answer {
        let registry = &self.region.registry;
        let account = registry.account_meant(id);
        call.of_account(&account)?;
        let IamForm { form } = parse(&call.body)?;
        if !registry.keeps() {
            let keeper = self.region.link.membership.keeper.clone();
            return Err(refused(CloudError::Elsewhere(keeper)));
        }
        if registry.account(&account).is_none() {
            return Err(refused(CloudError::NoAccount(account)));
        }
        let form = Form::of(form);
        // The cloud's owner, who sets it, is not bound by it.
        let guard = match call.may() {
            Ok(()) => GuardPolicy::default(),
            Err(_) => registry.guard_of(&account),
        };
        let by = (&call.actor, &guard);
        let acted = self.forms.act_as_root(&account, by, &form).await;
        acted.map(|answer| answer.json()).map_err(|error| {
            let status = StatusCode::from_u16(error.status);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, format!("{}: {}", error.code, error.message))
        })
    }
}
