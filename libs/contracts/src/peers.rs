//! The processes of one role: connected as they come, left as they go.
//!
//! A set follows a watch of addresses. It offers one of them by the hash of a key, by least work, or by its id. The
//! choice by key is rendezvous hashing: every caller chooses the same one, and when one comes or goes only its own
//! keys move. One that is not connected is passed over. A call is made again on another one only where it has never
//! left this process.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use prost::Message;
use protocol::ServerId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use crate::channel::{Callee, Channel, Failure, Lane, Settings, Target};
use crate::{Error, Kind, Result};

/// How often a call that has not left this process is tried on another one.
const ATTEMPTS_MAX: usize = 3;

/// Where the processes of a role are: `host:port` of each.
pub type Addresses = BTreeMap<ServerId, String>;

/// The hash of a key, the same in every process.
#[must_use]
pub(crate) fn hash(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}

/// A process of the role.
pub(crate) struct Peer {
    hash: u64,
    pub(crate) channel: Channel,
}

type Table = Arc<Vec<Arc<Peer>>>;

/// Where a call goes: a process, and one of its connections.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) peer: Arc<Peer>,
    pub(crate) place: usize,
}

impl Route {
    fn is_same(&self, other: &Self) -> bool {
        self.place == other.place && Arc::ptr_eq(&self.peer, &other.peer)
    }
}

/// Some of the items of a call, and where they go.
struct Group {
    route: Route,
    indexes: Vec<usize>,
}

/// The processes of one role.
pub(crate) struct Peers {
    role: &'static str,
    patience: Duration,
    table: Arc<RwLock<Table>>,
    /// Raised whenever a process or a connection comes or goes.
    changed: watch::Receiver<u64>,
    turn: AtomicUsize,
    task: JoinHandle<()>,
}

impl Peers {
    /// Follows the addresses until it is dropped.
    pub(crate) fn follow(callee: Callee, settings: Settings, addresses: watch::Receiver<Addresses>) -> Self {
        let (sender, changed) = watch::channel(0);
        let table = Arc::<RwLock<Table>>::default();
        let patience = settings.connect_time_limit;
        let follower = Follower { callee, settings, table: Arc::clone(&table), changed: sender };
        // What is known already is there when this answers.
        follower.apply(&addresses.borrow());
        let task = tokio::spawn(follower.run(addresses));
        Self { role: callee.role, patience, table, changed, turn: AtomicUsize::new(0), task }
    }

    /// The processes that are known.
    pub(crate) fn all(&self) -> Table {
        Arc::clone(&self.table.read())
    }

