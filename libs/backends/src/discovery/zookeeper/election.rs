//! Elections: whose candidate has the lowest number owns the name.
//!
//! A candidate is an ephemeral node with a number that ZooKeeper gives. Each waits for the one before it alone, so
//! that an owner that goes wakes one other. Who finds nobody before it raises the name's epoch in one transaction
//! that also checks that its own candidate still stands: whoever was taken for gone meanwhile raises nothing, and
//! epochs rise from owner to owner, whatever became of the sessions. An epoch is at least the wall clock in
//! milliseconds, so that it also rises over a ZooKeeper whose data is lost.
//!
//! **When the right is lost.** An owner has its candidate confirmed by a majority of the servers all the while. It
//! takes the right for lost three quarters of a session time after it *sent* the last question that was confirmed, or earlier
//! when it hears so. The servers let a session go a whole session time after they last heard from it, and the leader
//! hears of it from the others every half tick, of which a session has two or more: so an owner that runs is told
//! before anybody else can be elected. One whose process stands still is told when it runs again, and meanwhile only
//! the epoch fences it.

use std::time::Duration;

use protocol::ServerId;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use zookeeper_client::{CreateMode, Error as ZooError};

use super::session::{Live, Sessions};
use crate::{Error, Kind, Result};

/// Of a session time, in quarters: how long a confirmation holds.
const LEASE_QUARTERS: u32 = 3;
/// How often in a session time the owner asks.
const QUESTIONS_COUNT: u32 = 6;
/// Before what failed within a session is tried again.
const PAUSE: Duration = Duration::from_millis(100);
/// Digits of the number that ZooKeeper puts behind a candidate's name.
const NUMBER_DIGITS: usize = 10;

/// The right to act for a name, given up when this is dropped.
pub(super) struct Won {
    pub(super) epoch: u64,
    is_lost: watch::Receiver<bool>,
    _held: oneshot::Sender<()>,
}

impl Won {
    /// Waits until the right is lost.
    pub(super) async fn lost(&self) {
        let mut is_lost = self.is_lost.clone();
        // Whoever could tell that it is lost no longer lives: it is.
        let _ = is_lost.wait_for(|is_lost| *is_lost).await;
    }
}

/// Waits until this process owns the name.
pub(super) async fn run(sessions: Sessions, name: &str, candidate: &ServerId) -> Result<Won> {
    let (won, outcome) = oneshot::channel();
    let campaign = Campaign { sessions, name: name.to_owned(), candidate: candidate.clone(), won };
    // A task of its own, so that the candidate is withdrawn when nobody waits for the outcome any more.
    tokio::spawn(campaign.run());
    outcome.await.map_err(|_| Error::new(Kind::Transient, "discovery is being stopped"))
}

struct Campaign {
    sessions: Sessions,
    name: String,
    candidate: ServerId,
    won: oneshot::Sender<Won>,
}

/// A confirmed owner.
struct Ownership {
    epoch: u64,
    /// The path of the candidate.
    mine: String,
    /// When the question that was confirmed was sent.
    confirmed_at: Instant,
}

