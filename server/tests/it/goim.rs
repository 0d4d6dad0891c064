//! goim's wire: every operation, over TCP and over WebSocket, byte for byte.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::goim_wire::{Frame, Goim, Link, WIRES, Wire};
use crate::support::http::post;
use crate::support::server::{Setup, Shared};
use crate::support::websocket::{BINARY, CONTINUATION, PING, PONG, TEXT, WebSocket, frame};
use crate::support::{eventually, number, unique};

static SERVER: Shared = Shared::new();

#[tokio::test]
async fn auth_is_answered_with_an_empty_frame_that_echoes_version_and_sequence() {
    let server = SERVER.get();
    for wire in WIRES {
        let mut client = Goim::open(&server, wire).await;
        let body =
            json!({"mid": number(), "key": "", "room_id": "live://1", "platform": "ios", "accepts": [1000]});
        let auth = Frame { version: 3, operation: 7, sequence: -5, body: body.to_string().into_bytes() };
        client.send_frame(&auth).await;
        assert_eq!(client.next().await, Frame { operation: 8, body: Vec::new(), ..auth });
    }
}

#[tokio::test]
async fn every_field_of_auth_is_optional() {
    let server = SERVER.get();
    for wire in WIRES {
        let mut client = Goim::open(&server, wire).await;
        assert_eq!(client.ask(7, 1, b"{}").await, Frame::new(8, 1, b""));
        assert_eq!(client.room_count().await, 0);
    }
}

#[tokio::test]
async fn operations_before_auth_are_skipped() {
    let server = SERVER.get();
    for wire in WIRES {
        let mut client = Goim::open(&server, wire).await;
        for (sequence, operation) in [2, 4, 12, 14, 16, 77].into_iter().enumerate() {
            client.send(operation, sequence as i32, b"1").await;
        }
        assert_eq!(client.ask(7, 50, b"{}").await, Frame::new(8, 50, b""));
        assert_eq!(client.ask(2, 51, b"").await.sequence, 51);
    }
}

#[tokio::test]
async fn a_heartbeat_is_answered_with_twenty_bytes_and_its_body_is_ignored() {
    let server = SERVER.get();
    for wire in WIRES {
        let mut client = Goim::connect(&server, wire, &json!({})).await;
        assert_eq!(client.ask(2, 7, b"").await, Frame::new(3, 7, &[0; 4]));
        assert_eq!(client.ask(2, 8, b"whatever").await, Frame::new(3, 8, &[0; 4]));
        // goim's load client leaves the version of its heartbeats 0.
        client.send_frame(&Frame { version: 0, ..Frame::new(2, 9, b"") }).await;
        assert_eq!(client.next().await, Frame { version: 0, ..Frame::new(3, 9, &[0; 4]) });
    }
}

#[tokio::test]
async fn a_heartbeat_tells_how_many_are_in_the_room_within_a_second() {
    let server = SERVER.get();
    let room = unique("live://count");
    let mut first = Goim::in_room(&server, Wire::Tcp, &room).await;
    let mut others = Vec::new();
    for wire in [Wire::WebSocket, Wire::Tcp, Wire::WebSocket] {
        others.push(Goim::in_room(&server, wire, &room).await);
    }
    assert_count_becomes(&mut first, 4).await;
    assert_count_becomes(&mut others[0], 4).await;
    others.truncate(1);
    assert_count_becomes(&mut first, 2).await;
    assert_eq!(others[0].ask(12, 3, b"").await, Frame::new(13, 3, b""));
    assert_count_becomes(&mut first, 1).await;
    assert_eq!(others[0].room_count().await, 0);
}

