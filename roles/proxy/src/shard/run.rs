//! The thread of a shard and its turns.
//!
//! A panic on this thread, in a turn or in the work beside it, ends the shard, and the proxy says that it has
//! failed (see [`crate::Proxy::failed`]): what is half done is not gone on with.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::LocalSet;

use super::Shard;
use crate::Calls;
use crate::connection::ConnectionRef;
use crate::door::Doors;
use crate::heartbeat::TICK;
use crate::hub::{Command, Hub};

/// Events taken from the epoll at once.
const EVENTS_MAX: usize = 1_024;
/// Commands taken at once.
const COMMANDS_AT_ONCE: usize = 64;
/// How long the last word to logic may take.
const GOODBYE_TIME_LIMIT: Duration = Duration::from_secs(1);
/// Events of a token above all slots belong to a listener.
const TCP_TOKEN: Token = Token(usize::MAX - 1);
const WEBSOCKET_TOKEN: Token = Token(usize::MAX - 2);

/// What a shard's thread is made of.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) hub: Arc<Hub>,
    pub(crate) page: crate::Page,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) tcp: std::net::TcpListener,
    pub(crate) websocket: std::net::TcpListener,
    /// Filled when the doors open.
    pub(crate) calls: watch::Receiver<Option<Calls>>,
}

/// Starts the thread of a shard.
pub(crate) fn spawn(parts: Parts) -> io::Result<JoinHandle<()>> {
    let poll = Poll::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (index, hub) = (parts.index, Arc::clone(&parts.hub));
    std::thread::Builder::new().name(format!("proxy-{index}")).spawn(move || {
        let lived = catch_unwind(AssertUnwindSafe(|| LocalSet::new().block_on(&runtime, run(parts, poll))));
        let error = match lived {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            // Where and why was written by the panic itself.
            Err(_) => "it panicked".to_owned(),
        };
        tracing::error!(target: "proxy", shard = index, error, "a shard ended by itself");
        hub.fail();
    })
}

async fn run(mut parts: Parts, poll: Poll) -> io::Result<()> {
    let Some(calls) = parts.calls.wait_for(Option::is_some).await.ok().and_then(|calls| calls.clone()) else {
        return Ok(());
    };
    let wake = Rc::new(Notify::new());
    let registry = poll.registry().try_clone()?;
    let shard = Shard::new(parts.index, Arc::clone(&parts.hub), calls, registry, Rc::clone(&wake));

    let mut tcp = TcpListener::from_std(parts.tcp);
    let mut websocket = TcpListener::from_std(parts.websocket);
    poll.registry().register(&mut tcp, TCP_TOKEN, Interest::READABLE)?;
    poll.registry().register(&mut websocket, WEBSOCKET_TOKEN, Interest::READABLE)?;
    let doors = Doors::new(tcp, websocket, &parts.hub, parts.page);
    #[expect(deprecated, reason = "the descriptor is the Poll's own, which lives and dies with the AsyncFd")]
    let epoll = AsyncFd::new(poll)?;
    Turns { shard, doors: Some(doors), epoll, events: Events::with_capacity(EVENTS_MAX), wake }
        .until_stopped(parts.commands)
        .await
}

struct Turns {
    shard: Rc<RefCell<Shard>>,
    doors: Option<Doors>,
    epoll: AsyncFd<Poll>,
    events: Events,
    wake: Rc<Notify>,
}

impl Turns {
    async fn until_stopped(mut self, mut commands: mpsc::Receiver<Command>) -> io::Result<()> {
        let mut batch = Vec::with_capacity(COMMANDS_AT_ONCE);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let (busy, next_pass) = {
                let shard = self.shard.borrow();
                (shard.is_busy(), shard.rooms.next_due())
            };
            let mut ticked = false;
            // What is ready is taken in no order: none of it can keep the others waiting.
            tokio::select! {
                guard = self.epoll.readable_mut() => {
                    let mut guard = guard?;
                    guard.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO))?;
                    if self.events.is_empty() {
                        guard.clear_ready();
                    }
                }
                count = commands.recv_many(&mut batch, COMMANDS_AT_ONCE) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
                () = self.wake.notified() => {}
                () = tokio::task::yield_now(), if busy => {}
                () = sleep_until(next_pass) => {}
                _ = tick.tick() => ticked = true,
            }
            if self.turn(&mut batch, ticked) {
                self.say_goodbye().await;
                return Ok(());
            }
            if self.shard.borrow().is_broken() {
                return Err(io::Error::other("work for a client panicked"));
            }
            // With work always at hand the runtime would look at neither clock nor sockets.
            tokio::task::yield_now().await;
        }
    }

    /// Tells logic who went in the last turn, as long as that takes no longer than its time limit.
    async fn say_goodbye(&self) {
        let (gone, logic) = {
            let mut shard = self.shard.borrow_mut();
            (shard.take_gone(), shard.calls().logic)
        };
        if gone.is_empty() {
            return;
        }
        let count = gone.len();
        match tokio::time::timeout(GOODBYE_TIME_LIMIT, logic.disconnect(gone)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(target: "proxy", %error, count, "the last were not announced"),
            Err(_) => tracing::warn!(target: "proxy", count, "the last were not announced in time"),
        }
    }

    /// One turn; answers true when it was the last one.
    fn turn(&mut self, batch: &mut Vec<Command>, ticked: bool) -> bool {
        let now = Instant::now();
        let mut stopped = false;
        for command in batch.drain(..) {
            match command {
                Command::Drain => {
                    self.doors = None;
                    self.shard.borrow_mut().drain(now);
                }
                Command::Stop => {
                    self.doors = None;
                    self.shard.borrow_mut().close_all(now);
                    stopped = true;
                }
                command => self.shard.borrow_mut().carry_out(command, now),
            }
        }
        for event in &self.events {
            match (event.token(), &mut self.doors) {
                (TCP_TOKEN, Some(doors)) => doors.accept_tcp(&mut self.shard.borrow_mut(), now),
                (WEBSOCKET_TOKEN, Some(doors)) => doors.accept_websocket(&self.shard, now),
                (TCP_TOKEN | WEBSOCKET_TOKEN, None) => {}
                (Token(token), _) => {
                    let mut shard = self.shard.borrow_mut();
                    let place = place_of(token);
                    if event.is_read_closed() {
                        shard.hung_up(place);
                    }
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        shard.list(place);
                    }
                    if event.is_writable() {
                        shard.mark_dirty(place);
                    }
                }
            }
        }
        self.events.clear();
        if ticked && let Some(doors) = &mut self.doors {
            // An accept that failed is tried again here: no event tells when descriptors are free again.
            doors.accept_tcp(&mut self.shard.borrow_mut(), now);
            doors.accept_websocket(&self.shard, now);
        }
        let mut shard = self.shard.borrow_mut();
        if ticked {
            shard.look_at_limits(now);
        }
        shard.read_listed(now);
        shard.pass_due_rooms(now);
        shard.write_dirty(now);
        if !stopped {
            shard.announce_gone();
        }
        stopped
    }
}

/// The token of a connection's events: its slot, and its generation so that late events find nobody.
pub(super) fn token_of(place: ConnectionRef) -> Token {
    Token((place.generation as usize) << 32 | place.slot as usize)
}

fn place_of(token: usize) -> ConnectionRef {
    ConnectionRef { slot: token as u32, generation: (token >> 32) as u32 }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
