//! im's part of the server API, one call a file.
//!
//! Who may call is checked by a layer that the server puts around it. An error is
//! `{"code","number","message","retryable"}` under the HTTP status of its code.

mod messages;

use std::sync::Arc;

use axum::Json;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use contracts::{Error, Kind};

use crate::service::Local;

/// Bytes of a request: the largest content, each of its characters escaped.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// The routes, without a prefix.
pub(crate) fn routes(local: Arc<Local>) -> axum::Router {
    axum::Router::new()
        .route("/v1/messages", post(messages::send))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(local)
}

/// The error as a caller sees it. A refusal is the caller's matter; a failure of ours is logged.
fn error_response(call: &'static str, error: &Error) -> Response {
    match error.kind() {
        Kind::Refused(_) => {}
        Kind::Internal => tracing::error!(target: "im", call, ?error, "a call of the server API failed"),
        Kind::Overloaded | Kind::Unavailable => {
            tracing::warn!(target: "im", call, ?error, "a call of the server API failed");
        }
    }
    let status = StatusCode::from_u16(error.code().http_status());
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(error.to_client())).into_response()
}