/// A count is at most a second old; the second second is for a machine that does other things as well.
async fn assert_count_becomes(client: &mut Goim, wanted: i32) {
    let started = Instant::now();
    loop {
        let count = client.room_count().await;
        if count == wanted {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(2), "the room has {count} people and not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn changing_the_room_is_echoed_and_moves_the_client() {
    let server = SERVER.get();
    for wire in WIRES {
        let (old, new) = (unique("old"), unique("new"));
        let (old_room, new_room) = (format!("live://{old}"), format!("live://{new}"));
        let mut client = Goim::in_room(&server, wire, &old_room).await;
        let mut witness = Goim::in_room(&server, wire, &old_room).await;
        let reply = client.ask(12, 21, new_room.as_bytes()).await;
        assert_eq!(reply, Frame::new(13, 21, new_room.as_bytes()));
        push_room(&server, 1000, &old, b"to the old room").await;
        witness.assert_push(1000, b"to the old room").await;
        push_room(&server, 1001, &new, b"to the new room").await;
        client.assert_push(1001, b"to the new room").await;
    }
}

#[tokio::test]
async fn an_empty_room_leaves() {
    let server = SERVER.get();
    for wire in WIRES {
        let (room, key) = (unique("left"), unique("key"));
        let auth = json!({"key": key, "room_id": format!("live://{room}"), "accepts": [1000]});
        let mut client = Goim::connect(&server, wire, &auth).await;
        let mut witness = Goim::in_room(&server, wire, &format!("live://{room}")).await;
        assert_eq!(client.ask(12, 2, b"").await, Frame::new(13, 2, b""));
        push_room(&server, 1000, &room, b"nobody else").await;
        witness.assert_push(1000, b"nobody else").await;
        post(server.api, &format!("/goim/push/keys?operation=1000&keys={key}"), b"by key").await;
        client.assert_push(1000, b"by key").await;
    }
}

#[tokio::test]
async fn subscribing_and_unsubscribing_are_echoed_and_filter() {
    let server = SERVER.get();
    for wire in WIRES {
        let key = unique("key");
        let mut client = Goim::connect(&server, wire, &json!({"key": key, "accepts": [1000]})).await;
        let push = async |operation: u64| {
            let target = format!("/goim/push/keys?operation={operation}&keys={key}");
            assert_eq!(post(server.api, &target, b"body").await.json()["code"], 0);
        };
        push(2000).await;
        push(1000).await;
        client.assert_push(1000, b"body").await;
        assert_eq!(client.ask(14, 5, b"2000,2001").await, Frame::new(15, 5, b"2000,2001"));
        push(2000).await;
        client.assert_push(2000, b"body").await;
        assert_eq!(client.ask(16, 6, b"2000").await, Frame::new(17, 6, b"2000"));
        push(2000).await;
        push(2001).await;
        client.assert_push(2001, b"body").await;
        // A list that is none changes nothing.
        assert_eq!(client.ask(14, 7, b"2002,x").await, Frame::new(15, 7, b"2002,x"));
        push(2002).await;
        push(1000).await;
        client.assert_push(1000, b"body").await;
    }
}

#[tokio::test]
async fn an_unknown_operation_is_answered_with_itself_and_an_empty_body() {
    let server = SERVER.get();
    for wire in WIRES {
        let mut client = Goim::connect(&server, wire, &json!({})).await;
        for operation in [4, 5, 18, 77, 1000, 65_536, i32::MAX] {
            assert_eq!(client.ask(operation, 31, b"what").await, Frame::new(operation, 31, b""));
        }
    }
}

#[tokio::test]
async fn frames_in_one_segment_are_answered_in_their_order() {
    let server = SERVER.get();
    let mut client = Goim::open(&server, Wire::Tcp).await;
    let room = unique("live://pipelined");
    let frames = [
        Frame::new(2, 1, b""),
        Frame::new(7, 2, b"{}"),
        Frame::new(12, 3, room.as_bytes()),
        Frame::new(77, 4, b"x"),
        Frame::new(14, 5, b"1000"),
        Frame::new(4, 6, b""),
    ];
    let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
    client.send_bytes(&bytes).await;
    for (operation, sequence) in [(8, 2), (13, 3), (77, 4), (15, 5), (4, 6)] {
        let reply = client.next().await;
        assert_eq!((reply.operation, reply.sequence), (operation, sequence));
    }
}

#[tokio::test]
async fn a_frame_cut_into_single_bytes_is_read() {
    let server = SERVER.get();
    let mut client = Goim::open(&server, Wire::Tcp).await;
    let frames = [Frame::new(7, 1, b"{\"mid\":0}"), Frame::new(2, 2, b"")];
    for byte in frames.iter().flat_map(Frame::bytes) {
        let Link::Tcp { stream, .. } = &mut client.link else { unreachable!() };
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
        // Each byte is a segment of its own.
        tokio::task::yield_now().await;
    }
    assert_eq!(client.next().await, Frame::new(8, 1, b""));
    assert_eq!(client.next().await, Frame::new(3, 2, &[0; 4]));
}

#[tokio::test]
async fn text_binary_and_fragmented_messages_are_read() {
    let server = SERVER.get();
    let mut client = Goim::open(&server, Wire::WebSocket).await;
    let auth = Frame::new(7, 1, b"{}").bytes();
    let heartbeat = Frame::new(2, 2, b"").bytes();
    socket(&mut client).send(TEXT, &auth).await;
    assert_eq!(client.next().await, Frame::new(8, 1, b""));
    socket(&mut client).send(BINARY, &heartbeat).await;
    assert_eq!(client.next().await, Frame::new(3, 2, &[0; 4]));
    let socket_of_client = socket(&mut client);
    socket_of_client.send_bytes(&frame(BINARY, &heartbeat[..5], true)).await;
    socket_of_client.send_bytes(&frame(CONTINUATION, &[], true)).await;
    socket_of_client.send_bytes(&frame(CONTINUATION, &heartbeat[5..11], true)).await;
    socket_of_client.send_bytes(&frame(0x80 | CONTINUATION, &heartbeat[11..], true)).await;
    assert_eq!(client.next().await, Frame::new(3, 2, &[0; 4]));
}

#[tokio::test]
async fn a_ping_between_fragments_is_answered_at_once() {
    let server = SERVER.get();
    let mut client = Goim::connect(&server, Wire::WebSocket, &json!({})).await;
    let heartbeat = Frame::new(2, 2, b"").bytes();
    let socket_of_client = socket(&mut client);
    socket_of_client.send_bytes(&frame(TEXT, &heartbeat[..9], true)).await;
    socket_of_client.send(PING, b"are you there").await;
    let pong = socket_of_client.next().await.unwrap();
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, b"are you there".as_slice()));
    socket_of_client.send_bytes(&frame(0x80 | CONTINUATION, &heartbeat[9..], true)).await;
    assert_eq!(client.next().await, Frame::new(3, 2, &[0; 4]));
}

