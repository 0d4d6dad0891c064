//! Which connection is where: by user and device, and by key.
//!
//! A device of a user has one connection and a key has one connection; the newer replaces the older. A
//! connection lies in two maps whose locks are never held together. Whoever takes a place removes the one it
//! replaced from the other map, and whoever was replaced while coming in removes itself, so both maps agree
//! when the last of them has answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::router::{Located, Registered, Registration, Route, Unregistration};
use metrics::Gauge;
use protocol::{ConnectionId, DeviceId, ServerId, UserId};

use crate::sharded::Sharded;

/// Bits of a connection id that count within one epoch: a million connections a second for twelve days.
const COUNTER_BITS: u32 = 40;

/// A connection as its user finds it.
struct UserEntry {
    route: Route,
    device: DeviceId,
    key: Arc<str>,
}

/// A connection as its key finds it.
struct KeyEntry {
    route: Route,
    user: Option<UserId>,
    /// The router made the key, so nobody can take it by naming it.
    allotted: bool,
}

/// Who is where.
pub(crate) struct Directory {
    epoch: u64,
    counter: AtomicU64,
    users: Sharded<UserId, Vec<UserEntry>>,
    keys: Sharded<Arc<str>, KeyEntry>,
    connection_count: Gauge,
    user_count: Gauge,
}

impl Directory {
    /// An empty directory that allots its connection ids from this epoch.
    pub(crate) fn new(shard_count: usize, epoch: u64) -> Self {
        Self {
            epoch,
            counter: AtomicU64::new(1),
            users: Sharded::new(shard_count),
            keys: Sharded::new(shard_count),
            connection_count: metrics::gauge!("anser_router_connections"),
            user_count: metrics::gauge!("anser_router_users"),
        }
    }

    /// Takes a connection in.
    pub(crate) fn register(&self, registration: Registration) -> Registered {
        let Registration { server, handle, user, device, key, connection, number: _ } = registration;
        let connection = connection.unwrap_or_else(|| self.allot());
        let route = Route { server, connection, handle };
        let mut replaced = Vec::new();

        // The key first: a connection that is found by its user then always has its key in place.
        let (key, replaced_by_key) = self.take_key(&key, user.clone(), &route);
        if let Some(older) = replaced_by_key {
            if let Some(older_user) = &older.user {
                self.remove_from_user(older_user, &older.route);
            }
            replaced.push(older.route);
        }
        if let Some(user) = user {
            let older = self.take_device(&user, device, &key, &route);
            replaced.extend(older.filter(|older| !replaced.contains(older)));
        }
        Registered { connection, key: key.as_ref().to_owned(), replaced }
    }

    /// Takes a connection out, unless it was replaced or is held by another proxy.
    pub(crate) fn unregister(&self, unregistration: &Unregistration) {
        let Unregistration { server, connection, user, key, number: _ } = unregistration;
        let is_it = |route: &Route| route.connection == *connection && route.server == *server;
        let route = self.keys.part(&**key).get(&**key).map(|entry| entry.route.clone());
        if let Some(route) = route.filter(is_it) {
            self.remove_key(key, &route);
        }
        if let Some(user) = user {
            self.remove_from_user_where(user, is_it);
        }
    }

    /// Finds all connections of a user.
    pub(crate) fn locate_user(&self, user: &UserId) -> Located {
        let routes = self
            .users
            .part(user)
            .get(user)
            .map_or_else(Vec::new, |entries| entries.iter().map(|entry| entry.route.clone()).collect());
        Located { routes, unannounced: Vec::new() }
    }

    /// Finds the connection of a key.
    pub(crate) fn locate_key(&self, key: &str) -> Located {
        let routes = self.keys.part(key).get(key).map(|entry| entry.route.clone());
        Located { routes: routes.into_iter().collect(), unannounced: Vec::new() }
    }

    /// Takes out every connection of a proxy; answers how many there were.
    pub(crate) fn expire(&self, server: &ServerId) -> usize {
        let mut connection_count = 0;
        for mut keys in self.keys.parts() {
            let before = keys.len();
            keys.retain(|_, entry| entry.route.server != *server);
            connection_count += before - keys.len();
        }
        let mut user_count = 0;
        for mut users in self.users.parts() {
            let before = users.len();
            users.retain(|_, entries| {
                entries.retain(|entry| entry.route.server != *server);
                !entries.is_empty()
            });
            user_count += before - users.len();
        }
        self.connection_count.decrement(connection_count as f64);
        self.user_count.decrement(user_count as f64);
        connection_count
    }

    fn allot(&self) -> ConnectionId {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        ConnectionId((self.epoch << COUNTER_BITS) | (counter & ((1 << COUNTER_BITS) - 1)))
    }

