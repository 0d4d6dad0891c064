//! One conversation's rows into its members' inboxes: row by row, inboxes, then push, then the mark.
//!
//! Three rows are on their way at once, each a step behind the one before: while a row is pushed the next one is
//! written, and the mark moves past the one that was pushed before. So a row is begun when the one before it is
//! in all inboxes, each user is pushed in order, and a busy group waits for one commit a row.
//!
//! Doing a row again changes nothing: a user who has it keeps the inbox row and its seq, and devices know what they
//! have.

use std::sync::Arc;

use backends::cache::Cache;
use backends::mailbox;
use backends::store::{OutboxRow, Store};
use contracts::push::{Push, StoredPush};
use futures_util::future::try_join_all;
use metrics::Counter;
use protocol::{ConversationId, UserId};
use tokio::sync::mpsc;

use crate::progress::Progress;
use crate::receivers::Receivers;

/// Inboxes that are written together: a transaction locks at most 128.
const CHUNK_USERS: usize = 100;

/// How far a conversation was carried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Nothing is left.
    ToTheEnd,
    /// There may be more.
    Further,
}

/// Why a conversation was not carried on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may succeed when tried again.
    ForNow(String),
    /// It cannot succeed until a person looks.
    ForGood(String),
}

impl From<backends::Error> for Failure {
    fn from(error: backends::Error) -> Self {
        let reason = format!("{error:?}");
        match error.kind() {
            backends::Kind::Transient | backends::Kind::Full | backends::Kind::Conflict => {
                Self::ForNow(reason)
            }
            backends::Kind::Missing | backends::Kind::Corrupt => Self::ForGood(reason),
        }
    }
}

/// How often push failed for the row of a conversation that is being tried.
#[derive(Debug, Default)]
pub(crate) struct PushFailures {
    message_id: u64,
    count: u32,
}

impl PushFailures {
    /// Push failed for a row; answers how often in all.
    fn add(&mut self, message_id: u64) -> u32 {
        if self.message_id != message_id {
            *self = Self { message_id, count: 0 };
        }
        self.count += 1;
        self.count
    }
}

/// A row that is in all inboxes.
struct Written {
    row: Done,
    pushes: Vec<StoredPush>,
}

/// A row that is in all inboxes and was pushed.
#[derive(Clone, Copy)]
struct Done {
    seq: u64,
    message_id: u64,
}

/// What came of a step.
enum Step<T> {
    /// It is done; `None` where there was nothing to do.
    Taken(Option<T>),
    /// Somebody else has moved the mark: it is to be read again.
    Overtaken,
}

/// Carries conversations on.
pub(crate) struct Fanout {
    store: Arc<dyn Store>,
    cache: Arc<dyn Cache>,
    push: Arc<dyn Push>,
    receivers: Receivers,
    cleared: mpsc::Sender<Vec<u64>>,
    push_attempts_max: u32,
    inboxes: Counter,
    unpushed: Counter,
}

