//! Where connections come in: accepting them, and turning away whom there is no room for.
//!
//! An accept that fails ends nothing: it is tried again at the next tick.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::handshake;
use crate::hub::{Admission, Hub, Refused};
use crate::shard::Shard;
use crate::transport::Carrier;
use crate::{Config, Page};

/// Connections accepted in one go before others have their turn.
const ACCEPTS_AT_ONCE: usize = 4_096;

/// The listening sockets of a shard.
pub(crate) struct Doors {
    tcp: TcpListener,
    websocket: TcpListener,
    hub: Arc<Hub>,
    handshake: Rc<handshake::Handshake>,
    /// Dropped with the doors, which tells the HTTP connections to end.
    open: watch::Sender<()>,
}

impl Doors {
    pub(crate) fn new(tcp: TcpListener, websocket: TcpListener, hub: &Arc<Hub>, page: Page) -> Self {
        let config: &Config = &hub.config;
        let handshake = Rc::new(handshake::Handshake::new(config, page));
        Self { tcp, websocket, hub: Arc::clone(hub), handshake, open: watch::Sender::new(()) }
    }

    /// Takes in who waits at the TCP listener.
    pub(crate) fn accept_tcp(&mut self, shard: &mut Shard, now: Instant) {
        accept(&self.tcp, &self.hub, now, |stream, admission| {
            shard.admit(stream, Carrier::Tcp, admission, &[], now);
        });
    }

    /// Lets who waits at the WebSocket listener begin its handshake, in a task of its own that ends with it.
    pub(crate) fn accept_websocket(&mut self, shard: &Rc<RefCell<Shard>>, now: Instant) {
        accept(&self.websocket, &self.hub, now, |stream, admission| {
            let stream = std::net::TcpStream::from(stream);
            let open = self.open.subscribe();
            let served = Rc::clone(&self.handshake).serve(Rc::downgrade(shard), stream, admission, open);
            tokio::task::spawn_local(served);
        });
    }
}

fn accept(listener: &TcpListener, hub: &Arc<Hub>, now: Instant, mut take: impl FnMut(TcpStream, Admission)) {
    for _ in 0..ACCEPTS_AT_ONCE {
        let (stream, peer): (TcpStream, SocketAddr) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return,
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                _ => {
                    hub.metrics.refused("accept_failed");
                    tracing::warn!(target: "proxy", %error, "a connection could not be accepted");
                    return;
                }
            },
        };
        match hub.admit(peer.ip().to_canonical(), now) {
            Ok(admission) => take(stream, admission),
            Err(Refused::Full) => hub.metrics.refused("full"),
            Err(Refused::AddressFull) => hub.metrics.refused("address_full"),
            Err(Refused::AddressRate) => hub.metrics.refused("address_rate"),
        }
    }
}
