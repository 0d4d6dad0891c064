//! Random interleavings against a model that is too simple to be wrong.

use std::collections::{BTreeMap, HashMap};

use backends::Kind;
use backends::store::{InboxRow, Position};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::DeviceId;

use super::*;

const NAMES: [&str; 4] = ["alice", "Alice", "bob", "bo"];

/// A change. Messages are numbered as they are handed over, so that ids and times rise.
#[derive(Debug, Clone)]
enum Change {
    Append { from: usize, to: usize, client_message_id: u8, to_group: bool },
    AppendTwo { from: usize, to: usize, client_message_id: u8 },
    FanOut { group: usize, seq: u64, members: Vec<usize> },
    Advance { group: usize, from: u64, to: u64 },
    ClearIntents { back: Vec<u64> },
    SetPosition { owner: usize, inbox_seq: u64 },
}

/// Changes handed over one after another without waiting; then perhaps a sweep, perhaps a restart.
#[derive(Debug, Clone)]
struct Step {
    changes: Vec<Change>,
    sweep_back: Option<u64>,
    reopen: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let name = 0..NAMES.len();
    prop_oneof![
        5 => (name.clone(), name.clone(), 0..12_u8, any::<bool>()).prop_map(
            |(from, to, client_message_id, to_group)| Change::Append {
                from, to, client_message_id, to_group
            }
        ),
        1 => (name.clone(), name.clone(), 0..12_u8)
            .prop_map(|(from, to, client_message_id)| Change::AppendTwo { from, to, client_message_id }),
        3 => (name.clone(), 0..6_u64, proptest::collection::vec(name.clone(), 0..5))
            .prop_map(|(group, seq, members)| Change::FanOut { group, seq, members }),
        1 => (name.clone(), 0..3_u64, 0..3_u64)
            .prop_map(|(group, from, to)| Change::Advance { group, from, to }),
        2 => proptest::collection::vec(0..10_u64, 0..4).prop_map(|back| Change::ClearIntents { back }),
        1 => (name, 0..9_u64).prop_map(|(owner, inbox_seq)| Change::SetPosition { owner, inbox_seq }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        proptest::collection::vec(change(), 0..12),
        proptest::option::weighted(0.2, 0..20_u64),
        proptest::bool::weighted(0.15),
    );
    let step = step.prop_map(|(changes, sweep_back, reopen)| Step { changes, sweep_back, reopen });
    proptest::collection::vec(step, 1..8)
}

/// A message and the inboxes written with it.
type Written = (OutboxRow, Vec<(UserId, u64)>);

#[derive(Default)]
struct Model {
    number: u64,
    outboxes: BTreeMap<ConversationId, Vec<Written>>,
    inboxes: HashMap<UserId, Vec<(ConversationId, u64)>>,
    answers: BTreeMap<(UserId, String), (ConversationId, u64)>,
    intents: BTreeMap<u64, IntentLane>,
    progress: HashMap<ConversationId, u64>,
    positions: HashMap<UserId, u64>,
}

impl Model {
    fn next_append(&mut self, from: usize, to: usize, client_message_id: u8, to_group: bool) -> Append {
        self.number += 1;
        let make = if to_group { group } else { chat };
        let append = make(NAMES[from], NAMES[to], self.number);
        Append { client_message_id: format!("c-{client_message_id}"), ..append }
    }

    fn deliver(&mut self, owner: &UserId, conversation: &ConversationId, seq: u64) -> u64 {
        let inbox = self.inboxes.entry(owner.clone()).or_default();
        let pointer = (conversation.clone(), seq);
        if let Some(place) = inbox.iter().position(|known| *known == pointer) {
            return place as u64 + 1;
        }
        inbox.push(pointer);
        inbox.len() as u64
    }