    /// Asks the process of a key.
    pub(crate) async fn ask_by_key<A: Message + Default + 'static>(
        &self,
        key: u64,
        path: &'static str,
        message: &impl Message,
    ) -> Result<A> {
        self.ask(Some(key), path, message).await
    }

    /// Asks the process that has least to do.
    pub(crate) async fn ask_any<A: Message + Default + 'static>(
        &self,
        path: &'static str,
        message: &impl Message,
    ) -> Result<A> {
        self.ask(None, path, message).await
    }

    async fn ask<A: Message + Default + 'static>(
        &self,
        key: Option<u64>,
        path: &'static str,
        message: &impl Message,
    ) -> Result<A> {
        let message = Bytes::from(message.encode_to_vec());
        let mut attempt = 1;
        loop {
            let peer = self.wait_for(key).await?;
            // Without a key the connections take turns.
            let lane = Lane::Key(key.unwrap_or_else(|| self.turn.fetch_add(1, Ordering::Relaxed) as u64));
            match peer.channel.ask(lane, path, message.clone()).await {
                Err(failure) if failure.untouched && attempt < ATTEMPTS_MAX => attempt += 1,
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Hands a frame of bulk to the process of a key. Frames of one key keep the order of these calls, so a call
    /// does not wait for a process to come.
    pub(crate) async fn bulk_by_key(&self, key: u64, method: u32, body: Bytes) -> Result<Bytes> {
        let mut attempt = 1;
        loop {
            let table = self.all();
            let Some(peer) = by_key(&table, key) else { return Err(self.nobody(&table)) };
            let channel = &peer.channel;
            let answer = match channel.enqueue(channel.place(key), method, body.clone()) {
                Ok(pending) => channel.answer(pending).await,
                Err(failure) => Err(failure),
            };
            match answer {
                Err(failure) if failure.untouched && attempt < ATTEMPTS_MAX => attempt += 1,
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Divides items by where their keys lead, in their order, and makes one call of each part, all at once. Answers
    /// the parts: which items, and what came of them.
    pub(crate) async fn scatter<A, F>(
        &self,
        keys: &[u64],
        call: impl Fn(Route, Vec<usize>) -> F,
    ) -> Vec<(Vec<usize>, Result<A>)>
    where
        F: Future<Output = std::result::Result<A, Failure>>,
    {
        let mut done = Vec::new();
        let mut left: Vec<usize> = (0..keys.len()).collect();
        for attempt in 1..=ATTEMPTS_MAX {
            let groups = match self.group(keys, &left).await {
                Ok(groups) => groups,
                Err(error) => {
                    done.push((left, Err(error)));
                    return done;
                }
            };
            let calls = groups.into_iter().map(|Group { route, indexes }| {
                let called = call(route, indexes.clone());
                async move { (indexes, called.await) }
            });
            left = Vec::new();
            for (indexes, outcome) in futures_util::future::join_all(calls).await {
                match outcome {
                    Err(failure) if failure.untouched && attempt < ATTEMPTS_MAX => left.extend(indexes),
                    outcome => done.push((indexes, outcome.map_err(Error::from))),
                }
            }
            if left.is_empty() {
                break;
            }
            left.sort_unstable();
        }
        done
    }

    /// As [`Self::scatter`], where each item has an answer of its own; answers them in the order asked. Where a part
    /// fails, `otherwise` says what its items are answered; where all do, it fails.
    pub(crate) async fn scatter_answers<A: Clone, F>(
        &self,
        keys: &[u64],
        otherwise: Option<A>,
        call: impl Fn(Route, Vec<usize>) -> F,
    ) -> Result<Vec<A>>
    where
        F: Future<Output = std::result::Result<Vec<A>, Failure>>,
    {
        let mut answers: Vec<Option<A>> = vec![None; keys.len()];
        let mut failure = None;
        let mut is_answered = keys.is_empty();
        for (indexes, outcome) in self.scatter(keys, call).await {
            match outcome {
                Ok(part) if part.len() == indexes.len() => {
                    is_answered = true;
                    indexes.into_iter().zip(part).for_each(|(index, answer)| answers[index] = Some(answer));
                }
                Ok(part) => {
                    let (role, asked, answered) = (self.role, indexes.len(), part.len());
                    let message = format!("{role} answered for {answered} of {asked} that were asked");
                    failure = Some(Error::new(Kind::Internal, message));
                }
                Err(error) => failure = Some(error),
            }
        }
        match (failure, otherwise) {
            (Some(_), Some(otherwise)) if is_answered => {
                Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(|| otherwise.clone())).collect())
            }
            (Some(error), _) => Err(error),
            (None, _) => Ok(answers.into_iter().flatten().collect()),
        }
    }

    /// The process of a key, or the one with least to do; waits for a connection where there is none at all.
    async fn wait_for(&self, key: Option<u64>) -> Result<Arc<Peer>> {
        let deadline = Instant::now() + self.patience;
        let mut changed = self.changed.clone();
        loop {
            changed.mark_unchanged();
            let table = self.all();
            if let Some(peer) = key.map_or_else(|| self.least(&table), |key| by_key(&table, key)) {
                return Ok(Arc::clone(peer));
            }
            if tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                return Err(self.nobody(&table));
            }
        }
    }

    /// Places keys by one view of the processes; waits where there is nobody for one of them.
    async fn group(&self, keys: &[u64], indexes: &[usize]) -> Result<Vec<Group>> {
        let deadline = Instant::now() + self.patience;
        let mut changed = self.changed.clone();
        loop {
            changed.mark_unchanged();
            let table = self.all();
            if let Some(groups) = group(&table, keys, indexes) {
                return Ok(groups);
            }
            if tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                return Err(self.nobody(&table));
            }
        }
    }

    fn least<'a>(&self, table: &'a Table) -> Option<&'a Arc<Peer>> {
        let turn = self.turn.load(Ordering::Relaxed);
        let lane = Lane::Key(turn as u64);
        let (before, after) = table.split_at(turn % table.len().max(1));
        let rotated = || after.iter().chain(before);
        let live = rotated().filter(|peer| peer.channel.is_live(lane));
        let least = live.min_by_key(|peer| peer.channel.in_flight());
        least.or_else(|| rotated().find(|peer| peer.channel.is_promising(lane)))
    }

    fn nobody(&self, table: &Table) -> Error {
        let role = self.role;
        let why = match table.first() {
            None => "none is known".to_owned(),
            Some(first) => {
                let (server, address, why) =
                    (first.channel.server(), first.channel.address(), first.channel.why());
                format!("{} known, none connected; {server} at {address}: {why}", table.len())
            }
        };
        Error::new(Kind::Unavailable, format!("no {role} can be reached: {why}"))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Items gathered by where their keys lead; `None` where nobody is connected for one of them.
fn group(table: &Table, keys: &[u64], indexes: &[usize]) -> Option<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for &index in indexes {
        let peer = by_key(table, keys[index])?;
        let route = Route { peer: Arc::clone(peer), place: peer.channel.place(keys[index]) };
        match groups.iter_mut().find(|group| group.route.is_same(&route)) {
            Some(group) => group.indexes.push(index),
            None => groups.push(Group { route, indexes: vec![index] }),
        }
    }
    Some(groups)
}