    /// Puts the route in a key's place, and answers the key and who was there. A named key that is another
    /// connection's allotted one is not given away: the allotted key of this connection is taken instead.
    fn take_key(&self, named: &str, user: Option<UserId>, route: &Route) -> (Arc<str>, Option<KeyEntry>) {
        let allotted = route.connection.to_string();
        let key: Arc<str> = if named.is_empty() { allotted.as_str().into() } else { named.into() };
        let entry = KeyEntry { route: route.clone(), user, allotted: *key == *allotted };
        let mut keys = self.keys.part(&*key);
        let guarded =
            keys.get(&key).is_some_and(|held| held.allotted && held.route.connection != route.connection);
        if guarded && !entry.allotted {
            drop(keys);
            return self.take_key("", entry.user, route);
        }
        let older = keys.insert(key.clone(), entry);
        if older.is_none() {
            self.connection_count.increment(1.0);
        }
        (key, older.filter(|older| older.route.connection != route.connection))
    }

    /// Puts the route in the place of a user's device, and answers the connection that was there.
    fn take_device(&self, user: &UserId, device: DeviceId, key: &Arc<str>, route: &Route) -> Option<Route> {
        let entry = UserEntry { route: route.clone(), device, key: key.clone() };
        let older =
            self.replace_device(user, entry).filter(|older| older.route.connection != route.connection);
        if let Some(older) = &older {
            self.remove_key(&older.key, &older.route);
        }
        // Somebody may have taken the key before the user had this entry, and found nothing to remove.
        if !self.holds_key(key, route) {
            self.remove_from_user(user, route);
        }
        older.map(|older| older.route)
    }

    fn replace_device(&self, user: &UserId, entry: UserEntry) -> Option<UserEntry> {
        let mut users = self.users.part(user);
        let entries = users.entry(user.clone()).or_insert_with(|| {
            self.user_count.increment(1.0);
            Vec::new()
        });
        match entries.iter_mut().find(|older| older.device == entry.device) {
            Some(older) => Some(std::mem::replace(older, entry)),
            None => {
                entries.push(entry);
                None
            }
        }
    }

    fn holds_key(&self, key: &str, route: &Route) -> bool {
        self.keys.part(key).get(key).is_some_and(|entry| entry.route == *route)
    }

    fn remove_key(&self, key: &str, route: &Route) {
        let mut keys = self.keys.part(key);
        if keys.get(key).is_some_and(|entry| entry.route == *route) {
            keys.remove(key);
            self.connection_count.decrement(1.0);
        }
    }

    fn remove_from_user(&self, user: &UserId, route: &Route) {
        self.remove_from_user_where(user, |held| held == route);
    }

