//! The calls of the server API against a server that answers from a script.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// A server that takes one request, gives this answer, and returns what it was asked.
fn answer_once(status: &'static str, body: &'static str) -> (ServerApi, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api =
        ServerApi::new(&format!("http://{}/", listener.local_addr().unwrap()), Some("secret".to_owned()));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&request).into_owned();
            let wanted_bytes = text.split_once("\r\n\r\n").map(|(head, _)| {
                let length = head
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                head.len() + 4 + length.unwrap_or(0usize)
            });
            if wanted_bytes.is_some_and(|wanted_bytes| request.len() >= wanted_bytes) {
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                )
                .unwrap();
                return text;
            }
            let read_bytes = stream.read(&mut chunk).unwrap();
            assert!(read_bytes > 0, "the request ended early: {text}");
            request.extend_from_slice(&chunk[..read_bytes]);
        }
    });
    (api, server)
}

#[tokio::test]
async fn a_push_to_users_tells_what_became_of_each() {
    let body = r#"{"results":[{"user":"alice","status":"queued"},{"user":"bob","status":"offline"},{"user":"c","status":"later"}]}"#;
    let (api, server) = answer_once("200 OK", body);
    let to = PushTo::Users(vec!["alice".into(), "bob".into(), "c".into()]);
    let results = api.push(to, 1000, b"hi").await.unwrap();
    let statuses: Vec<_> = results.iter().map(|result| (result.name.as_str(), result.status)).collect();
    let expected = [("alice", PushStatus::Queued), ("bob", PushStatus::Offline), ("c", PushStatus::Unknown)];
    assert_eq!(statuses, expected);
    let request = server.join().unwrap();
    assert!(request.starts_with("POST /v1/push HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("authorization: bearer secret\r\n"), "{request}");
    let sent: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(sent, json!({ "to": { "users": ["alice", "bob", "c"] }, "op": 1000, "text": "hi" }));
}

#[test]
fn bytes_that_are_no_text_go_as_base64_and_all_has_a_speed() {
    let request = push_json(PushTo::All { speed: Some(5) }, 7, &[0xff, 0xfe]);
    assert_eq!(request, json!({ "to": { "all": true }, "op": 7, "speed": 5, "body": "//4=" }));
}

#[tokio::test]
async fn a_refusal_keeps_the_servers_words() {
    let body = r#"{"code":"unauthenticated","number":40100,"message":"give an API key","retryable":false}"#;
    let (api, _server) = answer_once("401 Unauthorized", body);
    let error = api.push(PushTo::Room("live://1".into()), 1, b"hi").await.unwrap_err();
    assert_eq!(error.to_string(), "give an API key (unauthenticated 40100)");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_goim_call_has_repeated_parameters_and_its_codes_are_errors() {
    let (api, server) = answer_once("200 OK", r#"{"code":-500,"message":"later"}"#);
    let error = api.push_goim_mids(1000, &[1, 2], b"raw").await.unwrap_err();
    assert!(error.is_retryable());
    let request = server.join().unwrap();
    assert!(
        request.starts_with("POST /goim/push/mids?mids=1&mids=2&operation=1000 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\nraw"), "{request}");

    let (api, server) = answer_once("200 OK", r#"{"code":0,"message":""}"#);
    api.push_goim_room(1000, "live", "1", b"raw").await.unwrap();
    let request = server.join().unwrap();
    assert!(request.starts_with("POST /goim/push/room?type=live&room=1&operation=1000 "), "{request}");
}

#[tokio::test]
async fn nobody_there_may_be_tried_again() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ServerApi::new(&format!("http://{address}"), None).ready().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.is_retryable());
}
