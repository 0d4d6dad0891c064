//! The inbox logic against what a server might say, in any order.

use proptest::prelude::*;

use super::*;
use crate::event::Events;

const HOLE: Duration = Duration::from_millis(300);

struct Device {
    inbox: Inbox,
    queue: std::sync::Arc<Queue>,
    events: Events,
    now: Instant,
}

fn message(inbox_seq: u64) -> client::Message {
    client::Message {
        inbox_seq: Some(inbox_seq),
        conversation: "c".to_owned(),
        seq: inbox_seq,
        message_id: inbox_seq,
        ..client::Message::default()
    }
}

impl Device {
    fn new(position: Option<u64>, top: u64, acked_up_to: u64) -> Self {
        let (queue, events) = Queue::new(4096);
        let mut device = Self { inbox: Inbox::new(position, HOLE), queue, events, now: Instant::now() };
        device.connect(top, acked_up_to);
        device
    }

    /// One that holds everything up to `top`.
    fn live(top: u64) -> Self {
        let mut device = Self::new(Some(top), top, top);
        device.inbox.sync_done(top, &device.queue, device.now);
        device.told();
        device
    }

    fn connect(&mut self, inbox_top: u64, acked_up_to: u64) {
        let reply = client::AuthReply { inbox_top, acked_up_to, ..client::AuthReply::default() };
        self.inbox.connected(&reply, self.now);
    }

    fn push(&mut self, inbox_seq: u64) {
        self.inbox.message(message(inbox_seq), &self.queue, self.now);
    }

    fn page(&mut self, seqs: &[u64], top: u64, next: u64) {
        let messages = seqs.iter().copied().map(message).collect();
        self.inbox.page(client::SyncReply { messages, top, next }, &self.queue, self.now);
    }

    fn ask_after(&mut self, wait: Duration) -> Option<(u64, u64)> {
        self.now += wait;
        self.inbox.ask(&self.queue, self.now).map(|sync| (sync.begin, sync.end))
    }

    /// The inbox seqs that were told, 0 for the end of a replay.
    fn told(&mut self) -> Vec<u64> {
        use futures_util::FutureExt;
        let mut seqs = Vec::new();
        while let Some(Some(event)) = self.events.next().now_or_never() {
            match event {
                Event::Message(message) => seqs.push(message.inbox_seq.unwrap()),
                Event::SyncDone(_) => seqs.push(0),
                _ => {}
            }
        }
        seqs
    }
}

#[test]
fn messages_are_told_in_order_and_once() {
    let mut device = Device::live(4);
    for seq in [5, 7, 5, 6, 7, 3, 8] {
        device.push(seq);
    }
    assert_eq!(device.told(), [5, 6, 7, 8]);
    assert_eq!(device.ask_after(HOLE), None);
}

#[test]
fn a_hole_is_waited_on_before_it_is_asked_for() {
    let mut device = Device::live(4);
    device.push(7);
    assert_eq!(device.ask_after(Duration::from_millis(299)), None);
    assert_eq!(device.ask_after(Duration::from_millis(1)), Some((5, 6)));
    assert_eq!(device.ask_after(HOLE), None, "one sync is outstanding");
    device.page(&[5, 6], 7, 0);
    assert_eq!(device.told(), [5, 6, 7]);
    assert_eq!(device.ask_after(Duration::from_secs(60)), None);
}

#[test]
fn a_seq_missing_in_a_page_does_not_exist() {
    let mut device = Device::live(4);
    device.push(8);
    assert_eq!(device.ask_after(HOLE), Some((5, 7)));
    device.page(&[6], 8, 0);
    assert_eq!(device.told(), [6, 8]);
    assert_eq!(device.ask_after(Duration::from_secs(60)), None);
}

#[test]
fn a_page_covers_only_up_to_the_seq_before_next() {
    let mut device = Device::live(0);
    device.inbox.top(5, device.now);
    assert_eq!(device.ask_after(HOLE), Some((1, 0)));
    device.page(&[1], 5, 3);
    assert_eq!(device.told(), [1]);
    assert_eq!(device.ask_after(Duration::ZERO), Some((3, 0)), "the next page is asked for at once");
    device.page(&[3, 4, 5], 5, 0);
    assert_eq!(device.told(), [3, 4, 5]);
}

#[test]
fn a_sync_that_brings_nothing_is_repeated_with_back_off() {
    let mut device = Device::live(0);
    device.inbox.top(5, device.now);
    assert!(device.ask_after(HOLE).is_some());
    device.inbox.page_failed(device.now);
    assert_eq!(device.ask_after(Duration::from_millis(599)), None);
    assert!(device.ask_after(Duration::from_millis(1)).is_some());
    device.page(&[], 0, 0);
    assert_eq!(device.ask_after(Duration::from_millis(1199)), None);
    assert!(device.ask_after(Duration::from_millis(1)).is_some());
    device.page(&[1, 2, 3, 4, 5], 5, 0);
    assert_eq!(device.told(), [1, 2, 3, 4, 5]);
}

