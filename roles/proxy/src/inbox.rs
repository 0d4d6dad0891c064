//! How far a connection's user's inbox has been sent to it: *behind* or *live*.
//!
//! A connection begins behind. While it is behind, stored pushes only raise its target, and pages are read
//! from im as its queue drains; when the last sent reaches the target it is live, and pushes go straight out.
//! So replay and live pushes never cross. Of two messages that were stored one after the other the later one may be
//! pushed first: it is held for a moment, until the other is there. What stays missing or had no room turns the
//! connection behind again. Only the decisions are here, no I/O.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// What to do with a stored message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send it now.
    Send,
    /// The connection has it, or will get it from a page.
    Skip,
    /// Something before it is missing: say [`Inbox::hold`].
    Hold,
    /// Too much before it is missing: read pages.
    Fetch,
}

/// What stands between a connection and its inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The position is not known yet.
    Starting,
    /// Pages are to be read up to the target.
    Behind,
    /// Everything up to `sent` is there.
    Live,
}

/// What is known above a hole in what was sent.
#[derive(Debug, Default)]
struct Above {
    /// Seqs that replies have carried.
    replied: Vec<u64>,
    /// Messages that wait until the hole is filled, and since when the first of them does.
    held: Vec<(u64, Bytes)>,
    held_since: Option<Instant>,
}

impl Above {
    fn has(&self, inbox_seq: u64) -> bool {
        self.replied.contains(&inbox_seq) || self.held.iter().any(|(held, _)| *held == inbox_seq)
    }

    fn has_room(&self) -> bool {
        let bytes: usize = self.held.iter().map(|(_, bytes)| bytes.len()).sum();
        self.held.len() < HELD_COUNT_MAX && bytes < HELD_BYTES_MAX
    }
}

/// How far a connection is in its user's inbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    mode: Mode,
    /// Everything up to here was sent to this connection, or is not wanted by it.
    sent: u64,
    /// While behind: pages are read up to here.
    target: u64,
    /// Messages that this catching-up may still replay.
    replay_left: u64,
    /// A page is being read.
    pub(crate) fetching: bool,
    /// The top is being looked at.
    pub(crate) looking: bool,
    /// What is known above a hole; an idle connection keeps no memory for it.
    above: Option<Box<Above>>,
    /// The highest seq that this connection was ever told, which bounds its acks.
    told: u64,
    /// What the server has recorded as received by the device.
    pub(crate) acked: u64,
    /// The last seq before the first one that was left out of a replay.
    before_gap: Option<u64>,
}

/// A page to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRequest {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) limit: u32,
}

/// How catching up goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Read this page next.
    Page(PageRequest),
    /// Everything is there: say `syncDone` with this seq.
    Done { inbox_seq: u64 },
    /// The replay is at its bound: say `gap` from `begin` to `end`, and go on live.
    Gap { begin: u64, end: u64 },
}

/// Messages of one page that is read for a replay.
const PAGE_MESSAGES: u64 = 100;
/// Seqs from replies that are remembered above a hole.
const REPLIED_MAX: usize = 64;
/// Messages that are held above a hole, and their bytes.
const HELD_COUNT_MAX: usize = 32;
const HELD_BYTES_MAX: usize = 64 * 1024;
/// How long a hole may be there before pages are read: what overtook another was not far ahead of it.
pub(crate) const HOLE_WAIT: Duration = Duration::from_millis(20);

