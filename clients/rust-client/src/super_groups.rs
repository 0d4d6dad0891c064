//! What this device holds of its user's super groups: a state machine without I/O.
//!
//! A super group's rows are in no inbox; they are counted by the group's own seq. For each super group the device
//! knows up to where it holds everything. A hole is waited on for a moment; then one sync is outstanding for all
//! groups with holes, repeated with back-off until they are covered. A lost last row leaves no hole: the tops in the
//! replies to auth and heartbeats tell of it. Rows are told once and in the order of their group's seqs.
//!
//! Which super groups there are is learnt from the listing at the beginning of a connection, from what the server
//! says of a conversation, and from the row with which the inbox tells a conversion.

mod listing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use protocol::client::{self, GroupPosition, GroupTop, Message};
use protocol::limits::{GROUP_TOPS_PAGE_MAX, SUPER_GROUPS_PER_USER_MAX};
use tokio::time::Instant;

use self::listing::Listing;
use crate::back_off::BackOff;

/// How much of a super group that this device has never seen is fetched; older rows are in the history.
const FIRST_ROWS: u64 = 50;
/// Rows kept beyond holes, in all groups; what comes above is fetched again once its hole is closed.
const HELD_MAX: usize = 1000;
/// Rows asked for in one sync.
const PAGE_ROWS: u32 = 200;
/// Groups in one sync.
const POSITIONS_MAX: usize = GROUP_TOPS_PAGE_MAX as usize;
/// A sync that was not answered for this long is asked again.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// The bound of the waits between syncs that brought nothing.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(20);
/// Groups that are followed, and groups whose rows came though they are not: as many as a user may be in, and as
/// many again that the user has left.
const GROUPS_MAX: usize = 2 * SUPER_GROUPS_PER_USER_MAX;

pub(crate) struct SuperGroups {
    groups: HashMap<String, Followed>,
    /// Those with a hole or a top above what is held.
    behind: BTreeSet<String>,
    /// What the application held when it began, of groups that were not listed yet.
    given: HashMap<String, u64>,
    /// The highest seq of groups that are not followed.
    strangers: HashMap<String, u64>,
    held_count: usize,
    listing: Listing,
    asked: Option<Asked>,
    /// How many groups the next sync may name: less after a refusal, so that the one that is refused is found.
    positions_max: usize,
    /// Rows may be told: the inbox, in which a group's rows from before its conversion lie, is up to date.
    open: bool,
    /// The end of what was missed was told on this connection.
    done: bool,
    ask_count: u64,
    hole_wait: Duration,
}

struct Followed {
    /// Everything up to here was told.
    position: u64,
    /// Beyond a hole.
    held: BTreeMap<u64, Message>,
    /// The highest seq that is known to exist.
    target: u64,
    ask_at: Option<Instant>,
    failure_count: u32,
    /// Which sync asked for it last: who waits longest is asked for first.
    last_asked: u64,
    /// The user has left: it is forgotten once everything up to the target was told.
    ends: bool,
}

struct Asked {
    groups: Vec<String>,
    at: Instant,
}

impl SuperGroups {
    /// Begins with what the application holds.
    pub(crate) fn new(given: HashMap<String, u64>, hole_wait: Duration) -> Self {
        Self {
            groups: HashMap::new(),
            behind: BTreeSet::new(),
            given,
            strangers: HashMap::new(),
            held_count: 0,
            listing: Listing::default(),
            asked: None,
            positions_max: POSITIONS_MAX,
            open: false,
            done: false,
            ask_count: 0,
            hole_wait,
        }
    }

    /// A connection was accepted. Nothing is told before [`Self::open`].
    pub(crate) fn connected(&mut self, reply: &client::AuthReply, now: Instant) {
        self.asked = None;
        self.open = false;
        self.done = false;
        self.positions_max = POSITIONS_MAX;
        for group in self.groups.values_mut() {
            group.failure_count = 0;
        }
        self.listing = Listing::begun(now);
        for top in &reply.groups {
            if let Some(group) = self.groups.get_mut(&top.conversation)
                && group.position > top.top
            {
                // The server was emptied: the group begins anew.
                group.position = top.top;
                self.held_count -= group.held.len();
                group.held.clear();
            }
        }
        self.listed(&reply.groups, &reply.groups_next, now);
    }

