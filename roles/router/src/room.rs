//! Which proxies have members in a room, and how many.
//!
//! Presence and count come on two ways: presence by enter and leave, each with the proxy's number, so that a
//! late leave does not undo a newer enter; counts by report, up to a second later. A room is here while a proxy
//! is present or reports people in it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use contracts::router::{Report, Totals};
use metrics::Gauge;
use parking_lot::Mutex;
use protocol::{Identifier, RoomId, ServerId};

use crate::sharded::Sharded;

/// What one proxy says of a room.
struct Share {
    server: ServerId,
    /// The number of its enter; `None` where it has left.
    entered: Option<u64>,
    /// Its members as last reported.
    count: u64,
}

/// Who is in which room.
pub(crate) struct Rooms {
    rooms: Sharded<RoomId, Vec<Share>>,
    totals: Mutex<HashMap<ServerId, Totals>>,
    room_count: Gauge,
}

impl Rooms {
    /// No room.
    pub(crate) fn new(shard_count: usize) -> Self {
        Self {
            rooms: Sharded::new(shard_count),
            totals: Mutex::default(),
            room_count: metrics::gauge!("anser_router_rooms"),
        }
    }

    /// A proxy has its first member in a room.
    pub(crate) fn enter(&self, server: &ServerId, number: u64, room: &RoomId) {
        self.change(room, server, |share| share.entered = share.entered.max(Some(number)));
    }

    /// A proxy has no member left in a room, as far as it knew at that number.
    pub(crate) fn leave(&self, server: &ServerId, number: u64, room: &RoomId) {
        self.change(room, server, |share| share.entered = share.entered.filter(|entered| *entered > number));
    }

    /// Takes a proxy's counts, and answers the counts that it wants to know.
    pub(crate) fn report(&self, server: &ServerId, report: Report) -> Vec<u64> {
        let totals =
            Totals { connection_count: report.connection_count, address_count: report.address_count };
        self.totals.lock().insert(server.clone(), totals);
        for (room, count) in report.rooms {
            self.change(&room, server, |share| share.count = count);
        }
        report.wanted.iter().map(|room| self.count(room)).collect()
    }

    /// The proxies that have members in a room.
    pub(crate) fn proxies(&self, room: &RoomId) -> Vec<ServerId> {
        let rooms = self.rooms.part(room);
        let shares = rooms.get(room).map_or(&[][..], Vec::as_slice);
        shares.iter().filter(|share| share.entered.is_some()).map(|share| share.server.clone()).collect()
    }

    /// People in a room.
    pub(crate) fn count(&self, room: &RoomId) -> u64 {
        self.rooms.part(room).get(room).map_or(0, |shares| people(shares))
    }

    /// The rooms of a type with most people; rooms without people, and the server's own, are not among them.
    pub(crate) fn top(&self, room_type: &str, limit: usize) -> Vec<(RoomId, u64)> {
        let prefix = format!("{room_type}://");
        // The smallest of the best is at the top of the heap: fewest people, of equals the last key.
        let mut best: BinaryHeap<(Reverse<u64>, RoomId)> = BinaryHeap::new();
        for part in self.rooms.parts() {
            let asked = |room: &RoomId| room.as_str().starts_with(&prefix) && !room.is_own();
            for (room, shares) in part.iter().filter(|(room, _)| asked(room)) {
                let count = people(shares);
                if count == 0 {
                    continue;
                }
                if best.len() < limit {
                    best.push((Reverse(count), room.clone()));
                } else if best.peek().is_some_and(|(least, last)| (Reverse(count), room) < (*least, last)) {
                    best.pop();
                    best.push((Reverse(count), room.clone()));
                }
            }
        }
        best.into_sorted_vec().into_iter().map(|(Reverse(count), room)| (room, count)).collect()
    }

    /// Connections and addresses over all proxies.
    pub(crate) fn totals(&self) -> Totals {
        self.totals.lock().values().fold(Totals::default(), |sum, totals| Totals {
            connection_count: sum.connection_count + totals.connection_count,
            address_count: sum.address_count + totals.address_count,
        })
    }

    /// Takes a proxy out of every room and out of the totals.
    pub(crate) fn expire(&self, server: &ServerId) {
        self.totals.lock().remove(server);
        let mut room_count = 0;
        for mut rooms in self.rooms.parts() {
            let before = rooms.len();
            rooms.retain(|_, shares| {
                shares.retain(|share| share.server != *server);
                !shares.is_empty()
            });
            room_count += before - rooms.len();
        }
        self.room_count.decrement(room_count as f64);
    }

    /// Changes what a proxy says of a room, and forgets what says nothing.
    fn change(&self, room: &RoomId, server: &ServerId, change: impl FnOnce(&mut Share)) {
        let mut rooms = self.rooms.part(room);
        let shares = rooms.entry(room.clone()).or_insert_with(|| {
            self.room_count.increment(1.0);
            Vec::new()
        });
        let index = shares.iter().position(|share| share.server == *server).unwrap_or_else(|| {
            shares.push(Share { server: server.clone(), entered: None, count: 0 });
            shares.len() - 1
        });
        let share = &mut shares[index];
        change(share);
        if share.entered.is_none() && share.count == 0 {
            shares.swap_remove(index);
        }
        if shares.is_empty() {
            rooms.remove(room);
            self.room_count.decrement(1.0);
        }
    }
}

