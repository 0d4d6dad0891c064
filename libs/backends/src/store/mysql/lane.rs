//! Lanes: each has a session of its own and carries out batch after batch.
//!
//! **Trouble.** A transaction that somebody else was in the way of is split and tried again, at last each job for
//! itself, so that one box that is held up keeps nobody else waiting. When a session is lost in the middle, what
//! was sent last may have been carried out: it is looked up by whoever tries again, and nothing is written twice.
//! All of it ends when a job's time is over; its caller is answered `Transient`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;
use protocol::UserId;
use tokio::sync::oneshot;

use super::append;
use super::connect::{Servers, Session};
use super::line::{Job, Line};
use super::simple;
use super::trouble::Trouble;
use crate::store::{Append, Outcome, Position};
use crate::{Error, Kind, Result};

/// How long a job is tried.
pub(super) const JOB_TIME: Duration = Duration::from_secs(10);
/// How often a job for itself is tried where somebody else is in its way.
const TRIES_MAX: u32 = 12;
/// The first and the longest pause between two tries.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// What a job is.
pub(super) enum Work {
    Append(Box<AppendJob>),
    Simple(SimpleJob),
    Alone(Box<dyn Task>),
}

impl Work {
    /// Tells whether two jobs can go in one transaction.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Append(_), Self::Append(_)) | (Self::Simple(_), Self::Simple(_)))
    }

    fn fail(self, error: Error) {
        // A caller who has gone away is told nothing.
        match self {
            Self::Append(job) => drop(job.answer.send(Err(error))),
            Self::Simple(job) => drop(job.answer.send(Err(error))),
            Self::Alone(task) => task.fail(error),
        }
    }
}

pub(super) struct AppendJob {
    pub(super) append: Append,
    /// It may have been written by a try whose end is not known.
    pub(super) again: bool,
    pub(super) answer: oneshot::Sender<Result<Outcome>>,
}

/// A change that may be made twice.
pub(super) enum Simple {
    /// Intents of a lane that are cleared.
    Clear(u8, Vec<u64>),
    Positions(Vec<Position>),
    Seen(Vec<(UserId, u64)>),
}

pub(super) struct SimpleJob {
    pub(super) what: Simple,
    pub(super) answer: oneshot::Sender<Result<()>>,
}

/// A change in a transaction of its own.
#[async_trait]
pub(super) trait Change: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Begins, carries out and commits it. With `again` an earlier try may have been carried out.
    async fn carry_out(
        &self,
        session: &mut Session,
        again: bool,
    ) -> std::result::Result<Self::Answer, Trouble>;
}

/// A change and the one who waits for it.
#[async_trait]
pub(super) trait Task: Send {
    async fn attempt(&mut self, session: &mut Session) -> std::result::Result<(), Trouble>;
    fn fail(self: Box<Self>, error: Error);
}

pub(super) struct Waiting<C: Change> {
    change: C,
    again: bool,
    answer: Option<oneshot::Sender<Result<C::Answer>>>,
}

impl<C: Change> Waiting<C> {
    pub(super) fn new(change: C) -> (Self, oneshot::Receiver<Result<C::Answer>>) {
        let (answer, waiter) = oneshot::channel();
        (Self { change, again: false, answer: Some(answer) }, waiter)
    }
}

#[async_trait]
impl<C: Change> Task for Waiting<C> {
    async fn attempt(&mut self, session: &mut Session) -> std::result::Result<(), Trouble> {
        let again = std::mem::replace(&mut self.again, true);
        let done = self.change.carry_out(session, again).await;
        if !matches!(done, Err(Trouble::Lost(_))) {
            self.again = again;
        }
        let done = done?;
        if let Some(answer) = self.answer.take() {
            drop(answer.send(Ok(done)));
        }
        Ok(())
    }

    fn fail(mut self: Box<Self>, error: Error) {
        if let Some(answer) = self.answer.take() {
            drop(answer.send(Err(error)));
        }
    }
}

/// Jobs that are tried in one transaction.
struct Part {
    jobs: Vec<Job>,
    tries: u32,
}

impl Part {
    fn shares_a_key_with(&self, other: &Self) -> bool {
        self.jobs.iter().any(|job| other.jobs.iter().any(|known| job.shares_a_key_with(known)))
    }

    /// Its parts, the first of them last. Where one box is held up, each job goes for itself: the others need not wait
    /// for it once more.
    fn split(mut self, trouble: &Trouble) -> Vec<Self> {
        let tries = self.tries;
        if matches!(trouble, Trouble::Waited(_)) {
            return self.jobs.into_iter().rev().map(|job| Self { jobs: vec![job], tries }).collect();
        }
        let second = self.jobs.split_off(self.jobs.len() / 2);
        vec![Self { jobs: second, tries }, Self { jobs: self.jobs, tries }]
    }
}

/// What the lanes know of the servers together.
#[derive(Default)]
pub(super) struct Reach {
    /// Since when no server lets anybody in.
    lost: Mutex<Option<Instant>>,
}

