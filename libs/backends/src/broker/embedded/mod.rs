//! The broker inside this process: topics `push` and `presence` in memory, topic `fanout` in a folder.
//!
//! Each topic has one partition, so all records keep their order, not only those of one key. As with any broker
//! one partition is read by one subscription of a consumer name at a time; others of that name wait and the
//! next one takes over when it is dropped.

mod fanout;
mod transient;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, Record, Subscription, Topic};
use crate::{Error, Kind, Result};
use fanout::Fanout;
use transient::Transient;

/// The only partition of each topic.
const PARTITION: u32 = 0;

/// Opens the broker whose durable topic is in a folder, creating it (0700) where it is not there.
///
/// # Errors
/// `Missing` where no folder is named; `Conflict` where another process has it; `Corrupt` where what is there
/// cannot be read or has another format; `Transient` where the file system refuses.
pub async fn open(folder: &str) -> Result<Arc<dyn Broker>> {
    if folder.is_empty() {
        let message = "url of the broker names no folder: write embedded:<folder>";
        return Err(Error::new(Kind::Missing, message));
    }
    let fanout = Arc::new(Fanout::open(PathBuf::from(folder)).await?);
    tracing::info!(target: "broker", folder, "open");
    let (push, presence) = (Transient::new(Topic::Push), Transient::new(Topic::Presence));
    Ok(Arc::new(EmbeddedBroker { push, presence, fanout }))
}

struct EmbeddedBroker {
    push: Transient,
    presence: Transient,
    fanout: Arc<Fanout>,
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn publish(&self, topic: Topic, records: Vec<Record>) -> Result<()> {
        match topic {
            Topic::Push => self.push.publish(records),
            Topic::Presence => self.presence.publish(records),
            Topic::Fanout => self.fanout.publish(records).await?,
        }
        Ok(())
    }

    async fn subscribe(&self, topic: Topic, consumer: &str) -> Result<Box<dyn Subscription>> {
        match topic {
            Topic::Push => Ok(Box::new(self.push.subscribe(consumer))),
            Topic::Presence => Ok(Box::new(self.presence.subscribe(consumer))),
            Topic::Fanout => Ok(Box::new(Fanout::subscribe(&self.fanout, consumer).await?)),
        }
    }
}