fn people(shares: &[Share]) -> u64 {
    shares.iter().map(|share| share.count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerId {
        ServerId(name.into())
    }

    fn room(key: &str) -> RoomId {
        RoomId::new(key).unwrap()
    }

    fn report(counts: &[(&str, u64)]) -> Report {
        Report { rooms: counts.iter().map(|(key, count)| (room(key), *count)).collect(), ..Report::default() }
    }

    #[test]
    fn a_late_leave_does_not_undo_a_newer_enter() {
        let rooms = Rooms::new(4);
        rooms.enter(&server("p1"), 7, &room("live://1"));
        rooms.leave(&server("p1"), 6, &room("live://1"));
        assert_eq!(rooms.proxies(&room("live://1")), [server("p1")]);
        rooms.leave(&server("p1"), 8, &room("live://1"));
        assert_eq!(rooms.proxies(&room("live://1")), []);
    }

    #[test]
    fn counts_are_added_over_the_proxies_and_answered_to_who_wants_them() {
        let rooms = Rooms::new(4);
        rooms.report(&server("p1"), report(&[("live://1", 3)]));
        let wanted = vec![room("live://2"), room("live://1")];
        let counts = rooms.report(&server("p2"), Report { wanted, ..report(&[("live://1", 4)]) });
        assert_eq!(counts, [0, 7]);
    }

    #[test]
    fn a_count_that_comes_before_the_enter_is_kept_and_one_after_the_leave_names_no_proxy() {
        let rooms = Rooms::new(4);
        rooms.report(&server("p1"), report(&[("live://1", 2)]));
        assert_eq!((rooms.count(&room("live://1")), rooms.proxies(&room("live://1")).len()), (2, 0));
        rooms.enter(&server("p1"), 1, &room("live://1"));
        rooms.leave(&server("p1"), 2, &room("live://1"));
        assert_eq!(rooms.proxies(&room("live://1")), []);
        rooms.report(&server("p1"), report(&[("live://1", 0)]));
        assert_eq!(rooms.rooms.parts().map(|part| part.len()).sum::<usize>(), 0);
    }

    #[test]
    fn the_top_is_descending_with_ties_by_key_and_of_one_type() {
        let rooms = Rooms::new(4);
        let counts = [
            ("live://d", 5),
            ("live://b", 5),
            ("live://a", 1),
            ("live://c", 9),
            ("chat://a", 50),
            ("live", 70),
        ];
        rooms.report(&server("p1"), report(&counts));
        rooms.enter(&server("p1"), 1, &room("live://empty"));
        assert_eq!(
            rooms.top("live", 3),
            [(room("live://c"), 9), (room("live://b"), 5), (room("live://d"), 5)]
        );
        assert_eq!(rooms.top("live", 10).len(), 4);
        assert_eq!(rooms.top("live", 0), []);
    }

    #[test]
    fn the_servers_own_rooms_are_never_among_the_top() {
        let rooms = Rooms::new(4);
        let own = RoomId::of_group(&protocol::GroupId::new("a://b").unwrap());
        let report = Report { rooms: vec![(own.clone(), 9), (room("live://1"), 1)], ..Report::default() };
        rooms.enter(&server("p1"), 1, &own);
        rooms.report(&server("p1"), report);
        for room_type in ["", "live", "\u{1}group:a", "\u{1}group", "\u{1}"] {
            assert!(rooms.top(room_type, 10).iter().all(|(room, _)| !room.is_own()), "{room_type:?}");
        }
        assert_eq!(rooms.proxies(&own), [server("p1")]);
        assert_eq!(rooms.count(&own), 9);
    }

    #[test]
    fn hundreds_of_rooms_are_entered_at_once() {
        let rooms = Rooms::new(4);
        let all: Vec<RoomId> = (0..700).map(|number| room(&format!("live://{number}"))).collect();
        all.iter().for_each(|room| rooms.enter(&server("p1"), 1, room));
        assert!(all.iter().all(|room| rooms.proxies(room) == [server("p1")]));
    }

    #[test]
    fn an_expired_proxy_leaves_rooms_and_totals_to_the_others() {
        let rooms = Rooms::new(4);
        for name in ["p1", "p2"] {
            rooms.enter(&server(name), 1, &room("live://1"));
            let report =
                Report { connection_count: 10, address_count: 2, ..report(&[("live://1", 3), (name, 1)]) };
            rooms.report(&server(name), report);
        }
        rooms.expire(&server("p1"));
        assert_eq!(rooms.proxies(&room("live://1")), [server("p2")]);
        assert_eq!((rooms.count(&room("live://1")), rooms.count(&room("p1"))), (3, 0));
        assert_eq!(rooms.totals(), Totals { connection_count: 10, address_count: 2 });
    }
}
