//! What every answer to another region is made of: refusals, JSON, room, the names of versions.

use bytes::Bytes;
use http::{Response, StatusCode};
use peer::{BoxBody, Held, Kind, NoRoom, Room, full};

use crate::wire::{LACKING_MAX, read_name};

/// A refusal: its status, and words for the other region's log.
pub(crate) type Refused = (StatusCode, String);

pub(crate) fn refused(error: impl std::fmt::Display) -> Refused {
    (StatusCode::FORBIDDEN, error.to_string())
}

pub(crate) fn failed(error: objects::Error) -> Refused {
    let status = match &error {
        objects::Error::NoSuchVersion => StatusCode::NOT_FOUND,
        objects::Error::Record(_) | objects::Error::Store(_) => {
            tracing::error!(%error, "a question of another region failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::CONFLICT,
    };
    (status, error.to_string())
}

/// Room for a page, before it is made.
pub(crate) async fn take(room: &Room, bytes: usize) -> Result<Held, Refused> {
    room.take(Kind::Answer, bytes).await.map_err(no_room)
}

pub(crate) fn no_room(error: NoRoom) -> Refused {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

pub(crate) fn json_bytes(value: &impl serde::Serialize) -> Result<Bytes, Refused> {
    serde_json::to_vec(value).map(Bytes::from).map_err(refused)
}

pub(crate) fn json(value: &impl serde::Serialize) -> Result<Response<BoxBody>, Refused> {
    json_bytes(value).map(|bytes| Response::new(full(bytes)))
}

pub(crate) fn names(
    versions: &[(String, String)],
) -> Result<Vec<(types::ObjectKey, types::VersionId)>, Refused> {
    if versions.len() > LACKING_MAX {
        return Err(refused(format!("more than {LACKING_MAX} versions")));
    }
    let names: Result<Vec<_>, _> = versions.iter().map(read_name).collect();
    names.map_err(refused)
}
