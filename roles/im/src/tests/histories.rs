//! History: backwards and forwards, within what somebody may see.

use protocol::client::{GroupInvite, GroupUpdate, History, HistoryReply, Recall};

use super::conversations::remove;
use super::*;

fn of(conversation: &str) -> History {
    History { conversation: conversation.to_owned(), ..History::default() }
}

async fn history(running: &Running, name: &str, request: History) -> Result<HistoryReply> {
    ask!(running, name, History, request)
}

fn seqs(reply: &HistoryReply) -> Vec<u64> {
    assert!(reply.messages.iter().all(|message| message.inbox_seq.is_none()));
    reply.messages.iter().map(|message| message.seq).collect()
}

/// A group with the rows 1 created, 2 to 4 said, 5 bob invited, 6 to 8 said, 9 bob removed, 10 said.
async fn with_bob_from_5_to_9(running: &Running) {
    running.group("team", &["alice", "carol"], "").await;
    for id in ["one", "two", "three"] {
        running.say_in("team", "alice", id).await.unwrap();
    }
    let invite = GroupInvite { group: "team".to_owned(), users: names(&["bob"]) };
    ask!(running, "alice", GroupInvite, invite).unwrap();
    for id in ["four", "five", "six"] {
        running.say_in("team", "alice", id).await.unwrap();
    }
    remove(running, "team", "bob").await;
    running.say_in("team", "alice", "seven").await.unwrap();
}

#[tokio::test]
async fn history_goes_backwards_and_forwards_by_seq_and_time() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    for number in 1..=10 {
        running.say("alice", "bob", &number.to_string()).await.unwrap();
    }
    let chat = of("single:5:alice:bob");
    let range =
        OutboxRange { conversation: ConversationId::parse(&chat.conversation).unwrap(), begin: 1, end: 0 };
    let pages = backends.store.outbox_pages(&[range], 100).await.unwrap();
    let time_of = |seq: u64| pages[0].iter().find(|row| row.seq == seq).unwrap().time_ms;
    let first_at = |time_ms: u64| pages[0].iter().find(|row| row.time_ms >= time_ms).unwrap().seq;
    let rules = [
        (chat.clone(), (1..=10).collect::<Vec<u64>>(), false),
        (History { limit: 3, ..chat.clone() }, vec![8, 9, 10], true),
        (History { before: Some(8), limit: 3, ..chat.clone() }, vec![5, 6, 7], true),
        (History { before: Some(3), limit: 3, ..chat.clone() }, vec![1, 2], false),
        (History { before: Some(1), ..chat.clone() }, vec![], false),
        (History { before: Some(0), ..chat.clone() }, vec![], false),
        (History { after: Some(0), limit: 3, ..chat.clone() }, vec![1, 2, 3], true),
        (History { after: Some(8), limit: 3, ..chat.clone() }, vec![9, 10], false),
        (History { after: Some(u64::MAX), ..chat.clone() }, vec![], false),
        (History { after_ms: Some(0), limit: 2, ..chat.clone() }, vec![1, 2], true),
        (History { after_ms: Some(u64::MAX), ..chat.clone() }, vec![], false),
        (History { before_ms: Some(0), ..chat.clone() }, vec![], false),
        (History { before_ms: Some(u64::MAX), limit: 2, ..chat.clone() }, vec![9, 10], true),
    ];
    for (request, expected, more) in rules {
        let reply = history(&running, "bob", request.clone()).await.unwrap();
        assert_eq!((seqs(&reply), reply.more), (expected, more), "{request:?}");
    }
    let later = History { after_ms: Some(time_of(6)), ..chat.clone() };
    let reply = history(&running, "alice", later).await.unwrap();
    assert_eq!(seqs(&reply), (first_at(time_of(6))..=10).collect::<Vec<u64>>());
}

#[tokio::test]
async fn who_came_late_and_has_gone_sees_what_lies_between() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    with_bob_from_5_to_9(&running).await;
    let team = of("group:team");
    let rules = [
        (team.clone(), vec![6, 7, 8], false),
        (History { limit: 2, ..team.clone() }, vec![7, 8], true),
        (History { before: Some(7), ..team.clone() }, vec![6], false),
        (History { before: Some(3), ..team.clone() }, vec![], false),
        (History { after: Some(1), limit: 2, ..team.clone() }, vec![6, 7], true),
        (History { after: Some(7), ..team.clone() }, vec![8], false),
        (History { after_ms: Some(0), ..team.clone() }, vec![6, 7, 8], false),
        (History { before_ms: Some(u64::MAX), ..team.clone() }, vec![6, 7, 8], false),
    ];
    for (request, expected, more) in rules {
        let reply = history(&running, "bob", request.clone()).await.unwrap();
        assert_eq!((seqs(&reply), reply.more), (expected, more), "{request:?}");
    }
    let of_alice = history(&running, "alice", team.clone()).await.unwrap();
    assert_eq!(seqs(&of_alice), (2..=10).collect::<Vec<u64>>(), "the row of one's own join is not one's own");
    assert_eq!(of_alice.messages[3].kind.as_deref(), Some("invited"));

    // Where the group shows all, who came late sees what was said before.
    let update =
        GroupUpdate { group: "team".to_owned(), history: Some("all".to_owned()), ..GroupUpdate::default() };
    ask!(running, "alice", GroupUpdate, update).unwrap();
    let reply = history(&running, "bob", team).await.unwrap();
    assert_eq!(seqs(&reply), (1..=8).collect::<Vec<u64>>(), "but nothing after having gone");
}

#[tokio::test]
async fn a_recalled_message_is_empty_in_the_history() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("alice", "bob", "c-1").await.unwrap();
    let recall = Recall { conversation: "single:5:alice:bob".to_owned(), seq: 1 };
    ask!(running, "alice", Recall, recall).unwrap();
    let reply = history(&running, "bob", of("single:5:alice:bob")).await.unwrap();
    let [message, row] = &reply.messages[..] else { panic!("{:?}", reply.messages) };
    assert_eq!((message.recalled, &message.content), (Some(true), &None));
    assert_eq!(
        (row.kind.as_deref(), row.target, row.by.as_deref()),
        (Some("recalled"), Some(1), Some("alice"))
    );
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("alice", "bob", "c-1").await.unwrap();
    running.group("team", &["alice", "bob"], "").await;
    let refused = [
        ("mallory", of("single:5:alice:bob"), Code::NotFound),
        ("mallory", of("group:team"), Code::NotFound),
        ("mallory", of("group:nowhere"), Code::NotFound),
        ("alice", of(""), Code::NotFound),
        ("alice", of(&"x".repeat(10_000)), Code::NotFound),
        (
            "bob",
            History { before: Some(1), after: Some(1), ..of("single:5:alice:bob") },
            Code::InvalidArgument,
        ),
        (
            "bob",
            History { before_ms: Some(1), after: Some(1), ..of("single:5:alice:bob") },
            Code::InvalidArgument,
        ),
    ];
    for (name, request, code) in refused {
        let error = history(&running, name, request).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused(code), "{error}");
        assert!(error.to_string().len() < 400, "an error repeats all that was sent");
    }
    let silent = history(&running, "alice", of("single:5:alice:carol")).await.unwrap();
    assert_eq!((silent.messages.len(), silent.more), (0, false), "a chat that was not begun has nothing");
}
