//! Where users are: answered when asked, and told to those who watch when somebody comes or goes.
//!
//! Who is there is the router's to know; when somebody was last there is kept in the store. The router says in topic
//! `presence` that a user's first connection has come or the last one has gone; the worker here keeps the time of
//! going, and hands the event to the room of those who watch. It is at most once, and what comes late is passed
//! over. Somebody who is blocked by a user sees that user as if never there, and cannot watch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backends::broker::{self, Broker, Delivered, Subscription, Topic};
use backends::store::Store;
use bytes::Bytes;
use contracts::im::Asker;
use contracts::push::{Push, Record, Whereabouts};
use contracts::router::PresenceRecord;
use contracts::{Error, Result};
use metrics::Counter;
use prost::Message as _;
use protocol::client::{
    self, Presence as Request, PresencePush, PresenceReply, UserPresence, Watch, WatchReply,
};
use protocol::codec::Event;
use protocol::limits::{USERS_PER_REQUEST_MAX, WATCHED_USERS_MAX};
use protocol::{Code, DeviceId, Identifier, RoomId, UserId};
use runtime::lifecycle::Stop;

use crate::failure;
use crate::recent::Recent;

/// The name under which topic `presence` is read.
const CONSUMER: &str = "im";
/// Records that are taken at once: their times are one write, and their events one publication.
const RECORDS_MAX: usize = 256;
/// Users of whom the last event is remembered; of one who is forgotten, a late event would be believed.
const USERS_MAX: usize = 65_536;
/// How long it waits before it reads again after a failure.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Answers where users are.
pub(crate) struct Presence {
    store: Arc<dyn Store>,
    push: Arc<dyn Push>,
}

impl Presence {
    /// Asks this push who is there, and this store who was.
    pub(crate) fn new(store: Arc<dyn Store>, push: Arc<dyn Push>) -> Self {
        Self { store, push }
    }

    /// Reads topic `presence`, keeps when users were last there, and tells those who watch; until it is told to
    /// stop.
    pub(crate) async fn worker(broker: Arc<dyn Broker>, store: Arc<dyn Store>, stop: Stop) {
        let dropped = |reason| metrics::counter!("anser_im_presence_dropped_total", "reason" => reason);
        let worker = Worker {
            broker,
            store,
            stop,
            last: Recent::new(USERS_MAX),
            late: dropped("late"),
            unreadable: dropped("unreadable"),
            failed: dropped("failed"),
        };
        worker.run().await;
    }

    /// Answers where users are, in the order asked.
    pub(crate) async fn presence(&self, asker: &Asker, request: Request) -> Result<PresenceReply> {
        let users = users_of(&request.users, USERS_PER_REQUEST_MAX)?;
        let blocked = self.store.have_blocked(&users, &asker.user).await.map_err(failure::of_backend)?;
        Ok(PresenceReply { users: self.statuses(&users, &blocked).await? })
    }

    /// Answers where users are who are to be watched; that they are is the proxy's to keep.
    pub(crate) async fn watch(&self, asker: &Asker, request: Watch) -> Result<WatchReply> {
        let users = users_of(&request.users, WATCHED_USERS_MAX)?;
        let blocked = self.store.have_blocked(&users, &asker.user).await.map_err(failure::of_backend)?;
        if let Some((user, _)) = users.iter().zip(&blocked).find(|(_, blocked)| **blocked) {
            let message = format!("user {user} cannot be watched by this user: leave it out");
            return Err(Error::refused(Code::NotAllowed, message));
        }
        Ok(WatchReply { users: self.statuses(&users, &blocked).await? })
    }

    async fn statuses(&self, users: &[UserId], blocked: &[bool]) -> Result<Vec<UserPresence>> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let (whereabouts, last_seen) =
            tokio::join!(self.push.whereabouts(users), self.store.last_seen(users));
        let last_seen = last_seen.map_err(failure::of_backend)?;
        let whereabouts = whereabouts.unwrap_or_else(|error| {
            tracing::warn!(target: "im", ?error, count = users.len(), "it is not known where users are");
            vec![Whereabouts::Unknown; users.len()]
        });
        let known = users.iter().zip(whereabouts).zip(last_seen).zip(blocked);
        Ok(known
            .map(|(((user, whereabouts), last_seen_ms), blocked)| match blocked {
                true => status(user, Whereabouts::Offline, 0),
                false => status(user, whereabouts, last_seen_ms),
            })
            .collect())
    }
}

fn users_of(named: &[String], count_max: usize) -> Result<Vec<UserId>> {
    let count = named.len();
    if count > count_max {
        let message = format!("users names {count} users: give up to {count_max}");
        return Err(Error::refused(Code::TooLarge, message));
    }
    named.iter().map(|user| UserId::new(user).map_err(failure::refused_id("users"))).collect()
}

