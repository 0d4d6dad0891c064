//! proxy: holds the clients' connections at the edge (the seed's *proxy*, goim's comet).
//!
//! It speaks goim's frame on TCP and WebSocket and Anser's own protocol on both, keeps rooms, and hands pushes
//! to sockets. It stores nothing durable: auth, rooms and counts are logic's; messages, groups and all other chat
//! requests are im's. Beside the rooms that clients name there are the server's own (see [`own_rooms`]).
//!
//! One thread a core, each with its own listeners, runtime, connections and rooms (see [`shard`]): no lock and
//! no wake-up between threads on the way out. A slow client delays nobody: what has no room in its queue is
//! dropped and counted, or read again from im where it is stored.

mod announce;
mod connection;
mod door;
mod handshake;
mod heartbeat;
mod hub;
mod inbox;
mod listener;
mod metrics;
mod operation;
mod own_rooms;
mod room;
mod send_queue;
mod service;
mod shard;
mod transport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::im::Im;
use contracts::logic::Logic;
use protocol::ServerId;

pub use service::Proxy;

/// How a proxy behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where goim's frame is spoken on TCP.
    pub tcp: SocketAddr,
    /// Where WebSocket is spoken at `/sub`, and the page is served.
    pub ws: SocketAddr,
    /// Threads that hold connections; 0: one for each CPU of the process's affinity mask.
    pub shards: usize,
    /// Bytes of the largest body that a client may send.
    pub frame_body_bytes_max: usize,
    /// Bytes that may wait for one client.
    pub send_queue_bytes_max: usize,
    /// How long a client may take no byte while some wait.
    pub slow_time_limit: Duration,
    /// How long nothing may be heard from a client.
    pub idle_time_limit: Duration,
    /// How long a client may take for its handshake, and then for its auth.
    pub auth_time_limit: Duration,
    /// How often an Anser client is asked to send a heartbeat.
    pub chat_heartbeat: Duration,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections from one address; loopback is exempt.
    pub connections_per_address_max: usize,
    /// New connections a second from one address; loopback is exempt.
    pub connection_rate_per_address_max: u32,
    /// Requests a second on one connection; loopback is exempt.
    pub requests_per_second_max: u32,
    /// Which part of a core one busy room may cost in each shard: above 0, at most 1.
    pub merge_share: f64,
    /// How long a room's message may wait to leave with others.
    pub merge_budget: Duration,
    /// Origins of browsers' pages that may connect, beside the page's own.
    pub allowed_origins: Vec<String>,
    /// Under which operation stock goim clients get stored messages.
    pub chat_operation: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tcp: SocketAddr::from(([127, 0, 0, 1], 3101)),
            ws: SocketAddr::from(([127, 0, 0, 1], 3102)),
            shards: 0,
            frame_body_bytes_max: protocol::limits::FRAME_BODY_BYTES_MAX,
            send_queue_bytes_max: 64 * 1024,
            slow_time_limit: Duration::from_secs(5),
            idle_time_limit: Duration::from_secs(8 * 60),
            auth_time_limit: Duration::from_secs(8),
            chat_heartbeat: Duration::from_secs(25),
            connections_max: 1_000_000,
            connections_per_address_max: 10_000,
            connection_rate_per_address_max: 200,
            requests_per_second_max: 200,
            merge_share: 0.5,
            merge_budget: Duration::from_millis(100),
            allowed_origins: Vec::new(),
            chat_operation: 1000,
        }
    }
}

/// A file of the page.
#[derive(Debug, Clone)]
pub struct PageFile {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Finds the file of the page that a path names.
pub type Page = Arc<dyn Fn(&str) -> Option<PageFile> + Send + Sync>;

/// What a proxy needs before it has calls to make.
pub struct Deps {
    /// This process.
    pub server: ServerId,
    /// The files that the WebSocket port serves beside `/sub`.
    pub page: Page,
}

/// The roles that a proxy calls.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) logic: Arc<dyn Logic>,
    pub(crate) im: Arc<dyn Im>,
}
