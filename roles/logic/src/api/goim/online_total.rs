//! `GET /goim/online/total`: connections and addresses over all proxies.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::Response;
use serde::Serialize;

use super::super::State;
use super::{Answer, told};

#[derive(Serialize)]
struct Total {
    conn_count: u64,
    ip_count: u64,
}

pub(super) async fn call(Extract(state): Extract<Arc<State>>) -> Response {
    told("goim/online/total", total(&state).await)
}

async fn total(state: &State) -> Answer<Total> {
    let totals = state.router.totals().await?;
    Ok(Total { conn_count: totals.connection_count, ip_count: totals.address_count })
}
