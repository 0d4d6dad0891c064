//! `POST /goim/push/all`: the body to everybody, at most `speed` connections per second in all.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State as Extract};
use axum::response::Response;

use super::super::query::Query;
use super::super::{State, count};
use super::{Answer, body_of, done};

pub(super) async fn call(
    Extract(state): Extract<Arc<State>>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    done("goim/push/all", push(&state, &Query::parse(query.as_deref()), body).await)
}

async fn push(state: &State, query: &Query, body: Body) -> Answer<()> {
    let operation = query.operation_not_zero()?;
    let speed: i32 = query.number("speed")?.unwrap_or(0);
    let body = body_of(body).await?;
    state.publisher.to_all(operation, body, u32::try_from(speed).unwrap_or(0)).await?;
    count("all");
    Ok(())
}
