//! Telling the router that this proxy has rooms: many in one call, and one call for all who wait for the same room.
//!
//! Whoever enters rooms that the router does not know announces them together. A room that somebody else is
//! announcing at that moment is waited for, so that however many connections come at once, each room is announced
//! once. A call that fails fails for all who waited for it; the next one who enters announces anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::Result;
use contracts::logic::Logic;
use parking_lot::Mutex;
use protocol::RoomId;
use tokio::sync::watch;

use crate::hub::{Hub, RoomEntry};

/// A room that a connection has entered, and what all shards share of it.
pub(crate) type Entered = (RoomId, Arc<RoomEntry>);

/// What became of an announcement; `None` while it is on its way.
pub(crate) type Outcome = Option<Result<()>>;

/// Whether the router knows that this proxy has a room.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    known: AtomicBool,
    /// The announcement that is on its way.
    pending: Mutex<Option<watch::Receiver<Outcome>>>,
}

/// Who announces a room.
pub(crate) enum Announcer {
    /// Nobody: the router knows it.
    Nobody,
    /// Whoever has asked.
    Asker,
    /// Somebody else, who says what became of it.
    Other(watch::Receiver<Outcome>),
}

impl Announced {
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// Says who announces the room; where it is the asker, others wait for `asker`.
    pub(crate) fn announcer(&self, asker: &watch::Receiver<Outcome>) -> Announcer {
        let mut pending = self.pending.lock();
        if self.is_known() {
            return Announcer::Nobody;
        }
        match &*pending {
            // Whoever has gone without a word will never say one.
            Some(other) if other.has_changed().is_ok() => Announcer::Other(other.clone()),
            _ => {
                *pending = Some(asker.clone());
                Announcer::Asker
            }
        }
    }

    fn settle(&self, known: bool) {
        let mut pending = self.pending.lock();
        self.known.store(known, Ordering::Release);
        *pending = None;
    }
}

/// What is to be done so that the router knows rooms.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    /// To be announced by the asker, under this number.
    pub(crate) own: Vec<Entered>,
    pub(crate) number: u64,
    /// To be waited for.
    pub(crate) others: Vec<watch::Receiver<Outcome>>,
}

