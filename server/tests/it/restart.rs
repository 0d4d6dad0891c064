//! Stopping: clients are told where they stand, and nothing that was answered is lost.

use std::time::{Duration, Instant};

use anser_client::{Error, Push};

use crate::support::chat::{CARRIERS, JsonChat, inbox, live, say};
use crate::support::goim_wire::{Goim, WIRES};
use crate::support::http::get;
use crate::support::server::Setup;
use crate::support::websocket::CLOSE;
use crate::support::{eventually, unique, within};

#[tokio::test]
async fn a_stop_tells_clients_to_come_back_and_ends_with_0() {
    let mut server = Setup::dev().same_ports().start();
    let mut connections = Vec::new();
    for carrier in CARRIERS {
        connections.push((carrier, live(&server, carrier, &unique("user"), "d").await));
    }
    let mut goim = Vec::new();
    for wire in WIRES {
        goim.push(Goim::connect(&server, wire, &serde_json::json!({})).await);
    }
    server.signal("TERM");
    for (carrier, connection) in &mut connections {
        let mut was_told = false;
        let end = loop {
            match within("the end", connection.next()).await {
                Ok(anser_client::FromServer::Push(Push::Reconnect(reconnect))) => {
                    assert!(reconnect.after_ms <= 60_000, "{carrier:?}: {reconnect:?}");
                    was_told = true;
                }
                Ok(anser_client::FromServer::Push(Push::Kicked(kicked))) => {
                    assert_eq!(kicked.number, 4001, "{carrier:?}");
                    was_told = true;
                }
                Ok(other) => panic!("{carrier:?}: {other:?}"),
                Err(end) => break end,
            }
        };
        assert!(was_told, "{carrier:?} ended with {end:?} and no word before");
        assert!(end.is_retryable(), "{carrier:?}: {end:?}");
    }
    for client in goim {
        client.assert_closed().await;
    }
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{status}: {}", server.log());
}

#[tokio::test]
async fn the_close_code_of_a_stop_says_connect_again() {
    let mut server = Setup::dev().start();
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    server.signal("TERM");
    let code = loop {
        let frame = chat.socket.next().await.expect("a close frame before the end");
        if frame.opcode == CLOSE {
            break u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        }
    };
    assert_eq!(code, 4001);
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test]
async fn what_was_answered_before_a_stop_is_there_after_it() {
    let mut server = Setup::dev().same_ports().start();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut sender = live(&server, CARRIERS[0], &alice, "d").await;
    let mut answered = 0;
    server.signal("TERM");
    // It goes on until the server closes the connection.
    loop {
        let words = crate::support::chat::words(
            crate::support::chat::to_user(&bob),
            &format!("c-{answered}"),
            &answered.to_string(),
        );
        match within("an answer or the end", sender.request::<protocol::client::SendReply>(words)).await {
            Ok(reply) => {
                answered += 1;
                assert_eq!(reply.seq, answered);
            }
            Err(Error::Refused(error)) => assert!(error.retryable, "{error:?}"),
            Err(_) => break,
        }
    }
    assert!(server.wait().success());
    server.start_again();
    let mut receiver = live(&server, CARRIERS[1], &bob, "d").await;
    let stored = inbox(&mut receiver).await.len() as u64;
    // The last one may have been stored and its answer not have left.
    assert!(stored == answered || stored == answered + 1, "{answered} answered, {stored} stored");
    assert_eq!(say(&mut receiver, &alice, "hi").await.seq, stored + 1);
}

#[tokio::test]
async fn a_stop_with_nobody_connected_is_quick() {
    for name in ["TERM", "INT"] {
        let mut server = Setup::dev().start();
        let started = Instant::now();
        server.signal(name);
        assert_eq!(server.wait().code(), Some(0), "{name}");
        assert!(started.elapsed() < Duration::from_secs(5), "{name} took {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_second_signal_leaves_at_once() {
    let mut server = Setup::dev().start();
    // A client that neither reads nor goes keeps the drain waiting, if anything does.
    let _connection = live(&server, CARRIERS[2], &unique("user"), "d").await;
    server.signal("TERM");
    server.signal("TERM");
    let started = Instant::now();
    // Ended by its own decision or by the signal: either way at once.
    let _ = server.wait();
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
}

#[tokio::test]
async fn readiness_is_told_and_taken_back() {
    let server = Setup::dev().start();
    assert_eq!(get(server.api, "/livez").await.status, 200);
    assert_eq!(get(server.api, "/readyz").await.status, 200);
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let server = Setup::dev().start();
    let mut command = std::process::Command::new(crate::support::server::binary());
    command.args(["serve", "--dev", "--data"]).arg(server.data());
    for listener in ["tcp", "ws", "api"] {
        command.args(["--set", &format!("listen.{listener}=127.0.0.1:0")]);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = within("the refusal", output).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&server.data().display().to_string()) || said.contains("lock"), "{said}");
    let server = &server;
    eventually("the first one goes on", async || {
        let mut chat = JsonChat::live(server, &unique("user"), "d").await;
        chat.ask("heartbeat", serde_json::json!({})).await.is_object().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_data_folder_is_made_with_the_first_start_and_used_by_the_next() {
    let mut server = Setup::dev().same_ports().start();
    assert!(server.data().is_dir());
    assert!(server.is_running());
    for _ in 0..3 {
        server.kill();
        assert!(!server.is_running());
        server.start_again();
        assert!(server.printed.iter().any(|line| line.starts_with("anser is ready")));
    }
}
