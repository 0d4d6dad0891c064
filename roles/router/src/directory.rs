//! Which connection is where: by user and device, and by key.
//!
//! A device of a user has one connection and a key has one connection; the newer replaces the older. Which other
//! devices of the user may stay says the [`DeviceRule`]. All of it is decided in [`Directory::register`] while the
//! user's part is locked, and the connection's id is allotted there too: of two connections of a user, the newer is
//! the one with the higher id, also where they are announced again in a later epoch.
//!
//! A connection lies in two maps. Whoever takes in or takes out a connection of a user holds the user's part and
//! takes a key's part inside it, never the other way round. Who takes a key of another user's connection removes
//! that connection afterwards, so both maps agree when the last of them has answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::router::{Devices, Located, Registered, Registration, Replaced, Route, Unregistration};
use metrics::Gauge;
use protocol::code::CloseCode;
use protocol::{ConnectionId, DeviceId, ServerId, UserId};

use crate::DeviceRule;
use crate::presence::{Change, Feed};
use crate::sharded::{Part, Sharded};

/// Bits of a connection id that count within one epoch: a million connections a second for twelve days.
const COUNTER_BITS: u32 = 40;

/// A connection as its user finds it.
struct UserEntry {
    route: Route,
    device: DeviceId,
    platform: Box<str>,
    key: Arc<str>,
}

/// The connections of one user, in the order they came.
type Entries = Vec<UserEntry>;

/// A connection as its key finds it.
struct KeyEntry {
    route: Route,
    user: Option<UserId>,
    /// The router made the key, so nobody can take it by naming it.
    allotted: bool,
}

/// A connection that comes in.
struct Coming {
    route: Route,
    user: Option<UserId>,
    key: String,
    /// It was allotted its id before, and may have given way since.
    again: bool,
}

/// What came of taking a key.
enum TakenKey {
    /// It is this connection's, and was another's before.
    Taken(Arc<str>, Option<KeyEntry>),
    /// A newer connection has it.
    Late,
}

/// Who is where.
pub(crate) struct Directory {
    epoch: u64,
    rule: DeviceRule,
    counter: AtomicU64,
    users: Sharded<UserId, Entries>,
    keys: Sharded<Arc<str>, KeyEntry>,
    feed: Feed,
    connection_count: Gauge,
    user_count: Gauge,
}

impl Directory {
    /// An empty directory that allots its connection ids from this epoch and tells the feed who comes and goes.
    pub(crate) fn new(shard_count: usize, epoch: u64, rule: DeviceRule, feed: Feed) -> Self {
        Self {
            epoch,
            rule,
            counter: AtomicU64::new(1),
            users: Sharded::new(shard_count),
            keys: Sharded::new(shard_count),
            feed,
            connection_count: metrics::gauge!("anser_router_connections"),
            user_count: metrics::gauge!("anser_router_users"),
        }
    }

    /// Takes a connection in. One that is announced again and would have to give way to a newer one is not taken
    /// in: it is among those replaced itself.
    pub(crate) fn register(&self, registration: Registration) -> Registered {
        let Registration { server, number: _, handle, user, device, platform, key, connection } =
            registration;
        let again = connection.is_some();
        // Held until both maps have it.
        let mut users = user.as_ref().map(|user| self.users.part(user));
        let route = Route { server, connection: connection.unwrap_or_else(|| self.allot()), handle };
        let coming = Coming { route, user, key, again };

        if let (Some(users), Some(user)) = (&users, &coming.user) {
            let newer = users.get(user).into_iter().flatten().rev();
            let mut newer = newer.take_while(|entry| entry.route.connection > coming.route.connection);
            if let Some(code) = newer.find_map(|entry| self.exclude(entry, &device, &platform)) {
                return late(coming, code);
            }
        }
        let TakenKey::Taken(key, older) = self.take_key(&coming) else {
            return late(coming, CloseCode::ReplacedByDevice);
        };
        let mut replaced = Vec::new();
        if let (Some(users), Some(user)) = (&mut users, &coming.user) {
            let entry = UserEntry {
                route: coming.route.clone(),
                device,
                platform: platform.into(),
                key: key.clone(),
            };
            self.take_place(
                users.entry(user.clone()).or_default(),
                user,
                entry,
                older.as_ref(),
                &mut replaced,
            );
        }
        drop(users);
        if let Some(older) = older.filter(|older| !replaced.iter().any(|one| one.route == older.route)) {
            if let Some(user) = &older.user {
                self.remove_from_user(user, |route| *route == older.route);
            }
            replaced.push(Replaced { route: older.route, code: CloseCode::ReplacedByDevice });
        }
        Registered { connection: coming.route.connection, key: key.as_ref().to_owned(), replaced }
    }

