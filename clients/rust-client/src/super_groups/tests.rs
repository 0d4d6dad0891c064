//! The super groups' logic against what a server might say, in any order.

use proptest::prelude::*;

use super::*;

const HOLE: Duration = Duration::from_millis(300);

struct Device {
    groups: SuperGroups,
    now: Instant,
    has_room: bool,
    told: Vec<(String, u64)>,
}

fn row(id: &str, seq: u64) -> Message {
    Message { conversation: id.to_owned(), seq, message_id: seq, ..Message::default() }
}

fn top(id: &str, top: u64, joined: u64) -> GroupTop {
    GroupTop { conversation: id.to_owned(), top, joined: Some(joined), ..GroupTop::default() }
}

fn page(id: &str, seqs: impl IntoIterator<Item = u64>, top: u64, next: u64) -> client::GroupPage {
    let messages = seqs.into_iter().map(|seq| row(id, seq)).collect();
    client::GroupPage { conversation: id.to_owned(), messages, top, next }
}

fn super_conversation(id: &str, top: u64, joined: u64, left: Option<u64>) -> client::Conversation {
    client::Conversation {
        conversation: id.to_owned(),
        kind: "super".to_owned(),
        top,
        joined,
        left,
        ..client::Conversation::default()
    }
}

impl Device {
    fn new(given: &[(&str, u64)]) -> Self {
        let given = given.iter().map(|(id, seq)| ((*id).to_owned(), *seq)).collect();
        let groups = SuperGroups::new(given, HOLE);
        Self { groups, now: Instant::now(), has_room: true, told: Vec::new() }
    }

    /// One that is connected and whose inbox is up to date.
    fn live(given: &[(&str, u64)], tops: &[GroupTop]) -> Self {
        let mut device = Self::new(given);
        device.connect(tops, "");
        device.open();
        device
    }

    fn connect(&mut self, tops: &[GroupTop], next: &str) {
        let reply = client::AuthReply {
            groups: tops.to_vec(),
            groups_next: next.to_owned(),
            ..client::AuthReply::default()
        };
        self.groups.connected(&reply, self.now);
    }

    fn open(&mut self) {
        let rows = self.groups.open(self.has_room, self.now);
        self.tell(rows);
    }

    fn push(&mut self, id: &str, seq: u64) {
        let rows = self.groups.row(row(id, seq), self.has_room, self.now);
        self.tell(rows);
    }

    fn answer(&mut self, groups: Vec<client::GroupPage>) {
        let rows = self.groups.page(client::SyncGroupsReply { groups }, self.has_room, self.now);
        self.tell(rows);
    }

    fn tell(&mut self, rows: Vec<Message>) {
        self.told.extend(rows.into_iter().map(|row| (row.conversation, row.seq)));
    }

    fn ask_after(&mut self, wait: Duration) -> Option<Vec<(String, u64)>> {
        self.now += wait;
        let sync = self.groups.ask(self.has_room, self.now)?;
        Some(sync.positions.into_iter().map(|at| (at.conversation, at.begin)).collect())
    }

    fn told(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.told).into_iter().map(|(_, seq)| seq).collect()
    }

    fn position(&self, id: &str) -> Option<u64> {
        self.groups.groups.get(id).map(|group| group.position)
    }
}

fn at(positions: &[(&str, u64)]) -> Option<Vec<(String, u64)>> {
    Some(positions.iter().map(|(id, begin)| ((*id).to_owned(), *begin)).collect())
}

#[test]
fn a_group_seen_for_the_first_time_begins_at_the_join_or_fifty_below_its_top() {
    let device =
        Device::live(&[("held", 90)], &[top("far", 100, 3), top("late", 100, 80), top("held", 100, 3)]);
    assert_eq!(device.position("far"), Some(50));
    assert_eq!(device.position("late"), Some(80));
    assert_eq!(device.position("held"), Some(90));
}

#[test]
fn what_was_missed_is_asked_for_at_once_and_in_one_request() {
    let mut device =
        Device::live(&[("a", 5), ("b", 9), ("c", 2)], &[top("a", 7, 1), top("b", 9, 1), top("c", 4, 1)]);
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("a", 6), ("c", 3)]));
    assert_eq!(device.groups.take_done(), None);
    device.answer(vec![page("a", 6..=7, 7, 0), page("c", [4], 4, 0)]);
    assert_eq!(device.told(), [6, 7, 4]);
    let done = device.groups.take_done().unwrap();
    assert_eq!(done, BTreeMap::from([("a".to_owned(), 7), ("b".to_owned(), 9), ("c".to_owned(), 4)]));
    assert_eq!(device.groups.take_done(), None, "it is told once");
}