    fn remove_from_user_where(&self, user: &UserId, is_it: impl Fn(&Route) -> bool) {
        let mut users = self.users.part(user);
        let Some(entries) = users.get_mut(user) else { return };
        entries.retain(|entry| !is_it(&entry.route));
        if entries.is_empty() {
            users.remove(user);
            self.user_count.decrement(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::router::Handle;
    use protocol::Identifier;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn registration(server: &str, handle: u64, user_name: &str, device: &str, key: &str) -> Registration {
        Registration {
            server: ServerId(server.into()),
            number: handle,
            handle: Handle(handle),
            user: UserId::new(user_name).ok(),
            device: DeviceId::new(device).unwrap(),
            key: key.to_owned(),
            connection: None,
        }
    }

    fn unregistration(server: &str, registered: &Registered, user_name: &str) -> Unregistration {
        Unregistration {
            server: ServerId(server.into()),
            number: 9,
            connection: registered.connection,
            user: UserId::new(user_name).ok(),
            key: registered.key.clone(),
        }
    }

    fn handles(located: &Located) -> Vec<u64> {
        let mut handles: Vec<u64> = located.routes.iter().map(|route| route.handle.0).collect();
        handles.sort_unstable();
        handles
    }

    #[test]
    fn all_devices_of_a_user_are_found_and_an_unknown_user_is_not() {
        let directory = Directory::new(4, 1);
        directory.register(registration("p1", 1, "alice", "phone", ""));
        directory.register(registration("p2", 2, "alice", "web", ""));
        assert_eq!(handles(&directory.locate_user(&user("alice"))), [1, 2]);
        assert_eq!(directory.locate_user(&user("bob")), Located::default());
    }

    #[test]
    fn a_late_disconnect_does_not_remove_the_connection_that_replaced_it() {
        let directory = Directory::new(4, 1);
        let older = directory.register(registration("p1", 1, "alice", "phone", "k"));
        let newer = directory.register(registration("p2", 2, "alice", "phone", "k"));
        let replaced =
            Route { server: ServerId("p1".into()), connection: older.connection, handle: Handle(1) };
        assert_eq!(newer.replaced, [replaced]);

        directory.unregister(&unregistration("p1", &older, "alice"));
        assert_eq!(handles(&directory.locate_user(&user("alice"))), [2]);
        assert_eq!(handles(&directory.locate_key("k")), [2]);

        directory.unregister(&unregistration("p1", &newer, "alice"));
        assert_eq!(handles(&directory.locate_key("k")), [2], "another proxy removed it");
        directory.unregister(&unregistration("p2", &newer, "alice"));
        assert_eq!(directory.locate_user(&user("alice")), Located::default());
        assert_eq!(directory.locate_key("k"), Located::default());
    }

    #[test]
    fn the_key_of_a_replaced_device_finds_nobody() {
        let directory = Directory::new(4, 1);
        let older = directory.register(registration("p1", 1, "alice", "phone", ""));
        let newer = directory.register(registration("p1", 2, "alice", "phone", ""));
        assert_eq!(newer.replaced[0].connection, older.connection);
        assert_eq!(older.key, older.connection.to_string());
        assert_eq!(directory.locate_key(&older.key), Located::default());
        assert_eq!(handles(&directory.locate_key(&newer.key)), [2]);
    }

    #[test]
    fn a_key_belongs_to_the_newer_connection_whatever_its_user() {
        let directory = Directory::new(4, 1);
        directory.register(registration("p1", 1, "alice", "phone", "k"));
        let newer = directory.register(registration("p1", 2, "", "phone", "k"));
        assert_eq!(newer.replaced[0].handle, Handle(1));
        assert_eq!(directory.locate_user(&user("alice")), Located::default());
        assert_eq!(handles(&directory.locate_key("k")), [2]);
    }

    #[test]
    fn one_registration_may_replace_a_device_and_a_key() {
        let directory = Directory::new(4, 1);
        directory.register(registration("p1", 1, "alice", "phone", "one"));
        directory.register(registration("p1", 2, "bob", "phone", "two"));
        let newer = directory.register(registration("p1", 3, "alice", "phone", "two"));
        let mut replaced: Vec<u64> = newer.replaced.iter().map(|route| route.handle.0).collect();
        replaced.sort_unstable();
        assert_eq!(replaced, [1, 2]);
        assert_eq!(directory.locate_key("one"), Located::default());
        assert_eq!(directory.locate_user(&user("bob")), Located::default());
    }

    #[test]
    fn an_allotted_key_cannot_be_taken_by_naming_it() {
        let directory = Directory::new(4, 1);
        let alice = directory.register(registration("p1", 1, "alice", "phone", ""));
        let thief = directory.register(registration("p1", 2, "", "goim", &alice.key));
        assert_ne!(thief.key, alice.key);
        assert_eq!(thief.replaced, []);
        assert_eq!(handles(&directory.locate_key(&alice.key)), [1]);
    }

    #[test]
    fn a_connection_that_is_announced_again_keeps_its_id() {
        let directory = Directory::new(4, 1);
        let first = directory.register(registration("p1", 1, "alice", "phone", ""));
        let again = Registration {
            connection: Some(first.connection),
            key: first.key.clone(),
            ..registration("p1", 1, "alice", "phone", "")
        };
        let again = directory.register(again);
        assert_eq!((again.connection, again.key, again.replaced), (first.connection, first.key, vec![]));
        assert_eq!(handles(&directory.locate_user(&user("alice"))), [1]);
    }

    #[test]
    fn ids_of_two_epochs_are_distinct() {
        let ids = [1, 2].map(|epoch| {
            Directory::new(4, epoch).register(registration("p1", 1, "alice", "phone", "")).connection
        });
        assert!(ids[0] < ids[1]);
    }

    #[test]
    fn a_connection_whose_key_was_taken_while_it_came_in_is_not_found() {
        let directory = Directory::new(4, 1);
        let route = Route { server: ServerId("p1".into()), connection: ConnectionId(7), handle: Handle(1) };
        let (key, _) = directory.take_key("k", Some(user("alice")), &route);
        directory.register(registration("p1", 2, "bob", "phone", "k"));
        directory.take_device(&user("alice"), DeviceId::new("phone").unwrap(), &key, &route);
        assert_eq!(directory.locate_user(&user("alice")), Located::default());
        assert_eq!(handles(&directory.locate_key("k")), [2]);
    }

    #[test]
    fn both_maps_agree_after_a_race_for_one_device_and_one_key() {
        let directory = Directory::new(4, 1);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let directory = &directory;
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let name = ["alice", "bob"][(round % 2) as usize];
                        let key = ["k1", "k2", "k3"][(round % 3) as usize];
                        directory.register(registration("p1", thread * 10_000 + round, name, "phone", key));
                    }
                });
            }
        });
        let mut by_user: Vec<u64> =
            ["alice", "bob"].iter().flat_map(|name| handles(&directory.locate_user(&user(name)))).collect();
        let mut by_key: Vec<u64> =
            ["k1", "k2", "k3"].iter().flat_map(|key| handles(&directory.locate_key(key))).collect();
        by_user.sort_unstable();
        by_key.sort_unstable();
        assert_eq!(by_user, by_key);
    }
}
