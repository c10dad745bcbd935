//! How the admin API answers.

use admin::bodies;
use cloud::CloudError;
use http::StatusCode;
use serde::Deserialize;

use super::{Answer, Refused};

pub fn unknown() -> Refused {
    (StatusCode::NOT_FOUND, "no such admin operation".to_owned())
}

pub fn to_json(value: impl serde::Serialize) -> Answer {
    serde_json::to_value(value).map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
}

/// Reads a body.
pub fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refused> {
    bodies::parse(body).map_err(|why| bad(&why))
}

pub fn bad(message: &str) -> Refused {
    (StatusCode::BAD_REQUEST, message.to_owned())
}

pub fn conflict(message: &str) -> Refused {
    (StatusCode::CONFLICT, message.to_owned())
}

/// What the registry refuses, by its kind.
pub fn refused(error: CloudError) -> Refused {
    let status = match &error {
        CloudError::NoAccount(_)
        | CloudError::NoKey(_)
        | CloudError::NoBucket(_)
        | CloudError::NoRegion(_)
        | CloudError::NoUser(_)
        | CloudError::NoEntity(_)
        | CloudError::NoOperator(_) => StatusCode::NOT_FOUND,
        CloudError::KeyExists(_)
        | CloudError::Exists(_)
        | CloudError::Conflict(_)
        | CloudError::Limit(_)
        | CloudError::Refused(_) => StatusCode::CONFLICT,
        CloudError::Invalid(_) | CloudError::Policy(_) | CloudError::Tags(_) => {
            StatusCode::BAD_REQUEST
        }
        CloudError::Elsewhere(_) => StatusCode::MISDIRECTED_REQUEST,
        CloudError::SlowDown(_)
        | CloudError::Unavailable(_)
        | CloudError::NotApplied(_)
        | CloudError::Unwritten(_) => StatusCode::SERVICE_UNAVAILABLE,
        CloudError::History(..) | CloudError::Record(_) | CloudError::Store(_) => {
            tracing::error!(%error, "the registry failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    (status, error.to_string())
}