/// Answers when the router knows that this proxy has the rooms; one that all members have left since is passed over.
pub(crate) async fn announce(hub: &Hub, logic: &dyn Logic, entered: &[Entered]) -> Result<()> {
    loop {
        let (sender, receiver) = watch::channel(None);
        let claim = hub.claim(entered, &receiver);
        let mut outcome = Ok(());
        if !claim.own.is_empty() {
            let rooms = claim.own.iter().map(|(room, _)| room.clone()).collect();
            outcome = logic.enter_rooms(&hub.server, claim.number, rooms).await;
            for (_, entry) in &claim.own {
                entry.announced.settle(outcome.is_ok());
            }
            sender.send_replace(Some(outcome.clone()));
        }
        let mut abandoned = false;
        for mut other in claim.others {
            match other.wait_for(Option::is_some).await {
                Ok(told) => outcome = outcome.and(told.clone().unwrap_or(Ok(()))),
                Err(_) => abandoned = true,
            }
        }
        if !abandoned || outcome.is_err() {
            return outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use contracts::logic::{ConnectRequest, Connected};
    use contracts::router::{Report, Unregistration};
    use contracts::{Error, Kind};
    use protocol::{Identifier, ServerId};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::Config;

    /// Takes announcements when it is let, and refuses the first ones.
    struct Slow {
        let_in: Semaphore,
        refusals_left: AtomicUsize,
        calls: Mutex<Vec<Vec<RoomId>>>,
    }

    #[async_trait]
    impl Logic for Slow {
        async fn connect(&self, _: ConnectRequest) -> Result<Connected> {
            Err(Error::new(Kind::Internal, "not asked here"))
        }

        async fn disconnect(&self, _: Vec<Unregistration>) -> Result<()> {
            Ok(())
        }

        async fn enter_rooms(&self, _: &ServerId, _: u64, rooms: Vec<RoomId>) -> Result<()> {
            self.calls.lock().push(rooms);
            self.let_in.acquire().await.unwrap().forget();
            let refused = self
                .refusals_left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            match refused {
                Ok(_) => Err(Error::new(Kind::Unavailable, "nobody holds the directory")),
                Err(_) => Ok(()),
            }
        }

        async fn leave_rooms(&self, _: &ServerId, _: u64, _: Vec<RoomId>) -> Result<()> {
            Ok(())
        }

        async fn report(&self, _: &ServerId, _: Report) -> Result<Vec<u64>> {
            Ok(Vec::new())
        }
    }

    fn slow(refusals: usize) -> Arc<Slow> {
        let refusals_left = AtomicUsize::new(refusals);
        Arc::new(Slow { let_in: Semaphore::new(0), refusals_left, calls: Mutex::default() })
    }

    fn hub() -> Arc<Hub> {
        Arc::new(Hub::new(ServerId("proxy-1".into()), Config::default(), Vec::new()))
    }

    fn enter(hub: &Hub, rooms: &[&str]) -> Vec<Entered> {
        let rooms = rooms.iter().map(|room| RoomId::new(room).unwrap());
        rooms.map(|room| (room.clone(), hub.enter_room(&room))).collect()
    }

    fn spawn(
        hub: &Arc<Hub>,
        logic: &Arc<Slow>,
        entered: Vec<Entered>,
    ) -> tokio::task::JoinHandle<Result<()>> {
        let (hub, logic) = (Arc::clone(hub), Arc::clone(logic));
        tokio::spawn(async move { announce(&hub, &*logic, &entered).await })
    }

    async fn until_called(logic: &Slow, count: usize) {
        while logic.calls.lock().len() < count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_comes_while_a_room_is_announced_waits_for_that_announcement() {
        let (hub, logic) = (hub(), slow(0));
        let first = spawn(&hub, &logic, enter(&hub, &["a", "b"]));
        until_called(&logic, 1).await;
        let second = spawn(&hub, &logic, enter(&hub, &["b", "c"]));
        until_called(&logic, 2).await;
        let third = spawn(&hub, &logic, enter(&hub, &["a", "c"]));
        tokio::task::yield_now().await;
        assert!(!first.is_finished() && !second.is_finished() && !third.is_finished());
        logic.let_in.add_permits(2);
        for announced in [first, second, third] {
            announced.await.unwrap().unwrap();
        }
        let calls: Vec<Vec<String>> =
            logic.calls.lock().iter().map(|rooms| rooms.iter().map(RoomId::to_string).collect()).collect();
        assert_eq!(calls, [vec!["a", "b"], vec!["c"]]);
        assert!(announce(&hub, &*logic, &enter(&hub, &["a", "b", "c"])).await.is_ok());
        assert_eq!(logic.calls.lock().len(), 2);
    }

    #[tokio::test]
    async fn a_failed_announcement_fails_for_all_who_waited_and_is_made_anew_by_the_next() {
        let (hub, logic) = (hub(), slow(1));
        let first = spawn(&hub, &logic, enter(&hub, &["a"]));
        until_called(&logic, 1).await;
        let second = spawn(&hub, &logic, enter(&hub, &["a"]));
        tokio::task::yield_now().await;
        logic.let_in.add_permits(2);
        assert!(first.await.unwrap().is_err());
        assert!(second.await.unwrap().is_err());
        assert!(announce(&hub, &*logic, &enter(&hub, &["a"])).await.is_ok());
        assert_eq!(logic.calls.lock().len(), 2);
    }

    #[tokio::test]
    async fn whoever_announces_and_goes_is_replaced_by_one_who_waits() {
        let (hub, logic) = (hub(), slow(0));
        let first = spawn(&hub, &logic, enter(&hub, &["a"]));
        until_called(&logic, 1).await;
        let second = spawn(&hub, &logic, enter(&hub, &["a"]));
        tokio::task::yield_now().await;
        first.abort();
        until_called(&logic, 2).await;
        logic.let_in.add_permits(1);
        assert!(second.await.unwrap().is_ok());
    }
}
