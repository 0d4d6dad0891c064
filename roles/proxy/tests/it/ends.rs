//! How a proxy ends: in order, and when something in it breaks.

use std::time::Duration;

use protocol::client::{Send, Target, target};
use protocol::codec::RequestKind;
use protocol::{Identifier, UserId};
use proxy::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fakes::{Client, Running};

#[tokio::test]
async fn a_panic_on_a_shards_thread_is_told() {
    let running = Running::start(Config::default()).await;
    let mut client = Client::login(&running, &UserId::new("alice").unwrap(), Some(0)).await;
    let failed = running.proxy.failed();
    let to = Some(Target { target: Some(target::Target::User("bob".to_owned())) });
    let content = Some(protocol::client::send::Content::Text("hi".to_owned()));
    let send = Send { to, client_message_id: "panic".to_owned(), content, ..Send::default() };
    client.request(2, RequestKind::Send(send)).await;
    tokio::time::timeout(Duration::from_secs(10), failed).await.expect("the proxy says that it has failed");
}

#[tokio::test]
async fn a_browsers_idle_connection_does_not_hold_up_the_drain() {
    let running = Running::start(Config::default()).await;
    let mut browser = TcpStream::connect(running.proxy.ws_address()).await.unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"a page") {
        assert!(browser.read_buf(&mut answer).await.unwrap() > 0);
    }
    // Another one has not even asked.
    let _silent = TcpStream::connect(running.proxy.ws_address()).await.unwrap();
    let drained = running.proxy.drain(Duration::from_secs(60));
    tokio::time::timeout(Duration::from_secs(5), drained).await.expect("the drain ends soon");
    assert_eq!(browser.read_buf(&mut answer).await.unwrap(), 0);
}

#[tokio::test]
async fn whoever_is_left_at_the_stop_is_taken_out_of_the_directory() {
    let running = Running::start(Config::default()).await;
    let alice = UserId::new("alice").unwrap();
    let _client = Client::login(&running, &alice, Some(0)).await;
    assert!(running.logic.is_online(&alice));
    running.proxy.stop().await;
    assert!(!running.logic.is_online(&alice));
}
