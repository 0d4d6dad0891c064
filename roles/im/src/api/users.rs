//! `POST /v1/users/{user}/{request}`: asks in the name of a user whatever a client could ask of im.
//!
//! `request` is the request's name as it stands in JSON, the body its fields (an empty body: none), the answer the
//! fields of the reply. So the business makes a group with
//!
//! ```text
//! POST /v1/users/alice/groupCreate      {"name":"Team","members":["bob","carol"]}
//! 200                                   {"group":"7224…","conversation":"group:7224…"}
//! ```
//!
//! and reads a conversation with `POST /v1/users/alice/history {"conversation":"group:7224…","limit":20}`. It is
//! under the same rules as if the user had asked; `send` alone may begin a chat where clients may not. What concerns
//! a connection (auth, heartbeat, rooms, ack, sync, watch) is not asked here.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use contracts::Error;
use contracts::im::Asker;
use protocol::codec::{self, ReplyKind, RequestKind};
use protocol::{Code, Identifier, UserId, client};
use serde_json::Value;

use super::messages::send_as;
use super::{error_response, read, refusal};
use crate::failure;
use crate::service::Local;

/// Answers the call.
pub(super) async fn ask(
    State(local): State<Arc<Local>>,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let (user, request) = match asked(path, body) {
        Ok(asked) => asked,
        Err(refused) => return refusal(refused),
    };
    match answer(&local, user, request).await.and_then(fields_of) {
        Ok(fields) => Json(fields).into_response(),
        Err(error) => error_response("v1/users", &error),
    }
}

/// What is asked, and in whose name.
fn asked(
    path: Result<Path<(String, String)>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(UserId, RequestKind), client::Error> {
    let Path((user, name)) =
        path.map_err(|rejection| Code::InvalidArgument.with(format!("path: {}", rejection.body_text())))?;
    let user = UserId::new(&user).map_err(|error| failure::refused_id("path")(error).to_client())?;
    let body = read(body).map_err(|error| error.to_client())?;
    let fields = match body.is_empty() {
        true => Value::Object(serde_json::Map::new()),
        false => serde_json::from_slice(&body)
            .map_err(|error| Code::InvalidArgument.with(format!("request: {error}")))?,
    };
    if !fields.is_object() {
        return Err(Code::InvalidArgument.with("request is not a JSON object: give its fields"));
    }
    let whole = serde_json::Map::from_iter([(name, fields)]);
    let (_, request) = codec::decode_json(&Value::Object(whole).to_string()).map_err(|error| error.error)?;
    Ok((user, request))
}

async fn answer(local: &Local, user: UserId, request: RequestKind) -> contracts::Result<ReplyKind> {
    match request {
        RequestKind::Send(send) => send_as(local, user, send).await.map(ReplyKind::Send),
        RequestKind::Watch(_) => {
            let message = "watch concerns a connection: ask presence, which answers the same";
            Err(Error::refused(Code::UnknownRequest, message))
        }
        request => local.answer(&Asker { user, device: None, connection: None }, request).await,
    }
}

/// The fields of a reply, without its name.
fn fields_of(reply: ReplyKind) -> contracts::Result<Value> {
    let named = serde_json::to_value(reply).map_err(|error| {
        Error::new(contracts::Kind::Internal, format!("a reply cannot be written: {error}"))
    })?;
    match named {
        Value::Object(named) => Ok(named.into_iter().next().map_or(Value::Null, |(_, fields)| fields)),
        other => Ok(other),
    }
}
