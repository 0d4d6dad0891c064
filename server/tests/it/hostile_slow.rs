//! A client that never reads: it costs a bounded amount of memory, loses what has no room, and nobody waits
//! for it.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpSocket;

use crate::support::chat::{CARRIERS, Carrier, JsonChat, device, hello, live, message, replay, say, text_of};
use crate::support::goim_wire::{Goim, Link, WIRES, Wire};
use crate::support::http::post;
use crate::support::server::{Server, Setup};
use crate::support::websocket::{CLOSE, WebSocket};
use crate::support::{eventually, eventually_by, unique};

/// How long the closing of a client that never reads may take at a time limit of a second: the kernel goes on
/// taking some bytes each time it asks the silent side for room, at growing distances, until its own buffer
/// has reached its bound.
const CLOSING_LIMIT: Duration = Duration::from_secs(40);

/// Connects a goim client whose own receive buffer is small, so that what the server cannot write is soon
/// the server's.
async fn deaf(server: &Server, wire: Wire, auth: &serde_json::Value) -> Goim {
    let mut client = match wire {
        Wire::Tcp => {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            let stream = socket.connect(server.tcp).await.unwrap();
            Goim::over(Link::Tcp { stream, buffer: Vec::new() })
        }
        Wire::WebSocket => Goim::over(Link::WebSocket(WebSocket::connect(server.ws, None).await)),
    };
    assert_eq!(client.ask(7, 1, auth.to_string().as_bytes()).await.operation, 8);
    client
}