#[test]
fn rows_are_told_in_order_and_once() {
    let mut device = Device::live(&[("a", 4)], &[top("a", 4, 1)]);
    for seq in [5, 7, 5, 6, 7, 3, 8] {
        device.push("a", seq);
    }
    assert_eq!(device.told(), [5, 6, 7, 8]);
    assert_eq!(device.ask_after(Duration::from_secs(60)), None);
}

#[test]
fn a_hole_is_waited_on_before_it_is_asked_for() {
    let mut device = Device::live(&[("a", 4)], &[top("a", 4, 1)]);
    device.push("a", 7);
    assert_eq!(device.ask_after(Duration::from_millis(299)), None);
    assert_eq!(device.ask_after(Duration::from_millis(1)), at(&[("a", 5)]));
    device.push("a", 9);
    assert_eq!(device.ask_after(HOLE), None, "one sync is outstanding");
    device.answer(vec![page("a", [5, 6, 7, 8], 9, 9)]);
    assert_eq!(device.told(), [5, 6, 7, 8, 9]);
    assert_eq!(device.ask_after(Duration::from_secs(60)), None);
}

#[test]
fn a_lost_last_row_is_found_by_the_heartbeat() {
    let mut device = Device::live(&[("a", 4)], &[top("a", 4, 1)]);
    let tops = [GroupTop { conversation: "a".to_owned(), top: 5, ..GroupTop::default() }];
    device.groups.heartbeat(&tops, device.now);
    assert_eq!(device.ask_after(HOLE), at(&[("a", 5)]));
    device.answer(vec![page("a", [5], 5, 0)]);
    assert_eq!(device.told(), [5]);
}

#[test]
fn the_groups_that_a_full_page_left_out_come_next() {
    let mut device = Device::live(&[("a", 0), ("b", 0)], &[top("a", 2, 0), top("b", 1, 0)]);
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("a", 1), ("b", 1)]));
    device.answer(vec![page("a", [1], 2, 2), page("b", [], 1, 1)]);
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("a", 2), ("b", 1)]));
    device.answer(vec![page("a", [2], 2, 0), page("b", [1], 1, 0)]);
    assert_eq!(device.told(), [1, 2, 1]);
}

#[test]
fn a_sync_that_brings_nothing_is_repeated_with_back_off() {
    let mut device = Device::live(&[("a", 0)], &[top("a", 2, 0)]);
    assert!(device.ask_after(Duration::ZERO).is_some());
    device.groups.page_failed(None, device.now);
    assert_eq!(device.ask_after(Duration::from_millis(599)), None);
    assert!(device.ask_after(Duration::from_millis(1)).is_some());
    device.answer(Vec::new());
    assert_eq!(device.ask_after(Duration::from_millis(1199)), None);
    assert!(device.ask_after(Duration::from_millis(1)).is_some());
    device.answer(vec![page("a", [1, 2], 2, 0)]);
    assert_eq!(device.told(), [1, 2]);
}

#[test]
fn a_group_that_may_not_be_read_does_not_hold_up_the_others() {
    let ids = ["a", "b", "c", "d"];
    let tops: Vec<GroupTop> = ids.iter().map(|id| top(id, 1, 0)).collect();
    let mut device = Device::live(&[], &tops);
    let refusal = protocol::Code::NotFound.with("no");
    let mut asked_count = 0;
    while let Some(asked) = device.ask_after(Duration::ZERO) {
        asked_count += 1;
        assert!(asked_count < 10);
        if asked.iter().any(|(id, _)| id == "c") {
            device.groups.page_failed(Some(&refusal), device.now);
        } else {
            device.answer(asked.iter().map(|(id, _)| page(id, [1], 1, 0)).collect());
        }
    }
    let mut told: Vec<String> = device.told.iter().map(|(id, _)| id.clone()).collect();
    told.sort_unstable();
    assert_eq!(told, ["a", "b", "d"]);
    assert_eq!(device.position("c"), None);
}

#[test]
fn a_conversion_is_followed_from_its_row_on() {
    let mut device = Device::live(&[], &[]);
    device.push("a", 12);
    assert_eq!(device.told(), [0; 0], "rows below are still in the inbox");
    device.groups.converted("a", 10, device.now);
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("a", 11)]));
    device.answer(vec![page("a", [11, 12], 12, 0)]);
    device.push("a", 13);
    assert_eq!(device.told(), [11, 12, 13]);
}

