//! Where a device stands: resuming, replay, paging, acks.

use anser_client::{Connection, Push, RequestKind};
use protocol::client;
use serde_json::json;

use crate::support::chat::{
    CARRIERS, Carrier, JsonChat, ask, device, hello, live, message, refused, replay, say, sync, text_of,
    to_user, words,
};
use crate::support::server::{Server, Setup, Shared};
use crate::support::{eventually, unique, within};

static SERVER: Shared = Shared::new();

/// Fills a fresh user's inbox with so many messages and gives the user.
async fn filled(server: &Server, count: u64) -> String {
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut sender = live(server, Carrier::Tcp, &alice, "d").await;
    let mut seqs = Vec::new();
    for number in 1..=count {
        let request = words(to_user(&bob), &format!("c-{number}"), &number.to_string());
        seqs.push(within("sending", sender.send(request)).await.unwrap());
    }
    for seq in seqs {
        let reply = within("an answer", sender.reply(seq)).await.unwrap();
        assert!(matches!(reply, anser_client::ReplyKind::Send(_)), "{reply:?}");
    }
    bob
}

/// Connects a device and takes its replay: the inbox seqs, and what ended it.
async fn replayed(
    server: &Server,
    carrier: Carrier,
    auth: client::Auth,
) -> (Connection, client::AuthReply, Vec<u64>, Push) {
    let (mut connection, reply) = device(server, carrier, auth).await;
    let (messages, end) = replay(&mut connection).await;
    let seqs = messages.iter().map(|message| message.inbox_seq.unwrap()).collect();
    (connection, reply, seqs, end)
}

fn done(inbox_seq: u64) -> Push {
    Push::SyncDone(client::SyncDone { inbox_seq })
}

