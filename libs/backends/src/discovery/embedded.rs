//! Discovery inside this process: a cluster of one.
//!
//! Instances and owners live as long as their guards, so every restart begins with nobody registered and no owner.
//! Agreed values outlive the process where a folder is given for them. An epoch is the wall clock in milliseconds, or one more than the epoch
//! before it where that is higher: it rises with every owner within the process and, unless the machine's clock
//! was set back across the restart, over restarts too. No old owner is alive after one that it could fence.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use protocol::ServerId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch};

use super::agreed_files::AgreedFiles;
use super::{Agreed, Discovery, Instance, Leadership, Registration};
use crate::{Error, Kind, Result};

/// The last epoch that was handed out in this process, over all names.
static LAST_EPOCH: AtomicU64 = AtomicU64::new(0);

/// Opens a discovery that lives as long as what is answered, and keeps agreed values in the folder that is named,
/// or in memory where none is.
///
/// # Errors
/// `Transient` where the folder cannot be made.
pub fn open(rest: &str) -> Result<Arc<dyn Discovery>> {
    let files = if rest.is_empty() { None } else { Some(AgreedFiles::open(Path::new(rest))?) };
    Ok(Arc::new(EmbeddedDiscovery {
        registry: Arc::default(),
        names: Mutex::default(),
        agreements: Arc::new(Agreements { files, values: Mutex::default() }),
    }))
}

struct EmbeddedDiscovery {
    registry: Arc<Registry>,
    /// Who owns a name holds its lock; who waits for it stands in line. Names are chosen by the roles: a few.
    names: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
    agreements: Arc<Agreements>,
}

/// The values that are agreed on, by name. Names are chosen by the roles: a few.
struct Agreements {
    files: Option<AgreedFiles>,
    values: Mutex<HashMap<String, watch::Sender<Option<Agreed>>>>,
}

impl Agreements {
    fn watch(&self, name: &str) -> Result<watch::Receiver<Option<Agreed>>> {
        let mut values = self.values.lock();
        Ok(self.value(&mut values, name)?.subscribe())
    }

    fn agree(&self, name: &str, expected_version: u64, value: Bytes) -> Result<Option<u64>> {
        let mut values = self.values.lock();
        let agreed = self.value(&mut values, name)?;
        let version = agreed.borrow().as_ref().map_or(0, |agreed| agreed.version);
        if version != expected_version {
            return Ok(None);
        }
        let next = Agreed { version: version + 1, value };
        if let Some(files) = &self.files {
            files.write(name, &next)?;
        }
        agreed.send_replace(Some(next));
        Ok(Some(version + 1))
    }

    /// The value of a name, read from its file by the first who asks.
    fn value<'values>(
        &self,
        values: &'values mut HashMap<String, watch::Sender<Option<Agreed>>>,
        name: &str,
    ) -> Result<&'values watch::Sender<Option<Agreed>>> {
        if !values.contains_key(name) {
            let agreed = self.files.as_ref().map_or(Ok(None), |files| files.read(name))?;
            values.insert(name.to_owned(), watch::Sender::new(agreed));
        }
        Ok(&values[name])
    }
}

/// The instances of each role, ordered by server.
#[derive(Default)]
struct Registry {
    roles: Mutex<HashMap<String, watch::Sender<Vec<Instance>>>>,
}

impl Registry {
    /// Changes the instances of a role and shows them to those who watch.
    fn change<T>(&self, role: &str, change: impl FnOnce(&mut Vec<Instance>) -> T) -> T {
        let mut roles = self.roles.lock();
        let instances = roles.entry(role.to_owned()).or_insert_with(|| watch::Sender::new(Vec::new()));
        let mut after = instances.borrow().clone();
        let result = change(&mut after);
        instances.send_if_modified(|before| {
            let changed = *before != after;
            *before = after;
            changed
        });
        result
    }
}

#[async_trait]
impl Discovery for EmbeddedDiscovery {
    async fn register(&self, instance: Instance) -> Result<Box<dyn Registration>> {
        let (role, server) = (instance.role.clone(), instance.server.clone());
        let is_new = self.registry.change(&role, |instances| {
            match instances.binary_search_by(|known| known.server.cmp(&instance.server)) {
                Ok(_) => false,
                Err(place) => {
                    instances.insert(place, instance);
                    true
                }
            }
        });
        if !is_new {
            let message = format!("{role} of server {server} is registered already");
            return Err(Error::new(Kind::Conflict, message));
        }
        Ok(Box::new(EmbeddedRegistration { registry: Arc::clone(&self.registry), role, server }))
    }

    async fn watch(&self, role: &str) -> Result<watch::Receiver<Vec<Instance>>> {
        let mut roles = self.registry.roles.lock();
        let instances = roles.entry(role.to_owned()).or_insert_with(|| watch::Sender::new(Vec::new()));
        Ok(instances.subscribe())
    }

    async fn elect(&self, name: &str, candidate: &ServerId) -> Result<Box<dyn Leadership>> {
        let lock = Arc::clone(self.names.lock().entry(name.to_owned()).or_default());
        let owned = lock.lock_owned().await;
        let epoch = next_epoch();
        tracing::debug!(target: "discovery", name, %candidate, epoch, "elected");
        Ok(Box::new(EmbeddedLeadership { epoch, _owned: owned }))
    }

    async fn watch_agreed(&self, name: &str) -> Result<watch::Receiver<Option<Agreed>>> {
        let (agreements, name) = (Arc::clone(&self.agreements), name.to_owned());
        aside(move || agreements.watch(&name)).await
    }

    async fn agree(&self, name: &str, expected_version: u64, value: Bytes) -> Result<Option<u64>> {
        super::check_agreed(name, &value)?;
        let (agreements, name) = (Arc::clone(&self.agreements), name.to_owned());
        // Whoever no longer waits for it does not end it half way.
        aside(move || agreements.agree(&name, expected_version, value)).await
    }
}

/// Works on files where it holds up no other task.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::new(Kind::Transient, "discovery is being stopped").caused_by(error)),
    }
}

fn next_epoch() -> u64 {
    let now_ms = runtime::clock::now_ms();
    let next = |last: u64| now_ms.max(last + 1);
    // The last epoch is only ever replaced by a higher one.
    LAST_EPOCH.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last))).map_or(0, next)
}

struct EmbeddedRegistration {
    registry: Arc<Registry>,
    role: String,
    server: ServerId,
}

#[async_trait]
impl Registration for EmbeddedRegistration {
    async fn update(&self, metadata: BTreeMap<String, String>) -> Result<()> {
        self.registry.change(&self.role, |instances| {
            if let Some(instance) = instances.iter_mut().find(|known| known.server == self.server) {
                instance.metadata = metadata;
            }
        });
        Ok(())
    }
}

impl Drop for EmbeddedRegistration {
    fn drop(&mut self) {
        self.registry.change(&self.role, |instances| instances.retain(|known| known.server != self.server));
    }
}

struct EmbeddedLeadership {
    epoch: u64,
    // The right itself: dropping it wakes the next in line.
    _owned: OwnedMutexGuard<()>,
}

#[async_trait]
impl Leadership for EmbeddedLeadership {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    async fn lost(&self) {
        // Within one process the right is given up by dropping it and never taken away.
        std::future::pending::<()>().await;
    }
}
