//! Answers push's contract: look up once, group by proxy, hand over.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use contracts::proxy::Payload;
use contracts::push::{EventPush, Membership, Outcome, Push, StoredPush, Whereabouts};
use contracts::router::{Devices, Located, Router};
use contracts::{Error, Kind, Result};
use foldhash::fast::RandomState;
use protocol::operation::Operation;
use protocol::{ServerId, UserId};

use crate::delivery::{Deliverer, Failed, Map, group_events, group_memberships, group_payload, group_stored};

/// Push in this process.
pub(crate) struct Service {
    router: Arc<dyn Router>,
    deliverer: Deliverer,
}

impl Service {
    /// Looks up in this router and hands over through this deliverer.
    pub(crate) fn new(router: Arc<dyn Router>, deliverer: Deliverer) -> Self {
        Self { router, deliverer }
    }

    async fn locate(&self, users: &[UserId]) -> Result<Vec<Located>> {
        let located = self.router.locate_users(users).await?;
        check_count(users.len(), located.len())?;
        Ok(located)
    }

    /// Hands one payload to all that were located; answers what became of each.
    async fn hand_over(&self, located: &[Located], payload: Payload) -> Vec<Outcome> {
        let failed = self.deliverer.deliver(group_payload(located, &payload, None)).await;
        let outcome = |located: &Located| {
            if located.routes.iter().any(|route| !failed.contains_key(&route.server)) {
                Outcome::Queued
            } else if located.routes.is_empty() && located.unannounced.is_empty() {
                Outcome::Offline
            } else {
                Outcome::Unknown
            }
        };
        located.iter().map(outcome).collect()
    }
}

#[async_trait]
impl Push for Service {
    async fn push_stored(&self, pushes: Vec<StoredPush>) -> Result<()> {
        let (users, _) = distinct(pushes.iter().map(|push| push.user.clone()));
        let located = self.locate(&users).await?;
        let located: Map<&UserId, Located> = users.iter().zip(located).collect();
        // Which proxies did not take theirs is counted and logged there: their devices get it from the inbox.
        self.deliverer.deliver(group_stored(&pushes, &located)).await;
        Ok(())
    }

    async fn push_events(&self, pushes: Vec<EventPush>) -> Result<()> {
        let (users, asked) = distinct(pushes.iter().flat_map(|push| push.users.iter().cloned()));
        let located = self.locate(&users).await?;
        // What a proxy did not take is counted and logged there, and not tried again.
        self.deliverer.deliver(group_events(&pushes, &located, &asked)).await;
        Ok(())
    }

    async fn set_memberships(&self, memberships: Vec<Membership>) -> Result<()> {
        let (users, asked) = distinct(memberships.iter().map(|membership| membership.user.clone()));
        let located = self.locate(&users).await?;
        let each = memberships.iter().zip(asked.iter().map(|index| &located[*index]));
        self.deliverer.set_memberships(group_memberships(each)).await.map_err(untold)?;
        match located.iter().flat_map(|located| &located.unannounced).next() {
            None => Ok(()),
            Some(server) => {
                let message = format!("proxy {server} has not announced who is there: say it again");
                Err(Error::new(Kind::Unavailable, message))
            }
        }
    }

    async fn whereabouts(&self, users: &[UserId]) -> Result<Vec<Whereabouts>> {
        let devices = self.router.devices(users).await?;
        check_count(users.len(), devices.len())?;
        let whereabouts =
            |Devices { devices, unannounced }| match (devices.is_empty(), unannounced.is_empty()) {
                (false, _) => Whereabouts::Online(devices),
                (true, true) => Whereabouts::Offline,
                (true, false) => Whereabouts::Unknown,
            };
        Ok(devices.into_iter().map(whereabouts).collect())
    }

    async fn push_to_users(
        &self,
        users: Vec<UserId>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>> {
        let (users, asked) = distinct(users);
        let located = self.locate(&users).await?;
        let outcomes = self.hand_over(&located, Payload::Operation { operation, body }).await;
        Ok(asked.into_iter().map(|index| outcomes[index]).collect())
    }

    async fn push_to_keys(
        &self,
        keys: Vec<String>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>> {
        let (keys, asked) = distinct(keys);
        let located = self.router.locate_keys(&keys).await?;
        check_count(keys.len(), located.len())?;
        let outcomes = self.hand_over(&located, Payload::Operation { operation, body }).await;
        Ok(asked.into_iter().map(|index| outcomes[index]).collect())
    }
}

/// Each target once, in the order of its first mention, and for each that was asked where it stands.
fn distinct<T: Clone + Eq + Hash>(targets: impl IntoIterator<Item = T>) -> (Vec<T>, Vec<usize>) {
    let mut index_of: HashMap<T, usize, RandomState> = HashMap::default();
    let mut distinct = Vec::new();
    let asked = targets
        .into_iter()
        .map(|target| {
            *index_of.entry(target).or_insert_with_key(|target| {
                distinct.push(target.clone());
                distinct.len() - 1
            })
        })
        .collect();
    (distinct, asked)
}

/// A proxy was not told of memberships.
fn untold((server, failed): (ServerId, Failed)) -> Error {
    let failure = |reason: &str| {
        Error::new(Kind::Unavailable, format!("proxy {server} {reason} to take memberships: say them again"))
    };
    match failed {
        Failed::Refused(error) => failure("failed").caused_by(error),
        Failed::Unknown | Failed::Late => failure("took too long"),
    }
}

/// A router that answers for fewer than it was asked is not believed.
fn check_count(asked: usize, answered: usize) -> Result<()> {
    if asked == answered {
        return Ok(());
    }
    let message = format!("router answered for {answered} of {asked} targets");
    Err(Error::new(Kind::Internal, message))
}