#[test]
fn rows_wait_for_what_the_inbox_has_from_before_the_conversion() {
    let mut device = Device::new(&[]);
    device.connect(&[top("a", 12, 1)], "");
    device.push("a", 13);
    assert_eq!(device.ask_after(HOLE), None);
    device.groups.converted("a", 11, device.now);
    device.open();
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("a", 12)]));
    device.answer(vec![page("a", [12, 13], 13, 0)]);
    assert_eq!(device.told(), [12, 13]);
}

#[test]
fn who_is_let_in_begins_at_the_join_and_who_goes_gets_what_was_before() {
    let mut device = Device::live(&[], &[]);
    device.groups.conversation(&super_conversation("a", 7, 7, None), device.now);
    device.push("a", 8);
    device.push("a", 10);
    device.groups.conversation(&super_conversation("a", 10, 7, Some(11)), device.now);
    assert_eq!(device.ask_after(HOLE), at(&[("a", 9)]));
    device.answer(vec![page("a", [9, 10], 10, 0)]);
    assert_eq!(device.told(), [8, 9, 10]);
    assert_eq!(device.position("a"), None);
    device.groups.conversation(&super_conversation("a", 20, 18, None), device.now);
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("a", 19)]));
}

#[test]
fn what_was_kept_from_before_another_join_is_not_told() {
    let mut device = Device::live(&[("a", 1)], &[top("a", 1, 0)]);
    device.push("a", 5);
    device.groups.conversation(&super_conversation("a", 8, 8, None), device.now);
    device.push("a", 9);
    assert_eq!(device.told(), [9]);
    assert_eq!(device.groups.held_count, 0);
}

#[test]
fn the_listing_is_paged_and_what_is_not_in_it_ends_with_what_was_said_before() {
    let mut device = Device::live(&[("gone", 1)], &[top("gone", 1, 0), top("z", 1, 1)]);
    device.connect(&[top("a", 1, 1)], "a");
    device.open();
    assert_eq!(device.groups.take_done(), None);
    let ask = device.groups.ask_tops(device.now).unwrap();
    assert_eq!((ask.cursor.as_str(), ask.limit), ("a", GROUP_TOPS_PAGE_MAX));
    assert_eq!(device.groups.ask_tops(device.now), None, "one is outstanding");
    device.groups.tops_failed(device.now);
    device.now += Duration::from_secs(1);
    assert_eq!(device.groups.ask_tops(device.now).unwrap().cursor, "a");
    let rest = client::GroupTopsReply { groups: vec![top("z", 1, 1)], next: String::new() };
    device.groups.tops_page(&rest, device.now);
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("gone", 2)]));
    device.answer(vec![page("gone", [2, 3], 4, 4)]);
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("gone", 4)]));
    device.answer(vec![page("gone", [4], 4, 0)]);
    assert_eq!(device.told(), [2, 3, 4]);
    assert_eq!(device.position("gone"), None);
    let done = device.groups.take_done().unwrap();
    assert_eq!(done.keys().collect::<Vec<_>>(), ["a", "z"]);
}

#[test]
fn a_group_that_was_left_with_everything_told_is_forgotten() {
    let mut device = Device::live(&[("gone", 1)], &[top("gone", 1, 0)]);
    device.connect(&[], "");
    device.open();
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("gone", 2)]));
    device.answer(vec![page("gone", [], 1, 0)]);
    assert_eq!(device.position("gone"), None);
    assert_eq!(device.ask_after(Duration::from_secs(60)), None);
}

#[test]
fn a_group_that_nobody_told_of_is_looked_for_in_the_listing() {
    let mut device = Device::live(&[], &[]);
    device.push("a", 8);
    assert_eq!(device.groups.ask_tops(device.now), None);
    device.now = device.groups.ask_at(true).unwrap();
    assert_eq!(device.groups.ask_tops(device.now).unwrap().cursor, "");
    let tops = client::GroupTopsReply { groups: vec![top("a", 7, 6)], next: String::new() };
    device.groups.tops_page(&tops, device.now);
    assert_eq!(device.ask_after(Duration::ZERO), at(&[("a", 7)]));
    device.answer(vec![page("a", [7, 8], 8, 0)]);
    assert_eq!(device.told(), [7, 8]);
}

