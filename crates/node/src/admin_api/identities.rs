//! Users and policies of an account, for whoever administers it.

use access::GuardPolicy;
use admin::{
    NOT_YET_IN,
    bodies::{AccountAccess, EndSession, IamForm, SetGuardPolicy},
    operations::Op,
};
use cloud::CloudError;
use http::StatusCode;
use iam::{Form, Iam};
use serde_json::{Value, json};
use types::AccessKeyId;

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
        | Op::EndSession
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

/// Whether a call that was done may have taken rights away.
pub(super) fn takes_away(op: Op, call: &Call) -> bool {
    match op {
        Op::SetGuardPolicy => {
            let asked = parse(&call.body);
            asked.is_ok_and(|SetGuardPolicy { policy, .. }| policy.is_some())
        }
        Op::ChangeAccess => {
            let asked = parse(&call.body);
            asked.is_ok_and(|asked: AccountAccess| {
                asked.public_access_block.is_some()
                    || asked.signatures.is_some()
                    || asked.old_signatures == Some(false)
            })
        }
        Op::CallIam => {
            let form = parse(&call.body);
            form.is_ok_and(|IamForm { form }| Iam::may_take_away(&Form::of(form)))
        }
        op => op != Op::PlaceBucket && tightens(op, call),
    }
}

impl Admin {
    /// The answer to what took rights away, once that is known in the other regions: it names
    /// those that may not know it yet.
    pub(super) async fn once_arrived(&self, op: Op, id: &str, mut answer: Value) -> Value {
        // That region does not receive it any more.
        let gone = matches!(op, Op::RevokeCertificate | Op::CloseRegion).then_some(id);
        let late = self.region.registry.not_yet_in(gone).await;
        if let (Value::Object(fields), false) = (&mut answer, late.is_empty()) {
            fields.insert(NOT_YET_IN.to_owned(), late.iter().map(|r| &**r).collect());
        }
        answer
    }

    pub(super) async fn end_session(&self, call: &Call, id: &str) -> Answer {
        let registry = &self.region.registry;
        let account = registry.account_meant(id);
        call.of_account(&account)?;
        let EndSession { access_key } = parse(&call.body)?;
        let ended = registry
            .end_session(&call.actor, &account, &AccessKeyId::new(&access_key))
            .await;
        let until = ended.map_err(refused)?;
        Ok(json!({
            "access_key": access_key,
            "account": &*account,
            "until": until.iso8601(),
        }))
    }

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
