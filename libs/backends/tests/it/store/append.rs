//! Order, atomicity, consecutive seqs and first answers.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::*;
use crate::within;

pub(crate) async fn a_message_is_in_the_outbox_in_both_inboxes_and_an_intent(fixture: impl StoreFixture) {
    let store = fixture.store();
    let message = chat("alice", "bob", 1);
    let appended = append(&store, message.clone()).await;
    let expected = Appended {
        conversation: message.conversation.clone(),
        seq: 1,
        message_id: 1,
        time_ms: time_of(1),
        fan_out: FanOut::InCommit,
        inbox_seqs: vec![1, 1],
        duplicate: false,
    };
    assert_eq!(appended, expected);
    let row = row_of(&message, 1);
    assert_eq!(whole_outbox(&store, &message.conversation).await, std::slice::from_ref(&row));
    for name in ["alice", "bob"] {
        assert_eq!(whole_inbox(&store, &user(name)).await, [(1, row.clone())]);
    }
    let intents = all_intents(&store).await;
    assert_eq!(intents.len(), 1);
    assert_eq!(intents[0].message, row);
    assert_eq!(intents[0].inboxes, [(user("alice"), 1), (user("bob"), 1)]);
}

pub(crate) async fn a_chat_with_oneself_is_one_inbox_row(fixture: impl StoreFixture) {
    let store = fixture.store();
    let appended = append(&store, chat("alice", "alice", 1)).await;
    assert_eq!(appended.inbox_seqs, [1]);
    assert_eq!(whole_inbox(&store, &user("alice")).await.len(), 1);
}

pub(crate) async fn a_message_without_inboxes_is_in_the_outbox_alone(fixture: impl StoreFixture) {
    let store = fixture.store();
    let appended = append(&store, group("alice", "bob", 1)).await;
    assert_eq!((appended.seq, appended.inbox_seqs), (1, vec![]));
    assert_eq!(store.inbox_tops(&[user("alice"), user("bob")]).await.unwrap(), [0, 0]);
    assert!(all_intents(&store).await[0].inboxes.is_empty());
}

pub(crate) async fn seqs_count_up_in_each_box_of_its_own(fixture: impl StoreFixture) {
    let store = fixture.store();
    let appends = vec![
        chat("alice", "bob", 1),
        chat("carol", "bob", 2),
        chat("alice", "bob", 3),
        chat("bob", "carol", 4),
    ];
    let answers = all_written(store.append(appends).await);
    let seqs: Vec<u64> = answers.iter().map(|answer| answer.seq).collect();
    assert_eq!(seqs, [1, 1, 2, 2]);
    let inbox_seqs: Vec<_> = answers.into_iter().map(|answer| answer.inbox_seqs).collect();
    assert_eq!(inbox_seqs, [[1, 1], [1, 2], [2, 3], [4, 2]]);
}

pub(crate) async fn what_was_handed_over_first_is_written_first(fixture: impl StoreFixture) {
    let store = fixture.store();
    let appends = (1..=500).map(|number| store.append(vec![chat("alice", "bob", number)]));
    let answers = join_all(appends).await;
    let seqs: Vec<u64> = answers.into_iter().flat_map(all_written).map(|answer| answer.seq).collect();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());
}

pub(crate) async fn sixty_four_writers_leave_no_hole_and_repeat_no_seq(fixture: impl StoreFixture) {
    let store = fixture.store();
    let writers: Vec<_> = (0..64_u64)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for turn in 0..20 {
                    let number = turn * 64 + writer + 1;
                    let appended = append(&store, chat(&format!("user-{}", writer % 8), "bob", number)).await;
                    seqs.push(appended.inbox_seqs[1]);
                }
                assert!(seqs.is_sorted(), "one who waits for each answer sees rising seqs");
                seqs
            })
        })
        .collect();
    let mut seqs = Vec::new();
    for writer in writers {
        seqs.extend(within(writer).await.unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=64 * 20).collect::<Vec<_>>());
    let inbox = whole_inbox(&store, &user("bob")).await;
    assert!(inbox.iter().map(|(seq, _)| *seq).eq(1..=64 * 20));
    for number in 0..8 {
        let rows = whole_outbox(&store, &conversation(&format!("user-{number}"), "bob")).await;
        assert!(rows.iter().map(|row| row.seq).eq(1..=8 * 20));
    }
    let messages: HashSet<u64> = inbox.iter().map(|(_, row)| row.message_id).collect();
    assert_eq!(messages.len(), 64 * 20);
}

fn assert_repeats(answer: &Appended, first: &Appended) {
    assert!(answer.duplicate);
    assert_eq!(Appended { duplicate: false, ..answer.clone() }, *first);
}

pub(crate) async fn the_same_message_again_gets_the_first_answer(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let first = append(&store, chat("alice", "bob", 1)).await;
    append(&store, chat("alice", "bob", 2)).await;
    let again = Append { message_id: 3, time_ms: time_of(3), ..chat("alice", "bob", 1) };
    assert_repeats(&append(&store, again.clone()).await, &first);
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_repeats(&append(&store, again).await, &first);
    assert_eq!(whole_inbox(&store, &user("bob")).await.len(), 2);
    assert_eq!(all_intents(&store).await.len(), 2);
}

