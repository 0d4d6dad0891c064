//! What waits to be written, and who may go together.
//!
//! **Order.** A job joins the line when its future is first polled, before anything is awaited. Jobs that share a key
//! (a box, a first answer, an intent) are carried out in the order of the line, each seeing what those before it did;
//! others overtake each other, on several lanes at once.
//!
//! **Batches.** A lane that is free takes the first job that shares no key with what is under way or stands before
//! it, and with it those behind it that can go in the same transaction. It waits for nothing: while one batch is made
//! durable, the next one gathers.
//!
//! **Bound.** The line holds at most [`JOBS_MAX`] jobs and [`QUEUED_BYTES_MAX`] bytes. One more is answered `Full` at
//! once and nothing was done.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::time::Instant;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::lane::Work;
use crate::{Error, Kind};

/// Jobs in line; with thousands of writers it is about a second of work.
const JOBS_MAX: usize = 16 * 1024;
/// Bytes in line.
const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a job costs beside its own bytes.
const JOB_BYTES: usize = 512;
/// Jobs of one batch.
const BATCH_JOBS_MAX: usize = 256;
/// Bytes of one batch, beyond which it takes no further job; a statement is about twice as long.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Heads that a transaction of several jobs locks.
pub(super) const HEADS_MAX: usize = 128;
/// Jobs that are looked at for one batch.
const LOOKED_AT_MAX: usize = 1024;

/// The keys of a job, hashed: two that meet by chance only wait for each other.
pub(super) type Keys = SmallVec<[u64; 4]>;
type KeySet = HashSet<u64, foldhash::fast::RandomState>;

/// What a key names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named {
    Conversation,
    Inbox,
    Answer,
    Intent,
    Position,
    Seen,
    Blocks,
    Requests,
}

/// A key: what it names, and which.
pub(super) fn key(named: Named, name: &[u8]) -> u64 {
    xxh3_64_with_seed(name, named as u64)
}

/// One who waits to be written.
pub(super) struct Job {
    /// Boxes whose heads it locks.
    pub(super) heads: Keys,
    /// What else it must not share with one that stands before it.
    pub(super) others: Keys,
    pub(super) bytes: usize,
    /// Beyond it nobody waits for the answer.
    pub(super) until: Instant,
    pub(super) work: Work,
}

impl Job {
    /// Tells whether one of two jobs must wait for the other.
    pub(super) fn shares_a_key_with(&self, other: &Self) -> bool {
        self.keys().any(|key| other.keys().any(|known| known == key))
    }

    fn keys(&self) -> impl Iterator<Item = &u64> {
        self.heads.iter().chain(&self.others)
    }
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    queued_bytes: usize,
    /// Keys of what is under way.
    busy: KeySet,
    closed: bool,
}

/// Jobs that go in one transaction, in the order of the line.
pub(super) struct Batch {
    pub(super) jobs: Vec<Job>,
    keys: Vec<u64>,
}

pub(super) struct Line {
    state: Mutex<State>,
    changed: Notify,
    full: metrics::Counter,
}

impl Line {
    pub(super) fn new() -> Self {
        let full = metrics::counter!("anser_backend_refused_total", "backend" => "store", "reason" => "full");
        Self { state: Mutex::default(), changed: Notify::new(), full }
    }

    /// Puts jobs into the line, as many as there is room for; answers how many from the beginning that was.
    pub(super) fn join(&self, jobs: impl IntoIterator<Item = Job>) -> usize {
        let mut state = self.state.lock();
        let mut joined = 0;
        let mut refused = 0;
        for mut job in jobs {
            job.bytes += JOB_BYTES;
            // One that has no room leaves none for those behind it, which must not overtake it.
            if refused > 0
                || state.jobs.len() >= JOBS_MAX
                || state.queued_bytes + job.bytes > QUEUED_BYTES_MAX
            {
                refused += 1;
                continue;
            }
            state.queued_bytes += job.bytes;
            state.jobs.push_back(job);
            joined += 1;
        }
        drop(state);
        self.full.increment(refused);
        self.changed.notify_one();
        joined
    }

    /// Why a job was not put into the line.
    pub(super) fn full() -> Error {
        let message = format!(
            "{JOBS_MAX} changes or {QUEUED_BYTES_MAX} bytes wait for the store already: try again later"
        );
        Error::new(Kind::Full, message)
    }

