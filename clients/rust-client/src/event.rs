//! What a client tells its application, and the bounded queue between them.
//!
//! The application may be slower than the server. When the queue is full, a stored message is not taken and
//! fetched again once there is room, so nothing stored is lost; what is not stored (a room message, a push, a
//! receipt, who is writing) is dropped and counted; what says how the connection is doing is always taken, the newest state replacing the last one.
//! Whatever the application does, the connection is never kept waiting for it.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::Stream;
use protocol::{client, codec};
use tokio::sync::Notify;

use crate::{Error, Push};

/// How a client's connection is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// An address is being connected to.
    Connecting,
    /// Requests are answered; the reply to auth tells who this connection is.
    Live(client::AuthReply),
    /// The connection ended; another attempt follows after this wait.
    Waiting {
        /// How long the wait is.
        retry_in: Duration,
        /// Why the last attempt or connection ended.
        cause: Error,
    },
    /// No further attempt follows.
    Closed(Error),
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A stored message: once, in the order of the inbox; in a super group, whose messages are in no inbox, in the
    /// order of its seqs. What this client sent to a user is told by its reply; after a reconnect it may come as an
    /// event too, with its client message id. What it sent to a group always comes as an event.
    Message(client::Message),
    /// A message was recalled; told once and in order, as messages are.
    Recalled(client::Recalled),
    /// A group has changed; told once and in order, as messages are.
    GroupEvent(client::GroupEvent),
    /// Somebody has received or read a conversation up to a seq.
    Receipt(client::Receipt),
    /// Somebody is writing.
    Typing(client::TypingPush),
    /// A watched user came or went.
    Presence(client::PresencePush),
    /// A conversation has changed in a way that no message tells.
    Conversation(client::Conversation),
    /// Somebody asks to be let into a group of this user's.
    GroupRequest(client::GroupRequest),
    /// A message of a room.
    Room(client::RoomMessage),
    /// A push made through the server API.
    Push(client::OperationPush),
    /// Everything that was missed up to this inbox seq has been told.
    SyncDone(client::SyncDone),
    /// Everything that was missed in the user's super groups has been told, once a connection: up to where each of
    /// them is held.
    SuperGroupsDone(BTreeMap<String, u64>),
    /// More was missed than the server replays; the client pages through it by itself.
    Gap(client::Gap),
    /// The server closed the connection with a reason; whether another attempt follows is told by the state.
    Kicked(client::Kicked),
    /// The connection is doing otherwise than before.
    State(State),
}

impl Event {
    /// The event that tells a stored row.
    pub(crate) fn of_row(row: client::Message) -> Self {
        if row.kind.is_none() {
            return Self::Message(row);
        }
        match codec::event_of_row(&row) {
            Push::Recalled(recalled) => Self::Recalled(recalled),
            Push::GroupEvent(event) => Self::GroupEvent(event),
            _ => Self::Message(row),
        }
    }

    fn inbox_seq(&self) -> Option<u64> {
        match self {
            Self::Message(message) => message.inbox_seq,
            Self::Recalled(recalled) => recalled.inbox_seq,
            Self::GroupEvent(event) => event.inbox_seq,
            _ => None,
        }
    }
}

/// Events of kinds other than messages and pushes that are kept beyond the queue's bound.
const NOTICES_MAX: usize = 64;

/// The application's end of the queue; also a [`Stream`].
pub struct Events {
    queue: Arc<Queue>,
}

impl Events {
    /// Waits for the next event; `None` after the client was closed and everything was told. Safe to drop
    /// and call again.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.queue.poll_take(context)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.queue.poll_take(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        inner.abandoned = true;
        inner.events.clear();
        self.queue.taken.notify_one();
    }
}

/// The queue between a session and its application.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    taken: Notify,
    events_max: usize,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Event>,
    reader: Option<Waker>,
    finished: bool,
    abandoned: bool,
    dropped_count: u64,
}

