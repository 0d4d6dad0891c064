//! `POST /v1/push`: bytes under an operation to users, to connections, to a room or to all.
//!
//! `{"to":{"users":["alice"]},"op":1000,"text":"hi"}` is answered with
//! `{"results":[{"user":"alice","status":"queued"}]}`. `to` is exactly one of `users`, `connections`, `room`
//! and `all`; `text` or base64 `body` is what is pushed; `speed` bounds a push to all, in connections per
//! second. A room and all are answered with `{}`: who gets it is not known when the call is answered.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use contracts::push::Outcome;
use contracts::{Error, Kind, Result};
use protocol::limits::{PUSH_BODY_BYTES_MAX, TARGETS_PER_CALL_MAX};
use protocol::{Code, Identifier as _, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{BodyError, State, count, log, read_body};

/// The body as base64, escapes included, and as many targets as may be named.
const REQUEST_BYTES_MAX: usize = 4 * PUSH_BODY_BYTES_MAX;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    to: To,
    op: Option<i32>,
    text: Option<String>,
    body: Option<String>,
    speed: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    users: Option<Vec<String>>,
    connections: Option<Vec<String>>,
    room: Option<String>,
    all: Option<bool>,
}

enum Target {
    Users(Vec<UserId>),
    Connections(Vec<String>),
    Room(RoomId),
    All,
}

#[derive(Serialize, Default)]
struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<Outcomes>>,
}

#[derive(Serialize)]
struct Outcomes {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    status: &'static str,
}

pub(super) fn router(state: Arc<State>) -> axum::Router {
    axum::Router::new().route("/v1/push", post(call)).with_state(state)
}

async fn call(Extract(state): Extract<Arc<State>>, body: Body) -> Response {
    match push(&state, body).await {
        Ok(reply) => Json(reply).into_response(),
        Err(error) => {
            log("v1/push", &error);
            let status = StatusCode::from_u16(error.code().http_status());
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(error.to_client())).into_response()
        }
    }
}

async fn push(state: &State, body: Body) -> Result<Reply> {
    let bytes = read_body(body, REQUEST_BYTES_MAX).await.map_err(|error| match error {
        BodyError::TooLarge(bytes_max) => {
            Error::refused(Code::TooLarge, format!("request is larger than {bytes_max} bytes"))
        }
        BodyError::Incomplete => Error::refused(Code::Malformed, "request is incomplete"),
    })?;
    let request: Request = serde_json::from_slice(&bytes)
        .map_err(|error| invalid(format!("request is not the json of a push: {error}")))?;
    let operation = request.op.unwrap_or(state.operation);
    if operation == 0 {
        return Err(invalid("op is 0: name the operation that clients receive it under"));
    }
    let body = content(request.text, request.body)?;
    let target = target(request.to)?;
    if request.speed.is_some() && !matches!(target, Target::All) {
        return Err(invalid("speed is for a push to all"));
    }
    deliver(state, target, operation, body, request.speed.unwrap_or(0)).await
}

async fn deliver(state: &State, target: Target, operation: i32, body: Bytes, speed: u32) -> Result<Reply> {
    match target {
        Target::Users(users) => {
            count("users");
            let outcomes = state.push.push_to_users(users.clone(), operation, body).await?;
            let names = users.iter().map(|user| user.as_str().to_owned());
            results(names, &outcomes, |user, status| Outcomes { user: Some(user), connection: None, status })
        }
        Target::Connections(keys) => {
            count("connections");
            let outcomes = state.push.push_to_keys(keys.clone(), operation, body).await?;
            results(keys.into_iter(), &outcomes, |key, status| Outcomes {
                user: None,
                connection: Some(key),
                status,
            })
        }
        Target::Room(room) => {
            count("room");
            state.publisher.to_room(&room, operation, body).await?;
            Ok(Reply::default())
        }
        Target::All => {
            count("all");
            state.publisher.to_all(operation, body, speed).await?;
            Ok(Reply::default())
        }
    }
}

fn results(
    names: impl ExactSizeIterator<Item = String>,
    outcomes: &[Outcome],
    result: impl Fn(String, &'static str) -> Outcomes,
) -> Result<Reply> {
    if names.len() != outcomes.len() {
        let message = format!("push answered {} outcomes to {} targets", outcomes.len(), names.len());
        return Err(Error::new(Kind::Internal, message));
    }
    let results = names.zip(outcomes).map(|(name, outcome)| result(name, outcome.name())).collect();
    Ok(Reply { results: Some(results) })
}

fn content(text: Option<String>, body: Option<String>) -> Result<Bytes> {
    let bytes = match (text, body) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(body)) => {
            STANDARD.decode(body).map_err(|error| invalid(format!("body is not base64: {error}")))?
        }
        _ => return Err(invalid("give exactly one of text and body")),
    };
    if bytes.len() > PUSH_BODY_BYTES_MAX {
        let message = format!("{} bytes are pushed: at most {PUSH_BODY_BYTES_MAX} are allowed", bytes.len());
        return Err(Error::refused(Code::TooLarge, message));
    }
    Ok(bytes.into())
}

fn target(to: To) -> Result<Target> {
    match to {
        To { users: Some(users), connections: None, room: None, all: None } => {
            check_count("users", users.len())?;
            let users = users.iter().map(|user| UserId::new(user)).collect::<std::result::Result<_, _>>();
            users.map(Target::Users).map_err(|error| invalid(format!("to.users: {error}")))
        }
        To { users: None, connections: Some(keys), room: None, all: None } => {
            check_count("connections", keys.len())?;
            Ok(Target::Connections(keys))
        }
        To { users: None, connections: None, room: Some(room), all: None } => {
            RoomId::new(&room).map(Target::Room).map_err(|error| invalid(format!("to.room: {error}")))
        }
        To { users: None, connections: None, room: None, all: Some(true) } => Ok(Target::All),
        _ => Err(invalid("to is exactly one of users, connections, room and all (true)")),
    }
}

fn check_count(name: &str, count: usize) -> Result<()> {
    if (1..=TARGETS_PER_CALL_MAX).contains(&count) {
        return Ok(());
    }
    Err(invalid(format!("to.{name} names {count}: give 1 to {TARGETS_PER_CALL_MAX}")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::refused(Code::InvalidArgument, message)
}
