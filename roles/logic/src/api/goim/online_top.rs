//! `GET /goim/online/top`: the rooms of a type with most people, descending.

use std::sync::Arc;

use axum::extract::{RawQuery, State as Extract};
use axum::response::Response;
use protocol::Identifier as _;
use protocol::limits::TARGETS_PER_CALL_MAX;
use serde::Serialize;

use super::super::State;
use super::super::query::Query;
use super::{Answer, Fault, told};

#[derive(Serialize)]
struct Top {
    room_id: String,
    count: u64,
}

pub(super) async fn call(Extract(state): Extract<Arc<State>>, RawQuery(query): RawQuery) -> Response {
    told("goim/online/top", top(&state, &Query::parse(query.as_deref())).await)
}

async fn top(state: &State, query: &Query) -> Answer<Vec<Top>> {
    let room_type = query.text("type")?;
    let limit: i64 = query.number("limit")?.unwrap_or(0);
    if limit <= 0 {
        return Err(Fault::Query(format!("limit {limit} is not positive")));
    }
    let limit = usize::try_from(limit).map_or(TARGETS_PER_CALL_MAX, |limit| limit.min(TARGETS_PER_CALL_MAX));
    let rooms = state.router.rooms_top(room_type, limit).await?;
    let tops = rooms.into_iter().map(|(room, count)| {
        let room_id = room.type_and_room().map_or(room.as_str(), |(_, room)| room).to_owned();
        Top { room_id, count }
    });
    Ok(tops.collect())
}