    fn append(&mut self, append: &Append) -> Appended {
        let answer = (append.sender.clone(), append.client_message_id.clone());
        if let Some((conversation, seq)) = self.answers.get(&answer) {
            let (row, inboxes) = &self.outboxes[conversation][usize::try_from(seq - 1).unwrap()];
            return Appended {
                conversation: conversation.clone(),
                seq: *seq,
                message_id: row.message_id,
                time_ms: row.time_ms,
                fan_out: row.fan_out,
                inbox_seqs: inboxes.iter().map(|(_, seq)| *seq).collect(),
                duplicate: true,
            };
        }
        let seq = self.outboxes.get(&append.conversation).map_or(0, Vec::len) as u64 + 1;
        let inboxes: Vec<(UserId, u64)> = append
            .inboxes
            .iter()
            .map(|owner| (owner.clone(), self.deliver(owner, &append.conversation, seq)))
            .collect();
        let inbox_seqs = inboxes.iter().map(|(_, seq)| *seq).collect();
        let outbox = self.outboxes.entry(append.conversation.clone()).or_default();
        let row = row_of(append, seq);
        let fan_out = row.fan_out;
        outbox.push((row, inboxes));
        self.answers.insert(answer, (append.conversation.clone(), seq));
        let lane = if fan_out == FanOut::OnWrite { IntentLane::FanOut } else { IntentLane::Push };
        self.intents.insert(append.message_id, lane);
        Appended {
            conversation: append.conversation.clone(),
            seq,
            message_id: append.message_id,
            time_ms: append.time_ms,
            fan_out,
            inbox_seqs,
            duplicate: false,
        }
    }

    fn row(&self, conversation: &ConversationId, seq: u64) -> Option<&Written> {
        let place = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.outboxes.get(conversation)?.get(place)
    }

    fn sweep(&mut self, before_ms: u64) -> usize {
        let before = self.answers.len();
        let outboxes = &self.outboxes;
        self.answers.retain(|_, (conversation, seq)| {
            outboxes[conversation][usize::try_from(*seq - 1).unwrap()].0.time_ms >= before_ms
        });
        before - self.answers.len()
    }

