//! What Anser keeps outside its roles, each behind a trait named for the need and opened by URL.
//!
//! | trait | what it keeps | in the seed's picture |
//! |---|---|---|
//! | [`store::Store`] | messages, inboxes, positions | MySQL master-master |
//! | [`cache::Cache`] | what can be lost | Redis with Sentinels |
//! | [`broker::Broker`] | topics `push` and `fanout` | Kafka |
//! | [`discovery::Discovery`] | which process holds which role | ZooKeeper |
//!
//! Each has an embedded implementation that needs nothing beside this process, and one suite of behaviour that
//! every implementation passes. Which one is in use is decided here alone, by the URL.

pub mod broker;
pub mod cache;
mod database;
pub mod discovery;
pub mod error;
mod generations;
pub mod mailbox;
mod open;
mod servers;
pub mod store;

pub use error::{Error, Kind, Result};
