//! Several processes on one database: each has a store of its own, and they never agree on anything but rows.

use std::collections::HashMap;

use backends::store::{Append, Guard, Outcome};
use bytes::Bytes;
use protocol::{ConversationId, GroupId, Identifier};

use super::*;
use crate::{user, within};

const STORES_COUNT: usize = 3;
const WRITERS_COUNT: u64 = 24;
const MESSAGES_COUNT: u64 = 30;
const USERS_COUNT: u64 = 4;

fn person(number: u64) -> protocol::UserId {
    user(&format!("user-{}", number % USERS_COUNT))
}

pub(super) fn message(number: u64) -> Append {
    let (sender, receiver) = (person(number), person(number / USERS_COUNT));
    let mut inboxes = vec![sender.clone(), receiver.clone()];
    inboxes.dedup();
    Append {
        conversation: ConversationId::single(&sender, &receiver),
        message_id: number + 1,
        sender,
        client_message_id: number.to_string(),
        time_ms: number,
        content: Bytes::from(number.to_string()),
        counted: true,
        mentions: Vec::new(),
        mention_all: false,
        replaces: None,
        guard: Guard::None,
        inboxes,
    }
}

/// Asserts that every box has consecutive seqs and that each message is in its boxes once.
pub(super) async fn assert_whole(store: &Arc<dyn Store>, messages_count: usize) {
    let mut found: HashMap<u64, usize> = HashMap::new();
    let mut expected: HashMap<u64, usize> = HashMap::new();
    for number in 0..USERS_COUNT {
        let page = store.inbox_page(&person(number), 1, 0, usize::MAX).await.unwrap();
        assert!(page.rows.iter().map(|row| row.inbox_seq).eq(1..=page.top), "user {number}");
        for row in page.rows {
            let both =
                if row.message.conversation.users().is_some_and(|(one, other)| one == other) { 1 } else { 2 };
            expected.insert(row.message.message_id, both);
            *found.entry(row.message.message_id).or_default() += 1;
        }
    }
    assert_eq!(found, expected);
    assert_eq!(found.len(), messages_count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_write_to_the_same_boxes_leave_no_hole_and_repeat_no_seq() {
    let url = store_on(mariadb()).await;
    let mut stores = Vec::new();
    for _ in 0..STORES_COUNT {
        stores.push(store::open(&url).await.unwrap());
    }
    let writers: Vec<_> = (0..WRITERS_COUNT)
        .map(|writer| {
            let stores = stores.clone();
            tokio::spawn(async move {
                for turn in 0..MESSAGES_COUNT {
                    let number = writer * MESSAGES_COUNT + turn;
                    let place = usize::try_from(number).unwrap() % STORES_COUNT;
                    // Every third message is sent to two processes at once.
                    if number.is_multiple_of(3) {
                        let other = &stores[(place + 1) % STORES_COUNT];
                        let again = Append { message_id: 1_000_000 + number, ..message(number) };
                        let (mut one, mut two) = tokio::join!(
                            stores[place].append(vec![message(number)]),
                            other.append(vec![again])
                        );
                        let (one, two) = (one.remove(0).unwrap(), two.remove(0).unwrap());
                        let (Outcome::Written(one), Outcome::Written(two)) = (one, two) else {
                            unreachable!()
                        };
                        assert!(one.duplicate != two.duplicate);
                        assert_eq!((one.seq, one.message_id), (two.seq, two.message_id));
                    } else {
                        stores[place].append(vec![message(number)]).await.remove(0).unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        within(writer).await.unwrap();
    }
    assert_whole(&stores[0], usize::try_from(WRITERS_COUNT * MESSAGES_COUNT).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_fan_the_same_row_out_write_each_inbox_once() {
    let url = store_on(mariadb()).await;
    let here = ConversationId::group(&GroupId::new("club").unwrap());
    let members: Vec<_> = (0..250).map(|number| user(&format!("member-{number:03}"))).collect();
    let mut workers = Vec::new();
    let first = store::open(&url).await.unwrap();
    for number in 1..=3 {
        let append = Append { conversation: here.clone(), inboxes: Vec::new(), ..message(number) };
        first.append(vec![append]).await.remove(0).unwrap();
    }
    for size in [50, 99, 250] {
        let store = store::open(&url).await.unwrap();
        let (here, members) = (here.clone(), members.clone());
        workers.push(tokio::spawn(async move {
            let mut found = Vec::new();
            for seq in 1..=3 {
                for chunk in members.rchunks(size) {
                    let inbox_seqs = store.fan_out(&here, seq, chunk.to_vec()).await.unwrap();
                    found.extend(chunk.iter().cloned().zip(inbox_seqs).map(|written| (seq, written)));
                }
            }
            found.sort_unstable();
            found
        }));
    }
    let mut answers = Vec::new();
    for worker in workers {
        answers.push(within(worker).await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "all were told the same");
    for member in &members {
        let page = first.inbox_page(member, 1, 0, 10).await.unwrap();
        assert!(page.rows.iter().map(|row| (row.inbox_seq, row.message.seq)).eq((1..=3).map(|n| (n, n))));
    }
}