/// The process with the highest rank for the key. One that is being connected for the first time is not passed over:
/// its calls wait in their order.
fn by_key(table: &Table, key: u64) -> Option<&Arc<Peer>> {
    let promising = table.iter().filter(|peer| peer.channel.is_promising(Lane::Key(key)));
    promising.max_by_key(|peer| rank(peer.hash, key))
}

/// Where a process stands in the order of a key: a well mixed number of both.
fn rank(server: u64, key: u64) -> u64 {
    let mut mixed = server ^ key.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Keeps the table as the addresses say.
struct Follower {
    callee: Callee,
    settings: Settings,
    table: Arc<RwLock<Table>>,
    changed: watch::Sender<u64>,
}

impl Follower {
    async fn run(self, mut addresses: watch::Receiver<Addresses>) {
        // Whatever changed since the set was made is applied first.
        loop {
            let view = addresses.borrow_and_update().clone();
            self.apply(&view);
            if addresses.changed().await.is_err() {
                // The last view stays.
                std::future::pending::<()>().await;
            }
        }
    }

    fn apply(&self, view: &Addresses) {
        let known = Arc::clone(&self.table.read());
        let stays = |peer: &Arc<Peer>| {
            view.get(peer.channel.server()).is_some_and(|address| address == peer.channel.address())
        };
        let mut peers: Vec<Arc<Peer>> = known.iter().filter(|peer| stays(peer)).cloned().collect();
        for (server, address) in view {
            if peers.iter().all(|peer| peer.channel.server() != server) {
                peers.push(Arc::new(self.connect(server, address)));
            }
        }
        peers.sort_by(|one, other| one.channel.server().cmp(other.channel.server()));
        *self.table.write() = Arc::new(peers);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn connect(&self, server: &ServerId, address: &str) -> Peer {
        let target = Target {
            callee: self.callee,
            server: server.clone(),
            address: address.to_owned(),
            settings: self.settings.clone(),
        };
        Peer { hash: hash(&server.0), channel: Channel::open(target, &self.changed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these keys each of the processes has.
    fn placed(servers: &[&str], keys: u64) -> Vec<usize> {
        let hashes: Vec<u64> = servers.iter().map(|server| hash(server)).collect();
        let place = |key: u64| {
            let key = hash(&key.to_string());
            (0..servers.len()).max_by_key(|index| rank(hashes[*index], key)).unwrap()
        };
        (0..keys).map(place).collect()
    }

    #[test]
    fn keys_are_spread_evenly_and_few_move_when_one_comes() {
        let three = placed(&["push-1", "push-2", "push-3"], 9000);
        for server in 0..3 {
            let share = three.iter().filter(|place| **place == server).count();
            assert!((2700..3300).contains(&share), "{share} of 9000 keys are on process {server}");
        }
        let four = placed(&["push-1", "push-2", "push-3", "push-4"], 9000);
        let moved: Vec<_> = three.iter().zip(&four).filter(|(before, after)| before != after).collect();
        assert!(moved.iter().all(|(_, after)| **after == 3), "a key moved between processes that stayed");
        assert!((1950..2550).contains(&moved.len()), "{} of 9000 keys moved", moved.len());
    }
}
