//! What stock goim clients say, byte by byte: goim's own load client on TCP, and its page on WebSocket.
//!
//! Their code is not part of this project; docs/goim.md tells how to run them unchanged.

use crate::support::goim_wire::{Frame, Goim, Wire};
use crate::support::http::post;
use crate::support::number;
use crate::support::server::Shared;

static SERVER: Shared = Shared::new();

/// What goim's load client says, as it says it: version 1 in its auth, and 0 in every heartbeat.
#[tokio::test]
async fn the_bytes_of_goims_load_client_are_understood() {
    let server = SERVER.get();
    let mid = number();
    let mut client = Goim::open(&server, Wire::Tcp).await;
    let auth = format!(
        r#"{{"mid":{mid},"key":"","room_id":"test://1","platform":"ios","accepts":[1000,1001,1002]}}"#
    );
    client.send(7, 0, auth.as_bytes()).await;
    assert_eq!(client.next().await, Frame::new(8, 0, b""));
    for sequence in 1..5 {
        client.send_frame(&Frame { version: 0, ..Frame::new(2, sequence, b"") }).await;
        let reply = client.next().await;
        assert_eq!((reply.operation, reply.sequence, reply.body.len()), (3, sequence, 4));
    }
    post(server.api, &format!("/goim/push/mids?operation=1001&mids={mid}"), b"{\"test\":1}").await;
    client.assert_push(1001, b"{\"test\":1}").await;
    post(server.api, "/goim/push/room?operation=1002&type=test&room=1", b"room").await;
    client.assert_push(1002, b"room").await;
}

/// What goim's page says: no key, a space behind every comma.
#[tokio::test]
async fn the_bytes_of_goims_page_are_understood() {
    let server = SERVER.get();
    let mut client = Goim::open(&server, Wire::WebSocket).await;
    let auth = r#"{"mid":123, "room_id":"live://1000", "platform":"web", "accepts":[1000,1001,1002]}"#;
    client.send(7, 1, auth.as_bytes()).await;
    assert_eq!(client.next().await, Frame::new(8, 1, b""));
    let reply = client.ask(2, 1, b"").await;
    assert_eq!((reply.operation, reply.sequence, reply.body.len()), (3, 1, 4));
    post(server.api, "/goim/push/room?operation=1000&type=live&room=1000", b"hello page").await;
    client.assert_push(1000, b"hello page").await;
    assert_eq!(client.wrapped_count, 1);
}
