//! The instances of a role, as ZooKeeper holds them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;
use zookeeper_client::Error as ZooError;

use super::super::Instance;
use super::follow::{Follower, Following};
use super::instance;
use super::session::{Live, Sessions};

/// How long an instance stays that was not there when another session was begun. What ended our session may have
/// ended everybody's, and whoever is alive comes back within this; without it a cut of the whole network would empty
/// every list for a moment.
const GRACE: Duration = Duration::from_secs(5);
/// Nodes that are asked for at once.
const READS_COUNT: usize = 128;

/// Begins to follow a role.
pub(super) fn follow(sessions: Sessions, role: &str) -> Following<Vec<Instance>> {
    let (shown, view) = watch::channel(Vec::new());
    let path = sessions.settings().node("roles", role);
    let follower = Role { role: role.to_owned(), known: BTreeMap::new(), missing: BTreeMap::new(), shown };
    Following::begin(sessions, path, follower, view)
}

struct Role {
    role: String,
    /// By the name of the node.
    known: BTreeMap<String, Instance>,
    /// Of those known, the ones that are not there, and when each is taken out.
    missing: BTreeMap<String, Instant>,
    shown: watch::Sender<Vec<Instance>>,
}

impl Role {
    fn take(&mut self, node: &str, bytes: &[u8]) {
        self.missing.remove(node);
        match instance::decode(&self.role, bytes) {
            Some(instance) => {
                self.known.insert(node.to_owned(), instance);
            }
            None => {
                let role = &self.role;
                tracing::warn!(target: "discovery", role, node, "a node holds no instance: it is passed over");
                self.known.remove(node);
            }
        }
    }

    fn show(&self) {
        let mut instances: Vec<Instance> = self.known.values().cloned().collect();
        instances.sort_by(|one, other| one.server.cmp(&other.server));
        self.shown.send_if_modified(|before| {
            let changed = *before != instances;
            *before = instances;
            changed
        });
    }
}

#[async_trait]
impl Follower for Role {
    async fn read_all(&mut self, live: &Live, path: &str, is_begun: bool) -> Result<(), ZooError> {
        let nodes = match live.call(live.client.list_children(path)).await {
            Err(ZooError::NoNode) => Vec::new(),
            nodes => nodes?,
        };
        let mut gone: Vec<String> =
            self.known.keys().filter(|known| !nodes.contains(known)).cloned().collect();
        for nodes in nodes.chunks(READS_COUNT) {
            // Each is asked for before the first answer is waited for.
            let reads: Vec<_> =
                nodes.iter().map(|node| live.client.get_data(&format!("{path}/{node}"))).collect();
            for (node, read) in nodes.iter().zip(reads) {
                match live.call(read).await {
                    Ok((bytes, _)) => self.take(node, &bytes),
                    Err(ZooError::NoNode) => gone.push(node.clone()),
                    Err(error) => return Err(error),
                }
            }
        }
        for node in gone {
            if is_begun {
                self.missing.entry(node).or_insert_with(|| Instant::now() + GRACE);
            } else if !self.missing.contains_key(&node) {
                self.known.remove(&node);
            }
        }
        self.show();
        Ok(())
    }

    async fn read_one(&mut self, live: &Live, path: &str, changed: &str) -> Result<(), ZooError> {
        let Some(node) = changed.strip_prefix(path).and_then(|node| node.strip_prefix('/')) else {
            return Ok(());
        };
        match live.call(live.client.get_data(changed)).await {
            Ok((bytes, _)) => self.take(node, &bytes),
            Err(ZooError::NoNode) => {
                self.known.remove(node);
                self.missing.remove(node);
            }
            Err(error) => return Err(error),
        }
        self.show();
        Ok(())
    }

    fn wakes_at(&self) -> Option<Instant> {
        self.missing.values().min().copied()
    }

    fn wake(&mut self) {
        let now = Instant::now();
        let over: Vec<String> =
            self.missing.iter().filter(|(_, at)| **at <= now).map(|(node, _)| node.clone()).collect();
        for node in over {
            self.missing.remove(&node);
            self.known.remove(&node);
        }
        self.show();
    }
}