    /// The page of the listing to ask for, if one is due.
    pub(crate) fn ask_tops(&mut self, now: Instant) -> Option<client::GroupTops> {
        self.listing.ask(now)
    }

    /// A page of the listing came.
    pub(crate) fn tops_page(&mut self, page: &client::GroupTopsReply, now: Instant) {
        if self.listing.answered() {
            self.listed(&page.groups, &page.next, now);
        }
    }

    /// A page of the listing was refused: it is asked for again later.
    pub(crate) fn tops_failed(&mut self, now: Instant) {
        self.listing.failed(now);
    }

    /// The server says how high groups stand.
    pub(crate) fn heartbeat(&mut self, tops: &[GroupTop], now: Instant) {
        for top in tops {
            self.raise(&top.conversation, top.top, now);
        }
    }

    /// The inbox told that a group is a super group from the row after `seq` on.
    pub(crate) fn converted(&mut self, conversation: &str, seq: u64, now: Instant) {
        self.follow(conversation, seq, seq, now);
        if let Some(group) = self.groups.get_mut(conversation)
            && group.position < seq
        {
            // It was listed before the inbox told it, and what is below is told by the inbox.
            group.position = seq;
            let above = group.held.split_off(&(seq + 1));
            self.held_count -= group.held.len();
            group.held = above;
            self.watch(conversation, true, now);
        }
    }

    /// The server says how a conversation is for this user.
    pub(crate) fn conversation(&mut self, conversation: &client::Conversation, now: Instant) {
        if conversation.kind != "super" {
            return;
        }
        let id = &conversation.conversation;
        match (conversation.left, self.groups.get_mut(id)) {
            (Some(_), Some(group)) => {
                group.ends = true;
                group.target = conversation.top.max(group.position);
                self.watch(id, false, now);
            }
            (Some(_), None) => {}
            (None, Some(group)) => {
                group.ends = false;
                group.position = group.position.max(conversation.joined);
                self.raise(id, conversation.top, now);
            }
            (None, None) => {
                let first = first_position(conversation.joined, conversation.top);
                self.follow(id, first, conversation.top, now);
            }
        }
    }

    /// This device sent a row.
    pub(crate) fn own(&mut self, conversation: &str, seq: u64, now: Instant) {
        if self.groups.contains_key(conversation) {
            self.raise(conversation, seq, now);
        }
    }

    /// A row came that is in no inbox. Gives what is to be told, in order.
    pub(crate) fn row(&mut self, row: Message, has_room: bool, now: Instant) -> Vec<Message> {
        let id = row.conversation.clone();
        let Some(group) = self.groups.get_mut(&id) else {
            self.raise(&id, row.seq, now);
            return Vec::new();
        };
        let seq = row.seq;
        group.target = group.target.max(seq);
        let in_turn = seq == group.position.saturating_add(1);
        if seq > group.position
            && has_room
            && (in_turn || self.held_count < HELD_MAX)
            && group.held.insert(seq, row).is_none()
        {
            self.held_count += 1;
        }
        let position = group.position;
        self.advance(&id, position, has_room, now)
    }

    /// The inbox is up to date: rows may be told. Gives those that waited for it.
    pub(crate) fn open(&mut self, has_room: bool, now: Instant) -> Vec<Message> {
        if self.open {
            return Vec::new();
        }
        self.open = true;
        let behind: Vec<String> = self.behind.iter().cloned().collect();
        let mut told = Vec::new();
        for id in behind {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let position = group.position;
            told.extend(self.advance(&id, position, has_room, now));
            if let Some(group) = self.groups.get_mut(&id).filter(|group| group.ask_at.is_some()) {
                group.ask_at = Some(now);
            }
        }
        told
    }

    /// The sync to send, if one is due.
    pub(crate) fn ask(&mut self, has_room: bool, now: Instant) -> Option<client::SyncGroups> {
        if self.asked.as_ref().is_some_and(|asked| now >= asked.at + ANSWER_WAIT) {
            self.page_failed(None, now);
        }
        if !self.open || !has_room || self.asked.is_some() {
            return None;
        }
        let due = |id: &&String| self.groups[*id].ask_at.is_some_and(|at| at <= now);
        let mut due: Vec<String> = self.behind.iter().filter(due).cloned().collect();
        if due.is_empty() {
            return None;
        }
        due.sort_by_key(|id| self.groups[id].last_asked);
        due.truncate(self.positions_max);
        self.ask_count += 1;
        let mut positions = Vec::with_capacity(due.len());
        for id in &due {
            if let Some(group) = self.groups.get_mut(id) {
                group.last_asked = self.ask_count;
                positions.push(GroupPosition { conversation: id.clone(), begin: group.position + 1 });
            }
        }
        self.asked = Some(Asked { groups: due, at: now });
        Some(client::SyncGroups { positions, limit: PAGE_ROWS })
    }

