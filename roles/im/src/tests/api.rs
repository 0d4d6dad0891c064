//! The server API, over HTTP.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Posts a body to `/v1/messages` and answers status and JSON.
async fn post(running: &Running, body: &str) -> (u16, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let api = running.service.api.clone();
    let server = tokio::spawn(async move { axum::serve(listener, api).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    let status = answer[9..12].parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_message_is_sent_in_the_name_of_a_user() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    let body = json!({"from": "alice", "to": {"user": "bob"}, "clientMessageId": "c-1", "text": "hi"});
    let (status, reply) = post(&running, &body.to_string()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!((&reply["conversation"], &reply["seq"]), (&json!("single:5:alice:bob"), &json!(1)));
    assert!(reply["messageId"].is_string() && reply["inboxSeq"] == 1 && reply["timeMs"].is_u64());
    assert_eq!(post(&running, &body.to_string()).await, (200, reply), "the same id gets the first answer");

    push.until(|taken| taken.len() == 2).await;
    assert!(push.taken.borrow().iter().all(|push| push.except.is_none()), "a device was left out");
}

#[tokio::test]
async fn a_call_without_a_client_message_id_is_a_message_of_its_own() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let body = json!({"from": "alice", "to": {"user": "bob"}, "text": "hi"}).to_string();
    let seqs = [post(&running, &body).await.1["seq"].clone(), post(&running, &body).await.1["seq"].clone()];
    assert_eq!(seqs, [1, 2]);
}

#[tokio::test]
async fn a_bad_call_is_told_what_is_wrong_with_it() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let (long, huge) = ("x".repeat(5_001), "x".repeat(300_000));
    let calls = [
        ("not json".to_owned(), 400, "invalid_argument"),
        (json!({"to": {"user": "bob"}, "text": "hi"}).to_string(), 400, "invalid_argument"),
        (json!({"from": "alice", "text": "hi"}).to_string(), 400, "invalid_argument"),
        (json!({"from": "alice", "to": {"user": "bob"}}).to_string(), 400, "invalid_argument"),
        (json!({"from": "alice", "to": {"user": "bob"}, "text": long}).to_string(), 413, "too_large"),
        (json!({"from": "alice", "to": {"user": "bob"}, "text": huge}).to_string(), 413, "too_large"),
        (json!({"from": "alice", "to": {"group": "g"}, "text": "hi"}).to_string(), 501, "unsupported"),
    ];
    for (body, status, code) in calls {
        let (answered, reply) = post(&running, &body).await;
        let start: String = body.chars().take(60).collect();
        assert_eq!((answered, &reply["code"]), (status, &json!(code)), "{start}: {reply}");
        assert!(reply["number"].is_u64() && reply["retryable"] == false);
    }
}
