//! `POST /v1/messages`: sends a message in the name of a user.
//!
//! `{"from":"alice","to":{"user":"bob"},"clientMessageId":"…","text":"hi"}` is answered with the fields of a
//! client's send reply. Without a client message id one is made, and the call cannot be repeated safely.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contracts::Error;
use protocol::client::{Send, SendReply};
use protocol::{Code, Identifier, UserId};
use serde::Deserialize;

use super::error_response;
use crate::service::Local;
use crate::single_chat::Outgoing;

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
    let answer = match body {
        Ok(body) => answer(&local, &body).await,
        Err(rejection) => {
            let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            let code = if too_large { Code::TooLarge } else { Code::Malformed };
            Err(Error::refused(code, format!("request cannot be read: {}", rejection.body_text())))
        }
    };
    match answer {
        Ok(reply) => Json(reply).into_response(),
        Err(error) => error_response("v1/messages", &error),
    }
}

async fn answer(local: &Local, body: &[u8]) -> contracts::Result<SendReply> {
    let Request { from, send } = serde_json::from_slice(body)
        .map_err(|error| Error::refused(Code::InvalidArgument, format!("request: {error}")))?;
    let sender = UserId::new(&from)
        .map_err(|error| Error::refused(Code::InvalidArgument, format!("from: {error}")))?;
    let content = send.content.ok_or_else(|| {
        Error::refused(Code::InvalidArgument, "content is missing: give text, image or custom")
    })?;
    let client_message_id = match send.client_message_id {
        given if given.is_empty() => local.make_client_message_id(),
        given => given,
    };
    let outgoing = Outgoing { sender, connection: None, client_message_id, content: content.into() };
    local.send_checked(outgoing, send.to.unwrap_or_default()).await
}
