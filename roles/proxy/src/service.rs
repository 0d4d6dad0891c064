//! A running proxy: its threads, its contract towards push and logic, its way up and down.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contracts::im::Im;
use contracts::logic::Logic;
use contracts::proxy::{BroadcastDelivery, Delivery, Kick, MembershipChange, RoomDelivery};
use contracts::{Error, Kind, Result};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::connection::ConnectionRef;
use crate::hub::{COMMANDS_MAX, Command, Hub};
use crate::listener;
use crate::shard::{self, Parts};
use crate::{Calls, Config, Deps};

/// How often counts go to logic, so that they are never a second old.
const REPORT_PERIOD: Duration = Duration::from_millis(400);
/// How often a drain looks whether everybody has gone.
const DRAIN_PERIOD: Duration = Duration::from_millis(20);

/// A proxy with its listeners bound.
pub struct Proxy {
    hub: Arc<Hub>,
    tcp: SocketAddr,
    ws: SocketAddr,
    calls: watch::Sender<Option<Calls>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    report: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Proxy {
    /// Binds the listeners and starts the threads, with the doors closed.
    ///
    /// # Errors
    /// The listener that cannot be bound, with its address.
    pub async fn bind(config: Config, deps: Deps) -> io::Result<Self> {
        let shard_count = match config.shards {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            shards => shards,
        }
        .min(255);
        let named = |address: SocketAddr| {
            move |error: io::Error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            }
        };
        let (tcp_listeners, tcp) = listener::bind(config.tcp, shard_count).map_err(named(config.tcp))?;
        let (ws_listeners, ws) = listener::bind(config.ws, shard_count).map_err(named(config.ws))?;
        let (senders, mut receivers): (Vec<_>, VecDeque<_>) =
            (0..shard_count).map(|_| mpsc::channel(COMMANDS_MAX)).unzip();
        let hub = Arc::new(Hub::new(deps.server, config, senders));
        let (calls, _) = watch::channel(None);
        let mut threads = Vec::new();
        for (index, (tcp, websocket)) in tcp_listeners.into_iter().zip(ws_listeners).enumerate() {
            let Some(commands) = receivers.pop_front() else { break };
            let (hub, page, calls) = (Arc::clone(&hub), Arc::clone(&deps.page), calls.subscribe());
            threads.push(shard::spawn(Parts { index, hub, page, commands, tcp, websocket, calls })?);
        }
        Ok(Self { hub, tcp, ws, calls, threads: Mutex::new(threads), report: Mutex::new(None) })
    }

    /// Where the TCP listener is.
    #[must_use]
    pub fn tcp_address(&self) -> SocketAddr {
        self.tcp
    }

    /// Where the WebSocket listener is.
    #[must_use]
    pub fn ws_address(&self) -> SocketAddr {
        self.ws
    }

    /// Connections at this moment, those in their handshake included.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.hub.connection_count()
    }

    /// What push and logic call.
    #[must_use]
    pub fn contract(&self) -> Arc<dyn contracts::proxy::Proxy> {
        Arc::new(Contract { hub: Arc::clone(&self.hub) })
    }

    /// Answers when a thread of this proxy has ended without having been told to; it has said why in the log. Its
    /// connections are gone while the directory still names them, so the process is to be stopped and started
    /// again.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut failures = self.hub.failures();
        async move {
            if failures.wait_for(|failed| *failed).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Lets clients in.
    pub async fn open_doors(&self, logic: Arc<dyn Logic>, im: Arc<dyn Im>) {
        let report = tokio::spawn(report_counts(Arc::clone(&self.hub), Arc::clone(&logic)));
        *self.report.lock() = Some(report);
        self.calls.send_replace(Some(Calls { logic, im }));
    }

    /// Closes the doors, answers what was asked, asks clients to come back, and waits until they have gone, at
    /// most this long.
    pub async fn drain(&self, time_limit: Duration) {
        let deadline = Instant::now() + time_limit;
        for shard in &self.hub.shards {
            // A shard that has ended has no connections.
            let _ = shard.send(Command::Drain).await;
        }
        while self.hub.connection_count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_PERIOD).await;
        }
    }

    /// Closes what is left and ends the threads.
    pub async fn stop(&self) {
        for shard in &self.hub.shards {
            let _ = shard.send(Command::Stop).await;
        }
        if let Some(report) = self.report.lock().take() {
            report.abort();
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        // Without calls a shard still waits for the doors to open: dropping the sender ends it.
        let doors_opened = self.calls.borrow().is_some();
        if doors_opened {
            let ended = tokio::task::spawn_blocking(move || {
                for thread in threads {
                    // A thread that panicked has said so on its own.
                    let _ = thread.join();
                }
            });
            let _ = ended.await;
        }
    }
}

