//! Recall: who may, until when, and what is left of a message.

use protocol::client::{GroupLeave, GroupRole, Recall};

use super::*;

fn recall(conversation: &str, seq: u64) -> Recall {
    Recall { conversation: conversation.to_owned(), seq }
}

const CHAT: &str = "single:5:alice:bob";

#[tokio::test]
async fn a_recalled_message_is_gone_and_both_are_told() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.say("alice", "bob", "c-1").await.unwrap();
    let reply = ask!(running, "alice", Recall, recall(CHAT, 1)).unwrap();
    assert_eq!(reply.seq, 2);
    assert_eq!(ask!(running, "alice", Recall, recall(CHAT, 1)).unwrap(), reply, "it was recalled twice");

    for name in ["alice", "bob"] {
        let page = running.im().page(&user(name), 1, 0, 10).await.unwrap();
        let [message, told] = &page.messages[..] else { panic!("{name}: {page:?}") };
        assert_eq!((message.recalled, &message.content), (Some(true), &None));
        assert_eq!(
            (told.kind.as_deref(), told.target, told.by.as_deref()),
            (Some("recalled"), Some(1), Some("alice"))
        );
        assert_eq!(told.inbox_seq, Some(2));
    }
    push.until(|taken| taken.len() == 4).await;
    assert_eq!((push.seqs_of("alice"), push.seqs_of("bob")), (vec![1, 2], vec![1, 2]));
}

#[tokio::test]
async fn what_cannot_be_recalled_is_refused_with_its_reason() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("alice", "bob", "c-1").await.unwrap();
    running.say("bob", "alice", "c-1").await.unwrap();
    ask!(running, "alice", Recall, recall(CHAT, 1)).unwrap();
    let refused = [
        ("alice", recall(CHAT, 2), Code::NotAllowed),
        ("alice", recall(CHAT, 3), Code::InvalidArgument),
        ("alice", recall(CHAT, 4), Code::NotFound),
        ("alice", recall(CHAT, 0), Code::NotFound),
        ("mallory", recall(CHAT, 1), Code::NotFound),
        ("alice", recall("group:g", 1), Code::NotFound),
        ("alice", recall("what", 1), Code::NotFound),
    ];
    for (who, request, code) in refused {
        let shown = format!("{who} {request:?}");
        assert_eq!(code_of(ask!(running, who, Recall, request)), code, "{shown}");
    }
}

#[tokio::test]
async fn its_sender_recalls_a_message_while_the_time_lasts() {
    let backends = Backends::open().await;
    let config = Config { recall_time_limit: Duration::ZERO, ..Config::default() };
    let running = backends.start(config, &Arc::new(Remembering::new()));
    let sent = running.say("alice", "bob", "c-1").await.unwrap();
    while now_ms() <= sent.time_ms {
        tokio::task::yield_now().await;
    }
    assert_eq!(code_of(ask!(running, "alice", Recall, recall(CHAT, 1))), Code::TooLate);

    running.group("g", &["alice", "bob"], "").await;
    let sent = running.say_in("g", "bob", "c-2").await.unwrap();
    while now_ms() <= sent.time_ms {
        tokio::task::yield_now().await;
    }
    assert_eq!(code_of(ask!(running, "bob", Recall, recall("group:g", 2))), Code::TooLate);
    let reply = ask!(running, "alice", Recall, recall("group:g", 2)).unwrap();
    assert_eq!(reply.seq, 3, "the owner recalls at any time");
    // Whoever recalls it again is answered the row that told it.
    assert_eq!(ask!(running, "bob", Recall, recall("group:g", 2)).unwrap(), reply);
}

#[tokio::test]
async fn in_a_group_those_with_a_role_recall_what_others_said() {
    let backends = Backends::open().await;
    let running = backends.start(unswept(), &Arc::new(Remembering::new()));
    running.group("g", &["alice", "adam", "anna", "bob", "carol"], "").await;
    let role = GroupRole { group: "g".to_owned(), users: names(&["adam", "anna"]), role: "admin".to_owned() };
    ask!(running, "alice", GroupRole, role).unwrap();
    for (index, name) in ["alice", "adam", "anna", "bob", "carol"].into_iter().enumerate() {
        assert_eq!(running.say_in("g", name, "c-1").await.unwrap().seq, 3 + index as u64);
    }
    let (of_alice, of_adam, of_anna, of_bob, of_carol) = (3, 4, 5, 6, 7);
    for (who, seq) in [("adam", of_alice), ("adam", of_anna), ("bob", of_carol), ("bob", of_alice)] {
        assert_eq!(
            code_of(ask!(running, who, Recall, recall("group:g", seq))),
            Code::NotAllowed,
            "{who} {seq}"
        );
    }
    ask!(running, "carol", GroupLeave, GroupLeave { group: "g".to_owned() }).unwrap();
    assert_eq!(code_of(ask!(running, "carol", Recall, recall("group:g", of_carol))), Code::NotAllowed);
    for (who, seq) in
        [("adam", of_carol), ("adam", of_bob), ("adam", of_adam), ("alice", of_anna), ("alice", of_alice)]
    {
        ask!(running, who, Recall, recall("group:g", seq)).unwrap();
    }
    let left: Vec<Message> = backends.rows_of("g").await.into_iter().map(|(row, _)| row).collect();
    assert!(left.iter().all(|row| row.content.is_none()), "{left:?}");
    backends.fan_out("g").await;
    let page = running.im().page(&user("bob"), 1, 0, 100).await.unwrap();
    let targets: Vec<u64> = page.messages.iter().filter_map(|row| row.target).collect();
    assert_eq!(targets, [of_carol, of_bob, of_adam, of_anna, of_alice]);
}

#[tokio::test]
async fn a_recall_in_a_super_group_goes_to_its_room() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.group("g", &["alice", "bob"], "super").await;
    running.say_in("g", "bob", "c-1").await.unwrap();
    assert_eq!(ask!(running, "bob", Recall, recall("group:g", 2)).unwrap().seq, 3);
    let did = push.until_published(3).await;
    let told = did.into_iter().find_map(|did| match did {
        Did::Published(row) if row.seq == 3 => Some(row),
        _ => None,
    });
    let told = told.unwrap();
    assert_eq!(
        (told.kind.as_deref(), told.target, told.group.as_deref()),
        (Some("recalled"), Some(2), Some("g"))
    );
}
