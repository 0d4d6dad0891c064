//! Agreed values: a persistent node each. Its version, from 0, is one less than the value's.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use zookeeper_client::{CreateMode, Error as ZooError};

use super::super::Agreed;
use super::follow::{Follower, Following};
use super::session::{Live, Sessions};
use super::{away, failed};
use crate::Result;

/// Begins to follow the value of a name.
pub(super) fn follow(sessions: Sessions, name: &str) -> Following<Option<Agreed>> {
    let (shown, view) = watch::channel(None);
    let path = sessions.settings().node("agreed", name);
    Following::begin(sessions, path, Value { shown }, view)
}

/// Changes the value of a name by compare-and-set; see `Discovery::agree`.
pub(super) async fn agree(
    sessions: &Sessions,
    name: &str,
    expected_version: u64,
    value: &[u8],
) -> Result<Option<u64>> {
    let what = || format!("agree on {name:?}");
    let live = sessions.current().ok_or_else(|| away(&what()))?;
    let path = live.settings.node("agreed", name);
    let version = match expected_version.checked_sub(1).map(i32::try_from) {
        None => {
            let options = live.settings.options(CreateMode::Persistent);
            match live.call(live.client.create(&path, value, &options)).await {
                Ok(_) => Some(0),
                Err(ZooError::NodeExists) => None,
                Err(error) => return Err(failed(&what(), error)),
            }
        }
        Some(Ok(expected)) => match live.call(live.client.set_data(&path, value, Some(expected))).await {
            Ok(stat) => Some(stat.version),
            Err(ZooError::BadVersion | ZooError::NoNode) => None,
            Err(error) => return Err(failed(&what(), error)),
        },
        // No node ever had such a version.
        Some(Err(_)) => None,
    };
    Ok(version.map(of_node))
}

fn of_node(version: i32) -> u64 {
    u64::try_from(version).unwrap_or(0) + 1
}

struct Value {
    shown: watch::Sender<Option<Agreed>>,
}

impl Value {
    async fn read(&self, live: &Live, path: &str) -> std::result::Result<(), ZooError> {
        let value = match live.call(live.client.get_data(path)).await {
            Ok((bytes, stat)) => Some(Agreed { version: of_node(stat.version), value: Bytes::from(bytes) }),
            Err(ZooError::NoNode) => None,
            Err(error) => return Err(error),
        };
        self.shown.send_if_modified(|before| {
            let changed = *before != value;
            *before = value;
            changed
        });
        Ok(())
    }
}

#[async_trait]
impl Follower for Value {
    async fn read_all(
        &mut self,
        live: &Live,
        path: &str,
        _is_begun: bool,
    ) -> std::result::Result<(), ZooError> {
        self.read(live, path).await
    }

    async fn read_one(
        &mut self,
        live: &Live,
        path: &str,
        changed: &str,
    ) -> std::result::Result<(), ZooError> {
        if changed == path { self.read(live, path).await } else { Ok(()) }
    }
}
