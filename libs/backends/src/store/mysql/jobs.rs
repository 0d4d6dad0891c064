//! Changes as they are handed over: each becomes a job with the keys of what it reads and writes, and its caller waits
//! for the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use protocol::{ConversationId, GroupId, Identifier as _, UserId};
use tokio::sync::oneshot;

use super::blocks::SetBlocked;
use super::connect::Servers;
use super::fan_out::{Advance, FanOutChunk};
use super::groups::ChangeGroup;
use super::intents::Sweep;
use super::lane::{AppendJob, Change, JOB_TIME, Lane, Reach, Simple, SimpleJob, Waiting, Work};
use super::line::{Job, Keys, Line, Named, key};
use super::requests::{PutRequest, RemoveRequest};
use super::states::{SetChoices, SetRead};
use crate::Result;
use crate::store::{Append, GroupChange, GroupChanged, Outcome, ReadMoved};

/// Transactions at the same time: while one waits for the disk, the others read and write.
const LANES_COUNT: usize = 4;
/// About what an inbox row costs that waits to be written.
const INBOX_ROW_BYTES: usize = 256;
/// About what a change of a member costs that waits to be written.
const MEMBER_BYTES: usize = 1024;

/// The line and its lanes; dropping it lets them carry out what stands in line, and end.
pub(super) struct Jobs {
    line: Arc<Line>,
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.line.close();
    }
}

impl Jobs {
    pub(super) fn start(servers: &Arc<Servers>) -> Self {
        let line = Arc::new(Line::new());
        let reach = Arc::new(Reach::default());
        for _ in 0..LANES_COUNT {
            tokio::spawn(Lane::new(Arc::clone(&line), Arc::clone(servers), Arc::clone(&reach)).run());
        }
        Self { line }
    }

