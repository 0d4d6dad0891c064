//! How far a connection's user's inbox has been sent to it: *behind* or *live*.
//!
//! A connection begins behind. While it is behind, stored pushes only raise its target, and pages are read
//! from im as its queue drains; when the last sent reaches the target it is live, and pushes go straight out.
//! So replay and live pushes never cross. What is missing or had no room turns it behind again. Only the
//! decisions are here, no I/O.

/// What to do with a stored message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send it now.
    Send,
    /// The connection has it, or will get it from a page.
    Skip,
    /// Something before it is missing: read pages.
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
    /// Seqs above `sent` that replies have carried.
    replied: Vec<u64>,
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
            replied: Vec::new(),
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
            Mode::Live if inbox_seq <= self.sent || self.replied.contains(&inbox_seq) => Decision::Skip,
            Mode::Live if inbox_seq == self.sent + 1 => Decision::Send,
            Mode::Live => {
                self.fall_behind(inbox_seq);
                Decision::Fetch
            }
        }
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
    }

    /// A reply carried the inbox seq of a message that this connection sent itself.
    pub(crate) fn replied(&mut self, inbox_seq: u64) {
        self.tell(inbox_seq);
        match self.mode {
            Mode::Live if inbox_seq > self.sent => {
                if self.replied.len() < REPLIED_MAX {
                    self.replied.push(inbox_seq);
                }
                self.absorb();
            }
            Mode::Starting | Mode::Behind => self.target = self.target.max(inbox_seq),
            Mode::Live => {}
        }
    }

    fn absorb(&mut self) {
        while let Some(at) = self.replied.iter().position(|seq| *seq == self.sent + 1) {
            self.replied.swap_remove(at);
            self.sent += 1;
        }
        if self.replied.is_empty() {
            // An idle connection keeps no memory for this.
            self.replied = Vec::new();
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
        self.replied.retain(|seq| *seq > self.sent);
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
    fn a_hole_or_no_room_is_healed_by_pages() {
        let mut inbox = live(5);
        assert_eq!(inbox.pushed(7), Decision::Fetch);
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
