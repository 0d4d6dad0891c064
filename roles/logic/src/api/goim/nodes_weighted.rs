//! `GET /goim/nodes/weighted`: where a new client connects, and how often it says that it is alive.

use std::sync::Arc;

use axum::extract::{RawQuery, State as Extract};
use axum::response::Response;
use serde::Serialize;

use super::super::State;
use super::super::query::Query;
use super::told;
use crate::nodes::{Node, Nodes};

/// goim's own example: how long a client waits before it connects again.
const BACKOFF: Backoff = Backoff { max_delay: 300, base_delay: 3, factor: 1.8, jitter: 0.3 };

#[derive(Serialize)]
struct Weighted {
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    #[serde(skip_serializing_if = "is_zero")]
    tcp_port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    ws_port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    wss_port: u16,
    heartbeat: u64,
    nodes: Vec<String>,
    backoff: Backoff,
    heartbeat_max: u32,
}

#[derive(Serialize)]
struct Backoff {
    max_delay: u32,
    base_delay: u32,
    factor: f64,
    jitter: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(port: &u16) -> bool {
    *port == 0
}

pub(super) async fn call(Extract(state): Extract<Arc<State>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    told("goim/nodes/weighted", Ok(weighted(&state.nodes, query.first("platform") == Some("web"))))
}

fn weighted(nodes: &Nodes, web: bool) -> Weighted {
    let best = nodes.best();
    let config = &nodes.config;
    let domain = match best.first() {
        Some(node) if config.domain.is_empty() => node.host("tcp").unwrap_or_default().to_owned(),
        _ => config.domain.clone(),
    };
    let name = |node: &Node| match node.metadata("hostname") {
        hostname if web && !hostname.is_empty() => Some(format!("{hostname}{}", config.host_domain)),
        _ => node.host(if web { "ws" } else { "tcp" }).map(str::to_owned),
    };
    let mut names: Vec<String> = best.iter().filter_map(name).collect();
    if names.is_empty() && !domain.is_empty() {
        names.push(domain.clone());
    }
    let port = |listener| best.first().and_then(|node| node.port(listener)).unwrap_or(0);
    Weighted {
        domain,
        tcp_port: port("tcp"),
        ws_port: port("ws"),
        wss_port: config.wss_port,
        heartbeat: config.heartbeat.as_secs(),
        nodes: names,
        backoff: BACKOFF,
        heartbeat_max: config.heartbeat_max,
    }
}