    /// Waits for a batch; `None` when the line is closed and empty.
    pub(super) async fn next(&self) -> Option<Batch> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some(batch) = state.take() {
                    if !state.jobs.is_empty() {
                        // Perhaps another lane finds something in what is left.
                        self.changed.notify_one();
                    }
                    return Some(batch);
                }
                if state.closed && state.jobs.is_empty() {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// A batch is done with: those who waited for what it held may go.
    pub(super) fn done(&self, batch: &Batch) {
        let mut state = self.state.lock();
        for key in &batch.keys {
            state.busy.remove(key);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Nothing more comes: what stands in line is carried out.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_waiters();
    }
}

impl State {
    /// The next batch, if any job can go.
    fn take(&mut self) -> Option<Batch> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut bytes = 0;
        let mut heads = KeySet::default();
        let mut passed = KeySet::default();
        let mut left: VecDeque<Job> = VecDeque::new();
        let mut looked_at = 0;
        while let Some(job) = self.jobs.pop_front() {
            looked_at += 1;
            let free = !job.keys().any(|key| self.busy.contains(key) || passed.contains(key));
            let goes_along = match jobs.first() {
                None => true,
                Some(first) => {
                    let more = job.heads.iter().filter(|key| !heads.contains(key)).count();
                    first.work.goes_with(&job.work)
                        && bytes + job.bytes <= BATCH_BYTES_MAX
                        && heads.len() + more <= HEADS_MAX
                }
            };
            if free && goes_along {
                bytes += job.bytes;
                heads.extend(&job.heads);
                jobs.push(job);
            } else {
                passed.extend(job.keys());
                left.push_back(job);
            }
            if looked_at == LOOKED_AT_MAX || jobs.len() == BATCH_JOBS_MAX {
                break;
            }
        }
        while let Some(job) = left.pop_back() {
            self.jobs.push_front(job);
        }
        if jobs.is_empty() {
            return None;
        }
        self.queued_bytes -= bytes;
        let mut keys: Vec<u64> = jobs.iter().flat_map(Job::keys).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        self.busy.extend(&keys);
        Some(Batch { jobs, keys })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::mysql::lane::{Simple, SimpleJob};

    fn job(name: u64, heads: &[u64], others: &[u64]) -> Job {
        let (answer, _) = oneshot::channel();
        let work = Work::Simple(SimpleJob { what: Simple::Clear(0, vec![name]), answer });
        let until = Instant::now() + Duration::from_secs(60);
        Job { heads: heads.into(), others: others.into(), bytes: 0, until, work }
    }

    fn names(batch: &Batch) -> Vec<u64> {
        let name = |job: &Job| match &job.work {
            Work::Simple(SimpleJob { what: Simple::Clear(_, ids), .. }) => ids[0],
            _ => unreachable!(),
        };
        batch.jobs.iter().map(name).collect()
    }

    fn take(line: &Line) -> Option<Batch> {
        line.next().now_or_never().flatten()
    }

    #[test]
    fn jobs_that_share_a_box_go_together_or_one_after_another() {
        let line = Line::new();
        line.join([job(1, &[1], &[]), job(2, &[1], &[]), job(3, &[2], &[])]);
        let first = take(&line).unwrap();
        assert_eq!(names(&first), [1, 2, 3]);
        line.join([job(4, &[2], &[9]), job(5, &[7], &[]), job(6, &[8], &[9])]);
        let second = take(&line).unwrap();
        assert_eq!(names(&second), [5], "6 waits for 4, which waits for the first batch");
        assert!(take(&line).is_none());
        line.done(&first);
        assert_eq!(names(&take(&line).unwrap()), [4, 6]);
    }

    #[test]
    fn a_batch_locks_no_more_heads_than_it_may() {
        let line = Line::new();
        line.join((0..100).map(|name| job(name, &[2 * name, 2 * name + 1], &[])));
        let first = take(&line).unwrap();
        assert_eq!(names(&first), (0..64).collect::<Vec<_>>());
        assert_eq!(names(&take(&line).unwrap()), (64..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_that_is_full_takes_no_more_until_some_are_done() {
        let line = Line::new();
        let many = (0..JOBS_MAX as u64 + 5).map(|name| job(name, &[], &[name]));
        assert_eq!(line.join(many), JOBS_MAX);
        assert_eq!(line.join([job(0, &[], &[])]), 0);
        let batch = take(&line).unwrap();
        assert_eq!(batch.jobs.len(), BATCH_JOBS_MAX);
        assert_eq!(line.join([job(0, &[], &[])]), 1);
    }

    #[test]
    fn a_closed_line_ends_when_it_is_empty() {
        let line = Line::new();
        line.join([job(1, &[], &[])]);
        line.close();
        assert_eq!(names(&take(&line).unwrap()), [1]);
        assert!(line.next().now_or_never().unwrap().is_none());
    }
}