pub(crate) async fn a_first_answer_names_where_the_first_message_went(fixture: impl StoreFixture) {
    let store = fixture.store();
    let first = append(&store, chat("alice", "bob", 1)).await;
    let elsewhere = Append { client_message_id: "c-1".to_owned(), ..chat("alice", "carol", 2) };
    assert_repeats(&append(&store, elsewhere).await, &first);
    assert!(whole_inbox(&store, &user("carol")).await.is_empty());
    let of_another = Append { client_message_id: "c-1".to_owned(), ..chat("bob", "alice", 3) };
    assert!(!append(&store, of_another).await.duplicate);
}

pub(crate) async fn the_same_message_twice_in_one_call_is_written_once(fixture: impl StoreFixture) {
    let store = fixture.store();
    let again = Append { message_id: 2, time_ms: time_of(2), ..chat("alice", "bob", 1) };
    let answers =
        all_written(store.append(vec![chat("alice", "bob", 1), again, chat("alice", "bob", 3)]).await);
    assert_repeats(&answers[1], &answers[0]);
    assert_eq!(answers[2].inbox_seqs, [2, 2]);
    assert_eq!(whole_inbox(&store, &user("bob")).await.len(), 2);
}

pub(crate) async fn the_same_message_from_many_at_once_is_written_once(fixture: impl StoreFixture) {
    let store = fixture.store();
    let senders: Vec<_> = (1..=32)
        .map(|number| {
            let store = Arc::clone(&store);
            let again = Append { message_id: number, time_ms: time_of(number), ..chat("alice", "bob", 1) };
            tokio::spawn(async move { append(&store, again).await })
        })
        .collect();
    let mut answers = Vec::new();
    for sender in senders {
        answers.push(within(sender).await.unwrap());
    }
    let (first, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| !answer.duplicate);
    assert_eq!(first.len(), 1);
    others.iter().for_each(|answer| assert_repeats(answer, &first[0]));
    assert_eq!(whole_inbox(&store, &user("bob")).await.len(), 1);
}

pub(crate) async fn ids_are_compared_bytewise(fixture: impl StoreFixture) {
    let store = fixture.store();
    let names = ["bob", "Bob", "b\u{f6}b", "bo\u{308}b", "bob ", " bob", "bob\u{a0}", "bo", "bobb", "b:ob"];
    for (name, number) in names.into_iter().zip(1..) {
        let appended = append(&store, chat("alice", name, number)).await;
        assert_eq!((appended.seq, appended.inbox_seqs), (1, vec![number, 1]), "{name:?}");
    }
    for (name, number) in names.into_iter().zip(1..) {
        let inbox = whole_inbox(&store, &user(name)).await;
        assert_eq!(inbox, [(1, row_of(&chat("alice", name, number), 1))], "{name:?}");
    }
    let ids = ["x", "X", "x ", "\u{e9}", "e\u{301}"];
    for (id, number) in ids.into_iter().zip(100..) {
        let message = Append { client_message_id: id.to_owned(), ..chat("alice", "carol", number) };
        assert!(!append(&store, message).await.duplicate, "{id:?}");
    }
}

pub(crate) async fn one_append_that_fails_does_not_fail_the_others(fixture: impl StoreFixture) {
    let store = fixture.store();
    let too_long = Append { client_message_id: "x".repeat(100_000), ..chat("alice", "bob", 2) };
    let answers = store.append(vec![chat("alice", "bob", 1), too_long, chat("alice", "bob", 3)]).await;
    let seqs: Vec<Option<u64>> =
        answers.into_iter().map(|answer| answer.is_ok().then(|| written(answer).seq)).collect();
    assert_eq!(seqs, [Some(1), None, Some(2)]);
    assert_eq!(whole_inbox(&store, &user("bob")).await.len(), 2);
}

pub(crate) async fn large_and_empty_contents_come_back_as_they_were(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let contents = [Bytes::new(), Bytes::from(vec![0; 1]), Bytes::from(vec![0xa5; 300_000])];
    for (content, number) in contents.iter().zip(1..) {
        append(&store, Append { content: content.clone(), ..chat("alice", "bob", number) }).await;
    }
    drop(store);
    fixture.reopen().await;
    let inbox = whole_inbox(&fixture.store(), &user("bob")).await;
    assert!(inbox.iter().map(|(_, row)| &row.content).eq(&contents));
}

pub(crate) async fn what_was_answered_is_there_when_it_is_opened_again(mut fixture: impl StoreFixture) {
    for round in 0..4_u64 {
        let store = fixture.store();
        for turn in 1..=25 {
            let number = round * 25 + turn;
            let appended = append(&store, chat("alice", "bob", number)).await;
            assert_eq!((appended.seq, appended.inbox_seqs), (number, vec![number, number]));
        }
        drop(store);
        fixture.reopen().await;
    }
    let store = fixture.store();
    let expected: Vec<_> =
        (1..=100).map(|number| (number, row_of(&chat("alice", "bob", number), number))).collect();
    assert_eq!(whole_inbox(&store, &user("bob")).await, expected);
    assert_eq!(all_intents(&store).await.len(), 100);
}