impl Inbox {
    /// An inbox whose position is not known yet.
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::Starting,
            sent: 0,
            target: 0,
            replay_left: 0,
            fetching: false,
            looking: false,
            above: None,
            told: 0,
            acked: 0,
            before_gap: None,
        }
    }

    /// The position is known: the device holds everything up to `held`, the inbox goes up to `top`.
    pub(crate) fn start(&mut self, held: u64, top: u64, acked: u64) {
        self.mode = Mode::Behind;
        self.sent = held;
        self.told = held;
        self.target = self.target.max(top);
        self.acked = acked;
        self.replay_left = protocol::limits::REPLAY_MESSAGES_MAX;
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.mode == Mode::Behind
    }

    /// Up to where everything was sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Up to where everything was sent and nothing was left out: what a client that cannot ask may be taken to
    /// have received.
    pub(crate) fn sent_without_gap(&self) -> u64 {
        self.before_gap.map_or(self.sent, |before_gap| before_gap.min(self.sent))
    }

    /// An ack is taken up to what was sent.
    pub(crate) fn clamp_ack(&self, inbox_seq: u64) -> u64 {
        inbox_seq.min(self.told)
    }

    /// The client was told of messages up to here by a reply of its own asking.
    pub(crate) fn tell(&mut self, inbox_seq: u64) {
        self.told = self.told.max(inbox_seq);
    }

    /// A stored message was pushed. After `Send` the caller says [`Self::sent_one`] or [`Self::fall_behind`].
    pub(crate) fn pushed(&mut self, inbox_seq: u64) -> Decision {
        match self.mode {
            Mode::Starting | Mode::Behind => {
                self.target = self.target.max(inbox_seq);
                Decision::Skip
            }
            Mode::Live if inbox_seq <= self.sent => Decision::Skip,
            Mode::Live if inbox_seq == self.sent + 1 => Decision::Send,
            Mode::Live if self.above.as_ref().is_some_and(|above| above.has(inbox_seq)) => Decision::Skip,
            Mode::Live if self.above.as_ref().is_none_or(|above| above.has_room()) => Decision::Hold,
            Mode::Live => {
                self.fall_behind(inbox_seq);
                Decision::Fetch
            }
        }
    }

    /// Keeps a message until what is missing before it is there. Answers true where it is the first one: after
    /// [`HOLE_WAIT`] the caller says [`Self::give_up_hole`].
    pub(crate) fn hold(&mut self, inbox_seq: u64, bytes: Bytes, now: Instant) -> bool {
        let above = self.above.get_or_insert_default();
        above.held.push((inbox_seq, bytes));
        let first = above.held_since.is_none();
        above.held_since.get_or_insert(now);
        first
    }

    /// A message that was held and is next in order, to be sent as one that was pushed.
    pub(crate) fn next_held(&mut self) -> Option<(u64, Bytes)> {
        let above = self.above.as_mut()?;
        let at = above.held.iter().position(|(held, _)| *held == self.sent + 1)?;
        let next = above.held.swap_remove(at);
        if above.held.is_empty() {
            above.held_since = None;
        }
        self.absorb();
        Some(next)
    }

    /// Turns behind where a hole has been there for too long; where there is one that has not, answers when to ask
    /// again.
    pub(crate) fn give_up_hole(&mut self, now: Instant) -> Option<Duration> {
        let waited = now.saturating_duration_since(self.above.as_ref()?.held_since?);
        if waited < HOLE_WAIT {
            return Some(HOLE_WAIT - waited);
        }
        self.fall_behind(0);
        None
    }

    /// The message next in order went into the queue.
    pub(crate) fn sent_one(&mut self) {
        self.sent += 1;
        self.tell(self.sent);
        self.absorb();
    }

    /// A message had no room in the queue, or is missing: pages bring it.
    pub(crate) fn fall_behind(&mut self, inbox_seq: u64) {
        if self.mode == Mode::Live {
            self.mode = Mode::Behind;
            self.replay_left = protocol::limits::REPLAY_MESSAGES_MAX;
        }
        self.target = self.target.max(inbox_seq);
        if let Some(above) = &mut self.above {
            above.held_since = None;
            for (held, _) in above.held.drain(..) {
                self.target = self.target.max(held);
            }
        }
    }

    /// A reply carried the inbox seq of a message that this connection sent itself.
    pub(crate) fn replied(&mut self, inbox_seq: u64) {
        self.tell(inbox_seq);
        match self.mode {
            Mode::Live if inbox_seq > self.sent => {
                let above = self.above.get_or_insert_default();
                if above.replied.len() < REPLIED_MAX {
                    above.replied.push(inbox_seq);
                }
                self.absorb();
            }
            Mode::Starting | Mode::Behind => self.target = self.target.max(inbox_seq),
            Mode::Live => {}
        }
    }

    fn absorb(&mut self) {
        let Some(above) = &mut self.above else { return };
        while let Some(at) = above.replied.iter().position(|seq| *seq == self.sent + 1) {
            above.replied.swap_remove(at);
            self.sent += 1;
        }
        if above.replied.is_empty() && above.held.is_empty() {
            self.above = None;
        }
    }

    /// How catching up goes on; to be asked while behind and no page is being read.
    pub(crate) fn progress(&mut self) -> Progress {
        if self.sent >= self.target {
            self.go_live();
            self.tell(self.sent);
            return Progress::Done { inbox_seq: self.sent };
        }
        if self.replay_left == 0 {
            let (begin, end) = (self.sent + 1, self.target);
            self.sent = self.target;
            self.tell(end);
            self.before_gap.get_or_insert(begin - 1);
            self.go_live();
            return Progress::Gap { begin, end };
        }
        let limit = self.replay_left.min(PAGE_MESSAGES);
        Progress::Page(PageRequest { begin: self.sent + 1, end: self.target, limit: limit as u32 })
    }

    fn go_live(&mut self) {
        self.mode = Mode::Live;
        if let Some(above) = &mut self.above {
            above.replied.retain(|seq| *seq > self.sent);
        }
        self.absorb();
    }

    /// A message of a page went into the queue.
    pub(crate) fn replayed(&mut self, inbox_seq: u64) {
        self.sent = inbox_seq;
        self.tell(inbox_seq);
        self.replay_left = self.replay_left.saturating_sub(1);
    }

    /// A page covered everything up to here: what was not in it does not exist for this user.
    pub(crate) fn covered(&mut self, inbox_seq: u64) {
        self.sent = self.sent.max(inbox_seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(sent: u64) -> Inbox {
        let mut inbox = Inbox::new();
        inbox.start(sent, sent, sent);
        assert_eq!(inbox.progress(), Progress::Done { inbox_seq: sent });
        inbox
    }

    #[test]
    fn a_push_while_behind_only_raises_the_target() {
        let mut inbox = Inbox::new();
        assert_eq!(inbox.pushed(9), Decision::Skip);
        inbox.start(5, 8, 5);
        assert_eq!(inbox.progress(), Progress::Page(PageRequest { begin: 6, end: 9, limit: 100 }));
        for seq in 6..=9 {
            inbox.replayed(seq);
        }
        assert_eq!(inbox.progress(), Progress::Done { inbox_seq: 9 });
        assert_eq!(inbox.pushed(9), Decision::Skip);
        assert_eq!(inbox.pushed(10), Decision::Send);
    }

    #[test]
    fn a_replay_stops_at_300_and_names_the_gap() {
        let mut inbox = Inbox::new();
        inbox.start(0, 1000, 0);
        for seq in 1..=300 {
            assert!(matches!(inbox.progress(), Progress::Page(PageRequest { begin, .. }) if begin == seq));
            inbox.replayed(seq);
        }
        assert_eq!(inbox.progress(), Progress::Gap { begin: 301, end: 1000 });
        assert_eq!(inbox.pushed(1001), Decision::Send);
        assert_eq!(inbox.sent_without_gap(), 300);
    }

    #[test]
    fn what_overtook_another_waits_for_it() {
        let (mut inbox, now) = (live(5), Instant::now());
        assert_eq!(inbox.pushed(8), Decision::Hold);
        assert!(inbox.hold(8, Bytes::from_static(b"8"), now));
        assert_eq!(inbox.pushed(7), Decision::Hold);
        assert!(!inbox.hold(7, Bytes::from_static(b"7"), now));
        assert_eq!(inbox.pushed(7), Decision::Skip);
        assert_eq!(inbox.next_held(), None);
        assert_eq!(inbox.pushed(6), Decision::Send);
        inbox.sent_one();
        for seq in [7, 8] {
            assert_eq!(inbox.next_held().map(|(held, _)| held), Some(seq));
            inbox.sent_one();
        }
        assert_eq!((inbox.sent(), inbox.next_held(), inbox.is_behind()), (8, None, false));
        assert_eq!(inbox.give_up_hole(now + HOLE_WAIT), None);
        assert!(!inbox.is_behind());
    }

    #[test]
    fn a_reply_fills_the_hole_before_what_is_held() {
        let mut inbox = live(5);
        inbox.hold(7, Bytes::new(), Instant::now());
        inbox.replied(6);
        assert_eq!(inbox.next_held().map(|(held, _)| held), Some(7));
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let (mut inbox, now) = (live(5), Instant::now());
        let large = Bytes::from(vec![0; HELD_BYTES_MAX]);
        inbox.hold(7, large, now);
        assert_eq!(inbox.pushed(8), Decision::Fetch);
        let mut inbox = live(5);
        for seq in 7..7 + HELD_COUNT_MAX as u64 {
            assert_eq!(inbox.pushed(seq), Decision::Hold);
            inbox.hold(seq, Bytes::new(), now);
        }
        assert_eq!(inbox.pushed(100), Decision::Fetch);
        assert!(inbox.is_behind() && inbox.above.is_none_or(|above| above.held.is_empty()));
    }

    #[test]
    fn a_hole_or_no_room_is_healed_by_pages() {
        let (mut inbox, now) = (live(5), Instant::now());
        assert_eq!(inbox.pushed(7), Decision::Hold);
        inbox.hold(7, Bytes::new(), now);
        assert_eq!(inbox.give_up_hole(now), Some(HOLE_WAIT));
        assert_eq!(inbox.give_up_hole(now + HOLE_WAIT), None);
        assert_eq!(inbox.progress(), Progress::Page(PageRequest { begin: 6, end: 7, limit: 100 }));
        let mut inbox = live(5);
        assert_eq!(inbox.pushed(6), Decision::Send);
        inbox.fall_behind(6);
        assert_eq!(inbox.progress(), Progress::Page(PageRequest { begin: 6, end: 6, limit: 100 }));
    }

    #[test]
    fn a_seq_that_a_reply_carried_is_no_hole() {
        let mut inbox = live(5);
        inbox.replied(7);
        assert_eq!(inbox.sent(), 5);
        assert_eq!(inbox.pushed(6), Decision::Send);
        inbox.sent_one();
        assert_eq!(inbox.sent(), 7);
        assert_eq!(inbox.pushed(8), Decision::Send);
    }

    #[test]
    fn what_sync_done_names_may_be_acked() {
        let mut inbox = Inbox::new();
        inbox.start(5, 8, 5);
        inbox.replayed(7);
        inbox.covered(8);
        assert_eq!(inbox.progress(), Progress::Done { inbox_seq: 8 });
        assert_eq!(inbox.clamp_ack(8), 8);
    }

    #[test]
    fn an_ack_is_clamped_to_what_was_sent() {
        let mut inbox = live(5);
        assert_eq!(inbox.clamp_ack(100), 5);
        inbox.tell(9);
        assert_eq!(inbox.clamp_ack(100), 9);
    }
}
