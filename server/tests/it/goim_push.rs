//! goim's pushes: to keys, mids, a room and all, as its clients receive them.

use serde_json::json;

use crate::support::chat::JsonChat;
use crate::support::goim_wire::{Frame, Goim, WIRES, Wire};
use crate::support::http::post;
use crate::support::server::{Server, Setup, Shared};
use crate::support::{number, unique};

static SERVER: Shared = Shared::new();

async fn push(server: &Server, target: &str, body: &[u8]) {
    let response = post(server.api, &format!("/goim/push/{target}"), body).await;
    assert_eq!((response.status, response.text().as_str()), (200, r#"{"code":0,"message":""}"#));
}

#[tokio::test]
async fn a_push_to_keys_reaches_those_connections_alone() {
    let server = SERVER.get();
    for wire in WIRES {
        let (one, two, other) = (unique("key"), unique("key"), unique("key"));
        let mut first = Goim::user(&server, wire, 0, &one, &[1000]).await;
        let mut second = Goim::user(&server, wire, 0, &two, &[1000]).await;
        let mut third = Goim::user(&server, wire, 0, &other, &[1000]).await;
        push(&server, &format!("keys?operation=1000&keys={one}&keys=nobody&keys={two}"), b"both").await;
        push(&server, &format!("keys?operation=1000&keys={other}"), b"third").await;
        first.assert_push(1000, b"both").await;
        second.assert_push(1000, b"both").await;
        third.assert_push(1000, b"third").await;
    }
}

#[tokio::test]
async fn a_push_to_mids_reaches_every_connection_of_each() {
    let server = SERVER.get();
    for wire in WIRES {
        let (one, two, offline) = (number(), number(), number());
        let mut phone = Goim::user(&server, wire, one, &unique("phone"), &[1000]).await;
        let mut tablet = Goim::user(&server, Wire::Tcp, one, &unique("tablet"), &[1000]).await;
        let mut other = Goim::user(&server, Wire::WebSocket, two, "", &[1000]).await;
        push(&server, &format!("mids?operation=1000&mids={one}&mids={offline}&mids={two}"), b"\x00\xff raw")
            .await;
        for client in [&mut phone, &mut tablet, &mut other] {
            client.assert_push(1000, b"\x00\xff raw").await;
        }
    }
}

#[tokio::test]
async fn a_push_to_a_room_reaches_its_members_whatever_they_accept() {
    let server = SERVER.get();
    let room = unique("room");
    let key = format!("live://{room}");
    let mut members = Vec::new();
    for wire in [Wire::Tcp, Wire::WebSocket, Wire::Tcp, Wire::WebSocket] {
        members.push(Goim::in_room(&server, wire, &key).await);
    }
    let mut elsewhere = Goim::in_room(&server, Wire::Tcp, &format!("chat://{room}")).await;
    push(&server, &format!("room?operation=5001&type=live&room={room}"), b"here").await;
    for member in &mut members {
        member.assert_push(5001, b"here").await;
    }
    push(&server, &format!("room?operation=5001&type=chat&room={room}"), b"there").await;
    elsewhere.assert_push(5001, b"there").await;
}

#[tokio::test]
async fn a_push_follows_the_answer_that_let_the_client_in() {
    let server = SERVER.get();
    for wire in WIRES {
        for _ in 0..20 {
            let (room, next) = (unique("room"), unique("room"));
            let mut client = Goim::in_room(&server, wire, &format!("live://{room}")).await;
            push(&server, &format!("room?operation=5001&type=live&room={room}"), b"after 8").await;
            client.assert_push(5001, b"after 8").await;
            client.ask(12, 2, format!("live://{next}").as_bytes()).await;
            push(&server, &format!("room?operation=5001&type=live&room={next}"), b"after 13").await;
            client.assert_push(5001, b"after 13").await;
        }
    }
}

#[tokio::test]
async fn pushes_to_a_room_keep_their_order() {
    let server = SERVER.get();
    let room = unique("room");
    let mut clients = Vec::new();
    for wire in WIRES {
        clients.push(Goim::in_room(&server, wire, &format!("live://{room}")).await);
    }
    for count in 0..200_u32 {
        let target = format!("room?operation=5001&type=live&room={room}");
        push(&server, &target, &count.to_be_bytes()).await;
    }
    for client in &mut clients {
        for count in 0..200_u32 {
            client.assert_push(5001, &count.to_be_bytes()).await;
        }
    }
    assert!(clients[1].wrapped_count <= 200);
}

#[tokio::test]
async fn several_pushes_may_share_one_websocket_message() {
    let server = SERVER.get();
    let room = unique("room");
    let mut client = Goim::in_room(&server, Wire::WebSocket, &format!("live://{room}")).await;
    let target = format!("/goim/push/room?operation=5001&type=live&room={room}");
    let mut wrapped_before = 0;
    // Pushes made at the same time are joined sooner or later; that they are is no promise, how is one.
    for _ in 0..50 {
        let pushes: Vec<_> = (0..20)
            .map(|_| {
                let (api, target) = (server.api, target.clone());
                tokio::spawn(async move { post(api, &target, b"together").await })
            })
            .collect();
        for push in pushes {
            push.await.unwrap();
        }
        for _ in 0..20 {
            client.assert_push(5001, b"together").await;
        }
        if client.wrapped_count - wrapped_before < 20 {
            return;
        }
        wrapped_before = client.wrapped_count;
    }
    println!("no two pushes were joined");
}

#[tokio::test]
async fn a_push_to_all_reaches_who_accepts_it() {
    // Alone, since everybody gets it.
    let server = Setup::dev().start();
    let mut accepting = Vec::new();
    for wire in WIRES {
        accepting.push(Goim::user(&server, wire, 0, "", &[1000, 2000]).await);
        accepting.push(Goim::user(&server, wire, number(), &unique("key"), &[2000]).await);
    }
    let mut nothing = Goim::user(&server, Wire::Tcp, 0, "nothing", &[]).await;
    let mut anser = JsonChat::live(&server, "listener", "d").await;
    push(&server, "all?operation=3000", b"nobody of goim's").await;
    push(&server, "all?operation=2000", b"everybody").await;
    for client in &mut accepting {
        client.assert_push(2000, b"everybody").await;
    }
    // A client of Anser's that named nothing receives every operation.
    assert_eq!(anser.push().await, json!({"push": {"op": 3000, "body": "bm9ib2R5IG9mIGdvaW0ncw=="}}));
    assert_eq!(anser.push().await, json!({"push": {"op": 2000, "body": "ZXZlcnlib2R5"}}));
    assert_eq!(nothing.ask(14, 2, b"2000").await, Frame::new(15, 2, b"2000"));
    push(&server, "all?operation=2000&speed=100000", b"again").await;
    nothing.assert_push(2000, b"again").await;
    for client in &mut accepting {
        client.assert_push(2000, b"again").await;
    }
}

#[tokio::test]
async fn a_push_to_all_goes_out_at_the_speed_asked() {
    let server = Setup::dev().start();
    let mut clients = Vec::new();
    for count in 0..30 {
        clients.push(Goim::user(&server, WIRES[count % 2], 0, "", &[2000]).await);
    }
    let started = std::time::Instant::now();
    push(&server, "all?operation=2000&speed=20", b"slowly").await;
    for client in &mut clients {
        client.assert_push(2000, b"slowly").await;
    }
    let took = started.elapsed().as_millis();
    assert!((500..8000).contains(&took), "30 connections at 20 a second took {took} ms");
}

#[tokio::test]
async fn who_accepts_nothing_receives_nothing_that_is_filtered() {
    let server = SERVER.get();
    for wire in WIRES {
        let (mid, key, room) = (number(), unique("key"), unique("room"));
        let auth = json!({"mid": mid, "key": key, "room_id": format!("live://{room}"), "accepts": []});
        let mut client = Goim::connect(&server, wire, &auth).await;
        push(&server, &format!("keys?operation=1000&keys={key}"), b"by key").await;
        push(&server, &format!("mids?operation=1000&mids={mid}"), b"by mid").await;
        push(&server, &format!("room?operation=1000&type=live&room={room}"), b"to the room").await;
        client.assert_push(1000, b"to the room").await;
    }
}

#[tokio::test]
async fn a_chat_message_reaches_a_goim_client_as_operation_1000_whatever_it_accepts() {
    let server = SERVER.get();
    let mut alice = JsonChat::live(&server, &unique("alice"), "d").await;
    for wire in WIRES {
        let mid = number();
        let mut client = Goim::user(&server, wire, mid, &unique("device"), &[]).await;
        let sent = alice.say(&mid.to_string(), "hello goim").await;
        let frame = client.next().await;
        assert_eq!((frame.version, frame.operation, frame.sequence), (1, 1000, 0));
        let message = frame.json();
        assert_eq!(message["text"], "hello goim");
        assert_eq!(message["inboxSeq"], 1);
        assert_eq!(message["seq"], 1);
        assert_eq!(message["messageId"], sent["messageId"]);
        assert_eq!(message["conversation"], sent["conversation"]);
        assert_eq!(message["timeMs"], sent["timeMs"]);
    }
}

#[tokio::test]
async fn a_goim_clients_position_moves_with_what_was_written() {
    let server = SERVER.get();
    let mut alice = JsonChat::live(&server, &unique("alice"), "d").await;
    for wire in WIRES {
        // A key names one connection of the whole server, whoever holds it.
        let (mid, key) = (number(), unique("device"));
        alice.say(&mid.to_string(), "while away").await;
        let mut client = Goim::user(&server, wire, mid, &key, &[]).await;
        assert_eq!(client.next().await.json()["text"], "while away");
        alice.say(&mid.to_string(), "while here").await;
        assert_eq!(client.next().await.json()["text"], "while here");
        // The reply is behind the message: what was written before it counts as received.
        client.ask(2, 3, b"").await;
        drop(client);
        alice.say(&mid.to_string(), "away again").await;
        let mut client = Goim::user(&server, wire, mid, &key, &[]).await;
        assert_eq!(client.next().await.json()["text"], "away again");
        // Another key is another device: it has received nothing yet.
        let mut other = Goim::user(&server, wire, mid, &unique("other"), &[]).await;
        assert_eq!(other.next().await.json()["text"], "while away");
    }
}

#[tokio::test]
async fn a_goim_client_is_replayed_300_messages_a_connect() {
    let server = SERVER.get();
    let mut alice = JsonChat::live(&server, &unique("alice"), "d").await;
    let (mid, key) = (number(), unique("device"));
    alice.say(&mid.to_string(), "1").await;
    let mut client = Goim::user(&server, Wire::Tcp, mid, &key, &[]).await;
    assert_eq!(client.next().await.json()["inboxSeq"], 1);
    client.ask(2, 3, b"").await;
    drop(client);
    for count in 2..=311 {
        alice.say(&mid.to_string(), &count.to_string()).await;
    }
    let mut client = Goim::user(&server, Wire::WebSocket, mid, &key, &[]).await;
    for inbox_seq in 2..=301 {
        assert_eq!(client.next().await.json()["inboxSeq"], inbox_seq);
    }
    assert_eq!(client.ask(2, 3, b"").await.operation, 3);
    drop(client);
    let mut client = Goim::user(&server, Wire::Tcp, mid, &key, &[]).await;
    for inbox_seq in 302..=311 {
        assert_eq!(client.next().await.json()["inboxSeq"], inbox_seq);
    }
    // A device that was never here begins 300 below the top.
    let mut fresh = Goim::user(&server, Wire::Tcp, mid, &unique("fresh"), &[]).await;
    for inbox_seq in 12..=311 {
        assert_eq!(fresh.next().await.json()["inboxSeq"], inbox_seq);
    }
    alice.say(&mid.to_string(), "312").await;
    assert_eq!(fresh.next().await.json()["inboxSeq"], 312);
}

#[tokio::test]
async fn nobody_gets_what_is_for_mid_0() {
    let server = SERVER.get();
    let key = unique("key");
    let mut nobody = Goim::user(&server, Wire::Tcp, 0, &key, &[1000]).await;
    let response = post(server.api, "/goim/push/mids?operation=1000&mids=0", b"to nobody").await;
    assert!(response.json()["code"].is_i64());
    push(&server, &format!("keys?operation=1000&keys={key}"), b"by key").await;
    nobody.assert_push(1000, b"by key").await;
    let mut alice = JsonChat::live(&server, &unique("alice"), "d").await;
    let refused =
        alice.refused("send", json!({"to": {"user": "0"}, "clientMessageId": "c", "text": "hi"})).await;
    assert!(refused["number"].as_u64().unwrap() / 10_000 == 4, "{refused}");
}
