//! What is answered when something is not done.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// What could not be done.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// An error with its cause.
    pub(super) fn of(error: &Error) -> Self {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self { error: format!("{error}{cause}"), hint: error.what_to_do().map(str::to_owned) }
    }
}

/// A request that is not done.
pub(super) enum Refusal {
    /// Nobody that is known. 401.
    Unknown(&'static str),
    /// Somebody who may not. 403.
    Forbidden(String),
    /// No such thing. 404.
    Missing(String),
    /// Not as things are. 409.
    Conflict(Error),
    /// Not a request that is understood. 400.
    Wrong(String),
    /// Too many of one address. 429.
    TooMany,
    /// It failed. 503 when it may pass by itself, else 500.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self::Wrong(rejection.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::Wrong(rejection.body_text())
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self::Wrong(rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        let plain = |error: String| Problem { error, hint: None };
        let (status, problem) = match self {
            Self::Unknown(why) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"wasmill\""));
                (StatusCode::UNAUTHORIZED, plain(why.to_owned()))
            }
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, plain(why)),
            Self::Missing(what) => (StatusCode::NOT_FOUND, plain(what)),
            Self::Conflict(error) => (StatusCode::CONFLICT, Problem::of(&error)),
            Self::Wrong(why) => (StatusCode::BAD_REQUEST, plain(why)),
            Self::TooMany => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
                (StatusCode::TOO_MANY_REQUESTS, plain("too many requests of this kind from this address".to_owned()))
            }
            Self::Failed(error) => {
                let may_pass = error.kind() == ErrorKind::Transient;
                let status = if may_pass { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
                (status, Problem::of(&error))
            }
        };
        (status, headers, Json(problem)).into_response()
    }
}