impl Fanout {
    /// Writes to this store, tells this cache, hands over to this push, and says which rows' intents can go.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        cache: Arc<dyn Cache>,
        push: Arc<dyn Push>,
        cleared: mpsc::Sender<Vec<u64>>,
        push_attempts_max: u32,
    ) -> Self {
        Self {
            receivers: Receivers::new(store.clone()),
            store,
            cache,
            push,
            cleared,
            push_attempts_max,
            inboxes: metrics::counter!("anser_consumer_inbox_rows_total"),
            unpushed: metrics::counter!("anser_consumer_push_given_up_total"),
        }
    }

    /// Carries a conversation on by one page of rows.
    ///
    /// # Errors
    /// [`Failure`] tells whether to try again. What was done until then is done.
    pub(crate) async fn carry_on(
        &self,
        conversation: &ConversationId,
        failures: &mut PushFailures,
    ) -> Result<Carried, Failure> {
        let mut progress = Progress::read(&self.store, conversation).await?;
        let rows = progress.next_rows().await?;
        if rows.is_empty() {
            return Ok(Carried::ToTheEnd);
        }
        let mut cleared = Vec::with_capacity(rows.len());
        let outcome = self.carry_rows(&mut progress, failures, rows, &mut cleared).await;
        // Where nobody takes them the process is ending, and the sweep of the next one does.
        if !cleared.is_empty() {
            let _ = self.cleared.send(cleared).await;
        }
        outcome.map(|()| Carried::Further)
    }

    /// Carries rows on until they are done or somebody else has moved the mark.
    async fn carry_rows(
        &self,
        progress: &mut Progress<'_>,
        failures: &mut PushFailures,
        rows: Vec<OutboxRow>,
        cleared: &mut Vec<u64>,
    ) -> Result<(), Failure> {
        let mut to_push: Option<Written> = None;
        let mut to_mark: Option<Done> = None;
        for row in rows.into_iter().map(Some).chain([None, None]) {
            let (written, pushed, marked) = tokio::join!(
                self.write(row),
                self.push(to_push.take(), failures),
                mark(progress, to_mark.take()),
            );
            let Step::Taken(marked) = marked? else { return Ok(()) };
            cleared.extend(marked.map(|done| done.message_id));
            to_mark = pushed?;
            let Step::Taken(written) = written? else { return Ok(()) };
            to_push = written;
        }
        Ok(())
    }

    /// Writes a row into all inboxes, chunk by chunk, all chunks at once so that they share a commit.
    async fn write(&self, row: Option<OutboxRow>) -> Result<Step<Written>, Failure> {
        let Some(row) = row else { return Ok(Step::Taken(None)) };
        let users = self.receivers.of(&row).await?;
        let chunks = users
            .chunks(CHUNK_USERS)
            .map(|chunk| self.store.fan_out(&row.conversation, row.seq, chunk.to_vec()));
        let inbox_seqs = match try_join_all(chunks).await {
            Ok(inbox_seqs) => inbox_seqs.concat(),
            Err(error) if error.kind() == backends::Kind::Conflict => {
                let fanned_out_to = self.store.fanned_out_to(&row.conversation).await?;
                return if fanned_out_to >= row.seq { Ok(Step::Overtaken) } else { Err(error.into()) };
            }
            Err(error) => return Err(error.into()),
        };
        self.inboxes.increment(inbox_seqs.len() as u64);
        self.raise_tops(&users, &inbox_seqs).await;
        let pushes = pushes(&row, &users, &inbox_seqs);
        Ok(Step::Taken(Some(Written { row: Done { seq: row.seq, message_id: row.message_id }, pushes })))
    }

    /// Tells the cache the highest seq of each inbox: a heartbeat that comes now hears of the row.
    async fn raise_tops(&self, users: &[UserId], inbox_seqs: &[u64]) {
        let tops: Vec<(UserId, u64)> = users.iter().cloned().zip(inbox_seqs.iter().copied()).collect();
        if let Err(error) = self.cache.raise_inbox_tops(&tops).await {
            tracing::debug!(target: "consumer", ?error, "tops of inboxes were not raised");
        }
    }

    /// Has a row pushed; one that push has never taken is left to the inboxes.
    async fn push(
        &self,
        written: Option<Written>,
        failures: &mut PushFailures,
    ) -> Result<Option<Done>, Failure> {
        let Some(Written { row, pushes }) = written else { return Ok(None) };
        if pushes.is_empty() {
            return Ok(Some(row));
        }
        match self.push.push_stored(pushes).await {
            Ok(()) => Ok(Some(row)),
            Err(error) if failures.add(row.message_id) < self.push_attempts_max => {
                Err(Failure::ForNow(format!("{error:?}")))
            }
            Err(error) => {
                self.unpushed.increment(1);
                tracing::error!(
                    target: "consumer", ?error, message_id = row.message_id,
                    "push never took a row: it is left to the inboxes"
                );
                Ok(Some(row))
            }
        }
    }
}

/// Moves the mark past a row.
async fn mark(progress: &mut Progress<'_>, done: Option<Done>) -> Result<Step<Done>, Failure> {
    let Some(done) = done else { return Ok(Step::Taken(None)) };
    Ok(if progress.advance(done.seq).await? { Step::Taken(Some(done)) } else { Step::Overtaken })
}

/// What is pushed of a row: one body, and each receiver's own inbox seq.
fn pushes(row: &OutboxRow, users: &[UserId], inbox_seqs: &[u64]) -> Vec<StoredPush> {
    let message = match mailbox::message_of(row) {
        Ok(message) => Arc::new(message),
        Err(error) => {
            // The row is in the inboxes all the same: a seq must not be missing there.
            let (message_id, conversation) = (row.message_id, &row.conversation);
            tracing::error!(target: "consumer", ?error, message_id, %conversation, "a row is not pushed");
            return Vec::new();
        }
    };
    let push = |(user, inbox_seq): (&UserId, &u64)| StoredPush {
        user: user.clone(),
        inbox_seq: *inbox_seq,
        message: message.clone(),
        // The sender's own device too: its reply carried no inbox seq.
        except: None,
    };
    users.iter().zip(inbox_seqs).map(push).collect()
}
