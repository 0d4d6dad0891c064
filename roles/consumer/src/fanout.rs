//! One conversation's messages into its members' inboxes: seq by seq, chunk by chunk, then push, then the mark.
//!
//! Doing a message again changes nothing: a user who has it keeps the row and its inbox seq, and devices know
//! what they have.

use std::collections::HashMap;
use std::sync::Arc;

use backends::mailbox;
use backends::store::{OutboxRow, Store};
use contracts::push::{Push, StoredPush};
use metrics::Counter;
use parking_lot::Mutex;
use protocol::client::Message;
use protocol::{ConversationId, UserId};

use crate::progress::Progress;

/// Inboxes that are written together: a transaction locks at most 128.
const CHUNK_USERS: usize = 100;
/// Messages whose failed pushes are remembered; one more is left to the inboxes at its first.
const ATTEMPTS_REMEMBERED_MAX: usize = 4_096;

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

/// Carries conversations on.
pub(crate) struct Fanout {
    store: Arc<dyn Store>,
    push: Arc<dyn Push>,
    push_attempts_max: u32,
    /// How often push failed, by message id; only of messages that are being tried.
    attempts: Mutex<HashMap<u64, u32>>,
    inboxes: Counter,
    unpushed: Counter,
}

impl Fanout {
    /// Writes to this store and hands over to this push.
    pub(crate) fn new(store: Arc<dyn Store>, push: Arc<dyn Push>, push_attempts_max: u32) -> Self {
        Self {
            store,
            push,
            push_attempts_max,
            attempts: Mutex::default(),
            inboxes: metrics::counter!("anser_consumer_inbox_rows_total"),
            unpushed: metrics::counter!("anser_consumer_push_given_up_total"),
        }
    }

    /// Carries a conversation on until nothing is left.
    ///
    /// # Errors
    /// [`Failure`] tells whether to try again. What was done until then is done.
    pub(crate) async fn carry_on(&self, conversation: &ConversationId) -> Result<(), Failure> {
        'from_mark: loop {
            let mut progress = Progress::read(&self.store, conversation).await?;
            loop {
                let rows = progress.next_rows().await?;
                if rows.is_empty() {
                    return Ok(());
                }
                for row in rows {
                    self.fan_out(&row).await?;
                    if !progress.advance(row.seq).await? {
                        continue 'from_mark;
                    }
                }
            }
        }
    }

    /// Writes one message into all inboxes and has it pushed.
    async fn fan_out(&self, row: &OutboxRow) -> Result<(), Failure> {
        let users = receivers(row)?;
        let message = match mailbox::message_of(row) {
            Ok(message) => Some(Arc::new(message)),
            Err(error) => {
                // The row goes into the inboxes all the same: a seq must not be missing there.
                let (message_id, conversation) = (row.message_id, &row.conversation);
                tracing::error!(target: "consumer", ?error, message_id, %conversation, "a message is not pushed");
                None
            }
        };
        for chunk in users.chunks(CHUNK_USERS) {
            let inbox_seqs = self.store.fan_out(&row.conversation, row.seq, chunk.to_vec()).await?;
            self.inboxes.increment(inbox_seqs.len() as u64);
            if let Some(message) = &message {
                self.push(message, chunk, inbox_seqs).await?;
            }
        }
        Ok(())
    }

    async fn push(
        &self,
        message: &Arc<Message>,
        users: &[UserId],
        inbox_seqs: Vec<u64>,
    ) -> Result<(), Failure> {
        let push = |(user, inbox_seq): (&UserId, u64)| StoredPush {
            user: user.clone(),
            inbox_seq,
            message: message.clone(),
            // The sender's own device too: its reply carried no inbox seq.
            except: None,
        };
        let pushes = users.iter().zip(inbox_seqs).map(push).collect();
        let message_id = message.message_id;
        match self.push.push_stored(pushes).await {
            Ok(()) => {
                self.attempts.lock().remove(&message_id);
                Ok(())
            }
            Err(error) if self.push_again(message_id) => Err(Failure::ForNow(format!("{error:?}"))),
            Err(error) => {
                self.unpushed.increment(1);
                tracing::error!(
                    target: "consumer", ?error, message_id,
                    "push never took a message: it is left to the inboxes"
                );
                Ok(())
            }
        }
    }

    /// Push failed for a message; answers whether to try it again.
    fn push_again(&self, message_id: u64) -> bool {
        let mut attempts = self.attempts.lock();
        if !attempts.contains_key(&message_id) && attempts.len() >= ATTEMPTS_REMEMBERED_MAX {
            return false;
        }
        let count = attempts.entry(message_id).or_default();
        *count += 1;
        let again = *count < self.push_attempts_max;
        if !again {
            attempts.remove(&message_id);
        }
        again
    }
}

/// Who gets a message: both users of a single chat. It is the one place that knows a conversation's members.
fn receivers(row: &OutboxRow) -> Result<Vec<UserId>, Failure> {
    match row.conversation.users() {
        Some((one, other)) if one == other => Ok(vec![one]),
        Some((one, other)) => Ok(vec![one, other]),
        None => Err(Failure::ForGood(format!("conversation {} has no known members", row.conversation))),
    }
}
