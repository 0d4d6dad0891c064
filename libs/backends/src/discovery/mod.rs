//! Which process holds which role, and who of several may act.
//!
//! A registration lasts as long as its guard is held and the process lives. A lease is a hint; the epoch that
//! an election hands out rises with every new owner and is what fences an old one.

mod agreed_files;
pub mod embedded;
mod name;
pub mod zookeeper;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use protocol::ServerId;
use tokio::sync::watch;

use crate::{Error, Kind, Result};

/// One role of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The role's name, such as `proxy`.
    pub role: String,
    /// The process; named anew each time it starts.
    pub server: ServerId,
    /// Where it listens, by the name of what listens there, such as `tcp` → `127.0.0.1:3101`.
    pub addresses: BTreeMap<String, String>,
    /// What else others want to know, such as its weight, region or connection count.
    pub metadata: BTreeMap<String, String>,
    /// When it registered, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Keeps the registration alive; dropping it takes the instance out.
#[async_trait]
pub trait Registration: Send + Sync {
    /// Changes the metadata that others see.
    ///
    /// # Errors
    /// `Transient`.
    async fn update(&self, metadata: BTreeMap<String, String>) -> Result<()>;
}

/// The right to act for a name, until it is lost.
#[async_trait]
pub trait Leadership: Send + Sync {
    /// Rises with every new owner of the name; never 0.
    fn epoch(&self) -> u64;

    /// Waits until the right is lost.
    async fn lost(&self);
}

/// A small value that all processes agree on, such as which side of a pair of databases is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Rises with every change; never 0.
    pub version: u64,
    /// What is agreed on, at most [`AGREED_BYTES_MAX`].
    pub value: Bytes,
}

/// Bytes of an agreed value.
pub const AGREED_BYTES_MAX: usize = 64 * 1024;

/// Knows the processes of the system.
#[async_trait]
pub trait Discovery: Send + Sync {
    /// Announces an instance.
    ///
    /// # Errors
    /// `Transient`; `Conflict` where the same role of the same process is there already.
    async fn register(&self, instance: Instance) -> Result<Box<dyn Registration>>;

    /// All instances of a role, as they come and go, ordered by server; the last view stays while the product
    /// cannot be reached.
    ///
    /// # Errors
    /// `Transient`.
    async fn watch(&self, role: &str) -> Result<watch::Receiver<Vec<Instance>>>;

    /// Waits until this process is the owner of a name. Dropping the answer gives it up.
    ///
    /// # Errors
    /// `Transient`.
    async fn elect(&self, name: &str, candidate: &ServerId) -> Result<Box<dyn Leadership>>;

    /// The value agreed on under a name, as it changes; `None` where nothing is. The last view stays while the
    /// product cannot be reached.
    ///
    /// # Errors
    /// `Transient`.
    async fn watch_agreed(&self, name: &str) -> Result<watch::Receiver<Option<Agreed>>>;

    /// Agrees on a value in place of the one of that version, 0 where there must be none; answers its version, or
    /// `None` where another version is agreed on. It outlives the process.
    ///
    /// # Errors
    /// `Conflict` for a value that is too long; `Transient`: it may or may not have been agreed on.
    async fn agree(&self, name: &str, expected_version: u64, value: Bytes) -> Result<Option<u64>>;
}

/// Refuses a value that is too long to be agreed on.
fn check_agreed(name: &str, value: &Bytes) -> Result<()> {
    if value.len() <= AGREED_BYTES_MAX {
        return Ok(());
    }
    let message = format!("value of {name:?} has {} bytes: {AGREED_BYTES_MAX} at most", value.len());
    Err(Error::new(Kind::Conflict, message))
}

/// Opens the discovery that a URL names: `embedded:` with the folder of agreed values after it, or
/// `zookeeper://…`.
///
/// # Errors
/// An unknown scheme, or what the implementation fails with.
pub async fn open(url: &str) -> Result<Arc<dyn Discovery>> {
    match crate::open::by_scheme(url, "discovery", &["embedded", "zookeeper"])? {
        ("zookeeper", rest) => zookeeper::open(rest).await,
        (_, rest) => embedded::open(rest),
    }
}
