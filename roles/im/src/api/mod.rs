//! im's part of the server API, one call a file.
//!
//! Who may call is checked by a layer that the server puts around it. An error is
//! `{"error":{"code","number","message","retryable"}}` under the HTTP status of its code.

mod messages;

use std::sync::Arc;

use axum::Json;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Serialize;

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

/// An error as a caller of the server API sees it.
#[derive(Serialize)]
struct ErrorBody {
    error: protocol::client::Error,
}

fn error_response(error: protocol::client::Error, status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(ErrorBody { error })).into_response()
}
