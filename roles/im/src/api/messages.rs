//! `POST /v1/messages`: sends a message in the name of a user.
//!
//! The body is a client's `send` with the sender beside it, whatever the content and whether to a user, a group or a
//! room: `{"from":"alice","to":{"group":"team"},"clientMessageId":"…","text":"hi","mentions":["bob"]}`. It is
//! answered with the fields of a client's send reply. Without a client message id one is made, and the call cannot be
//! repeated safely. Where clients may write only in chats that were begun, this begins one.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use contracts::Error;
use protocol::client::{Send, SendReply};
use protocol::{Code, Identifier, UserId};
use serde::Deserialize;

use super::{error_response, read};
use crate::failure;
use crate::service::Local;

/// What the caller gives.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    from: String,
    #[serde(flatten)]
    send: Send,
}

/// Answers the call.
pub(super) async fn send(State(local): State<Arc<Local>>, body: Result<Bytes, BytesRejection>) -> Response {
    match answer(&local, body).await {
        Ok(reply) => Json(reply).into_response(),
        Err(error) => error_response("v1/messages", &error),
    }
}

async fn answer(local: &Local, body: Result<Bytes, BytesRejection>) -> contracts::Result<SendReply> {
    let Request { from, send } = serde_json::from_slice(&read(body)?)
        .map_err(|error| Error::refused(Code::InvalidArgument, format!("request: {error}")))?;
    let sender = UserId::new(&from).map_err(failure::refused_id("from"))?;
    send_as(local, sender, send).await
}

/// Sends a message in the name of a user.
pub(super) async fn send_as(local: &Local, sender: UserId, send: Send) -> contracts::Result<SendReply> {
    let client_message_id = match send.client_message_id {
        given if given.is_empty() => local.make_client_message_id(),
        given => given,
    };
    local.send_checked(sender, None, Send { client_message_id, ..send }).await
}
