//! Topics that decouple those who write from those who work.
//!
//! **Order.** Records of one key keep their order. **Delivery.** A consumer name gets each record at least
//! once, in topics that are durable; what was not committed comes again after a restart. Topic `fanout` is
//! durable: when `publish` answers, its records survive kill -9. Topics `push` and `presence` are not: their records are
//! for those who are online at this moment, and when a consumer falls behind its bound the oldest are dropped and counted.

pub mod embedded;
#[cfg(feature = "cluster")]
pub mod kafka;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

/// The topics of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Messages for rooms and for everybody, for push. Not durable.
    Push,
    /// Hints that a group's conversation has messages to be fanned out, for consumer. Durable.
    Fanout,
    /// Who has come and who has gone, from the router. Not durable.
    Presence,
}

impl Topic {
    /// The topic's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Fanout => "fanout",
            Self::Presence => "presence",
        }
    }
}

/// A record to be published.
#[derive(Debug, Clone)]
pub struct Record {
    /// Records of one key keep their order.
    pub key: Bytes,
    /// What.
    pub value: Bytes,
}

/// A record as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// In which partition.
    pub partition: u32,
    /// Where in it; rising.
    pub offset: u64,
    /// Its key.
    pub key: Bytes,
    /// What.
    pub value: Bytes,
}

/// Carries records from publishers to consumers.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Appends records to a topic, in their order.
    ///
    /// # Errors
    /// `Full`, `Transient`: some of them may have been appended.
    async fn publish(&self, topic: Topic, records: Vec<Record>) -> Result<()>;

    /// Reads a topic under a consumer name; those who share a name share the records. A new name begins with
    /// the first record that a durable topic still has, and with the next one of a topic that is not.
    ///
    /// # Errors
    /// `Transient`.
    async fn subscribe(&self, topic: Topic, consumer: &str) -> Result<Box<dyn Subscription>>;
}

/// A consumer's place in a topic.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for the next records, at most `limit`; never empty. Safe to drop while waiting.
    ///
    /// # Errors
    /// `Transient`.
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivered>>;

    /// Everything that `next` has handed out is done and will not come again.
    ///
    /// # Errors
    /// `Transient`: it may come again.
    async fn commit(&mut self) -> Result<()>;
}

#[cfg(feature = "cluster")]
const SCHEMES: &[&str] = &["embedded", "kafka"];
#[cfg(not(feature = "cluster"))]
const SCHEMES: &[&str] = &["embedded"];

/// Opens the broker that a URL names: `embedded:<folder>` or `kafka://host:port,host:port,…[?option=value&…]`.
///
/// # Errors
/// An unknown scheme, or what the implementation fails with.
pub async fn open(url: &str) -> Result<Arc<dyn Broker>> {
    match crate::open::by_scheme(url, "broker", SCHEMES)? {
        #[cfg(feature = "cluster")]
        ("kafka", servers) => kafka::open(servers).await,
        (_, folder) => embedded::open(folder).await,
    }
}
