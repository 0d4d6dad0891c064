//! What this device holds of its user's inbox: a state machine without I/O.
//!
//! The seqs of an inbox are consecutive, so what is missing is seen. Messages are told in order and once.
//! A hole is waited on for a moment, then one sync is outstanding at a time, repeated with back-off until
//! the hole is covered. A page of sync covers what it asked for: a seq that is not in it does not exist.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::client;
use protocol::limits::REPLAY_MESSAGES_MAX;
use protocol::message::kind;
use tokio::time::Instant;

use crate::back_off::BackOff;
use crate::event::{Event, Queue};
use crate::seen::Seen;

/// Messages kept beyond a hole; what comes above is fetched again once the hole is closed.
const HELD_MAX: usize = 1000;
/// Messages asked for in one sync.
const PAGE_MESSAGES: u32 = 200;
/// While the server replays, it says by itself what is missing; this long without progress is no replay.
const REPLAY_WAIT: Duration = Duration::from_secs(5);
/// A sync that was not answered for this long is asked again.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// The bound of the waits between syncs that brought nothing.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Inbox {
    /// Everything up to here was told. `None` until the server's replay says where it begins.
    position: Option<u64>,
    /// Beyond a hole: messages to be told, and `None` for what was told otherwise.
    held: BTreeMap<u64, Option<client::Message>>,
    /// The highest seq that is known to exist.
    target: u64,
    seen: Seen,
    /// Told and not yet taken by [`Self::take_converted`].
    converted: Vec<(String, u64)>,
    replaying: bool,
    /// To be told once the position is here.
    sync_done: Option<u64>,
    asked: Option<Asked>,
    ask_at: Option<Instant>,
    failure_count: u32,
    hole_wait: Duration,
}

#[derive(Clone, Copy)]
struct Asked {
    end: u64,
    at: Instant,
}

impl Inbox {
    pub(crate) fn new(position: Option<u64>, hole_wait: Duration) -> Self {
        Self {
            position,
            held: BTreeMap::new(),
            target: 0,
            seen: Seen::default(),
            converted: Vec::new(),
            replaying: false,
            sync_done: None,
            asked: None,
            ask_at: None,
            failure_count: 0,
            hole_wait,
        }
    }

    /// The position to state when connecting.
    pub(crate) fn position(&self) -> Option<u64> {
        self.position
    }

    /// A connection was accepted with the position that [`Self::position`] gave; a replay follows.
    pub(crate) fn connected(&mut self, reply: &client::AuthReply, now: Instant) {
        match self.position {
            // Past the top is taken as the top: the server may have been emptied, or knows its top a moment
            // late. What comes again in the second case was seen.
            Some(position) if position > reply.inbox_top => {
                self.position = Some(reply.inbox_top);
                self.held.clear();
            }
            Some(_) => {}
            // With a record of 0 and a longer inbox the replay may begin at the record or near the top.
            None if reply.acked_up_to > 0 || reply.inbox_top <= REPLAY_MESSAGES_MAX => {
                self.position = Some(reply.acked_up_to);
            }
            None => {}
        }
        self.target = reply.inbox_top.max(self.held.keys().next_back().copied().unwrap_or(0));
        self.replaying = true;
        self.sync_done = None;
        self.asked = None;
        self.ask_at = None;
        self.failure_count = 0;
        self.watch(false, now);
    }

    /// Tells a row that is in no inbox and comes in its turn.
    pub(crate) fn tell(&mut self, row: client::Message, queue: &Queue) {
        if self.seen.insert(&row.conversation, row.seq, row.message_id) {
            queue.put_row(row);
        }
    }

    /// Tells whether the replay is over and everything up to its end was told.
    pub(crate) fn is_live(&self) -> bool {
        !self.replaying && self.sync_done.is_none()
    }