    /// When [`Self::ask`] or [`Self::ask_tops`] are to be asked at the latest. While the application takes nothing,
    /// that is when it takes something.
    pub(crate) fn ask_at(&self, has_room: bool) -> Option<Instant> {
        let sync = match &self.asked {
            Some(asked) => Some(asked.at + ANSWER_WAIT),
            None if self.open && has_room => self.behind.iter().filter_map(|id| self.groups[id].ask_at).min(),
            None => None,
        };
        [sync, self.listing.ask_at()].into_iter().flatten().min()
    }

    /// The sync was answered. Gives what is to be told, in order.
    pub(crate) fn page(
        &mut self,
        reply: client::SyncGroupsReply,
        has_room: bool,
        now: Instant,
    ) -> Vec<Message> {
        let Some(asked) = self.asked.take() else { return Vec::new() };
        self.positions_max = (self.positions_max * 2).min(POSITIONS_MAX);
        let mut unanswered: BTreeSet<String> = asked.groups.into_iter().collect();
        let mut told = Vec::new();
        let mut progressed = false;
        let mut left_out = Vec::new();
        for page in reply.groups {
            if !unanswered.remove(&page.conversation) {
                continue;
            }
            let Some(group) = self.groups.get_mut(&page.conversation) else { continue };
            group.target = if group.ends { page.top } else { group.target.max(page.top) };
            let covered = if page.next == 0 { page.top } else { page.next - 1 };
            let position = group.position;
            if !has_room {
                self.ask_now(&page.conversation, now);
            } else if covered > position {
                progressed = true;
                for row in page.messages.into_iter().filter(|row| row.seq > position && row.seq <= covered) {
                    if group.held.insert(row.seq, row).is_none() {
                        self.held_count += 1;
                    }
                }
                group.failure_count = 0;
                told.extend(self.advance(&page.conversation, covered, true, now));
                if page.next != 0 {
                    self.ask_now(&page.conversation, now);
                }
            } else if page.next != 0 {
                left_out.push(page.conversation);
            } else if group.ends {
                self.watch(&page.conversation, false, now);
            } else {
                unanswered.insert(page.conversation);
            }
        }
        for id in left_out {
            // Where others were served, the page was full and it comes next.
            if progressed {
                self.ask_now(&id, now);
            } else {
                unanswered.insert(id);
            }
        }
        for id in unanswered {
            self.fail(&id, now);
        }
        told
    }

    /// The sync was refused or not answered: it is repeated later. A group that is refused alone is forgotten.
    pub(crate) fn page_failed(&mut self, refusal: Option<&client::Error>, now: Instant) {
        let Some(asked) = self.asked.take() else { return };
        let is_final = refusal.is_some_and(|refusal| !refusal.retryable);
        if is_final && let [only] = &asked.groups[..] {
            self.forget(only);
            return;
        }
        if is_final {
            self.positions_max = asked.groups.len().div_ceil(2);
        }
        for id in asked.groups {
            if is_final {
                self.ask_now(&id, now);
            } else {
                self.fail(&id, now);
            }
        }
    }

    /// Up to where each group is held, once a connection, when everything that was missed has been told.
    pub(crate) fn take_done(&mut self) -> Option<BTreeMap<String, u64>> {
        if self.done || !self.open || self.listing.is_running() || !self.behind.is_empty() {
            return None;
        }
        self.done = true;
        Some(self.groups.iter().map(|(id, group)| (id.clone(), group.position)).collect())
    }

    fn listed(&mut self, tops: &[GroupTop], next: &str, now: Instant) {
        for top in tops {
            self.listing.saw(&top.conversation);
            let joined = top.joined.unwrap_or(0);
            if let Some(group) = self.groups.get_mut(&top.conversation) {
                group.ends = false;
                group.position = group.position.max(joined);
                group.target = top.top.max(group.held.keys().next_back().copied().unwrap_or(0));
                group.ask_at = Some(now);
                self.watch(&top.conversation, false, now);
            } else {
                let given = self.given.remove(&top.conversation);
                let first = given.map_or_else(|| first_position(joined, top.top), |given| given.max(joined));
                self.follow(&top.conversation, first.min(top.top), top.top, now);
            }
        }
        if self.listing.next(next, now) {
            self.listing_ended(now);
        }
    }