fn seqs(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

async fn ack(connection: &mut Connection, inbox_seq: u64) -> u64 {
    ask::<client::AckReply>(connection, RequestKind::Ack(client::Ack { inbox_seq })).await.acked_up_to
}

#[tokio::test]
async fn a_replay_begins_after_the_position_that_the_device_states() {
    let server = SERVER.get();
    let bob = filled(&server, 20).await;
    for carrier in CARRIERS {
        for (held, expected) in [(0, seqs(1..=20)), (5, seqs(6..=20)), (19, vec![20]), (20, vec![])] {
            let auth = hello(&bob, &unique("device"), Some(held));
            let (_connection, reply, replayed, end) = replayed(&server, carrier, auth).await;
            assert_eq!((reply.inbox_top, replayed, end), (20, expected, done(20)), "held {held}");
        }
    }
}

#[tokio::test]
async fn a_position_past_the_top_is_the_top_and_no_ack() {
    let server = SERVER.get();
    let bob = filled(&server, 4).await;
    for carrier in CARRIERS {
        let name = unique("device");
        let (mut connection, reply, none, end) =
            replayed(&server, carrier, hello(&bob, &name, Some(1_000_000))).await;
        assert_eq!((reply.inbox_top, reply.acked_up_to, none, end), (4, 0, vec![], done(4)));
        let top: client::HeartbeatReply =
            ask(&mut connection, RequestKind::Heartbeat(client::Heartbeat {})).await;
        assert_eq!(top.inbox_top, 4);
        drop(connection);
        // The server has recorded nothing of it.
        let (_again, reply, all, _) = replayed(&server, carrier, hello(&bob, &name, None)).await;
        assert_eq!((reply.acked_up_to, all), (0, seqs(1..=4)));
    }
}

#[tokio::test]
async fn a_message_after_a_position_past_the_top_is_pushed() {
    let server = SERVER.get();
    let bob = unique("bob");
    let (mut receiver, ..) = replayed(&server, Carrier::Json, hello(&bob, "d", Some(u64::MAX / 2))).await;
    let mut sender = live(&server, Carrier::Json, &unique("alice"), "d").await;
    say(&mut sender, &bob, "first").await;
    assert_eq!(message(&mut receiver).await.inbox_seq, Some(1));
}

#[tokio::test]
async fn a_position_that_is_stated_is_recorded_as_received() {
    let server = SERVER.get();
    let bob = filled(&server, 9).await;
    for carrier in CARRIERS {
        let name = unique("device");
        for (stated, recorded) in [(6, 6), (2, 6), (9, 9), (0, 9)] {
            let (_connection, reply, ..) = replayed(&server, carrier, hello(&bob, &name, Some(stated))).await;
            assert_eq!(reply.acked_up_to, recorded, "a record is only ever raised: {stated} was stated");
        }
    }
}

#[tokio::test]
async fn without_a_position_the_servers_record_counts() {
    let server = SERVER.get();
    let bob = filled(&server, 20).await;
    for carrier in CARRIERS {
        let name = unique("device");
        let (mut connection, _, all, _) = replayed(&server, carrier, hello(&bob, &name, None)).await;
        assert_eq!(all, seqs(1..=20), "a device without a record begins 300 below the top");
        assert_eq!(ack(&mut connection, 13).await, 13);
        drop(connection);
        let (_connection, reply, rest, end) = replayed(&server, carrier, hello(&bob, &name, None)).await;
        assert_eq!((reply.acked_up_to, rest, end), (13, seqs(14..=20), done(20)));
    }
}

#[tokio::test]
async fn a_replay_is_the_oldest_300_and_names_the_gap() {
    let server = SERVER.get();
    let bob = filled(&server, 320).await;
    for carrier in CARRIERS {
        let (mut connection, _, replayed_seqs, end) =
            replayed(&server, carrier, hello(&bob, &unique("device"), Some(0))).await;
        assert_eq!(replayed_seqs, seqs(1..=300));
        assert_eq!(end, Push::Gap(client::Gap { begin: 301, end: 320 }));
        let page: client::SyncReply = ask(&mut connection, sync(301, 320, 500)).await;
        assert_eq!((page.messages.len(), page.next), (20, 0));
        // Exactly 300 fit.
        let (_, _, replayed_seqs, end) =
            replayed(&server, carrier, hello(&bob, &unique("device"), Some(20))).await;
        assert_eq!((replayed_seqs, end), (seqs(21..=320), done(320)));
        // A device without a record takes the last 300 and leaves what is older to its history.
        let (_, _, replayed_seqs, end) =
            replayed(&server, carrier, hello(&bob, &unique("device"), None)).await;
        assert_eq!((replayed_seqs, end), (seqs(21..=320), done(320)));
    }
}

#[tokio::test]
async fn messages_go_on_after_a_gap() {
    let server = SERVER.get();
    let bob = filled(&server, 310).await;
    let (mut connection, _, _, end) = replayed(&server, Carrier::Json, hello(&bob, "d", Some(0))).await;
    assert_eq!(end, Push::Gap(client::Gap { begin: 301, end: 310 }));
    let mut sender = live(&server, Carrier::Json, &unique("carol"), "d").await;
    say(&mut sender, &bob, "after the gap").await;
    let message = message(&mut connection).await;
    assert_eq!((message.inbox_seq, text_of(&message)), (Some(311), "after the gap"));
}

#[tokio::test]
async fn a_page_covers_what_it_says_and_names_the_next() {
    let server = SERVER.get();
    let bob = filled(&server, 25).await;
    for carrier in CARRIERS {
        let mut connection = live(&server, carrier, &bob, "d").await;
        let cases = [
            ((1, 0, 10), seqs(1..=10), 11),
            ((11, 0, 10), seqs(11..=20), 21),
            ((21, 0, 10), seqs(21..=25), 0),
            ((1, 0, 25), seqs(1..=25), 0),
            ((1, 0, 500), seqs(1..=25), 0),
            ((1, 0, 0), seqs(1..=25), 0),
            ((3, 7, 100), seqs(3..=7), 0),
            ((3, 7, 2), seqs(3..=4), 5),
            ((5, 5, 1), vec![5], 0),
            ((20, 90, 100), seqs(20..=25), 0),
            ((26, 0, 10), vec![], 0),
            ((9_000, 9_001, 10), vec![], 0),
        ];
        for ((begin, end, limit), expected, next) in cases {
            let page: client::SyncReply = ask(&mut connection, sync(begin, end, limit)).await;
            let found: Vec<u64> = page.messages.iter().map(|message| message.inbox_seq.unwrap()).collect();
            assert_eq!(found, expected, "begin {begin} end {end} limit {limit}");
            assert_eq!(page.top, 25, "begin {begin} end {end} limit {limit}");
            // A page that ends where it was asked to may say so in either way: no more, or what is behind it.
            let ends_where_asked = end != 0 && page.next == end + 1 && next == 0;
            assert!(
                page.next == next || ends_where_asked,
                "begin {begin} end {end} limit {limit}: {}",
                page.next
            );
        }
    }
}

#[tokio::test]
async fn a_page_has_at_most_500_messages() {
    let server = SERVER.get();
    let bob = filled(&server, 520).await;
    for carrier in CARRIERS {
        let mut connection = live_without_replay(&server, carrier, &bob, 520).await;
        for limit in [500, 501, u32::MAX] {
            let page: client::SyncReply = ask(&mut connection, sync(1, 0, limit)).await;
            assert_eq!((page.messages.len(), page.next, page.top), (500, 501, 520), "limit {limit}");
        }
        let page: client::SyncReply = ask(&mut connection, sync(1, 0, 0)).await;
        assert_eq!((page.messages.len(), page.next), (100, 101), "without a limit");
    }
}

async fn live_without_replay(server: &Server, carrier: Carrier, user: &str, top: u64) -> Connection {
    let (connection, _, replayed_seqs, _) =
        replayed(server, carrier, hello(user, &unique("device"), Some(top))).await;
    assert_eq!(replayed_seqs, Vec::<u64>::new());
    connection
}

#[tokio::test]
async fn a_page_from_0_begins_after_the_devices_own_ack() {
    let server = SERVER.get();
    let bob = filled(&server, 12).await;
    for carrier in CARRIERS {
        let mut connection = live(&server, carrier, &bob, &unique("device")).await;
        let page: client::SyncReply = ask(&mut connection, sync(0, 0, 100)).await;
        assert_eq!(page.messages[0].inbox_seq, Some(1));
        assert_eq!(ack(&mut connection, 8).await, 8);
        let page: client::SyncReply = ask(&mut connection, sync(0, 0, 100)).await;
        assert_eq!((page.messages[0].inbox_seq, page.messages.len()), (Some(9), 4));
    }
}

#[tokio::test]
async fn an_ack_is_clamped_to_what_was_sent_and_never_goes_back() {
    let server = SERVER.get();
    let bob = filled(&server, 6).await;
    for carrier in CARRIERS {
        let mut connection = live(&server, carrier, &bob, &unique("device")).await;
        assert_eq!(ack(&mut connection, 4).await, 4);
        assert_eq!(ack(&mut connection, 2).await, 4);
        assert_eq!(ack(&mut connection, 0).await, 4);
        assert_eq!(ack(&mut connection, u64::MAX).await, 6);
    }
}

#[tokio::test]
async fn every_device_has_its_own_ack() {
    let server = SERVER.get();
    let bob = filled(&server, 10).await;
    let (phone, tablet) = (unique("phone"), unique("tablet"));
    let mut first = live(&server, Carrier::Json, &bob, &phone).await;
    let mut second = live(&server, Carrier::Tcp, &bob, &tablet).await;
    assert_eq!(ack(&mut first, 10).await, 10);
    assert_eq!(ack(&mut second, 3).await, 3);
    drop((first, second));
    let (_, reply, rest, _) = replayed(&server, Carrier::Protobuf, hello(&bob, &phone, None)).await;
    assert_eq!((reply.acked_up_to, rest), (10, vec![]));
    let (_, reply, rest, _) = replayed(&server, Carrier::Protobuf, hello(&bob, &tablet, None)).await;
    assert_eq!((reply.acked_up_to, rest), (3, seqs(4..=10)));
}

#[tokio::test]
async fn an_ack_survives_a_crash() {
    let mut server = Setup::dev().same_ports().start();
    let bob = filled(&server, 10).await;
    for carrier in CARRIERS {
        let name = format!("{carrier:?}");
        let mut connection = live(&server, carrier, &bob, &name).await;
        assert_eq!(ack(&mut connection, 7).await, 7);
    }
    server.kill();
    server.start_again();
    for carrier in CARRIERS {
        let name = format!("{carrier:?}");
        let (_, reply, rest, end) = replayed(&server, carrier, hello(&bob, &name, None)).await;
        assert_eq!((reply.acked_up_to, rest, end), (7, seqs(8..=10), done(10)));
    }
}

#[tokio::test]
async fn a_device_without_a_name_is_one_device() {
    let server = SERVER.get();
    let bob = filled(&server, 3).await;
    let mut connection = live(&server, Carrier::Json, &bob, "").await;
    assert_eq!(ack(&mut connection, 2).await, 2);
    drop(connection);
    let (_, reply, ..) = replayed(&server, Carrier::Json, hello(&bob, "default", None)).await;
    assert_eq!(reply.acked_up_to, 2);
}

#[tokio::test]
async fn names_that_are_no_ids_are_refused_in_auth() {
    let server = SERVER.get();
    let long = "x".repeat(65);
    for auth in [
        json!({"user": ""}),
        json!({"user": "0"}),
        json!({"user": long}),
        json!({"user": "line\nbreak"}),
        json!({"user": "alice", "device": long}),
        json!({"user": "alice", "rooms": [""]}),
        json!({"user": "alice", "rooms": [long]}),
    ] {
        let mut chat = JsonChat::open(&server).await;
        let reply = chat.request("auth", auth.clone()).await;
        let number = reply["error"]["number"].as_u64().unwrap_or_default();
        assert!(matches!(number / 100, 400 | 401), "{auth}: {reply}");
    }
    let mut longest = JsonChat::open(&server).await;
    let reply = longest.ask("auth", json!({"user": "u".repeat(64), "device": "d".repeat(64)})).await;
    assert_eq!(reply["user"], "u".repeat(64));
}

#[tokio::test]
async fn users_are_told_apart_byte_by_byte() {
    let server = SERVER.get();
    let name = unique("Name");
    let names =
        [name.clone(), name.to_lowercase(), format!("{name} "), format!(" {name}"), format!("{name}é")];
    let mut sender = live(&server, Carrier::Tcp, &unique("alice"), "d").await;
    for name in &names {
        say(&mut sender, name, &format!("for {name:?}")).await;
    }
    for name in &names {
        let mut connection = live(&server, Carrier::Json, name, &unique("device")).await;
        let page: client::SyncReply = ask(&mut connection, sync(1, 0, 10)).await;
        assert_eq!(page.messages.iter().map(text_of).collect::<Vec<_>>(), [format!("for {name:?}")]);
    }
}

#[tokio::test]
async fn nobody_sees_what_is_not_his() {
    let server = SERVER.get();
    let bob = filled(&server, 3).await;
    let mut eve = live(&server, Carrier::Json, &unique("eve"), "d").await;
    let page: client::SyncReply = ask(&mut eve, sync(1, 0, 100)).await;
    assert_eq!((page.messages.len(), page.top, page.next), (0, 0, 0));
    let mut own = live(&server, Carrier::Json, &bob, "d2").await;
    assert_eq!(refused(&mut own, RequestKind::Auth(hello("eve", "d", None))).await, 40003);
    let server = &server;
    eventually("the server is as before", async || {
        let mut chat = JsonChat::live(server, &unique("user"), "d").await;
        (chat.ask("heartbeat", json!({})).await["inboxTop"] == 0).then_some(())
    })
    .await;
}
