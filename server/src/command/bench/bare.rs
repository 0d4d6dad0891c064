//! What the bare store does with the same rows: no network, no consumer, no push beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backends::store::{self, Append, Guard, Outcome, Store};
use bytes::Bytes;
use protocol::{ConversationId, GroupId, Identifier as _, UserId};

use super::super::failure::Failure;
use super::per_second;

/// Inboxes of one call, as the consumer makes it.
const CHUNK_USERS: usize = 100;
/// Calls that wait at the same time where the store may join them.
const TOGETHER: usize = 16;
/// Messages that are there to be written into inboxes: more than a measurement uses up.
const MESSAGES_MAX: u64 = 20_000;

/// Inbox rows per second of the bare store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bare {
    /// Each call after the answer of the one before: one commit for each hundred rows.
    pub(super) one_after_another: f64,
    /// Sixteen calls at a time, which the store joins into commits: the most it does.
    pub(super) batched: f64,
}

/// Measures a store of its own in this folder, and removes it.
pub(super) async fn measure(folder: &Path, members: usize, time: Duration) -> Result<Bare, Failure> {
    let scratch = Scratch::create(folder)?;
    let store = store::open(&format!("embedded:{}", scratch.path.display())).await.map_err(failed)?;
    let conversation = ConversationId::group(&GroupId::new("bare").map_err(invalid)?);
    let users: Result<Vec<UserId>, _> =
        (0..members).map(|number| UserId::new(&format!("u-{number}"))).collect();
    let users: Arc<[UserId]> = users.map_err(invalid)?.into();
    write_messages(&store, &conversation).await?;
    let next = Arc::new(AtomicU64::new(1));
    let mut rates = [0.0; 2];
    for (rate, together) in rates.iter_mut().zip([1, TOGETHER]) {
        let until = Instant::now() + time;
        let begun = Instant::now();
        let mut writers = Vec::with_capacity(together);
        for _ in 0..together {
            let (store, users) = (Arc::clone(&store), Arc::clone(&users));
            let (conversation, next) = (conversation.clone(), Arc::clone(&next));
            writers
                .push(tokio::spawn(async move { write(&store, &conversation, &users, &next, until).await }));
        }
        let mut row_count = 0;
        for writer in writers {
            row_count += writer.await.map_err(|error| Failure::failed(error.to_string()))??;
        }
        *rate = per_second(row_count, begun.elapsed().as_secs_f64());
    }
    let [one_after_another, batched] = rates;
    Ok(Bare { one_after_another, batched })
}

/// Writes one message after another into all inboxes until the time is over; gives how many rows that were.
async fn write(
    store: &Arc<dyn Store>,
    conversation: &ConversationId,
    users: &[UserId],
    next: &AtomicU64,
    until: Instant,
) -> Result<u64, Failure> {
    let mut row_count = 0;
    while Instant::now() < until {
        let seq = next.fetch_add(1, Ordering::Relaxed);
        if seq > MESSAGES_MAX {
            break;
        }
        for chunk in users.chunks(CHUNK_USERS) {
            let written = store.fan_out(conversation, seq, chunk.to_vec()).await.map_err(failed)?;
            row_count += written.len() as u64;
        }
    }
    Ok(row_count)
}

async fn write_messages(store: &Arc<dyn Store>, conversation: &ConversationId) -> Result<(), Failure> {
    let sender = UserId::new("u-0").map_err(invalid)?;
    let numbers: Vec<u64> = (1..=MESSAGES_MAX).collect();
    for numbers in numbers.chunks(500) {
        let append = |number: &u64| Append {
            conversation: conversation.clone(),
            message_id: *number,
            sender: sender.clone(),
            client_message_id: number.to_string(),
            time_ms: runtime::clock::now_ms(),
            content: Bytes::from_static(&[b'x'; 100]),
            counted: true,
            mentions: Vec::new(),
            mention_all: false,
            replaces: None,
            guard: Guard::None,
            inboxes: Vec::new(),
        };
        for outcome in store.append(numbers.iter().map(append).collect()).await {
            match outcome.map_err(failed)? {
                Outcome::Written(_) => {}
                Outcome::Denied(denied) => {
                    return Err(Failure::failed(format!("the store refuses a message: {denied:?}")));
                }
            }
        }
    }
    Ok(())
}

/// What a backend fails with.
#[allow(clippy::needless_pass_by_value, reason = "given to map_err")]
pub(super) fn failed(error: backends::Error) -> Failure {
    Failure::failed(format!("the store: {error}"))
}

#[allow(clippy::needless_pass_by_value, reason = "given to map_err")]
pub(super) fn invalid(error: protocol::ids::IdError) -> Failure {
    Failure::usage(error.to_string())
}

/// A folder that is gone with the measurement.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn create(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(format!(".anser-bench-store-{}", std::process::id()));
        std::fs::create_dir(&path)
            .map_err(|error| Failure::failed(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that cannot be removed is named so that people know it.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
