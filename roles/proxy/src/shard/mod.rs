//! One core's part of the proxy: a thread with its own listeners, runtime, connections and rooms.
//!
//! All sockets of a shard are in one epoll of its own, which is nested in the runtime's: a connection is a
//! plain struct in a slab, no task, and however many sockets are ready, one task is woken. What takes time
//! (auth, im, the router) is a future on the same thread, which comes back to the shard when it is done.
//!
//! A turn of the shard: what came from outside, what the sockets have to read, the rooms whose pass is due,
//! then every connection that has something to send is written to once.

mod catch_up;
mod deliver;
mod life;
mod member;
mod own_room;
mod read;
mod run;
mod write;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use contracts::router::Unregistration;
use tokio::sync::Notify;

use crate::Calls;
use crate::connection::{Connection, ConnectionRef, GENERATION_MASK};
use crate::heartbeat::Wheel;
use crate::hub::Hub;
use crate::room::{Pacing, Rooms};

pub(crate) use run::{Parts, spawn};

/// Bytes that one read of a socket may bring.
const READ_BYTES: usize = 64 * 1024;

struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

/// One core's connections and rooms.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) hub: Arc<Hub>,
    pub(crate) rooms: Rooms,
    calls: Calls,
    draining: bool,
    registry: mio::Registry,
    slots: Vec<Slot>,
    free: Vec<u32>,
    wheel: Wheel,
    /// Connections that have something to send.
    dirty: Vec<ConnectionRef>,
    /// Connections that have something to read or to work on, though no event will say so.
    listed: VecDeque<ConnectionRef>,
    gone: Vec<Unregistration>,
    read_buffer: Vec<u8>,
    scratch: Vec<u8>,
    wake: Rc<Notify>,
    /// Set where work that was given away has panicked.
    broken: Rc<Cell<bool>>,
    own: Weak<RefCell<Shard>>,
}

/// Tells the shard when the work that holds it panics: the runtime would only end the task, and what waits for
/// it would wait for ever.
pub(crate) struct Alarm {
    broken: Rc<Cell<bool>>,
    wake: Rc<Notify>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.broken.set(true);
            self.wake.notify_one();
        }
    }
}

impl Shard {
    fn new(
        index: usize,
        hub: Arc<Hub>,
        calls: Calls,
        registry: mio::Registry,
        wake: Rc<Notify>,
    ) -> Rc<RefCell<Self>> {
        let pacing = Pacing { share: hub.config.merge_share, budget: hub.config.merge_budget };
        Rc::new_cyclic(|own| {
            RefCell::new(Self {
                index,
                hub,
                rooms: Rooms::new(pacing),
                calls,
                draining: false,
                registry,
                slots: Vec::new(),
                free: Vec::new(),
                wheel: Wheel::new(Instant::now()),
                dirty: Vec::new(),
                listed: VecDeque::new(),
                gone: Vec::new(),
                read_buffer: vec![0; READ_BYTES],
                scratch: Vec::new(),
                wake,
                broken: Rc::default(),
                own: Weak::clone(own),
            })
        })
    }

    /// The connection in a place, unless another one has taken it since.
    pub(crate) fn connection(&self, place: ConnectionRef) -> Option<&Connection> {
        let slot = self.slots.get(place.slot as usize)?;
        slot.connection.as_ref().filter(|_| slot.generation == place.generation)
    }

    /// As [`Self::connection`], to be changed.
    pub(crate) fn connection_mut(&mut self, place: ConnectionRef) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(place.slot as usize)?;
        slot.connection.as_mut().filter(|_| slot.generation == place.generation)
    }

    /// The place of whoever is in a slot.
    fn place(&self, slot: u32) -> ConnectionRef {
        ConnectionRef { slot, generation: self.slots[slot as usize].generation }
    }

    /// The places of all connections.
    fn places(&self) -> Vec<ConnectionRef> {
        (0..self.slots.len() as u32)
            .filter(|slot| self.slots[*slot as usize].connection.is_some())
            .map(|slot| self.place(slot))
            .collect()
    }

    fn insert(&mut self, connection: Connection) -> ConnectionRef {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None });
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize].connection = Some(connection);
        self.place(slot)
    }

    fn remove(&mut self, place: ConnectionRef) -> Option<Connection> {
        let slot = self.slots.get_mut(place.slot as usize)?;
        if slot.generation != place.generation {
            return None;
        }
        let connection = slot.connection.take()?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(place.slot);
        Some(connection)
    }

    /// Does work that takes time, on this thread, and comes back to the shard with its outcome. Work that was
    /// given first is begun first.
    pub(crate) fn later<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
        then: impl FnOnce(&mut Shard, T) + 'static,
    ) {
        let (own, wake, alarm) = (Weak::clone(&self.own), Rc::clone(&self.wake), self.alarm());
        tokio::task::spawn_local(async move {
            let _alarm = alarm;
            let outcome = work.await;
            if let Some(shard) = own.upgrade() {
                then(&mut shard.borrow_mut(), outcome);
                wake.notify_one();
            }
        });
    }

    /// To be held by work beside the turns, see [`Alarm`].
    pub(crate) fn alarm(&self) -> Alarm {
        Alarm { broken: Rc::clone(&self.broken), wake: Rc::clone(&self.wake) }
    }

    fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Makes the next turn come at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The roles to call.
    pub(crate) fn calls(&self) -> Calls {
        self.calls.clone()
    }
}