    /// Makes the change here and hands it over there; the future asserts that both answer the same.
    fn change<'a>(&mut self, store: &'a Arc<dyn Store>, change: &Change) -> BoxFuture<'a, ()> {
        match change.clone() {
            Change::Append { from, to, client_message_id, to_group } => {
                let append = self.next_append(from, to, client_message_id, to_group);
                let expected = self.append(&append);
                async move { assert_eq!(all_written(store.append(vec![append]).await), [expected]) }.boxed()
            }
            Change::AppendTwo { from, to, client_message_id } => {
                let appends = vec![
                    self.next_append(from, to, client_message_id, false),
                    self.next_append(to, from, client_message_id + 1, true),
                ];
                let expected: Vec<_> = appends.iter().map(|append| self.append(append)).collect();
                async move { assert_eq!(all_written(store.append(appends).await), expected) }.boxed()
            }
            Change::FanOut { group, seq, members } => {
                let here = group_conversation(NAMES[group]);
                let members: Vec<UserId> = members.iter().map(|member| user(NAMES[*member])).collect();
                let done = self.progress.get(&here).copied().unwrap_or(0);
                let expected = if self.row(&here, seq).is_none() {
                    Err(Kind::Missing)
                } else if seq <= done {
                    Err(Kind::Conflict)
                } else {
                    Ok(members.iter().map(|member| self.deliver(member, &here, seq)).collect::<Vec<_>>())
                };
                async move {
                    let answer = store.fan_out(&here, seq, members).await;
                    assert_eq!(answer.map_err(|error| error.kind()), expected);
                }
                .boxed()
            }
            Change::Advance { group, from, to } => {
                let here = group_conversation(NAMES[group]);
                let known = self.progress.entry(here.clone()).or_default();
                let expected = *known == from;
                if expected {
                    *known = to;
                }
                async move {
                    assert_eq!(store.advance_fanned_out(&here, from, to).await.unwrap(), expected);
                }
                .boxed()
            }
            Change::ClearIntents { back } => {
                let ids: Vec<u64> = back.iter().map(|back| self.number.saturating_sub(*back)).collect();
                self.intents.retain(|id, lane| *lane != IntentLane::Push || !ids.contains(id));
                async move { store.clear_intents(IntentLane::Push, ids).await.unwrap() }.boxed()
            }
            Change::SetPosition { owner, inbox_seq } => {
                let owner = user(NAMES[owner]);
                let known = self.positions.entry(owner.clone()).or_insert(inbox_seq);
                *known = inbox_seq.max(*known);
                let position = Position { user: owner, device: device(), inbox_seq };
                async move { store.set_positions(vec![position]).await.unwrap() }.boxed()
            }
        }
    }

    async fn assert_outbox_is(&self, store: &Arc<dyn Store>, here: &ConversationId) {
        let rows = self.outboxes.get(here).map_or(&[][..], Vec::as_slice);
        let expected: Vec<OutboxRow> = rows.iter().map(|(row, _)| row.clone()).collect();
        assert_eq!(whole_outbox(store, here).await, expected);
        let expected = self.progress.get(here).copied().unwrap_or(0);
        assert_eq!(store.fanned_out_to(here).await.unwrap(), expected);
    }

    async fn assert_is(&self, store: &Arc<dyn Store>) {
        for name in NAMES {
            let owner = user(name);
            let page = store.inbox_page(&owner, 1, 0, usize::MAX).await.unwrap();
            let inbox = self.inboxes.get(&owner).map_or(&[][..], Vec::as_slice);
            let row = |(place, (conversation, seq)): (usize, &(ConversationId, u64))| InboxRow {
                inbox_seq: place as u64 + 1,
                message: self.row(conversation, *seq).unwrap().0.clone(),
            };
            let expected: Vec<InboxRow> = inbox.iter().enumerate().map(row).collect();
            assert_eq!((page.top, page.rows), (expected.len() as u64, expected));
            let position = store.position(&owner, &device()).await.unwrap();
            assert_eq!(position, self.positions.get(&owner).copied());
            self.assert_outbox_is(store, &group_conversation(name)).await;
            for other in NAMES {
                self.assert_outbox_is(store, &conversation(name, other)).await;
            }
        }
        let mut intents = Vec::new();
        for lane in [IntentLane::Push, IntentLane::FanOut] {
            let found = store.intents(lane, u64::MAX, usize::MAX).await.unwrap();
            let ids: Vec<u64> = found.iter().map(|intent| intent.message.message_id).collect();
            let expected: Vec<u64> =
                self.intents.iter().filter(|(_, known)| **known == lane).map(|(id, _)| *id).collect();
            assert_eq!(ids, expected);
            intents.extend(found);
        }
        for intent in intents {
            let (row, inboxes) = self.row(&intent.message.conversation, intent.message.seq).unwrap();
            assert_eq!((&intent.message, &intent.inboxes), (row, inboxes));
        }
    }
}

fn device() -> DeviceId {
    DeviceId::new("web").unwrap()
}

/// Runs many random interleavings, each on a store that starts empty.
pub(crate) fn run<F: StoreFixture>() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(async {
                let mut fixture = F::start().await;
                let mut model = Model::default();
                for step in steps {
                    let store = fixture.store();
                    let handed_over: Vec<_> =
                        step.changes.iter().map(|change| model.change(&store, change)).collect();
                    crate::within(join_all(handed_over)).await;
                    if let Some(back) = step.sweep_back {
                        let before_ms = time_of(model.number.saturating_sub(back));
                        let expected = model.sweep(before_ms);
                        let forgotten = store.sweep_answers(before_ms, usize::MAX).await.unwrap();
                        assert_eq!(forgotten, expected);
                    }
                    model.assert_is(&store).await;
                    drop(store);
                    if step.reopen {
                        fixture.reopen().await;
                        model.assert_is(&fixture.store()).await;
                    }
                }
            });
            Ok(())
        })
        .unwrap();
}