#[tokio::test]
async fn megabytes_for_a_client_that_never_reads_cost_little_and_hold_nobody_up() {
    let server = Setup::dev().set("proxy.slow_time_limit=60s").start();
    let room = unique("room");
    let auth = json!({"room_id": format!("live://{room}"), "accepts": [1000]});
    let mut silent = Vec::new();
    for wire in WIRES {
        for _ in 0..3 {
            silent.push(deaf(&server, wire, &auth).await);
        }
    }
    let mut reader = Goim::connect(&server, Wire::Tcp, &auth).await;
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut sender = live(&server, Carrier::Json, &alice, "d").await;
    let mut receiver = live(&server, Carrier::Tcp, &bob, "d").await;
    let before = server.resident_bytes();
    let body = vec![b'x'; 512 * 1024];
    let target = format!("/goim/push/room?operation=1000&type=live&room={room}");
    let mut slowest = Duration::ZERO;
    let mut highest = 0;
    // Six of them times 100 MB: kept, it would be more than half a gigabyte.
    for _ in 0..200 {
        assert_eq!(post(server.api, &target, &body).await.json()["code"], 0);
        reader.assert_push(1000, &body).await;
        let started = Instant::now();
        let text = unique("text");
        say(&mut sender, &bob, &text).await;
        assert_eq!(text_of(&message(&mut receiver).await), text);
        slowest = slowest.max(started.elapsed());
        highest = highest.max(server.resident_bytes());
    }
    println!("slowest message {slowest:?}, memory grew by {} bytes", highest - before);
    assert!(slowest < Duration::from_secs(1), "a message of others took {slowest:?}");
    assert!(highest - before < 96 * 1024 * 1024, "memory grew by {} bytes", highest - before);
    let dropped = server.metric("anser_", "reason=\"queue_full\"").await;
    assert!(dropped >= 6.0 * 100.0, "every dropped push is counted: {dropped}");
    drop(silent);
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_after_a_while() {
    let server = Setup::dev().set("proxy.slow_time_limit=1s").start();
    let key = unique("key");
    let mut silent = deaf(&server, Wire::WebSocket, &json!({"key": key, "accepts": [1000]})).await;
    let target = format!("/goim/push/keys?operation=1000&keys={key}");
    let body = vec![b'x'; 1024 * 1024];
    for _ in 0..20 {
        assert_eq!(post(server.api, &target, &body).await.json()["code"], 0);
    }
    let server = &server;
    eventually_by(CLOSING_LIMIT, "the closing is counted", async || {
        (server.metric("anser_", "slow_consumer").await >= 1.0).then_some(())
    })
    .await;
    eventually("nobody is connected", async || {
        let total = crate::support::http::get(server.api, "/goim/online/total").await;
        (total.json()["data"]["conn_count"] == 0).then_some(())
    })
    .await;
    // What had been written before is read to its end; then the connection is over.
    while let Some(frame) = silent.next_or_end().await {
        assert_eq!(frame.body.len(), body.len());
    }
}

#[tokio::test]
async fn stored_messages_wait_for_a_slow_client_and_all_of_them_come() {
    let server = Setup::dev().set("proxy.slow_time_limit=60s").start();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut sender = live(&server, Carrier::Tcp, &alice, "d").await;
    let mut slow = Vec::new();
    for carrier in CARRIERS {
        slow.push(live(&server, carrier, &bob, &format!("{carrier:?}")).await);
    }
    // Far more than fits into the sockets' buffers and the queue together.
    let text = "雪".repeat(5_000);
    let count = 1_000;
    let before = server.resident_bytes();
    for number in 1..=count {
        assert_eq!(say(&mut sender, &bob, &text).await.inbox_seq, Some(number));
    }
    let grown = server.resident_bytes().saturating_sub(before);
    println!("memory grew by {grown} bytes for {} bytes stored", count as usize * text.len());
    for connection in &mut slow {
        let mut held = 0;
        while held < count {
            match crate::support::chat::push(connection).await {
                anser_client::Push::Message(message) => {
                    assert_eq!(message.inbox_seq, Some(held + 1), "in order, once, and none missing");
                    held += 1;
                }
                anser_client::Push::SyncDone(_) => {}
                anser_client::Push::Gap(gap) => {
                    // A replay is 300 at most: the rest is the client's to ask for.
                    assert_eq!((gap.begin, gap.end <= count), (held + 1, true), "{gap:?}");
                    while held < gap.end {
                        let sync = crate::support::chat::sync(held + 1, gap.end, 100);
                        let page: protocol::client::SyncReply =
                            crate::support::chat::ask(connection, sync).await;
                        assert_eq!(page.messages[0].inbox_seq, Some(held + 1));
                        held += page.messages.len() as u64;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn replies_are_not_taken_from_who_does_not_read_them() {
    let server = Setup::dev().start();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut sender = live(&server, Carrier::Tcp, &alice, "d").await;
    let text = "x".repeat(5_000);
    for _ in 0..300 {
        say(&mut sender, &bob, &text).await;
    }
    let before = server.resident_bytes();
    // Pages of a megabyte and a half each, asked for and never read.
    let mut greedy = JsonChat::open(&server).await;
    greedy.ask("auth", json!({"user": bob, "device": "d", "inboxSeq": 300})).await;
    greedy.sync_done().await;
    for seq in 1000..1400 {
        let request = json!({"seq": seq, "sync": {"begin": 1, "end": 0, "limit": 500}}).to_string();
        let frame = crate::support::websocket::frame(0x81, request.as_bytes(), true);
        let sending = tokio::time::timeout(Duration::from_millis(200), greedy.socket.send_bytes(&frame));
        if sending.await.is_err() {
            break;
        }
    }
    let mut highest = 0;
    let server = &server;
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_secs(3) {
        highest = highest.max(server.resident_bytes());
        let mut other = JsonChat::live(server, &unique("user"), "d").await;
        other.ask("heartbeat", json!({})).await;
    }
    let grown = highest.saturating_sub(before);
    assert!(grown < 96 * 1024 * 1024, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn a_slow_anser_client_is_told_why_with_4004() {
    let server = Setup::dev().set("proxy.slow_time_limit=1s").start();
    let user = unique("user");
    let mut chat = JsonChat::live(&server, &user, "d").await;
    let call = json!({"to": {"users": [user]}, "op": 1000, "text": "x".repeat(500_000)}).to_string();
    let server = &server;
    eventually_by(CLOSING_LIMIT, "the slow client is closed", async || {
        post(server.api, "/v1/push", call.as_bytes()).await;
        (server.metric("anser_", "slow_consumer").await >= 1.0).then_some(())
    })
    .await;
    // The words can only be read where they still had room; the end is sure.
    while let Some(frame) = chat.socket.next().await {
        if frame.opcode == CLOSE {
            assert_eq!(frame.payload[..2], 4004_u16.to_be_bytes());
        }
    }
    // Nothing else was lost with it: the device comes back and is where it was.
    let (mut again, reply) = device(server, Carrier::Json, hello(&user, "d", Some(0))).await;
    assert_eq!((reply.inbox_top, replay(&mut again).await.0.len()), (0, 0));
}
