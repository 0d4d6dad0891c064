//! `GET /goim/nodes/instances`: all proxies, in the shape of goim's discovery.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::Response;
use serde::Serialize;

use super::super::State;
use super::told;
use crate::nodes::Node;

/// goim's name of what a proxy is.
const APPID: &str = "goim.comet";

#[derive(Serialize)]
struct Instance {
    region: String,
    zone: String,
    env: String,
    appid: &'static str,
    hostname: String,
    addrs: Vec<String>,
    version: String,
    /// In nanoseconds.
    latest_timestamp: u64,
    metadata: BTreeMap<&'static str, String>,
}

pub(super) async fn call(Extract(state): Extract<Arc<State>>) -> Response {
    told("goim/nodes/instances", Ok(state.nodes.all().iter().map(instance).collect::<Vec<_>>()))
}

fn instance(node: &Node) -> Instance {
    let addresses = &node.instance.addresses;
    let addrs = addresses.iter().map(|(name, address)| format!("{name}://{address}")).collect();
    let metadata = BTreeMap::from([
        ("addrs", node.host("tcp").unwrap_or_default().to_owned()),
        ("conn_count", node.load.connection_count.to_string()),
        ("ip_count", node.load.address_count.to_string()),
        ("offline", node.offline.to_string()),
        ("weight", node.weight.to_string()),
    ]);
    Instance {
        region: node.metadata("region").to_owned(),
        zone: node.metadata("zone").to_owned(),
        env: node.metadata("environment").to_owned(),
        appid: APPID,
        hostname: node.metadata("hostname").to_owned(),
        addrs,
        version: node.metadata("version").to_owned(),
        latest_timestamp: node.instance.since_ms.saturating_mul(1_000_000),
        metadata,
    }
}
