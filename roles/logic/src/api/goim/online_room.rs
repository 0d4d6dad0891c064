//! `GET /goim/online/room`: how many people are in each room; 0 in one that nobody knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State as Extract};
use axum::response::Response;
use protocol::RoomId;

use super::super::State;
use super::super::query::Query;
use super::{Answer, Fault, check_count, told};

pub(super) async fn call(Extract(state): Extract<Arc<State>>, RawQuery(query): RawQuery) -> Response {
    told("goim/online/room", counts(&state, &Query::parse(query.as_deref())).await)
}

async fn counts(state: &State, query: &Query) -> Answer<BTreeMap<String, u64>> {
    let room_type = query.text("type")?;
    let names: Vec<&str> = query.all("rooms").collect();
    if names.is_empty() {
        return Err(Fault::Query("rooms is missing".to_owned()));
    }
    check_count("rooms", names.len())?;
    let mut counts: BTreeMap<String, u64> = names.iter().map(|&name| (name.to_owned(), 0)).collect();
    // What cannot be a room's key has nobody in it.
    let (known, rooms): (Vec<&str>, Vec<RoomId>) = names
        .into_iter()
        .filter_map(|name| Some((name, RoomId::from_type_and_room(room_type, name).ok()?)))
        .unzip();
    for (name, count) in known.into_iter().zip(state.router.room_counts(&rooms).await?) {
        counts.insert(name.to_owned(), count);
    }
    Ok(counts)
}
