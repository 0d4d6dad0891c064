//! Answers push's contract: look up once, group by proxy, hand over.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use contracts::proxy::Payload;
use contracts::push::{Outcome, Push, StoredPush};
use contracts::router::{Located, Router};
use contracts::{Error, Kind, Result};
use foldhash::fast::RandomState;
use protocol::UserId;
use protocol::operation::Operation;

use crate::delivery::{Deliverer, group_payload, group_stored};

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

    /// Hands one payload to all that were located; answers what became of each.
    async fn hand_over(&self, located: &[Located], payload: Payload) -> Vec<Outcome> {
        let failed = self.deliverer.deliver(group_payload(located, &payload)).await;
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
        let located = self.router.locate_users(&users).await?;
        check_count(users.len(), located.len())?;
        let located: HashMap<&UserId, Located, RandomState> = users.iter().zip(located).collect();
        // Which proxies did not take theirs is counted and logged there: their devices get it from the inbox.
        self.deliverer.deliver(group_stored(&pushes, &located)).await;
        Ok(())
    }

    async fn push_to_users(
        &self,
        users: Vec<UserId>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>> {
        let (users, asked) = distinct(users);
        let located = self.router.locate_users(&users).await?;
        check_count(users.len(), located.len())?;
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

/// A router that answers for fewer than it was asked is not believed.
fn check_count(asked: usize, answered: usize) -> Result<()> {
    if asked == answered {
        return Ok(());
    }
    let message = format!("router answered for {answered} of {asked} targets");
    Err(Error::new(Kind::Internal, message))
}