pub(super) struct Lane {
    line: Arc<Line>,
    servers: Arc<Servers>,
    reach: Arc<Reach>,
    session: Option<Session>,
    commits: metrics::Counter,
    split: metrics::Counter,
    lost: metrics::Counter,
}

impl Lane {
    pub(super) fn new(line: Arc<Line>, servers: Arc<Servers>, reach: Arc<Reach>) -> Self {
        Self {
            line,
            servers,
            reach,
            session: None,
            commits: metrics::counter!("anser_backend_commits_total", "backend" => "store"),
            split: metrics::counter!("anser_backend_retries_total", "backend" => "store", "reason" => "contention"),
            lost: metrics::counter!("anser_backend_retries_total", "backend" => "store", "reason" => "connection"),
        }
    }

    /// Carries out what stands in line until it is closed.
    pub(super) async fn run(mut self) {
        let line = Arc::clone(&self.line);
        while let Some(mut batch) = line.next().await {
            let jobs = std::mem::take(&mut batch.jobs);
            self.carry_out(jobs).await;
            line.done(&batch);
        }
    }

    /// Carries out jobs, those that share a key in their order, and answers all of them.
    async fn carry_out(&mut self, jobs: Vec<Job>) {
        // The last is done first.
        let mut parts = vec![Part { jobs, tries: 0 }];
        // Those that wait for a box that somebody holds, and what must come after them.
        let mut held: Vec<Part> = Vec::new();
        loop {
            let Some(mut part) = parts.pop() else {
                if held.is_empty() {
                    return;
                }
                parts = std::mem::take(&mut held);
                parts.reverse();
                continue;
            };
            part.jobs = fail_late(part.jobs);
            if part.jobs.is_empty() {
                continue;
            }
            if held.iter().any(|held| held.shares_a_key_with(&part)) {
                held.push(part);
                continue;
            }
            let Err(trouble) = self.attempt(&mut part.jobs).await else {
                self.commits.increment(1);
                continue;
            };
            self.clean(&trouble).await;
            if !matches!(trouble, Trouble::Lost(_)) && part.jobs.len() > 1 {
                self.split.increment(1);
                parts.extend(part.split(&trouble));
                continue;
            }
            part.tries += 1;
            match trouble {
                Trouble::Waited(_) if part.tries <= TRIES_MAX => held.push(part),
                trouble if self.gives_up(&trouble, part.tries) => fail_all(part.jobs, &trouble.into_error()),
                _ => {
                    tokio::time::sleep(pause(part.tries)).await;
                    parts.push(part);
                }
            }
        }
    }

    /// Tells whether jobs are not to be tried again.
    fn gives_up(&self, trouble: &Trouble, tries: u32) -> bool {
        match trouble {
            Trouble::Failed(_) => true,
            Trouble::Waited(_) | Trouble::Raced(_) => tries > TRIES_MAX,
            Trouble::Lost(error) => error.kind() == Kind::Missing || self.out_of_reach(),
        }
    }

    /// Tries to carry out jobs in one transaction; answers those who wait where it succeeds.
    async fn attempt(&mut self, jobs: &mut Vec<Job>) -> std::result::Result<(), Trouble> {
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let session = self.servers.connect().await.map_err(|error| {
                    self.reach.lost.lock().get_or_insert_with(Instant::now);
                    Trouble::Lost(error)
                })?;
                *self.reach.lost.lock() = None;
                none.insert(session)
            }
        };
        match jobs.first_mut().map(|job| &mut job.work) {
            Some(Work::Append(_)) => append::append(session, jobs).await,
            Some(Work::Simple(_)) => simple::write(session, jobs).await,
            Some(Work::Alone(task)) => task.attempt(session).await,
            None => Ok(()),
        }
    }

    /// Leaves nothing of a transaction that failed.
    async fn clean(&mut self, trouble: &Trouble) {
        if matches!(trouble, Trouble::Lost(_)) {
            self.lost.increment(1);
            self.session = None;
        } else if let Some(session) = &mut self.session
            && session.roll_back().await.is_err()
        {
            self.session = None;
        }
    }

    /// Tells whether no server has let anybody in for so long that nobody is kept waiting for it.
    fn out_of_reach(&self) -> bool {
        self.reach.lost.lock().is_some_and(|since| since.elapsed() > JOB_TIME)
    }
}

/// Answers those whose time is over.
fn fail_late(jobs: Vec<Job>) -> Vec<Job> {
    let now = Instant::now();
    if jobs.iter().all(|job| job.until > now) {
        return jobs;
    }
    let (late, jobs): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.until <= now);
    let message = format!("the store has not carried it out within {JOB_TIME:?}");
    fail_all(late, &Error::new(Kind::Transient, message));
    jobs
}

fn fail_all(jobs: Vec<Job>, error: &Error) {
    for job in jobs {
        job.work.fail(Error::new(error.kind(), error.to_string()));
    }
}

/// How long to wait before the next try; not the same for two who race.
fn pause(tries: u32) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(1 << tries.min(10)).min(PAUSE_MAX);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    longest / 2 + (longest / 2).mul_f64(f64::from(nanos % 1000) / 1000.0)
}