#[test]
fn what_is_kept_beyond_holes_is_bounded() {
    let mut device = Device::live(&[("a", 0)], &[top("a", 0, 0)]);
    for seq in 2..=2 * HELD_MAX as u64 {
        device.push("a", seq);
    }
    assert_eq!(device.groups.held_count, HELD_MAX);
    assert_eq!(device.ask_after(HOLE), at(&[("a", 1)]));
    device.answer(vec![page("a", [1], 2 * HELD_MAX as u64, 2)]);
    assert_eq!(device.told().len(), HELD_MAX + 1);
    assert_eq!(device.groups.held_count, 0);
}

/// What happens to a device between two moments.
#[derive(Debug, Clone)]
enum Step {
    Push(usize, u64),
    Heartbeat,
    Reconnect,
    Full(bool),
    Wait(u64),
    /// The answer to the outstanding sync is lost.
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0usize..3, 1u64..40).prop_map(|(group, seq)| Step::Push(group, seq)),
        1 => Just(Step::Heartbeat),
        1 => Just(Step::Reconnect),
        1 => any::<bool>().prop_map(Step::Full),
        3 => (0u64..700).prop_map(Step::Wait),
        1 => Just(Step::Lose),
    ]
}

const IDS: [&str; 3] = ["a", "b", "c"];

/// The server's answer to a sync: at most `limit` rows, the groups in the order asked.
fn served(
    asked: &[(String, u64)],
    tops: &[u64],
    void: &BTreeSet<u64>,
    limit: usize,
) -> Vec<client::GroupPage> {
    let mut left = limit;
    let pages = asked.iter().map(|(id, begin)| {
        let top = tops[IDS.iter().position(|other| other == id).unwrap()];
        let seqs: Vec<u64> = (*begin..=top).filter(|seq| !void.contains(seq)).collect();
        let next = seqs.get(left).copied().unwrap_or(0);
        let taken: Vec<u64> = seqs.into_iter().take(left).collect();
        left -= taken.len();
        page(id, taken, top, next)
    });
    pages.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Three groups, some of whose seqs are not for this user; pushes are lost, doubled and shuffled, connections and
    /// answers lost, and the application is slow at times.
    #[test]
    fn whatever_is_lost_everything_is_told_once_and_in_order(
        tops in prop::collection::vec(0u64..40, 3),
        void in prop::collection::btree_set(1u64..40, 0..6),
        steps in prop::collection::vec(step(), 0..120),
        limit in 1usize..12,
    ) {
        let listed: Vec<GroupTop> = IDS.iter().zip(&tops).map(|(id, seq)| top(id, *seq, 0)).collect();
        let known: Vec<GroupTop> = IDS.iter().map(|id| top(id, 0, 0)).collect();
        let mut device = Device::live(&[("a", 0), ("b", 0), ("c", 0)], &known);
        let mut asked: Option<Vec<(String, u64)>> = None;
        let mut steps = steps.into_iter();
        for _ in 0..2000 {
            let step = steps.next();
            let is_over = step.is_none();
            match step {
                Some(Step::Push(group, seq)) if seq <= tops[group] && !void.contains(&seq) => {
                    device.push(IDS[group], seq);
                }
                Some(Step::Push(..)) => {}
                Some(Step::Heartbeat) => device.groups.heartbeat(&listed, device.now),
                Some(Step::Reconnect) => {
                    device.connect(&listed, "");
                    asked = None;
                    device.open();
                }
                Some(Step::Full(full)) => device.has_room = !full,
                Some(Step::Wait(milliseconds)) => device.now += Duration::from_millis(milliseconds),
                Some(Step::Lose) => asked = None,
                None => {
                    device.has_room = true;
                    device.groups.heartbeat(&listed, device.now);
                    device.now += Duration::from_secs(1);
                }
            }
            if let Some(positions) = asked.take() {
                device.answer(served(&positions, &tops, &void, limit));
            }
            asked = device.ask_after(Duration::ZERO);
            if is_over && asked.is_none() && device.groups.behind.is_empty() {
                break;
            }
        }
        for (id, top) in IDS.iter().zip(&tops) {
            let told: Vec<u64> =
                device.told.iter().filter(|(other, _)| other == id).map(|(_, seq)| *seq).collect();
            let expected: Vec<u64> = (1..=*top).filter(|seq| !void.contains(seq)).collect();
            prop_assert_eq!(told, expected, "group {}", id);
        }
        prop_assert_eq!(device.groups.held_count, 0);
    }
}
