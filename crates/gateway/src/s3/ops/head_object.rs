//! HeadObject: all that GetObject says of a version, without its bytes.

use super::get_object;
use crate::{
    body::ResponseBody,
    call::{Answer, Call},
    s3::headers::{self, names},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let request = get_object::request(call)?;
    let overrides = get_object::overrides(call)?;
    let view = call
        .gateway
        .objects
        .head(&call.permit, &key, &request)
        .await?;
    let body = ResponseBody::Head(view.len());
    let replication = get_object::replication(call.gateway, &call.permit, &key, &view.info).await?;
    let mut answer = get_object::answer(call, &request, &view, overrides, replication, body)?;
    let state = objects::state_of(view.info.id, &view.info.attributes)?;
    headers::set(answer.headers_mut(), names::STATE, &state)?;
    Ok(answer)
}