/// Tells logic how many are where, and hears how many there are in all.
async fn report_counts(hub: Arc<Hub>, logic: Arc<dyn Logic>) {
    let mut period = tokio::time::interval(REPORT_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let (report, wanted) = hub.report();
        let rooms = report.rooms.clone();
        match logic.report(&hub.server, report).await {
            Ok(counts) => Hub::heard(&wanted, &counts),
            Err(error) => {
                tracing::warn!(target: "proxy", %error, "counts could not be reported");
                hub.forget_reported(rooms);
            }
        }
    }
}

struct Contract {
    hub: Arc<Hub>,
}

impl Contract {
    async fn tell(&self, shard: usize, command: Command) -> Result<()> {
        let Some(shard) = self.hub.shards.get(shard) else { return Ok(()) };
        shard.send(command).await.map_err(|_| stopped())
    }
}

fn stopped() -> Error {
    Error::new(Kind::Unavailable, "the proxy has stopped")
}

#[async_trait]
impl contracts::proxy::Proxy for Contract {
    async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<()> {
        let shard_count = self.hub.shards.len();
        let mut by_shard: Vec<Vec<Delivery>> = vec![Vec::new(); shard_count];
        for delivery in deliveries {
            let mut receivers = vec![Vec::new(); shard_count];
            for receiver in delivery.receivers {
                let (shard, _) = ConnectionRef::of_handle(receiver.handle);
                if let Some(receivers) = receivers.get_mut(shard) {
                    receivers.push(receiver);
                }
            }
            for (shard, receivers) in
                receivers.into_iter().enumerate().filter(|(_, receivers)| !receivers.is_empty())
            {
                by_shard[shard].push(Delivery { receivers, payload: delivery.payload.clone() });
            }
        }
        let mut outcome = Ok(());
        for (shard, deliveries) in by_shard.into_iter().enumerate().filter(|(_, some)| !some.is_empty()) {
            outcome = outcome.and(self.tell(shard, Command::Deliver(deliveries)).await);
        }
        outcome
    }

    async fn deliver_to_rooms(&self, deliveries: Vec<RoomDelivery>) -> Result<()> {
        let new: Arc<[RoomDelivery]> =
            deliveries.into_iter().filter(|delivery| self.hub.is_new(delivery.position)).collect();
        let mut outcome = Ok(());
        for shard in 0..self.hub.shards.len() {
            outcome = outcome.and(self.tell(shard, Command::DeliverToRooms(Arc::clone(&new))).await);
        }
        outcome
    }

    async fn broadcast(&self, delivery: BroadcastDelivery) -> Result<()> {
        if !self.hub.is_new(delivery.position) {
            return Ok(());
        }
        let delivery = Arc::new(delivery);
        let mut outcome = Ok(());
        for shard in 0..self.hub.shards.len() {
            outcome = outcome.and(self.tell(shard, Command::Broadcast(Arc::clone(&delivery))).await);
        }
        outcome
    }

    async fn set_memberships(&self, changes: Vec<MembershipChange>) -> Result<()> {
        let mut by_shard: Vec<Vec<MembershipChange>> = vec![Vec::new(); self.hub.shards.len()];
        for change in changes {
            let (shard, _) = ConnectionRef::of_handle(change.handle);
            if let Some(changes) = by_shard.get_mut(shard) {
                changes.push(change);
            }
        }
        let mut answers = Vec::new();
        let mut outcome = Ok(());
        for (shard, changes) in by_shard.into_iter().enumerate().filter(|(_, some)| !some.is_empty()) {
            let (answer, answered) = oneshot::channel();
            outcome = outcome.and(self.tell(shard, Command::SetMemberships(changes, answer)).await);
            answers.push(answered);
        }
        for answered in answers {
            outcome = outcome.and(answered.await.unwrap_or_else(|_| Err(stopped())));
        }
        outcome
    }

    async fn kick(&self, kicks: Vec<Kick>) -> Result<()> {
        let mut outcome = Ok(());
        for shard in 0..self.hub.shards.len() {
            let of_shard = |kick: &Kick| ConnectionRef::of_handle(kick.handle).0 == shard;
            let kicks: Vec<Kick> = kicks.iter().copied().filter(of_shard).collect();
            if !kicks.is_empty() {
                outcome = outcome.and(self.tell(shard, Command::Kick(kicks)).await);
            }
        }
        outcome
    }
}
