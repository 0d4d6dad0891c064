//! A few threads that read, so that no asynchronous caller is held up by the disk.
//!
//! **Bound.** At most [`WAITING_MAX`] reads stand in line. One more waits for room without blocking, at most
//! [`WAIT_MAX`], and is then answered `Transient`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Database, View};
use crate::{Error, Kind, Result};

/// Reads in line.
const WAITING_MAX: usize = 1024;
/// Items of one thread's share, so that who reads little wakes one thread alone.
const SHARE_COUNT_MIN: usize = 64;
/// How long a read waits for a place in line.
const WAIT_MAX: Duration = Duration::from_secs(5);

struct Job {
    work: Box<dyn FnOnce(&Database) + Send>,
    // Its place in line, given back when the read is done.
    _place: OwnedSemaphorePermit,
}

/// A handle to the reading threads; dropping it carries out what stands in line and ends them.
pub(crate) struct Readers {
    line: Option<SyncSender<Job>>,
    places: Arc<Semaphore>,
    name: &'static str,
    refused: metrics::Counter,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts so many threads.
    ///
    /// # Errors
    /// `Transient` where the system gives no thread.
    pub(crate) fn start(database: &Arc<Database>, count: usize) -> Result<Self> {
        let (line, jobs) = sync_channel(WAITING_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        let name = database.name;
        let threads = (0..count).map(|number| {
            let (database, jobs) = (Arc::clone(database), Arc::clone(&jobs));
            std::thread::Builder::new()
                .name(format!("{name}-read-{number}"))
                .spawn(move || run(&database, &jobs))
                .map_err(|error| {
                    let message = format!("a reading thread of the {name} cannot be started: {error}");
                    Error::new(Kind::Transient, message).caused_by(error)
                })
        });
        let threads = threads.collect::<Result<_>>()?;
        let refused = metrics::counter!(
            "anser_backend_refused_total", "backend" => name, "reason" => "readers_busy"
        );
        Ok(Self { line: Some(line), places: Arc::new(Semaphore::new(WAITING_MAX)), name, refused, threads })
    }

    /// Reads in a view of this moment or later.
    ///
    /// # Errors
    /// What the read fails with; `Transient` where no thread was free in time.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |database| read(&database.view())).await
    }

    /// Reads something for each of many, in the order given. Where they are many all threads share them, and each has a
    /// view of its own.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) async fn read_each<I: Send + 'static, T: Send + 'static>(
        &self,
        mut items: Vec<I>,
        read: impl Fn(&View<'_>, I) -> Result<T> + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        let shares = (items.len() / SHARE_COUNT_MIN).clamp(1, self.threads.len().max(1));
        let share = items.len().div_ceil(shares);
        let mut jobs = Vec::with_capacity(shares);
        while !items.is_empty() {
            let rest = items.split_off(share.min(items.len()));
            let (items, read) = (std::mem::replace(&mut items, rest), read.clone());
            jobs.push(self.read(move |view| {
                items.into_iter().map(|item| read(view, item)).collect::<Result<Vec<T>>>()
            }));
        }
        Ok(try_join_all(jobs).await?.into_iter().flatten().collect())
    }

    /// Lists what is to be read, and reads each of it as [`Self::read_each`] does; where it is little, in the same view.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) async fn read_listed<I: Send + 'static, X: Send + 'static, T: Send + 'static>(
        &self,
        list: impl FnOnce(&View<'_>) -> Result<(Vec<I>, X)> + Send + 'static,
        read: impl Fn(&View<'_>, I) -> Result<T> + Clone + Send + 'static,
    ) -> Result<(Vec<T>, X)> {
        let read_few = read.clone();
        let few = move |view: &View<'_>| {
            let (items, beside) = list(view)?;
            if items.len() >= 2 * SHARE_COUNT_MIN {
                return Ok((Vec::new(), items, beside));
            }
            let read = items.into_iter().map(|item| read_few(view, item));
            Ok((read.collect::<Result<_>>()?, Vec::new(), beside))
        };
        let (read_there, listed, beside) = self.read(few).await?;
        if listed.is_empty() {
            return Ok((read_there, beside));
        }
        Ok((self.read_each(listed, read).await?, beside))
    }

    /// As [`Self::read`], for what opens its own view.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let ended = || Error::new(Kind::Transient, format!("a read of the {} was not finished", self.name));
        let place = self.place().await?;
        let (sender, waiter) = oneshot::channel();
        let work = Box::new(move |database: &Database| {
            // Who waited may have given up.
            let _ = sender.send(work(database));
        });
        let line = self.line.as_ref().ok_or_else(ended)?;
        // There is room for everyone who has a place.
        line.try_send(Job { work, _place: place }).map_err(|_| ended())?;
        waiter.await.map_err(|_| ended())?
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        match tokio::time::timeout(WAIT_MAX, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => {
                self.refused.increment(1);
                let message = format!("as many reads of the {} wait as may wait", self.name);
                Err(Error::new(Kind::Transient, message))
            }
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.line = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(target: "backends", backend = self.name, "a reading thread panicked");
            }
        }
    }
}

fn run(database: &Database, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let Ok(Job { work, _place }) = jobs.lock().recv() else { return };
        // One read that panics must not take the thread away from all others; who waits for it is told by the
        // dropped answer.
        if catch_unwind(AssertUnwindSafe(|| work(database))).is_err() {
            tracing::error!(target: "backends", backend = database.name, "a read panicked");
        }
    }
}
