//! The listing of the super groups that a user is in, page by page: one request outstanding.
//!
//! It runs at the beginning of each connection, and again where rows came of a group that is not in it.

use std::collections::HashSet;
use std::time::Duration;

use protocol::client;
use protocol::limits::GROUP_TOPS_PAGE_MAX;
use tokio::time::Instant;

use super::{ANSWER_WAIT, GROUPS_MAX, RETRY_WAIT_MAX};
use crate::back_off::BackOff;

/// How long a group may be unknown before the listing is read again: what tells of it may be on its way.
const AGAIN_WAIT: Duration = Duration::from_secs(2);
/// The least time between two listings of one connection.
const AGAIN_PAUSE: Duration = Duration::from_secs(10);
/// The first wait after a refusal.
const RETRY_WAIT: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Listing {
    /// Where it goes on, while it runs.
    cursor: Option<String>,
    seen: HashSet<String>,
    asked_at: Option<Instant>,
    /// When the next page, or the next listing, is due.
    due_at: Option<Instant>,
    begun_at: Option<Instant>,
    failure_count: u32,
}

impl Listing {
    /// One whose first page comes without being asked for.
    pub(super) fn begun(now: Instant) -> Self {
        Self { cursor: Some(String::new()), begun_at: Some(now), ..Self::default() }
    }

    pub(super) fn is_running(&self) -> bool {
        self.cursor.is_some()
    }

    /// Takes a group for listed.
    pub(super) fn saw(&mut self, id: &str) {
        if self.is_running() && self.seen.len() < GROUPS_MAX {
            self.seen.insert(id.to_owned());
        }
    }

    pub(super) fn has_seen(&self, id: &str) -> bool {
        self.seen.contains(id)
    }

    /// Goes on at a cursor; true where there is no more.
    pub(super) fn next(&mut self, cursor: &str, now: Instant) -> bool {
        self.failure_count = 0;
        if cursor.is_empty() {
            return true;
        }
        self.cursor = Some(cursor.to_owned());
        self.due_at = Some(now);
        false
    }

    /// It is over.
    pub(super) fn end(&mut self) {
        self.cursor = None;
        self.due_at = None;
        self.seen = HashSet::new();
    }

    /// Sees to it that there is another listing soon, but not too often.
    pub(super) fn again(&mut self, now: Instant) {
        if !self.is_running() && self.due_at.is_none() {
            let pause_ends = self.begun_at.map_or(now, |at| at + AGAIN_PAUSE);
            self.due_at = Some((now + AGAIN_WAIT).max(pause_ends));
        }
    }

    /// The page to ask for, if one is due.
    pub(super) fn ask(&mut self, now: Instant) -> Option<client::GroupTops> {
        if self.asked_at.is_some_and(|at| now >= at + ANSWER_WAIT) {
            self.failed(now);
        }
        if self.asked_at.is_some() || self.due_at.is_none_or(|at| now < at) {
            return None;
        }
        if self.cursor.is_none() {
            self.begun_at = Some(now);
        }
        let cursor = self.cursor.get_or_insert_default().clone();
        self.due_at = None;
        self.asked_at = Some(now);
        Some(client::GroupTops { cursor, limit: GROUP_TOPS_PAGE_MAX })
    }

    pub(super) fn ask_at(&self) -> Option<Instant> {
        self.asked_at.map(|at| at + ANSWER_WAIT).or(self.due_at)
    }

    /// The page came; false where none was asked for.
    pub(super) fn answered(&mut self) -> bool {
        self.asked_at.take().is_some()
    }

    /// The page was refused.
    pub(super) fn failed(&mut self, now: Instant) {
        self.asked_at = None;
        self.failure_count += 1;
        let back_off = BackOff { base: RETRY_WAIT, max: RETRY_WAIT_MAX };
        self.due_at = Some(now + back_off.bound(self.failure_count));
    }
}
