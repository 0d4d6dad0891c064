//! Rooms of Anser's clients: many a connection, joined, left, written to, counted, pushed to.

use anser_client::{Connection, Push, RequestKind};
use protocol::client::{self, room_message};
use serde_json::json;

use crate::support::chat::{
    CARRIERS, Carrier, JsonChat, ask, device, hello, live, push, refused, replay, to_room, words,
};
use crate::support::goim_wire::{Goim, WIRES};
use crate::support::http::{get, post};
use crate::support::server::{Server, Shared};
use crate::support::{eventually, unique};

static SERVER: Shared = Shared::new();

async fn join(connection: &mut Connection, rooms: &[&str]) {
    let rooms = rooms.iter().map(|room| (*room).to_owned()).collect();
    let _: client::JoinReply = ask(connection, RequestKind::Join(client::Join { rooms })).await;
}

async fn leave(connection: &mut Connection, rooms: &[&str]) {
    let rooms = rooms.iter().map(|room| (*room).to_owned()).collect();
    let _: client::LeaveReply = ask(connection, RequestKind::Leave(client::Leave { rooms })).await;
}

async fn push_room(server: &Server, room: &str, op: i32, text: &str) {
    let call = json!({"to": {"room": room}, "op": op, "text": text});
    let response = post(server.api, "/v1/push", call.to_string().as_bytes()).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

/// A push made through the server API, as a member receives it.
fn from_api(room: &str, op: i32, text: &str) -> Push {
    Push::Room(client::RoomMessage {
        room: room.to_owned(),
        op: Some(op),
        body: Some(text.as_bytes().to_vec().into()),
        ..client::RoomMessage::default()
    })
}

#[tokio::test]
async fn a_connection_is_in_many_rooms() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let rooms: Vec<String> = (0..100).map(|_| unique("live://many")).collect();
        let names: Vec<&str> = rooms.iter().map(String::as_str).collect();
        let mut connection = live(&server, carrier, &unique("user"), "d").await;
        join(&mut connection, &names[..50]).await;
        join(&mut connection, &names[40..]).await;
        for room in names.iter().step_by(9) {
            push_room(&server, room, 7, room).await;
            assert_eq!(push(&mut connection).await, from_api(room, 7, room), "once, though joined twice");
        }
        leave(&mut connection, &names[..99]).await;
        push_room(&server, names[0], 7, "left").await;
        push_room(&server, names[99], 7, "stayed").await;
        assert_eq!(push(&mut connection).await, from_api(names[99], 7, "stayed"));
    }
}

#[tokio::test]
async fn rooms_named_in_auth_are_joined_from_the_start() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let (one, two) = (unique("live://auth"), unique("any text is a room"));
        let auth =
            client::Auth { rooms: vec![one.clone(), two.clone()], ..hello(&unique("user"), "d", Some(0)) };
        let (mut connection, _) = device(&server, carrier, auth).await;
        // Whatever comes before it, the answer to auth says that the rooms are joined.
        push_room(&server, &one, 1, "one").await;
        push_room(&server, &two, 2, "two").await;
        let mut pushes = Vec::new();
        while pushes.len() < 3 {
            pushes.push(push(&mut connection).await);
        }
        for wanted in [from_api(&one, 1, "one"), from_api(&two, 2, "two")] {
            assert!(pushes.contains(&wanted), "{pushes:?}");
        }
    }
}

#[tokio::test]
async fn what_a_member_writes_reaches_every_member_on_every_wire() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let room = unique("live://talk");
        let alice = unique("alice");
        let mut members = Vec::new();
        for other in CARRIERS {
            let mut member = live(&server, other, &unique("member"), "d").await;
            join(&mut member, &[&room]).await;
            members.push(member);
        }
        let mut goim = Vec::new();
        for wire in WIRES {
            goim.push(Goim::in_room(&server, wire, &room).await);
        }
        let mut sender = live(&server, carrier, &alice, "d").await;
        join(&mut sender, &[&room]).await;
        let reply: client::SendReply = ask(&mut sender, words(to_room(&room), "c-1", "hello room")).await;
        assert_eq!((reply.seq, reply.inbox_seq), (0, None), "a room's message is not stored");
        for member in &mut members {
            let Push::Room(message) = push(member).await else { panic!("not a room's message") };
            assert_eq!(
                (message.room.as_str(), message.sender.as_deref()),
                (room.as_str(), Some(alice.as_str()))
            );
            assert_eq!(message.client_message_id.as_deref(), Some("c-1"));
            assert_eq!(message.content, Some(room_message::Content::Text("hello room".to_owned())));
            assert!(message.op.is_none() && message.body.is_none());
        }
        for client in &mut goim {
            let frame = client.next().await;
            assert_eq!(frame.operation, 1000);
            assert_eq!((&frame.json()["room"], &frame.json()["text"]), (&json!(room), &json!("hello room")));
        }
    }
}

#[tokio::test]
async fn json_shows_a_rooms_messages_as_documented() {
    let server = SERVER.get();
    let (room, alice) = (unique("live://json"), unique("alice"));
    let mut member = JsonChat::live(&server, &unique("member"), "d").await;
    member.ask("join", json!({"rooms": [room]})).await;
    push_room(&server, &room, 1000, "hi").await;
    assert_eq!(member.push().await, json!({"room": {"room": room, "op": 1000, "body": "aGk="}}));
    let mut sender = JsonChat::live(&server, &alice, "d").await;
    sender.ask("join", json!({"rooms": [room]})).await;
    let send = json!({"to": {"room": room}, "clientMessageId": "c-1", "text": "hi"});
    sender.ask("send", send).await;
    let mut push = member.push().await;
    let time = push["room"].as_object_mut().unwrap().remove("timeMs").unwrap();
    assert!(time.as_u64().unwrap() > 1_600_000_000_000, "{time}");
    let expected = json!({"room": room, "sender": alice, "clientMessageId": "c-1", "text": "hi"});
    assert_eq!(push, json!({"room": expected}));
}