    /// Appends those that are taken, in their order; the others are answered with what they came with.
    pub(super) async fn append(&self, appends: Vec<Result<Append>>) -> Vec<Result<Outcome>> {
        let until = Instant::now() + JOB_TIME;
        let mut waiters = Vec::with_capacity(appends.len());
        let mut jobs = Vec::with_capacity(appends.len());
        for append in appends {
            waiters.push(append.map(|append| {
                let (answer, waiter) = oneshot::channel();
                jobs.push(append_job(append, until, answer));
                waiter
            }));
        }
        // What finds no room is dropped, and its caller told so.
        self.line.join(jobs);
        let mut outcomes = Vec::with_capacity(waiters.len());
        for waiter in waiters {
            outcomes.push(match waiter {
                Ok(waiter) => answered(waiter.await),
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    pub(super) async fn simple(&self, what: Simple) -> Result<()> {
        let mut others = Keys::new();
        let bytes = match &what {
            Simple::Clear(_, ids) => {
                others.extend(ids.iter().map(|id| key(Named::Intent, &id.to_be_bytes())));
                16 * ids.len()
            }
            Simple::Positions(positions) => {
                others.extend(positions.iter().map(|one| key(Named::Position, one.user.as_str().as_bytes())));
                256 * positions.len()
            }
            Simple::Seen(seen) => {
                others.extend(seen.iter().map(|(user, _)| key(Named::Seen, user.as_str().as_bytes())));
                128 * seen.len()
            }
        };
        let (answer, waiter) = oneshot::channel();
        let work = Work::Simple(SimpleJob { what, answer });
        self.join(Keys::new(), others, bytes, work);
        answered(waiter.await)
    }

    pub(super) async fn fan_out(&self, chunk: FanOutChunk) -> Result<BTreeMap<UserId, u64>> {
        let heads = chunk.users.iter().map(inbox).chain([conversation(&chunk.conversation)]).collect();
        let bytes = INBOX_ROW_BYTES * chunk.users.len();
        self.alone(heads, Keys::new(), bytes, chunk).await
    }

    pub(super) async fn advance(&self, advance: Advance) -> Result<bool> {
        let heads = Keys::from_slice(&[conversation(&advance.conversation)]);
        self.alone(heads, Keys::new(), 0, advance).await
    }

    pub(super) async fn change_group(&self, change: GroupChange) -> Result<Option<GroupChanged>> {
        let here = ConversationId::group(&change.group);
        let users = change.members.iter().map(|member| inbox(&member.user));
        let heads = users.chain([conversation(&here)]).collect();
        let others = Keys::from_slice(&[key(Named::Intent, &change.message_id.to_be_bytes())]);
        let bytes = change.content.len() + MEMBER_BYTES * change.members.len();
        self.alone(heads, others, bytes, ChangeGroup(change)).await
    }

    pub(super) async fn set_read(&self, change: SetRead) -> Result<Option<ReadMoved>> {
        let peer = change.conversation.peer_of(&change.user);
        let users = peer.iter().chain([&change.user]).map(inbox);
        let heads = users.chain([conversation(&change.conversation)]).collect();
        self.alone(heads, Keys::new(), 0, change).await
    }

    pub(super) async fn set_choices(&self, change: SetChoices) -> Result<bool> {
        let heads = Keys::from_slice(&[inbox(&change.user), conversation(&change.conversation)]);
        self.alone(heads, Keys::new(), 0, change).await
    }

    pub(super) async fn set_blocked(&self, change: SetBlocked) -> Result<bool> {
        let others = Keys::from_slice(&[blocks(&change.user)]);
        self.alone(Keys::from_slice(&[inbox(&change.user)]), others, 0, change).await
    }

    pub(super) async fn put_request(&self, change: PutRequest) -> Result<bool> {
        let bytes = change.request.text.len();
        self.alone(Keys::new(), requests(&change.group), bytes, change).await
    }

    pub(super) async fn remove_request(&self, change: RemoveRequest) -> Result<bool> {
        self.alone(Keys::new(), requests(&change.group), 0, change).await
    }

    pub(super) async fn sweep(&self, change: Sweep) -> Result<usize> {
        self.alone(Keys::new(), Keys::new(), 0, change).await
    }

    /// Carries out a change in a transaction of its own.
    async fn alone<C: Change>(
        &self,
        heads: Keys,
        others: Keys,
        bytes: usize,
        change: C,
    ) -> Result<C::Answer> {
        let (task, waiter) = Waiting::new(change);
        self.join(heads, others, bytes, Work::Alone(Box::new(task)));
        answered(waiter.await)
    }

    fn join(&self, heads: Keys, others: Keys, bytes: usize, work: Work) {
        let until = Instant::now() + JOB_TIME;
        self.line.join([Job { heads, others, bytes, until, work }]);
    }
}

/// What a waiter was told.
fn answered<T>(told: std::result::Result<Result<T>, oneshot::error::RecvError>) -> Result<T> {
    // Only a job that found no room is dropped without an answer.
    told.unwrap_or_else(|_| Err(Line::full()))
}

fn append_job(append: Append, until: Instant, answer: oneshot::Sender<Result<Outcome>>) -> Job {
    let heads = append.inboxes.iter().map(inbox).chain([conversation(&append.conversation)]).collect();
    let mut first_answer = Vec::with_capacity(append.client_message_id.len() + 65);
    first_answer.extend_from_slice(append.sender.as_str().as_bytes());
    // No id has this byte.
    first_answer.push(0);
    first_answer.extend_from_slice(append.client_message_id.as_bytes());
    let mut others = Keys::from_slice(&[
        key(Named::Answer, &first_answer),
        key(Named::Intent, &append.message_id.to_be_bytes()),
    ]);
    if let crate::store::Guard::Single { receiver, .. } = &append.guard {
        others.push(blocks(receiver));
    }
    let bytes = append.content.len()
        + append.replaces.as_ref().map_or(0, |replacement| replacement.content.len())
        + INBOX_ROW_BYTES * (append.inboxes.len() + append.mentions.len());
    Job {
        heads,
        others,
        bytes,
        until,
        work: Work::Append(Box::new(AppendJob { append, again: false, answer })),
    }
}

fn conversation(id: &ConversationId) -> u64 {
    key(Named::Conversation, id.as_str().as_bytes())
}

fn inbox(user: &UserId) -> u64 {
    key(Named::Inbox, user.as_str().as_bytes())
}

fn blocks(user: &UserId) -> u64 {
    key(Named::Blocks, user.as_str().as_bytes())
}

fn requests(group: &GroupId) -> Keys {
    Keys::from_slice(&[key(Named::Requests, group.as_str().as_bytes())])
}
