//! im's part of the server API, one call a file.
//!
//! Who may call is checked by a layer that the server puts around it. An error is
//! `{"code","number","message","retryable"}` under the HTTP status of its code.
//!
//! | call | does |
//! |---|---|
//! | `POST /v1/messages` | sends a message in the name of a user |
//! | `POST /v1/users/{user}/{request}` | asks in the name of a user what a client could ask |

mod messages;
mod users;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use contracts::{Error, Kind};
use protocol::{Code, client};

use crate::service::Local;

/// Bytes of a request: as many users as it may name, or the largest content, each of its characters escaped.
const REQUEST_BYTES_MAX: usize = 512 * 1024;

/// The routes, without a prefix.
pub(crate) fn routes(local: Arc<Local>) -> axum::Router {
    axum::Router::new()
        .route("/v1/messages", post(messages::send))
        .route("/v1/users/{user}/{request}", post(users::ask))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(local)
}

/// The body of a call, where it could be read.
fn read(body: Result<Bytes, BytesRejection>) -> contracts::Result<Bytes> {
    body.map_err(|rejection| {
        let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        let code = if too_large { Code::TooLarge } else { Code::Malformed };
        Error::refused(code, format!("request cannot be read: {}", rejection.body_text()))
    })
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
    refusal(error.to_client())
}

/// What a client would be told, under the nearest HTTP status.
fn refusal(error: client::Error) -> Response {
    let status = u16::try_from(error.number / 100).ok().and_then(|status| StatusCode::from_u16(status).ok());
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(error)).into_response()
}