    /// What was not listed is no super group of this user's any longer; what was said in it before the user went is
    /// asked for once more.
    fn listing_ended(&mut self, now: Instant) {
        let gone: Vec<String> = self.groups.keys().filter(|id| !self.listing.has_seen(id)).cloned().collect();
        for id in gone {
            if let Some(group) = self.groups.get_mut(&id) {
                group.ends = true;
                group.target = group.target.max(group.position + 1);
                group.ask_at = Some(now);
            }
            self.watch(&id, false, now);
        }
        self.given.clear();
        self.strangers.clear();
        self.listing.end();
    }

    /// Follows a group from a position on; one that is followed already stays where it is.
    fn follow(&mut self, id: &str, position: u64, top: u64, now: Instant) {
        self.listing.saw(id);
        if self.groups.contains_key(id) || self.groups.len() >= GROUPS_MAX {
            return;
        }
        let target = top.max(self.strangers.remove(id).unwrap_or(0));
        let group = Followed {
            position,
            held: BTreeMap::new(),
            target,
            ask_at: Some(now),
            failure_count: 0,
            last_asked: 0,
            ends: false,
        };
        self.groups.insert(id.to_owned(), group);
        self.watch(id, false, now);
    }

    fn forget(&mut self, id: &str) {
        self.behind.remove(id);
        if let Some(group) = self.groups.remove(id) {
            self.held_count -= group.held.len();
        }
    }

    /// A seq is known to exist.
    fn raise(&mut self, id: &str, seq: u64, now: Instant) {
        if let Some(group) = self.groups.get_mut(id) {
            group.target = group.target.max(seq);
            self.watch(id, false, now);
        } else if self.strangers.len() < GROUPS_MAX || self.strangers.contains_key(id) {
            // What was to tell of it may have been lost: after a while it is looked for in the listing.
            let top = self.strangers.entry(id.to_owned()).or_default();
            *top = seq.max(*top);
            self.listing.again(now);
        }
    }

    /// Takes what is held up to `covered` and what follows it without a hole.
    fn advance(&mut self, id: &str, covered: u64, has_room: bool, now: Instant) -> Vec<Message> {
        let mut told = Vec::new();
        let Some(group) = self.groups.get_mut(id) else { return told };
        let before = group.position;
        if self.open && has_room {
            group.position = before.max(covered);
            while let Some(entry) = group.held.first_entry() {
                let seq = *entry.key();
                if seq > group.position.saturating_add(1) {
                    break;
                }
                let row = entry.remove();
                self.held_count -= 1;
                if seq > before {
                    group.position = group.position.max(seq);
                    told.push(row);
                }
            }
        }
        let progressed = group.position > before;
        self.watch(id, progressed, now);
        told
    }

    /// Begins, renews or ends the wait before a sync.
    fn watch(&mut self, id: &str, progressed: bool, now: Instant) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.position >= group.target {
            group.ask_at = None;
            group.failure_count = 0;
            self.behind.remove(id);
            if group.ends {
                self.forget(id);
            }
            return;
        }
        if progressed || group.ask_at.is_none() {
            group.ask_at = Some(now + self.hole_wait);
        }
        if !self.behind.contains(id) {
            self.behind.insert(id.to_owned());
        }
    }

    fn ask_now(&mut self, id: &str, now: Instant) {
        if let Some(group) = self.groups.get_mut(id).filter(|group| group.position < group.target) {
            group.ask_at = Some(now);
        }
    }

    fn fail(&mut self, id: &str, now: Instant) {
        let back_off = BackOff { base: self.hole_wait * 2, max: RETRY_WAIT_MAX };
        if let Some(group) = self.groups.get_mut(id) {
            group.failure_count += 1;
            group.ask_at = Some(now + back_off.bound(group.failure_count));
        }
    }
}

/// Where a device begins that holds nothing of a group.
fn first_position(joined: u64, top: u64) -> u64 {
    joined.max(top.saturating_sub(FIRST_ROWS))
}

#[cfg(test)]
mod tests;
