//! The one thread that writes: it takes all that waits, makes one commit of it, and answers everyone.
//!
//! **Order.** A job joins the line when its future is first polled, before anything is awaited. What stands in
//! line is carried out in that order, each job seeing what those before it did.
//!
//! **Bound.** The line holds at most [`JOBS_MAX`] jobs and [`QUEUED_BYTES_MAX`] bytes. One more is answered
//! `Full` at once and nothing was done: waiting for room would let a later job of the same caller overtake.
//! A commit takes at most [`COMMIT_JOBS_MAX`] jobs and about [`COMMIT_BYTES_MAX`] bytes.
//!
//! **Window.** While one commit is made durable the next one gathers. After a commit of many it gathers for as long as
//! that one took, at most [`WINDOW_MAX`]: what a commit costs is then shared by more. One that is alone waits for
//! nothing.
//!
//! **Failure.** When a commit fails nothing is known of what is on disk. Everyone in it is answered
//! `Transient`, what was kept in memory beside the disk is dropped, and the writer refuses all that comes after
//! until the folder is opened again, which reads the truth back from disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::Database;
use super::draft::{Draft, Durability};
use crate::{Error, Kind, Result};

/// Jobs in line; with 64 writers it is never near, with thousands it is a fraction of a second of work.
const JOBS_MAX: usize = 16 * 1024;
/// Bytes in line.
const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Jobs of one commit.
const COMMIT_JOBS_MAX: usize = 2048;
/// Bytes of one commit, beyond which it takes no further job.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Jobs of a commit that count as many.
const MANY_COUNT: usize = 8;
/// For how long jobs are gathered at most.
const WINDOW_MAX: Duration = Duration::from_micros(500);
/// What a job costs beside its own bytes: keys, heads, its place in line.
const JOB_BYTES: usize = 512;

/// What the writing thread keeps in memory beside the disk.
pub(crate) trait State: Send + 'static {
    /// All jobs of a commit are in the draft: adds what is written once for all of them.
    fn complete(&mut self, draft: &mut Draft);

    /// The commit is done; nobody has been answered yet.
    fn committed(&mut self);

    /// The commit failed: forgets everything that is not known to be on disk.
    fn abandoned(&mut self);

    /// Nothing more comes: adds what was only kept in memory and would be lost. It may be lost in a crash.
    fn closing(&mut self, _draft: &mut Draft) {}
}

/// Answers one job: with nothing when the commit is done, else with what happened.
type Answer = Box<dyn FnOnce(Option<&str>) + Send>;
type Work<S> = Box<dyn FnOnce(&mut S, &mut Draft) -> Answer + Send>;

struct Job<S> {
    work: Work<S>,
    durability: Durability,
    bytes: usize,
}

/// A handle to the writing thread; dropping it carries out what stands in line and ends the thread.
pub(crate) struct Writer<S> {
    line: Option<mpsc::Sender<Job<S>>>,
    queued_bytes: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
    place: Arc<str>,
    full: metrics::Counter,
    thread: Option<JoinHandle<()>>,
}