#[tokio::test]
async fn a_closing_client_is_answered_with_its_close() {
    let server = SERVER.get();
    let mut client = Goim::connect(&server, Wire::WebSocket, &json!({})).await;
    socket(&mut client).send(crate::support::websocket::CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(socket(&mut client).closed().await, Some(1000));
}

#[tokio::test]
async fn a_target_may_carry_a_query_and_another_path_is_refused() {
    let server = SERVER.get();
    let socket = WebSocket::handshake(server.ws, "/sub?token=abc&x=%20", &[]).await;
    let mut client = Goim::over(Link::WebSocket(socket.expect("the handshake")));
    assert_eq!(client.ask(7, 1, b"{}").await, Frame::new(8, 1, b""));
    for target in ["/subscribe", "/sub/", "/other"] {
        let refused = WebSocket::handshake(server.ws, target, &[]).await;
        assert_eq!(refused.err().expect("a refusal").status, 404, "{target}");
    }
}

#[tokio::test]
async fn auth_that_cannot_be_read_closes_the_connection() {
    let server = SERVER.get();
    for wire in WIRES {
        for body in ["", "{", "[]", "null", "{\"mid\":\"x\"}", "{\"accepts\":[\"y\"]}", "\u{0}\u{1}"] {
            let mut client = Goim::open(&server, wire).await;
            client.send(7, 1, body.as_bytes()).await;
            client.assert_closed().await;
        }
    }
}

#[tokio::test]
async fn who_does_not_authenticate_in_time_is_closed() {
    let server = Setup::dev().set("auth.time_limit=1s").start();
    for wire in WIRES {
        let started = Instant::now();
        let silent = Goim::open(&server, wire).await;
        let mut busy = Goim::open(&server, wire).await;
        // A heartbeat is no auth and wins no time.
        busy.send(2, 1, b"").await;
        silent.assert_closed().await;
        busy.assert_closed().await;
        assert!(started.elapsed() >= Duration::from_millis(600), "closed after {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn who_sends_no_heartbeat_is_closed_and_leaves_its_room() {
    let server = Setup::dev()
        .set("proxy.idle_time_limit=2s")
        .set("proxy.heartbeat=1s")
        .set("proxy.chat_heartbeat=1s")
        .start();
    let room = unique("live://idle");
    let mut alive = Goim::in_room(&server, Wire::Tcp, &room).await;
    for wire in WIRES {
        let idle = Goim::in_room(&server, wire, &room).await;
        let mut closing = tokio::spawn(idle.assert_closed());
        // Who sends heartbeats stays.
        while !closing.is_finished() {
            alive.room_count().await;
            let _ = tokio::time::timeout(Duration::from_millis(300), &mut closing).await;
        }
    }
    let alive = tokio::sync::Mutex::new(alive);
    eventually("the room has one person", async || {
        (alive.lock().await.room_count().await == 1).then_some(())
    })
    .await;
}

fn socket(client: &mut Goim) -> &mut WebSocket {
    match &mut client.link {
        Link::WebSocket(socket) => socket,
        Link::Tcp { .. } => panic!("this test speaks WebSocket"),
    }
}

async fn push_room(server: &crate::support::server::Server, operation: u64, room: &str, body: &[u8]) {
    let target = format!("/goim/push/room?operation={operation}&type=live&room={room}");
    assert_eq!(post(server.api, &target, body).await.json()["code"], 0);
}
