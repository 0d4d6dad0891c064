//! All connections of this proxy: its shards, and what they share.
//!
//! Shards share little: the number of members of each room, the connections of each address, and the numbers
//! that are announced to the router. None of it is touched on the way of a message to a client.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contracts::Result;
use contracts::proxy::{BroadcastDelivery, Delivery, Kick, MembershipChange, RoomDelivery};
use foldhash::{HashMap, HashSet};
use parking_lot::Mutex;
use protocol::{RoomId, ServerId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::Config;
use crate::announce::{Announced, Announcer, Claim, Entered, Outcome};
use crate::metrics::Metrics;

/// What a shard is told from outside its thread.
pub(crate) enum Command {
    Deliver(Vec<Delivery>),
    DeliverToRooms(Arc<[RoomDelivery]>),
    Broadcast(Arc<BroadcastDelivery>),
    Kick(Vec<Kick>),
    /// Answered when the changes are made and the router knows the rooms that were entered.
    SetMemberships(Vec<MembershipChange>, oneshot::Sender<Result<()>>),
    /// Close the doors, answer what is being worked on, tell clients to connect again, close.
    Drain,
    /// Close everything that is left and end.
    Stop,
}

/// One room over all shards of this proxy.
#[derive(Debug, Default)]
pub(crate) struct RoomEntry {
    members: AtomicU64,
    /// The count over all proxies, as last heard.
    everywhere: AtomicU64,
    /// What was last reported, or [`UNKNOWN`].
    reported: AtomicU64,
    /// Somebody asked for the count over all proxies.
    asked: AtomicBool,
    /// Whether the router knows that this proxy has the room.
    pub(crate) announced: Announced,
}

/// What was reported of a room when nobody knows whether the report arrived.
const UNKNOWN: u64 = u64::MAX;

impl RoomEntry {
    /// People online in the room, at most a second old.
    pub(crate) fn count(&self) -> u64 {
        self.asked.store(true, Ordering::Relaxed);
        self.everywhere.load(Ordering::Relaxed).max(self.members.load(Ordering::Relaxed))
    }
}

#[derive(Debug, Default)]
struct Address {
    connection_count: u32,
    /// Connections that may come at once; refills with time.
    allowance: f64,
    refilled: Option<Instant>,
}

/// How long an address without connections is remembered: its allowance is full again by then.
const ADDRESS_KEPT: Duration = Duration::from_secs(1);

/// The addresses that connections come from.
#[derive(Debug, Default)]
struct Addresses {
    by_ip: HashMap<IpAddr, Address>,
    /// Those that were left without a connection, and when: who connects again at once finds its allowance as
    /// it was.
    left: VecDeque<(Instant, IpAddr)>,
    /// Addresses that have connections.
    present_count: u64,
}

impl Addresses {
    /// Forgets who left long ago.
    fn forget_left(&mut self, now: Instant) {
        while let Some((at, address)) = self.left.front().copied() {
            if now.saturating_duration_since(at) < ADDRESS_KEPT {
                return;
            }
            self.left.pop_front();
            let is_idle = |entry: &Address| {
                entry.connection_count == 0
                    && entry.refilled.is_none_or(|at| now.saturating_duration_since(at) >= ADDRESS_KEPT)
            };
            if self.by_ip.get(&address).is_some_and(is_idle) {
                self.by_ip.remove(&address);
            }
        }
    }
}

/// Why a connection was turned away at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    AddressFull,
    AddressRate,
}

/// A connection's place among all; given back when it is dropped.
pub(crate) struct Admission {
    hub: Arc<Hub>,
    pub(crate) address: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.hub.dismiss(self.address);
    }
}

/// All connections of this proxy.
pub(crate) struct Hub {
    pub(crate) server: ServerId,
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) shards: Vec<mpsc::Sender<Command>>,
    connection_count: AtomicUsize,
    session_count: AtomicU64,
    number: AtomicU64,
    rooms: Mutex<HashMap<RoomId, Arc<RoomEntry>>>,
    /// Rooms that were reported with members and have none left.
    emptied: Mutex<HashSet<RoomId>>,
    addresses: Mutex<Addresses>,
    /// Set when a shard has ended without having been told to.
    failed: watch::Sender<bool>,
    last_offsets: Mutex<HashMap<u32, u64>>,
}

/// Commands that may wait before a shard; whoever delivers waits for room.
pub(crate) const COMMANDS_MAX: usize = 1_024;

