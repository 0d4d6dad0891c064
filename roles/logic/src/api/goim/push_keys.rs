//! `POST /goim/push/keys`: the body to the connection of each key. A key that is unknown is skipped.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State as Extract};
use axum::response::Response;

use super::super::query::Query;
use super::super::{State, count};
use super::{Answer, Fault, body_of, check_count, done};

pub(super) async fn call(
    Extract(state): Extract<Arc<State>>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    done("goim/push/keys", push(&state, &Query::parse(query.as_deref()), body).await)
}

async fn push(state: &State, query: &Query, body: Body) -> Answer<()> {
    let operation = query.operation()?;
    let mut keys: Vec<String> = query.all("keys").map(str::to_owned).collect();
    check_count("keys", keys.len())?;
    if keys.is_empty() {
        return Err(Fault::NobodyNamed);
    }
    keys.retain(|key| !key.is_empty());
    let body = body_of(body).await?;
    if !keys.is_empty() {
        state.push.push_to_keys(keys, operation, body).await?;
    }
    count("keys");
    Ok(())
}
