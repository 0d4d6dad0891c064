//! Following what stands at and below a node.
//!
//! ZooKeeper's watches tell of changes while the connection lasts; what changed while it did not is not told. So all
//! is read again whenever a server took the session up again, and whenever another session was begun; in between
//! each change is read alone. A session that is begun may be served by a server that lags behind, which is told to
//! catch up first: the view does not go back.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zookeeper_client::{AddWatchMode, Error as ZooError, EventType, SessionState};

use super::session::{Live, Sessions};
use crate::{Error, Kind, Result};

/// What a caller waits for the first view.
const FIRST_TIME: Duration = Duration::from_secs(5);
/// Before what failed within a session is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps a view of what is followed.
#[async_trait]
pub(super) trait Follower: Send + 'static {
    /// Reads all that stands at and below the path, for the first time in this session where `is_begun` says so.
    async fn read_all(
        &mut self,
        live: &Live,
        path: &str,
        is_begun: bool,
    ) -> std::result::Result<(), ZooError>;

    /// Reads one node at or below the path, which changed or went.
    async fn read_one(&mut self, live: &Live, path: &str, changed: &str)
    -> std::result::Result<(), ZooError>;

    /// When it wants to be woken next.
    fn wakes_at(&self) -> Option<Instant> {
        None
    }

    /// Does what it wanted to be woken for.
    fn wake(&mut self) {}
}

/// A view that is kept until this is dropped.
pub(super) struct Following<T> {
    handle: Handle<T>,
    task: JoinHandle<()>,
}

/// What those who watch are given.
pub(super) struct Handle<T> {
    view: watch::Receiver<T>,
    is_read: watch::Receiver<bool>,
}

impl<T> Following<T> {
    /// Begins to keep the view of a path that a follower shows through the sender whose receiver this is.
    pub(super) fn begin(
        sessions: Sessions,
        path: String,
        follower: impl Follower,
        view: watch::Receiver<T>,
    ) -> Self {
        let (read, is_read) = watch::channel(false);
        let task = tokio::spawn(run(sessions, path, follower, read));
        Self { handle: Handle { view, is_read }, task }
    }

    pub(super) fn handle(&self) -> Handle<T> {
        Handle { view: self.handle.view.clone(), is_read: self.handle.is_read.clone() }
    }
}

impl<T> Drop for Following<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T> Handle<T> {
    /// The view, once it was read.
    pub(super) async fn ready(mut self, name: &str) -> Result<watch::Receiver<T>> {
        match tokio::time::timeout(FIRST_TIME, self.is_read.wait_for(|is_read| *is_read)).await {
            Ok(Ok(_)) => Ok(self.view),
            _ => Err(Error::new(Kind::Transient, format!("zookeeper is away: nothing is known of {name:?}"))),
        }
    }
}

async fn run(mut sessions: Sessions, path: String, mut follower: impl Follower, read: watch::Sender<bool>) {
    let mut number_before = 0;
    while let Some(live) = sessions.live().await {
        let is_begun = live.number != number_before;
        number_before = live.number;
        if let Err(error) = follow(&live, &path, &mut follower, is_begun, &read).await {
            tracing::debug!(target: "discovery", path, %error, "what zookeeper holds is read again");
        }
        if !live.has_ended() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Follows until the session ends, or something failed and all is to be begun again.
async fn follow(
    live: &Live,
    path: &str,
    follower: &mut impl Follower,
    is_begun: bool,
    read: &watch::Sender<bool>,
) -> std::result::Result<(), ZooError> {
    // Events from here on wait until all was read.
    let mut watcher = live.call(live.client.watch(path, AddWatchMode::PersistentRecursive)).await?;
    live.call(live.client.sync(path)).await?;
    follower.read_all(live, path, is_begun).await?;
    read.send_replace(true);
    loop {
        let wakes_at = follower.wakes_at();
        let event = tokio::select! {
            event = watcher.changed() => event,
            () = tokio::time::sleep_until(wakes_at.unwrap_or_else(Instant::now)), if wakes_at.is_some() => {
                follower.wake();
                continue;
            }
        };
        match (event.event_type, event.session_state) {
            (EventType::Session, SessionState::SyncConnected) => follower.read_all(live, path, false).await?,
            (EventType::Session, SessionState::Disconnected | SessionState::ConnectedReadOnly) => {}
            (EventType::Session, _) => return Ok(()),
            _ => follower.read_one(live, path, &event.path).await?,
        }
    }
}