impl<S: State> Writer<S> {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Transient` where the system gives no thread.
    pub(crate) fn start(database: &Arc<Database>, state: S) -> Result<Self> {
        let (line, jobs) = mpsc::channel(JOBS_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let failed = Arc::new(AtomicBool::new(false));
        let place: Arc<str> = format!("{} in {}", database.name, database.path().display()).into();
        let worker = Worker {
            state,
            draft: Draft::new(Arc::clone(database)),
            jobs,
            queued_bytes: Arc::clone(&queued_bytes),
            failed: Arc::clone(&failed),
            place: Arc::clone(&place),
            commits: metrics::counter!("anser_backend_commits_total", "backend" => database.name),
        };
        let thread = std::thread::Builder::new()
            .name(format!("{}-write", database.name))
            .spawn(move || worker.run())
            .map_err(|error| {
                let message = format!("{place}: its writing thread cannot be started: {error}");
                Error::new(Kind::Transient, message).caused_by(error)
            })?;
        let full = metrics::counter!(
            "anser_backend_refused_total", "backend" => database.name, "reason" => "full"
        );
        Ok(Self { line: Some(line), queued_bytes, failed, place, full, thread: Some(thread) })
    }

    /// Carries out a job of about so many bytes in the next commit and answers what it answered, once the
    /// commit is done.
    ///
    /// # Errors
    /// `Full`: nothing was done. `Transient`: it may or may not have been done.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        durability: Durability,
        work: impl FnOnce(&mut S, &mut Draft) -> T + Send + 'static,
    ) -> Result<T> {
        let (sender, waiter) = oneshot::channel();
        let place = Arc::clone(&self.place);
        let work: Work<S> = Box::new(move |state, draft| {
            let done = work(state, draft);
            Box::new(move |failure| {
                let answer = match failure {
                    None => Ok(done),
                    Some(what) => Err(Error::new(Kind::Transient, format!("{place}: {what}"))),
                };
                // Who waited may have given up; it is written all the same.
                let _ = sender.send(answer);
            })
        });
        self.queue(Job { work, durability, bytes: bytes.saturating_add(JOB_BYTES) })?;
        match waiter.await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(Kind::Transient, format!("{}: its writing thread ended", self.place))),
        }
    }

    fn queue(&self, job: Job<S>) -> Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::new(Kind::Transient, format!("{}: {AFTER_FAILURE}", self.place)));
        }
        let bytes = job.bytes;
        let before = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        // An empty line takes a job of any size.
        let room = before == 0 || before.saturating_add(bytes) <= QUEUED_BYTES_MAX;
        let sent = match &self.line {
            Some(line) if room => line.try_send(job),
            Some(_) => Err(mpsc::error::TrySendError::Full(job)),
            None => Err(mpsc::error::TrySendError::Closed(job)),
        };
        let Err(error) = sent else { return Ok(()) };
        self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        Err(match error {
            mpsc::error::TrySendError::Full(_) => {
                self.full.increment(1);
                Error::new(Kind::Full, format!("{}: as much waits to be written as may wait", self.place))
            }
            mpsc::error::TrySendError::Closed(_) => {
                Error::new(Kind::Transient, format!("{}: its writing thread ended", self.place))
            }
        })
    }
}

impl<S> Drop for Writer<S> {
    fn drop(&mut self) {
        self.line = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(target: "backends", place = %self.place, "the writing thread panicked");
        }
    }
}

const AFTER_FAILURE: &str = "an earlier commit failed, nothing is written until it is opened again";

struct Worker<S> {
    state: S,
    draft: Draft,
    jobs: mpsc::Receiver<Job<S>>,
    queued_bytes: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
    place: Arc<str>,
    commits: metrics::Counter,
}

impl<S: State> Worker<S> {
    fn run(mut self) {
        let mut answers = Vec::new();
        let mut window = Duration::ZERO;
        while let Some(first) = self.jobs.blocking_recv() {
            if window > Duration::ZERO {
                std::thread::sleep(window);
            }
            let (durability, bytes) = self.gather(first, &mut answers);
            let begun = Instant::now();
            let failure = self.commit(durability);
            let many = answers.len() >= MANY_COUNT;
            window = if many { begun.elapsed().min(WINDOW_MAX) } else { Duration::ZERO };
            // Room is made only now, so that the bound holds for what is in the commit as well.
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            for answer in answers.drain(..) {
                answer(failure);
            }
        }
        if !self.failed.load(Ordering::Acquire) {
            self.state.closing(&mut self.draft);
            if !self.draft.is_empty() {
                self.commit(Durability::Relaxed);
            }
        }
    }

    fn gather(&mut self, first: Job<S>, answers: &mut Vec<Answer>) -> (Durability, usize) {
        let mut durability = Durability::Relaxed;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            durability = durability.max(job.durability);
            bytes += job.bytes;
            answers.push((job.work)(&mut self.state, &mut self.draft));
            let more = answers.len() < COMMIT_JOBS_MAX && bytes < COMMIT_BYTES_MAX;
            next = if more { self.jobs.try_recv().ok() } else { None };
        }
        (durability, bytes)
    }

    fn commit(&mut self, durability: Durability) -> Option<&'static str> {
        if self.failed.load(Ordering::Acquire) {
            self.draft.clear();
            self.state.abandoned();
            return Some(AFTER_FAILURE);
        }
        self.state.complete(&mut self.draft);
        match self.draft.commit(durability) {
            Ok(()) => {
                self.state.committed();
                self.commits.increment(1);
                None
            }
            Err(error) => {
                tracing::error!(target: "backends", place = %self.place, %error, "commit failed, writes end");
                self.failed.store(true, Ordering::Release);
                self.state.abandoned();
                Some("a commit failed, it may or may not have been written")
            }
        }
    }
}
