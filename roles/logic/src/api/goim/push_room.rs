//! `POST /goim/push/room`: the body to everybody in the room `type://room`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State as Extract};
use axum::response::Response;
use protocol::RoomId;

use super::super::query::Query;
use super::super::{State, count};
use super::{Answer, Fault, body_of, done};

pub(super) async fn call(
    Extract(state): Extract<Arc<State>>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    done("goim/push/room", push(&state, &Query::parse(query.as_deref()), body).await)
}

async fn push(state: &State, query: &Query, body: Body) -> Answer<()> {
    let operation = query.operation_not_zero()?;
    let room = RoomId::from_type_and_room(query.text("type")?, query.text("room")?)
        .map_err(|error| Fault::Query(error.to_string()))?;
    let body = body_of(body).await?;
    state.publisher.to_room(&room, operation, body).await?;
    count("room");
    Ok(())
}
