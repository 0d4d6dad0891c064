//! What every store promises.

pub(crate) mod append;
pub(crate) mod fan_out;
pub(crate) mod model;
pub(crate) mod read;
pub(crate) mod upkeep;

use std::sync::Arc;

use async_trait::async_trait;
use backends::Result;
use backends::store::{Append, Appended, OutboxRow, Store};
use bytes::Bytes;
use protocol::{ConversationId, UserId};

use crate::user;

/// Starts an empty store.
#[async_trait]
pub(crate) trait StoreFixture: Sized + Send {
    async fn start() -> Self;
    fn store(&self) -> Arc<dyn Store>;
    /// Ends the store and opens it again; nobody holds it.
    async fn reopen(&mut self);
}

/// A single chat's message; its id and time follow from the number.
fn chat(from: &str, to: &str, number: u64) -> Append {
    let (sender, receiver) = (user(from), user(to));
    let mut inboxes = vec![sender.clone(), receiver.clone()];
    inboxes.dedup();
    Append {
        conversation: ConversationId::single(&sender, &receiver),
        message_id: number,
        sender,
        client_message_id: format!("c-{number}"),
        time_ms: time_of(number),
        content: Bytes::from(format!("text {number}")),
        inboxes,
    }
}

/// A message that is written to the outbox only, as a group's.
fn group(from: &str, to: &str, number: u64) -> Append {
    Append { inboxes: Vec::new(), ..chat(from, to, number) }
}

fn time_of(number: u64) -> u64 {
    1_700_000_000_000 + number
}

fn conversation(one: &str, other: &str) -> ConversationId {
    ConversationId::single(&user(one), &user(other))
}

fn row_of(append: &Append, seq: u64) -> OutboxRow {
    OutboxRow {
        conversation: append.conversation.clone(),
        seq,
        message_id: append.message_id,
        sender: append.sender.clone(),
        client_message_id: append.client_message_id.clone(),
        time_ms: append.time_ms,
        content: append.content.clone(),
    }
}

async fn append(store: &Arc<dyn Store>, append: Append) -> Appended {
    let mut answers = store.append(vec![append]).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0).unwrap()
}

fn all_written(answers: Vec<Result<Appended>>) -> Vec<Appended> {
    answers.into_iter().map(|answer| answer.unwrap()).collect()
}

async fn whole_inbox(store: &Arc<dyn Store>, owner: &UserId) -> Vec<(u64, OutboxRow)> {
    let page = store.inbox_page(owner, 1, 0, usize::MAX).await.unwrap();
    assert_eq!(page.top, page.rows.last().map_or(0, |row| row.inbox_seq));
    page.rows.into_iter().map(|row| (row.inbox_seq, row.message)).collect()
}