    /// The conversations that this inbox was told to be super groups from a seq on, since this was last asked.
    pub(crate) fn take_converted(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.converted)
    }

    /// A stored row came.
    pub(crate) fn message(&mut self, message: client::Message, queue: &Queue, now: Instant) {
        let Some(seq) = message.inbox_seq else { return };
        let position = *self.position.get_or_insert(seq.saturating_sub(1));
        self.target = self.target.max(seq);
        let in_turn = seq == position.saturating_add(1);
        if seq > position && queue.has_room() && (in_turn || self.held.len() < HELD_MAX) {
            self.held.entry(seq).or_insert(Some(message));
        }
        self.advance(position, queue, now);
    }

    /// A send was answered: this device holds its own message, and is not pushed it where the reply says at
    /// which seq.
    pub(crate) fn own(&mut self, reply: &client::SendReply, queue: &Queue, now: Instant) {
        let Some(seq) = reply.inbox_seq else { return };
        self.seen.insert(&reply.conversation, reply.seq, reply.message_id);
        self.target = self.target.max(seq);
        let Some(position) = self.position else { return };
        if seq > position && self.held.len() < HELD_MAX {
            self.held.entry(seq).or_insert(None);
        }
        self.advance(position, queue, now);
    }

    /// The server knows of messages up to here.
    pub(crate) fn top(&mut self, top: u64, now: Instant) {
        self.target = self.target.max(top);
        self.watch(false, now);
    }

    /// The replay is over and reached this seq.
    pub(crate) fn sync_done(&mut self, up_to: u64, queue: &Queue, now: Instant) {
        self.replaying = false;
        self.ask_at = None;
        self.target = self.target.max(up_to);
        self.sync_done = Some(up_to);
        let position = *self.position.get_or_insert(up_to);
        self.advance(position, queue, now);
    }

    /// The replay is over and left this out: it is paged for.
    pub(crate) fn gap(&mut self, gap: client::Gap, queue: &Queue, now: Instant) {
        self.replaying = false;
        self.target = self.target.max(gap.end);
        self.sync_done = Some(gap.end);
        let position = *self.position.get_or_insert(gap.begin.saturating_sub(1));
        queue.put_notice(Event::Gap(gap));
        self.advance(position, queue, now);
        if self.is_behind() {
            self.ask_at = Some(now);
        }
    }

    /// The sync to send, if one is due.
    pub(crate) fn ask(&mut self, queue: &Queue, now: Instant) -> Option<client::Sync> {
        if self.asked.is_some_and(|asked| now >= asked.at + ANSWER_WAIT) {
            self.page_failed(now);
        }
        let position = self.position?;
        if self.asked.is_some() || !self.is_behind() || !queue.has_room() {
            return None;
        }
        if self.ask_at.is_none_or(|at| now < at) {
            return None;
        }
        let end = self.held.keys().next().map_or(0, |first| first - 1);
        self.asked = Some(Asked { end, at: now });
        Some(client::Sync { begin: position.saturating_add(1), end, limit: PAGE_MESSAGES })
    }

    /// When [`Self::ask`] is to be asked at the latest. While the queue is full, that is when the application
    /// takes something.
    pub(crate) fn ask_at(&self, queue: &Queue) -> Option<Instant> {
        match self.asked {
            Some(asked) => Some(asked.at + ANSWER_WAIT),
            None if queue.has_room() => self.ask_at,
            None => None,
        }
    }

    /// The sync was answered.
    pub(crate) fn page(&mut self, page: client::SyncReply, queue: &Queue, now: Instant) {
        let (Some(asked), Some(position)) = (self.asked.take(), self.position) else { return };
        self.ask_at = Some(now);
        if !queue.has_room() {
            return;
        }
        for message in page.messages {
            let seq = message.inbox_seq.unwrap_or(0);
            if seq > position {
                self.held.entry(seq).or_insert(Some(message));
            }
        }
        let covered = match (page.next, asked.end) {
            (0, 0) => page.top,
            (0, end) => end.min(page.top),
            (next, _) => next - 1,
        };
        self.target = self.target.max(page.top);
        if covered <= position {
            self.page_failed(now);
            return;
        }
        self.failure_count = 0;
        self.advance(covered, queue, now);
        if self.is_behind() && page.next != 0 {
            self.ask_at = Some(now);
        }
    }

    /// The sync was refused or brought nothing: it is repeated later.
    pub(crate) fn page_failed(&mut self, now: Instant) {
        self.asked = None;
        self.failure_count += 1;
        let back_off = BackOff { base: self.hole_wait * 2, max: RETRY_WAIT_MAX };
        self.ask_at = Some(now + back_off.bound(self.failure_count));
    }

    fn is_behind(&self) -> bool {
        self.position.is_some_and(|position| position < self.target)
    }

    /// Tells what is held up to `covered` and what follows it without a hole.
    fn advance(&mut self, covered: u64, queue: &Queue, now: Instant) {
        let Some(before) = self.position else { return };
        let mut position = before.max(covered);
        while let Some(entry) = self.held.first_entry() {
            let seq = *entry.key();
            if seq > position.saturating_add(1) {
                break;
            }
            position = position.max(seq);
            if let Some(message) = entry.remove() {
                if message.kind.as_deref() == Some(kind::CONVERTED) {
                    self.converted.push((message.conversation.clone(), message.seq));
                }
                self.tell(message, queue);
            }
        }
        self.position = Some(position);
        if let Some(up_to) = self.sync_done.filter(|up_to| *up_to <= position) {
            self.sync_done = None;
            queue.put_notice(Event::SyncDone(client::SyncDone { inbox_seq: up_to }));
        }
        self.watch(position > before, now);
    }

    /// Begins, renews or ends the wait before a sync.
    fn watch(&mut self, progressed: bool, now: Instant) {
        if !self.is_behind() {
            self.ask_at = None;
            self.failure_count = 0;
        } else if progressed || self.ask_at.is_none() {
            let wait = if self.replaying { REPLAY_WAIT } else { self.hole_wait };
            self.ask_at = Some(now + wait);
        }
    }
}

#[cfg(test)]
mod tests;
