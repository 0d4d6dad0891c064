//! `POST /goim/push/mids`: the body to all connections of each mid. One that is offline, or that is nobody's,
//! is skipped.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State as Extract};
use axum::response::Response;
use protocol::UserId;

use super::super::query::Query;
use super::super::{State, count};
use super::{Answer, body_of, check_count, done};

pub(super) async fn call(
    Extract(state): Extract<Arc<State>>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    done("goim/push/mids", push(&state, &Query::parse(query.as_deref()), body).await)
}

async fn push(state: &State, query: &Query, body: Body) -> Answer<()> {
    let operation = query.operation()?;
    let mids: Vec<i64> = query.numbers("mids")?;
    check_count("mids", mids.len())?;
    let users: Vec<UserId> = mids.into_iter().filter_map(UserId::from_mid).collect();
    let body = body_of(body).await?;
    if !users.is_empty() {
        state.push.push_to_users(users, operation, body).await?;
    }
    count("mids");
    Ok(())
}