fn status(user: &UserId, whereabouts: Whereabouts, last_seen_ms: u64) -> UserPresence {
    let (online, devices) = match whereabouts {
        Whereabouts::Online(devices) => (Some(true), devices),
        Whereabouts::Offline => (Some(false), Vec::new()),
        Whereabouts::Unknown => (None, Vec::new()),
    };
    let devices = devices.iter().map(DeviceId::to_string).collect();
    UserPresence { user: user.to_string(), online, devices, last_seen_ms }
}

/// Somebody has come or gone.
struct Change {
    user: UserId,
    online: bool,
    time_ms: u64,
}

/// Works off topic `presence`.
struct Worker {
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    stop: Stop,
    /// The epoch and number of each user's last event.
    last: Recent<UserId, (u64, u64)>,
    late: Counter,
    unreadable: Counter,
    failed: Counter,
}

impl Worker {
    async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            let followed = tokio::select! {
                () = stop.triggered() => return,
                followed = self.follow() => followed,
            };
            if let Err(error) = followed {
                tracing::warn!(target: "im", ?error, "topic presence cannot be read");
            }
            tokio::select! {
                () = stop.triggered() => return,
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }

    /// Works until the topic cannot be read.
    async fn follow(&mut self) -> backends::Result<()> {
        let mut subscription: Box<dyn Subscription> =
            self.broker.subscribe(Topic::Presence, CONSUMER).await?;
        loop {
            let delivered = subscription.next(RECORDS_MAX).await?;
            let changes = self.changes(&delivered);
            self.keep(&changes).await;
            self.tell(changes).await;
            subscription.commit().await?;
        }
    }

    /// What the records say, without those that are late or cannot be read.
    fn changes(&mut self, delivered: &[Delivered]) -> Vec<Change> {
        let mut changes = Vec::with_capacity(delivered.len());
        for one in delivered {
            let record = PresenceRecord::decode(&one.value[..]).ok();
            let record = record.and_then(|record| Some((UserId::new(&record.user).ok()?, record)));
            let Some((user, record)) = record else {
                self.unreadable.increment(1);
                let (partition, offset) = (one.partition, one.offset);
                tracing::error!(target: "im", partition, offset, "a record of topic presence cannot be read");
                continue;
            };
            let order = (record.epoch, record.number);
            if self.last.get(&user).is_some_and(|last| *last >= order) {
                self.late.increment(1);
                continue;
            }
            self.last.insert(user.clone(), order);
            changes.push(Change { user, online: record.online, time_ms: record.time_ms });
        }
        changes
    }

    /// Keeps when users went.
    async fn keep(&self, changes: &[Change]) {
        let gone = changes.iter().filter(|change| !change.online);
        let seen: Vec<(UserId, u64)> = gone.map(|change| (change.user.clone(), change.time_ms)).collect();
        let count = seen.len();
        if count == 0 {
            return;
        }
        if let Err(error) = self.store.set_last_seen(seen).await {
            tracing::warn!(target: "im", ?error, count, "it was not kept when users were last seen");
        }
    }

    /// Hands the changes to the rooms of those who watch.
    async fn tell(&self, changes: Vec<Change>) {
        let count = changes.len();
        if count == 0 {
            return;
        }
        let seen = self.last_seen_of_those_who_came(&changes).await;
        let record = |change: Change| {
            let last_seen_ms = match change.online {
                true => seen.get(&change.user).copied().unwrap_or(0),
                false => change.time_ms,
            };
            let push = PresencePush { user: change.user.to_string(), online: change.online, last_seen_ms };
            let room = RoomId::of_watchers(&change.user);
            let record = Record {
                room: room.to_string(),
                event: Some(client::Push { event: Some(Event::Presence(push)) }),
                ..Record::default()
            };
            broker::Record {
                key: Bytes::copy_from_slice(room.as_str().as_bytes()),
                value: record.encode_to_vec().into(),
            }
        };
        let records = changes.into_iter().map(record).collect();
        if let Err(error) = self.broker.publish(Topic::Push, records).await {
            self.failed.increment(count as u64);
            tracing::warn!(target: "im", ?error, count, "those who watch are not told");
        }
    }

    async fn last_seen_of_those_who_came(&self, changes: &[Change]) -> HashMap<UserId, u64> {
        let came = changes.iter().filter(|change| change.online);
        let came: Vec<UserId> = came.map(|change| change.user.clone()).collect();
        if came.is_empty() {
            return HashMap::new();
        }
        match self.store.last_seen(&came).await {
            Ok(seen) => came.into_iter().zip(seen).collect(),
            Err(error) => {
                tracing::debug!(target: "im", ?error, "it is not known when users were last seen");
                HashMap::new()
            }
        }
    }
}