    /// Takes a connection out, unless it was replaced or is held by another proxy.
    pub(crate) fn unregister(&self, unregistration: &Unregistration) {
        let Unregistration { server, connection, user, key, number: _ } = unregistration;
        let is_it = |route: &Route| route.connection == *connection && route.server == *server;
        match user {
            Some(user) => {
                let mut users = self.users.part(user);
                self.remove_from(&mut users, user, is_it);
                self.remove_key(key, is_it);
            }
            None => self.remove_key(key, is_it),
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

    /// The devices of a user that are there.
    pub(crate) fn devices(&self, user: &UserId) -> Devices {
        let devices = self
            .users
            .part(user)
            .get(user)
            .map_or_else(Vec::new, |entries| entries.iter().map(|entry| entry.device.clone()).collect());
        Devices { devices, unannounced: Vec::new() }
    }

    /// Finds the connection of a key.
    pub(crate) fn locate_key(&self, key: &str) -> Located {
        let routes = self.keys.part(key).get(key).map(|entry| entry.route.clone());
        Located { routes: routes.into_iter().collect(), unannounced: Vec::new() }
    }

    /// Takes out every connection of a proxy; answers how many there were, and who has gone with them. The caller
    /// hands the changes to the feed.
    pub(crate) fn expire(&self, server: &ServerId) -> (usize, Vec<Change>) {
        let mut connection_count = 0;
        for mut keys in self.keys.parts() {
            let before = keys.len();
            keys.retain(|_, entry| entry.route.server != *server);
            connection_count += before - keys.len();
        }
        let mut gone = Vec::new();
        for mut users in self.users.parts() {
            users.retain(|user, entries| {
                entries.retain(|entry| entry.route.server != *server);
                if entries.is_empty() {
                    gone.push(self.feed.change(user, false));
                }
                !entries.is_empty()
            });
        }
        self.connection_count.decrement(connection_count as f64);
        self.user_count.decrement(gone.len() as f64);
        (connection_count, gone)
    }

    /// To whom it tells who comes and goes.
    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    fn allot(&self) -> ConnectionId {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        ConnectionId((self.epoch << COUNTER_BITS) | (counter & ((1 << COUNTER_BITS) - 1)))
    }

    /// Why a connection and one on this device cannot both be there; the older of the two is told so.
    fn exclude(&self, entry: &UserEntry, device: &DeviceId, platform: &str) -> Option<CloseCode> {
        if entry.device == *device {
            return Some(CloseCode::ReplacedByDevice);
        }
        let both_may = match self.rule {
            DeviceRule::All => true,
            DeviceRule::OnePerPlatform => *entry.platform != *platform,
            DeviceRule::Single => false,
        };
        (!both_may).then_some(CloseCode::ReplacedByLogin)
    }

    /// Puts the route in a key's place, and answers the key and who was there. A named key that is another
    /// connection's allotted one is not given away: the allotted key of this connection is taken instead.
    fn take_key(&self, coming: &Coming) -> TakenKey {
        let Coming { route, user, key: named, again } = coming;
        let allotted = route.connection.to_string();
        let entry =
            |key: &str| KeyEntry { route: route.clone(), user: user.clone(), allotted: key == allotted };
        let is_other = |held: &&KeyEntry| held.route.connection != route.connection;
        if !named.is_empty() && *named != allotted {
            let mut keys = self.keys.part(&**named);
            let held = keys.get(&**named).filter(is_other);
            if *again && held.is_some_and(|held| held.route.connection > route.connection) {
                return TakenKey::Late;
            }
            if !held.is_some_and(|held| held.allotted) {
                let key: Arc<str> = named.as_str().into();
                return self.put_key(&mut keys, key, entry(named));
            }
        }
        let key: Arc<str> = allotted.as_str().into();
        let mut keys = self.keys.part(&*key);
        self.put_key(&mut keys, key, entry(&allotted))
    }

    fn put_key(&self, keys: &mut Part<Arc<str>, KeyEntry>, key: Arc<str>, entry: KeyEntry) -> TakenKey {
        let connection = entry.route.connection;
        let older = keys.insert(key.clone(), entry);
        if older.is_none() {
            self.connection_count.increment(1.0);
        }
        TakenKey::Taken(key, older.filter(|older| older.route.connection != connection))
    }

    /// Puts a connection among those of its user, in the place of those that cannot be there beside it: the same
    /// device, the one that had its key, and whom the rule excludes.
    fn take_place(
        &self,
        entries: &mut Entries,
        user: &UserId,
        coming: UserEntry,
        older_of_key: Option<&KeyEntry>,
        replaced: &mut Vec<Replaced>,
    ) {
        let first = entries.is_empty();
        entries.retain(|entry| {
            let same_connection = entry.route.connection == coming.route.connection;
            let had_key = older_of_key.is_some_and(|older| older.route == entry.route);
            let code = if had_key {
                Some(CloseCode::ReplacedByDevice)
            } else {
                self.exclude(entry, &coming.device, &coming.platform)
            };
            if !same_connection && code.is_none() {
                return true;
            }
            if entry.key != coming.key {
                self.remove_key(&entry.key, |route| *route == entry.route);
            }
            let code = code.filter(|_| !same_connection);
            replaced.extend(code.map(|code| Replaced { route: entry.route.clone(), code }));
            false
        });
        let at = entries.partition_point(|entry| entry.route.connection < coming.route.connection);
        entries.insert(at, coming);
        if first {
            self.user_count.increment(1.0);
            self.feed.offer(self.feed.change(user, true));
        }
    }

    fn remove_key(&self, key: &str, is_it: impl Fn(&Route) -> bool) {
        let mut keys = self.keys.part(key);
        if keys.get(key).is_some_and(|entry| is_it(&entry.route)) {
            keys.remove(key);
            self.connection_count.decrement(1.0);
        }
    }

    fn remove_from_user(&self, user: &UserId, is_it: impl Fn(&Route) -> bool) {
        self.remove_from(&mut self.users.part(user), user, is_it);
    }

    fn remove_from(&self, users: &mut Part<UserId, Entries>, user: &UserId, is_it: impl Fn(&Route) -> bool) {
        let Some(entries) = users.get_mut(user) else { return };
        entries.retain(|entry| !is_it(&entry.route));
        if entries.is_empty() {
            users.remove(user);
            self.user_count.decrement(1.0);
            self.feed.offer(self.feed.change(user, false));
        }
    }
}

/// A connection that gave way while it was announced again.
fn late(coming: Coming, code: CloseCode) -> Registered {
    let Coming { route, key, .. } = coming;
    let key = if key.is_empty() { route.connection.to_string() } else { key };
    Registered { connection: route.connection, key, replaced: vec![Replaced { route, code }] }
}

#[cfg(test)]
mod tests;