impl Hub {
    pub(crate) fn new(server: ServerId, config: Config, shards: Vec<mpsc::Sender<Command>>) -> Self {
        Self {
            server,
            config,
            metrics: Metrics::new(),
            shards,
            connection_count: AtomicUsize::new(0),
            session_count: AtomicU64::new(0),
            number: AtomicU64::new(0),
            rooms: Mutex::default(),
            emptied: Mutex::default(),
            addresses: Mutex::default(),
            failed: watch::Sender::new(false),
            last_offsets: Mutex::default(),
        }
    }

    /// The next number of what is announced to the router.
    pub(crate) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a connection in until the answer is dropped, or turns it away.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> std::result::Result<Admission, Refused> {
        if self.connection_count.fetch_add(1, Ordering::Relaxed) >= self.config.connections_max {
            self.connection_count.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        if let Err(refused) = self.admit_address(address, now) {
            self.connection_count.fetch_sub(1, Ordering::Relaxed);
            return Err(refused);
        }
        Ok(Admission { hub: Arc::clone(self), address })
    }

    fn admit_address(&self, address: IpAddr, now: Instant) -> std::result::Result<(), Refused> {
        let mut addresses = self.addresses.lock();
        let addresses = &mut *addresses;
        addresses.forget_left(now);
        let entry = addresses.by_ip.entry(address).or_insert_with(|| {
            addresses.left.push_back((now, address));
            Address::default()
        });
        if !address.is_loopback() {
            if entry.connection_count as usize >= self.config.connections_per_address_max {
                return Err(Refused::AddressFull);
            }
            let rate = f64::from(self.config.connection_rate_per_address_max);
            let elapsed = entry.refilled.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
            let allowance = (entry.allowance + elapsed.as_secs_f64().min(1.0) * rate).min(rate);
            if allowance < 1.0 {
                return Err(Refused::AddressRate);
            }
            entry.allowance = allowance - 1.0;
            entry.refilled = Some(now);
        }
        entry.connection_count += 1;
        if entry.connection_count == 1 {
            addresses.present_count += 1;
        }
        Ok(())
    }

    fn dismiss(&self, address: IpAddr) {
        self.connection_count.fetch_sub(1, Ordering::Relaxed);
        let mut addresses = self.addresses.lock();
        if let Some(entry) = addresses.by_ip.get_mut(&address) {
            entry.connection_count -= 1;
            if entry.connection_count == 0 {
                addresses.present_count -= 1;
                addresses.left.push_back((Instant::now(), address));
            }
        }
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connection_count.load(Ordering::Relaxed)
    }

    pub(crate) fn session_began(&self) {
        self.session_count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn session_ended(&self) {
        self.session_count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a member into a room.
    pub(crate) fn enter_room(&self, room: &RoomId) -> Arc<RoomEntry> {
        let mut rooms = self.rooms.lock();
        let entry = rooms.entry(room.clone()).or_default();
        entry.members.fetch_add(1, Ordering::Relaxed);
        Arc::clone(entry)
    }

    /// Says which of the rooms are to be announced, and by whom; `asker` is what others may wait for. A room that all
    /// members have left since is passed over, so that nothing is announced above the number of their leave.
    pub(crate) fn claim(&self, entered: &[Entered], asker: &watch::Receiver<Outcome>) -> Claim {
        let mut claim = Claim::default();
        let rooms = self.rooms.lock();
        for (room, entry) in entered {
            if entry.announced.is_known()
                || !rooms.get(room).is_some_and(|current| Arc::ptr_eq(current, entry))
            {
                continue;
            }
            match entry.announced.announcer(asker) {
                Announcer::Nobody => {}
                Announcer::Asker => claim.own.push((room.clone(), Arc::clone(entry))),
                Announcer::Other(other) if other.same_channel(asker) => {}
                Announcer::Other(other) => {
                    if !claim.others.last().is_some_and(|last| last.same_channel(&other)) {
                        claim.others.push(other);
                    }
                }
            }
        }
        // Allotted under the lock, so that whoever leaves afterwards announces a higher number.
        claim.number = if claim.own.is_empty() { 0 } else { self.next_number() };
        claim
    }

    /// Counts a member out of rooms. Answers those it was the last one of here, and the number to announce that with.
    pub(crate) fn leave_rooms(&self, left: &[Entered]) -> Option<(u64, Vec<RoomId>)> {
        let mut rooms = self.rooms.lock();
        let mut emptied = Vec::new();
        for (room, entry) in left {
            if entry.members.fetch_sub(1, Ordering::Relaxed) > 1 {
                continue;
            }
            rooms.remove(room);
            if entry.reported.load(Ordering::Relaxed) > 0 {
                self.emptied.lock().insert(room.clone());
            }
            emptied.push(room.clone());
        }
        // Allotted under the lock, so that whoever enters anew announces a higher number.
        (!emptied.is_empty()).then(|| (self.next_number(), emptied))
    }

    /// What changed since the last report, and the rooms whose counts are wanted.
    pub(crate) fn report(&self) -> (contracts::router::Report, Vec<Arc<RoomEntry>>) {
        let mut report = contracts::router::Report {
            connection_count: self.session_count.load(Ordering::Relaxed),
            address_count: self.addresses.lock().present_count,
            ..Default::default()
        };
        let mut wanted = Vec::new();
        let rooms = self.rooms.lock();
        let emptied = std::mem::take(&mut *self.emptied.lock());
        report
            .rooms
            .extend(emptied.into_iter().filter(|room| !rooms.contains_key(room)).map(|room| (room, 0)));
        // Nobody asks how many are in one of the server's own rooms.
        for (room, entry) in rooms.iter().filter(|(room, _)| !room.is_own()) {
            let members = entry.members.load(Ordering::Relaxed);
            if entry.reported.swap(members, Ordering::Relaxed) != members {
                report.rooms.push((room.clone(), members));
            }
            if entry.asked.load(Ordering::Relaxed) {
                report.wanted.push(room.clone());
                wanted.push(Arc::clone(entry));
            }
        }
        (report, wanted)
    }

    /// Takes the answer to a report.
    pub(crate) fn heard(wanted: &[Arc<RoomEntry>], counts: &[u64]) {
        for (entry, count) in wanted.iter().zip(counts) {
            entry.everywhere.store(*count, Ordering::Relaxed);
        }
    }

    /// A report did not arrive: all that it said is said again.
    pub(crate) fn forget_reported(&self, rooms: Vec<(RoomId, u64)>) {
        self.emptied.lock().extend(rooms.into_iter().filter(|(_, count)| *count == 0).map(|(room, _)| room));
        for (_, entry) in self.rooms.lock().iter().filter(|(room, _)| !room.is_own()) {
            entry.reported.store(UNKNOWN, Ordering::Relaxed);
        }
    }

    /// A shard has ended without having been told to.
    pub(crate) fn fail(&self) {
        self.failed.send_replace(true);
    }

    /// Hears of [`Self::fail`].
    pub(crate) fn failures(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// Tells whether a record of topic `push` is above the last one taken from its partition.
    pub(crate) fn is_new(&self, position: (u32, u64)) -> bool {
        let (partition, offset) = position;
        let mut last_offsets = self.last_offsets.lock();
        match last_offsets.get_mut(&partition) {
            Some(last) if offset <= *last => false,
            Some(last) => {
                *last = offset;
                true
            }
            None => {
                last_offsets.insert(partition, offset);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Identifier;

    use super::*;

    fn hub(config: Config) -> Arc<Hub> {
        Arc::new(Hub::new(ServerId("proxy-1".into()), config, Vec::new()))
    }

    #[test]
    fn one_address_cannot_take_all_places_but_loopback_may() {
        let hub = hub(Config {
            connections_max: 10,
            connections_per_address_max: 2,
            connection_rate_per_address_max: 100,
            ..Config::default()
        });
        let now = Instant::now();
        let (far, near) = ("192.0.2.1".parse().unwrap(), "127.0.0.1".parse().unwrap());
        let first = hub.admit(far, now).ok().unwrap();
        let _second = hub.admit(far, now).ok().unwrap();
        assert_eq!(hub.admit(far, now).err(), Some(Refused::AddressFull));
        drop(first);
        let _third = hub.admit(far, now).ok().unwrap();
        let _many: Vec<Admission> = (0..8).map(|_| hub.admit(near, now).ok().unwrap()).collect();
        assert_eq!(hub.admit(near, now).err(), Some(Refused::Full));
        assert_eq!(hub.connection_count(), 10);
    }

    #[test]
    fn a_room_that_is_entered_again_has_a_higher_number() {
        let hub = hub(Config::default());
        let room = RoomId::new("live://1").unwrap();
        let first = hub.enter_room(&room);
        let second = hub.enter_room(&room);
        assert_eq!(hub.leave_rooms(&[(room.clone(), second)]), None);
        let (left, emptied) = hub.leave_rooms(&[(room.clone(), Arc::clone(&first))]).unwrap();
        assert_eq!(emptied.len(), 1);
        let again = hub.enter_room(&room);
        assert!(!Arc::ptr_eq(&first, &again));
        assert!(hub.next_number() > left);
    }

    #[test]
    fn a_room_that_all_have_left_is_not_announced_after_its_leave() {
        let hub = hub(Config::default());
        let room = RoomId::new("live://1").unwrap();
        let first = (room.clone(), hub.enter_room(&room));
        let claim = |entered: &Entered| {
            let claim = hub.claim(std::slice::from_ref(entered), &watch::channel(None).1);
            (!claim.own.is_empty()).then_some(claim.number)
        };
        assert!(claim(&first).is_some());
        let (left, _) = hub.leave_rooms(std::slice::from_ref(&first)).unwrap();
        assert_eq!(claim(&first), None);
        let again = (room.clone(), hub.enter_room(&room));
        assert_eq!(claim(&first), None);
        assert!(claim(&again).unwrap() > left);
    }

    #[test]
    fn who_connects_and_closes_over_and_over_is_slowed_down_and_then_forgotten() {
        let hub = hub(Config { connection_rate_per_address_max: 5, ..Config::default() });
        let (start, far) = (Instant::now(), "192.0.2.1".parse().unwrap());
        let admitted = (0..50).filter(|_| hub.admit(far, start).is_ok()).count();
        assert_eq!(admitted, 5);
        assert_eq!(hub.report().0.address_count, 0);
        let later = start + 2 * ADDRESS_KEPT;
        let other = hub.admit("192.0.2.2".parse().unwrap(), later).ok().unwrap();
        assert_eq!(hub.addresses.lock().by_ip.len(), 1);
        assert_eq!(hub.report().0.address_count, 1);
        drop(other);
    }

    #[test]
    fn an_address_that_is_refused_leaves_nothing_behind() {
        let hub = hub(Config { connections_per_address_max: 0, ..Config::default() });
        let now = Instant::now();
        for last in 0..100 {
            let address = IpAddr::from([192, 0, 2, last]);
            assert_eq!(hub.admit(address, now).err(), Some(Refused::AddressFull));
        }
        let _ = hub.admit("192.0.2.200".parse().unwrap(), now + 2 * ADDRESS_KEPT);
        assert_eq!(hub.addresses.lock().by_ip.len(), 1);
    }

    #[test]
    fn a_room_left_after_a_report_that_got_lost_is_reported_as_empty() {
        let hub = hub(Config::default());
        let room = RoomId::new("live://1").unwrap();
        let entry = hub.enter_room(&room);
        let lost = hub.report().0.rooms;
        hub.forget_reported(lost);
        hub.leave_rooms(&[(room.clone(), entry)]);
        assert_eq!(hub.report().0.rooms, [(room, 0)]);
    }

    #[test]
    fn the_servers_own_rooms_are_counted_for_nobody() {
        let hub = hub(Config::default());
        let room = RoomId::of_watchers(&protocol::UserId::new("alice").unwrap());
        let entry = hub.enter_room(&room);
        assert!(hub.report().0.rooms.is_empty());
        hub.forget_reported(Vec::new());
        hub.leave_rooms(&[(room, entry)]);
        assert!(hub.report().0.rooms.is_empty());
    }

    #[test]
    fn a_record_that_comes_twice_is_taken_once() {
        let hub = hub(Config::default());
        assert!(hub.is_new((0, 5)));
        assert!(!hub.is_new((0, 5)));
        assert!(hub.is_new((1, 5)));
        assert!(hub.is_new((0, 6)));
    }

    #[test]
    fn a_report_names_changes_once() {
        let hub = hub(Config::default());
        let room = RoomId::new("live://1").unwrap();
        let entry = hub.enter_room(&room);
        assert_eq!(hub.report().0.rooms, [(room.clone(), 1)]);
        assert!(hub.report().0.rooms.is_empty());
        assert!(hub.report().0.wanted.is_empty());
        assert_eq!(entry.count(), 1);
        assert_eq!(hub.report().0.wanted.len(), 1);
        Hub::heard(&hub.report().1, &[7]);
        assert_eq!(entry.count(), 7);
        hub.leave_rooms(&[(room.clone(), entry)]);
        assert_eq!(hub.report().0.rooms, [(room.clone(), 0)]);
        hub.forget_reported(vec![(room.clone(), 0)]);
        assert_eq!(hub.report().0.rooms, [(room, 0)]);
        assert!(hub.report().0.rooms.is_empty());
    }
}