impl Queue {
    pub(crate) fn new(events_max: usize) -> (Arc<Self>, Events) {
        let queue = Arc::new(Self { inner: Mutex::default(), taken: Notify::new(), events_max });
        (Arc::clone(&queue), Events { queue })
    }

    /// Tells whether a stored message may be put. It may not once the application stopped listening, so that
    /// nothing counts as received that nobody saw.
    pub(crate) fn has_room(&self) -> bool {
        let inner = self.lock();
        !inner.abandoned && inner.events.len() < self.events_max
    }

    /// Puts a stored row; the caller asked [`Self::has_room`] before it took the first of a run.
    pub(crate) fn put_row(&self, row: client::Message) {
        self.put(&mut self.lock(), Event::of_row(row));
    }

    /// Puts what is not stored, or drops and counts it.
    pub(crate) fn put_unstored(&self, event: Event) {
        let mut inner = self.lock();
        if inner.events.len() < self.events_max {
            self.put(&mut inner, event);
        } else {
            inner.dropped_count += 1;
        }
    }

    /// Puts what says how the connection is doing.
    pub(crate) fn put_notice(&self, event: Event) {
        let mut inner = self.lock();
        if let (Event::State(_), Some(last @ Event::State(_))) = (&event, inner.events.back_mut()) {
            *last = event;
        } else if inner.events.len() < self.events_max + NOTICES_MAX {
            self.put(&mut inner, event);
        } else {
            inner.dropped_count += 1;
        }
    }

    /// How far the application took an inbox of which everything up to `position` was put; `None` once it
    /// stopped listening.
    pub(crate) fn taken_up_to(&self, position: u64) -> Option<u64> {
        let inner = self.lock();
        let first_waiting = inner.events.iter().find_map(Event::inbox_seq);
        (!inner.abandoned).then(|| first_waiting.map_or(position, |seq| seq.saturating_sub(1)))
    }

    /// Waits until the application took something since this was last waited for.
    pub(crate) async fn taken(&self) {
        self.taken.notified().await;
    }

    /// Nothing more will be put.
    pub(crate) fn finish(&self) {
        let mut inner = self.lock();
        inner.finished = true;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    pub(crate) fn dropped_count(&self) -> u64 {
        self.lock().dropped_count
    }

    fn put(&self, inner: &mut Inner, event: Event) {
        if inner.abandoned {
            return;
        }
        inner.events.push_back(event);
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut inner = self.lock();
        match inner.events.pop_front() {
            Some(event) => {
                drop(inner);
                self.taken.notify_one();
                Poll::Ready(Some(event))
            }
            None if inner.finished => Poll::Ready(None),
            None => {
                inner.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves a whole queue behind: every change is one step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push() -> Event {
        Event::Push(client::OperationPush::default())
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts_pushes_but_takes_notices() {
        let (queue, mut events) = Queue::new(2);
        for _ in 0..5 {
            queue.put_unstored(push());
        }
        assert_eq!(queue.dropped_count(), 3);
        assert!(!queue.has_room());
        queue.put_notice(Event::State(State::Connecting));
        queue.put_notice(Event::State(State::Closed(Error::Stopped)));
        queue.finish();
        assert_eq!(events.next().await, Some(push()));
        assert!(!queue.has_room());
        assert_eq!(events.next().await, Some(push()));
        assert!(queue.has_room());
        assert_eq!(events.next().await, Some(Event::State(State::Closed(Error::Stopped))));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn what_was_not_taken_is_known() {
        let (queue, mut events) = Queue::new(8);
        let message = |seq| client::Message { inbox_seq: Some(seq), ..client::Message::default() };
        queue.put_unstored(push());
        queue.put_row(message(7));
        queue.put_row(message(8));
        assert_eq!(queue.taken_up_to(8), Some(6));
        events.next().await;
        events.next().await;
        assert_eq!(queue.taken_up_to(8), Some(7));
        events.next().await;
        assert_eq!(queue.taken_up_to(9), Some(9));
        drop(events);
        assert_eq!(queue.taken_up_to(9), None);
        assert!(!queue.has_room());
    }
}