#[test]
fn an_own_message_is_held_and_not_told() {
    let mut device = Device::live(4);
    let own = client::SendReply {
        message_id: 6,
        conversation: "c".to_owned(),
        seq: 6,
        inbox_seq: Some(6),
        ..client::SendReply::default()
    };
    device.inbox.own(&own, &device.queue, device.now);
    assert_eq!(device.told(), [0; 0]);
    device.push(5);
    device.push(6);
    device.push(7);
    assert_eq!(device.told(), [5, 7]);
}

#[test]
fn a_gap_is_paged_at_once_and_ends_the_replay() {
    let mut device = Device::new(None, 1000, 0);
    device.push(701);
    device.inbox.gap(client::Gap { begin: 702, end: 1000 }, &device.queue, device.now);
    device.push(1001);
    assert_eq!(device.ask_after(Duration::ZERO), Some((702, 1000)));
    device.page(&[702], 1001, 703);
    assert_eq!(device.told(), [701, 702]);
    assert_eq!(device.ask_after(Duration::ZERO), Some((703, 1000)));
    device.page(&[1000], 1001, 0);
    assert_eq!(device.told(), [1000, 1001, 0]);
}

#[test]
fn a_replay_is_not_asked_for() {
    let mut device = Device::new(None, 3, 0);
    assert_eq!(device.ask_after(Duration::from_secs(4)), None);
    device.push(1);
    assert_eq!(device.ask_after(Duration::from_secs(4)), None);
    device.push(2);
    device.push(3);
    device.inbox.sync_done(3, &device.queue, device.now);
    assert_eq!(device.told(), [1, 2, 3, 0]);
}

#[test]
fn a_device_without_a_record_begins_where_the_replay_begins() {
    let mut device = Device::new(None, 1000, 0);
    for seq in 701..=1000 {
        device.push(seq);
    }
    device.inbox.sync_done(1000, &device.queue, device.now);
    assert_eq!(device.told().len(), 301);
    assert_eq!(device.ask_after(Duration::from_secs(60)), None);
}

#[test]
fn a_top_that_is_late_makes_no_doubles() {
    let mut device = Device::live(4);
    device.push(5);
    device.push(6);
    assert_eq!(device.told(), [5, 6]);
    device.connect(5, 4);
    assert_eq!(device.inbox.position(), Some(5));
    device.push(7);
    device.inbox.sync_done(7, &device.queue, device.now);
    assert_eq!(device.ask_after(HOLE), Some((6, 6)));
    device.page(&[6], 7, 0);
    assert_eq!(device.told(), [7, 0]);
}

#[test]
fn a_full_queue_takes_no_message_and_fetches_it_later() {
    let mut device = Device::live(0);
    (device.queue, device.events) = Queue::new(2);
    for seq in 1..=5 {
        device.push(seq);
    }
    assert_eq!(device.ask_after(HOLE), None);
    assert_eq!(device.told(), [1, 2]);
    assert_eq!(device.ask_after(HOLE), Some((3, 0)));
    device.page(&[3, 4, 5], 5, 0);
    assert_eq!(device.told(), [3, 4, 5]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The server has `top` messages, some seqs of which do not exist; pushes are lost, doubled and shuffled.
    #[test]
    fn whatever_is_lost_everything_is_told_once_and_in_order(
        top in 1u64..60,
        void in prop::collection::btree_set(1u64..60, 0..8),
        pushes in prop::collection::vec((1u64..60, 0u64..400), 0..80),
        page_messages in 1usize..10,
        events_max in 1usize..20,
    ) {
        let exists = |seq: &u64| *seq <= top && !void.contains(seq);
        let mut device = Device::live(0);
        (device.queue, device.events) = Queue::new(events_max);
        let mut told = Vec::new();
        let mut pushes = pushes.into_iter().filter(|(seq, _)| exists(seq));
        loop {
            let push = pushes.next();
            let wait = match push {
                Some((seq, wait)) => {
                    device.push(seq);
                    Duration::from_millis(wait)
                }
                None => {
                    device.inbox.top(top, device.now);
                    Duration::from_secs(1)
                }
            };
            if let Some((begin, end)) = device.ask_after(wait) {
                let end = if end == 0 { top } else { end.min(top) };
                let mut seqs: Vec<u64> = (begin..=end).filter(exists).collect();
                let next = seqs.get(page_messages).copied().unwrap_or(0);
                seqs.truncate(page_messages);
                device.page(&seqs, top, next);
            } else if push.is_none() && device.inbox.position() == Some(top) {
                break;
            }
            told.extend(device.told());
        }
        told.extend(device.told());
        prop_assert_eq!(told, (1..=top).filter(exists).collect::<Vec<u64>>());
    }
}