impl Campaign {
    async fn run(mut self) {
        loop {
            let live = tokio::select! {
                live = self.sessions.live() => live,
                () = self.won.closed() => return,
            };
            let Some(live) = live else { return };
            let node = Node::of(&live, &self.name, &self.candidate);
            let outcome = tokio::select! {
                outcome = node.campaign() => outcome,
                () = live.ended() => Err(ZooError::SessionExpired),
                () = self.won.closed() => {
                    node.withdraw().await;
                    return;
                }
            };
            match outcome {
                Ok(ownership) => return self.hold(node, ownership).await,
                Err(error) => {
                    let name = &self.name;
                    tracing::debug!(target: "discovery", name, %error, "stands for election again");
                    node.withdraw().await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Holds what was won until it is given up or lost.
    async fn hold(self, node: Node, ownership: Ownership) {
        let Self { name, candidate, won, .. } = self;
        let (lost, is_lost) = watch::channel(false);
        let (held, given_up) = oneshot::channel();
        let epoch = ownership.epoch;
        tracing::info!(target: "discovery", name, %candidate, epoch, "elected");
        if won.send(Won { epoch, is_lost, _held: held }).is_ok() {
            let is_given_up = tokio::select! {
                _ = given_up => true,
                () = node.until_lost(&ownership) => false,
            };
            if !is_given_up {
                metrics::counter!("anser_discovery_ownerships_lost_total").increment(1);
                tracing::warn!(target: "discovery", name, %candidate, epoch, "the name may be another's: it is given up");
                lost.send_replace(true);
            }
        }
        node.withdraw().await;
    }
}

/// A candidate's node in one session.
struct Node {
    live: Live,
    /// The node that the candidates of the name are below.
    folder: String,
    epoch: String,
    /// What the node's name begins with; nobody else's does.
    begin: String,
    candidate: ServerId,
}

/// A number for each candidate of this process.
static CANDIDATES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

impl Node {
    fn of(live: &Live, name: &str, candidate: &ServerId) -> Self {
        let number = CANDIDATES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = live.settings.node("elections", name);
        Self {
            epoch: live.settings.node("epochs", name),
            folder,
            // The session's id is never given twice, and the number not twice in a process, which has the session.
            begin: format!("{:016x}-{number}-", live.id()),
            live: live.clone(),
            candidate: candidate.clone(),
        }
    }

    /// Stands for election until it is won.
    async fn campaign(&self) -> std::result::Result<Ownership, ZooError> {
        let Self { live, folder, .. } = self;
        let persistent = live.settings.options(CreateMode::Persistent);
        live.call(live.client.mkdir(folder, &persistent)).await?;
        let path = format!("{folder}/{}", self.begin);
        let ephemeral = live.settings.options(CreateMode::EphemeralSequential);
        let (_, number) =
            live.call(live.client.create(&path, self.candidate.0.as_bytes(), &ephemeral)).await?;
        let mine = format!("{}{number}", self.begin);
        loop {
            let nodes = live.call(live.client.list_children(folder)).await?;
            if !nodes.contains(&mine) {
                return Err(ZooError::NoNode);
            }
            // What has no number is no candidate.
            let before = nodes.iter().filter_map(|node| Some((number_of(node)?, node)));
            let before = before.filter(|(other, _)| *other < number.into_i64()).max();
            let Some((_, before)) = before else { break };
            let before = format!("{folder}/{before}");
            let (stat, watcher) = live.call(live.client.check_and_watch_stat(&before)).await?;
            if stat.is_some() {
                watcher.changed().await;
            }
        }
        self.raise(format!("{folder}/{mine}")).await
    }

    /// Raises the epoch of the name, if the candidate still stands.
    async fn raise(&self, mine: String) -> std::result::Result<Ownership, ZooError> {
        let Self { live, epoch: path, .. } = self;
        loop {
            let (last, version) = match live.call(live.client.get_data(path)).await {
                Ok((bytes, stat)) => (epoch_of(path, &bytes)?, Some(stat.version)),
                Err(ZooError::NoNode) => (0, None),
                Err(error) => return Err(error),
            };
            let epoch = runtime::clock::now_ms().max(last + 1);
            let text = epoch.to_string();
            let mut writer = live.client.new_multi_writer();
            writer.add_check_version(&mine, -1)?;
            match version {
                Some(version) => writer.add_set_data(path, text.as_bytes(), Some(version))?,
                None => {
                    let options = live.settings.options(CreateMode::Persistent);
                    writer.add_create(path, text.as_bytes(), &options)?;
                }
            }
            let confirmed_at = Instant::now();
            match live.call(writer.commit()).await {
                Ok(_) => return Ok(Ownership { epoch, mine, confirmed_at }),
                // Somebody raised it meanwhile, or the server that was asked lags behind.
                Err(ZooError::BadVersion | ZooError::NodeExists) => {
                    live.call(live.client.sync(path)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the right can no longer be known to be there.
    async fn until_lost(&self, ownership: &Ownership) {
        let session_time = self.live.session_time();
        let lease = session_time * LEASE_QUARTERS / 4;
        let mut lost_at = ownership.confirmed_at + lease;
        loop {
            let question = async {
                tokio::time::sleep(session_time / QUESTIONS_COUNT).await;
                let asked_at = Instant::now();
                let answer = tokio::time::timeout(session_time / 4, self.confirm(&ownership.mine)).await;
                (asked_at, answer)
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(lost_at) => return,
                () = self.live.ended() => return,
                (asked_at, answer) = question => match answer {
                    Ok(Ok(())) => lost_at = lost_at.max(asked_at + lease),
                    Ok(Err(ZooError::NoNode)) => return,
                    // Without a connection, or a majority, there is no answer: until the lease is over another may come.
                    Ok(Err(_)) | Err(_) => {}
                },
            }
        }
    }

    /// Has a majority of the servers confirm that the candidate stands; a read may come from a server that was cut
    /// off.
    async fn confirm(&self, mine: &str) -> std::result::Result<(), ZooError> {
        let mut writer = self.live.client.new_multi_writer();
        writer.add_check_version(mine, -1)?;
        writer.commit().await?;
        Ok(())
    }

    /// The path of the candidate, where it stands.
    async fn standing(&self) -> std::result::Result<Option<String>, ZooError> {
        let nodes = self.live.client.list_children(&self.folder).await?;
        let mine = nodes.into_iter().find(|node| node.starts_with(&self.begin));
        Ok(mine.map(|node| format!("{}/{node}", self.folder)))
    }

    /// Withdraws the candidate, however long that takes: while its session lives, nobody after it could be elected.
    async fn withdraw(&self) {
        while !self.live.has_ended() {
            let withdrawn = self.live.call(async {
                // Requests of a session are worked on in their order, so what was begun before is seen here.
                match self.standing().await? {
                    Some(mine) => self.live.client.delete(&mine, None).await,
                    None => Ok(()),
                }
            });
            match withdrawn.await {
                Ok(()) | Err(ZooError::NoNode) => return,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// The number of a candidate, behind its name.
fn number_of(node: &str) -> Option<i64> {
    let (_, digits) = node.rsplit_once('-')?;
    if digits.len() < NUMBER_DIGITS { None } else { digits.parse().ok() }
}

fn epoch_of(path: &str, bytes: &[u8]) -> std::result::Result<u64, ZooError> {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
        tracing::error!(target: "discovery", path, "the node holds no epoch: nobody is elected until it does");
        ZooError::UnexpectedError(format!("node {path} holds no epoch"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_ordered_by_the_number_behind_their_names() {
        assert_eq!(number_of("ffff-3-0000000012"), Some(12));
        assert_eq!(number_of("ffff-3-2147483648000"), Some(2_147_483_648_000));
        for node in ["x", "x-1", "x-000000000x", "0000000012"] {
            assert_eq!(number_of(node), None, "{node}");
        }
        assert_eq!(epoch_of("/", b"17").ok(), Some(17));
        assert!(epoch_of("/", b"x").is_err());
    }
}
