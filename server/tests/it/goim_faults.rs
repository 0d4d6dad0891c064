//! The faults of goim that Anser must not have.

use serde_json::json;

use crate::support::goim_wire::{Frame, Goim, Link, WIRES, Wire};
use crate::support::http::post;
use crate::support::server::{Server, Setup, Shared};
use crate::support::websocket::{BINARY, CONTINUATION, WebSocket, frame};
use crate::support::{eventually, unique, within};

static SERVER: Shared = Shared::new();

#[tokio::test]
async fn a_websocket_message_shorter_or_longer_than_it_claims_is_closed() {
    let server = SERVER.get();
    for claimed in [0_u32, 15, 17, 20, 24, 200, 4096, 65_535, 0x7fff_ffff, 0xffff_ffff] {
        let mut client = Goim::connect(&server, Wire::WebSocket, &json!({})).await;
        let mut message = Frame::new(12, 1, b"live").bytes();
        if usize::try_from(claimed) == Ok(message.len()) {
            message.push(0);
        }
        message[..4].copy_from_slice(&claimed.to_be_bytes());
        client.send_bytes(&message).await;
        client.assert_closed().await;
    }
    for length in 0..16 {
        let mut client = Goim::connect(&server, Wire::WebSocket, &json!({})).await;
        client.send_bytes(&Frame::new(2, 1, b"").bytes()[..length]).await;
        client.assert_closed().await;
    }
}

#[tokio::test]
async fn a_fragmented_message_shorter_than_it_claims_is_closed() {
    let server = SERVER.get();
    for cut in [3, 10, 16, 18] {
        let mut socket = WebSocket::connect(server.ws, None).await;
        let mut message = Frame::new(7, 1, b"{}").bytes();
        message[2..4].copy_from_slice(&3000_u16.to_be_bytes());
        socket.send_bytes(&frame(BINARY, &message[..cut], true)).await;
        socket.send_bytes(&frame(0x80 | CONTINUATION, &message[cut..], true)).await;
        Goim::over(Link::WebSocket(socket)).assert_closed().await;
    }
    assert!(is_well(&server).await);
}

#[tokio::test]
async fn a_negative_or_short_length_is_closed() {
    let server = SERVER.get();
    for length in [-1_i32, i32::MIN, -17, 0, 1, 15] {
        let mut client = Goim::connect(&server, Wire::Tcp, &json!({})).await;
        let mut bytes = Frame::new(2, 1, b"").bytes();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        client.send_bytes(&bytes).await;
        client.assert_closed().await;
    }
}

#[tokio::test]
async fn another_header_length_is_closed() {
    let server = SERVER.get();
    for wire in WIRES {
        for header_length in [-1_i16, 0, 15, 17, 20, 4096] {
            let mut client = Goim::connect(&server, wire, &json!({})).await;
            let mut bytes = Frame::new(2, 1, b"").bytes();
            bytes[4..6].copy_from_slice(&header_length.to_be_bytes());
            client.send_bytes(&bytes).await;
            client.assert_closed().await;
        }
    }
}

#[tokio::test]
async fn a_body_of_4096_bytes_is_always_taken_and_one_over_the_limit_is_closed() {
    let server = SERVER.get();
    for wire in WIRES {
        let mut client = Goim::connect(&server, wire, &json!({})).await;
        assert_eq!(client.ask(77, 1, &[7; 4096]).await, Frame::new(77, 1, b""));
        assert_eq!(client.ask(77, 2, &[7; 64 * 1024]).await, Frame::new(77, 2, b""));
        client.send(77, 3, &[7; 64 * 1024 + 1]).await;
        client.assert_closed().await;
    }
}

#[tokio::test]
async fn one_full_connection_does_not_keep_a_push_from_the_others() {
    let server = SERVER.get();
    let mut keys = Vec::new();
    let mut clients = Vec::new();
    for count in 0..6 {
        keys.push(unique("key"));
        clients.push(Goim::user(&server, WIRES[count % 2], 0, &keys[count], &[1000]).await);
    }
    let body = vec![b'x'; 256 * 1024];
    let target = format!("/goim/push/keys?operation=1000&keys={}", keys.join("&keys="));
    // The first and the fourth read nothing; the others take every push as it comes.
    for _ in 0..60 {
        assert_eq!(post(server.api, &target, &body).await.json()["code"], 0);
        for reader in [1, 2, 4, 5] {
            clients[reader].assert_push(1000, &body).await;
        }
    }
    let dropped = server.metric("anser_", "reason=\"queue_full\"").await;
    assert!(dropped > 0.0, "what a full connection loses is counted: {dropped}");
}

#[tokio::test]
async fn a_late_disconnect_does_not_take_the_newer_connection_away() {
    let server = SERVER.get();
    for round in 0..20 {
        let key = unique("key");
        let (old_wire, new_wire) = (WIRES[round % 2], WIRES[(round / 2) % 2]);
        let old = Goim::user(&server, old_wire, 0, &key, &[1000]).await;
        let mut new = Goim::user(&server, new_wire, 0, &key, &[1000]).await;
        // The server ends the older one by itself; the client's own end comes on top, as late as it likes.
        if round % 3 == 0 {
            drop(old);
        } else {
            old.assert_closed().await;
        }
        for _ in 0..3 {
            let target = format!("/goim/push/keys?operation=1000&keys={key}");
            assert_eq!(post(server.api, &target, b"newer").await.json()["code"], 0);
            new.assert_push(1000, b"newer").await;
        }
    }
}

#[tokio::test]
async fn running_out_of_descriptors_does_not_end_a_listener() {
    let server = Setup::dev().descriptor_limit(128).start();
    for address in [server.tcp, server.ws, server.api] {
        let mut sockets = Vec::new();
        for _ in 0..300 {
            // The system takes what the process does not accept, until its own list is full.
            let connecting = tokio::net::TcpStream::connect(address);
            match tokio::time::timeout(std::time::Duration::from_millis(200), connecting).await {
                Ok(Ok(socket)) => sockets.push(socket),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        assert!(sockets.len() > 100, "{address} took {} connections", sockets.len());
        drop(sockets);
        let server = &server;
        eventually("the listeners work again", async || is_well(server).await.then_some(())).await;
    }
}

/// Tells whether all three listeners serve a newcomer.
async fn is_well(server: &Server) -> bool {
    for wire in WIRES {
        let connected = async {
            let mut client = match wire {
                Wire::Tcp => {
                    let stream = tokio::net::TcpStream::connect(server.tcp).await.ok()?;
                    Goim::over(Link::Tcp { stream, buffer: Vec::new() })
                }
                Wire::WebSocket => {
                    // A handshake panics where the answer is cut off: ask first whether there is one.
                    let mut stream = tokio::net::TcpStream::connect(server.ws).await.ok()?;
                    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                        .await
                        .ok()?;
                    crate::support::http::read_response(&mut stream).await?;
                    Goim::open(server, wire).await
                }
            };
            client.send(7, 1, b"{}").await;
            client.next_or_end().await
        };
        if within("a newcomer's auth", connected).await != Some(Frame::new(8, 1, b"")) {
            return false;
        }
    }
    let Ok(mut stream) = tokio::net::TcpStream::connect(server.api).await else { return false };
    let request = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, request).await;
    crate::support::http::read_response(&mut stream).await.is_some_and(|response| response.status == 200)
}
