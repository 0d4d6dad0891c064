//! The contracts between processes, over real connections.

mod admission;
mod bounds;
mod comparison;
mod faults;
mod lanes;
mod peers;
mod relay;
mod tracing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::{ConnectionId, Identifier, ServerId, UserId};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::admission::Admission;
use crate::channel::Settings;
use crate::proxy::{Delivery, Payload, Proxies as _, Proxy, Receiver};
use crate::router::Handle;
use crate::server::Listener;
use crate::testing::{Fake, Loopback};
use crate::{Error, Kind, proxy};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn settings() -> Settings {
    Settings {
        time_limit: Duration::from_secs(60),
        connect_time_limit: Duration::from_secs(5),
        // A test's machine may have other things to do.
        ping_time_limit: Duration::from_secs(10),
        ..Settings::default()
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn server(name: &str) -> ServerId {
    ServerId(name.into())
}

/// A delivery to one connection, told apart by its inbox seq.
fn delivery(connection: u64, inbox_seq: u64, body_bytes: usize) -> Delivery {
    let receiver = Receiver { handle: Handle(connection), connection: ConnectionId(connection), inbox_seq };
    let payload = Payload::Operation { operation: 9, body: vec![7; body_bytes].into() };
    Delivery { receivers: vec![receiver], payload }
}

/// The inbox seqs of deliveries, in their order.
fn seqs(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().flat_map(|one| &one.receivers).map(|receiver| receiver.inbox_seq).collect()
}

/// A process with threads of its own, which can be killed.
struct Process {
    runtime: Option<Runtime>,
    fake: Arc<Fake>,
    server: ServerId,
    address: SocketAddr,
}

impl Process {
    fn start(name: &str, address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let name = name.to_owned();
        let started = std::thread::scope(|scope| {
            let starting = scope.spawn(|| {
                runtime.block_on(async move {
                    let listener = Listener::bind(address).await.unwrap();
                    Loopback::start_at(&name, Admission::default(), listener).await
                })
            });
            starting.join().unwrap()
        });
        let (fake, server, address) = (Arc::clone(&started.fake), started.server.clone(), started.address);
        // It serves as long as its runtime lives.
        std::mem::forget(started);
        Self { runtime: Some(runtime), fake, server, address }
    }

    /// Ends it at once, with all of its connections.
    fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An address that is free, and outside of what the system gives away by itself.
fn free_address() -> SocketAddr {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let start = 20_000 + rand::random::<u16>() % 9_000;
    SocketAddr::from(([127, 0, 0, 1], (start..start + 900).find(free).unwrap()))
}

/// A client of one proxy.
fn proxy_at(server: &ServerId, address: SocketAddr, settings: Settings) -> Arc<dyn Proxy> {
    let addresses = [(server.clone(), address.to_string())].into();
    let (_, addresses) = tokio::sync::watch::channel(addresses);
    proxy::Remotes::follow(settings, addresses).proxy(server).unwrap()
}

/// Calls until it succeeds.
async fn until_reached(proxy: &Arc<dyn Proxy>) {
    let mut last = None;
    let reach = async {
        loop {
            let (command, bulk) =
                (proxy.kick(Vec::new()).await, proxy.deliver(vec![delivery(0, 0, 0)]).await);
            match command.and(bulk) {
                Ok(()) => return,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = timeout(PATIENCE, reach).await;
    assert!(reached.is_ok(), "never reached: {last:?}");
}

fn kind_of<T: std::fmt::Debug>(answer: Result<T, Error>) -> Kind {
    answer.unwrap_err().kind()
}