#[tokio::test]
async fn a_rooms_message_is_not_stored() {
    let server = SERVER.get();
    let room = unique("live://unstored");
    let user = unique("user");
    let mut connection = live(&server, Carrier::Json, &user, "d").await;
    join(&mut connection, &[&room]).await;
    let _: client::SendReply = ask(&mut connection, words(to_room(&room), "c", "gone")).await;
    let top: client::HeartbeatReply =
        ask(&mut connection, RequestKind::Heartbeat(client::Heartbeat {})).await;
    assert_eq!(top.inbox_top, 0);
    let mut late = live(&server, Carrier::Json, &unique("late"), "d").await;
    join(&mut late, &[&room]).await;
    push_room(&server, &room, 3, "next").await;
    assert_eq!(push(&mut late).await, from_api(&room, 3, "next"));
}

#[tokio::test]
async fn who_is_not_in_a_room_may_not_write_to_it() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let room = unique("live://closed");
        let mut member = live(&server, carrier, &unique("member"), "d").await;
        join(&mut member, &[&room]).await;
        let mut outsider = live(&server, carrier, &unique("outsider"), "d").await;
        let number = refused(&mut outsider, words(to_room(&room), "c", "let me in")).await;
        assert!(matches!(number / 100, 403 | 404), "{number}");
        join(&mut outsider, &[&room]).await;
        let _: client::SendReply = ask(&mut outsider, words(to_room(&room), "c", "now I am in")).await;
        let Push::Room(message) = push(&mut member).await else { panic!("not a room's message") };
        assert_eq!(message.content, Some(room_message::Content::Text("now I am in".to_owned())));
        leave(&mut outsider, &[&room]).await;
        let number = refused(&mut outsider, words(to_room(&room), "c2", "still here?")).await;
        assert!(matches!(number / 100, 403 | 404), "{number}");
    }
}

#[tokio::test]
async fn a_push_follows_the_answer_to_join() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let mut connection = live(&server, carrier, &unique("user"), "d").await;
        for _ in 0..30 {
            let room = unique("live://prompt");
            join(&mut connection, &[&room]).await;
            push_room(&server, &room, 5, "prompt").await;
            assert_eq!(push(&mut connection).await, from_api(&room, 5, "prompt"));
        }
    }
}

#[tokio::test]
async fn accepts_does_not_filter_rooms() {
    let server = SERVER.get();
    let room = unique("live://accepts");
    let auth =
        client::Auth { rooms: vec![room.clone()], accepts: vec![1], ..hello(&unique("user"), "d", Some(0)) };
    let (mut connection, _) = device(&server, Carrier::Protobuf, auth).await;
    replay(&mut connection).await;
    push_room(&server, &room, 99, "whatever").await;
    assert_eq!(push(&mut connection).await, from_api(&room, 99, "whatever"));
}

#[tokio::test]
async fn counts_know_who_is_in_a_room() {
    let server = SERVER.get();
    let name = unique("count");
    let room = format!("live://{name}");
    let mut members = Vec::new();
    for carrier in CARRIERS {
        let mut member = live(&server, carrier, &unique("member"), "d").await;
        join(&mut member, &[&room, &unique("live://other")]).await;
        members.push(member);
    }
    members.push(live(&server, Carrier::Json, &unique("outsider"), "d").await);
    let api = server.api;
    let target = format!("/goim/online/room?type=live&rooms={name}");
    let becomes = async |count: u64| {
        let wanted = json!({&name: count});
        eventually("the count", async || (get(api, &target).await.json()["data"] == wanted).then_some(()))
            .await;
    };
    becomes(3).await;
    leave(&mut members[0], &[&room]).await;
    becomes(2).await;
    members.remove(1);
    becomes(1).await;
}

#[tokio::test]
async fn rooms_are_bounded_and_their_names_checked() {
    let server = SERVER.get();
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    let names: Vec<String> = (0..200).map(|_| unique("live://bound")).collect();
    let error = chat.refused("join", json!({"rooms": names})).await;
    assert_eq!(error["number"].as_u64().unwrap() / 10_000, 4, "{error}");
    for rooms in [json!([""]), json!(["x".repeat(65)]), json!(["a\u{7}b"])] {
        let error = chat.refused("join", json!({"rooms": rooms})).await;
        assert_eq!(error["number"].as_u64().unwrap() / 100, 400, "{error}");
    }
    assert_eq!(chat.ask("join", json!({"rooms": []})).await, json!({}));
    assert_eq!(chat.ask("join", json!({"rooms": names[..128]})).await, json!({}));
    let error = chat.refused("join", json!({"rooms": [names[128]]})).await;
    assert_eq!(error["number"].as_u64().unwrap() / 10_000, 4, "{error}");
    assert_eq!(chat.ask("leave", json!({"rooms": [names[0], "never-joined"]})).await, json!({}));
    assert_eq!(chat.ask("join", json!({"rooms": [names[128]]})).await, json!({}));
}
