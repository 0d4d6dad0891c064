//! goim's own server API, as stock callers know it.
//!
//! Every answer is `{"code":0,"message":"","data":…}`; `data` is left out where there is none. The HTTP status
//! is 200 whatever the code, except where the query does not bind (400) or the body is too large (413).

mod nodes_instances;
mod nodes_weighted;
mod online_room;
mod online_top;
mod online_total;
mod push_all;
mod push_keys;
mod push_mids;
mod push_room;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use protocol::limits::{PUSH_BODY_BYTES_MAX, TARGETS_PER_CALL_MAX};
use serde::Serialize;

use super::query::BindError;
use super::{BodyError, State};

const CODE_OK: i32 = 0;
const CODE_REQUEST: i32 = -400;
const CODE_SERVER: i32 = -500;

pub(super) fn router(state: Arc<State>) -> axum::Router {
    axum::Router::new()
        .route("/goim/push/keys", post(push_keys::call))
        .route("/goim/push/mids", post(push_mids::call))
        .route("/goim/push/room", post(push_room::call))
        .route("/goim/push/all", post(push_all::call))
        .route("/goim/online/top", get(online_top::call))
        .route("/goim/online/room", get(online_room::call))
        .route("/goim/online/total", get(online_total::call))
        .route("/goim/nodes/weighted", get(nodes_weighted::call))
        .route("/goim/nodes/instances", get(nodes_instances::call))
        .with_state(state)
}

#[derive(Serialize)]
struct Envelope<T> {
    code: i32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

/// Why a call was not carried out.
enum Fault {
    /// The query does not bind.
    Query(String),
    /// A list that must name somebody is empty; goim says no more than the code.
    NobodyNamed,
    /// The body was not taken.
    Body(BodyError),
    /// We failed.
    Server(contracts::Error),
}

type Answer<T> = Result<T, Fault>;

impl From<BindError> for Fault {
    fn from(BindError(message): BindError) -> Self {
        Self::Query(message)
    }
}

impl From<contracts::Error> for Fault {
    fn from(error: contracts::Error) -> Self {
        Self::Server(error)
    }
}

/// The answer to a call that has nothing to tell.
fn done(call: &'static str, answer: Answer<()>) -> Response {
    match answer {
        Ok(()) => envelope(StatusCode::OK, CODE_OK, String::new(), None::<()>),
        Err(fault) => refuse(call, fault),
    }
}

/// The answer to a call that asks for something.
fn told<T: Serialize>(call: &'static str, answer: Answer<T>) -> Response {
    match answer {
        Ok(data) => envelope(StatusCode::OK, CODE_OK, String::new(), Some(data)),
        Err(fault) => refuse(call, fault),
    }
}

fn refuse(call: &'static str, fault: Fault) -> Response {
    let (status, code, message) = match fault {
        Fault::Query(message) => (StatusCode::BAD_REQUEST, CODE_REQUEST, message),
        Fault::NobodyNamed => (StatusCode::OK, CODE_REQUEST, String::new()),
        Fault::Body(BodyError::TooLarge(bytes_max)) => {
            let message = format!("body is larger than {bytes_max} bytes");
            (StatusCode::PAYLOAD_TOO_LARGE, CODE_REQUEST, message)
        }
        Fault::Body(BodyError::Incomplete) => (StatusCode::OK, CODE_REQUEST, "body is incomplete".to_owned()),
        Fault::Server(error) => {
            super::log(call, &error);
            (StatusCode::OK, CODE_SERVER, error.to_client().message)
        }
    };
    envelope(status, code, message, None::<()>)
}

fn envelope<T: Serialize>(status: StatusCode, code: i32, message: String, data: Option<T>) -> Response {
    (status, Json(Envelope { code, message, data })).into_response()
}

async fn body_of(body: Body) -> Result<Bytes, Fault> {
    super::read_body(body, PUSH_BODY_BYTES_MAX).await.map_err(Fault::Body)
}

fn check_count(name: &str, count: usize) -> Result<(), Fault> {
    if count <= TARGETS_PER_CALL_MAX {
        return Ok(());
    }
    Err(Fault::Query(format!("{count} {name} are named: at most {TARGETS_PER_CALL_MAX} are allowed")))
}
