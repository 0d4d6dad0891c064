//! Offline messages: what was said while nobody was there is there when somebody comes.

use protocol::client;

use crate::support::chat::{
    CARRIERS, Carrier, ask, device, hello, inbox, live, message, replay, say, sync, text_of,
};
use crate::support::server::{Setup, Shared};
use crate::support::unique;

static SERVER: Shared = Shared::new();

#[tokio::test]
async fn what_was_sent_to_somebody_who_was_never_here_is_there_when_he_comes() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let (alice, bob) = (unique("alice"), unique("bob"));
        let mut sender = live(&server, carrier, &alice, "d").await;
        for count in 1..=5 {
            let sent = say(&mut sender, &bob, &count.to_string()).await;
            assert_eq!((sent.seq, sent.inbox_seq), (count, Some(count)));
        }
        drop(sender);
        let (mut connection, reply) = device(&server, carrier, hello(&bob, "first phone", None)).await;
        assert_eq!((reply.inbox_top, reply.acked_up_to), (5, 0));
        let (messages, _) = replay(&mut connection).await;
        assert_eq!(messages.iter().map(text_of).collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
        assert!(messages.iter().all(|message| message.sender == alice));
    }
}

#[tokio::test]
async fn every_device_catches_up_by_itself() {
    let server = SERVER.get();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut sender = live(&server, Carrier::Json, &alice, "d").await;
    let mut online = live(&server, Carrier::Tcp, &bob, "online").await;
    for count in 1..=3 {
        say(&mut sender, &bob, &count.to_string()).await;
        assert_eq!(text_of(&message(&mut online).await), count.to_string());
    }
    for carrier in CARRIERS {
        let (mut late, _) = device(&server, carrier, hello(&bob, &format!("{carrier:?}"), Some(0))).await;
        let (messages, _) = replay(&mut late).await;
        assert_eq!(messages.iter().map(text_of).collect::<Vec<_>>(), ["1", "2", "3"]);
    }
    // The sender's own other devices are behind in the same way.
    let (mut own, _) = device(&server, Carrier::Protobuf, hello(&alice, "other", Some(1))).await;
    let (messages, _) = replay(&mut own).await;
    assert_eq!(messages.iter().map(text_of).collect::<Vec<_>>(), ["2", "3"]);
}

#[tokio::test]
async fn messages_of_several_senders_stand_in_one_inbox_and_each_conversation_in_its_order() {
    let server = SERVER.get();
    let bob = unique("bob");
    let mut senders = Vec::new();
    for carrier in CARRIERS {
        senders.push(live(&server, carrier, &unique("sender"), "d").await);
    }
    for round in 1..=4 {
        for sender in &mut senders {
            assert_eq!(say(sender, &bob, &round.to_string()).await.seq, round);
        }
    }
    let mut connection = live(&server, Carrier::Json, &bob, "d").await;
    let messages = inbox(&mut connection).await;
    assert!(messages.iter().map(|message| message.inbox_seq).eq((1..=12).map(Some)));
    for sender in messages.iter().take(3).map(|message| &message.sender) {
        let of_sender: Vec<_> = messages.iter().filter(|message| &message.sender == sender).collect();
        assert!(of_sender.iter().map(|message| message.seq).eq(1..=4));
        assert!(of_sender.iter().all(|message| message.conversation == of_sender[0].conversation));
    }
}

#[tokio::test]
async fn both_sides_write_to_the_same_conversation() {
    let server = SERVER.get();
    // The ids are chosen so that neither order of the two names nor their lengths decide by chance.
    for (one, other) in [("a", "b"), ("b", "a"), ("long-name", "x"), ("x", "long-name"), ("1", "10")] {
        let (one, other) = (unique(one), unique(other));
        let mut first = live(&server, Carrier::Json, &one, "d").await;
        let mut second = live(&server, Carrier::Tcp, &other, "d").await;
        let sent = say(&mut first, &other, "ping").await;
        let answered = say(&mut second, &one, "pong").await;
        assert_eq!(sent.conversation, answered.conversation);
        assert_eq!((sent.seq, answered.seq), (1, 2));
    }
}

#[tokio::test]
async fn offline_messages_survive_a_restart_and_a_crash() {
    let mut server = Setup::dev().same_ports().start();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut expected = Vec::new();
    for (round, crash) in [false, true, true, false].into_iter().enumerate() {
        let mut sender = live(&server, Carrier::Tcp, &alice, "d").await;
        for count in 0..10 {
            let text = format!("{round}-{count}");
            say(&mut sender, &bob, &text).await;
            expected.push(text);
        }
        if crash {
            server.kill();
        } else {
            server.signal("TERM");
            assert!(server.wait().success());
        }
        server.start_again();
    }
    let (mut connection, reply) = device(&server, Carrier::Json, hello(&bob, "d", Some(0))).await;
    assert_eq!(reply.inbox_top, 40);
    let (messages, _) = replay(&mut connection).await;
    assert_eq!(messages.iter().map(text_of).collect::<Vec<_>>(), expected);
    assert!(messages.iter().map(|message| message.seq).eq(1..=40), "seqs go on where they were");
}

#[tokio::test]
async fn a_message_that_was_answered_before_a_crash_is_answered_the_same_after_it() {
    let mut server = Setup::dev().same_ports().start();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let request = || crate::support::chat::words(crate::support::chat::to_user(&bob), "c-1", "once");
    let mut sender = live(&server, Carrier::Json, &alice, "d").await;
    let first: client::SendReply = ask(&mut sender, request()).await;
    server.kill();
    server.start_again();
    let mut sender = live(&server, Carrier::Json, &alice, "d").await;
    let again: client::SendReply = ask(&mut sender, request()).await;
    assert_eq!((again.message_id, again.seq, again.time_ms), (first.message_id, first.seq, first.time_ms));
    let page: client::SyncReply = ask(&mut sender, sync(1, 0, 10)).await;
    assert_eq!(page.messages.len(), 1);
}
